"""Outcomes: what cannot be a measured number is refused; what makes it doubtful is said."""

import numpy as np
import pandas as pd
import pytest

import uplift as up
from tests.bad_inputs.commands import run
from tests.bad_inputs.inputs import (
    N_UNITS,
    all_of,
    as_text,
    by_arm,
    column,
    defined,
    good_inputs,
    in_segments,
    lost,
    occurred,
    of_customers,
    options,
    rules,
    unbalanced,
    without_rows,
)
from tests.bad_inputs.judge import (
    ACCEPT,
    REFUSE,
    WARN,
    WITHHOLD,
    Case,
    judge_command,
    judge_function,
    rows_by_command,
    rows_by_function,
)
from tests.bad_inputs.steps import STEPS

READ = ("ingest", "analyse")  # both meet assignment and outcomes
BEFORE = "2017-07-03T07:59"  # a minute before the launch


def offset(inputs):
    inputs.outcomes["spend"] = 1e9 + np.random.default_rng(2).normal(0, 1e-3, N_UNITS)


def islands(inputs):
    """A region that lies in the control only, and one that does not."""
    table = inputs.assigned
    few = (table["arm"] == "control") & ((table["arm"] == "control").cumsum() <= 3)
    return np.where(few, "island", "land")


def streets(inputs):
    return [f"street {i % 2_000}" for i in range(len(inputs.customers))]


def thousands(inputs):
    definition = inputs.definition
    vars(inputs).update(vars(good_inputs(8_000)))
    inputs.definition = definition


def dominated(inputs):
    spend = inputs.outcomes["spend"].to_numpy(float).copy()
    spend[0] = 1.5 * spend[1:].sum()  # 60 % of all
    inputs.outcomes["spend"] = spend


CASES = (
    Case("B14", "a missing outcome", column("spend", np.nan), REFUSE, "OUTCOME_MISSING", READ),
    Case(
        "B14",
        "a unit without a row",
        lost("email", 1, missing="refuse"),
        REFUSE,
        "OUTCOME_MISSING",
        READ,
        says="1 assigned unit(s)",
    ),
    *(
        Case("B14", f"the same, {word}", lost("email", 1, missing=word), ACCEPT, steps=READ)
        for word in ("drop", "zero")
    ),
    Case("B15", "an infinite outcome", column("spend", np.inf), REFUSE, "OUTCOME_NOT_FINITE", READ),
    Case(
        "B16",
        "outcomes missing far more often in one arm",
        lost("email", 60),
        WITHHOLD,
        "OUTCOME_ATTRITION",
        ("analyse",),
        says="email 60 of",
    ),
    Case("B16", "outcomes missing alike", lost("email", 2), ACCEPT, steps=READ),
    Case(
        "B17",
        "a constant outcome",
        column("spend", 0.1, rows="all"),
        ACCEPT,
        "NO_VARIATION",
        ("analyse",),
        says="not estimable",
    ),
    Case(
        "B18",
        "an outcome that is a function of the arm",
        by_arm("spend", control=1, email=2),
        REFUSE,
        "OUTCOME_EQUALS_ARM",
        READ,
    ),
    Case("B19", "2 in a proportion", column("bought", 2), REFUSE, "OUTCOME_NOT_BINARY", READ),
    Case("B19", "0.5 in a proportion", column("bought", 0.5), REFUSE, "OUTCOME_NOT_BINARY", READ),
    Case("B20", "'12,50'", as_text("spend", "{},50"), REFUSE, "OUTCOME_NOT_NUMERIC", READ),
    Case("B20", "'€12'", as_text("spend", "€{}"), REFUSE, "OUTCOME_NOT_NUMERIC", READ),
    Case("B21", "values at offset 1e9 with sd 1e-3", offset, ACCEPT, steps=READ),
    *(
        Case(
            "B22",
            "one customer with 60 % of the revenue",
            dominated,
            WARN,
            "OUTCOME_DOMINATED",
            (step,),
            says="60%",
            also=also,
        )
        for step, also in (("ingest", ()), ("analyse", ("SKEWED_INTERVAL",)))
    ),
    Case("B23", "negative revenue", column("spend", -50.0), ACCEPT, steps=READ),
    Case(
        "B24",
        "outcomes from before the assignment",
        occurred("2017-07-05", BEFORE, "2017-07-05", BEFORE),
        REFUSE,
        "OUTCOME_BEFORE_ASSIGNMENT",
        READ,
        says="2 row(s)",
    ),
    Case(
        "B24",
        "the same, left out",
        all_of(occurred(BEFORE, BEFORE), rules(early="drop", missing="zero")),
        WARN,
        "OUTCOME_BEFORE_ASSIGNMENT",
        READ,
        says="OUTCOME_BEFORE_ASSIGNMENT (2)",
    ),
    Case(
        "B25",
        "a window that is still open",
        options(as_of="2017-07-05"),
        WARN,
        "WINDOW_OPEN",
        ("analyse",),
        says="provisional",
    ),
    Case(
        "B65",
        "a segment with one arm only",
        in_segments(of_customers("region", islands)),
        WARN,
        "SEGMENT_NOT_ESTIMABLE",
        ("analyse by segment",),
        says="no number for island",
    ),
    Case(
        "B66",
        "2,000 segments",
        in_segments(all_of(thousands, of_customers("region", streets))),
        WARN,
        "SEGMENTS_MANY",
        ("analyse by segment",),
        says="SEGMENTS_MANY (2000)",
        also=("SEGMENT_NOT_ESTIMABLE",),
    ),
    *(
        Case(
            "B86",
            f"no rows of {table}{', though a missing one is nothing' * zero}",
            all_of(without_rows(table), rules(**({"missing": "zero"} if zero else {}))),
            REFUSE,
            "EMPTY_INPUT",
            READ,
        )
        for table, zero in (("outcomes", False), ("outcomes", True), ("assigned", False))
    ),
    Case(
        "opener",
        "only those who opened",
        options(),
        REFUSE,
        "POST_TREATMENT_FILTER",
        ("analyse among openers",),
        says="chose themselves",
    ),
)


@pytest.mark.parametrize(("case", "step"), rows_by_function(CASES))
def test_a_function_answers_a_bad_outcome_with_its_code(case, step, project_for):
    judge_function(case, step, project_for)


@pytest.mark.parametrize(("case", "step"), rows_by_command(CASES))
def test_a_command_answers_a_bad_outcome_with_its_code(case, step, project_for):
    judge_command(case, step, project_for)


# What the table cannot say in a code.


def test_beside_the_effect_of_one_dominating_customer_stands_the_one_without_its_weight():
    inputs = good_inputs()
    dominated(inputs)
    tables = (inputs.experiment, inputs.assigned, inputs.outcomes)
    row = up.analyse(*tables).effect("spend@1", "email")
    spend = inputs.outcomes["spend"].to_numpy()
    assert row.cap == np.sort(spend)[-2]
    inputs.outcomes["spend"] = np.minimum(spend, row.cap)
    plain = up.analyse(*tables).effect("spend@1", "email")
    assert row.winsorised == plain.estimate
    assert (plain.cap, plain.winsorised) == (None, None)
    assert abs(row.effect) > 5 * abs(plain.effect)


def test_both_effects_are_in_the_report_with_the_cap():
    inputs = good_inputs()
    dominated(inputs)
    report = up.analyse(inputs.experiment, inputs.assigned, inputs.outcomes)
    cap = report.effect("spend@1", "email").cap
    lines = [line for line in str(report).splitlines() if line.startswith("spend@1")]
    assert len(lines) == 2
    assert f"largest unit cut to {cap:.2f}" in lines[1]
    assert any("with the largest unit cut to" in words for words in report.words)


def test_a_capped_metric_is_not_dominated_by_what_its_cap_cuts():
    inputs = good_inputs()
    dominated(inputs)
    defined(
        "window_days: 7,\n             owner: crm}\n    expected",
        "window_days: 7, cap: 30,\n             owner: crm}\n    expected",
    )(inputs)
    report = up.analyse(inputs.experiment, inputs.assigned, inputs.outcomes)
    assert "OUTCOME_DOMINATED" not in str(report)


def test_values_at_an_offset_keep_the_digits_of_the_effect():
    inputs = good_inputs()
    offset(inputs)
    row = up.analyse(inputs.experiment, inputs.assigned, inputs.outcomes).effect("spend@1", "email")
    treated = (inputs.assigned["arm"] == "email").to_numpy()
    away = inputs.outcomes["spend"].to_numpy() - 1e9  # exact, as both are near
    assert row.effect == pytest.approx(away[treated].mean() - away[~treated].mean(), rel=1e-6)


def test_withheld_verdicts_name_no_winner(project_for):
    inputs, project = good_inputs(), project_for("maturing")
    unbalanced(inputs)
    code, out, _ = run(*STEPS["analyse"].words(inputs, project), "--root", project)
    assert code == 1
    assert "No verdict: sample ratio failed." in out
    assert "better" not in out


@pytest.mark.parametrize("how", ["sum", "mean", "first"])
def test_several_rows_of_a_unit_are_read_as_a_data_frame_would_group_them(how):
    inputs, rng = good_inputs(), np.random.default_rng(3)
    orders = inputs.outcomes.iloc[rng.integers(0, N_UNITS, 3 * N_UNITS)].reset_index(drop=True)
    orders = orders.assign(
        spend=rng.normal(20, 9, len(orders)), bought=rng.integers(0, 2, len(orders))
    )
    orders = pd.concat([inputs.outcomes, orders], ignore_index=True).sample(frac=1, random_state=1)
    trial = up.Trial.join(inputs.experiment, inputs.assigned, orders, repeats=how)
    grouped = orders.groupby("unit").agg(
        {"spend": how, "bought": "first" if how == "first" else "max"}
    )
    for name in ("spend", "bought"):
        expected = grouped[name].reindex(trial.units).to_numpy(float)
        np.testing.assert_allclose(trial.outcomes[name], expected, rtol=1e-12)


def test_a_missing_value_in_one_of_several_rows_is_not_taken_for_nothing():
    inputs = good_inputs()
    gap = inputs.outcomes.head(1).assign(spend=np.nan)
    orders = pd.concat([inputs.outcomes, gap], ignore_index=True)
    tables = (inputs.experiment, inputs.assigned, orders)
    with pytest.raises(up.errors.DataError, match="missing for 1 assigned") as error:
        up.Trial.join(*tables, repeats="sum")
    assert error.value.code == "OUTCOME_MISSING"
    zero = up.Trial.join(*tables, repeats="sum", missing="zero")
    assert zero.outcomes["spend"][0] == inputs.outcomes["spend"][0]
    mean = up.Trial.join(*tables, repeats="mean", missing="zero")
    assert mean.outcomes["spend"][0] == inputs.outcomes["spend"][0] / 2
    assert up.Trial.join(*tables, repeats="sum", missing="drop").n_units == N_UNITS - 1


def test_of_several_rows_only_the_early_ones_are_left_out():
    inputs = good_inputs()
    occurred(BEFORE)(inputs)
    late = inputs.outcomes.head(1).assign(occurred_at="2017-07-06T12:00", spend=77.0)
    orders = pd.concat([inputs.outcomes, late], ignore_index=True)
    tables = (inputs.experiment, inputs.assigned, orders)
    trial = up.Trial.join(*tables, repeats="sum", early="drop")
    assert trial.outcomes["spend"][0] == 77.0
    assert {check.code for check in trial.notices} == {"OUTCOME_BEFORE_ASSIGNMENT"}


def test_a_unit_with_one_order_in_the_future_is_held_back_whole():
    inputs = good_inputs()
    occurred("2999-01-01T00:00")(inputs)
    known = inputs.outcomes.head(1).assign(occurred_at="2017-07-06T12:00")
    orders = pd.concat([inputs.outcomes, known], ignore_index=True)
    trial = up.Trial.join(inputs.experiment, inputs.assigned, orders, repeats="sum")
    assert trial.n_units == N_UNITS - 1
    assert {check.code for check in trial.notices} == {"TIME_FUTURE"}
