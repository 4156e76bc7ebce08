"""Long tables of outcomes, cut into periods: what each assigned unit brought in each of them.

Whoever has no row in a period brought nothing in it, and who has left counts 0 from then on:
leaving them out would compare survivors. Days count from the launch, of a trigger from the unit's
own assignment. Arms are compared as they were drawn.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.analysis.columns import GROSS
from uplift.analysis.waves import is_redrawn
from uplift.checks import Check, warning
from uplift.errors import DataError, DefinitionError
from uplift.event_times import days_between, times_in_zone
from uplift.experiment import Experiment
from uplift.frames import UNIT, frame_digest, read_frame, require_rows, rows_by_id
from uplift.inference.moments import Moments
from uplift.inference.periods import PeriodMeans, covariances_of
from uplift.metrics import Metric
from uplift.outcome_rows import ASSIGNED, OCCURRED, refuse_not_finite
from uplift.trial import checked_assignment

PERIOD = "period"
METRIC, RATE = "metric", "metric per period"
HOLE_DAYS = 7  # without one response of anybody: the table is not complete

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Followed:
    """Assigned units and when the days of each begin to count.

    assignment  one row per unit, checked
    starts      (n_units,)  times in the experiment's zone
    """

    experiment: Experiment
    assignment: pd.DataFrame = field(repr=False)
    starts: pd.Series = field(repr=False)

    @classmethod
    def of(cls, experiment: Experiment, assigned: Any) -> "Followed":
        """The units of an assignment.

        Errors: EMPTY_INPUT; KIND_MISMATCH where waves are drawn anew; ARM_MISSING, ARM_TOO_SMALL
        for an arm with nobody, or with one unit (or cluster) only.
        """
        if is_redrawn(experiment):
            raise DefinitionError(
                f"{experiment.id} draws its waves anew: a customer is treated in one and control "
                "in another, so nobody is kept held out and there is no long term to read. Read a "
                "campaign whose units keep their arms, or the universal control.",
                code="KIND_MISMATCH",
            )
        table = checked_assignment(experiment, assigned)
        require_rows(table, what="assignment")
        _require_arms(experiment, table)
        zone = experiment.schedule.timezone
        launch = pd.Timestamp(experiment.schedule.launch_at).tz_convert(zone)
        starts = pd.Series(launch, index=table.index)
        if experiment.kind == "trigger" and ASSIGNED in table.columns:
            starts = times_in_zone(table[ASSIGNED], zone, what="assignment")
        return cls(experiment, table, starts)

    def ends_at(self, day: float) -> datetime:
        """When the last unit has been watched for so many days."""
        last: datetime = self.starts.max().to_pydatetime()
        return last.astimezone(UTC) + timedelta(days=day)


@dataclass(frozen=True, eq=False)
class Panel:
    """What every unit brought in every period.

    ends         days after the start at which each period ends
    arm          (n_units,)  position in `arms`
    cluster      (n_units,)  code of the cluster that was drawn; None where units were
    values       by reading, (n_units, n_periods): METRIC adds up to the metric until any period's
                 end (of a share: first times); RATE is the metric of each period alone; GROSS is
                 the profit before contact cost. A ratio has no METRIC
    """

    arms: tuple[str, ...]
    ends: tuple[float, ...]
    arm: IntArray = field(repr=False)
    cluster: IntArray | None = field(repr=False)
    values: Mapping[str, Array] = field(repr=False)
    data_digest: str
    checks: tuple[Check, ...]
    _means: dict[tuple[str, str], PeriodMeans] = field(default_factory=dict, repr=False)

    @property
    def periods(self) -> tuple[str, ...]:
        """Names of the periods, by the day they end."""
        return tuple(period_name(end) for end in self.ends)

    @property
    def counts(self) -> dict[str, int]:
        """Units per arm, control first."""
        found = np.bincount(self.arm, minlength=len(self.arms)).tolist()
        return dict(zip(self.arms, found, strict=True))

    @property
    def randomised(self) -> dict[str, int]:
        """What was drawn, per arm: units, or clusters."""
        if self.cluster is None:
            return self.counts
        codes = self.cluster
        return {name: len(np.unique(codes[self.arm == i])) for i, name in enumerate(self.arms)}

    def means(self, reading: str, arm: str) -> PeriodMeans:
        """One arm's mean per unit in each period, with the covariances of the same units."""
        if (reading, arm) not in self._means:
            self._means[reading, arm] = self._counted(reading, arm)
        return self._means[reading, arm]

    def _counted(self, reading: str, arm: str) -> PeriodMeans:
        mine = self.arm == self.arms.index(arm)
        rows = self.values[reading][mine]
        n_units, names = len(rows), self.periods
        if self.cluster is not None:
            rows = per_unit_of_clusters(rows, self.cluster[mine])
        columns = dict(zip(names, rows.T, strict=True))
        moments = Moments.of(columns, names, covariances_of(names))
        return replace(PeriodMeans.of_panel(moments, names), n_units=float(n_units))


def period_name(end: float) -> str:
    """A period by the day it ends, e.g. `day 28`."""
    return f"day {end:g}"


def panel_of(
    followed: Followed, outcomes: Any, *, ends: Sequence[float], numbered: bool = True
) -> Panel:
    """Sum a long table by unit and period.

    outcomes  `unit`, the columns of the primary metric and the economics, and `occurred_at` or
              (where periods are `numbered`) `period`, counted from 1
    ends      days at which the periods end, rising; later rows are left out

    Errors: EMPTY_INPUT, COLUMN_MISSING, PERIOD_UNKNOWN, PERIOD_EMPTY (no unit has a row in a
    week or more: the table is not complete), ID_DUPLICATE (a unit and period twice), TIME_INVALID,
    OUTCOME_NOT_NUMERIC, OUTCOME_NOT_FINITE, OUTCOME_NOT_BINARY, CLUSTER_TWO_ARMS and those of ids
    and assignments.
    """
    experiment, units = followed.experiment, followed.assignment[UNIT]
    table = read_frame(outcomes, what="outcomes", require=columns_of(experiment))
    require_rows(table, what="outcomes")
    unit = rows_by_id(table[UNIT], among=units)
    known = unit >= 0
    checks = tuple(_unassigned(table.loc[~known, UNIT]))
    table, unit = table[known].reset_index(drop=True), unit[known]
    period = _periods(followed, table, unit, ends, numbered=numbered)
    kept = (period >= 0) & (period < len(ends))
    cells = _Cells(table[kept], unit[kept], period[kept], (len(units), len(ends)))
    cells.require_no_hole(ends)
    codes = {name: i for i, name in enumerate(experiment.arm_names)}
    arm = np.asarray(followed.assignment["arm"].map(codes), dtype=np.int64)
    cluster = None
    if experiment.cluster is not None:
        cluster = np.asarray(pd.factorize(followed.assignment["cluster"])[0], dtype=np.int64)
        require_whole_clusters(arm, cluster)
    values = cells.readings(experiment, arm)
    return Panel(
        arms=experiment.arm_names,
        ends=tuple(ends),
        arm=arm,
        cluster=cluster,
        values=values,
        data_digest=_digest(followed.assignment, values),
        checks=checks,
    )


def columns_of(experiment: Experiment) -> tuple[str, ...]:
    """Outcome columns that the long term needs: of the primary metric and the economics."""
    primary = experiment.primary
    own = () if primary.kind == "ratio" else (primary.column,)
    return tuple(dict.fromkeys((*own, *experiment.economics.outcomes)))


def per_unit_of_clusters(rows: Array, cluster: IntArray) -> Array:
    """Values per cluster whose mean is that per unit, and whose spread gives its error.

        (total - mean size) / average size + mean,   mean = sum of totals / sum of sizes

    rows     (n_units, n_columns)
    cluster  (n_units,)
    returns  (n_clusters, n_columns)

    Source: Deng, Knoblich & Lu (2018), KDD, the delta method's linearised values.
    """
    _, code = np.unique(cluster, return_inverse=True)
    size = np.bincount(code).astype(np.float64)
    total = np.stack([np.bincount(code, weights=column) for column in rows.T], axis=1)
    mean = total.sum(axis=0) / size.sum()
    return np.asarray((total - size[:, None] * mean) / size.mean() + mean)


def require_whole_clusters(arm: Any, cluster: IntArray) -> None:
    """Refuse clusters with units in several arms.

    arm, cluster  (n_units,)

    Errors: CLUSTER_TWO_ARMS.
    """
    torn = int((pd.Series(arm).groupby(np.asarray(cluster)).nunique() > 1).sum())
    if torn:
        raise DataError(
            f"assignment: {torn} cluster(s) have units in more than one arm, though clusters were "
            "randomised. Use the assignment this experiment made.",
            code="CLUSTER_TWO_ARMS",
            column="cluster",
            count=torn,
        )


@dataclass(frozen=True, eq=False)
class _Cells:
    """Rows of the table with their place: unit and period, from 0.

    shape  n_units, n_periods
    """

    table: pd.DataFrame
    unit: IntArray
    period: IntArray
    shape: tuple[int, int]

    def require_no_hole(self, ends: Sequence[float]) -> None:
        """Refuse a table that holds nothing of a week or more: no row must mean no response."""
        counts = np.bincount(self.period, minlength=len(ends))
        start = last = 0.0
        for count, end in zip(counts, ends, strict=True):
            start, last = (end, end) if count else (start, end)
            if last - start >= HOLE_DAYS:
                raise DataError(
                    f"outcomes: no assigned unit has a row between day {start:g} and day {end:g}. "
                    "Units without a row count as nothing, so a table that is not complete would "
                    "read as an effect of 0: give all responses up to the day that is read.",
                    code="PERIOD_EMPTY",
                    column=OCCURRED,
                )

    def readings(self, experiment: Experiment, arm: IntArray) -> dict[str, Array]:
        primary, economics = experiment.primary, experiment.economics
        value = self.total(economics.value_outcome)
        gross = economics.margin_rate * value
        if economics.redemption_outcome is not None:
            cost = economics.redemption_costs(experiment.arm_names)[arm]
            gross = gross - cost[:, None] * self.total(economics.redemption_outcome)
        found = {GROSS: gross}
        if primary.kind == "mean":
            same = primary.column == economics.value_outcome
            metric = value if same else self.total(primary.column)
            found |= {METRIC: metric, RATE: metric}
        elif primary.kind == "proportion":
            whether = self.whether(primary)
            found |= {METRIC: _first_time(whether), RATE: whether}
        return found

    def total(self, column: str) -> Array:
        """Sum by unit and period, (n_units, n_periods)."""
        return self._sums(_numbers(self.table[column], column))

    def whether(self, metric: Metric) -> Array:
        """1 where a unit has a 1 in a period, (n_units, n_periods)."""
        values = _numbers(self.table[metric.column], metric.column)
        wrong = np.flatnonzero((values != 0) & (values != 1))
        if len(wrong):
            raise DataError(
                f"outcomes: {metric.key} is a proportion, so {metric.column!r} must be 0 or 1; "
                f"found {values[wrong[0]]:g}. Recode it or define it as a mean.",
                code="OUTCOME_NOT_BINARY",
                column=metric.column,
                count=len(wrong),
            )
        return (self._sums(values) > 0).astype(np.float64)

    def _sums(self, values: Array) -> Array:
        n_units, n_periods = self.shape
        place = self.unit * n_periods + self.period
        sums = np.bincount(place, weights=values, minlength=n_units * n_periods)
        return np.asarray(sums.reshape(self.shape), dtype=np.float64)


def _require_arms(experiment: Experiment, assignment: pd.DataFrame) -> None:
    drawn = UNIT if experiment.cluster is None else "cluster"
    counts = assignment.groupby("arm")[drawn].nunique()
    for arm in experiment.arm_names:
        count = int(counts.get(arm, 0))
        if count < 2:
            found = "nobody" if count == 0 else f"one {drawn}"
            raise DataError(
                f"assignment: arm {arm!r} has {found}; at least 2 are needed for the error of a "
                "mean. Give the assignment that this experiment made, whole.",
                code="ARM_TOO_SMALL" if count else "ARM_MISSING",
                column="arm",
                count=count,
            )


def _first_time(whether: Array) -> Array:
    """1 in the first period of each unit that has a 1, so that sums say who ever did."""
    first = np.zeros_like(whether)
    did = whether.any(axis=1)
    first[did, whether[did].argmax(axis=1)] = 1.0
    return first


def _periods(
    followed: Followed,
    table: pd.DataFrame,
    unit: IntArray,
    ends: Sequence[float],
    *,
    numbered: bool,
) -> IntArray:
    """The period of each row, from 0; -1 before the start."""
    if OCCURRED not in table.columns and numbered and PERIOD in table.columns:
        return _numbered(table, ends)
    if OCCURRED not in table.columns:
        more = " or 'period' (see `reread_periods`)" if numbered else ""
        raise DataError(
            f"outcomes: a column 'occurred_at'{more} is needed, so that it is known when each "
            "response came. Give one row per response.",
            code="COLUMN_MISSING",
            column=OCCURRED,
        )
    times = times_in_zone(table[OCCURRED], followed.experiment.schedule.timezone, what="outcomes")
    if times.isna().any():
        raise DataError(
            f"outcomes: {int(times.isna().sum())} row(s) have no time, first in row "
            f"{int(np.flatnonzero(times.isna())[0]) + 1} of assigned units. Repair the source.",
            code="TIME_INVALID",
            column=OCCURRED,
            count=int(times.isna().sum()),
        )
    days = days_between(followed.starts.iloc[unit].reset_index(drop=True), times)
    found = np.searchsorted(np.asarray(ends, dtype=np.float64), days, side="right")
    return np.where(days < 0, -1, found).astype(np.int64)


def _numbered(table: pd.DataFrame, ends: Sequence[float]) -> IntArray:
    numbers = _numbers(table[PERIOD], PERIOD)
    wrong = np.flatnonzero((numbers < 1) | (numbers != np.round(numbers)))
    if len(wrong):
        raise DataError(
            f"outcomes: a period is a number from 1 on, found {numbers[wrong[0]]:g}. Number the "
            "periods as `reread_periods` does.",
            code="PERIOD_UNKNOWN",
            column=PERIOD,
            count=len(wrong),
        )
    repeated = table.duplicated([UNIT, PERIOD])
    if repeated.any():
        raise DataError(
            f"outcomes: {int(repeated.sum())} row(s) repeat a unit and period. Sum them first, or "
            "give 'occurred_at'.",
            code="ID_DUPLICATE",
            column=PERIOD,
            count=int(repeated.sum()),
        )
    return numbers.astype(np.int64) - 1


def _numbers(column: pd.Series, name: str) -> Array:
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise DataError(
            f"outcomes: column {name!r} must hold numbers, but is {column.dtype}. Write numbers "
            "with a decimal point and no currency sign.",
            code="OUTCOME_NOT_NUMERIC",
            column=name,
        )
    values = np.asarray(column.to_numpy(np.float64, na_value=np.nan), dtype=np.float64)
    refuse_not_finite(values, column=name)
    return values


def _unassigned(units: pd.Series) -> Iterator[Check]:
    if len(units):
        yield warning(
            "EXPOSED_UNASSIGNED",
            value=units.nunique(),
            remedy="These units have outcomes but no assignment; they are left out, never counted "
            "as control. In a table of all customers' purchases this is as it should be.",
        )


def _digest(assignment: pd.DataFrame, values: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(frame_digest(assignment[[UNIT, "arm"]]).encode())
    for name, matrix in sorted(values.items()):
        digest.update(name.encode() + np.ascontiguousarray(matrix).tobytes())
    return digest.hexdigest()
