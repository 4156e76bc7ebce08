"""Suppression lists that cannot be trusted stop whoever asks; no rows are an empty result."""

import csv
import io

import pandas as pd
import pytest

import uplift as up
from tests.bad_inputs.commands import done
from tests.bad_inputs.inputs import SUPPRESSION, good_inputs, no_rows, options
from tests.bad_inputs.judge import (
    ACCEPT,
    REFUSE,
    WARN,
    Case,
    judge_command,
    judge_function,
    rows_by_command,
    rows_by_function,
)
from tests.bad_inputs.steps import EXPORTED_AT, folder_of
from uplift.eligibility import eligible_units

HEAD = "# generated_at: {made}\n"
QUICK = ("export", "eligible")
ASKED = ("export", "export --delta", "eligible", "do-not-contact")
UNITS = good_inputs().customers["unit"].head(60).tolist()


def listed(units):
    return options(suppression=f"{HEAD}unit\n" + "".join(f"{unit}\n" for unit in units))


CASES = (
    *(
        Case("B83", given, options(suppression=text), REFUSE, "SUPPRESSION_STALE", steps, says)
        for given, text, steps, says in (
            ("an empty file", "", ASKED, "the list is empty"),
            ("a header without rows", f"{HEAD}unit\n", (*ASKED, "assign --suppressed"), "is empty"),
            (
                "a list of the year before",
                "# generated_at: 2016-07-03T05:00:00Z\nunit\nnobody\n",
                QUICK,
                "more than 24 hours ago",
            ),
            (
                "a list from the future",
                "# generated_at: 2099-07-03T05:00:00Z\nunit\nnobody\n",
                QUICK,
                "in the future",
            ),
            (
                "an unknown header",
                f"{HEAD}customer_id\nnobody\n",
                (*ASKED, "assign --suppressed"),
                "unknown header",
            ),
            ("no time of its making", "unit\nnobody\n", QUICK, "does not say when it was made"),
            ("a list cut short", f"{HEAD[:-1]}, rows: 3\nunit\nnobody\n", QUICK, "promises 3 rows"),
        )
    ),
    Case(
        "B83",
        "no list at all",
        options(suppression=None),
        REFUSE,
        "SUPPRESSION_STALE",
        ("export", "export --delta"),
        says="is missing",
    ),
    *(
        Case(
            "B84",
            f"ids of the list that differ {how}",
            listed(units),
            REFUSE,
            "SUPPRESSION_NO_MATCH",
            ("export", "export --delta", "assign --suppressed"),
            says="not one id of the list",
        )
        for how, units in (
            ("in case", [unit.upper() for unit in UNITS]),
            ("in form", [unit.replace("c", "c-") for unit in UNITS]),
            ("by a hash", [f"{number:064x}" for number in range(60)]),
        )
    ),
    Case("B85", "no customers to assign", no_rows, WARN, "EMPTY", ("assign",), "Nobody was"),
    Case(
        "B85",
        "an empty frame to assign",
        options(customers=pd.DataFrame({"unit": []})),
        WARN,
        "EMPTY",
    ),
    Case("B85", "nobody to export", no_rows, WARN, "EXPORT_EMPTY", ("export",), "header only"),
    Case("B85", "nobody to ask about", no_rows, ACCEPT, steps=("eligible", "do-not-contact")),
)


@pytest.mark.parametrize(("case", "step"), rows_by_function(CASES))
def test_a_function_answers_a_bad_list_with_its_code(case, step, project_for):
    judge_function(case, step, project_for)


@pytest.mark.parametrize(("case", "step"), rows_by_command(CASES))
def test_a_command_answers_a_bad_list_with_its_code(case, step, project_for):
    judge_command(case, step, project_for)


# What the table cannot say in a code.


def test_an_empty_assignment_has_the_columns_and_types_of_a_full_one():
    inputs = good_inputs()
    empty = up.assign(inputs.experiment, inputs.customers.head(0))
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == inputs.assigned.dtypes.to_dict()


def test_an_empty_list_is_a_file_with_the_header_of_a_full_one(project_for):
    headers = []
    for change in (no_rows, options()):
        inputs, project = good_inputs(), project_for("sealed")
        change(inputs)
        file = project / "customers.csv"
        content = inputs.customers
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            content.to_csv(file, index=False)
        done("assign", "voucher", file, "--root", project)
        made = f"{EXPORTED_AT:%Y-%m-%dT%H:%M:%SZ}"
        (project / "s.csv").write_text(SUPPRESSION.format(made=made))
        words = ("--suppression", project / "s.csv", "--as-of", made, "--root", project)
        done("export", "voucher", *words)
        text = (folder_of(project) / "export" / "send" / "email" / "email.csv").read_text()
        rows = list(csv.reader(io.StringIO(text)))
        headers.append((rows[0], len(rows) > 1))
        for part in sorted(project.rglob("*"), reverse=True):
            part.unlink() if part.is_file() else part.rmdir()
    assert headers[0][0] == headers[1][0]
    assert [full for _, full in headers] == [False, True]


def test_an_answer_about_nobody_is_an_empty_table(project_for):
    project = project_for("assigned")
    answers = eligible_units([], "voucher", root=project / "experiments", as_of=EXPORTED_AT)
    assert list(answers.columns) == ["unit", "eligible", "arm", "reasons"]
    assert len(answers) == 0
