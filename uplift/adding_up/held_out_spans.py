"""The times in which nobody changed places between the universal control and the programme."""

from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pandas as pd

from uplift.adding_up.spans import Span
from uplift.assigned import FIRST, Assigned
from uplift.assignment.universal import PROGRAMME, Draws, comparison_by_cohort
from uplift.errors import DataError, DefinitionError, StateError
from uplift.experiment import CONTROL, Experiment
from uplift.frames import UNIT
from uplift.registry.registry import Registry


def spans_between_rotations(
    members: pd.DataFrame,
    draws: Draws,
    *,
    since: datetime,
    until: datetime,
    washout_days: int,
    settle_days: int = 0,
) -> tuple[Span, ...]:
    """A span from each rotation to the next, every cohort beside those of its own draw.

    members, draws, washout_days, settle_days  as for `comparison_by_cohort`

    Errors: TIME_WINDOW (no time between both), CONTROL_EMPTY (nobody was held out in a span).
    """
    _require_order(since, until)
    rotations = sorted({moment.to_pydatetime() for moment in members["from_at"]})
    edges = [since, *(moment for moment in rotations if since < moment < until), until]
    spans = []
    for first, last in pairwise(edges):
        parts = comparison_by_cohort(
            members, draws, first, washout_days=washout_days, settle_days=settle_days
        )
        spans.append(Span(first, last, tuple(part for _, part in parts)))
        if not spans[-1].parts:
            raise DataError(
                f"Nobody is held out (and settled) on {first:%Y-%m-%d}. Begin later, or with fewer "
                "settle_days.",
                code="CONTROL_EMPTY",
            )
    return tuple(spans)


def spans_of_one_draw(
    experiment: Experiment, folder: Path, registry: Registry, *, since: datetime, until: datetime
) -> tuple[Span, ...]:
    """One span of a control without a rotation, every unit of an arm weighing the same.

    Errors: TIME_WINDOW, KIND_MISMATCH (several treatments), STEP_MISSING (it is not assigned).
    """
    _require_order(since, until)
    if len(experiment.arms) > 2:
        raise DefinitionError(
            f"{experiment.id} has several treatments; the total is of one programme against one "
            "control. Read its arms by `uplift analyse`.",
            code="KIND_MISMATCH",
        )
    if not (folder / FIRST).is_file():
        raise StateError(
            f"{experiment.id} is not assigned yet. Run `uplift assign {experiment.id}` first.",
            code="STEP_MISSING",
        )
    table = Assigned(folder, experiment, registry).whole()
    cluster = table["cluster"] if experiment.cluster else table[UNIT]
    return (Span(since, until, (equal_weights(table.assign(cluster=cluster)),)),)


def equal_weights(table: pd.DataFrame) -> pd.DataFrame:
    """Units of both arms as a span needs them.

    table  `unit`, `cluster` and `arm`
    """
    arm = table["arm"].where(table["arm"] == CONTROL, PROGRAMME)
    weight = 1 / arm.map(arm.value_counts()).astype(float)
    return table[[UNIT, "cluster"]].assign(arm=arm, weight=weight)


def _require_order(since: datetime, until: datetime) -> None:
    if since >= until:
        raise StateError(
            f"The time to read must have a length; it begins on {since:%Y-%m-%d %H:%M} UTC and "
            f"ends on {until:%Y-%m-%d %H:%M}.",
            code="TIME_WINDOW",
        )
