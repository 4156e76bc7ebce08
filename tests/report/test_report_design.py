"""Designs, rehearsals and uplift questions draw themselves, with a finding and axis titles."""

from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import uplift as up
from uplift.experiment import experiment_from
from uplift.strict_yaml import parse_yaml

TEXT = """
id: drawn
title: Drawn
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: Everyone}
arms: [{name: control, share: 1/10}, {name: email, share: 9/10}]
metrics:
  primary:
    metric: {name: spend, version: 1, title: S, column: spend, owner: o, unit: EUR, window_days: 7}
    minimum_effect: 0.1
schedule: {starts_at: 2008-04-20T08:00:00, timezone: Europe/Paris, response_days: 7}
analysis: {decision_rule: Scale what is proven.}
money: {currency: EUR, value: spend}
"""


@pytest.fixture(scope="module")
def results():
    plan = experiment_from(parse_yaml(TEXT))
    unsure = experiment_from(parse_yaml(TEXT.replace("    minimum_effect: 0.1\n", "")))
    spend = np.random.default_rng(1).gamma(2, 10, 900)
    history = pd.DataFrame({"unit": [f"u{i}" for i in range(900)], "spend": spend})
    return {
        "design": up.design(plan, history),
        "design without a sought effect": up.design(unsure, history),
        "rehearsal": up.simulate_plan(plan, history, n_replays=20, n_jobs=1),
        "targeting": up.uplift_power(plan, history, n_simulations=5, multiples=(1, 2)),
    }


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("design", "customers are needed; 900 are planned"),
        ("design without a sought effect", "A holdout of 10.0 % shows effects from"),
        ("rehearsal", "The plan errs as often as it says"),
        ("targeting", "What the test can prove about targeting"),
    ],
)
def test_each_draws_itself_with_a_finding(results, name, finding):
    text = results[name].plot().svg()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert finding in text
    assert "nan" not in text.lower()
