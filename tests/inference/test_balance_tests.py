import numpy as np
import pytest
from scipy import stats

from uplift.inference.balance_tests import balance_of_moments, check_balance, check_before
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.multiplicity import holm

NAMES = ["age", "spend", "flat"]


def customers(rng, n, *, shift=0.0):
    spend = shift + rng.exponential(10, n)
    return {"age": rng.normal(40, 9, n), "spend": spend, "flat": np.full(n, 3.0)}


def moments(data):
    return Moments.of(data, list(data), [(name, "units") for name in data if "units" in data])


def test_differences_are_standardised_and_p_values_adjusted_over_covariates_and_arms():
    rng = np.random.default_rng(1)
    control, a, b = customers(rng, 300), customers(rng, 200), customers(rng, 250, shift=1.0)
    found = balance_of_moments(
        {"a": moments(a), "b": moments(b)}, moments(control), covariates=NAMES
    )
    assert [(row.covariate, row.arm) for row in found] == [(n, arm) for n in NAMES for arm in "ab"]
    raw = [
        stats.ttest_ind(arm[name], control[name], equal_var=False).pvalue
        for name in NAMES[:2]
        for arm in (a, b)
    ]
    np.testing.assert_allclose([row.p_value for row in found], holm([*raw, 1.0, 1.0]), rtol=1e-9)
    pooled = np.sqrt((a["age"].var(ddof=1) + control["age"].var(ddof=1)) / 2)
    assert found[0].difference == pytest.approx((a["age"].mean() - control["age"].mean()) / pooled)
    assert found[-1].difference == 0.0


def test_clusters_are_compared_by_their_totals():
    rng = np.random.default_rng(2)

    def households(n):
        size = rng.integers(1, 5, n).astype(float)
        return {"spend": size * rng.exponential(10, n), "units": size}

    found = balance_of_moments(
        {"a": moments(households(400))},
        moments(households(400)),
        covariates=["spend"],
        units="units",
    )
    assert 0 < found[0].p_value <= 1
    assert np.isnan(found[0].difference)
    assert found[0].control_mean == pytest.approx(10, rel=0.2)


def false_alarm(rng, *, broken):
    rows = customers(rng, 2_000)
    arm = rng.random(2_000) < 0.5
    if broken:  # the best customers of the treatment are lost after the draw
        kept = ~(arm & (rows["spend"] > 25))
        rows, arm = {name: values[kept] for name, values in rows.items()}, arm[kept]
    t, c = (moments({name: v[flag] for name, v in rows.items()}) for flag in (arm, ~arm))
    return check_balance(balance_of_moments({"t": t}, c, covariates=NAMES))[0]


def test_a_draw_is_balanced_and_one_that_lost_its_best_customers_is_not():
    rng = np.random.default_rng(3)
    assert all(false_alarm(rng, broken=False).passed for _ in range(200))
    broken = [false_alarm(rng, broken=True) for _ in range(20)]
    assert not any(check.passed for check in broken)
    assert (broken[0].code, broken[0].verdict) == ("BALANCE", "failed")
    assert broken[0].remedy.startswith("spend differs between t and control")


def test_an_arm_without_units_is_not_tested_and_a_leak_into_a_constant_is_seen():
    rng = np.random.default_rng(4)
    control = moments(customers(rng, 50))
    alone = moments({name: values[:1] for name, values in customers(rng, 5).items()})
    rows = balance_of_moments({"one": alone}, control, covariates=NAMES)
    assert np.isnan([row.p_value for row in rows]).all()
    assert check_balance(rows) == []
    leaked = moments({**customers(rng, 50), "flat": np.full(50, 4.0)})
    assert not check_balance(balance_of_moments({"t": leaked}, control, covariates=NAMES))[0].passed


def test_a_metric_that_differed_before_the_test_blocks_the_verdict():
    rng = np.random.default_rng(5)
    c = Moments.of({"y": rng.normal(10, 2, 500)}, ["y"])
    alike = Moments.of({"y": rng.normal(10, 2, 500)}, ["y"])
    ahead = Moments.of({"y": rng.normal(11, 2, 500)}, ["y"])
    assert check_before(welch(alike, c, column="y"), metric="spend@1", arm="mail").passed
    check = check_before(welch(ahead, c, column="y"), metric="spend@1", arm="mail")
    assert (check.code, check.verdict) == ("PRE_PERIOD_BIAS", "failed")
    assert "spend@1 of mail differed" in check.remedy
    flat = Moments.of({"y": np.ones(9)}, ["y"])
    assert check_before(welch(flat, flat, column="y"), metric="spend@1", arm="mail").passed
