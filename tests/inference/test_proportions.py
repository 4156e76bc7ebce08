import numpy as np
import pytest
from scipy import optimize, special, stats
from statsmodels.stats.proportion import score_test_proportions_2indep

from uplift.errors import DataError
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.proportions import equal_tailed_score, score, without_skewness


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


def exact_tails(read, *, p, n_t, n_c):
    """Chance that two arms of one share are called better and worse, over all their counts."""
    counts = [
        np.arange(stats.binom.isf(1 - 1e-7, n, p), stats.binom.isf(1e-7, n, p)) for n in (n_t, n_c)
    ]
    better = worse = 0.0
    for x_t in counts[0]:
        for x_c in counts[1]:
            chance = stats.binom.pmf(x_t, n_t, p) * stats.binom.pmf(x_c, n_c, p)
            found = read(moments(x_t, n_t), moments(x_c, n_c), column="y")
            better += chance * (found.p_value < 0.05) * (found.effect > 0)
            worse += chance * (found.p_value < 0.05) * (found.effect < 0)
    return better, worse


@pytest.mark.parametrize(
    ("p", "n_t", "n_c"), [(0.001, 1_000, 9_000), (0.002, 400, 7_600), (0.03, 500, 100)]
)
def test_the_equal_tailed_score_is_right_on_each_side_and_the_plain_one_is_not(p, n_t, n_c):
    arms = {"p": p, "n_t": n_t, "n_c": n_c}
    assert max(exact_tails(equal_tailed_score, **arms)) < 0.0275
    assert max(exact_tails(score, **arms)) > 0.03


@pytest.mark.parametrize("seed", range(20))
def test_its_interval_holds_what_its_test_does_not_reject(seed):
    rng = np.random.default_rng(seed)
    n_t, n_c = (int(n) for n in rng.integers(20, 3_000, 2))
    x_t, x_c = rng.binomial(n_t, 0.02), rng.binomial(n_c, 0.01)
    found = equal_tailed_score(moments(x_t, n_t), moments(x_c, n_c), column="y")
    low, high = found.ci
    assert low < high
    assert (found.p_value < 0.05) == (low > 0 or high < 0)
    if x_c and np.isfinite(found.relative_ci).all():
        assert (found.relative_ci[0] > 0) == (low > 0)


def test_equal_arms_have_no_skewness_to_take_out():
    t, c = moments(9, 700), moments(17, 700)
    plain, found = (read(t, c, column="y") for read in (score, equal_tailed_score))
    assert found.p_value == pytest.approx(plain.p_value, rel=1e-12)


def test_a_statistic_without_skewness_solves_its_equation():
    z, skewness = np.meshgrid(np.linspace(-4, 4, 33), [-5.0, -0.8, 0.0, 1e-12, 0.3])
    u, s = without_skewness(z, skewness), np.clip(skewness, -3, 3)
    solved = 1 + s / 3 * u > 1e-6  # before the end of what u can give
    np.testing.assert_allclose((u + s * (u**2 - 1) / 6)[solved], z[solved], atol=1e-9)
    assert np.all(np.diff(u, axis=1) >= 0)
    assert np.isinf(without_skewness(np.inf, 0.0))
