"""Charts of the long term: every one says its finding and draws what the result holds."""

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import uplift as up
from uplift.adding_up.add_up import add_up
from uplift.adding_up.campaigns import SentCampaign
from uplift.adding_up.held_out_spans import equal_weights
from uplift.adding_up.spans import Span
from uplift.experiment import experiment_from
from uplift.registry.past import ArmEffect, PastEffect, PastEffects
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
  - {name: control, share: 0.5}
  - {name: first_letter, share: 0.5, unit_cost: 0.4}
metrics:
  primary:
    metric: {name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 28,
             owner: crm}
  no_guardrails_because: A test of charts.
schedule: {starts_at: 2017-07-03T08:00:00, timezone: UTC, response_days: 28}
analysis: {reread_days: [28, 84], decision_rule: Scale what is proven.}
money: {currency: EUR, value: spend, margin_rate: 0.5}
"""
EXPERIMENT = experiment_from(parse_yaml(PLAN))
LAUNCH = datetime(2017, 7, 3, 8, tzinfo=UTC)
N = 400


def at(day):
    return LAUNCH + timedelta(days=day)


@pytest.fixture(scope="module")
def assigned():
    unit = [f"c{i}" for i in range(N)]
    return pd.DataFrame({"unit": unit, "arm": np.resize(["control", "first_letter"], N)})


@pytest.fixture(scope="module")
def purchases(assigned):
    """Every week one purchase: more in the first four weeks, less in the eight after."""
    rng = np.random.default_rng(1)
    gain = np.where(np.arange(12) < 4, 5.0, -4.0)
    spend = rng.gamma(4, 5, (N, 12)) + np.outer(assigned["arm"] != "control", gain)
    return pd.DataFrame(
        {
            "unit": np.repeat(assigned["unit"].to_numpy(), 12),
            "occurred_at": np.tile([at(7 * w + 3) for w in range(12)], N),
            "spend": spend.ravel(),
        }
    )


def drawn(result):
    text = result.plot().svg()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "nan" not in text.lower()
    return text


def test_a_win_that_was_brought_forward_is_the_title(assigned, purchases):
    report = up.reread(EXPERIMENT, assigned, purchases, as_of=at(84))
    text = drawn(report)
    assert "Brought forward by first letter" in text
    assert "profit (EUR)" in text
    first = up.reread(EXPERIMENT, assigned, purchases, as_of=at(30))
    assert "What 28 days have brought" in drawn(first)


def test_a_ratio_has_a_panel_of_profit_only(assigned, purchases):
    plan = PLAN.replace(
        "column: spend, unit", "column: spend, kind: ratio, denominator: visits, unit"
    )
    plan = experiment_from(parse_yaml(plan))
    text = drawn(up.reread(plan, assigned, purchases, as_of=at(84)))
    assert "profit (EUR)" in text
    assert "spend@1 (" not in text


def test_what_moved_is_the_title(assigned, purchases):
    report = up.market_shock(EXPERIMENT, assigned, purchases, since=at(28), as_of=at(84))
    assert "The campaign moved" in drawn(report)


def test_what_is_expected_is_called_expected(assigned):
    rng = np.random.default_rng(2)
    visits = rng.gamma(2, 2, 300)
    history = pd.DataFrame({"unit": [f"h{i}" for i in range(300)], "visits": visits})
    history["year"] = 3 * visits + rng.normal(size=300)
    index = up.surrogate_index(history, surrogates=["visits"], outcome="year")
    assert "explain" in drawn(index)
    outcomes = assigned[["unit"]].assign(visits=rng.gamma(2, 2, N))
    text = drawn(index.effect(EXPERIMENT, assigned, outcomes))
    assert "not measured" in text
    assert "not tried on any test yet" in text


def test_past_experiments_are_drawn_as_read_and_as_worth():
    day = datetime(2017, 1, 1, tzinfo=UTC).date()
    rows = tuple(
        PastEffect(f"test_{i}", f"Test {i}", "ab_test", day, "stop", 0.02 * i, 0.04, 1, 500)
        for i in range(5)
    )
    past = PastEffects("spend@1", "up", rows, {"torn": "no verdict"})
    assert "5 experiments were read" in drawn(past)
    text = drawn(up.pool(past))
    assert "5 experiments: +4.0 % on average" in text
    assert "what it is worth" in text


@pytest.mark.parametrize(
    ("effect", "title"),
    [(-10.0, "bring"), (0.2, "add up to the programme"), (20.0, "take from each other")],
)
def test_the_programme_is_drawn_beside_its_campaigns(assigned, effect, title):
    arms = assigned.assign(cluster=assigned["unit"])
    spans = (Span(LAUNCH, at(28), (equal_weights(arms),)),)
    rng = np.random.default_rng(3)
    table = assigned[["unit"]].assign(occurred_at=at(3), spend=rng.gamma(4, 5, N))
    sends = {"letter": pd.Series(1, index=assigned.loc[assigned["arm"] != "control", "unit"])}
    campaigns = [
        SentCampaign(
            f"month_{i}", at(i), sends, (ArmEffect("letter", effect, 0.5, (0, 1), 90, 90),)
        )
        for i in range(2)
    ]
    report = add_up(EXPERIMENT, spans, table, campaigns)
    assert title in drawn(report)
    assert "interaction residual" in report.plot().svg()
