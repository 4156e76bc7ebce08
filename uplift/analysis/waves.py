"""Several sends of one experiment: who is in which wave, and each response counted once.

Where a wave is drawn anew, a row is a customer in a wave, and its id is `customer/wave`.
"""

from typing import Any

import numpy as np
import pandas as pd

from uplift.errors import DataError
from uplift.event_times import in_utc, times_in_zone
from uplift.experiment import Experiment
from uplift.frames import UNIT, read_frame
from uplift.outcome_rows import ASSIGNED, OCCURRED

WAVE, CUSTOMER, CLUSTER, DRAWN = "wave", "customer", "cluster", "drawn cluster"


def is_redrawn(experiment: Experiment) -> bool:
    """Whether a customer may have another arm in another wave."""
    return experiment.schedule.is_redrawn


def by_wave(experiment: Experiment, assigned: Any) -> pd.DataFrame:
    """An assignment with one row per customer and wave, the id naming both.

    A cluster's id names the wave too; its own id stands in `DRAWN`.

    assigned  with the column `wave`, or `assigned_at` at the start of one
    """
    table = read_frame(assigned, what="assignment", require=["arm"])
    if WAVE not in table.columns:
        table = table.assign(**{WAVE: _wave_of(experiment, table)})
    require_waves(experiment, table[WAVE], what="assignment")
    keyed = _keyed(table)
    if experiment.cluster is None or CLUSTER not in keyed.columns:
        return keyed
    cluster = keyed[CLUSTER].astype("str")
    return keyed.assign(**{DRAWN: cluster, CLUSTER: cluster + "/" + keyed[WAVE]})


def outcomes_of_waves(experiment: Experiment, outcomes: Any) -> pd.DataFrame:
    """Outcomes with one row per customer and wave, the id naming both. Errors: COLUMN_MISSING."""
    table = read_frame(outcomes, what="outcomes")
    if WAVE not in table.columns:
        raise DataError(
            f"outcomes: {experiment.id} draws its waves anew, so an outcome belongs to a customer "
            "in a wave: the column 'wave' is needed. `outcomes_by_wave` makes it from the times of "
            "events.",
            code="COLUMN_MISSING",
            column=WAVE,
        )
    require_waves(experiment, table[WAVE], what="outcomes")
    return _keyed(table)


def contacts_of_waves(experiment: Experiment, contacts: pd.DataFrame) -> pd.DataFrame:
    """Contacts of a campaign that draws its waves anew, the id naming customer and wave.

    Errors: COLUMN_MISSING, WAVE_UNKNOWN.
    """
    if WAVE not in contacts.columns:
        raise DataError(
            f"contacts: {experiment.id} draws its waves anew, so a contact belongs to a customer "
            "in a wave: the column 'wave' is needed. Write the wave that each contact was sent in.",
            code="COLUMN_MISSING",
            column=WAVE,
        )
    require_waves(experiment, contacts[WAVE], what="contacts")
    return _keyed(contacts)


def outcomes_by_wave(experiment: Experiment, events: Any) -> pd.DataFrame:
    """Events added up by customer and wave: each belongs to the last wave sent before it.

    An event is counted once, also where the windows of two waves overlap; what came before the
    first wave or after the window of its wave is left out.

    events   one row per event: `unit`, `occurred_at` and the experiment's outcome columns
    returns  `unit`, `wave` and the outcome columns; customers without an event have no row
    """
    table = read_frame(events, what="events", require=[OCCURRED, *experiment.outcome_columns])
    zone = experiment.schedule.timezone
    when = in_utc(times_in_zone(table[OCCURRED], zone, what="events"))
    windows = experiment.schedule.windows
    opens = np.array([w.opens_at.replace(tzinfo=None) for w in windows], dtype="datetime64[us]")
    closes = np.array([w.closes_at.replace(tzinfo=None) for w in windows], dtype="datetime64[us]")
    last = np.searchsorted(opens, when, side="right") - 1
    counted = (last >= 0) & (when < closes[np.maximum(last, 0)])
    names = np.array([w.wave for w in windows], dtype=object)
    kept = table[counted].assign(**{WAVE: names[last[counted]]})
    columns = list(experiment.outcome_columns)
    return kept.groupby([UNIT, WAVE], sort=True)[columns].sum().reset_index()


def _wave_of(experiment: Experiment, table: pd.DataFrame) -> pd.Series:
    if ASSIGNED not in table.columns:
        raise DataError(
            "assignment: the column 'wave' or 'assigned_at' is needed to know each row's wave. Use "
            "the assignment this experiment made.",
            code="COLUMN_MISSING",
            column=WAVE,
        )
    zone = experiment.schedule.timezone
    when = in_utc(times_in_zone(table[ASSIGNED], zone, what="assignment"))
    names = {
        np.datetime64(window.opens_at.replace(tzinfo=None), "us"): window.wave
        for window in experiment.schedule.windows
    }
    return pd.Series([names.get(moment) for moment in when], index=table.index, dtype="str")


def require_waves(experiment: Experiment, waves: pd.Series, *, what: str) -> None:
    """Refuse names that no wave of the schedule has. Errors: WAVE_UNKNOWN."""
    known = {window.wave for window in experiment.schedule.windows}
    wrong = np.flatnonzero(~waves.isin(known))
    if len(wrong):
        raise DataError(
            f"{what}: {waves.iloc[wrong[0]]!r} in row {wrong[0] + 1} is not a wave of "
            f"{experiment.id} ({', '.join(sorted(known))}).",
            code="WAVE_UNKNOWN",
            column=WAVE,
            count=len(wrong),
            rows=(wrong[:5] + 1).tolist(),
        )


def _keyed(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{CUSTOMER: table[UNIT], UNIT: table[UNIT] + "/" + table[WAVE]})
