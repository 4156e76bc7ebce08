"""Looks cost what simulated paths say, and Holm's steps along them keep the family's error."""

from typing import get_args

import numpy as np
import pytest
from scipy import stats

from uplift.analysis.looks import LookRule
from uplift.analysis_plan import Correction
from uplift.experiment import experiment_from
from uplift.inference.multiplicity import adjust, holm
from uplift.inference.planned_looks import PlannedLooks, family_at_looks
from uplift.looks import days_without_information, look_days, planned_looks
from uplift.sizing.plan import design
from uplift.strict_yaml import parse_yaml

TEXT = """
id: looked_at
title: Looks
kind: {kind}
owner: crm
objective: profit
hypothesis: It pays.
audience: {{description: Everyone}}
arms:
  - {{name: control, share: 1/2}}
  - {{name: email, share: 1/2, unit_cost: 0}}
metrics:
  primary:
    metric: {{name: spend, version: 1, title: S, column: spend, owner: o, unit: EUR,
      window_days: 20}}
    minimum_effect: 0.1
    expected_mean: 10
    expected_std_dev: 20
schedule: {{starts_at: 2008-04-20T08:00:00, timezone: Europe/Paris, response_days: 20{schedule}}}
analysis: {{decision_rule: Scale what is proven., {analysis}}}
money: {{currency: EUR, value: spend}}
"""
FIVE = "looks_days: [4, 8, 12, 16, 20]"


def plan_of(analysis: str = "looks_days: [20]", *, kind="campaign_holdout", schedule=""):
    return experiment_from(parse_yaml(TEXT.format(analysis=analysis, kind=kind, schedule=schedule)))


def paths(fractions, drift: float, n_paths: int, seed: int):
    """z at each look of Brownian motion with this drift. Returns (n_paths, n_looks)."""
    t = np.asarray(fractions)
    steps = np.diff(t, prepend=0)
    rng = np.random.default_rng(seed)
    moves = rng.normal(size=(n_paths, len(t))) * np.sqrt(steps) + drift * steps
    return np.cumsum(moves, axis=1) / np.sqrt(t)


def test_five_equal_looks_have_the_published_bounds_and_say_which_effect_each_would_show():
    answer = design(plan_of(FIVE), n_units=10_000).answers[0]
    bounds = [look.z for look in answer.looks]
    assert bounds == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=6e-4)
    assert [look.fraction for look in answer.looks] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    error = 20 * np.sqrt(4 / 10_000)
    shown = [z * error / np.sqrt(k / 5) for k, z in enumerate(bounds, 1)]
    assert [look.effect_shown for look in answer.looks] == pytest.approx(shown)
    assert "4.877" in design(plan_of(FIVE), n_units=10_000).looks_table().text()


@pytest.mark.parametrize(
    "analysis",
    [FIVE, f"{FIVE}, spending: pocock", f"{FIVE}, monitoring: always_valid"],
)
def test_units_needed_with_looks_give_the_wanted_power_to_simulated_paths(analysis):
    """Within four standard errors of 20,000 paths; the end alone, at the same size, has less."""
    plan = plan_of(analysis)
    needed = design(plan, n_units=10_000).answers[0].n_needed
    answer = design(plan, n_units=needed).answers[0]
    assert answer.power == pytest.approx(0.8, abs=1e-3)
    drift = 1.0 / (20 * np.sqrt(4 / needed))
    z = paths([0.2, 0.4, 0.6, 0.8, 1], drift, 20_000, seed=2)
    crossed = np.abs(z) > [look.z for look in answer.looks]
    tolerance = 4 * np.sqrt(0.16 / 20_000)
    assert crossed.any(axis=1).mean() == pytest.approx(0.8, abs=tolerance)
    by_look = [crossed[:, : k + 1].any(axis=1).mean() for k in range(5)]
    assert [look.stops_by for look in answer.looks] == pytest.approx(by_look, abs=tolerance)
    for k in (2, 4):  # an effect as large as stated is proven by then with the wanted power
        drift = answer.looks[k].effect_needed / (20 * np.sqrt(4 / needed))
        z = paths([0.2, 0.4, 0.6, 0.8, 1], drift, 20_000, seed=3)
        crossed = (np.abs(z) > [look.z for look in answer.looks])[:, : k + 1].any(axis=1)
        assert crossed.mean() == pytest.approx(0.8, abs=tolerance)


def test_looking_costs_customers_and_always_costs_most():
    once, few, often = (
        design(plan_of(text), n_units=10_000).answers[0]
        for text in ("looks_days: [20]", FIVE, f"{FIVE}, monitoring: always_valid")
    )
    assert once.inflation == 1
    assert 1 < few.inflation < 1.1 < often.inflation
    assert once.n_needed < few.n_needed < often.n_needed
    fixed = design(plan_of(f"{FIVE}, monitoring: fixed"), n_units=10_000).answers[0]
    assert (fixed.n_needed, len(fixed.looks)) == (once.n_needed, 1)


def test_a_campaign_always_ends_with_the_look_after_its_last_window():
    plan = plan_of("looks_days: [5, 10, 25]")
    assert look_days(plan) == (5, 10, 20)
    assert days_without_information(plan) == (25,)
    assert "LOOK_WITHOUT_DATA" in {c.code for c in design(plan, n_units=10_000).checks}
    waves = (
        ", waves: [{name: one, starts_at: 2008-04-20T08:00:00}, "
        "{name: two, starts_at: 2008-05-10T08:00:00}]"
    )
    plan = plan_of("looks_days: [20, 30]", schedule=waves)
    assert look_days(plan) == (20, 30, 40)
    assert planned_looks(plan).fractions == pytest.approx((0.5, 0.75, 1.0))


def test_a_trigger_is_read_by_the_customers_who_have_been_watched():
    plan = plan_of("looks_days: [10, 60]", kind="trigger", schedule=", ends_at: 2008-07-29")
    assert look_days(plan) == (60, 120)  # on day 10 nobody has been watched for 20 days
    assert planned_looks(plan).fractions[0] == pytest.approx(0.4, abs=0.01)


def test_one_look_is_the_correction_itself():
    rng = np.random.default_rng(5)
    for _ in range(50):
        p = rng.beta(0.3, 1, 4)
        p[rng.integers(4)] = np.nan
        for method in get_args(Correction):
            ours = np.array(family_at_looks([p], PlannedLooks(), alpha=0.05, method=method)) == 0
            np.testing.assert_array_equal(ours, adjust(p, method=method) <= 0.05)


@pytest.mark.parametrize("monitoring", ["group_sequential", "always_valid"])
def test_looks_prove_what_the_analysis_proves_at_each_of_them(monitoring):
    """The reading's own rule, look after look: its p-values adjusted, the smallest so far kept."""
    t = (0.3, 0.6, 1.0)
    z = np.stack([paths(t, 2.5, 25, seed=s) for s in (1, 2, 3)], axis=2)
    p_values = 2 * stats.norm.sf(np.abs(z))
    looks = PlannedLooks(t, monitoring, "obrien_fleming", 0.05)
    proven = 0
    for family, method in zip(p_values, 5 * list(get_args(Correction)), strict=True):
        ours = family_at_looks(list(family), looks, alpha=0.05, method=method)
        before: dict[tuple[str, bool], float] = {}
        theirs = [-1] * 3
        for k, p in enumerate(family):
            rule = LookRule(
                "look", t[: k + 1], monitoring, information=t[k], alpha=0.05, before=before
            )
            before = {(str(i), True): rule.p_value(float(p[i]), test=str(i)) for i in range(3)}
            for i in np.flatnonzero(adjust(list(before.values()), method=method) <= 0.05):
                theirs[i] = k if theirs[i] < 0 else theirs[i]
        assert ours == theirs
        proven += max(ours) >= 0
    assert proven > 5


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
def test_several_tests_along_looks_err_together_as_planned_and_holm_at_every_look_does_not(
    spending,
):
    """Three independent tests, no effect: 5 % within four standard errors of 4,000 families."""
    t = (0.25, 0.5, 0.75, 1.0)
    looks = PlannedLooks(t, "group_sequential", spending)
    z = np.stack([paths(t, 0.0, 4_000, seed=s) for s in (1, 2, 3)], axis=2)
    p = 2 * stats.norm.sf(np.abs(z))
    ours = [max(family_at_looks(list(family), looks, alpha=0.05)) >= 0 for family in p]
    tolerance = 4 * np.sqrt(0.05 * 0.95 / 4_000)
    assert np.mean(ours) == pytest.approx(0.05, abs=tolerance)
    peeking = [any((holm(at) <= 0.05).any() for at in family) for family in p]
    assert np.mean(peeking) > 0.05 + 2 * tolerance
