"""Arms: labels, sizes, shares, and customers who were contacted without one."""

import pandas as pd
import pytest

from tests.bad_inputs.inputs import (
    column,
    defined,
    log_of_contacts,
    of_customers,
    only,
    options,
    unbalanced,
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

READ = ("ingest", "analyse")  # both meet assignment and outcomes
MET = (*READ, "adopt")  # these meet the assignment
CONTROL, EMAIL = "{name: control, share: 0.5}", "{name: email, share: 0.5"
DEFINED = ("define", "lint")
BY_CONTACTS = ("contacts", "analyse with contacts")
STRANGER = pd.DataFrame({"unit": ["stranger-1", "stranger-2", "stranger-1"]})


def older(inputs):
    return inputs.customers["age"] + 20 * (inputs.assigned["arm"] == "email")


def shares(control, email="0.5"):
    return defined(CONTROL, CONTROL.replace("0.5", control), EMAIL, EMAIL.replace("0.5", email))


def contacted(*, campaign="voucher"):
    """Strangers in the log of contacts."""
    times = {"sent_at": "2017-07-04T09:00Z", "campaign": campaign}
    return options(contacts=STRANGER.assign(**times))


CASES = (
    Case(
        "B26",
        "only one arm present",
        only("email", 0),
        REFUSE,
        "ARM_MISSING",
        READ,
        says="'email' has no unit with an outcome, though 50.0%",
    ),
    Case(
        "B26",
        "only one arm in an assignment drawn elsewhere",
        only("email", 0),
        REFUSE,
        "ARM_MISSING",
        ("adopt",),
        says="'email', which should have 50.0%",
    ),
    Case("B27", "one unit in an arm", only("email", 1), REFUSE, "ARM_TOO_SMALL", MET),
    Case("B27", "29 units in an arm", only("email", 29), WARN, "ARM_TOO_SMALL", ("ingest",)),
    Case(
        "B28",
        "units without an arm",
        column("arm", None, table="assigned", rows=3),
        REFUSE,
        "ARM_NULL",
        MET,
        says="3 unit(s) have no arm, first in row 1",
    ),
    *(
        Case(
            "B29",
            f"the arm {label!r}",
            column("arm", label, table="assigned"),
            REFUSE,
            "ARM_UNKNOWN",
            MET,
            says="(control, email). Did you mean 'email'?",
        )
        for label in ("Email ", "e-mail", "EMAIL")
    ),
    Case(
        "B30",
        "10,400 of 20,000 in the control",
        unbalanced,
        WITHHOLD,
        "SRM",
        ("analyse",),
        says="units lost or filtered after the draw",
    ),
    Case(
        "B30",
        "the same, drawn elsewhere",
        unbalanced,
        REFUSE,
        "SRM",
        ("adopt",),
        says="units lost or filtered after the draw",
    ),
    Case("B31", "a sum of 0.99", shares("0.49"), REFUSE, "WEIGHTS_INVALID", DEFINED, says="0.99"),
    Case(
        "B31", "a negative share", shares("-0.5"), REFUSE, "WEIGHTS_INVALID", DEFINED, says="-1/2"
    ),
    Case("B31", "a share of nan", shares(".nan"), REFUSE, "WEIGHTS_INVALID", DEFINED, says="nan"),
    Case("B31", "a share in words", shares("half"), REFUSE, "WEIGHTS_INVALID", DEFINED),
    Case(
        "B31",
        "a sum that rounding would hide",
        shares("0.5000000001"),
        REFUSE,
        "WEIGHTS_INVALID",
        DEFINED,
    ),
    Case("B31", "nothing for anybody", shares("0", "0"), REFUSE, "HOLDOUT_EMPTY", ("define",)),
    Case("B32", "a holdout of 0 %", shares("0", "1"), REFUSE, "HOLDOUT_EMPTY", DEFINED),
    Case(
        "B33",
        "customers in the sent log without an arm",
        options(sent=STRANGER),
        REFUSE,
        "EXPOSED_UNASSIGNED",
        ("adopt",),
        says="2 customer(s)",
    ),
    Case(
        "B33",
        "customers in the log of contacts without an arm",
        contacted(),
        REFUSE,
        "EXPOSED_UNASSIGNED",
        ("contacts", "analyse with contacts"),
        says="3 contact(s)",
    ),
    *(
        Case(
            "B34",
            f"{count} of the control in the log of contacts",
            log_of_contacts(count),
            WARN,
            "CONTAMINATION",
            BY_CONTACTS,
            says=says,
        )
        for count, says in ((1, "1 of 203 in the control"), (5, "Find out how they were reached"))
    ),
    Case("B34", "nobody of the control in it", log_of_contacts(), ACCEPT, steps=BY_CONTACTS),
    Case(
        "B42",
        "arms of other ages",
        of_customers("age", older),
        WITHHOLD,
        "BALANCE",
        ("analyse",),
        says="No verdict: balance failed",
    ),
    Case(
        "B42",
        "the same, drawn elsewhere",
        of_customers("age", older),
        REFUSE,
        "BALANCE",
        ("adopt",),
        says="age",
    ),
    Case(
        "B33",
        "customers whom the first wave contacted without an arm",
        contacted(),
        REFUSE,
        "EXPOSED_UNASSIGNED",
        ("assign --wave",),
        says="2 customer(s)",
    ),
)


@pytest.mark.parametrize(("case", "step"), rows_by_function(CASES))
def test_a_function_answers_a_bad_arm_with_its_code(case, step, project_for):
    judge_function(case, step, project_for)


@pytest.mark.parametrize(("case", "step"), rows_by_command(CASES))
def test_a_command_answers_a_bad_arm_with_its_code(case, step, project_for):
    judge_command(case, step, project_for)
