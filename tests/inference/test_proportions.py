import numpy as np
import pytest
from scipy import optimize, special, stats
from statsmodels.stats.proportion import score_test_proportions_2indep

from uplift.errors import DataError
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.proportions import score


def moments(events, n_units):
    return Moments.of({"y": np.arange(n_units) < events}, ["y"])


def slow_statistic(difference, x_t, n_t, x_c, n_c):
    """The same statistic with the restricted proportions found by searching the likelihood."""

    def loss(p):
        return -(
            special.xlogy(x_t, p + difference)
            + special.xlogy(n_t - x_t, 1 - p - difference)
            + special.xlogy(x_c, p)
            + special.xlogy(n_c - x_c, 1 - p)
        )

    bounds = (max(0.0, -difference) + 1e-9, min(1.0, 1 - difference) - 1e-9)
    p = optimize.minimize_scalar(loss, bounds=bounds, options={"xatol": 1e-12}).x
    q = p + difference
    correction = (n_t + n_c) / (n_t + n_c - 1)
    variance = (q * (1 - q) / n_t + p * (1 - p) / n_c) * correction
    return (x_t / n_t - x_c / n_c - difference) / np.sqrt(variance)


@pytest.mark.parametrize("seed", range(25))
def test_the_limits_are_where_the_score_statistic_reaches_its_bound(seed):
    rng = np.random.default_rng(seed)
    n_t, n_c = rng.integers(20, 900, 2)
    x_t, x_c = rng.binomial(n_t, 0.1), rng.binomial(n_c, 0.05)
    found = score(moments(x_t, n_t), moments(x_c, n_c), column="y", confidence=0.9)
    bound = stats.norm.ppf(0.95)
    assert slow_statistic(found.ci[0], x_t, n_t, x_c, n_c) == pytest.approx(bound, abs=1e-4)
    assert slow_statistic(found.ci[1], x_t, n_t, x_c, n_c) == pytest.approx(-bound, abs=1e-4)


def test_a_published_interval_agrees():
    # 56 of 70 against 48 of 80: Newcombe (1998), Statistics in Medicine 17, table II
    found = score(moments(56, 70), moments(48, 80), column="y")
    np.testing.assert_allclose(found.ci, (0.0528, 0.3382), atol=5e-5)


@pytest.mark.parametrize("seed", range(10))
def test_the_p_value_of_no_difference_is_that_of_statsmodels(seed):
    rng = np.random.default_rng(seed)
    n_t, n_c = rng.integers(20, 900, 2)
    x_t, x_c = rng.binomial(n_t, 0.1) + 1, rng.binomial(n_c, 0.08) + 1
    found = score(moments(x_t, n_t), moments(x_c, n_c), column="y")
    _, oracle = score_test_proportions_2indep(x_t, n_t, x_c, n_c, return_results=False)
    assert found.p_value == pytest.approx(oracle, rel=1e-6)
    assert (found.p_value < 0.05) == (found.ci[0] > 0 or found.ci[1] < 0)


def test_no_event_at_all_still_gives_an_interval():
    found = score(moments(0, 2_000), moments(0, 2_000), column="y")
    assert found.effect == 0
    assert found.p_value == 1
    assert -0.004 < found.ci[0] < 0 < found.ci[1] < 0.004
    assert np.isnan(welch(moments(0, 50), moments(0, 50), column="y").ci).all()


def test_everybody_against_nobody_stays_within_one():
    found = score(moments(20, 20), moments(0, 20), column="y")
    assert found.effect == 1
    assert 0.5 < found.ci[0] < found.ci[1] <= 1


def coverage(interval, p_t, p_c, n):
    """Exact probability that the interval holds the true difference (events up to 15 per arm)."""
    events = range(15)
    chance = np.outer(stats.binom.pmf(events, n, p_t), stats.binom.pmf(events, n, p_c))
    ci = np.array([[interval(moments(a, n), moments(b, n)) for b in events] for a in events])
    return float(chance[(ci[..., 0] <= p_t - p_c) & (p_t - p_c <= ci[..., 1])].sum())


def test_it_covers_when_one_in_two_thousand_responds_where_the_normal_interval_does_not():
    n, p_t, p_c = 2_000, 0.0015, 0.0005
    assert coverage(lambda t, c: score(t, c, column="y").ci, p_t, p_c, n) >= 0.9397
    assert coverage(lambda t, c: welch(t, c, column="y").ci, p_t, p_c, n) < 0.9397


def test_values_other_than_zero_and_one_are_refused():
    mean = Moments.of({"y": [0.5, 2.0, 1.0]}, ["y"])
    with pytest.raises(DataError, match="not a proportion") as caught:
        score(mean, mean, column="y")
    assert caught.value.code == "OUTCOME_NOT_BINARY"
