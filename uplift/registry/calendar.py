"""The calendar: which experiments contact and watch customers when, week by week."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from uplift.experiment import Experiment
from uplift.table import Column, Result, Table


@dataclass(frozen=True)
class CalendarRow:
    """One wave of an experiment, with its response window in UTC."""

    experiment: str
    title: str
    state: str
    wave: str
    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True, repr=False)
class Calendar(Result):
    """Waves by the start of their windows; `first` and `last` day are shown in weeks."""

    rows: tuple[CalendarRow, ...]
    first: date
    last: date

    def table(self) -> Table:
        """One row per wave; a character of the last column is a week, full while it is watched."""
        columns = [Column(n) for n in ("experiment", "state", "wave", "opens", "closes", "weeks")]
        weeks = [
            self.first + timedelta(days=7 * i)
            for i in range((self.last - self.first).days // 7 + 1)
        ]
        rows = [
            (r.experiment, r.state, r.wave, r.opens_at.date(), r.closes_at.date(), _bar(r, weeks))
            for r in self.rows
        ]
        return Table("Calendar", columns, rows, note=f"Weeks from {self.first} to {self.last}.")


def calendar_of(
    experiments: Iterable[tuple[Experiment, str]],
    *,
    first: date | None = None,
    last: date | None = None,
) -> Calendar:
    """The waves of experiments, each given with its state, that are watched between two days.

    Without days, from the first send to the last window's end.
    """
    rows = [
        CalendarRow(e.id, e.title, state, w.wave, w.opens_at, w.closes_at)
        for e, state in experiments
        for w in e.schedule.windows
        if (last is None or w.opens_at.date() <= last)
        and (first is None or w.closes_at.date() >= first)
    ]
    rows.sort(key=lambda row: (row.opens_at, row.experiment, row.wave))
    starts = [row.opens_at.date() for row in rows]
    ends = [row.closes_at.date() for row in rows]
    begin = first or min(starts, default=date.min)
    end = last or max(ends, default=begin)
    return Calendar(tuple(rows), begin, max(begin, end))


def _bar(row: CalendarRow, weeks: Sequence[date]) -> str:
    opens, closes = row.opens_at.date(), row.closes_at.date()
    return "".join(
        "█" if opens < week + timedelta(days=7) and closes >= week else "·" for week in weeks
    )
