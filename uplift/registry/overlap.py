"""Which experiments run at the same time, and whether they may: layers, exclusions, conflicts.

Two experiments overlap when a response window of one meets a window of the other. That is allowed
and the rule: their draws are independent, so each one's effect is measured in the same mixture of
the other's arms. In one layer they must use parts of it that do not meet, and share no unit then.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.table import Column, Result, Table

LIVE_STATES = ("sealed", "assigned", "live", "maturing")
Relation = Literal["independent", "apart", "leaves out", "conflict"]
MEANING = {
    "independent": "share units; each draws its arms independently of the other",
    "apart": "parts of one layer that do not meet: no unit is in both",
    "leaves out": "one leaves out the other's control",
    "conflict": "parts of one layer that meet: the layer promises that no unit is in both",
}


@dataclass(frozen=True)
class Overlap:
    """Two experiments that run at the same time, `from_at` until `until_at` in UTC."""

    first: str
    second: str
    from_at: datetime
    until_at: datetime
    relation: Relation


@dataclass(frozen=True, repr=False)
class Overlaps(Result):
    """All pairs that overlap, by time."""

    pairs: tuple[Overlap, ...]

    @property
    def conflicts(self) -> tuple[Overlap, ...]:
        """Pairs that may not run together."""
        return tuple(pair for pair in self.pairs if pair.relation == "conflict")

    def table(self) -> Table:
        """One row per pair."""
        columns = [Column(name) for name in ("experiment", "with", "from", "until", "relation")]
        rows = [
            (p.first, p.second, p.from_at.date(), p.until_at.date(), p.relation) for p in self.pairs
        ]
        found = {p.relation for p in self.pairs}
        note = " ".join(f"{name}: {MEANING[name]}." for name in MEANING if name in found)
        return Table("Overlapping experiments", columns, rows, note=note)


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


def overlap_of(first: Experiment, second: Experiment) -> Overlap | None:
    """The time two experiments share, and how they stand to each other; None if they share none."""
    shared = [
        (max(a.opens_at, b.opens_at), min(a.closes_at, b.closes_at))
        for a, b in itertools.product(first.schedule.windows, second.schedule.windows)
        if a.opens_at < b.closes_at and b.opens_at < a.closes_at
    ]
    if not shared:
        return None
    starts, ends = zip(*shared, strict=True)
    return Overlap(first.id, second.id, min(starts), max(ends), _relation(first, second))


def overlaps_among(experiments: Iterable[Experiment]) -> Overlaps:
    """Every pair of experiments that overlaps, by start."""
    ordered = sorted(experiments, key=lambda e: (e.schedule.launch_at, e.id))
    pairs = (overlap_of(a, b) for a, b in itertools.combinations(ordered, 2))
    return Overlaps(tuple(pair for pair in pairs if pair is not None))


def require_no_conflict(experiment: Experiment, others: Iterable[Experiment]) -> Overlaps:
    """The overlaps of an experiment that is to be sealed with those that are.

    Errors: LAYER_CONFLICT, naming every experiment whose part of the layer it would enter.
    """
    found = (overlap_of(experiment, other) for other in others if other.id != experiment.id)
    overlaps = Overlaps(tuple(pair for pair in found if pair is not None))
    if overlaps.conflicts:
        layer = experiment.assignment.layer
        name = layer.name if layer else ""
        clashes = ", ".join(
            f"{pair.second} ({pair.from_at.date()} to {pair.until_at.date()})"
            for pair in overlaps.conflicts
        )
        raise DefinitionError(
            f"{experiment.id}: its part of the layer {name!r} meets that of {clashes}. Choose a "
            "part of the layer that is free, another layer, or another time.",
            code="LAYER_CONFLICT",
            count=len(overlaps.conflicts),
        )
    return overlaps


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


def _relation(first: Experiment, second: Experiment) -> Relation:
    a, b = first.assignment.layer, second.assignment.layer
    if a is not None and b is not None and a.name == b.name:
        return "conflict" if a.start < b.end and b.start < a.end else "apart"
    if second.id in first.assignment.excludes or first.id in second.assignment.excludes:
        return "leaves out"
    return "independent"


def _bar(row: CalendarRow, weeks: Sequence[date]) -> str:
    opens, closes = row.opens_at.date(), row.closes_at.date()
    return "".join(
        "█" if opens < week + timedelta(days=7) and closes >= week else "·" for week in weeks
    )
