"""History for a plan with several waves, from events of the past: a row per customer and wave.

The schedule is moved as a whole into the past, to the same hour of another day, so that every wave
keeps its distance from the first one and its window.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from uplift.analysis.waves import WAVE, outcomes_by_wave
from uplift.errors import DefinitionError
from uplift.event_times import Times, in_utc, times_in_zone
from uplift.experiment import Experiment
from uplift.frames import UNIT, read_frame, require_rows
from uplift.looks import look_days
from uplift.outcome_rows import OCCURRED
from uplift.schedule import Schedule


def history_of_waves(
    experiment: Experiment, events: Any, customers: Any, *, starts_on: str | date
) -> pd.DataFrame:
    """What `simulate_plan` needs of a plan with waves, had it been sent from `starts_on`.

    events     one row per event: `unit`, `occurred_at` and those outcome columns that are known
    customers  one row per customer as known on `starts_on`; or, by wave, the table of its own start
    starts_on  day of the first wave in the past, in the schedule's zone

    Returns a row per customer and wave: `wave`, the columns of the customer, the outcomes of the
    wave's window (0 without an event; a proportion's is 1 with one), and those by the day of each
    interim look. An event counts in the last wave sent before it.

    Errors: REHEARSAL_WAVES when events do not reach over all windows, or a wave has no table; those
    of ids and times; TIME_AMBIGUOUS when a clock change skips a wave's hour.
    """
    table = read_frame(events, what="events", require=[OCCURRED])
    names = [name for name in experiment.outcome_columns if name in table.columns]
    absent = dict.fromkeys(set(experiment.outcome_columns) - set(names), 0.0)
    past = experiment.model_copy(update={"schedule": _moved(experiment.schedule, starts_on)})
    zone = past.schedule.timezone
    when = in_utc(times_in_zone(table[OCCURRED], zone, what="events"))
    _require_reach(past, when)
    counted = table.assign(**absent)
    outcomes = _by_wave(past, counted, names, suffix="")
    for day in look_days(past)[:-1]:
        moment = past.schedule.launch_at + timedelta(days=day)
        until = when < np.datetime64(moment.replace(tzinfo=None))
        by_day = _by_wave(past, counted[until], names, suffix=f"_by_day_{day}")
        outcomes = outcomes.merge(by_day, on=[UNIT, WAVE], how="left")
    told = pd.concat(_customers(experiment, customers), ignore_index=True)
    both = told.merge(outcomes, on=[UNIT, WAVE], how="left")
    made = [name for name in outcomes.columns if name not in (UNIT, WAVE)]
    return both.assign(**{name: both[name].fillna(0.0) for name in made})


def _moved(schedule: Schedule, starts_on: str | date) -> Schedule:
    """The schedule with its first wave on another day, at the same hour."""
    zone = ZoneInfo(schedule.timezone)
    first, then = (
        moment.astimezone(zone).date()
        for moment in (schedule.moment(starts_on), schedule.launch_at)
    )
    days = first - then
    told = schedule.model_dump()
    waves = [{**wave, "starts_at": wave["starts_at"] + days} for wave in told["waves"]]
    return Schedule(**told | {"starts_at": told["starts_at"] + days, "waves": waves})


def _require_reach(past: Experiment, when: Times) -> None:
    """Refuse events that begin after the first send, or end before the last window does."""
    known = when[~np.isnat(when)]
    require_rows(pd.DataFrame({OCCURRED: known}), what="events")
    first, last = (pd.Timestamp(edge) for edge in (known.min(), known.max()))
    opens, closes = past.schedule.launch_at, past.schedule.closes_at
    if first.date() <= opens.date() and last.date() >= (closes - timedelta(days=1)).date():
        return
    n_days = (closes - opens).days
    raise DefinitionError(
        f"{past.id}: from {opens:%Y-%m-%d} its windows reach to "
        f"{closes:%Y-%m-%d}, and events from {first:%Y-%m-%d} to {last:%Y-%m-%d}. Choose a day "
        f"with {n_days} days of events after it, give more events, or rehearse fewer waves.",
        code="REHEARSAL_WAVES",
        column=OCCURRED,
    )


def _by_wave(
    past: Experiment, events: pd.DataFrame, names: list[str], *, suffix: str
) -> pd.DataFrame:
    """The known outcomes by customer and wave, with the suffix of a look."""
    found = outcomes_by_wave(past, events)
    for metric in past.all_metrics:
        if metric.kind == "proportion":
            found[metric.column] = (found[metric.column] != 0).astype(np.float64)
    renamed = {name: f"{name}{suffix}" for name in names}
    return found[[UNIT, WAVE, *names]].rename(columns=renamed)


def _customers(experiment: Experiment, customers: Any) -> Iterator[pd.DataFrame]:
    """The customers of each wave, with its name."""
    for window in experiment.schedule.windows:
        of_wave = customers
        if isinstance(customers, Mapping):
            if window.wave not in customers:
                raise DefinitionError(
                    f"{experiment.id}: customers are given by wave, and there is no table of wave "
                    f"{window.wave}. Add it, or give one table for all waves.",
                    code="REHEARSAL_WAVES",
                    column=WAVE,
                )
            of_wave = customers[window.wave]
        yield read_frame(of_wave, what="customers").assign(**{WAVE: window.wave})
