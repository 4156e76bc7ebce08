"""Outcomes of assigned units: joined by id, each value checked, what is doubtful pointed out.

Row numbers in a refusal are those of the table that has to be repaired, counted from 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.checks import Check, warning
from uplift.errors import DataError
from uplift.event_times import in_future, in_utc, times_in_zone
from uplift.experiment import CONTROL, Experiment
from uplift.frames import UNIT, read_frame, require_unique, rows_by_id
from uplift.frames import Table as AnyTable
from uplift.metrics import Metric

SMALL_ARM = 30  # units; below this a normal interval is doubtful
DOMINANT_SHARE = 0.5  # of a metric's total held by one unit: the mean is that unit's story
OCCURRED, ASSIGNED = "occurred_at", "assigned_at"
NUMBERS_AMONG_OBJECTS = {
    "boolean",
    "integer",
    "floating",
    "mixed-integer-float",
    "decimal",
    "empty",
}

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Missing = Literal["refuse", "zero", "drop"]


@dataclass(frozen=True, eq=False)
class _Source:
    """The outcomes table, and where each assigned unit stands in it.

    row  (n_assigned,)  row of the table, -1 where the unit has none
    """

    table: pd.DataFrame
    row: IntArray

    @property
    def used(self) -> IntArray:
        """Rows of assigned units; others are left out."""
        return self.row[self.row >= 0]


def joined_outcomes(
    experiment: Experiment,
    assignment: pd.DataFrame,
    outcomes: AnyTable,
    *,
    missing: Missing,
    now: datetime | None = None,
) -> tuple[pd.DataFrame, tuple[Check, ...]]:
    """A checked assignment with the outcome of every unit, and the warnings met on the way.

    missing  what an assigned unit without an outcome means: an error, 0, or left out
    now      the time; units with an outcome stamped later are held back
    """
    table = read_frame(outcomes, what="outcomes", require=experiment.outcome_columns)
    require_unique(table[UNIT], what="outcomes")
    row = rows_by_id(assignment[UNIT], among=table[UNIT])
    source = _Source(table, row)
    occurred = _occurred(experiment, table)
    _refuse_before_assignment(experiment, assignment, source, occurred)
    source, held_back = _without_future(source, occurred, now=now or datetime.now(UTC))
    binary = {metric.column: metric for metric in experiment.all_metrics if _is_binary(metric)}
    values = {
        name: _values(source, name, binary=binary.get(name)) for name in experiment.outcome_columns
    }
    kept = assignment.assign(**values)[~held_back]
    joined = _without_gaps(kept, list(values), missing=missing).reset_index(drop=True)
    checks = [*_unassigned(table, row), *_future(held_back), *_arm_sizes(experiment, joined["arm"])]
    for metric in experiment.all_metrics:
        _refuse_leak(experiment, metric, joined)
        checks += _dominance(metric, metric_values(metric, joined))
    return joined, tuple(checks)


def metric_values(metric: Metric, joined: pd.DataFrame) -> Array:
    """The metric of each unit, capped where its definition says so. Returns (n_units,)."""
    values = uncapped_values(metric, joined)
    return values if metric.cap is None else np.minimum(values, metric.cap)


def uncapped_values(metric: Metric, joined: pd.DataFrame) -> Array:
    """The metric of each unit without its cap. Returns (n_units,)."""
    return joined[metric.column].to_numpy(np.float64)


def winsorising_cap(metric: Metric, values: Array) -> float | None:
    """The next largest magnitude, when one unit holds most of a metric; else None.

    values  (n_units,) unit of the metric; cutting them to plus or minus the cap keeps every unit
            and treats all arms alike
    """
    sizes = np.abs(values)
    total = float(sizes.sum())
    if _is_binary(metric) or total == 0 or len(values) < SMALL_ARM:
        return None
    next_largest, largest = np.partition(sizes, -2)[-2:]
    return float(next_largest) if largest / total >= DOMINANT_SHARE else None


def refuse_function_of_arm(column: str, *, control: float, treatment: float, arm: str) -> None:
    """Refuse an outcome that is one number in all of control and another in all of an arm."""
    raise DataError(
        f"outcomes: {column!r} is {control:g} for all of control and {treatment:g} for all of "
        f"{arm}: it is a function of the arm, not an outcome. Check how the column is made.",
        code="OUTCOME_EQUALS_ARM",
        column=column,
    )


def refuse_not_finite(values: Array, *, column: str, rows: IntArray | None = None) -> None:
    """Refuse infinite and missing values; `rows` are their rows in the source, from 0."""
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        shown = wrong if rows is None else rows[wrong]
        raise DataError(
            f"outcomes: column {column!r} is not finite in {len(wrong)} row(s), first in row "
            f"{shown[0] + 1}. Repair the source.",
            code="OUTCOME_NOT_FINITE",
            column=column,
            count=len(wrong),
            rows=(shown[:5] + 1).tolist(),
        )


def _is_binary(metric: Metric) -> bool:
    return metric.kind == "proportion"


def _values(source: _Source, name: str, *, binary: Metric | None) -> Array:
    """One column in the order of the assignment, nan where there is no outcome."""
    numbers = _numbers(source.table[name], name)
    known = source.used[~np.isnan(numbers[source.used])]
    refuse_not_finite(numbers[known], column=name, rows=known)
    if binary is not None:
        _refuse_not_binary(binary, numbers[known], rows=known)
    values = np.full(len(source.row), np.nan)
    values[source.row >= 0] = numbers[source.used]
    return values


def _numbers(column: pd.Series, name: str) -> Array:
    """A column as floats: numbers, true and false, also where gaps made them objects."""
    if pd.api.types.is_numeric_dtype(column.dtype):  # booleans count as numeric
        return np.asarray(column.to_numpy(np.float64, na_value=np.nan), dtype=np.float64)
    if pd.api.types.infer_dtype(column, skipna=True) in NUMBERS_AMONG_OBJECTS:
        return column.where(column.notna(), np.nan).to_numpy(np.float64)
    found = next((value for value in column if isinstance(value, str)), column.dtype)
    raise DataError(
        f"outcomes: column {name!r} must hold numbers, found {str(found)[:40]!r}. "
        "Write numbers with a decimal point and no currency sign.",
        code="OUTCOME_NOT_NUMERIC",
        column=name,
    )


def _refuse_not_binary(metric: Metric, values: Array, *, rows: IntArray) -> None:
    wrong = np.flatnonzero((values != 0) & (values != 1))
    if len(wrong):
        raise DataError(
            f"outcomes: {metric.key} is a proportion, so {metric.column!r} must be 0 or 1; found "
            f"{values[wrong[0]]:g} in row {rows[wrong[0]] + 1} and {len(wrong) - 1} more. Recode "
            "it or define it as a mean.",
            code="OUTCOME_NOT_BINARY",
            column=metric.column,
            count=len(wrong),
            rows=(rows[wrong[:5]] + 1).tolist(),
        )


def _without_gaps(joined: pd.DataFrame, columns: list[str], *, missing: Missing) -> pd.DataFrame:
    gaps = joined[columns].isna()
    if missing == "zero":
        return joined.fillna(dict.fromkeys(columns, 0.0))
    if missing == "drop":
        return joined[~gaps.any(axis=1)].reset_index(drop=True)
    for name in columns:
        wrong = np.flatnonzero(gaps[name])
        if len(wrong):
            raise DataError(
                f"outcomes: column {name!r} is missing for {len(wrong)} assigned unit(s), first "
                f"that of row {wrong[0] + 1} of the assignment. Say what a missing outcome means: "
                "missing='zero' or 'drop'.",
                code="OUTCOME_MISSING",
                column=name,
                count=len(wrong),
                rows=(wrong[:5] + 1).tolist(),
            )
    return joined


def _occurred(experiment: Experiment, table: pd.DataFrame) -> pd.Series | None:
    if OCCURRED not in table.columns:
        return None
    return times_in_zone(table[OCCURRED], experiment.schedule.timezone, what="outcomes")


def _refuse_before_assignment(
    experiment: Experiment,
    assignment: pd.DataFrame,
    source: _Source,
    occurred: pd.Series | None,
) -> None:
    """Refuse outcomes dated before the unit was assigned (or the launch, when that is unknown)."""
    if occurred is None:
        return
    zone = experiment.schedule.timezone
    launch = pd.Series(experiment.schedule.launch_at, index=assignment.index)
    assigned = times_in_zone(assignment.get(ASSIGNED, launch), zone, what="assignment")
    if (occurred.isna() | (occurred == occurred.dt.normalize())).all():  # days without a time
        assigned = assigned.dt.normalize()
    limit = in_utc(assigned)[source.row >= 0]
    wrong = source.used[in_utc(occurred)[source.used] < limit]  # no time, no order
    if len(wrong):
        raise DataError(
            f"outcomes: {len(wrong)} unit(s) have an outcome from before they were assigned, first "
            f"in row {wrong[0] + 1}. What came before cannot be an effect: leave those rows out.",
            code="OUTCOME_BEFORE_ASSIGNMENT",
            column=OCCURRED,
            count=len(wrong),
            rows=(wrong[:5] + 1).tolist(),
        )


def _without_future(
    source: _Source, occurred: pd.Series | None, *, now: datetime
) -> tuple[_Source, Mask]:
    """The source without rows from the future, and whose outcomes those were, (n_assigned,)."""
    if occurred is None:
        return source, np.zeros(len(source.row), dtype=np.bool_)
    held_back = (source.row >= 0) & in_future(occurred, now=now)[source.row]
    return replace(source, row=np.where(held_back, -1, source.row)), held_back


def _future(held_back: Mask) -> Iterator[Check]:
    if held_back.any():
        yield warning(
            "TIME_FUTURE",
            value=int(held_back.sum()),
            remedy="These units have an outcome stamped in the future and are held back. Set the "
            "clock of the system that wrote them right, and ingest the outcomes again.",
        )


def _unassigned(table: pd.DataFrame, row: IntArray) -> Iterator[Check]:
    n_unknown = len(table) - int((row >= 0).sum())
    if n_unknown:
        yield warning(
            "EXPOSED_UNASSIGNED",
            value=n_unknown,
            remedy="These units have outcomes but no assignment; they are left out, never "
            "counted as control. Find out where they come from.",
        )


def _arm_sizes(experiment: Experiment, arms: pd.Series) -> Iterator[Check]:
    if arms.empty:
        raise DataError(
            "No assigned unit has an outcome. Check that both tables are of this experiment.",
            code="EMPTY_INPUT",
        )
    found = arms.value_counts()
    for arm, share in experiment.shares.items():
        count = int(found.get(arm, 0))
        if count == 0:
            raise DataError(
                f"Arm {arm!r} has no unit with an outcome, though {share:.1%} of units were "
                "planned for it. Check the assignment and the outcomes.",
                code="ARM_MISSING",
                column="arm",
            )
        if count == 1:
            raise DataError(
                f"Arm {arm!r} has one unit; at least 2 are needed for the error of a mean.",
                code="ARM_TOO_SMALL",
                column="arm",
                count=count,
            )
        if count < SMALL_ARM:
            yield warning(
                "ARM_TOO_SMALL",
                value=count,
                remedy=f"Arm {arm!r} has fewer than {SMALL_ARM} units, so its intervals are rough.",
            )


def _refuse_leak(experiment: Experiment, metric: Metric, joined: pd.DataFrame) -> None:
    if metric.delivery:
        return
    values = pd.Series(metric_values(metric, joined))
    ranges = values.groupby(joined["arm"].to_numpy()).agg(["min", "max"])
    only = ranges.loc[ranges["min"] == ranges["max"], "min"]  # by arm, where nothing varies
    for arm in experiment.treatments:
        if CONTROL in only and arm.name in only and only[arm.name] != only[CONTROL]:
            refuse_function_of_arm(
                metric.column, control=only[CONTROL], treatment=only[arm.name], arm=arm.name
            )


def _dominance(metric: Metric, values: Array) -> Iterator[Check]:
    cap = winsorising_cap(metric, values)
    if cap is None:
        return
    share = float(np.abs(values).max() / np.abs(values).sum())
    yield warning(
        "OUTCOME_DOMINATED",
        value=share,
        remedy=f"One unit holds {share:.0%} of {metric.column}, so the mean is its story. Read "
        f"beside each effect the one with that unit cut to the next largest, {cap:g}.",
    )
