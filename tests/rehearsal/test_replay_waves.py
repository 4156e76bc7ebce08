"""Several waves are replayed as they are sent: drawn wave by wave, read as `analyse` reads them.

The oracle walks the public road: `assign_from` once per wave with the assignments before it, and
`analyse` on the tables that a user has at the day of each look.
"""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from tests.rehearsal.oracle import unlike
from uplift.analysis.analyse import analyse
from uplift.analysis.waves import is_redrawn
from uplift.assignment.assign import assign_from
from uplift.assignment.order import Lists
from uplift.experiment import experiment_from
from uplift.looks import look_days
from uplift.rehearsal.planting import Effect, plant
from uplift.rehearsal.replay import replay
from uplift.rehearsal.script import arms_of, replayed, script_of
from uplift.rehearsal.stage import stage_of
from uplift.strict_yaml import parse_yaml

TEXT = """
id: sent_again
title: Sent again
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
      window_days: 14, covariate: spend_28d_before}}
    minimum_effect: 0.1
  secondary: [{second}]
  guardrails: [{guard}]
schedule:
  starts_at: {start}
  timezone: Europe/Paris
  response_days: 28
  waves: [{waves}]
analysis: {{decision_rule: Scale what is proven., {analysis}}}
money: {{currency: EUR, value: spend, margin_rate: 0.5, redemption: redeemed}}
"""
START = "2008-03-20T08:00:00"  # clocks go forward on the 30th
ONE = "[{name: control, share: 1/4}, {name: email, share: 3/4, unit_cost: 0, redemption_cost: 1}]"
THREE = (
    "[{name: control, share: 1/2}, {name: email, share: 1/4, unit_cost: 0.1, redemption_cost: 1}, "
    "{name: letter, share: 1/4, unit_cost: 1}]"
)
A = f"{{name: a, starts_at: {START}}}"
B = "{name: b, starts_at: 2008-04-17T08:00:00, response_days: 21}"
C = "{name: c, starts_at: 2008-05-08T08:00:00, response_days: 14}"
ANEW = ", draw: redrawn}"
STICKY, STICKY_3 = f"{A}, {B}", f"{A}, {B}, {C}"
REDRAWN, REDRAWN_3 = f"{A}, {B[:-1]}{ANEW}", f"{A[:-1]}{ANEW}, {B[:-1]}{ANEW}, {C[:-1]}{ANEW}"
MIXED = f"{A}, {B}, {C[:-1]}{ANEW}"
VISIT = (
    "{metric: {name: visit, version: 1, title: V, column: visit, kind: proportion, owner: o, "
    "unit: share, window_days: 14}}"
)
MANY = (
    "{metric: {name: orders_90, version: 1, title: O, column: orders, kind: quantile, "
    "quantile: 0.9, owner: o, unit: orders, window_days: 14}}"
)
GONE = (
    "{metric: {name: left, version: 1, title: L, column: left, kind: proportion, direction: down, "
    "owner: o, unit: share, window_days: 14}, margin: 0.03}"
)
STRATA = "assignment: {method: stratified, strata: [city]}"
OUTCOMES = ("spend", "visit", "orders", "redeemed", "left")
LOOKS = (14, 28, 40)

PLANS = {
    "sticky": {"waves": STICKY, "second": VISIT, "guard": GONE},
    "sticky, in strata": {"waves": STICKY_3, "more": STRATA, "second": MANY},
    "sticky, rerandomised": {
        "waves": STICKY,
        "more": "assignment: {method: rerandomised, balance: [age], acceptance: 0.2}",
    },
    "sticky households": {
        "waves": STICKY_3,
        "more": "cluster: household\nassignment: {method: matched, balance: [age]}",
        "guard": GONE,
    },
    "sticky, looks": {"waves": STICKY_3, "analysis": "looks_days: [14, 28, 40]", "second": VISIT},
    "redrawn": {"waves": REDRAWN, "second": f"{VISIT}, {MANY}", "guard": GONE},
    "redrawn, in strata": {"waves": REDRAWN_3, "more": STRATA, "analysis": "segments: [city]"},
    "redrawn, several arms": {
        "waves": REDRAWN_3,
        "arms": THREE,
        "kind": "kind: ratio, denominator: orders,",
        "second": VISIT,
    },
    "redrawn households": {"waves": REDRAWN_3, "more": "cluster: household", "second": VISIT},
    "redrawn, looks": {"waves": REDRAWN_3, "analysis": "looks_days: [14, 28, 40]", "guard": GONE},
    "redrawn, looks at any time": {
        "waves": REDRAWN,
        "analysis": "looks_days: [14, 28, 40], monitoring: always_valid",
    },
    "sticky first, then redrawn": {"waves": MIXED, "more": STRATA, "second": VISIT},
    "in autumn": {  # clocks go back between the waves
        "start": "2008-10-02T08:00:00",
        "waves": "{name: a, starts_at: 2008-10-02T08:00:00}, "
        "{name: b, starts_at: 2008-10-30T08:00:00, draw: redrawn}, "
        "{name: c, starts_at: 2008-11-20T08:00:00, draw: redrawn}",
        "analysis": "looks_days: [14, 28, 40]",
    },
}


def plan_of(**given: str):
    parts = dict.fromkeys(("kind", "analysis", "second", "guard", "more"), "")
    whole = parts | {"arms": ONE, "start": START, "waves": STICKY} | given
    return experiment_from(parse_yaml(TEXT.format(**whole)))


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    """800 customers in households that spend alike; some come in late, some pause."""
    return history_of(800, seed=4)


def history_of(n: int, *, seed: int, waves=("a", "b", "c")) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    household = np.repeat(np.arange(n // 4), 4)
    usual = rng.lognormal(3, 0.3, n) * rng.lognormal(0, 0.5, n // 4)[household]
    units = [f"u{i:05d}" for i in rng.permutation(n)]
    city = rng.choice(["Lyon", "Nice", None], n // 4)[household]
    tables = []
    for place, wave in enumerate(waves):
        table = pd.DataFrame({"unit": units, "wave": wave, "city": city})
        table["household"] = [f"h{i}" for i in household]
        table["baskets"] = rng.integers(0, 6, n)
        table["age"] = rng.normal(50, 10, n) + usual / 10
        table["spend_28d_before"] = usual * rng.uniform(5, 10, n)
        days = rng.gamma(0.3, 1, (28, n)) * usual * (rng.random(n) < 0.6)
        starts = (0, 28, 49)[place]
        for look in (*LOOKS, None):
            seen = 28 if look is None else max(min(look - starts, 28), 0)
            suffix = "" if look is None else f"_by_day_{look}"
            table[f"spend{suffix}"] = days[:seen].sum(axis=0)
            table[f"visit{suffix}"] = (table[f"spend{suffix}"] > 40).astype(int)
            table[f"left{suffix}"] = (days[:seen, ::-1].sum(axis=0) < 12).astype(int)
            table[f"orders{suffix}"] = rng.integers(1, 5, n)
            table[f"redeemed{suffix}"] = rng.integers(0, 2, n)
        late = rng.random(n) < (0.2 if place == 0 else 0.0)
        tables.append(table[~late])
    known = tables[0]["unit"]
    return pd.concat([tables[0], *(t[t["unit"].isin(known) | (t["age"] > 45)] for t in tables[1:])])


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """Customers who, once they have a row, have one in every later wave."""
    place = table["wave"].map({name: i for i, name in enumerate(sorted(table["wave"].unique()))})
    first, n = place.groupby(table["unit"]).transform("min"), place.groupby(table["unit"])
    return table[n.transform("size") == table["wave"].nunique() - first]


def assigned_by_wave(plan, table: pd.DataFrame) -> pd.DataFrame:
    """Every wave assigned in turn, as the public function does it."""
    made: list[pd.DataFrame] = []
    for window in plan.schedule.windows:
        lists = Lists(earlier=pd.concat(made) if made else None)
        customers = table[table["wave"] == window.wave]
        got = assign_from(plan, customers, lists, wave=window.wave).table
        made.append(got.assign(wave=window.wave))
    whole = pd.concat(made, ignore_index=True)
    return whole if is_redrawn(plan) else whole.drop_duplicates("unit", ignore_index=True)


def by_then(plan, table: pd.DataFrame, whole: pd.DataFrame, day: int) -> pd.DataFrame:
    """Outcomes of every assigned row that are in by a day; what is not sent has none."""
    moment = plan.schedule.launch_at + timedelta(days=day)
    final = day == look_days(plan)[-1]
    parts = []
    for window in plan.schedule.windows:
        rows = table[table["wave"] == window.wave].set_index("unit")
        if final or window.closes_at <= moment:
            names = list(OUTCOMES)
        elif window.opens_at < moment:
            names = [f"{name}_by_day_{day}" for name in OUTCOMES]
        else:
            continue
        values = rows[names].set_axis(OUTCOMES, axis=1)
        parts.append(values.assign(wave=window.wave).reset_index())
    seen = pd.concat(parts, ignore_index=True)
    if is_redrawn(plan):
        return whole[["unit", "wave"]].merge(seen, on=["unit", "wave"])
    order = {window.wave: i for i, window in enumerate(plan.schedule.windows)}
    came = seen["unit"].map(dict(zip(whole["unit"], whole["wave"].map(order), strict=True)))
    seen = seen[seen["wave"].map(order) >= came]
    whole_windows = seen.groupby("unit")[list(OUTCOMES)].sum()
    for name in ("visit", "left"):
        whole_windows[name] = whole_windows[name].clip(upper=1)
    return whole_windows.reset_index()


def reports(plan, table: pd.DataFrame, script, number: int, effect: Effect | None):
    """The analyses of one replay by the public functions, one per look."""
    lots = replayed(plan, seed=script.seed, number=number)
    whole = assigned_by_wave(lots, table)
    key = ["unit", "wave"] if is_redrawn(plan) else ["unit"]
    first = whole.drop_duplicates("unit")[["unit", "wave"]]
    measured = [c for c in table if c.startswith(OUTCOMES) and not c.endswith("before")]
    customers = first.merge(table, on=["unit", "wave"]).drop(columns=["wave", *measured])
    change = None
    if effect is not None:  # the only part that the package must say: who is moved
        arm, rng = arms_of(script, number), np.random.default_rng([script.seed, number])
        final = script.shown[-1].outcomes
        change = plant(effect, plan, final, arm != 0, rng, wave=script.stage.wave)
    looks = []
    for day in look_days(plan):
        final = day == look_days(plan)[-1]
        closes = plan.schedule.closes_at
        moment = closes if final else plan.schedule.launch_at + timedelta(days=day)
        sent = [w.wave for w in plan.schedule.windows if w.opens_at < moment]
        outcomes = by_then(plan, table, whole, day)
        if change is not None:
            rows = whole[key].merge(outcomes, on=key, how="left").fillna(0.0)
            outcomes = pd.concat([rows[key], change.of(rows[list(OUTCOMES)])], axis=1)
        mine = whole[whole["wave"].isin(sent)]
        outcomes = outcomes.merge(mine[key], on=key)
        report = analyse(lots, mine, outcomes, customers, as_of=moment, earlier=looks)
        looks += [] if report.look is None else [report.look]
        yield report


def script_for(name: str, table: pd.DataFrame):
    plan = plan_of(**PLANS[name])
    return plan, script_of(plan, stage_of(plan, table), seed=3)


@pytest.mark.parametrize("name", PLANS)
def test_every_row_of_a_replay_of_waves_is_that_of_assigning_and_analysing(name, history):
    n_waves = len(plan_of(**PLANS[name]).schedule.windows)
    table = complete(history[history["wave"].isin(["a", "b", "c"][:n_waves])])
    plan, script = script_for(name, table)
    for number, effect in (
        (0, None),
        (1, Effect(0.5, "baskets" if "sticky" in name else "buyers")),
    ):
        found = list(reports(plan, table, script, number, effect))
        assert not unlike(plan, script, number, found, effect)
        told = replay(script, number, effect)
        tested = [[row for row in report.effects if row.tested] for report in found]
        family = np.any([[row.proven for row in rows] for rows in tested], axis=0)
        assert told.family.tolist() == family.tolist()
        assert told.action == found[-1].decision.action


@pytest.mark.parametrize("name", PLANS)
def test_every_wave_gets_the_arms_that_assigning_it_gives(name, history):
    n_waves = len(plan_of(**PLANS[name]).schedule.windows)
    table = complete(history[history["wave"].isin(["a", "b", "c"][:n_waves])])
    plan, script = script_for(name, table)
    whole = assigned_by_wave(replayed(plan, seed=3, number=0), table)
    names = np.array(plan.arm_names)[arms_of(script, 0)]
    order = {window.wave: i for i, window in enumerate(plan.schedule.windows)}
    mine = zip(script.stage.outcomes["unit"], script.stage.wave, names, strict=True)
    theirs = zip(whole["unit"], whole["wave"].map(order), whole["arm"], strict=True)
    assert sorted(mine) == sorted(theirs)
