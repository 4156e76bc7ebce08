"""Rows of outcomes: which of them count, and the one number per assigned unit that they give.

Row numbers in a refusal are those of the table that has to be repaired, counted from 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.checks import Check, warning
from uplift.errors import DataError
from uplift.event_times import in_future, in_utc, times_in_zone
from uplift.experiment import Experiment
from uplift.frames import LARGEST, UNIT, require_rows, require_unique, rows_by_id
from uplift.metrics import Metric
from uplift.reading_rules import ReadingRules

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


@dataclass(frozen=True, eq=False)
class OutcomeRows:
    """The rows of an outcomes table that are of assigned units.

    row       (n_rows,)      where each stands in the table, ascending, from 0
    unit      (n_rows,)      place of its unit in the assignment
    held_back (n_assigned,)  units whose outcome is not known, for one is stamped in the future
    """

    table: pd.DataFrame
    row: IntArray
    unit: IntArray
    held_back: Mask

    @property
    def n_units(self) -> int:
        """Assigned units."""
        return len(self.held_back)

    def keep(self, mask: Mask) -> "OutcomeRows":
        """Those rows only."""
        return replace(self, row=self.row[mask], unit=self.unit[mask])


def rows_that_count(
    experiment: Experiment,
    assignment: pd.DataFrame,
    table: pd.DataFrame,
    *,
    rules: ReadingRules,
    now: datetime,
) -> tuple[OutcomeRows, tuple[Check, ...]]:
    """The rows of assigned units, after the assignment and not in the future; and the warnings.

    Errors: EMPTY_INPUT, ID_DUPLICATE, OUTCOME_BEFORE_ASSIGNMENT, TIME_INVALID, TIME_NAIVE,
    TIME_AMBIGUOUS.
    """
    require_rows(table, what="outcomes")
    if rules.repeats == "refuse":
        require_unique(
            table[UNIT],
            what="outcomes",
            remedy="Say what several rows of a unit mean: repeats='sum', 'mean' or 'first' "
            "(`--repeats sum`).",
        )
    unit = rows_by_id(table[UNIT], among=assignment[UNIT])
    row = np.flatnonzero(unit >= 0)
    nobody = np.zeros(len(assignment), dtype=np.bool_)
    rows, checks = OutcomeRows(table, row, unit[row], nobody), [*_unassigned(table, unit)]
    if OCCURRED in table.columns:
        zone = experiment.schedule.timezone
        occurred = times_in_zone(table[OCCURRED], zone, what="outcomes")
        early = _is_early(experiment, assignment, rows, occurred)
        checks += _early(rows, early, refused=rules.early == "refuse")
        rows = rows.keep(~early)
        rows = _without_future(rows, occurred, now=now)
        checks += _future(rows.held_back)
    return rows, (*checks, *_repeated(rows, rules.repeats))


def value_per_unit(
    rows: OutcomeRows, name: str, *, binary: Metric | None, rules: ReadingRules
) -> Array:
    """One column in the order of the assignment, nan where there is no outcome. (n_assigned,).

    binary  the metric whose values can be 0 and 1 only, if the column is of one; of several rows
            of a unit that are not read by the first, it is whether any is 1
    Errors: OUTCOME_NOT_NUMERIC, OUTCOME_NOT_FINITE, OUTCOME_NOT_BINARY.
    """
    numbers = as_numbers(rows.table[name], name=name)[rows.row]
    known = ~np.isnan(numbers)
    refuse_not_finite(numbers[known], column=name, rows=rows.row[known])
    if binary is not None:
        _refuse_not_binary(binary, numbers[known], rows=rows.row[known])
    if rules.missing == "zero":
        numbers = np.where(known, numbers, 0.0)
    values, first = np.full(rows.n_units, np.nan), np.full(rows.n_units, -1)
    first[rows.unit[::-1]] = rows.row[::-1]  # of several rows of a unit the first one stays
    values[rows.unit[::-1]] = numbers[::-1]
    if rules.repeats in ("sum", "mean"):
        count = np.bincount(rows.unit, minlength=rows.n_units)
        total = np.bincount(rows.unit, weights=numbers, minlength=rows.n_units)
        some = count > 0
        values[some] = total[some] / (count[some] if rules.repeats == "mean" else 1)
        if binary is not None:
            values = np.where(np.isnan(values), np.nan, (values > 0).astype(np.float64))
    found = ~np.isnan(values)
    refuse_not_finite(values[found], column=name, rows=first[found])  # a sum may be beyond range
    return values


def refuse_not_finite(values: Array, *, column: str, rows: IntArray | None = None) -> None:
    """Refuse infinite and missing values, and those beyond `LARGEST`, which no moments hold.

    rows  in which row of the source each value stands, from 0
    """
    wrong = np.flatnonzero(~(np.abs(values) <= LARGEST))
    if len(wrong):
        shown = wrong if rows is None else np.sort(rows[wrong])
        raise DataError(
            f"outcomes: column {column!r} is not finite (or beyond {LARGEST:g}) in "
            f"{len(wrong)} row(s), first in row {shown[0] + 1}. Repair the source.",
            code="OUTCOME_NOT_FINITE",
            column=column,
            count=len(wrong),
            rows=(shown[:5] + 1).tolist(),
        )


def as_numbers(
    column: pd.Series, *, name: str, what: str = "outcomes", code: str = "OUTCOME_NOT_NUMERIC"
) -> Array:
    """A column as floats: numbers, true and false, also where gaps made them objects. (n_rows,).

    code  of the refusal of anything else
    """
    kind = column.dtype  # booleans count as numeric
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind):
        return np.asarray(column.to_numpy(np.float64, na_value=np.nan), dtype=np.float64)
    if pd.api.types.infer_dtype(column, skipna=True) in NUMBERS_AMONG_OBJECTS:
        return column.where(column.notna(), np.nan).to_numpy(np.float64)
    found = next((value for value in column if isinstance(value, str)), column.dtype)
    raise DataError(
        f"{what}: column {name!r} must hold numbers, found {str(found)[:40]!r}. "
        "Write numbers with a decimal point and no currency sign.",
        code=code,
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


def _is_early(
    experiment: Experiment, assignment: pd.DataFrame, rows: OutcomeRows, occurred: pd.Series
) -> Mask:
    """Whether each row is from before its unit was assigned (or the launch, when not known)."""
    zone = experiment.schedule.timezone
    launch = pd.Series(experiment.schedule.launch_at, index=assignment.index)
    assigned = times_in_zone(assignment.get(ASSIGNED, launch), zone, what="assignment")
    if (occurred.isna() | (occurred == occurred.dt.normalize())).all():  # days without a time
        assigned = assigned.dt.normalize()
    # where there is no time, there is no order
    return np.asarray(in_utc(occurred)[rows.row] < in_utc(assigned)[rows.unit], dtype=np.bool_)


def _early(rows: OutcomeRows, early: Mask, *, refused: bool) -> Iterator[Check]:
    wrong = rows.row[early]
    if not len(wrong):
        return
    if refused:
        raise DataError(
            f"outcomes: {len(wrong)} row(s) are from before their unit was assigned, first in "
            f"row {wrong[0] + 1}. What came before cannot be an effect: leave those rows out, "
            "or ask for it: early='drop' (`--early drop`).",
            code="OUTCOME_BEFORE_ASSIGNMENT",
            column=OCCURRED,
            count=len(wrong),
            rows=(wrong[:5] + 1).tolist(),
        )
    yield warning(
        "OUTCOME_BEFORE_ASSIGNMENT",
        value=len(wrong),
        remedy="These rows of outcomes are from before their units were assigned and are left "
        "out, as asked for. Find out why they are in the table.",
    )


def _without_future(rows: OutcomeRows, occurred: pd.Series, *, now: datetime) -> OutcomeRows:
    """The rows without those of units that have one from the future."""
    held_back = np.zeros(rows.n_units, dtype=np.bool_)
    held_back[rows.unit[in_future(occurred, now=now)[rows.row]]] = True
    return replace(rows.keep(~held_back[rows.unit]), held_back=held_back)


def _future(held_back: Mask) -> Iterator[Check]:
    if held_back.any():
        yield warning(
            "TIME_FUTURE",
            value=int(held_back.sum()),
            remedy="These units have an outcome stamped in the future and are held back. Set the "
            "clock of the system that wrote them right, and ingest the outcomes again.",
        )


def _unassigned(table: pd.DataFrame, unit: IntArray) -> Iterator[Check]:
    n_unknown = table.loc[unit < 0, UNIT].nunique()
    if n_unknown:
        yield warning(
            "EXPOSED_UNASSIGNED",
            value=n_unknown,
            remedy="These units have outcomes but no assignment; they are left out, never "
            "counted as control. Find out where they come from.",
        )


def _repeated(rows: OutcomeRows, how: str) -> Iterator[Check]:
    n_repeated = int((np.bincount(rows.unit, minlength=1) > 1).sum())
    if n_repeated:
        done = {"sum": "are added up", "mean": "count as their mean", "first": "count by the first"}
        yield warning(
            "ID_DUPLICATE",
            value=n_repeated,
            remedy=f"These units have several rows of outcomes, which {done[how]}, as asked for. "
            "See that no row is there twice.",
        )
