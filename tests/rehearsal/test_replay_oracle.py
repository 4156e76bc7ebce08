"""A replay is the public road, number by number: `assign` and `analyse` are the slow, plain oracle.

The oracle gets the tables that a user gives: the customers, their outcomes at the day of each look,
and the looks taken before. Every field of every effect row, the money and the decision must agree.
"""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from tests.rehearsal.oracle import unlike
from uplift.analysis.analyse import analyse
from uplift.analysis.columns import NO_COVARIATES
from uplift.analysis.effects import GUARDRAIL
from uplift.assignment.assign import assign
from uplift.experiment import experiment_from
from uplift.looks import look_days
from uplift.rehearsal.planting import Effect, plant
from uplift.rehearsal.replay import replay
from uplift.rehearsal.script import arms_of, replayed, script_of
from uplift.rehearsal.stage import stage_of
from uplift.strict_yaml import parse_yaml

TEXT = """
id: rehearsed
title: Rehearsed
kind: ab_test
owner: crm
objective: profit
hypothesis: It pays.
audience: {{description: Active, where: [{{column: baskets, at_least: 1}}]}}
arms: {arms}
{more}
metrics:
  primary:
    metric: {{name: spend, version: 1, title: S, column: spend, {kind} owner: o, unit: EUR,
      window_days: 28, covariate: spend_28d_before}}
    minimum_effect: 0.1
  secondary: [{second}]
  guardrails: [{guard}]
schedule: {{starts_at: 2008-03-20T08:00:00, timezone: Europe/Paris, response_days: 28}}
analysis: {{decision_rule: Scale what is proven., {analysis}}}
money: {{currency: EUR, value: spend, margin_rate: 0.5, redemption: redeemed}}
"""
ONE = "[{name: control, share: 1/4}, {name: email, share: 3/4, unit_cost: 0, redemption_cost: 1}]"
SMALL = "[{name: control, share: 1/20}, {name: email, share: 19/20, unit_cost: 0.01}]"
THREE = (
    "[{name: control, share: 1/2}, {name: email, share: 1/4, unit_cost: 0.1, redemption_cost: 1}, "
    "{name: letter, share: 1/8, unit_cost: 1}, {name: phone, share: 1/8, unit_cost: 2}]"
)
VISIT = (
    "{metric: {name: visit, version: 1, title: V, column: visit, kind: proportion, owner: o, "
    "unit: share, window_days: 28}}"
)
MANY = (
    "{metric: {name: orders_90, version: 1, title: O, column: orders, kind: quantile, "
    "quantile: 0.9, owner: o, unit: orders, window_days: 28}}"
)
GONE = (
    "{metric: {name: left, version: 1, title: L, column: left, kind: proportion, direction: down, "
    "owner: o, unit: share, window_days: 28}, margin: 0.03}"
)
LOOKS = "looks_days: [7, 14, 28]"
STRATA = "assignment: {method: stratified, strata: [city]}"
OUTCOMES = ("spend", "visit", "orders", "redeemed", "left")

PLANS = {
    "plain": {},
    "exact shares": {"more": "assignment: {method: stratified}"},
    "strata": {"more": STRATA, "second": VISIT},
    "matched": {"more": "assignment: {method: matched, balance: [age]}"},
    "rerandomised": {"more": "assignment: {method: rerandomised, balance: [age], acceptance: 0.2}"},
    "covariates": {"analysis": "covariates: [age], strata: [city], segments: [city]"},
    "households": {"more": "cluster: household", "analysis": "covariates: [age]"},
    "households in strata": {"more": f"cluster: household\n{STRATA}", "guard": GONE},
    "ratio": {"kind": "kind: ratio, denominator: orders,"},
    "ratio of households": {
        "more": "cluster: household",
        "kind": "kind: ratio, denominator: orders,",
    },
    "cap": {"kind": "cap: 150,", "second": VISIT},
    "skewed, small control": {"arms": SMALL, "second": f"{MANY}, {VISIT}", "guard": GONE},
    "several arms": {"arms": THREE, "second": f"{VISIT}, {MANY}", "guard": GONE},
    "several arms, step-up": {
        "arms": THREE,
        "second": VISIT,
        "analysis": "correction: benjamini_hochberg",
    },
    "looks": {"analysis": LOOKS, "second": VISIT, "guard": GONE},
    "looks of several arms": {
        "arms": THREE,
        "second": VISIT,
        "guard": GONE,
        "analysis": f"{LOOKS}, spending: pocock, correction: hochberg",
    },
    "looks at any time": {
        "arms": THREE,
        "analysis": f"{LOOKS}, monitoring: always_valid, correction: bonferroni",
    },
    "looks of households in strata": {"more": f"cluster: household\n{STRATA}", "analysis": LOOKS},
}
METHODS = {
    "plain": {"Lin"},
    "exact shares": {"post-stratified"},
    "strata": {"post-stratified"},
    "households": {"by cluster, adjusted"},
    "households in strata": {"by cluster"},
    "ratio": {"ratio, adjusted"},
    "skewed, small control": {"skewness corrected", "quantile", "score"},
}


def plan_of(*, text: str = TEXT, **given: str):
    parts = dict.fromkeys(("kind", "analysis", "second", "guard", "more"), "")
    return experiment_from(parse_yaml(text.format(**(parts | {"arms": ONE} | given))))


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """1,600 customers in households that spend alike; spend grows by the day."""
    rng = np.random.default_rng(4)
    n = 1_600
    household = np.repeat(np.arange(n // 4), 4)
    usual = rng.lognormal(3, 0.3, n) * rng.lognormal(0, 0.5, n // 4)[household]
    days = rng.gamma(0.3, 1, (28, n)) * usual
    table = pd.DataFrame(
        {
            "unit": [f"u{i:04d}" for i in rng.permutation(n)],
            "household": [f"h{i}" for i in household],
            "baskets": rng.integers(0, 6, n),
            "city": rng.choice(["Lyon", "Nice", None], n)[household],
            "age": np.where(rng.random(n) < 0.1, np.nan, rng.normal(50, 10, n) + usual / 10),
            "spend_28d_before": usual * rng.uniform(5, 10, n),
            "orders": rng.integers(1, 5, n),
            "redeemed": rng.integers(0, 2, n),
        }
    )
    for day in (7, 14, 28):
        suffix = "" if day == 28 else f"_by_day_{day}"
        table[f"spend{suffix}"] = days[:day].sum(axis=0)
        table[f"visit{suffix}"] = (table[f"spend{suffix}"] > 40).astype(int)
        table[f"left{suffix}"] = (days[:day, ::-1].sum(axis=0) < 12).astype(int)
        table[f"orders{suffix}"] = table["orders"]
        table[f"redeemed{suffix}"] = table["redeemed"]
    seldom = rng.random(n) < 0.04
    return {"usual": table, "skewed": table.assign(spend=table["spend"] * seldom)}


def table_for(name: str, tables) -> pd.DataFrame:
    return tables["skewed" if "skewed" in name else "usual"]


def reports(plan, table: pd.DataFrame, script, number: int, effect: Effect | None):
    """The analyses of one replay by the public functions, one per look."""
    lots = replayed(plan, seed=script.seed, number=number)
    assigned = assign(lots, table)
    customers = table[[c for c in table if not c.startswith(OUTCOMES) or c.endswith("before")]]
    change = None
    if effect is not None:  # the only part that the package must say: who is moved
        arm, rng = arms_of(script, number), np.random.default_rng([script.seed, number])
        change = plant(effect, plan, script.readings[-1].outcomes, arm != 0, rng)
    looks = []
    for day in look_days(plan):
        suffix = "" if day == look_days(plan)[-1] else f"_by_day_{day}"
        named = table[["unit", *(f"{name}{suffix}" for name in OUTCOMES)]]
        outcomes = named.set_axis(["unit", *OUTCOMES], axis=1)
        if change is not None:
            drawn = outcomes[outcomes["unit"].isin(assigned["unit"])].sort_values("unit")
            planted = change.of(drawn[list(OUTCOMES)])
            outcomes = planted.assign(unit=drawn["unit"].to_numpy())
        moment = plan.schedule.launch_at + timedelta(days=day)
        report = analyse(lots, assigned, outcomes, customers, as_of=moment, earlier=looks)
        looks.append(report.look)
        yield report


@pytest.mark.parametrize("name", PLANS)
def test_every_row_of_a_replay_is_that_of_assigning_and_analysing(name, tables):
    plan, table = plan_of(**PLANS[name]), table_for(name, tables)
    script = script_of(plan, stage_of(plan, table), seed=3)
    methods: set[str] = set()
    for number, effect in ((0, None), (1, Effect(0.5, "baskets"))):
        found = list(reports(plan, table, script, number, effect))
        assert not unlike(plan, script, number, found, effect)
        told = replay(script, number, effect)
        tested = [[row for row in report.effects if row.tested] for report in found]
        family = np.any([[row.proven for row in rows] for rows in tested], axis=0)
        alone = np.any([[row.p_value <= 0.05 for row in rows] for rows in tested], axis=0)
        guards = [row.proven for row in found[-1].effects if row.role == GUARDRAIL]
        assert told.family.tolist() == family.tolist()
        assert told.alone.tolist() == alone.tolist()
        assert told.holds.tolist() == guards
        assert told.action == found[-1].decision.action
        methods |= {row.method for row in found[-1].effects}
    assert METHODS.get(name, methods) <= methods


def test_units_that_are_drawn_get_the_arm_that_assigning_gives(tables):
    for name in ("strata", "matched", "rerandomised", "households in strata"):
        plan, table = plan_of(**PLANS[name]), tables["usual"]
        script = script_of(plan, stage_of(plan, table), seed=3)
        assigned = assign(replayed(plan, seed=3, number=0), table)
        names = np.array(plan.arm_names)[arms_of(script, 0)]
        assert dict(zip(script.stage.outcomes["unit"], names, strict=True)) == dict(
            zip(assigned["unit"], assigned["arm"], strict=True)
        )


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("plain", {"adjusting": NO_COVARIATES}),
        ("strata", {"groups": {}}),
        ("households", {"cluster": None}),
        ("skewed, small control", {"thirds": {}}),
        ("looks", {"rule": "once"}),
    ],
)
def test_a_replay_that_forgets_a_part_of_the_reading_is_found_out(name, wrong, tables, monkeypatch):
    plan, table = plan_of(**PLANS[name]), table_for(name, tables)
    script = script_of(plan, stage_of(plan, table), seed=3)
    found = list(reports(plan, table, script, 0, None))
    assert not unlike(plan, script, 0, found)
    if "rule" in wrong:
        script = script_of(plan, script.stage, seed=3, peek=True)
    elif "thirds" in wrong:
        monkeypatch.setattr(type(script.readings[-1]), "_thirds", lambda *_: {})
    elif "cluster" in wrong:
        individuals = plan.model_copy(update={"cluster": None})
        script = script_of(plan, script.stage, seed=3, read_as=individuals)
    else:
        script = replace(script, readings=tuple(replace(p, **wrong) for p in script.readings))
    assert unlike(plan, script, 0, found)
