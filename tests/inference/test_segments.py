from functools import partial

import numpy as np
import pytest

from uplift.errors import DataError, DefinitionError
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.proportions import score
from uplift.inference.regression_adjustment import lin
from uplift.inference.segments import segment_effects, simultaneous_confidence

R = 300
BAND = 3 * np.sqrt(0.05 * 0.95 / R)
SIZES = np.geomspace(30, 2_000, 10).astype(int)
by_mean = partial(welch, column="y")


def cells(values_by_segment):
    return {name: Moments.of({"y": y}, ["y"]) for name, y in values_by_segment.items()}


def drawn(rng, *, shift=0.0, sizes=SIZES):
    """Ten segments of 30 to 2,000 units; the effect is `shift` in the first."""
    t = {f"s{i}": rng.normal(0, 1 + i / 5, n // 2) for i, n in enumerate(sizes)}
    c = {f"s{i}": rng.normal(0, 1, n - n // 2) for i, n in enumerate(sizes)}
    t["s0"] = t["s0"] + shift
    return cells(t), cells(c)


def test_all_intervals_hold_together_and_naive_ones_do_not():
    rng = np.random.default_rng(1)
    all_covered, naive, found_any = [], [], []
    for _ in range(R):
        t, c = drawn(rng)
        read = segment_effects(t, c, estimator=by_mean)
        all_covered.append(all(s.ci[0] <= 0 <= s.ci[1] for s in read.segments))
        naive.append(all(s.p_value > 0.05 for s in read.segments))
        found_any.append(any(s.adjusted_p_value <= 0.05 for s in read.segments))
    assert np.mean(all_covered) == pytest.approx(0.95, abs=BAND)  # more of it in calibration
    assert np.mean(found_any) == pytest.approx(1 - np.mean(all_covered))
    assert np.mean(naive) < 0.7


def test_a_planted_segment_is_found():
    rng = np.random.default_rng(2)
    t, c = drawn(rng, shift=3.0, sizes=np.full(10, 300))
    read = segment_effects(t, c, estimator=by_mean)
    assert read.differ
    proven = [s.segment for s in read.segments if s.ci[0] > 0]
    assert proven == ["s0"]
    best = read.segment("s0")
    assert 0 < best.shrunken < best.effect
    assert best.shrunken_ci[0] < best.shrunken < best.shrunken_ci[1]


def test_equal_segments_differ_in_five_of_a_hundred_experiments_also_when_small():
    rng = np.random.default_rng(3)
    differ = [
        segment_effects(*drawn(rng, sizes=np.full(10, 16)), estimator=by_mean).differ
        for _ in range(R)
    ]
    assert np.mean(differ) <= 0.05 + BAND


def test_a_segment_without_an_arm_is_a_row_with_its_units_and_the_reason():
    rng = np.random.default_rng(4)
    t = cells({"both": rng.normal(size=50), "treated": rng.normal(size=40), "one": np.ones(1)})
    c = cells({"both": rng.normal(size=50), "control": rng.normal(size=7), "one": np.ones(9)})
    t["empty"] = Moments.of({"y": np.zeros(0)}, ["y"])
    t["flat"] = c["flat"] = Moments.of({"y": np.full(9, 2.0)}, ["y"])
    read = segment_effects(t, c, estimator=by_mean)
    reasons = {s.segment: s.reason for s in read.segments}
    assert reasons == {
        "both": "",
        "treated": "no unit in the control",
        "one": "an arm has one unit only",
        "empty": "no unit",
        "flat": "no unit differs from another",
        "control": "no unit in the treatment",
    }
    treated = read.segment("treated")
    assert (treated.n_control, treated.n_treatment, treated.estimable) == (0, 40, False)
    assert np.isnan([treated.effect, *treated.ci, treated.shrunken]).all()
    assert read.each == simultaneous_confidence(2)  # both and flat could be read
    assert read.heterogeneity is None
    assert "not estimable" in read.table().text()


def test_segments_too_small_for_an_adjustment_are_left_and_wrong_data_are_not():
    rng = np.random.default_rng(5)

    def moments(n):
        data = {"y": rng.normal(size=n), "x": rng.normal(size=n)}
        return Moments.of(data, ["y", "x"], [("y", "x")])

    adjusted = partial(lin, column="y", covariates=["x"])
    read = segment_effects(
        {"few": moments(2), "many": moments(90)},
        {"few": moments(2), "many": moments(90)},
        estimator=adjusted,
    )
    assert read.segment("few").reason == "too few units for this estimator"
    assert read.segment("many").estimable
    with pytest.raises(DataError) as caught:
        segment_effects(*drawn(rng), estimator=partial(score, column="y"))
    assert caught.value.code == "OUTCOME_NOT_BINARY"


def test_a_segment_without_an_event_keeps_the_interval_of_its_estimator():
    none = {"a": Moments.of({"y": np.zeros(90)}, ["y"])}
    read = segment_effects(none, none, estimator=partial(score, column="y"))
    low, high = read.segment("a").ci
    assert low < 0 < high
    assert read.segment("a").adjusted_p_value == 1.0


def test_two_thousand_segments_are_read_with_a_warning():
    rng = np.random.default_rng(6)
    y = rng.normal(size=(2, 2_000, 4))
    t, c = (cells({f"s{i}": row for i, row in enumerate(arm)}) for arm in y)
    read = segment_effects(t, c, estimator=by_mean)
    assert [check.code for check in read.checks] == ["SEGMENTS_MANY"]
    assert not read.checks[0].passed
    assert not read.checks[0].blocking
    assert len(read.segments) == 2_000


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(DataError, match="no segment to read"):
        segment_effects({}, {}, estimator=by_mean)
    with pytest.raises(DefinitionError, match="between 0 and 1"):
        simultaneous_confidence(10, 95)
    rng = np.random.default_rng(7)
    with pytest.raises(DataError, match="no segment 'x'"):
        segment_effects(*drawn(rng), estimator=by_mean).segment("x")
