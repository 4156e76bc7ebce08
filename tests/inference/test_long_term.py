import numpy as np
import pytest

from uplift.errors import UpliftError
from uplift.inference.long_term import cumulative_effects, effect_over, pull_forward, rereads
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.periods import PeriodMeans, covariances_of

WEEKS = [f"w{i}" for i in range(1, 13)]
EARLY, LATE = WEEKS[:4], WEEKS[4:]
R = 200
BAND = 3 * np.sqrt(0.05 * 0.95 / R)


def panel(rng, n, gain=()):
    """Weekly spend of the same customers, many of them 0; a tenth leaves for good after week 6."""
    level = rng.gamma(1, 10, n)
    stays = rng.random(n) > 0.1
    data = {}
    for i, week in enumerate(WEEKS):
        spend = (rng.random(n) < 0.3) * level * rng.gamma(2, 0.5, n)
        spend = spend + (gain[i] if len(gain) else 0.0)
        data[week] = np.where((i < 6) | stays, spend, 0.0)
    return data


def means(data):
    return PeriodMeans.of_panel(Moments.of(data, WEEKS, covariances_of(WEEKS)), WEEKS)


def arms(rng, n=1_000, gain=()):
    return means(panel(rng, n, gain)), means(panel(rng, n))


PULLED = [1.0] * 4 + [-0.6] * 8  # +4 early, -4.8 (of those who stay) later


def test_a_gain_that_is_paid_back_is_flagged_and_the_total_is_covered():
    rng = np.random.default_rng(1)
    truth = 4.0 - 0.6 * 2 - 0.6 * 6 * 0.9
    flagged, covered, early_only = [], [], []
    for _ in range(R):
        found = pull_forward(*arms(rng, gain=PULLED), early=EARLY, late=LATE)
        flagged.append(found.flagged)
        covered.append(found.total.ci[0] <= truth <= found.total.ci[1])
        early_only.append(found.early.ci[0] <= truth <= found.early.ci[1])
    assert np.mean(flagged) > 0.5
    assert np.mean(covered) == pytest.approx(0.95, abs=BAND)
    assert np.mean(early_only) < 0.5


@pytest.mark.parametrize("gain", [[0.0] * 12, [1.5] * 4 + [0.0] * 8, [0.0] * 4 + [-1.0] * 8])
def test_a_campaign_without_both_parts_is_flagged_in_at_most_five_of_a_hundred(gain):
    rng = np.random.default_rng(2)
    flagged = [
        pull_forward(*arms(rng, n=500, gain=gain), early=EARLY, late=LATE).flagged for _ in range(R)
    ]
    assert np.mean(flagged) <= 0.05 + BAND


def test_the_share_taken_back_is_covered():
    rng = np.random.default_rng(3)
    truth = (0.6 * 2 + 0.6 * 6 * 0.9) / 4.0
    inside = []
    for _ in range(R):
        found = pull_forward(*arms(rng, n=800, gain=PULLED), early=EARLY, late=LATE)
        low, high = found.lost_share_ci
        inside.append(np.isnan(low) or low <= truth <= high)
    assert np.mean(inside) == pytest.approx(0.95, abs=BAND)


def test_windows_add_up_and_know_their_covariance():
    rng = np.random.default_rng(4)
    t, c = panel(rng, 300), panel(rng, 500)
    found = pull_forward(means(t), means(c), early=EARLY, late=LATE)
    assert found.total.effect == pytest.approx(found.early.effect + found.late.effect)
    summed = [Moments.of({"y": sum(d[w] for w in WEEKS)}, ["y"]) for d in (t, c)]
    oracle = welch(*summed, column="y")
    assert found.total.ci == pytest.approx(oracle.ci)
    apart = np.hypot(found.early.std_error, found.late.std_error)
    assert found.total.std_error > 1.1 * apart  # forgetting the covariance is too narrow
    check = found.check()
    assert (check.code, check.blocking) == ("PULL_FORWARD", False)
    assert check.passed is not found.flagged
    assert "later" in found.table().text()


def test_all_readings_hold_together_and_each_alone_does_not():
    rng = np.random.default_rng(5)
    months = ["w1", "w3", "w6", "w12"]
    together, alone = [], []
    for _ in range(R):
        read = rereads(*arms(rng, n=300), until=months)
        together.append(not any(one.proven for one in read.readings))
        alone.append(all(one.estimate.p_value > 0.05 for one in read.readings))
    assert np.mean(together) >= 0.95 - BAND
    assert np.mean(alone) < 0.95 - BAND  # the curve of every week is in calibration


def test_a_published_band_does_not_change_when_the_next_months_come_in():
    rng = np.random.default_rng(6)
    t, c = arms(rng)
    first = rereads(t, c, until=["w1"], n_planned=4)
    later = rereads(t, c, until=["w1", "w3", "w6"], n_planned=4)
    assert later.readings[0].band == first.readings[0].band
    plain = effect_over(t, c, t.weights_of(["w1"]))
    assert first.readings[0].estimate.ci == plain.ci
    low, high = first.readings[0].band
    assert low < plain.ci[0]
    assert high > plain.ci[1]
    assert "until" in later.table().text()


def test_the_band_of_a_whole_curve_is_narrower_than_that_of_as_many_readings():
    rng = np.random.default_rng(8)
    t, c = arms(rng, n=300)
    curve, published = cumulative_effects(t, c), rereads(t, c, until=WEEKS)
    assert [one.until for one in curve.readings] == WEEKS
    for one, other in zip(curve.readings, published.readings, strict=True):
        assert one.estimate.ci == other.estimate.ci
        assert other.band[0] < one.band[0] < one.estimate.ci[0]
    flat = means({week: np.ones(20) for week in WEEKS})
    assert np.isnan(cumulative_effects(flat, flat).readings[-1].band).all()


def test_windows_that_overlap_and_too_many_readings_are_refused():
    rng = np.random.default_rng(7)
    t, c = arms(rng, n=50)
    with pytest.raises(UpliftError, match="shared: w4"):
        pull_forward(t, c, early=EARLY, late=["w4"])
    with pytest.raises(UpliftError, match="Plan at least"):
        rereads(t, c, until=WEEKS, n_planned=4)
