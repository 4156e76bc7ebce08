"""Robust errors of the best linear projection, against statsmodels and by simulation."""

import numpy as np
import pytest
import statsmodels.api as sm

from uplift.errors import DataError
from uplift.inference.linear_projection import linear_projection


def case(seed, *, n=400, p=4, scale=1.0):
    rng = np.random.default_rng(seed)
    columns = np.column_stack([np.ones(n), rng.standard_normal((n, p - 1)) * scale])
    noise = rng.standard_normal(n) * np.exp(columns[:, 1] / scale / 2)
    return columns, columns @ rng.standard_normal(p) + noise, rng


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("weighted", [False, True])
def test_hc3_errors_are_those_of_statsmodels(seed, weighted):
    columns, scores, rng = case(seed, scale=10.0 ** (seed % 4))
    weight = rng.uniform(0.5, 3, len(scores)) if weighted else None
    fit = linear_projection(scores, columns, weight=weight)
    model = sm.OLS(scores, columns) if weight is None else sm.WLS(scores, columns, weights=weight)
    other = model.fit(cov_type="HC3")
    np.testing.assert_allclose(fit.value, other.params, rtol=1e-10)
    np.testing.assert_allclose(fit.std_error, other.bse, rtol=1e-10)
    np.testing.assert_allclose(fit.p_value, other.pvalues, rtol=1e-8, atol=1e-300)
    np.testing.assert_allclose(np.stack([fit.low, fit.high], axis=1), other.conf_int(), rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_errors_by_cluster_are_those_of_statsmodels(seed):
    columns, scores, rng = case(seed)
    cluster = rng.integers(0, 60, len(scores)) * 3
    fit = linear_projection(scores, columns, cluster=cluster)
    other = sm.OLS(scores, columns).fit(cov_type="cluster", cov_kwds={"groups": cluster})
    np.testing.assert_allclose(fit.std_error, other.bse, rtol=1e-10)
    np.testing.assert_allclose(fit.value, other.params, rtol=1e-10)


@pytest.mark.parametrize("power", [-40, 30, 60])
def test_a_feature_in_another_unit_changes_its_own_slope_alone(power):
    columns, scores, _ = case(1)
    plain = linear_projection(scores, columns)
    factor = np.array([1.0, 2.0**power, 1.0, 1.0])
    scaled = linear_projection(scores, columns * factor)
    np.testing.assert_allclose(scaled.value * factor, plain.value, rtol=1e-12)
    np.testing.assert_allclose(scaled.std_error * factor, plain.std_error, rtol=1e-12)


def test_duplicated_rows_are_doubled_weights_for_the_values():
    columns, scores, _ = case(0)
    twice = linear_projection(np.tile(scores, 2), np.tile(columns, (2, 1)))
    doubled = linear_projection(scores, columns, weight=np.full(len(scores), 2.0))
    np.testing.assert_allclose(twice.value, doubled.value, rtol=1e-10)


def covered(*, naive, n_trials=400):
    hits = 0
    for seed in range(n_trials):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(200)
        scores = 1 + 0.5 * x + np.abs(x) * rng.standard_normal(200) * 2
        columns = np.column_stack([np.ones(200), x])
        if naive:
            low, high = sm.OLS(scores, columns).fit().conf_int()[1]
        else:
            fit = linear_projection(scores, columns)
            low, high = fit.low[1], fit.high[1]
        hits += low <= 0.5 <= high
    return hits / n_trials


def test_intervals_cover_where_errors_differ_and_plain_ones_do_not():
    assert covered(naive=False) == pytest.approx(0.95, abs=3 * 0.0109)
    assert covered(naive=True) < 0.95 - 3 * 0.0109


def test_a_column_that_is_a_sum_of_others_is_refused():
    columns, scores, _ = case(0)
    with pytest.raises(DataError, match="sum of the others") as caught:
        linear_projection(scores, np.column_stack([columns, columns[:, 1] + columns[:, 2]]))
    assert caught.value.code == "PROJECTION_COLLINEAR"
    with pytest.raises(DataError) as caught:
        linear_projection(scores[:4], columns[:4])
    assert caught.value.code == "PROJECTION_TOO_SMALL"
