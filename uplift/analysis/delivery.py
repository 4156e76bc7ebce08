"""Who was reached: the log of contacts beside the assignment, and what follows from it.

The effect of being assigned stays the effect of the experiment. From the log follow the effect on
those who were reached, and bounds when the holdout was contacted too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.analysis.columns import DELIVERED, delivered_part
from uplift.analysis.readings import Readings
from uplift.analysis.waves import contacts_of_waves, is_redrawn
from uplift.checks import Check, warning
from uplift.errors import MAX_ROWS_SHOWN, DataError
from uplift.event_times import in_future, times_in_zone
from uplift.experiment import CONTROL, Experiment
from uplift.frames import UNIT, read_frame, rows_by_id
from uplift.inference.compliance import ComplierEffect, complier_effect
from uplift.inference.leaks import LeakBounds, check_contamination, leak_bounds
from uplift.inference.sample_ratio import ALARM_P_VALUE, chi_squared_p_value

STATUSES = ("planned", "sent", "delivered", "bounced")
SENT_AT, STATUS, CAMPAIGN = "sent_at", "status", "campaign"
MAX_SHOWN = 40  # characters of a value that was found
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
    """What the log says of each assigned unit, (n_units,) of 0 and 1.

    checks  warnings of contacts that were not counted
    """

    sent: Array
    delivered: Array
    checks: tuple[Check, ...] = ()


def contact_log(
    experiment: Experiment,
    assigned: pd.DataFrame,
    contacts: Any,
    *,
    given: Any = None,
    now: datetime | None = None,
) -> ContactLog:
    """The log of contacts, by assigned unit.

    contacts  one row per contact: `unit`, and as far as there are any `status` (planned, sent,
              delivered, bounced), `sent_at`, `campaign` (rows of others are left out) and, where
              waves are drawn anew, `wave`. Where no row says `delivered`, what was sent and did
              not bounce counts as delivered
    given     the assignment before units were left out of it; contacts of those are no matter
    now       contacts stamped later are left out and counted (TIME_FUTURE)

    Errors: EXPOSED_UNASSIGNED for contacts of this campaign to units without an assignment;
    STATUS_UNKNOWN, TIME_INVALID, TIME_NAIVE, TIME_AMBIGUOUS, COLUMN_MISSING, WAVE_UNKNOWN and those
    of ids.
    """
    table = read_frame(contacts, what="contacts")
    status = _status(table)
    future = _stamped_later(experiment, table, now=now or datetime.now(UTC))
    own = ~future
    if CAMPAIGN in table.columns:
        own &= (table[CAMPAIGN] == experiment.id).to_numpy(dtype=np.bool_)
    table, status = table[own], status[own]
    if is_redrawn(experiment):
        table = contacts_of_waves(experiment, table)
    sent = table[status.isin(SENT)]
    logged = status.isin(REACHED).any()
    reached = table[status.isin(REACHED) if logged else status == "sent"]
    known = assigned if given is None else read_frame(given, what="assignment")
    _refuse_unassigned(sent.index.to_numpy()[rows_by_id(sent[UNIT], among=known[UNIT]) < 0])
    checks = tuple(_future(int(future.sum())))
    return ContactLog(_marked(sent, assigned), _marked(reached, assigned), checks)


def refuse_among(column: str) -> NoReturn:
    """Refuse to compare only those who opened, clicked or were reached with the control."""
    raise DataError(
        f"Only units with {column!r} cannot be compared with the control: they chose themselves "
        "after the send, and the control has nobody like them to set against. Read the effect of "
        "being assigned; for those who were reached give the log of contacts, and the effect on "
        "them (compliers) is computed from the random assignment. What is known before the send is "
        "read by segment: name it under analysis: segments: in the definition.",
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


def _status(table: pd.DataFrame) -> pd.Series:
    """What became of each contact; a log that does not say it is one of what was sent.

    Errors: STATUS_UNKNOWN.
    """
    if STATUS not in table.columns:
        return pd.Series("sent", index=table.index, dtype="str")
    status = table[STATUS]
    words = [value if isinstance(value, str) else None for value in status]
    wrong = np.flatnonzero([word not in STATUSES for word in words])
    if len(wrong):
        raise DataError(
            f"contacts: column {STATUS!r} must be {', '.join(STATUSES[:-1])} or {STATUSES[-1]}, "
            f"found {str(status.iloc[wrong[0]])[:MAX_SHOWN]!r} in row {wrong[0] + 1} and "
            f"{len(wrong) - 1} more. Write those words; leave the column out when it is not known.",
            code="STATUS_UNKNOWN",
            column=STATUS,
            count=len(wrong),
            rows=(wrong[:MAX_ROWS_SHOWN] + 1).tolist(),
        )
    return pd.Series(words, index=table.index, dtype="str")


def _stamped_later(
    experiment: Experiment, table: pd.DataFrame, *, now: datetime
) -> npt.NDArray[np.bool_]:
    """Which contacts are stamped in the future; none where there are no times. (n_rows,)."""
    if SENT_AT not in table.columns:
        return np.zeros(len(table), dtype=np.bool_)
    zone = experiment.schedule.timezone
    return in_future(times_in_zone(table[SENT_AT], zone, what="contacts"), now=now)


def _future(count: int) -> Iterator[Check]:
    if count:
        yield warning(
            "TIME_FUTURE",
            value=count,
            remedy="These contacts are stamped in the future and are held back. Set the clock of "
            "the sender right, and keep its log again.",
        )


def _marked(rows: pd.DataFrame, assigned: pd.DataFrame) -> Array:
    return np.asarray(assigned[UNIT].isin(rows[UNIT]), dtype=np.float64)


def _refuse_unassigned(wrong: npt.NDArray[np.int64]) -> None:
    """Refuse rows of the log whose units have no assignment."""
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
