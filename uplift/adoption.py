"""Assignments that were drawn elsewhere: taken over only when they can be trusted as our own.

A split that is not the designed one, arms that differ before the send, or contacts of customers
who were never assigned mean that something outside the draw decided who is in which arm.

A careful analyst may still need such a test in the registry: to know that it ran, whom it sent to,
what it looked like, and to plan its repetition. So a failed split or balance can be taken over with
the reason. The failed check is written into the very row of the trail that fixes the assignment;
every later reading carries it and withholds its verdict, nobody is contacted by it and no model is
promoted on it. Nothing takes that back. Contacts of the control, or of customers without an
assignment, are never taken over: the assignment given is then not what happened.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from uplift.analysis.decision import decide
from uplift.analysis.report import AnalysisReport
from uplift.assignment.report import AssignmentReport
from uplift.checks import Check, blocked_by
from uplift.errors import MAX_ROWS_SHOWN, DataError, DefinitionError
from uplift.experiment import CONTROL
from uplift.frames import UNIT, read_frame, rows_by_id
from uplift.registry.trail import AuditRow

ADOPTED_DESPITE = "ADOPTED_DESPITE"  # code of the check in every later reading; a gate of promotion
FAILED, REASON = "failed_checks", "despite"  # in the trail's row


def failures_taken_over(report: AssignmentReport, *, despite: str | None) -> dict[str, Any]:
    """What the trail keeps of failed checks that are taken over; nothing when all hold.

    despite  the reason why the assignment is taken over although a check failed; None: it is not

    Errors: those of `require_trustworthy` without a reason, ARM_MISSING; REASON_MISSING.
    """
    failed = blocked_by(report.checks)
    if despite is None or not failed:
        require_trustworthy(report)
        return {}
    _require_every_arm(report)
    if not despite.strip():
        raise DefinitionError(
            f"{report.experiment}: taking over an assignment although a check failed needs a "
            "reason, which every later report shows. Write it in a sentence.",
            code="REASON_MISSING",
        )
    return {REASON: despite.strip(), FAILED: {check.code: check.remedy for check in failed}}


def with_failures(report: AnalysisReport, trail: Iterable[AuditRow]) -> AnalysisReport:
    """The reading with the checks that the assignment failed when it was taken over; no verdict."""
    taken = [_failure(row.payload) for row in trail if row.payload.get(FAILED)]
    if not taken:
        return report
    checks = (*taken, *report.checks)
    decision = decide(report.effects, report.money, checks, open_until=None)
    return replace(report, checks=checks, decision=decision)


def _failure(payload: Mapping[str, Any]) -> Check:
    failed: Mapping[str, str] = payload[FAILED]
    return Check(
        "assignment taken over",
        passed=False,
        value=", ".join(failed),
        remedy=f"Its arms are not alike by the draw. {' '.join(failed.values())} It was taken over "
        f"all the same: {payload[REASON]}",
        code=ADOPTED_DESPITE,
    )


def require_trustworthy(report: AssignmentReport) -> None:
    """Refuse an assignment that fails a check which would withhold every later verdict.

    Errors: ARM_MISSING, SRM (shares other than designed), BALANCE (covariates differ).
    """
    _require_every_arm(report)
    for check in blocked_by(report.checks):
        raise DataError(
            f"{report.experiment}: the assignment is not taken over. {check.remedy}",
            code=check.code,
            count=report.n_units,
        )


def _require_every_arm(report: AssignmentReport) -> None:
    for arm in report.arms:
        if arm.n_units == 0:
            raise DataError(
                f"{report.experiment}: nobody is in the arm {arm.arm!r}, which should have "
                f"{arm.designed_share:.1%} of {report.n_units:,} units. Give the whole assignment.",
                code="ARM_MISSING",
                column="arm",
            )


def require_sent_as_assigned(assigned: pd.DataFrame, sent: Any) -> None:
    """Refuse an assignment that does not account for who was contacted.

    sent  one row per contact, with `unit`
    Errors: EXPOSED_UNASSIGNED (contacted without an assignment), CONTROL_EXPOSED.
    """
    table = read_frame(sent, what="sent log")
    row = rows_by_id(table[UNIT], among=assigned[UNIT])
    unassigned = np.flatnonzero(row < 0)
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
    in_control = np.flatnonzero(assigned["arm"].to_numpy()[row] == CONTROL)
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
