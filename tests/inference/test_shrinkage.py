import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats.oneway import anova_oneway

from uplift.errors import UpliftError
from uplift.inference.heterogeneity import heterogeneity
from uplift.inference.shrinkage import bias_aware_multiplier, shrink

R = 2_000


def worst_miss_by_linear_programme(squared, c):
    """The largest probability of missing over distributions on a fine grid of biases."""
    biases = np.linspace(0, 60, 6_001)
    miss = stats.norm.cdf(-c - biases) + stats.norm.cdf(-c + biases)
    found = optimize.linprog(
        -miss, A_eq=np.stack([np.ones_like(biases), biases**2]), b_eq=[1.0, squared]
    )
    return -found.fun


@pytest.mark.parametrize("squared", [0.05, 0.5, 1.0, 4.0, 9.0])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_no_distribution_of_the_bias_makes_the_interval_miss_more_often(squared, confidence):
    c = float(bias_aware_multiplier([squared], confidence=confidence)[0])
    assert worst_miss_by_linear_programme(squared, c) == pytest.approx(1 - confidence, abs=3e-4)


def test_without_bias_the_multiplier_is_the_usual_one_and_it_grows_with_the_bias():
    found = bias_aware_multiplier([0.0, 0.1, 1.0, 10.0, 400.0, 500.0])
    assert found[0] == pytest.approx(stats.norm.ppf(0.975), rel=1e-9)
    assert np.all(np.diff(found) > 0)


def draw(rng, truth):
    errors = 1 / np.sqrt(rng.uniform(0.2, 3, len(truth)))
    return truth + errors * rng.normal(size=len(truth)), errors


TRUTHS = {
    "alike": lambda rng: np.zeros(10),
    "normal": lambda rng: rng.normal(0, 0.5, 10),
    "far apart": lambda rng: rng.normal(0, 2, 10),
    "few of them large": lambda rng: 4.0 * (rng.random(40) < 0.1),
}


def average_coverage(intervals, truth_of, seed=1):
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(R):
        truth = truth_of(rng)
        low, high = intervals(*draw(rng, truth))
        shares.append(np.mean((low <= truth) & (truth <= high)))
    return np.mean(shares), 3 * np.std(shares) / np.sqrt(R)


def robust(y, errors):
    return shrink(y, errors).ci.T


def plugged_in(y, errors):
    """The usual empirical Bayes interval: variance between effects as if it were known."""
    found = shrink(y, errors)
    precision = 1 / errors**2
    spread = precision @ (y - found.mean) ** 2 - (len(y) - 1)
    scale = precision.sum() - precision @ precision / precision.sum()
    between = max(spread / scale, 0.0)
    kept = between / (between + errors**2)
    centre = found.mean + kept * (y - found.mean)
    half = 1.96 * np.sqrt(kept) * errors
    return centre - half, centre + half


@pytest.mark.parametrize("name", TRUTHS)
def test_shrunken_intervals_cover_on_average_over_the_effects(name):
    covered, three_errors = average_coverage(robust, TRUTHS[name])
    assert covered >= 0.95 - three_errors


def test_an_interval_with_a_variance_plugged_in_fails_the_same_check():
    covered, three_errors = average_coverage(plugged_in, TRUTHS["normal"])
    assert covered < 0.95 - three_errors


def test_it_is_the_posterior_of_a_fine_grid_of_means_and_spreads():
    rng = np.random.default_rng(8)
    y, errors = draw(rng, rng.normal(1, 0.8, 6))
    found = shrink(y, errors)
    spreads = np.linspace(1e-4, 4 * np.sqrt(y.var() + np.mean(errors**2)), 1_500)[:, None]
    means = np.linspace(-8, 10, 1_201)[None, :]
    weight = np.zeros((1_500, 1_201))
    for estimate, error in zip(y, errors, strict=True):
        weight += stats.norm.logpdf(estimate, means, np.sqrt(spreads**2 + error**2))
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    kept = [spreads**2 / (spreads**2 + error**2) for error in errors]
    at = [means + k * (estimate - means) for k, estimate in zip(kept, y, strict=True)]
    np.testing.assert_allclose(found.effects, [np.sum(weight * a) for a in at], atol=2e-3)
    assert found.mean == pytest.approx(np.sum(weight * means), rel=2e-3)
    summed = sum(at)
    inner = sum(k * error**2 for k, error in zip(kept, errors, strict=True))
    variance = np.sum(weight * (inner + summed**2)) - np.sum(weight * summed) ** 2
    assert found.covariance.sum() == pytest.approx(variance, rel=5e-3)


def test_shrunken_effects_are_closer_to_the_truth_unless_effects_are_far_apart():
    rng = np.random.default_rng(3)
    for name, largest in (("alike", 0.25), ("normal", 0.5), ("far apart", 1.02)):
        raw = shrunken = 0.0
        for _ in range(300):
            truth = TRUTHS[name](rng)
            y, errors = draw(rng, truth)
            raw += np.sum((y - truth) ** 2)
            shrunken += np.sum((shrink(y, errors).effects - truth) ** 2)
        assert shrunken < largest * raw


def test_shrinking_obeys_shift_scale_and_sign():
    rng = np.random.default_rng(4)
    y, errors = draw(rng, rng.normal(0, 1, 12))
    base = shrink(y, errors)
    moved = shrink(-1000 * y + 5, 1000 * errors)
    np.testing.assert_allclose(moved.effects, -1000 * base.effects + 5, rtol=1e-9)
    np.testing.assert_allclose(moved.ci, -1000 * base.ci[:, ::-1] + 5, rtol=1e-9)
    np.testing.assert_allclose(moved.kept, base.kept, rtol=1e-9)


def test_the_mean_of_equal_errors_is_kept_and_a_sum_has_the_error_it_has():
    rng = np.random.default_rng(5)
    inside = []
    for _ in range(R):
        truth = rng.normal(1, 0.7, 15)
        y, errors = draw(rng, truth)
        found = shrink(y, errors)
        sums, error = found.effects.sum(), np.sqrt(found.covariance.sum())
        inside.append(abs(sums - truth.sum()) <= 1.96 * error)
    assert np.mean(inside) == pytest.approx(0.95, abs=3 * np.sqrt(0.05 * 0.95 / R))
    equal = shrink(y, np.ones(15))
    assert equal.effects.mean() == pytest.approx(y.mean())
    known = np.sqrt((1 + equal.between_variance) / 15)  # had the spread between been known
    assert known < equal.mean_std_error < 1.2 * known


@pytest.mark.parametrize("seed", range(5))
def test_heterogeneity_of_small_groups_is_the_analysis_of_variance_of_welch(seed):
    rng = np.random.default_rng(seed)
    groups = [rng.normal(0, rng.uniform(1, 3), rng.integers(4, 30)) for _ in range(2 + seed)]
    found = heterogeneity(
        [g.mean() for g in groups],
        [g.std(ddof=1) / np.sqrt(len(g)) for g in groups],
        df=[len(g) - 1 for g in groups],
    )
    oracle = anova_oneway(groups, use_var="unequal", welch_correction=True)
    assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-9)


def test_known_errors_are_read_against_chi_squared():
    rng = np.random.default_rng(6)
    y, errors = draw(rng, np.zeros(8))
    found = heterogeneity(y, errors)
    assert found.p_value == pytest.approx(stats.chi2.sf(found.q, 7))
    assert heterogeneity(y, errors, df=np.full(8, 1e12)).p_value == pytest.approx(found.p_value)
    assert found.share == pytest.approx(max(0.0, 1 - 7 / found.q))
    assert np.isnan(heterogeneity([1.0], [0.5]).p_value)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: shrink([1.0], [1.0]), "EFFECTS_FEW"),
        (lambda: shrink([1.0, 2.0], [1.0, 1.0], confidence=95), "PROBABILITY_INVALID"),
        (lambda: shrink([1.0, np.nan], [1.0, 1.0]), "EFFECT_NOT_ESTIMABLE"),
        (lambda: heterogeneity([1.0, 2.0], [1.0, 0.0]), "EFFECT_NOT_ESTIMABLE"),
        (lambda: heterogeneity([], []), "EMPTY_INPUT"),
    ],
)
def test_effects_without_an_error_are_refused(call, code):
    with pytest.raises(UpliftError) as caught:
        call()
    assert caught.value.code == code
