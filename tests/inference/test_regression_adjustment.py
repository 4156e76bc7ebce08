import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from uplift.errors import DataError
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.regression_adjustment import covariances_for, cuped, lin

BAND_1000 = 0.0207


def draw(rng, n, *, effect=0.0, slope=2.0, n_covariates=2):
    x = rng.normal(3, 1, (n, n_covariates))
    y = effect + slope * x.sum(axis=1) + rng.normal(0, 1, n)
    return x, y


def moments(x, y):
    names = [f"x{i}" for i in range(x.shape[1])]
    data = {"y": y} | {name: x[:, i] for i, name in enumerate(names)}
    return Moments.of(data, ["y", *names], covariances_for(["y"], names))


def adjusted(treatment, control, **options):
    names = [name for name in treatment.columns if name != "y"]
    return lin(treatment, control, column="y", covariates=names, **options)


def interacted_ols(x_t, y_t, x_c, y_c, **fit):
    x = np.vstack([x_t, x_c])
    centred = x - x.mean(axis=0)
    arm = np.r_[np.ones(len(y_t)), np.zeros(len(y_c))]
    design = np.column_stack([np.ones(len(arm)), arm, centred, centred * arm[:, None]])
    return sm.OLS(np.r_[y_t, y_c], design).fit(**fit)


@pytest.mark.parametrize("seed", range(30))
def test_the_effect_is_the_coefficient_of_the_interacted_regression(seed):
    rng = np.random.default_rng(seed)
    n_covariates = 1 + seed % 3
    t = draw(rng, 80, effect=1, slope=3, n_covariates=n_covariates)
    c = draw(rng, 300, n_covariates=n_covariates)
    found = adjusted(moments(*t), moments(*c))
    assert found.effect == pytest.approx(interacted_ols(*t, *c).params[1], rel=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_the_variance_is_that_of_one_regression_per_arm_and_of_the_drawn_customers(seed):
    rng = np.random.default_rng(seed)
    arms = [draw(rng, 60, slope=3), draw(rng, 400)]
    x = np.vstack([arms[0][0], arms[1][0]])
    at_mean = np.r_[1.0, x.mean(axis=0)]
    fits = [sm.OLS(y, sm.add_constant(x_arm)).fit() for x_arm, y in arms]
    variance = sum(fit.get_prediction(at_mean).se_mean[0] ** 2 for fit in fits)
    apart = fits[0].params[1:] - fits[1].params[1:]
    variance += apart @ np.cov(x.T) @ apart / len(x)
    found = adjusted(moments(*arms[0]), moments(*arms[1]))
    assert found.std_error == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_with_equal_slopes_its_error_is_that_of_the_robust_regression():
    rng = np.random.default_rng(5)
    t, c = draw(rng, 3_000, effect=1), draw(rng, 3_000)
    robust = interacted_ols(*t, *c, cov_type="HC2").bse[1]
    assert adjusted(moments(*t), moments(*c)).std_error == pytest.approx(robust, rel=0.03)


def test_without_covariates_it_is_welch():
    rng = np.random.default_rng(6)
    t, c = moments(*draw(rng, 50, n_covariates=0)), moments(*draw(rng, 90, n_covariates=0))
    found, plain = adjusted(t, c), welch(t, c, column="y")
    assert found.effect == pytest.approx(plain.effect, rel=1e-12)
    assert found.ci == pytest.approx(plain.ci, rel=1e-12)


def test_a_constant_or_repeated_covariate_adjusts_nothing():
    rng = np.random.default_rng(7)
    (x_t, y_t), (x_c, y_c) = draw(rng, 80, n_covariates=1), draw(rng, 120, n_covariates=1)
    single = adjusted(moments(x_t, y_t), moments(x_c, y_c))

    def wide(x, y):
        return moments(np.column_stack([x, 4 * x + 1, np.full(len(x), 9.0)]), y)

    repeated = adjusted(wide(x_t, y_t), wide(x_c, y_c))
    assert repeated.effect == pytest.approx(single.effect, rel=1e-9)
    assert repeated.std_error == pytest.approx(single.std_error, rel=1e-9)


def test_the_unit_of_a_covariate_does_not_matter():
    rng = np.random.default_rng(8)
    (x_t, y_t), (x_c, y_c) = draw(rng, 80), draw(rng, 120)
    base = adjusted(moments(x_t, y_t), moments(x_c, y_c))
    scale = np.array([1e6, 1e-6])
    scaled = adjusted(moments(x_t * scale, y_t), moments(x_c * scale, y_c))
    assert scaled.ci == pytest.approx(base.ci, rel=1e-8)


def test_a_common_population_gives_the_control_one_mean_in_every_comparison():
    rng = np.random.default_rng(9)
    control, first, second = (moments(*draw(rng, n)) for n in (200, 150, 100))
    population = control + first + second
    a = adjusted(first, control, population=population)
    b = adjusted(second, control, population=population)
    difference = adjusted(first, second, population=population)
    assert a.control_mean == b.control_mean
    assert difference.effect == pytest.approx(a.effect - b.effect, rel=1e-10)


def test_the_means_it_gives_are_those_its_effect_is_made_of():
    rng = np.random.default_rng(12)
    (x_t, y_t), (x_c, y_c) = draw(rng, 80, effect=5), draw(rng, 120)
    found = adjusted(moments(x_t + 1, y_t), moments(x_c, y_c))  # far apart: much to adjust
    assert found.treatment_mean - found.control_mean == pytest.approx(found.effect, rel=1e-12)
    assert found.effect < y_t.mean() - y_c.mean() - 1
    assert found.relative_effect == pytest.approx(found.effect / found.control_mean)
    middle = np.sqrt((1 + found.relative_ci[0]) * (1 + found.relative_ci[1])) - 1
    assert middle == pytest.approx(found.relative_effect)  # symmetric on the log scale


def test_its_relative_interval_covers_the_true_ratio():
    rng = np.random.default_rng(13)
    hits = []
    for _ in range(1000):
        # x has mean 3 twice: the control's mean is 12, the treatment's 13
        found = adjusted(moments(*draw(rng, 60, effect=1)), moments(*draw(rng, 240)))
        hits.append(found.relative_ci[0] <= 1 / 12 <= found.relative_ci[1])
    assert np.mean(hits) == pytest.approx(0.95, abs=BAND_1000)


def test_too_few_units_for_the_covariates_are_refused():
    rng = np.random.default_rng(10)
    few, many = moments(*draw(rng, 3)), moments(*draw(rng, 50))
    with pytest.raises(DataError, match="too few to adjust") as caught:
        adjusted(few, many)
    assert caught.value.code == "ARM_TOO_SMALL"


def repeated(estimate, *, seed, repetitions=1000, effect=0.0):
    """p-values, hits of the interval and lengths, with slopes that differ by arm and 4:1 arms."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(repetitions):
        t = moments(*draw(rng, 60, effect=effect - 6, slope=3, n_covariates=2))
        c = moments(*draw(rng, 240, n_covariates=2))
        found = estimate(t, c)
        # x has mean 3 in both columns, so a slope of 3 instead of 2 adds 6
        rows.append((found.p_value < 0.05, found.ci[0] <= effect <= found.ci[1], found.std_error))
    return np.mean(rows, axis=0)


def test_its_interval_covers_and_it_raises_five_false_alarms_in_a_hundred():
    rejected, covered, _ = repeated(adjusted, seed=21)
    assert rejected == pytest.approx(0.05, abs=BAND_1000)
    assert covered == pytest.approx(0.95, abs=BAND_1000)


def test_one_that_forgets_that_customers_are_a_sample_fails_the_same_check():
    def careless(treatment, control):
        names = [name for name in treatment.columns if name != "y"]
        huge = treatment + control
        frozen = type(huge)(
            huge.columns, huge.pairs, 1e12, huge.mean, huge.comoment, huge.rest
        )  # the same means, as if known without error
        return lin(treatment, control, column="y", covariates=names, population=frozen)

    rejected, _, _ = repeated(careless, seed=21)
    assert rejected > 0.05 + BAND_1000


def test_it_is_never_much_wider_than_the_plain_difference_and_mostly_narrower():
    _, _, narrow = repeated(adjusted, seed=22, repetitions=200)
    _, _, wide = repeated(lambda t, c: welch(t, c, column="y"), seed=22, repetitions=200)
    assert narrow < 0.6 * wide
    rng = np.random.default_rng(23)
    useless = [
        (adjusted(t, c).std_error, welch(t, c, column="y").std_error)
        for t, c in (
            (moments(*draw(rng, 500, slope=0)), moments(*draw(rng, 500, slope=0)))
            for _ in range(100)
        )
    ]
    with_it, without = np.mean(useless, axis=0)
    assert with_it < 1.01 * without


def test_cuped_is_the_difference_of_adjusted_outcomes_with_the_slope_within_arms():
    rng = np.random.default_rng(31)
    (x_t, y_t), (x_c, y_c) = draw(rng, 80, effect=5, slope=3), draw(rng, 200)
    arm = np.r_[np.ones(80), np.zeros(200)]
    x, y = np.vstack([x_t, x_c]), np.r_[y_t, y_c]
    theta = sm.OLS(y, np.column_stack([np.ones(280), arm, x])).fit().params[2:]
    found = cuped(moments(x_t, y_t), moments(x_c, y_c), column="y", covariates=["x0", "x1"])
    residual = y - (x - x.mean(axis=0)) @ theta
    oracle = stats.ttest_ind(residual[arm == 1], residual[arm == 0], equal_var=False)
    assert found.effect == pytest.approx(residual[:80].mean() - residual[80:].mean(), rel=1e-9)
    assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-6)
    assert found.treatment_mean == pytest.approx(residual[:80].mean())


def test_cuped_without_a_slope_is_welch_and_a_given_slope_is_used():
    rng = np.random.default_rng(32)
    t, c = moments(*draw(rng, 50)), moments(*draw(rng, 90))
    names = {"column": "y", "covariates": ["x0", "x1"]}
    plain = welch(t, c, column="y")
    assert cuped(t, c, **names, theta=[0.0, 0.0]).ci == pytest.approx(plain.ci)
    fixed = cuped(t, c, **names, theta=[2.0, 2.0])
    assert fixed.std_error < 0.6 * plain.std_error


def test_with_a_small_arm_of_another_slope_one_slope_is_worse_than_two():
    rng = np.random.default_rng(33)
    errors = []
    for _ in range(40):
        t = moments(*draw(rng, 100, slope=4, n_covariates=1))
        c = moments(*draw(rng, 2_000, slope=0.0, n_covariates=1))
        names = {"column": "y", "covariates": ["x0"]}
        estimates = (adjusted(t, c), cuped(t, c, **names), welch(t, c, column="y"))
        errors.append([found.std_error for found in estimates])
    lin_error, cuped_error, plain_error = np.mean(errors, axis=0)
    assert lin_error < 0.5 * cuped_error
    assert cuped_error > 0.9 * plain_error


def test_200_random_data_sets_equal_one_regression_per_arm_and_scipys_welch():
    rng = np.random.default_rng(34)
    for _ in range(200):
        k = int(rng.integers(1, 4))
        sizes = rng.integers(20, 90, 2)
        arms = [draw(rng, int(n), slope=rng.normal(), n_covariates=k) for n in sizes]
        (x_t, y_t), (x_c, y_c) = arms
        at = np.vstack([x_t, x_c]).mean(axis=0)
        found = adjusted(moments(x_t, y_t), moments(x_c, y_c))
        means, variance, slopes = [], 0.0, []
        for x, y in arms:  # the fit by least squares, its prediction at the common mean
            design = np.column_stack([np.ones(len(y)), x - at])
            fit = sm.OLS(y, design).fit()
            means.append(fit.params[0])
            slopes.append(fit.params[1:])
            variance += fit.bse[0] ** 2
        apart, spread = slopes[0] - slopes[1], np.cov(np.vstack([x_t, x_c]).T).reshape(k, k)
        variance += apart @ spread @ apart / (len(y_t) + len(y_c))
        assert found.effect == pytest.approx(means[0] - means[1], rel=1e-10, abs=1e-10)
        assert found.std_error == pytest.approx(np.sqrt(variance), rel=1e-10)
        plain = welch(moments(x_t, y_t), moments(x_c, y_c), column="y")
        oracle = stats.ttest_ind(y_t, y_c, equal_var=False)
        low, high = oracle.confidence_interval()
        assert plain.p_value == pytest.approx(oracle.pvalue, abs=1e-10)
        assert plain.ci == pytest.approx((low, high), rel=1e-10, abs=1e-10)
