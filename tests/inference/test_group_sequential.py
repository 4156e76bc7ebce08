import numpy as np
import pytest
from scipy import stats

from uplift.errors import DefinitionError
from uplift.inference import always_valid
from uplift.inference import group_sequential as looks

FIVE = np.arange(1, 6) / 5


def paths(fractions, drift=0.0, n=40_000, seed=1):
    rng = np.random.default_rng(seed)
    steps = np.diff(fractions, prepend=0.0)
    moves = rng.normal(drift * steps, np.sqrt(steps), (n, len(steps)))
    return np.cumsum(moves, axis=1) / np.sqrt(fractions)


def test_five_equal_looks_are_the_published_ones():
    assert looks.spending_boundary(FIVE).z == pytest.approx(
        [4.877, 3.357, 2.680, 2.290, 2.031], abs=5e-4
    )
    pocock = looks.spending_boundary(FIVE, spending="pocock").z
    assert pocock == pytest.approx([2.438, 2.427, 2.410, 2.397, 2.386], abs=5e-4)


def test_constant_bounds_are_those_of_pocock_and_of_obrien_and_fleming():
    """Jennison & Turnbull (2000), tables 2.1 to 2.4, five looks at 5 % and power 90 %."""
    pocock = looks.boundary_of([2.413] * 5, FIVE)
    assert pocock.spent[-1] == pytest.approx(0.05, abs=1e-4)
    assert pocock.inflation(0.9) == pytest.approx(1.207, abs=1e-3)
    obrien = looks.boundary_of(2.040 / np.sqrt(FIVE), FIVE)
    assert obrien.spent[-1] == pytest.approx(0.05, abs=1e-4)
    assert obrien.inflation(0.9) == pytest.approx(1.026, abs=1e-3)


def test_two_looks_are_the_bivariate_normal():
    t = np.array([0.3, 1.0])
    found = looks.boundary_of([2.1, 2.0], t)
    correlation = np.sqrt(0.3)
    law = stats.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]])
    inside = law.cdf([2.1, 2.0], lower_limit=[-2.1, -2.0])
    assert found.spent[-1] == pytest.approx(1 - inside, abs=1e-7)
    drift = 2.5
    shifted = stats.multivariate_normal(drift * np.sqrt(t), law.cov)
    inside = shifted.cdf([2.1, 2.0], lower_limit=[-2.1, -2.0])
    assert found.power(drift) == pytest.approx(1 - inside, abs=1e-7)


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock", "power_family"])
@pytest.mark.parametrize("sides", [1, 2])
def test_looks_at_any_time_err_with_alpha_and_naive_looks_do_not(spending, sides):
    t = np.array([0.07, 0.2, 0.55, 0.6, 0.9, 1.0])
    plan = looks.spending_boundary(t, spending=spending, sides=sides)
    z = paths(t)
    z = np.abs(z) if sides == 2 else z
    error = 3 * np.sqrt(0.05 * 0.95 / len(z))
    assert np.mean((z > plan.z).any(axis=1)) == pytest.approx(0.05, abs=error)
    naive = stats.norm.isf(0.05 / sides)
    assert np.mean((z > naive).any(axis=1)) > 0.05 + 3 * error
    assert plan.spent[-1] == pytest.approx(0.05, abs=1e-9)


def test_peeking_five_times_at_196_errs_in_one_test_of_seven():
    naive = looks.boundary_of([1.959964] * 5, FIVE)
    assert naive.spent[-1] == pytest.approx(0.1417, abs=1e-4)
    seen = np.mean((np.abs(paths(FIVE)) > 1.959964).any(axis=1))
    assert seen == pytest.approx(naive.spent[-1], abs=3 * np.sqrt(0.14 * 0.86 / 40_000))


def test_the_spent_error_is_that_of_the_spending_function_at_each_look():
    t = np.sort(np.random.default_rng(3).uniform(0.02, 1.0, 60))
    plan = looks.spending_boundary(t, alpha=0.03, spending="pocock")
    wanted = 0.03 * np.log1p((np.e - 1) * t)
    assert plan.spent == pytest.approx(wanted, abs=1e-8)


def test_where_experiments_stop_is_where_simulated_ones_do():
    plan = looks.spending_boundary(FIVE)
    drift = plan.drift_for(0.9)
    assert plan.power(drift) == pytest.approx(0.9, abs=1e-9)
    crossed = np.abs(paths(FIVE, drift)) > plan.z
    first = np.where(crossed.any(axis=1), crossed.argmax(axis=1), 4)
    assert np.mean(FIVE[first]) == pytest.approx(plan.expected_fraction(drift), abs=0.005)
    stopped = np.bincount(first[crossed.any(axis=1)], minlength=5) / len(first)
    assert stopped == pytest.approx(plan.crossing([drift])[0], abs=0.008)


def test_more_units_than_planned_shrink_the_fractions():
    t = looks.information_fractions([250, 450, 630, 810], planned=300)
    assert t[-1] == 1.0
    assert looks.information_fractions([100, 200], planned=400) == pytest.approx([0.25, 0.5])
    assert looks.spending_boundary(t).spent[-1] == pytest.approx(0.05)


def test_always_valid_readings_are_a_boundary_below_alpha():
    t = np.arange(1, 21) / 20
    z = always_valid.multipliers(t * 50_000, tuning_n=50_000)
    plan = looks.boundary_of(z, t)
    assert plan.spent[-1] < 0.05
    at_end_only = always_valid.units_inflation()
    assert plan.inflation(0.8) > looks.spending_boundary(t).inflation(0.8)
    drift = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert plan.power(drift * np.sqrt(at_end_only)) >= 0.8
    assert always_valid.multiplier(123.0, tuning_n=123.0) == pytest.approx(z[-1])


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: looks.spending_boundary([0.5, 0.5]), "FRACTIONS_INVALID"),
        (lambda: looks.spending_boundary([0.5, 1.5]), "FRACTIONS_INVALID"),
        (lambda: looks.spending_boundary([1.0], alpha=5), "PROBABILITY_INVALID"),
        (lambda: looks.spending_boundary([1.0], spending="none"), "SPENDING_INVALID"),
        (lambda: looks.spending_boundary([1.0], spending=lambda t, a: 2 * t), "SPENDING_INVALID"),
        (lambda: looks.power_family(0), "SPENDING_INVALID"),
        (lambda: looks.boundary_of([1.0], [0.5, 1.0]), "BOUNDARY_INVALID"),
        (lambda: looks.spending_boundary([1.0]).drift_for(0.01), "PROBABILITY_INVALID"),
        (lambda: always_valid.multiplier(0, tuning_n=10), "ARM_TOO_SMALL"),
        (lambda: always_valid.multiplier(10, tuning_n=0), "TUNING_INVALID"),
    ],
)
def test_a_plan_of_looks_that_cannot_be_is_refused(call, code):
    with pytest.raises(DefinitionError) as caught:
        call()
    assert caught.value.code == code
