import numpy as np
import pytest
import statsmodels.api as sm

from uplift.errors import DataError
from uplift.inference.moments import Moments
from uplift.inference.planning_variance import (
    explained_share,
    ratio_variance,
    variance_after_adjustment,
)
from uplift.inference.ratios import ratio
from uplift.inference.regression_adjustment import covariances_for


def history(n=300, seed=1):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(size=n)
    return {"y": 1e4 + 2 * a + b + rng.normal(size=n), "a": 50 + a, "b": a + b, "c": 2 * a - 1}


def moments(data, covariates):
    return Moments.of(data, ["y", *covariates], covariances_for(["y"], covariates))


def test_the_explained_share_is_the_adjusted_r_squared_of_the_regression():
    data = history()
    fit = sm.OLS(data["y"], sm.add_constant(np.column_stack([data["a"], data["b"]]))).fit()
    known = moments(data, ["a", "b"])
    found = explained_share(known, column="y", covariates=["a", "b"])
    assert found == pytest.approx(fit.rsquared_adj, rel=1e-9)
    left = variance_after_adjustment(known, column="y", covariates=["a", "b"])
    assert left == pytest.approx(fit.mse_resid, rel=1e-9)


def test_a_covariate_that_repeats_another_adds_nothing():
    data = history()
    data["constant"] = np.ones(300)
    names = ["a", "c", "constant"]
    found = explained_share(moments(data, names), column="y", covariates=names)
    alone = explained_share(moments(data, ["a"]), column="y", covariates=["a"])
    assert found == pytest.approx(alone, rel=1e-9)
    assert explained_share(moments(data, []), column="y", covariates=[]) == 0


def test_noise_explains_nothing_on_average():
    shares = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        data = {name: rng.normal(size=40) for name in ("y", "a", "b", "c")}
        shares.append(
            explained_share(moments(data, ["a", "b", "c"]), column="y", covariates=["a", "b", "c"])
        )
    plain = 3 / 39  # what the R squared that is not adjusted would promise
    assert np.mean(shares) < 0.6 * plain


def test_the_variance_of_a_ratio_is_the_one_the_reading_uses():
    rng = np.random.default_rng(2)
    z = 1 + rng.poisson(2, 500)
    arm = Moments.of({"y": 3.0 * z + rng.normal(size=500), "z": z}, ["y", "z"], [("y", "z")])
    variance = ratio_variance(arm, numerator="y", denominator="z")
    read = ratio(arm, arm, numerator="y", denominator="z")
    assert np.sqrt(2 * variance / 500) == pytest.approx(read.std_error, rel=1e-12)


def test_what_cannot_be_divided_or_adjusted_is_refused():
    zero = Moments.of({"y": [1.0, 2.0], "z": [0.0, 0.0]}, ["y", "z"], [("y", "z")])
    with pytest.raises(DataError, match="no ratio"):
        ratio_variance(zero, numerator="y", denominator="z")
    few = Moments.of({"y": [1.0, 2.0], "a": [0.0, 1.0]}, ["y", "a"], [("y", "a")])
    with pytest.raises(DataError, match="too few to adjust"):
        explained_share(few, column="y", covariates=["a"])
