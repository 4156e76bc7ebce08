"""An experiment to assign, with parts of its definition replaced."""

from uplift.experiment import experiment_from
from uplift.strict_yaml import parse_yaml

TEXT = """
id: {id}
title: Spring
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
{more}
audience: {{description: Recent, where: [{{column: recency, at_most: 100}}]}}
arms:
{arms}
metrics:
  primary:
    metric:
      {{name: spend, version: 1, title: S, column: spend, unit: EUR, window_days: 7, owner: crm}}
    expected_mean: 20
    expected_std_dev: 20
    minimum_effect: 0.1
  no_guardrails_because: A test of draws.
schedule:
  starts_at: 2017-07-03T08:00:00
  timezone: Europe/Paris
  response_days: 7
  {waves}
assignment: {{{plan}}}
analysis: {{decision_rule: Scale what is proven., looks_days: [7]}}
money: {{currency: EUR, value: spend, margin_rate: 0.3}}
"""
WAVES = """waves:
    - {name: wave_1, starts_at: 2017-07-03T08:00:00}
    - {name: wave_2, starts_at: 2017-08-03T08:00:00}
    - {name: wave_3, starts_at: 2017-09-03T08:00:00, draw: redrawn}"""


def define(plan="", *, shares=None, id="spring", cluster=None, waves=""):
    """shares  by arm; a third is the control's when not given."""
    shares = shares or {"control": "1/3", "voucher": "2/3"}
    arms = "\n".join(
        f"  - {{name: {arm}, share: {share}, unit_cost: 0.1, channel: email}}"
        for arm, share in shares.items()
    )
    more = f"cluster: {cluster}" if cluster else ""
    return experiment_from(
        parse_yaml(TEXT.format(id=id, arms=arms, plan=plan, more=more, waves=waves))
    )
