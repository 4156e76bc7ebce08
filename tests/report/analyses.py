"""Analyses that show everything a page can hold, from customers made for it."""

import numpy as np
import pandas as pd

import uplift as up
from uplift.amendments import Amendment
from uplift.experiment import experiment_from
from uplift.strict_yaml import parse_yaml

SPITEFUL = "<script>alert('x')</script> & \"co\""
PLAN = """
id: welcome
title: TITLE
kind: trigger
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: New customers}
arms:
  - {name: control, share: 0.4}
  - {name: email_2, share: 0.3, channel: email, unit_cost: 0.05, redemption_cost: 2.0}
  - {name: post, share: 0.3, channel: post, unit_cost: 0.9, redemption_cost: 2.0}
metrics:
  primary:
    metric: {name: spend, version: 1, title: Spend of 7 days, column: spend, unit: EUR,
             window_days: 7, owner: crm, covariate: before}
    prior: {mean: 0.02, std_dev: 0.05, source: past}
  secondary:
    - metric: {name: opened, version: 1, title: Opened, column: opened, kind: proportion,
               unit: share, window_days: 7, owner: crm, delivery: true}
    - metric: {name: buyer, version: 1, title: Buyers, column: bought, kind: proportion,
               unit: share, window_days: 7, owner: crm}
  guardrails:
    - metric: {name: optout, version: 1, title: Opt-outs, column: opted_out, kind: proportion,
               unit: share, window_days: 7, owner: care, direction: down}
      margin: 0.03
  funnel: [opened@1, buyer@1, spend@1]
schedule: {starts_at: 2017-07-03T08:00:00, ends_at: 2017-08-02T08:00:00, timezone: Europe/Paris,
           response_days: 7}
analysis: {decision_rule: Scale what is proven., looks_days: [17, 27, 37], segments: [region]}
money: {currency: EUR, value: spend, margin_rate: 0.3, redemption: redeemed}
"""
LAUNCH = pd.Timestamp("2017-07-03T08:00", tz="Europe/Paris")
ARMS = ("control", "email_2", "post")


def experiment():
    """The plan, with a title that would run if it could."""
    one = experiment_from(parse_yaml(PLAN))
    return one.model_copy(update={"title": f"Welcome {SPITEFUL}"})


def frames(*, n=6_000, seed=0, effect=4.0, optout=0.01, leak=0.03):
    """Assignment, outcomes, customers and log of contacts of customers who enter in 30 days."""
    rng = np.random.default_rng(seed)
    unit = [f"u{i:05d}" for i in range(n)]
    arm = rng.choice(ARMS, n, p=[0.4, 0.3, 0.3])
    treated = arm != "control"
    reached = np.where(treated, rng.random(n) < 0.9, rng.random(n) < leak)
    before = rng.gamma(2, 5, n)
    bought = rng.random(n) < 0.5 + 0.05 * reached
    spend = bought * (before + rng.gamma(4, 2.5, n) + effect * reached)
    entered = LAUNCH + pd.to_timedelta(np.sort(rng.uniform(0, 30, n)), unit="D")
    assigned = pd.DataFrame({"unit": unit, "arm": arm, "assigned_at": entered.tz_convert("UTC")})
    outcomes = pd.DataFrame(
        {
            "unit": unit,
            "spend": spend,
            "bought": bought.astype(int),
            "opened": (treated & reached & (rng.random(n) < 0.4)).astype(int),
            "redeemed": (treated & bought & (rng.random(n) < 0.3)).astype(int),
            "opted_out": (rng.random(n) < np.where(treated, optout, 0.005)).astype(int),
        }
    )
    region = rng.choice(["1 north", "2 south", SPITEFUL], n)
    customers = pd.DataFrame({"unit": unit, "before": before, "region": region})
    touched = treated | reached
    status = np.where(reached[touched], "delivered", "bounced")
    contacts = pd.DataFrame({"unit": np.array(unit)[touched], "status": status})
    return assigned, outcomes, customers, contacts


def day(number):
    """A moment so many days after the launch."""
    return (LAUNCH + pd.Timedelta(days=number)).to_pydatetime()


def read(number=37, *, without=(), earlier=None, **options):
    """The analysis on a day after the launch.

    without  tables that are not given: "contacts", "customers"
    """
    assigned, outcomes, customers, contacts = frames(**options)
    return up.analyse(
        experiment(),
        assigned,
        outcomes,
        customers,
        contacts=None if "contacts" in without else contacts,
        as_of=day(number),
        earlier=earlier,
    )


def amended(report):
    """The report with a deviation from its plan."""
    from dataclasses import replace

    change = Amendment(3, f"calls a day late {SPITEFUL}", "ann", "a strike", "2017-07-05T10:00:00")
    return replace(report, amendments=(change,))
