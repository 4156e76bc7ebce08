"""Symmetries of the whole analysis, from tables to verdicts, on 200 random campaigns each.

Every law stands beside a way to analyse that breaks it (`BROKEN`), which the same check must catch.
Laws of single estimates are in `test_effect_laws`, of counting in `test_counting_laws`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

import uplift as up
from uplift.analysis import columns, read, readings
from uplift.analysis.report import AnalysisReport
from uplift.experiment import Experiment, experiment_from
from uplift.inference.means import welch
from uplift.strict_yaml import parse_yaml

DEFINITION = """
id: mailing
title: Mailing
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: Everyone}
arms:
  - {name: control, share: 0.5}
  - {name: ARM, share: 0.5, unit_cost: 0.0}
metrics:
  primary:
    metric: {name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 28,
             owner: crm, covariate: before}
  secondary:
    - metric: {name: buyer, version: 1, title: Buyers, column: bought, kind: proportion,
               unit: share, window_days: 28, owner: crm}
schedule: {starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 28}
analysis: {decision_rule: Scale what is proven.}
money: {currency: EUR, value: spend, margin_rate: 0.3}
"""
PLANS = {
    arm: experiment_from(parse_yaml(DEFINITION.replace("ARM", arm))) for arm in ("mail", "letter")
}
TURNED = {"better": "worse", "worse": "better"}


@dataclass(frozen=True)
class Tables:
    """Assignment, outcomes and customers of a mailing, and the definition they are read by."""

    assigned: pd.DataFrame
    outcomes: pd.DataFrame
    customers: pd.DataFrame
    plan: Experiment = PLANS["mail"]

    @classmethod
    def random(cls, seed: int) -> "Tables":
        rng = np.random.default_rng(seed)
        n = 2 * int(rng.integers(40, 150))
        unit = [f"c{i}" for i in range(n)]
        arm = np.resize(["control", "mail"], n)
        before = rng.gamma(4, 2, n)
        gain = rng.choice([0.0, 1.0, 3.0])
        spend = rng.uniform(0.2, 2) * before + rng.normal(20, 3, n) + gain * (arm == "mail")
        bought = (rng.random(n) < rng.uniform(0.02, 0.6)).astype(int)
        bought[:4] = [0, 0, 1, 1]  # both answers in both arms
        return cls(
            pd.DataFrame({"unit": unit, "arm": arm}),
            pd.DataFrame({"unit": unit, "spend": spend, "bought": bought}),
            pd.DataFrame({"unit": unit, "before": before}),
        )

    def spending(self, change: Callable[[pd.Series], pd.Series]) -> "Tables":
        return replace(self, outcomes=self.outcomes.assign(spend=change(self.outcomes["spend"])))

    def each(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> "Tables":
        frames = map(change, (self.assigned, self.outcomes, self.customers))
        return Tables(*frames, self.plan)

    def analysed(self) -> AnalysisReport:
        frames = (self.assigned, self.outcomes, self.customers)
        return up.analyse(self.plan, *frames, as_of="2018-01-01")


# --- the laws ------------------------------------------------------------------------------------


def renamed(tables: Tables) -> Tables:
    order = np.random.default_rng(len(tables.assigned)).permutation(tables.assigned["unit"])
    names = {unit: f"k{i:05d}" for i, unit in enumerate(order)}
    return tables.each(lambda frame: frame.assign(unit=frame["unit"].map(names)))


def shuffled(tables: Tables) -> Tables:
    seeds = iter(range(3))
    return tables.each(lambda frame: frame.sample(frac=1, random_state=next(seeds)))


def with_more(tables: Tables) -> Tables:
    rng = np.random.default_rng(1)
    return tables.each(lambda frame: frame.assign(unused=rng.normal(size=len(frame))))


def twice(tables: Tables) -> Tables:
    return tables.each(lambda f: pd.concat([f, f.assign(unit=f["unit"] + "b")], ignore_index=True))


def swapped(tables: Tables) -> Tables:
    other = {"control": "mail", "mail": "control"}
    return replace(tables, assigned=tables.assigned.assign(arm=tables.assigned["arm"].map(other)))


def in_another_unit(tables: Tables) -> Tables:
    before = 1e3 * tables.customers["before"] + 273.15
    return replace(tables, customers=tables.customers.assign(before=before))


def arm_renamed(tables: Tables) -> Tables:
    arm = tables.assigned["arm"].replace("mail", "letter")
    return replace(tables, assigned=tables.assigned.assign(arm=arm), plan=PLANS["letter"])


@dataclass(frozen=True)
class Law:
    """A change of the tables, and what it makes of the effects on spend and on buyers."""

    change: Callable[[Tables], Tables]
    spend: float = 1.0
    buyer: float = 1.0
    doubled: bool = False


LAWS = {
    "shift": Law(lambda tables: tables.spending(lambda y: y + 500.0)),
    "scale": Law(lambda tables: tables.spending(lambda y: 100.0 * y), spend=100.0),
    "negate": Law(lambda tables: tables.spending(lambda y: -y), spend=-1.0),
    "swap arms": Law(swapped, spend=-1.0, buyer=-1.0),
    "permute": Law(shuffled),
    "duplicate": Law(twice, doubled=True),
    "unit of a covariate": Law(in_another_unit),
    "rename ids": Law(renamed),
    "unused column": Law(with_more),
    "rename an arm": Law(arm_renamed),
}


def check(law: Law, tables: Tables, base: AnalysisReport) -> None:
    """The changed tables give the same report, up to the law's factors and to rounding."""
    found = law.change(tables).analysed()
    for one, other in zip(found.effects, base.effects, strict=True):
        factor = law.spend if one.metric == "spend@1" else law.buyer
        size = abs(factor) * (abs(other.effect) + other.std_error)
        assert one.effect == pytest.approx(factor * other.effect, abs=1e-9 * size)
        if law.doubled:
            n = other.estimate.n_control
            errors = [row.unadjusted.std_error for row in (one, other)]
            assert errors[0] == pytest.approx(errors[1] * np.sqrt((n - 1) / (2 * n - 1)), rel=1e-9)
            continue
        verdict = TURNED.get(other.verdict, other.verdict) if factor < 0 else other.verdict
        assert (one.verdict, one.method) == (verdict, other.method)
        ends = sorted(factor * end for end in other.ci)
        assert one.ci == pytest.approx(ends, abs=1e-8 * size)
        assert one.p_value == pytest.approx(other.p_value, rel=1e-6, abs=1e-12)
        assert one.p_adjusted == pytest.approx(other.p_adjusted, rel=1e-6, abs=1e-12)
    profit, before = (report.money.rows[0].profit for report in (found, base))
    tolerance = 1e-9 * abs(law.spend) * before.std_error
    assert profit.effect == pytest.approx(law.spend * before.effect, rel=1e-9, abs=tolerance)


def all_laws(seed: int) -> None:
    tables = Tables.random(seed)
    base = tables.analysed()
    for law in LAWS.values():
        check(law, tables, base)


@pytest.mark.parametrize("seed", range(3))
def test_a_report_obeys_every_law(seed):
    all_laws(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(8))
def test_so_do_200_random_campaigns(block):
    for seed in range(3 + 25 * block, 28 + 25 * block):
        all_laws(seed)


# --- what breaks them ----------------------------------------------------------------------------

estimate_of = readings.Readings.estimate
join_outcomes = read.join_outcomes


def estimating(change):
    """An analysis whose every estimate is changed by `change(readings, reading, arm, found)`."""

    def estimate(self, reading, treatment, **options):
        found = estimate_of(self, reading, treatment, **options)
        return change(self, reading, treatment, found)

    return readings.Readings, "estimate", estimate


def one_sided(self, reading, arm, found):
    p = found.p_value / 2
    return replace(found, p_value=p if found.effect > 0 else 1 - p)


def error_of_the_control(self, reading, arm, found):
    control = self.moments["control"]
    error = np.sqrt(2 * control.variance(reading) / control.count)
    return replace(found, ci=(found.effect - 2 * error, found.effect + 2 * error))


def joined_with(change):
    """An analysis that reads other rows than it should."""

    def join(*args, **options):
        joined, notices = join_outcomes(*args, **options)
        return change(joined).reset_index(drop=True), notices

    return read, "join_outcomes", join


def adjusted_with_slope_one(t, c, *, column, covariates, **options):
    plain = welch(t, c, column=column)
    before = t.mean_of(covariates[0]) - c.mean_of(covariates[0])
    return replace(plain, effect=plain.effect - before)


def by_position(units, customers):
    return customers.drop(columns="unit").reset_index(drop=True)


BROKEN = {
    "shift": estimating(lambda self, y, arm, found: replace(found, effect=found.relative_effect)),
    "scale": estimating(lambda self, y, arm, found: replace(found, effect=round(found.effect, 2))),
    "negate": estimating(one_sided),
    "swap arms": estimating(error_of_the_control),
    "permute": (read, "features_of", by_position),
    "duplicate": joined_with(lambda rows: rows.drop_duplicates(["arm", "spend", "bought"])),
    "unit of a covariate": (readings, "lin", adjusted_with_slope_one),
    "rename ids": joined_with(lambda rows: rows.sort_values("unit").iloc[:-5]),
    "unused column": (columns, "planned_covariates", lambda plan, metric, table: tuple(table)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_analysis_that_breaks_the_law_is_caught(name, monkeypatch):
    tables = Tables.random(3)
    monkeypatch.setattr(*BROKEN[name])
    base = tables.analysed()
    with pytest.raises(AssertionError):
        check(LAWS[name], tables, base)
