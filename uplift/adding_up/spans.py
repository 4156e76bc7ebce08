"""What a universal control measures of the whole programme, over spans between its rotations.

In each span every cohort is compared with those of its own draw; the effect of a span is the mean
over its cohorts, and that of the year the sum of its spans. A customer is in several spans and
cohorts, maybe in both arms, so the error is of customers' contributions, each added up first:

    contribution_i = sum over spans and cohorts of  w_i (y_i - mean) / n_cohorts,  per arm
    covariance of the arms' means = sum over customers of contribution' contribution

Source: Liang & Zeger (1986), Biometrika 73(1), for an error by customer; weights as in
`uplift.assignment.universal`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.assignment.universal import PROGRAMME
from uplift.errors import DataError
from uplift.event_times import in_utc, is_by_day, times_in_zone
from uplift.experiment import CONTROL
from uplift.frames import UNIT, read_frame, require_rows, rows_by_id
from uplift.inference.means import ArmMean, Estimate, contrast
from uplift.outcome_rows import OCCURRED, refuse_not_finite

HOLE_DAYS = 32  # without one response of anybody: a month is missing in the table
ARMS = (CONTROL, PROGRAMME)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Span:
    """A time in which nobody changed places.

    parts  one table per cohort: `unit`, `cluster`, `arm` (control or programme) and `weight`,
           which adds up to 1 per arm
    """

    starts_at: datetime
    ends_at: datetime
    parts: tuple[pd.DataFrame, ...] = field(repr=False)

    def mean_of(self, values: pd.Series, arm: str) -> float:
        """Weighted mean over the cohorts of a number per unit, 0 where a unit has none.

        values  by unit
        """
        means = []
        for part in self.parts:
            mine = part[part["arm"] == arm]
            known = mine[UNIT].map(values).fillna(0.0).to_numpy(np.float64)
            means.append(float(mine["weight"].to_numpy(np.float64) @ known))
        return float(np.mean(means))

    def units(self, arm: str) -> pd.Series:
        """Units of one arm, each once."""
        parts = [part.loc[part["arm"] == arm, UNIT] for part in self.parts]
        return pd.concat(parts, ignore_index=True).drop_duplicates(ignore_index=True)


@dataclass(frozen=True, eq=False)
class Responses:
    """What customers brought, by unit and span.

    totals  one series per span, by unit; who has none is not in it
    """

    totals: tuple[pd.Series, ...] = field(repr=False)

    @classmethod
    def of(cls, table: Any, spans: Sequence[Span], *, column: str, zone: str) -> "Responses":
        """Sum a long table: `unit`, `occurred_at` and the column; other times are left out.

        Errors: EMPTY_INPUT, COLUMN_MISSING, TIME_INVALID, OUTCOME_NOT_NUMERIC,
        OUTCOME_NOT_FINITE, PERIOD_EMPTY (a month without one response: the table is not complete)
        and those of ids.
        """
        frame = read_frame(table, what="outcomes", require=[OCCURRED, column])
        require_rows(frame, what="outcomes")
        times = times_in_zone(frame[OCCURRED], zone, what="outcomes")
        bounds = pd.Series([*(span.starts_at for span in spans), spans[-1].ends_at])
        bounds = bounds.dt.tz_convert(zone)
        if is_by_day(times):  # a day counts whole
            bounds = bounds.dt.normalize()
        edges, when = in_utc(bounds), in_utc(times)
        members = pd.concat([part[UNIT] for span in spans for part in span.parts])
        known = rows_by_id(frame[UNIT], among=members.drop_duplicates()) >= 0
        inside = known & (when >= edges[0]) & (when < edges[-1])
        _refuse_hole(np.sort(np.concatenate([edges[[0, -1]], when[inside]])))
        values = _numbers(frame.loc[inside, column], column)
        place = np.searchsorted(edges, when[inside], side="right") - 1
        sums = pd.Series(values).groupby([place, frame.loc[inside, UNIT].to_numpy()]).sum()
        found = (sums[sums.index.get_level_values(0) == i] for i in range(len(spans)))
        return cls(tuple(one.droplevel(0) for one in found))


@dataclass(frozen=True)
class Measured:
    """The programme against the universal control, per unit over all spans.

    n_held, n_programme  units that were in either arm at any time
    """

    estimate: Estimate
    n_held: int
    n_programme: int


def measured(spans: Sequence[Span], responses: Responses, *, confidence: float = 0.95) -> Measured:
    """The sum over spans of the mean difference, with an error by customer (or cluster).

    Errors: ARM_TOO_SMALL (fewer than two units in an arm).
    """
    means = dict.fromkeys(ARMS, 0.0)
    pieces: dict[str, list[pd.Series]] = {arm: [] for arm in ARMS}
    for span, totals in zip(spans, responses.totals, strict=True):
        for part in span.parts:
            for arm in ARMS:
                mean, own = _contributions(part[part["arm"] == arm], totals)
                means[arm] += mean / len(span.parts)
                pieces[arm].append(own / len(span.parts))
    by_customer = pd.concat(
        {arm: pd.concat(found).groupby(level=0).sum() for arm, found in pieces.items()}, axis=1
    ).fillna(0.0)
    covariance = by_customer.to_numpy().T @ by_customer.to_numpy()
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    units = {arm: pd.concat([span.units(arm) for span in spans]).nunique() for arm in ARMS}
    clusters = min(int(by_customer[arm].ne(0).sum()) for arm in ARMS)
    arms = {
        arm: ArmMean(means[arm], 0.0, 0.0, 1.0, float(units[arm]), root[i])
        for i, arm in enumerate(by_customer.columns)
    }
    found = contrast(
        arms[PROGRAMME], arms[CONTROL], confidence=confidence, shared_df=max(clusters - 1, 1)
    )
    return Measured(found, int(units[CONTROL]), int(units[PROGRAMME]))


def _contributions(part: pd.DataFrame, totals: pd.Series) -> tuple[float, pd.Series]:
    """The weighted mean of one arm of a cohort, and what each cluster adds to its error."""
    values = part[UNIT].map(totals).fillna(0.0).to_numpy(np.float64)
    weight = part["weight"].to_numpy(np.float64)
    mean = float(weight @ values)
    own = pd.Series(weight * (values - mean)).groupby(part["cluster"].to_numpy()).sum()
    n = len(own)
    if n < 2:
        raise DataError(
            f"An arm of a cohort has {n} unit(s); at least 2 are needed for the error of a mean. "
            "Make the control larger, or leave out cohorts that are too small.",
            code="ARM_TOO_SMALL",
            count=n,
        )
    return mean, own * np.sqrt(n / (n - 1))


def _refuse_hole(when: npt.NDArray[np.datetime64]) -> None:
    gaps = np.diff(when) / np.timedelta64(1, "D")
    if len(gaps) == 0 or gaps.max() < HOLE_DAYS:
        return
    i = int(gaps.argmax())
    raise DataError(
        f"outcomes: nobody of the programme has a row between {str(when[i])[:10]} and "
        f"{str(when[i + 1])[:10]}. Units without a row count as nothing, so give all responses of "
        "the time that is read.",
        code="PERIOD_EMPTY",
        column=OCCURRED,
    )


def _numbers(column: pd.Series, name: str) -> Array:
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise DataError(
            f"outcomes: column {name!r} must hold numbers, but is {column.dtype}. Repair the "
            "source.",
            code="OUTCOME_NOT_NUMERIC",
            column=name,
        )
    values = np.asarray(column.to_numpy(np.float64, na_value=np.nan), dtype=np.float64)
    refuse_not_finite(values, column=name)
    return values
