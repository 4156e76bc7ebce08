"""Assignments that were drawn elsewhere: taken over only when they can be trusted as our own.

A split that is not the designed one, arms that differ before the send, or contacts of customers
who were never assigned mean that something outside the draw decided who is in which arm.
"""

from typing import Any

import numpy as np
import pandas as pd

from uplift.assignment.report import AssignmentReport
from uplift.checks import blocked_by
from uplift.errors import MAX_ROWS_SHOWN, DataError
from uplift.experiment import CONTROL
from uplift.frames import UNIT, read_frame, rows_by_id


def require_trustworthy(report: AssignmentReport) -> None:
    """Refuse an assignment that fails a check which would withhold every later verdict.

    Errors: ARM_MISSING, ARM_TOO_SMALL, SRM (shares other than designed), BALANCE (covariates
    differ).
    """
    for arm in report.arms:
        if arm.n_units == 0:
            raise DataError(
                f"{report.experiment}: nobody is in the arm {arm.arm!r}, which should have "
                f"{arm.designed_share:.1%} of {report.n_units:,} units. Give the whole assignment.",
                code="ARM_MISSING",
                column="arm",
            )
        if arm.n_units == 1:
            raise DataError(
                f"{report.experiment}: one unit is in the arm {arm.arm!r}; at least 2 are needed "
                "for the error of a mean. Give the whole assignment.",
                code="ARM_TOO_SMALL",
                column="arm",
                count=1,
            )
    for check in blocked_by(report.checks):
        raise DataError(
            f"{report.experiment}: the assignment is not taken over. {check.remedy}",
            code=check.code,
            count=report.n_units,
        )


def require_sent_as_assigned(assigned: pd.DataFrame, sent: Any, *, given: Any = None) -> None:
    """Refuse an assignment that does not account for who was contacted.

    sent   one row per contact, with `unit`
    given  the assignment before units were left out of it; contacts of those are no matter
    Errors: EXPOSED_UNASSIGNED (contacted without an assignment), CONTROL_EXPOSED.
    """
    table = read_frame(sent, what="sent log")
    row = rows_by_id(table[UNIT], among=assigned[UNIT])
    known = assigned if given is None else read_frame(given, what="assignment")
    unassigned = np.flatnonzero(rows_by_id(table[UNIT], among=known[UNIT]) < 0)
    if len(unassigned):
        raise DataError(
            f"sent log: {table[UNIT].iloc[unassigned].nunique()} customer(s) were contacted and "
            "have no assignment. They are never counted as control: give the whole assignment, or "
            "find out who else sent to them.",
            code="EXPOSED_UNASSIGNED",
            column=UNIT,
            count=int(table[UNIT].iloc[unassigned].nunique()),
            rows=(unassigned[:MAX_ROWS_SHOWN] + 1).tolist(),
        )
    in_control = np.flatnonzero((assigned["arm"].to_numpy()[row] == CONTROL) & (row >= 0))
    if len(in_control):
        raise DataError(
            f"sent log: {table[UNIT].iloc[in_control].nunique()} customer(s) of the control were "
            "contacted. Without a control that was left alone nothing can be measured; find out "
            "how they came onto the list.",
            code="CONTROL_EXPOSED",
            column=UNIT,
            count=int(table[UNIT].iloc[in_control].nunique()),
            rows=(in_control[:MAX_ROWS_SHOWN] + 1).tolist(),
        )
