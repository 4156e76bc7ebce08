"""Discounts of customers who would have bought anyway: bounded by what the experiment counts."""

import numpy as np
import pandas as pd
import pytest

import uplift as up
from uplift.experiment import experiment_from
from uplift.strict_yaml import parse_yaml

PLAN = """
id: voucher
title: Voucher
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: Everyone}
arms:
  - {name: control, share: 0.4}
  - {name: email, share: 0.6, unit_cost: 0.05, redemption_cost: 5.0}
metrics:
  primary:
    metric: {name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 28,
             owner: crm}
  secondary:
    - metric: {name: buyer, version: 1, title: Buyers, column: bought, kind: proportion,
               unit: share, window_days: 28, owner: crm}
  no_guardrails_because: Nothing.
schedule: {starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 28}
analysis: {decision_rule: Scale what is proven.}
money: {currency: EUR, value: spend, margin_rate: 0.3, redemption: redeemed}
"""
VISIT = """
    - metric: {name: visit, version: 1, title: Visits, column: visited, kind: proportion,
               unit: share, window_days: 28, owner: crm}"""


BUYERS_DECIDE = (
    """{name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 28,
             owner: crm}
  secondary:
    - metric: {name: buyer,""",
    "{name: buyer,",
)
TWO = ("  no_guardrails_because", f"  secondary:{VISIT}\n  no_guardrails_because")
FUNNEL = ("Nothing.", "Nothing.\n  funnel: [visit@1, buyer@1, spend@1]")
SPEND = """
    - metric: {name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 28,
               owner: crm}"""


def customers(n=4_000, seed=0, *, anyway=0.4, won=0.1, redeem_anyway=0.3, redeem_won=0.8):
    """Who buys without and with the voucher is known, so the discount given away is too."""
    rng = np.random.default_rng(seed)
    arm = np.where(rng.random(n) < 0.6, "email", "control")
    before = rng.random(n) < anyway
    with_it = before | (rng.random(n) < won / (1 - anyway))
    redeems = with_it & (rng.random(n) < np.where(before, redeem_anyway, redeem_won))
    bought = np.where(arm == "email", with_it, before)
    table = pd.DataFrame(
        {
            "unit": [f"c{i}" for i in range(n)],
            "arm": arm,
            "bought": bought.astype(int),
            "visited": (bought | (rng.random(n) < 0.2)).astype(int),
            "redeemed": (redeems & (arm == "email")).astype(int),
            "spend": bought * rng.gamma(3, 10, n),
        }
    )
    truth = 5.0 * float((redeems & before & (arm == "email")).sum())
    return table, truth


def row_of(table, *changes):
    text = PLAN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    report = up.analyse(
        experiment_from(parse_yaml(text)), table[["unit", "arm"]], table.drop(columns="arm")
    )
    return report.money.row("email")


def test_the_truth_lies_between_the_bounds_and_both_naive_answers_do_not():
    table, truth = customers(n=100_000)
    row = row_of(table)
    found = row.given_away
    assert (found.known, found.buyers) == ("bounds", "spend@1")
    assert found.bounds[0] < truth < found.bounds[1]
    assert found.bounds[1] - found.bounds[0] < 0.6 * -row.redemption_cost
    redeemed_by_the_won = -row.redemption_cost - truth
    assert not found.bounds[0] <= 0 <= found.bounds[1]  # "every voucher won a purchase"
    assert redeemed_by_the_won > 0


def test_when_every_new_buyer_redeems_the_lower_bound_is_the_truth():
    table, truth = customers(n=100_000, redeem_won=1.0)
    n, n_control = 60_000, 40_000
    std_error = 5 * n * np.sqrt(0.5 * 0.5 / n + 0.4 * 0.6 / n_control)  # of the buyers won
    assert row_of(table).given_away.bounds[0] == pytest.approx(truth, abs=4 * std_error)


def test_the_interval_holds_the_truth_even_at_the_edge():
    held = []
    for seed in range(30):
        table, truth = customers(seed=seed, redeem_won=1.0)
        low, high = row_of(table).given_away.ci
        held.append(low <= truth <= high)
    assert np.mean(held) >= 0.95  # wider than it need be, never narrower


def test_the_bounds_by_hand():
    table, _ = customers()
    email, control = (table[table["arm"] == arm] for arm in ("email", "control"))
    r, b, anyway = email["redeemed"].mean(), email["bought"].mean(), control["bought"].mean()
    found = row_of(table).given_away
    assert found.bounds[0] == pytest.approx(5 * len(email) * (r - (b - anyway)), abs=0.01)
    assert found.bounds[1] == pytest.approx(5 * len(email) * min(r, anyway), abs=0.01)


def test_where_spend_does_not_decide_the_planned_metric_of_buyers_gives_the_same_bounds():
    table, _ = customers()
    found = row_of(table, BUYERS_DECIDE).given_away
    assert found.buyers == "buyer@1"
    assert found.bounds == row_of(table).given_away.bounds


def test_without_a_clear_metric_of_buyers_it_is_not_known():
    table, _ = customers()
    found = row_of(table, BUYERS_DECIDE, TWO).given_away
    assert found.known == "no metric of buyers"
    assert np.isnan(found.bounds).all()


def test_the_funnel_says_which_of_two_metrics_counts_buyers():
    table, _ = customers()
    spend = ("  secondary:", f"  secondary:{SPEND}")
    found = row_of(table, BUYERS_DECIDE, TWO, spend, FUNNEL).given_away
    assert found.buyers == "buyer@1"


def test_several_redemptions_of_a_customer_cannot_be_told_apart():
    table, _ = customers()
    table["redeemed"] = 2 * table["redeemed"]
    assert row_of(table).given_away.known == "several each"


def test_where_nothing_is_redeemed_nothing_is_given_away():
    table, _ = customers()
    found = row_of(table, (", redemption: redeemed", "")).given_away
    assert (found.known, found.bounds) == ("nothing redeemed", (0.0, 0.0))


def test_clusters_are_left_open():
    table, _ = customers()
    table["cluster"] = table["unit"]
    text = PLAN.replace("arms:", "cluster: cluster\narms:")
    report = up.analyse(
        experiment_from(parse_yaml(text)),
        table[["unit", "arm", "cluster"]],
        table.drop(columns=["arm", "cluster"]),
    )
    assert report.money.row("email").given_away.known == "clusters"


def test_the_holdout_costs_what_it_would_have_brought():
    table, _ = customers()
    row = row_of(table)
    n = int((table["arm"] == "control").sum())
    assert row.holdout_units == n
    assert row.holdout_profit == pytest.approx(n * row.profit.effect, abs=0.005)
    assert row.holdout_ci == pytest.approx((n * row.ci[0], n * row.ci[1]))
