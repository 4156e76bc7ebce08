"""Who was reached: the log of contacts beside the assignment, and what follows from it.

The effect of being assigned stays the effect of the experiment. From the log follow the effect on
those who were reached, and bounds when the holdout was contacted too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.analysis.columns import DELIVERED, delivered_part
from uplift.analysis.readings import Readings
from uplift.checks import Check
from uplift.errors import MAX_ROWS_SHOWN, DataError
from uplift.experiment import CONTROL, Experiment
from uplift.frames import UNIT, read_frame, rows_by_id
from uplift.inference.compliance import ComplierEffect, complier_effect
from uplift.inference.leaks import LeakBounds, check_contamination, leak_bounds
from uplift.inference.sample_ratio import ALARM_P_VALUE, chi_squared_p_value

REACHED, SENT = ("delivered",), ("delivered", "sent", "bounced")  # values of `status`

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Delivery:
    """One arm along the way: assigned, sent to, reached.

    complier  effect on those who were reached, on the primary metric; None for the control
    leak      bounds when the holdout was contacted; None when it was not
    """

    arm: str
    assigned: int
    sent: int
    delivered: int
    complier: ComplierEffect | None = None
    leak: LeakBounds | None = None


@dataclass(frozen=True, eq=False)
class ContactLog:
    """What the log says of each assigned unit, (n_units,) of 0 and 1."""

    sent: Array
    delivered: Array


def contact_log(experiment: Experiment, assigned: pd.DataFrame, contacts: Any) -> ContactLog:
    """The log of contacts, by assigned unit.

    contacts  one row per contact: `unit`, and as far as there are any `status` (planned, sent,
              delivered, bounced) and `campaign`; rows of other campaigns are left out. Where no
              row says `delivered`, what was sent counts as delivered

    Errors: EXPOSED_UNASSIGNED for contacts of this campaign to units without an assignment.
    """
    table = read_frame(contacts, what="contacts")
    if "campaign" in table.columns:
        table = table[table["campaign"] == experiment.id]
    status = table["status"] if "status" in table.columns else pd.Series("sent", index=table.index)
    sent = table[status.isin(SENT)]
    reached = table[status.isin(REACHED)] if status.isin(REACHED).any() else sent
    row = rows_by_id(sent[UNIT], among=assigned[UNIT])
    _refuse_unassigned(row)
    return ContactLog(_marked(sent, assigned), _marked(reached, assigned))


def refuse_among(column: str) -> NoReturn:
    """Refuse to compare only those who opened, clicked or were reached with the control."""
    raise DataError(
        f"Only units with {column!r} cannot be compared with the control: they chose themselves "
        "after the send, and the control has nobody like them to set against. Read the effect of "
        "being assigned; for those who were reached give the log of contacts, and the effect on "
        "them (compliers) is computed from the random assignment.",
        code="POST_TREATMENT_FILTER",
        column=column,
    )


def deliveries(
    experiment: Experiment, readings: Readings, assigned: pd.DataFrame, log: ContactLog
) -> tuple[Delivery, ...]:
    """Every arm along the way, control first."""
    return tuple(
        _delivery(experiment, readings, arm, assigned["arm"].to_numpy() == arm, log)
        for arm in experiment.arm_names
    )


def delivery_checks(experiment: Experiment, found: tuple[Delivery, ...]) -> Iterator[Check]:
    """Contacts of the holdout, and whether treatments were sent to as they were designed."""
    control, *treatments = found
    yield check_contamination(control.sent, n_control=control.assigned)
    if len(treatments) < 2 or not any(one.sent for one in treatments):
        return
    for stage in ("sent", "delivered"):
        counts = [float(getattr(one, stage)) for one in treatments]
        p_value = chi_squared_p_value(counts, [experiment.shares[one.arm] for one in treatments])
        yield Check(
            f"sample_ratio {stage}",
            passed=p_value >= ALARM_P_VALUE,
            value=p_value,
            bound=ALARM_P_VALUE,
            remedy=f"Treatments were not {stage} in their designed shares. The effect of being "
            "assigned holds; those who were reached are not alike between treatments.",
            code="SRM_STAGE",
            blocking=False,
        )


def _delivery(
    experiment: Experiment,
    readings: Readings,
    arm: str,
    mine: npt.NDArray[np.bool_],
    log: ContactLog,
) -> Delivery:
    counts = (int(mine.sum()), int(log.sent[mine].sum()), int(log.delivered[mine].sum()))
    if arm == CONTROL or DELIVERED not in readings.moments[arm].columns:
        return Delivery(arm, *counts)
    metric, level = experiment.primary, readings.rule.confidence(readings.confidence)
    arms = (readings.moments[arm], readings.moments[CONTROL])
    complier = complier_effect(*arms, outcome=metric.key, delivered=DELIVERED, confidence=level)
    leak = None
    if arms[1].mean_of(DELIVERED) > 0:
        leak = leak_bounds(
            *arms,
            outcome=metric.key,
            delivered=DELIVERED,
            delivered_outcome=delivered_part(metric.key),
            lowest=0.0,
            highest=1.0 if metric.kind == "proportion" else metric.cap,
            confidence=level,
        )
    return Delivery(arm, *counts, complier, leak)


def _marked(rows: pd.DataFrame, assigned: pd.DataFrame) -> Array:
    return np.asarray(assigned[UNIT].isin(rows[UNIT]), dtype=np.float64)


def _refuse_unassigned(row: npt.NDArray[np.int64]) -> None:
    wrong = np.flatnonzero(row < 0)
    if len(wrong):
        raise DataError(
            f"contacts: {len(wrong)} contact(s) went to customers without an assignment. They are "
            "never counted as control: give the whole assignment, or find out who else sent to "
            "them.",
            code="EXPOSED_UNASSIGNED",
            column=UNIT,
            count=len(wrong),
            rows=(wrong[:MAX_ROWS_SHOWN] + 1).tolist(),
        )
