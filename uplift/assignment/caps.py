"""Contact caps: who was contacted so often before a wave that it is not drawn for it.

A unit is out when it had `max_contacts` or more in the `window_days` before the wave, the wave's
own start not included. Control and treatment alike: a cap that only counted messages sent would
let the control of an earlier wave in and keep its treatments out. So of this experiment's own
waves, everybody who was assigned counts as contacted, whether or not a message was sent.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.assignment_plan import ContactCap
from uplift.errors import MAX_ROWS_SHOWN, DataError
from uplift.event_times import in_utc, times_in_zone
from uplift.experiment import Experiment
from uplift.frames import UNIT, read_frame, rows_by_id
from uplift.schedule import Window

SENT_AT, CHANNEL, CAMPAIGN, STATUS = "sent_at", "channel", "campaign", "status"
NOT_ARRIVED = "bounced"  # a contact that nobody noticed

Mask = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


def below_caps(
    units: pd.Series,
    experiment: Experiment,
    *,
    contacts: Any,
    earlier: pd.DataFrame | None,
    window: Window,
) -> Mask:
    """Whether each unit is below every cap at the start of a wave. Returns (n_units,).

    contacts  `unit` and `sent_at`; `channel` where a cap names one; bounced ones (`status`) do not
              count; those of this experiment (`campaign`) are taken from `earlier` instead
    earlier   assignments of this experiment's earlier waves; `campaign` is needed with it
    Errors: CONTACTS_MISSING, COLUMN_MISSING, TIME_INVALID, TIME_NAIVE, TIME_AMBIGUOUS,
    EXPOSED_UNASSIGNED (contacted by this experiment without having an arm) and those of ids.
    """
    caps = experiment.assignment.contact_caps
    if contacts is None:
        raise DataError(
            f"{experiment.id} caps contacts, so the contacts before the wave are needed. Give the "
            "table with `unit` and `sent_at`; an empty one when there were none.",
            code="CONTACTS_MISSING",
        )
    sent = _contacts(contacts, experiment, earlier)
    own = _sends(earlier[[UNIT, "assigned_at"]], experiment) if earlier is not None else None
    below = np.ones(len(units), dtype=np.bool_)
    for cap in caps:
        in_channel = sent if cap.channel is None else sent[sent[CHANNEL] == cap.channel]
        counts = _count(in_channel, units, cap, window)
        if own is not None and (cap.channel is None or cap.channel in _channels(experiment)):
            counts += _count(own, units, cap, window)
        below &= counts < cap.max_contacts
    return below


def require_contacts(contacts: Any) -> None:
    """Refuse a table that is not one of contacts, also where no cap asks for it. Errors: of ids."""
    read_frame(contacts, what="contacts", require=[SENT_AT])


def _contacts(contacts: Any, experiment: Experiment, earlier: pd.DataFrame | None) -> pd.DataFrame:
    """The contacts that count: unit, time in UTC, channel."""
    by_channel = any(cap.channel for cap in experiment.assignment.contact_caps)
    needed = [SENT_AT, *([CHANNEL] if by_channel else []), *([CAMPAIGN] * (earlier is not None))]
    table = read_frame(contacts, what="contacts", require=needed)
    counts = np.ones(len(table), dtype=np.bool_)
    if STATUS in table.columns:
        counts &= (table[STATUS] != NOT_ARRIVED).to_numpy(dtype=np.bool_)
    if earlier is not None:
        own = (table[CAMPAIGN] == experiment.id).to_numpy(dtype=np.bool_)
        _refuse_unassigned(table[UNIT], own & counts, earlier, experiment_id=experiment.id)
        counts &= ~own
    kept = [UNIT, SENT_AT, *([CHANNEL] if by_channel else [])]
    return _sends(table.loc[counts, kept], experiment)


def _refuse_unassigned(
    units: pd.Series, own: Mask, earlier: pd.DataFrame, *, experiment_id: str
) -> None:
    """Refuse contacts by the experiment itself of units that have no arm."""
    wrong = np.flatnonzero(own & (rows_by_id(units, among=earlier[UNIT]) < 0))
    if len(wrong):
        count = int(units.iloc[wrong].nunique())
        raise DataError(
            f"contacts: {count} customer(s) were contacted by {experiment_id} and have no "
            "assignment. They are never counted as control: give the whole earlier assignment, or "
            "find out who else sent to them.",
            code="EXPOSED_UNASSIGNED",
            column=UNIT,
            count=count,
            rows=(wrong[:MAX_ROWS_SHOWN] + 1).tolist(),
        )


def _sends(table: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """The second column as a time in UTC, called `sent_at`."""
    name = str(table.columns[1])
    given = table[name]
    missing = np.flatnonzero(given.isna())
    if len(missing):
        raise DataError(
            f"contacts: {len(missing)} row(s) have no {name!r}. Give the time of every contact.",
            code="TIME_INVALID",
            column=name,
            count=len(missing),
            rows=(table.index[missing] + 1).tolist(),
        )
    times = times_in_zone(given, experiment.schedule.timezone, what="contacts")
    return table.drop(columns=name).assign(**{SENT_AT: in_utc(times)})


def _count(sends: pd.DataFrame, units: pd.Series, cap: ContactCap, window: Window) -> IntArray:
    """Contacts of each unit in the days before the wave. Returns (n_units,)."""
    opens_at = np.datetime64(window.opens_at.replace(tzinfo=None), "us")
    sent_at = sends[SENT_AT].to_numpy()
    since = opens_at - np.timedelta64(cap.window_days, "D")
    inside = sends.loc[(sent_at >= since) & (sent_at < opens_at), UNIT]
    row = rows_by_id(inside, among=units)
    return np.bincount(row[row >= 0], minlength=len(units)).astype(np.int64)


def _channels(experiment: Experiment) -> frozenset[str]:
    return frozenset(arm.channel for arm in experiment.treatments if arm.channel)
