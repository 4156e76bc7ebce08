import numpy as np
import pytest

from uplift.errors import UpliftError
from uplift.inference.fieller import quotient_interval, quotient_variance
from uplift.inference.means import contrast, welch
from uplift.inference.moments import Moments
from uplift.inference.periods import PeriodMeans, covariances_of

WEEKS = ["w1", "w2", "w3"]


def panel(rng, n, *, shift=0.0):
    level = rng.normal(0, 1, n)
    return {week: 5 + shift + level + rng.normal(0, 1, n) for week in WEEKS}


def moments(data):
    return Moments.of(data, WEEKS, covariances_of(WEEKS))


def test_a_sum_of_weeks_is_welch_of_the_summed_column():
    rng = np.random.default_rng(1)
    t, c = panel(rng, 80, shift=1), panel(rng, 150)
    arms = [PeriodMeans.of_panel(moments(data), WEEKS) for data in (t, c)]
    weights = np.array([1.0, 0.0, 2.0])
    found = contrast(*(arm.total(weights) for arm in arms))
    summed = [Moments.of({"y": d["w1"] + 2 * d["w3"]}, ["y"]) for d in (t, c)]
    oracle = welch(*summed, column="y")
    assert found.effect == pytest.approx(oracle.effect, rel=1e-12)
    assert found.ci == pytest.approx(oracle.ci, rel=1e-12)
    assert found.p_value == pytest.approx(oracle.p_value, rel=1e-10)


def test_waves_of_other_units_have_the_error_of_independent_means():
    rng = np.random.default_rng(2)
    waves = [Moments.of({"y": rng.normal(0, s, n)}, ["y"]) for s, n in ((1, 20), (3, 50))]
    found = PeriodMeans.of_waves(waves, "y", periods=["may", "june"])
    change = found.total(np.array([-1.0, 1.0]))
    oracle = welch(waves[1], waves[0], column="y")
    assert change.value + change.rest == pytest.approx(oracle.effect)
    assert np.sqrt(change.variance) == pytest.approx(oracle.std_error)
    assert change.df == pytest.approx(oracle.df)
    assert found.weights_of(["june"]).tolist() == [0.0, 1.0]


def test_periods_that_are_not_there_are_refused():
    rng = np.random.default_rng(3)
    found = PeriodMeans.of_panel(moments(panel(rng, 9)), WEEKS)
    with pytest.raises(UpliftError, match="no period 'w9'"):
        found.weights_of(["w9"])
    with pytest.raises(UpliftError, match="At least one period"):
        PeriodMeans.of_panel(moments(panel(rng, 9)), [])
    with pytest.raises(UpliftError, match="co-moment"):
        PeriodMeans.of_panel(Moments.of(panel(rng, 9), WEEKS), WEEKS)


def test_a_quotient_interval_is_where_the_linear_test_does_not_reject():
    rng = np.random.default_rng(4)
    for _ in range(200):
        top, base = rng.normal(0, 3), rng.normal(5, 1)
        root = rng.normal(size=(2, 2))
        v = root @ root.T
        options = {"var_top": v[0, 0], "var_base": v[1, 1], "covariance": v[0, 1]}
        low, high = quotient_interval(top, base, **options, quantile=1.5)
        if np.isnan(low):
            assert base**2 <= 1.5**2 * v[1, 1]
            continue
        for q in (low, high):
            gap = top - q * base
            variance = v[0, 0] - 2 * q * v[0, 1] + q**2 * v[1, 1]
            assert gap**2 == pytest.approx(1.5**2 * variance, rel=1e-6, abs=1e-12)
        assert low <= top / base <= high
    assert np.isnan(quotient_interval(1, 0.1, var_top=1, var_base=1, quantile=2)).all()


def test_a_quotient_of_tiny_numbers_is_the_quotient_of_their_multiples():
    options = {"var_top": 4.0, "var_base": 0.01, "covariance": 0.05}
    base = quotient_interval(10.0, 2.0, **options, quantile=2.0)
    tiny = {name: value * 1e-300 for name, value in options.items()}
    small = quotient_interval(10e-150, 2e-150, **tiny, quantile=2.0)
    assert small == pytest.approx(base, rel=1e-9)


def test_the_delta_variance_is_that_of_simulated_quotients():
    rng = np.random.default_rng(5)
    v = np.array([[0.04, 0.01], [0.01, 0.01]])
    draws = rng.multivariate_normal([2.0, 5.0], v, 200_000)
    found = quotient_variance(2.0, 5.0, var_top=0.04, var_base=0.01, covariance=0.01)
    assert found == pytest.approx((draws[:, 0] / draws[:, 1]).var(), rel=0.02)
    assert np.isnan(quotient_variance(2.0, 0.0, var_top=1, var_base=1))
