"""A rehearsal draws and reads as the plan does, passes right plans and fails wrong ones."""

import numpy as np
import pandas as pd
import pytest

from uplift.analysis.effects import effect_rows
from uplift.errors import DataError, DefinitionError
from uplift.experiment import experiment_from
from uplift.looks import look_days
from uplift.rehearsal.planting import usual_path
from uplift.rehearsal.proofs import rule_at
from uplift.rehearsal.script import arms_of, script_of
from uplift.rehearsal.simulate import simulate_plan
from uplift.rehearsal.stage import stage_of
from uplift.sizing.plan import design
from uplift.strict_yaml import parse_yaml

TEXT = """
id: rehearsed
title: Rehearsed
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {{description: Active, where: [{{column: baskets, at_least: 1}}]}}
arms:
  - {{name: control, share: {share}}}
  - {{name: email, share: {rest}, unit_cost: 0, redemption_cost: 1}}
{more}
metrics:
  primary:
    metric: {{name: spend, version: 1, title: S, column: spend, {kind} owner: o, unit: EUR,
      window_days: 28, covariate: spend_28d_before}}
    minimum_effect: 0.1
  {second}
schedule: {{starts_at: 2008-03-20T08:00:00, timezone: Europe/Paris, response_days: 28}}
analysis: {{decision_rule: Scale what is proven., {analysis}}}
money: {{currency: EUR, value: spend, margin_rate: 0.5, redemption: redeemed}}
"""
LOOKS = "looks_days: [5, 10, 15, 20, 28]"


VISIT = (
    "secondary: [{metric: {name: visit, version: 1, title: V, column: visit, kind: proportion, "
    "owner: o, unit: share, window_days: 28}}]"
)


def plan_of(more: str = "", *, share: str = "1/4", rest: str = "3/4", **given: str):
    blank = dict.fromkeys(("kind", "analysis", "second"), "")
    parts = {**blank, **given, "more": more, "share": share, "rest": rest}
    return experiment_from(parse_yaml(TEXT.format(**parts)))


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    """1,200 customers in 300 households that spend alike, with spend growing by the day."""
    rng = np.random.default_rng(4)
    n = 1_200
    household = np.repeat(np.arange(n // 4), 4)
    usual = rng.lognormal(3, 0.3, n) * rng.lognormal(0, 0.5, n // 4)[household]
    days = rng.gamma(0.3, 1, (28, n)) * usual
    table = pd.DataFrame(
        {
            "unit": [f"u{i:04d}" for i in rng.permutation(n)],
            "household": [f"h{i}" for i in household],
            "baskets": rng.integers(0, 6, n),
            "city": rng.choice(["Lyon", "Nice"], n),
            "orders": rng.integers(1, 5, n),
            "spend_28d_before": usual * rng.uniform(5, 10, n),
            "spend": days.sum(axis=0),
        }
    )
    for day in (5, 10, 15, 20):
        table[f"spend_by_day_{day}"] = days[:day].sum(axis=0)
    return table


@pytest.mark.parametrize(
    "analysis",
    [LOOKS, f"{LOOKS}, spending: pocock", f"{LOOKS}, monitoring: always_valid, correction: holm"],
)
def test_quick_p_values_decide_as_the_searched_ones_do_at_every_look(history, analysis):
    plan = plan_of(analysis=analysis, second=VISIT)
    script = script_of(plan, stage_of(plan, history), seed=1)
    for day, fast in zip(look_days(plan), script.rules, strict=True):
        rule = rule_at(plan, day)
        for wanted in (0.95, 2 * 0.95 - 1):
            assert fast.confidence(wanted) == rule.confidence(wanted)
        for p in np.geomspace(1e-7, 0.9, 25):
            quickly, searched = fast.p_value(p, test=""), rule.p_value(p, test="")
            for error in (0.05, 0.025):
                assert (quickly <= error) == (searched <= error)
    assert all(rule.plain for rule in script_of(plan, script.stage, peek=True).rules)


@pytest.mark.slow  # starting two processes takes seconds
def test_the_same_seed_gives_the_same_numbers_on_one_process_and_on_two(history):
    one = simulate_plan(plan_of(), history, n_replays=45, effect=0.2, seed=5, n_jobs=1)
    two = simulate_plan(plan_of(), history, n_replays=45, effect=0.2, seed=5, n_jobs=2)
    other = simulate_plan(plan_of(), history, n_replays=45, effect=0.2, seed=6, n_jobs=1)
    assert one.to_json() == two.to_json() != other.to_json()


def test_five_looks_by_the_plan_err_as_planned_and_naive_peeking_fails_the_same_check(history):
    plan = plan_of(analysis=LOOKS)
    found = simulate_plan(plan, history, n_replays=250, n_jobs=1)
    assert found.looks_days == (5, 10, 15, 20, 28)
    assert found.nominal == pytest.approx(0.05, abs=1e-6)
    assert all(check.passed for check in found.checks if check.code == "PLACEBO")
    peeking = simulate_plan(plan, history, n_replays=250, n_jobs=1, peek=True)
    assert peeking.placebo.any_proven.value > 0.09  # five looks: about 14 %
    failed = {check.name for check in peeking.checks if not check.passed and check.blocking}
    assert {"placebo spend@1 email", "placebo family"} <= failed
    assert peeking.placebo.any_proven.n_replays == 250  # so many leave no doubt
    assert "must not be used" in peeking.words()


def test_households_read_as_individuals_fail_the_check_that_households_pass(history):
    plan = plan_of("cluster: household")
    shared = history.groupby("household")["spend"].transform("mean")
    table = history.assign(spend=0.3 * history["spend"] + 0.7 * shared)
    right = simulate_plan(plan, table, n_replays=250, n_jobs=1)
    assert all(check.passed for check in right.checks if check.code == "PLACEBO")
    individuals = plan.model_copy(update={"cluster": None})
    wrong = simulate_plan(plan, table, n_replays=250, n_jobs=1, read_as=individuals)
    assert wrong.placebo.any_proven.value > 0.12
    assert any(not check.passed and check.code == "PLACEBO" for check in wrong.checks)


@pytest.mark.parametrize("path", ["baskets", "buyers"])
def test_replays_with_a_planted_effect_find_it_as_often_as_the_design_says(history, path):
    """Power by formula against power by replay, within four standard errors of 300 replays."""
    plan = plan_of("cluster: household")
    table = history.assign(spend=np.where(history["baskets"] > 2, history["spend"], 0.0))
    effect = 0.22
    stated = plan.metrics.primary.model_copy(update={"minimum_effect": effect})
    planned = plan.model_copy(
        update={"metrics": plan.metrics.model_copy(update={"primary": stated})}
    )
    answer = design(planned, table).answers[0]
    assert 0.3 < answer.power < 0.95
    found = simulate_plan(plan, table, n_replays=300, effect=effect, path=path, n_jobs=1)
    rate = found.power.tests[0].better.value
    assert rate == pytest.approx(answer.power, abs=4 * np.sqrt(0.25 / 300))


def test_what_history_cannot_show_is_said(history):
    plan = plan_of(analysis=LOOKS)
    table = history.drop(columns=["spend_by_day_5", "spend_by_day_10"])
    found = simulate_plan(plan, table, n_replays=20, n_jobs=1)
    codes = {check.code: check for check in found.checks if not check.passed}
    assert found.looks_days == (15, 20, 28)
    assert found.nominal < 0.05
    assert codes["REHEARSAL_LOOKS"].value == "5, 10"
    assert codes["REHEARSAL_PARTIAL"].value == "redeemed"
    silent = plan_of(second=VISIT)
    shown = simulate_plan(silent, history, n_replays=5, effect=0.2, n_jobs=1)
    assert [test.known for test in shown.placebo.tests] == [True, False]
    assert "visit" not in shown.words()  # history says nothing of it, so nothing is said
    assert "–" in shown.table().text().splitlines()[3]
    before = history.drop(columns=[name for name in history if name.startswith("spend_by")])
    before = before.drop(columns="spend").assign(spend_change_28d=1.0)
    stage = stage_of(plan_of(), before)  # the window before stands for the outcome
    spend, covariate = stage.outcomes["spend"], stage.customers["spend_28d_before"]
    assert (spend - 1 == covariate).all()
    gaps = history.assign(spend=history["spend"].where(history["orders"] > 1))
    assert "REHEARSAL_ROWS" in {check.code for check in stage_of(plan_of(), gaps).checks}


@pytest.mark.parametrize(
    ("changes", "options", "error", "code"),
    [
        ({}, {"n_replays": 0}, DefinitionError, "REPLAYS_INVALID"),
        ({}, {"effect": 0.0}, DefinitionError, "EFFECT_INVALID"),
        ({}, {"effect": 0.1, "path": "luck"}, DefinitionError, "PATH_INVALID"),
        ({"drop": ["spend", "spend_28d_before"]}, {}, DefinitionError, "REHEARSAL_DATA"),
        ({"rows": 20}, {}, DefinitionError, "REHEARSAL_DATA"),
        ({"kind": "kind: proportion,"}, {}, DataError, "OUTCOME_NOT_BINARY"),
    ],
)
def test_a_rehearsal_that_cannot_be_held_is_refused(history, changes, options, error, code):
    table = history.drop(columns=changes.get("drop", [])).head(changes.get("rows", 1_200))
    plan = plan_of(kind=changes.get("kind", ""))
    with pytest.raises(error) as refused:
        simulate_plan(plan, table, **{"n_replays": 2, "n_jobs": 1, **options})
    assert refused.value.code == code


def test_a_rehearsal_shows_itself(history):
    found = simulate_plan(plan_of(), history, n_replays=30, effect=0.5, n_jobs=1)
    assert "false alarms alone" in found.table().text()
    assert "every treated customer spends +50.0%" in found.words()
    assert "wanted 80.0 %" in found.words()  # the plan promises that of effects from 10 % on
    small = simulate_plan(plan_of(), history, n_replays=2, effect=0.05, n_jobs=1)
    assert "wanted" not in small.words()
    assert set(found.metrics()) >= {"placebo_any_proven", "replay_power_spend_v1_email"}


def test_spend_that_most_do_not_have_rises_by_more_buyers_as_the_design_counts(history):
    seldom = history.assign(spend=history["spend"] * (history["baskets"] > 3))
    assert usual_path(plan_of(), seldom) == "buyers"
    assert usual_path(plan_of(), history) == "baskets"
    found = simulate_plan(plan_of(), seldom, n_replays=2, effect=0.1, n_jobs=1)
    assert "buyers among the treated" in found.words()


@pytest.mark.slow
def test_p_values_of_replays_of_the_real_control_are_uniform(root, hillstrom_file):
    """Customers who got nothing, drawn 1,500 times: every metric by a Kolmogorov-Smirnov test."""
    from scipy import stats

    from uplift.datasets import hillstrom
    from uplift.experiment import load_experiment

    real = hillstrom(hillstrom_file)
    plan = load_experiment(root / "experiments" / "hillstrom_email")
    table = real.customers.merge(real.outcomes, on="unit")
    table = table[(real.assigned["arm"] == "control").to_numpy()]
    script = script_of(plan, stage_of(plan, table), seed=11)
    found = [
        [row.p_value for row in effect_rows(plan, script.readings[-1].read(arms_of(script, i)))]
        for i in range(1_500)
    ]
    for p_values in np.transpose(found):
        assert stats.kstest(p_values, "uniform").pvalue > 0.001


@pytest.mark.slow
def test_a_thousand_replays_of_the_real_email_test_err_as_planned(root, hillstrom_file):
    from uplift.datasets import hillstrom
    from uplift.experiment import load_experiment

    real = hillstrom(hillstrom_file)
    plan = load_experiment(root / "experiments" / "hillstrom_email")
    table = real.customers.merge(real.outcomes, on="unit")
    found = simulate_plan(plan, table, n_replays=1_000)
    assert all(check.passed for check in found.checks if check.code == "PLACEBO")
    for test in found.placebo.tests:
        assert test.alone.ci[0] <= 0.06
        assert test.alone.ci[1] >= 0.04
