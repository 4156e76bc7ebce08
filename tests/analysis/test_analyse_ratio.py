"""A ratio metric is read as the ratio of sums, with an error that agrees with independent ones."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from uplift.analysis.analyse import analyse
from uplift.errors import DefinitionError
from uplift.experiment import experiment_from
from uplift.models.train import train
from uplift.strict_yaml import parse_yaml
from uplift.trial import Trial

TEXT = """
id: basket_test
title: Baskets
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: Larger baskets.
audience: {{description: Everyone}}
arms:
  - {{name: control, share: 1/4}}
  - {{name: email, share: 3/4, unit_cost: 0}}
{cluster}
metrics:
  primary:
    metric: {{name: basket, version: 1, title: Spend per order, column: spend, kind: ratio,
      denominator: orders, owner: o, unit: EUR per order, window_days: 14, covariate: before}}
schedule: {{starts_at: 2008-03-20T08:00:00, timezone: Europe/Paris, response_days: 14}}
analysis: {{decision_rule: Scale what is proven.}}
money: {{currency: EUR, value: spend}}
"""


def basket_test(cluster: str = ""):
    return experiment_from(parse_yaml(TEXT.format(cluster=cluster)))


def orders_of(n_units: int, *, seed: int, more: float = 1.0):
    """Customers whose order sizes resemble each other, so that orders are no independent rows."""
    rng = np.random.default_rng(seed)
    orders = rng.poisson(3, n_units).astype(float)
    usual = rng.lognormal(3, 0.5, n_units)
    spend = orders * usual * rng.uniform(0.8, 1.2, n_units)
    arm = np.where(rng.random(n_units) < 0.25, "control", "email")
    spend = np.where(arm == "email", spend * more, spend)
    units = [f"u{i:05d}" for i in range(n_units)]
    assigned = pd.DataFrame({"unit": units, "arm": arm})
    return assigned, pd.DataFrame({"unit": units, "spend": spend, "orders": orders})


def test_a_ratio_agrees_with_regression_over_orders_with_errors_by_customer():
    """The least-squares effect over orders is the difference of ratios; its error is by customer.

    The delta method and clustered least squares agree up to their small-sample factors.
    """
    assigned, outcomes = orders_of(4_000, seed=3, more=1.05)
    row = analyse(basket_test(), assigned, outcomes).effects[0]
    assert row.method == "ratio"
    rows = assigned.merge(outcomes, on="unit")
    rows = rows.loc[rows.index.repeat(rows["orders"].astype(int))]
    y = rows["spend"] / rows["orders"]
    x = sm.add_constant((rows["arm"] == "email").astype(float))
    fit = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": pd.factorize(rows["unit"])[0]})
    assert row.effect == pytest.approx(fit.params["arm"], rel=1e-9)
    assert row.std_error == pytest.approx(fit.bse["arm"], rel=2e-3)
    naive = sm.OLS(y, x).fit().bse["arm"]  # orders as if they were customers
    assert naive < 0.8 * row.std_error


def test_a_ratio_agrees_with_a_bootstrap_of_customers():
    assigned, outcomes = orders_of(2_000, seed=5)
    row = analyse(basket_test(), assigned, outcomes).effects[0]
    treated = (assigned["arm"] == "email").to_numpy()
    spend, orders = outcomes["spend"].to_numpy(), outcomes["orders"].to_numpy()
    rng = np.random.default_rng(1)
    effects = []
    for _ in range(2_000):
        sides = [rng.choice(np.flatnonzero(mask), mask.sum()) for mask in (treated, ~treated)]
        effects.append(np.subtract(*[spend[i].sum() / orders[i].sum() for i in sides]))
    assert row.std_error == pytest.approx(np.std(effects), rel=0.06)


def test_a_ratio_of_drawn_households_is_read_by_household():
    assigned, outcomes = orders_of(2_000, seed=7)
    household = [f"h{i // 2}" for i in range(2_000)]
    arm = assigned["arm"].to_numpy()[np.arange(2_000) // 2 * 2]
    assigned = assigned.assign(cluster=household, arm=arm)
    by_household = analyse(basket_test("cluster: household"), assigned, outcomes).effects[0]
    joined = assigned.merge(outcomes, on="unit").groupby("cluster", as_index=False)
    totals = joined.agg(arm=("arm", "first"), spend=("spend", "sum"), orders=("orders", "sum"))
    totals = totals.rename(columns={"cluster": "unit"})
    plain = analyse(basket_test(), totals[["unit", "arm"]], totals[["unit", "spend", "orders"]])
    assert by_household.effect == pytest.approx(plain.effects[0].effect)
    assert by_household.std_error == pytest.approx(plain.effects[0].std_error)
    assert by_household.method == "by cluster"


def test_a_covariate_of_a_ratio_sharpens_it():
    assigned, outcomes = orders_of(2_000, seed=9)
    customers = outcomes[["unit"]].assign(before=outcomes["spend"] + 1.0)
    row = analyse(basket_test(), assigned, outcomes, customers).effects[0]
    assert row.method == "ratio, adjusted"
    assert row.std_error < 0.9 * row.unadjusted.std_error


def test_a_model_of_a_ratio_is_refused_until_an_outcome_is_named():
    assigned, outcomes = orders_of(2_000, seed=9)
    customers = outcomes[["unit"]].assign(before=outcomes["spend"])
    trial = Trial.join(basket_test(), assigned, outcomes, customers)
    with pytest.raises(DefinitionError, match="spend") as error:
        train(trial, learners=["t"])
    assert error.value.code == "METRIC_KIND"
