"""Which experiments run at the same time, and whether they may: layers, exclusions, conflicts.

Two experiments overlap when a response window of one meets a window of the other. That is allowed
and the rule: their draws are independent, so each one's effect is measured in the same mixture of
the other's arms. In one layer they must use parts of it that do not meet, and draw them by the same
id (the unit's, or that of a cluster): then they share no unit.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import pandas as pd

from uplift.checks import Check
from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.registry.pressure import Pressure, pressures_among
from uplift.table import Column, Result, Table

LIVE_STATES = ("sealed", "assigned", "live", "maturing")
Relation = Literal["independent", "apart", "leaves out", "conflict"]
MEANING = {
    "independent": "share units; each draws its arms independently of the other",
    "apart": "parts of one layer that do not meet: no unit is in both",
    "leaves out": "one leaves out the other's control",
    "conflict": "parts of one layer that meet, or that are drawn by different ids: the layer "
    "promises that no unit is in both",
}


@dataclass(frozen=True)
class Overlap:
    """Two experiments that run at the same time, `from_at` until `until_at` in UTC.

    n_shared  units assigned in both, where they were counted
    """

    first: str
    second: str
    from_at: datetime
    until_at: datetime
    relation: Relation
    n_shared: int | None = None


@dataclass(frozen=True, repr=False)
class Overlaps(Result):
    """All pairs that overlap, by time.

    pressures  caps on contacts that the experiments' sends exceed together
    """

    pairs: tuple[Overlap, ...]
    pressures: tuple[Pressure, ...] = ()

    @property
    def conflicts(self) -> tuple[Overlap, ...]:
        """Pairs that may not run together."""
        return tuple(pair for pair in self.pairs if pair.relation == "conflict")

    @property
    def checks(self) -> tuple[Check, ...]:
        """Whether layers keep their promise, per pair that was counted; caps that are exceeded."""
        layers = tuple(
            Check(
                "layer",
                passed=not pair.n_shared,
                value=pair.n_shared,
                bound=0,
                remedy=f"{pair.first} and {pair.second} are apart in a layer and share units all "
                "the same: one of them was not drawn by its definition. Do not read either.",
                code="LAYER_BROKEN",
            )
            for pair in self.pairs
            if pair.relation == "apart" and pair.n_shared is not None
        )
        return (*layers, *(pressure.check for pressure in self.pressures))

    def counted(self, units: Mapping[str, pd.Series]) -> "Overlaps":
        """The same with the number of shared units, where both assignments are given by id."""
        return replace(
            self,
            pairs=tuple(
                replace(pair, n_shared=int(units[pair.first].isin(units[pair.second]).sum()))
                if pair.first in units and pair.second in units
                else pair
                for pair in self.pairs
            ),
        )

    def table(self) -> Table:
        """One row per pair."""
        columns = [Column(name) for name in ("experiment", "with", "from", "until", "relation")]
        rows = [
            (p.first, p.second, p.from_at.date(), p.until_at.date(), p.relation, p.n_shared)
            for p in self.pairs
        ]
        found = {p.relation for p in self.pairs}
        note = " ".join(f"{name}: {MEANING[name]}." for name in MEANING if name in found)
        columns.append(Column("shared units", kind="count"))
        return Table("Overlapping experiments", columns, rows, note=note)


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
    """Every pair of experiments that overlaps, by start, and the caps they exceed together."""
    ordered = sorted(experiments, key=lambda e: (e.schedule.launch_at, e.id))
    pairs = (overlap_of(a, b) for a, b in itertools.combinations(ordered, 2))
    return Overlaps(tuple(pair for pair in pairs if pair is not None), pressures_among(ordered))


def require_no_conflict(experiment: Experiment, others: Iterable[Experiment]) -> Overlaps:
    """The overlaps of an experiment that is to be sealed with those that are.

    Errors: LAYER_CONFLICT, naming every experiment whose part of the layer it would enter;
    EXCLUDES_CYCLE.
    """
    others = tuple(others)
    circle = circle_of(experiment, others)
    if circle:
        raise DefinitionError(
            f"{experiment.id}: each of {' → '.join(circle)} leaves out the control of the next, so "
            "none can be drawn first. Take one out of `excludes`.",
            code="EXCLUDES_CYCLE",
            count=len(circle) - 1,
        )
    found = (overlap_of(experiment, other) for other in others if other.id != experiment.id)
    overlaps = Overlaps(
        tuple(pair for pair in found if pair is not None),
        tuple(
            pressure
            for pressure in pressures_among((*others, experiment))
            if experiment.id in (pressure.experiment, *pressure.others)
        ),
    )
    if overlaps.conflicts:
        by_id = {one.id: one for one in others}
        raise DefinitionError(
            f"{experiment.id}: "
            + " ".join(conflict_words(experiment, by_id[p.second], p) for p in overlaps.conflicts),
            code="LAYER_CONFLICT",
            count=len(overlaps.conflicts),
        )
    return overlaps


def conflict_words(experiment: Experiment, other: Experiment, pair: Overlap) -> str:
    """Why an experiment cannot use its part of a layer beside another, and what to do."""
    layer = experiment.assignment.layer
    name = layer.name if layer else ""
    when = f"{other.id} ({pair.from_at.date()} to {pair.until_at.date()})"
    mine, theirs = experiment.layer_by, other.layer_by
    if mine == theirs:
        return (
            f"its part of the layer {name!r} meets that of {when}. Choose a part of the layer that "
            "is free, another layer, or another time."
        )
    draw_alike = f"Write by: {theirs} in its layer, or choose" if theirs else "Choose"
    return (
        f"its part of the layer {name!r} is drawn by {mine or 'unit'}, that of {when} by "
        f"{theirs or 'unit'}, so customers could be in both. {draw_alike} another layer, or "
        "another time."
    )


def circle_of(experiment: Experiment, others: Iterable[Experiment]) -> tuple[str, ...]:
    """Ids along which an experiment leaves out its own control, ending with itself; or none."""
    excludes = {one.id: one.assignment.excludes for one in (*others, experiment)}
    paths: list[tuple[str, ...]] = [
        (experiment.id, name) for name in experiment.assignment.excludes
    ]
    while paths:
        path = paths.pop()
        if path[-1] == experiment.id:
            return path
        paths += [(*path, name) for name in excludes.get(path[-1], ()) if name not in path[1:]]
    return ()


def _relation(first: Experiment, second: Experiment) -> Relation:
    a, b = first.assignment.layer, second.assignment.layer
    if a is not None and b is not None and a.name == b.name:
        meet = a.start < b.end and b.start < a.end
        return "conflict" if meet or first.layer_by != second.layer_by else "apart"
    if second.id in first.assignment.excludes or first.id in second.assignment.excludes:
        return "leaves out"
    return "independent"
