import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from uplift.errors import DefinitionError
from uplift.inference import factorial


def test_variances_are_those_of_the_regression_with_an_interaction():
    n = np.array([[30, 50], [20, 70]])
    rows, columns = np.indices((2, 2))
    first, second = (np.repeat(x.ravel(), n.ravel()) for x in (rows, columns))
    design = np.column_stack([np.ones(len(first)), first, second, first * second])
    rng = np.random.default_rng(1)
    fit = sm.OLS(rng.normal(size=len(first)), design).fit()
    scale = fit.mse_resid
    interaction = factorial.interaction_contrast()
    found = factorial.contrast_variance(interaction, n_units=n, variance=scale)
    assert found == pytest.approx(fit.bse[3] ** 2, rel=1e-10)
    simple = factorial.simple_effect_contrast()
    found = factorial.contrast_variance(simple, n_units=n, variance=scale)
    assert found == pytest.approx(fit.bse[1] ** 2, rel=1e-10)
    half = np.array([0, 1, 0, 0.5])  # the first effect, averaged over the second factor
    found = factorial.contrast_variance(factorial.main_effect_contrast(), n_units=n, variance=scale)
    assert found == pytest.approx(float(half @ fit.cov_params() @ half), rel=1e-10)


def test_an_interaction_takes_4_times_the_units_and_half_of_it_16_times():
    common = {"shares": np.full((2, 2), 0.25), "variance": 3.0}
    main = factorial.required_units_of_contrast(
        0.2, contrast=factorial.main_effect_contrast(), **common
    )
    contrast = factorial.interaction_contrast()
    same = factorial.required_units_of_contrast(0.2, contrast=contrast, **common)
    half = factorial.required_units_of_contrast(0.1, contrast=contrast, **common)
    assert (same / main, half / main) == (pytest.approx(4), pytest.approx(16))


def test_units_effect_and_power_of_a_contrast_are_one_equation():
    contrast = factorial.interaction_contrast(2, 3, second=2)
    variance = np.array([[1.0, 9.0, 2.0], [3.0, 9.0, 4.0]])
    shares = np.array([[0.2, 0.1, 0.2], [0.2, 0.1, 0.2]])
    n = factorial.required_units_of_contrast(
        0.4, contrast=contrast, shares=shares, variance=variance
    )
    cells = {"contrast": contrast, "n_units": n * shares, "variance": variance}
    assert factorial.detectable_contrast(**cells) == pytest.approx(0.4, rel=1e-12)
    assert factorial.power_of_contrast(0.4, **cells) == pytest.approx(0.8, abs=1e-4)


def test_a_main_effect_may_be_averaged_over_the_customers_there_are():
    weights = factorial.main_effect_contrast(3, 2, first=2, second_shares=[3, 1])
    assert weights.tolist() == [[-0.75, -0.25], [0, 0], [0.75, 0.25]]


def test_any_interaction_of_3_by_2_is_found_as_often_as_simulated():
    means = np.array([[0.0, 0.1], [0.2, 0.3], [0.1, 0.55]])
    n = np.array([[80, 120], [90, 110], [100, 100]])
    rng = np.random.default_rng(2)
    drawn = means + rng.normal(size=(8_000, 3, 2)) / np.sqrt(n)
    rows, columns = np.indices(means.shape)
    design = (
        np.column_stack([np.eye(3)[rows.ravel()], np.eye(2)[columns.ravel()][:, 1:]])
        * np.sqrt(n.ravel())[:, None]
    )
    scaled = drawn.reshape(8_000, -1) * np.sqrt(n.ravel())
    fit, *_ = np.linalg.lstsq(design, scaled.T, rcond=None)
    lack = np.sum((scaled.T - design @ fit) ** 2, axis=0)
    seen = np.mean(lack > stats.chi2.ppf(0.95, 2))
    found = factorial.power_of_any_interaction(means, n_units=n, variance=1.0)
    assert found == pytest.approx(seen, abs=3 * np.sqrt(0.25 / 8_000))
    wrong_df = stats.ncx2.sf(stats.chi2.ppf(0.95, 5), 5, 10.0)
    assert abs(found - wrong_df) > 0.05
    units = factorial.required_units_of_any_interaction(means, shares=n / 600, variance=1.0)
    reached = factorial.power_of_any_interaction(means, n_units=n / 600 * units, variance=1.0)
    assert reached == pytest.approx(0.8, abs=1e-6)


def test_additive_means_are_no_interaction():
    additive = np.array([[0.0, 0.1], [0.2, 0.3]])
    found = factorial.power_of_any_interaction(additive, n_units=100, variance=1.0)
    assert found == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: factorial.interaction_contrast(2, 2, first=2), "LEVEL_INVALID"),
        (lambda: factorial.interaction_contrast(2, 2, second=0), "LEVEL_INVALID"),
        (
            lambda: factorial.contrast_variance([[1, -1]], n_units=[[5, 0]], variance=1),
            "ARM_TOO_SMALL",
        ),
        (
            lambda: factorial.required_units_of_contrast(
                0, contrast=[[1, -1]], shares=0.5, variance=1
            ),
            "EFFECT_INVALID",
        ),
        (
            lambda: factorial.required_units_of_any_interaction(
                [[0, 1], [1, 2]], shares=0.25, variance=1
            ),
            "EFFECT_INVALID",
        ),
    ],
)
def test_a_factorial_plan_that_cannot_be_is_refused(call, code):
    with pytest.raises(DefinitionError) as caught:
        call()
    assert caught.value.code == code
