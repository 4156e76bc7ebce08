"""Rankings, returns and plans: scores, costs and budgets that are none, or that say nothing.

B57 and B59 cannot be met by command: files of a suite are compared with their digests before
anything is ranked, and `uplift train` always leaves units out.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import uplift as up
from tests.bad_inputs.commands import contents, done, run
from tests.bad_inputs.inputs import N_UNITS, defined, good_inputs
from tests.bad_inputs.judge import (
    REFUSE,
    Case,
    judge_command,
    judge_function,
    rows_by_command,
    rows_by_function,
)
from tests.bad_inputs.steps import customers_file, parquet, write_definition
from uplift.errors import UpliftError
from uplift.evaluation.curves import autoc, qini, rank_units
from uplift.evaluation.held_out import evaluate_model

CASES = tuple(
    Case(
        "B60",
        f"a cost of {cost}",
        defined("unit_cost: 0.05", f"unit_cost: {cost}"),
        REFUSE,
        "COST_INVALID",
        ("define", "lint"),
    )
    for cost in ("-0.05", ".nan", ".inf")
)


@pytest.mark.parametrize(("case", "step"), rows_by_function(CASES))
def test_a_function_answers_a_bad_cost_with_its_code(case, step, project_for):
    judge_function(case, step, project_for)


@pytest.mark.parametrize(("case", "step"), rows_by_command(CASES))
def test_a_command_answers_a_bad_cost_with_its_code(case, step, project_for):
    judge_command(case, step, project_for)


# What the table cannot say in a code.


@pytest.fixture(scope="module")
def trained():
    inputs = good_inputs()
    trial = up.Trial.join(inputs.experiment, inputs.assigned, inputs.outcomes, inputs.customers)
    return trial, up.train(trial, ["t"], n_folds=2, seed=0)


def with_effects(suite, name, effects):
    """The suite with other effects of one candidate."""
    candidates = {**suite.candidates, name: replace(suite.candidates[name], effects=effects)}
    return replace(suite, candidates=candidates)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_b57_a_score_that_is_no_number_is_not_ranked(trained, value):
    trial, suite = trained
    effects = suite.candidates["t"].effects.copy()
    effects[3] = value
    bad = with_effects(suite, "t", effects)
    for step in (
        lambda: up.evaluate(bad, trial),
        lambda: up.roi(bad.candidates["t"], trial),
        lambda: rank_units(effects[:, 0]),
    ):
        with pytest.raises(UpliftError, match="first in row 4") as error:
            step()
        assert error.value.code == "SCORE_NOT_FINITE"


def test_b57_scores_put_into_the_file_of_a_suite_are_not_even_read(project_for):
    project = project_for("trained")
    file = project / "experiments" / "voucher" / "suite" / "units.parquet"
    frame = pd.read_parquet(file)
    frame.loc[3, frame.select_dtypes("float").columns] = np.nan
    frame.to_parquet(file)
    before = contents(project)
    code, _, err = run("evaluate", "voucher", "--root", project)
    assert (code, err.split(":")[0]) == (2, "FILE_CHECKSUM")
    assert contents(project) == before


def test_b58_a_ranking_without_differences_scores_exactly_zero(trained):
    trial, suite = trained
    flat = with_effects(suite, "t", np.full_like(suite.candidates["t"].effects, 0.1))
    quality = up.evaluate(flat, trial)
    row = quality.ranking("t", "email")
    assert (row.qini, row.autoc, row.verdict) == (0, 0, "no ranking")
    for shown in (str(quality), quality.to_json()):
        assert "SCORE_TIED" in shown
    ranking = rank_units(np.full(7, 0.3))
    scores = np.random.default_rng(0).normal(size=7)
    assert (qini(scores, ranking), autoc(scores, ranking)) == (0, 0)


def test_b59_a_model_is_not_judged_on_the_units_it_learned_from(trained):
    trial, suite = trained
    one_fold = replace(suite, fold=np.zeros_like(suite.fold))
    for step in (
        lambda: up.evaluate(one_fold, trial),
        lambda: evaluate_model(suite.best.model, trial, trained_on=trial.units[:1]),
    ):
        with pytest.raises(UpliftError, match=r"learned from") as error:
            step()
        assert error.value.code == "EVAL_OVERLAP"


@pytest.mark.parametrize("cost", [-0.01, np.nan, np.inf])
def test_b60_a_cost_that_is_no_cost_is_refused(trained, cost):
    trial, suite = trained
    with pytest.raises(UpliftError) as error:
        up.Economics(currency="EUR", value_outcome="spend", contact_cost={"email": cost})
    assert error.value.code == "COST_INVALID"
    table = up.roi(suite.candidates["t"], trial).to_pandas().copy()
    table.loc[2, "cost"] = cost
    policy = up.ContactPolicy.for_experiment(good_inputs().experiment)
    with pytest.raises(UpliftError, match="Row 3, arm 'email'") as error:
        up.plan_contacts(table, policy)
    assert error.value.code == "COST_INVALID"


def test_b61_contacts_that_cost_nothing_go_to_everyone_they_are_worth(trained):
    trial, suite = trained
    free = up.Economics(currency="EUR", value_outcome="spend", margin_rate=0.3)
    found = up.roi(suite.candidates["t"], trial, free)
    policy = up.ContactPolicy.for_experiment(good_inputs().experiment, budget=10)
    plan = up.plan_contacts(found, policy)
    assert plan.n_contacts == (found.customers["profit"] > 0).sum()
    for shown in (str(found), found.to_json(), str(plan), plan.to_json()):
        assert "COST_ZERO" in shown
    assert "not used" in str(plan)


def test_b58_and_b61_the_commands_show_that_nothing_ranks_and_nothing_costs(project_for):
    inputs, project = good_inputs(), project_for("draft")
    defined("unit_cost: 0.05", "unit_cost: 0")(inputs)
    inputs.customers = inputs.customers[["unit"]].assign(age=[30] * (N_UNITS - 1) + [31])
    write_definition(inputs, project)
    root, outcomes = ("--root", project), parquet(inputs.outcomes, project / "outcomes.parquet")
    done("design", "voucher", "--n-units", 1_000, *root)
    done("seal", "voucher", *root)
    done("assign", "voucher", customers_file(inputs, project), *root)
    done("ingest", "voucher", outcomes, *root)
    done("train", "voucher", "--learners", "t", *root)
    assert "SCORE_TIED" in done("evaluate", "voucher", *root)
    assert "COST_ZERO" in done("roi", "voucher", *root)
    (project / "experiments" / "voucher" / "contact_policy.yaml").write_text("budget: 10\n")
    assert "COST_ZERO" in done("plan", "voucher", *root)


@pytest.mark.parametrize("budget", [0, 0.01])
def test_b62_a_budget_below_the_cheapest_contact_plans_none(trained, budget):
    trial, suite = trained
    worth = up.roi(suite.candidates["t"], trial).to_pandas().assign(profit=1.0)
    policy = up.ContactPolicy.for_experiment(good_inputs().experiment, budget=budget)
    plan = up.plan_contacts(worth, policy)
    assert plan.n_contacts == 0
    assert plan.reasons == {"budget is empty": N_UNITS}
    for shown in (str(plan), plan.to_json()):
        assert "BUDGET_EMPTY" in shown


@pytest.mark.parametrize("budget", ["0", "0.01"])
def test_b62_the_command_writes_the_empty_list_with_its_header(project_for, budget):
    project = project_for("trained")
    folder = project / "experiments" / "voucher"
    (folder / "contact_policy.yaml").write_text(f"title: Nothing\nbudget: {budget}\n")
    out = done("plan", "voucher", "--root", project)
    written = pd.read_parquet(folder / "plan.parquet")
    assert len(written) == 0
    assert {"unit", "action", "reason"} <= set(written.columns)
    assert "BUDGET_EMPTY" in out


@pytest.mark.parametrize("budget", ["-1", ".nan"])
def test_b62_a_budget_that_is_none_is_refused_by_the_command(project_for, budget):
    project = project_for("trained")
    file = project / "experiments" / "voucher" / "contact_policy.yaml"
    file.write_text(f"title: Nothing\nbudget: {budget}\n")
    before = contents(project)
    code, _, err = run("plan", "voucher", "--root", project)
    assert (code, err.split(":")[0]) == (2, "BUDGET_INVALID")
    assert contents(project) == before
