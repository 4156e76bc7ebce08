"""Customers to score with the champion: the same refusals, and an empty table of none."""

import pandas as pd
import pytest

from tests.bad_inputs.commands import done
from tests.bad_inputs.inputs import (
    good_inputs,
    ids,
    no_rows,
    of_customers,
    repeated,
    turned,
    without,
)
from tests.bad_inputs.judge import (
    ACCEPT,
    REFUSE,
    Case,
    judge_command,
    judge_function,
    rows_by_command,
    rows_by_function,
)
from tests.bad_inputs.steps import folder_of

pytestmark = pytest.mark.slow  # a model is logged and promoted first

SCORE = ("score",)
CASES = (
    Case("B04", "an empty id", ids("customers", ""), REFUSE, "ID_MISSING", SCORE),
    Case(
        "B06",
        "two rows of one customer",
        repeated("customers", age=lambda frame: 99),
        REFUSE,
        "ID_DUPLICATE",
        SCORE,
    ),
    Case("B43", "columns in another order", turned, ACCEPT, steps=SCORE),
    Case(
        "B44",
        "a column that is not there",
        without("age"),
        REFUSE,
        "FEATURE_MISSING",
        SCORE,
        says="age",
    ),
    Case("B45", "one more column", of_customers("more", lambda inputs: 1), ACCEPT, steps=SCORE),
    Case(
        "B46",
        "numbers in words",
        of_customers("age", lambda inputs: "old"),
        REFUSE,
        "FEATURE_DTYPE",
        SCORE,
        says="'age' must hold numbers",
    ),
    Case("B85", "no customers to score", no_rows, ACCEPT, steps=SCORE),
)


@pytest.mark.parametrize(("case", "step"), rows_by_function(CASES))
def test_a_function_answers_bad_customers_to_score_with_its_code(case, step, project_for):
    judge_function(case, step, project_for)


@pytest.mark.parametrize(("case", "step"), rows_by_command(CASES))
def test_a_command_answers_bad_customers_to_score_with_its_code(case, step, project_for):
    judge_command(case, step, project_for)


def test_no_customers_are_scored_into_a_table_with_the_usual_columns(project_for):
    columns = []
    for n_units in (0, 5):
        project = project_for("promoted")
        inputs = good_inputs()
        inputs.customers.head(n_units).to_parquet(project / "next.parquet")
        done("score", "voucher", project / "next.parquet", "--root", project)
        table = pd.read_parquet(folder_of(project) / "scores.parquet")
        assert len(table) == n_units
        columns.append(table.dtypes.to_dict())
    assert columns[0] == columns[1]
