"""Symmetries that every estimate of an effect obeys, on 200 random inputs each.

Shift, scale, negate, swap the arms, permute the rows, write every row twice, read in portions and
merge, change the unit of a covariate, add a column that is not used. Renamed units and the whole
analysis are in `test_analysis_laws`; portions, threads and engines in `test_counting_laws`.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uplift.inference.compliance import complier_effect, covariances_for_delivery
from uplift.inference.means import Estimate, welch
from uplift.inference.moments import Moments
from uplift.inference.periods import PeriodMeans, covariances_of
from uplift.inference.poststratification import poststratified
from uplift.inference.proportions import equal_tailed_score, score
from uplift.inference.ratios import adjusted_ratio, ratio
from uplift.inference.regression_adjustment import covariances_for, lin

COLUMNS = ["y", "base", "x1", "x2", "bought"]
COVARIATES = ["x1", "x2"]
PAIRS = [("y", "base"), *covariances_for(["y", "base"], COVARIATES)]

READ = {
    "welch": lambda t, c: welch(t, c, column="y"),
    "lin": lambda t, c: lin(t, c, column="y", covariates=COVARIATES),
    "ratio": lambda t, c: ratio(t, c, numerator="y", denominator="base"),
    "adjusted ratio": lambda t, c: adjusted_ratio(
        t, c, numerator="y", denominator="base", covariates=COVARIATES
    ),
}
OF_UNITS = ("welch", "lin")  # read y per row; the others per unit of `base`

examples = settings(max_examples=200, deadline=None)
seeds = given(seed=st.integers(0, 2**32 - 1))


@dataclass
class Trial:
    """Rows of two arms of random sizes, shapes and scales."""

    t: dict[str, np.ndarray]
    c: dict[str, np.ndarray]

    @classmethod
    def random(cls, seed: int) -> "Trial":
        rng = np.random.default_rng(seed)
        scale = 10.0 ** rng.uniform(-3, 4)
        shift = rng.choice([0.0, 1.0, 100.0]) * scale

        def arm(n: int) -> dict[str, np.ndarray]:
            x = rng.normal(0, 1, (2, n))
            base = 1.0 + rng.poisson(3, n)
            noise = [rng.normal, rng.standard_exponential, rng.standard_cauchy][seed % 3](size=n)
            noise = np.clip(noise, -50, 50)
            y = shift + scale * (base + x[0] + noise)
            bought = (rng.random(n) < 0.3).astype(float)
            return {"y": y, "base": base, "x1": x[0], "x2": x[1], "bought": bought}

        return cls(arm(int(rng.integers(8, 200))), arm(int(rng.integers(8, 200))))

    def changed(self, **columns) -> "Trial":
        """With columns made anew from the old ones."""
        arms = [arm | {k: make(arm) for k, make in columns.items()} for arm in (self.t, self.c)]
        return Trial(*arms)

    def read(self, name: str) -> Estimate:
        return READ[name](*self.moments)

    @cached_property
    def moments(self) -> tuple[Moments, Moments]:
        return moments(self.t), moments(self.c)


def moments(arm: dict[str, np.ndarray]) -> Moments:
    return Moments.of(arm, COLUMNS, PAIRS)


def near(found: Estimate, expected: Estimate, *, size: float = 0.0) -> None:
    """The same estimate, up to rounding of numbers of this size."""
    unit = max(size, abs(expected.effect), expected.std_error)
    for field in ("effect", "std_error"):
        assert getattr(found, field) == pytest.approx(
            getattr(expected, field), rel=1e-8, abs=1e-10 * unit
        )
    assert found.ci == pytest.approx(expected.ci, rel=1e-8, abs=1e-9 * unit)
    assert found.p_value == pytest.approx(expected.p_value, rel=1e-5, abs=1e-9)


def times(estimate: Estimate, factor: float) -> Estimate:
    low, high = sorted(factor * end for end in estimate.ci)
    return replace(
        estimate,
        effect=factor * estimate.effect,
        std_error=abs(factor) * estimate.std_error,
        ci=(low, high),
    )


def size_of(trial: Trial) -> float:
    return max(float(np.abs(arm["y"]).max()) for arm in (trial.t, trial.c))


@examples
@seeds
def test_a_shifted_outcome_leaves_the_effect(seed):
    trial = Trial.random(seed)
    more = 100.0 * float(np.std(trial.c["y"]))
    moved = trial.changed(y=lambda arm: arm["y"] + more)
    by_base = trial.changed(y=lambda arm: arm["y"] + more * arm["base"])
    for name in READ:
        other = moved if name in OF_UNITS else by_base
        near(other.read(name), trial.read(name), size=20.0 * more + size_of(trial))


@examples
@seeds
def test_another_currency_scales_the_effect_and_keeps_the_relative_one(seed):
    trial = Trial.random(seed)
    cents = trial.changed(y=lambda arm: 100.0 * arm["y"])
    for name in READ:
        base, found = trial.read(name), cents.read(name)
        near(found, times(base, 100.0))
        assert found.relative_effect == pytest.approx(base.relative_effect, rel=1e-9)
        np.testing.assert_allclose(found.relative_ci, base.relative_ci, rtol=1e-7, atol=1e-9)


@examples
@seeds
def test_a_negated_outcome_negates_the_effect(seed):
    trial = Trial.random(seed)
    negated = trial.changed(y=lambda arm: -arm["y"])
    for name in READ:
        near(negated.read(name), times(trial.read(name), -1.0))


@examples
@seeds
def test_swapped_arms_negate_the_effect(seed):
    trial = Trial.random(seed)
    swapped = Trial(trial.c, trial.t)
    for name in READ:
        near(swapped.read(name), times(trial.read(name), -1.0))


@examples
@seeds
def test_the_order_of_rows_does_not_matter(seed):
    trial = Trial.random(seed)
    rng = np.random.default_rng(seed)

    def shuffled(arm):
        order = rng.permutation(len(arm["y"]))
        return {name: values[order] for name, values in arm.items()}

    for name in READ:
        near(Trial(shuffled(trial.t), shuffled(trial.c)).read(name), trial.read(name))


@examples
@seeds
def test_every_row_twice_is_twice_its_weight(seed):
    trial = Trial.random(seed)
    twice = Trial(*({k: np.tile(v, 2) for k, v in arm.items()} for arm in (trial.t, trial.c)))
    t, c = moments(trial.t), moments(trial.c)
    t2, c2 = moments(twice.t), moments(twice.c)
    for read in READ.values():
        found = read(t2, c2)
        near(found, read(t + t, c + c))
        assert found.effect == pytest.approx(read(t, c).effect, rel=1e-9, abs=1e-9 * size_of(trial))


@examples
@seeds
def test_portions_that_are_merged_are_the_whole(seed):
    trial = Trial.random(seed)
    rng = np.random.default_rng(seed)

    def merged(arm):
        cut = np.sort(rng.integers(0, len(arm["y"]) + 1, 3))
        parts = [
            moments({name: values[rows] for name, values in arm.items()})
            for rows in np.split(np.arange(len(arm["y"])), cut)
        ]
        return sum(parts[1:], start=parts[0])

    t, c = merged(trial.t), merged(trial.c)
    for name, read in READ.items():
        near(read(t, c), trial.read(name), size=size_of(trial))


@examples
@seeds
def test_the_unit_and_zero_of_a_covariate_do_not_matter(seed):
    trial = Trial.random(seed)
    other = trial.changed(x1=lambda arm: 1e4 * arm["x1"] + 273.15, x2=lambda arm: -arm["x2"])
    for name in ("lin", "adjusted ratio"):
        near(other.read(name), trial.read(name), size=size_of(trial))


@examples
@seeds
def test_a_column_that_is_not_used_changes_nothing(seed):
    trial = Trial.random(seed)
    for name, read in READ.items():
        arms = [
            Moments.of(arm | {"more": arm["y"] ** 2}, [*COLUMNS, "more"], [*PAIRS, ("y", "more")])
            for arm in (trial.t, trial.c)
        ]
        assert read(*arms).to_dict() == trial.read(name).to_dict()


@examples
@seeds
def test_shares_obey_the_same_laws(seed):
    trial = Trial.random(seed)
    t, c = moments(trial.t), moments(trial.c)
    lost = trial.changed(bought=lambda arm: 1.0 - arm["bought"])
    for read in (score, equal_tailed_score):
        base = read(t, c, column="bought")
        swapped = read(c, t, column="bought")
        negated = read(moments(lost.t), moments(lost.c), column="bought")
        for other in (swapped, negated):
            assert other.effect == pytest.approx(-base.effect, abs=1e-12)
            assert other.ci == pytest.approx((-base.ci[1], -base.ci[0]), abs=1e-9)
            assert other.p_value == pytest.approx(base.p_value, rel=1e-9)


@examples
@seeds
def test_strata_in_another_order_or_of_equal_kind_are_the_same(seed):
    rng = np.random.default_rng(seed)
    cells = []
    for _ in range(3):
        trial = Trial.random(int(rng.integers(2**31)) * 3)
        cells.append((moments(trial.t), moments(trial.c)))
    found = poststratified(cells, column="y")
    size = max(abs(cell.mean_of("y")) for pair in cells for cell in pair)
    near(poststratified(cells[::-1], column="y"), found, size=size)
    swapped = poststratified([(c, t) for t, c in cells], column="y")
    near(swapped, times(found, -1.0), size=size)


@examples
@seeds
def test_effects_of_delivery_scale_swap_and_shift(seed):
    rng = np.random.default_rng(seed)

    def arm(assigned, n=60):
        d = (rng.random(n) < (0.8 if assigned else 0.1)).astype(float)
        return {"y": rng.exponential(3, n) + d, "d": d}

    t, c = arm(True), arm(False)

    def read(t, c, make=lambda y: y):
        pairs = covariances_for_delivery(["y"], "d")
        arms = [Moments.of({"y": make(a["y"]), "d": a["d"]}, ["y", "d"], pairs) for a in (t, c)]
        return complier_effect(*arms, outcome="y", delivered="d")

    base = read(t, c)
    for other, factor in (
        (read(t, c, lambda y: y + 50.0), 1.0),
        (read(t, c, lambda y: 100.0 * y), 100.0),
        (read(c, t), 1.0),  # both differences change their sign
    ):
        assert other.effect == pytest.approx(factor * base.effect, rel=1e-8)
        assert other.std_error == pytest.approx(factor * base.std_error, rel=1e-8)
        assert other.ci == pytest.approx([factor * end for end in base.ci], rel=1e-6)
        assert other.p_value == pytest.approx(base.p_value, rel=1e-6)


@examples
@seeds
def test_windows_add_up_whatever_their_order(seed):
    rng = np.random.default_rng(seed)
    weeks = ["a", "b", "c"]
    level = rng.gamma(1, 5, 50)
    data = {week: level * rng.gamma(2, 0.5, 50) for week in weeks}
    cell = Moments.of(data, weeks, covariances_of(weeks))
    there = PeriodMeans.of_panel(cell, weeks).total(np.array([1.0, 2.0, 3.0]))
    back = PeriodMeans.of_panel(cell, weeks[::-1]).total(np.array([3.0, 2.0, 1.0]))
    summed = Moments.of({"y": data["a"] + 2 * data["b"] + 3 * data["c"]}, ["y"])
    assert there.value == pytest.approx(back.value)
    assert there.variance == pytest.approx(back.variance)
    assert there.variance == pytest.approx(summed.variance("y") / 50)


def test_an_estimator_that_forgets_a_law_is_caught():
    """Ranks instead of values do not scale; a mean over the first rows depends on their order."""
    trial = Trial.random(5)

    def broken(t, c):
        return replace(welch(t, c, column="y"), effect=t.mean_of("y") ** 2 - c.mean_of("y"))

    cents = trial.changed(y=lambda arm: 100.0 * arm["y"])
    base, found = (broken(moments(one.t), moments(one.c)) for one in (trial, cents))
    with pytest.raises(AssertionError):
        near(found, times(base, 100.0))
