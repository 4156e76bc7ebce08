"""Has the universal control become another population than those it stands for?

Customers held out for long may stop being like the others: they leave more or less often, forget
the brand, or fall out of segments. Each cohort is compared with those of its own draw, weighted as
in `comparison_by_cohort`, in what is known of them today:

    difference  (control mean - comparison mean) / pooled standard deviation
    drift       slope of the cohorts' differences on their age, weighted by their exactness

p-values are adjusted by Holm over the covariates. A difference is warned of when it is larger than
the bound and more than chance: in a small control chance alone exceeds the bound, in a large one
every trifle is more than chance. Warnings block nothing; the remedy is to rotate sooner.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from uplift.assignment.order import distinct_customers
from uplift.checks import Check
from uplift.errors import DataError
from uplift.experiment import CONTROL
from uplift.frames import UNIT, rows_by_id
from uplift.inference.multiplicity import holm
from uplift.table import Column, Result, Table, format_value
from uplift.trial import NOT_FEATURES

BOUND = 0.1  # standard deviations: a usual mark of a difference that matters (Austin 2009)
ALARM_P_VALUE = 0.01  # after Holm
STILL_THERE = "still_a_customer"  # whether a unit of the draw is in the customer table today
YEAR_DAYS = 365.25

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CohortGap:
    """One covariate of one cohort; difference in standard deviations, with its standard error."""

    covariate: str
    cohort: int
    age_days: float
    n_control: int
    control_mean: float
    comparison_mean: float
    difference: float
    std_error: float


@dataclass(frozen=True)
class Drift:
    """One covariate over all cohorts.

    difference      mean of the cohorts' differences, weighted by their exactness
    p_value         of no difference, adjusted by Holm
    slope           change of the difference per year of being held out; None with one age only
    slope_p_value   of no change, adjusted by Holm
    at_oldest       what the slope makes of the oldest cohort: slope * its age
    """

    covariate: str
    difference: float
    p_value: float
    slope: float | None
    slope_p_value: float | None
    at_oldest: float | None


@dataclass(frozen=True, repr=False)
class Divergence(Result):
    """How far the control has moved from those it stands for, per covariate."""

    programme: str
    as_of: datetime
    bound: float
    gaps: tuple[CohortGap, ...]
    drifts: tuple[Drift, ...]
    checks: tuple[Check, ...]

    def table(self) -> Table:
        """One row per covariate."""
        columns = (
            Column("covariate"),
            Column("standardised difference", kind="signed"),
            Column("p value", kind="p_value"),
            Column("drift per year", kind="signed"),
            Column("at the oldest cohort", kind="signed"),
            Column("p value of drift", kind="p_value"),
        )
        rows = [
            (d.covariate, d.difference, d.p_value, d.slope, d.at_oldest, d.slope_p_value)
            for d in self.drifts
        ]
        bound = format_value(self.bound, "number")
        note = f"Control minus comparison; p values adjusted by Holm; warned of beyond ±{bound}."
        return Table(f"Divergence of {self.programme}", columns, rows, note=note)

    def cohorts_table(self) -> Table:
        """One row per covariate and cohort."""
        columns = (
            Column("covariate"),
            Column("cohort", kind="count"),
            Column("age in days", kind="count"),
            Column("control units", kind="count"),
            Column("control mean", kind="number"),
            Column("comparison mean", kind="number"),
            Column("standardised difference", kind="signed"),
        )
        rows = [
            (
                g.covariate,
                g.cohort,
                g.age_days,
                g.n_control,
                g.control_mean,
                g.comparison_mean,
                g.difference,
            )
            for g in self.gaps
        ]
        return Table("Divergence by cohort", columns, rows)


def check_divergence(
    comparisons: Iterable[tuple[int, pd.DataFrame]],
    customers: Any,
    *,
    starts: Mapping[int, datetime],
    as_of: datetime,
    programme: str = "universal control",
    bound: float = BOUND,
) -> Divergence:
    """Compare each cohort with those of its draw in every number known of customers today.

    comparisons  as `comparison_by_cohort` gives them
    customers    today's customer table; units of a draw that are not in it have left
    starts       when each cohort was drawn

    Errors: those of ids, ID_DUPLICATE, CONTROL_EMPTY.
    """
    table = distinct_customers(customers)
    names = [n for n in table.select_dtypes(["number", "bool"]).columns if n not in NOT_FEATURES]
    gaps = [
        gap
        for cohort, compared in comparisons
        for gap in _gaps(
            compared,
            table,
            names,
            cohort=cohort,
            age_days=(as_of - starts[cohort]).total_seconds() / 86_400,
        )
    ]
    if not gaps:
        raise DataError(
            f"{programme}: nobody is held out on {as_of:%Y-%m-%d}, so nothing can diverge. Rotate "
            "first.",
            code="CONTROL_EMPTY",
        )
    by_name = {name: [g for g in gaps if g.covariate == name] for name in (STILL_THERE, *names)}
    drifts = _adjusted([_drift(name, found) for name, found in by_name.items()])
    checks = tuple(check for drift in drifts for check in _checks(drift, bound))
    return Divergence(programme, as_of, bound, tuple(gaps), tuple(drifts), checks)


def _gaps(
    compared: pd.DataFrame, table: pd.DataFrame, names: list[str], *, cohort: int, age_days: float
) -> Iterator[CohortGap]:
    rows = rows_by_id(compared[UNIT], among=table[UNIT])
    control = (compared["arm"] == CONTROL).to_numpy(dtype=np.bool_)
    weight = compared["weight"].to_numpy(dtype=np.float64)
    codes = pd.factorize(compared["cluster"])[0]
    for name in (STILL_THERE, *names):
        if name == STILL_THERE:
            values = (rows >= 0).astype(np.float64)
        else:
            column = table[name].to_numpy(dtype=np.float64, na_value=np.nan)
            values = np.where(
                rows >= 0, column[np.maximum(rows, 0)] if len(column) else np.nan, np.nan
            )
        known = np.isfinite(values)
        sides = [
            _weighted(values[known & side], weight[known & side], codes[known & side])
            for side in (control, ~control)
        ]
        (own, own_error, own_variance), (other, other_error, other_variance) = sides
        spread = float(np.sqrt((own_variance + other_variance) / 2))
        gap, error = own - other, float(np.hypot(own_error, other_error))
        yield CohortGap(
            covariate=name,
            cohort=cohort,
            age_days=age_days,
            n_control=int((known & control).sum()),
            control_mean=own,
            comparison_mean=other,
            difference=gap / spread if spread > 0 else (0.0 if gap == 0 else float("nan")),
            std_error=error / spread if spread > 0 else float("nan"),
        )


def _weighted(values: Array, weight: Array, codes: Any) -> tuple[float, float, float]:
    """Weighted mean, its standard error by cluster, and the variance; nan below two clusters."""
    if len(values) < 2 or len(np.unique(codes)) < 2:
        return float("nan"), float("nan"), float("nan")
    if np.ptp(values) == 0:
        return float(values[0]), 0.0, 0.0  # exactly: a rounding error is no spread
    share = weight / weight.sum()
    mean = float(share @ values)
    sums = np.bincount(codes, weights=share * (values - mean))
    n_clusters = len(np.unique(codes))
    error = float(np.sqrt((sums @ sums) * n_clusters / (n_clusters - 1)))
    return mean, error, float(share @ (values - mean) ** 2)


def _drift(name: str, gaps: list[CohortGap]) -> Drift:
    """Mean and slope over the cohorts by weighted least squares, p values unadjusted."""
    usable = [g for g in gaps if np.isfinite(g.difference) and g.std_error > 0]
    if not usable:
        same = all(g.difference == 0 for g in gaps)
        return Drift(name, 0.0 if same else float("nan"), 1.0 if same else 0.0, None, None, None)
    difference, error, years = (
        np.array(found)
        for found in zip(
            *((g.difference, g.std_error, g.age_days / YEAR_DAYS) for g in usable), strict=True
        )
    )
    exactness = 1 / error**2
    mean = float(exactness @ difference / exactness.sum())
    p_value = _p_value(mean * np.sqrt(exactness.sum()))
    centred = years - exactness @ years / exactness.sum()
    information = float(exactness @ centred**2)
    if len(usable) < 2 or np.ptp(years) == 0:
        return Drift(name, mean, p_value, None, None, None)
    slope = float(exactness @ (centred * difference)) / information
    oldest = slope * float(years.max())
    return Drift(name, mean, p_value, slope, _p_value(slope * np.sqrt(information)), oldest)


def _adjusted(drifts: list[Drift]) -> list[Drift]:
    """The p values of differences and of slopes, each family adjusted by Holm."""
    plain = holm([d.p_value for d in drifts])
    slopes = holm([np.nan if d.slope_p_value is None else d.slope_p_value for d in drifts])
    return [
        Drift(
            d.covariate,
            d.difference,
            float(p),
            d.slope,
            None if d.slope_p_value is None else float(slope_p),
            d.at_oldest,
        )
        for d, p, slope_p in zip(drifts, plain, slopes, strict=True)
    ]


def _checks(drift: Drift, bound: float) -> Iterator[Check]:
    yield Check(
        f"divergence {drift.covariate}",
        passed=abs(drift.difference) <= bound or drift.p_value >= ALARM_P_VALUE,
        value=drift.difference,
        bound=bound,
        remedy=f"{drift.covariate}: the control is no longer like those of its draws. Rotate "
        "sooner, and read programme effects as those of having been held out so long.",
        code="CONTROL_DIVERGED",
        blocking=False,
    )
    if drift.slope_p_value is not None and drift.at_oldest is not None:
        yield Check(
            f"drift {drift.covariate}",
            passed=abs(drift.at_oldest) <= bound or drift.slope_p_value >= ALARM_P_VALUE,
            value=drift.at_oldest,
            bound=bound,
            remedy=f"{drift.covariate}: the longer customers are held out, the less they are like "
            "the others. Hold out for a shorter time: more frequent rotation or fewer cohorts.",
            code="CONTROL_DRIFTS",
            blocking=False,
        )


def _p_value(z: float) -> float:
    return float(2 * stats.norm.sf(abs(z)))
