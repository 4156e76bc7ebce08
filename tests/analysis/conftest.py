"""A voucher campaign with known effects, small enough to analyse in a test."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from uplift.analysis.analyse import analyse
from uplift.analysis.report import AnalysisReport
from uplift.experiment import Experiment, experiment_from
from uplift.strict_yaml import parse_yaml

DEFINITION = """
id: voucher
title: Voucher
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: Everyone}
arms:
  - {name: control, share: 0.25}
  - {name: email, share: 0.25, unit_cost: 0.05, redemption_cost: 2.0}
  - {name: post, share: 0.25, unit_cost: 0.9, redemption_cost: 2.0}
  - {name: phone, share: 0.25, unit_cost: 4.0, redemption_cost: 2.0}
metrics:
  primary:
    metric: {name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 28,
             owner: crm, covariate: spend_before}
  secondary:
    - metric: {name: buyer, version: 1, title: Buyers, column: bought, kind: proportion,
               unit: share, window_days: 28, owner: crm}
  guardrails:
    - metric: {name: optout, version: 1, title: Opt-outs, column: opted_out, kind: proportion,
               unit: share, window_days: 28, owner: care, direction: down}
      margin: 0.03
schedule: {starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 28}
analysis: {decision_rule: Scale what is proven.}
money: {currency: EUR, value: spend, margin_rate: 0.3, redemption: redeemed}
"""
ARMS = ["control", "email", "post", "phone"]


@dataclass
class Campaign:
    """Assignment, outcomes and customers; change a frame to make a case."""

    experiment: Experiment
    assigned: pd.DataFrame
    outcomes: pd.DataFrame
    customers: pd.DataFrame
    effects: dict = field(default_factory=dict)

    def analyse(self, **options) -> AnalysisReport:
        return analyse(self.experiment, self.assigned, self.outcomes, self.customers, **options)

    def values(self, arm: str, column: str) -> np.ndarray:
        rows = self.assigned.merge(self.outcomes, on="unit")
        return rows.loc[rows["arm"] == arm, column].to_numpy(float)

    def profit(self, arm: str) -> np.ndarray:
        cost = {a.name: a for a in self.experiment.arms}[arm]
        redeemed = self.values(arm, "redeemed")
        return 0.3 * self.values(arm, "spend") - cost.redemption_cost * redeemed - cost.contact_cost


def make(*, seed=1, n_units=4_000, redeem=0.2, optout=None, changes=(), **effects) -> Campaign:
    """Spend is 10 + 2 * spend_before + noise, plus the effect of the arm (0 when not named)."""
    rng = np.random.default_rng(seed)
    definition = DEFINITION
    for old, new in changes:
        assert old in definition
        definition = definition.replace(old, new)
    arm = rng.permutation(np.resize(ARMS, n_units))
    unit = [f"c{i}" for i in range(n_units)]
    before = rng.gamma(2, 2, n_units)
    gain = np.array([effects.get(name, 0.0) for name in arm])
    leaves = np.array([(optout or {}).get(name, 0.01) for name in arm])
    treated = arm != "control"
    outcomes = pd.DataFrame(
        {
            "unit": unit,
            "spend": 10 + 2 * before + gain + rng.normal(0, 3, n_units),
            "bought": (rng.random(n_units) < 0.5).astype(int),
            "redeemed": ((rng.random(n_units) < redeem) & treated).astype(int),
            "opted_out": (rng.random(n_units) < leaves).astype(int),
        }
    )
    return Campaign(
        experiment_from(parse_yaml(definition)),
        pd.DataFrame({"unit": unit, "arm": arm}),
        outcomes.sample(frac=1, random_state=seed),
        pd.DataFrame({"unit": unit, "spend_before": before}).iloc[::-1],
        effects,
    )


@pytest.fixture(scope="session")
def make_campaign():
    return make
