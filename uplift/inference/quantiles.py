"""Quantiles per arm by order statistics, and their difference.

A quantile's error depends on how dense the values are around it, and two order statistics show that
density. Where many units share one value (0 for most customers' spend) there is no density and no
error: the quantile is then undefined here, never "0 with an interval of no width".

Source: Deng, Knoblich & Lu (2018), "Applying the Delta Method in Metric Analytics", KDD, section 4;
Yao, Li & Lu (2024), "Fast quantile tests", arXiv 2408.09321.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.errors import DataError, DefinitionError
from uplift.inference.means import ArmMean, Estimate, contrast
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]

RANK_LEVEL = 0.95  # of the order statistics that show the density
NORMAL_DF = 1e12


@dataclass(frozen=True, kw_only=True, repr=False)
class Quantile(Result):
    """A quantile of one arm.

    value           the sample quantile, always given
    lower, upper    order statistics of its 95 % interval; nan when there are too few values
    std_error       nan when it is undefined
    cluster_factor  variance of the share of values below, by cluster, over that of independent
                    values; 1 without clusters
    why_undefined   empty when the quantile has an error
    """

    level: float
    value: float
    lower: float
    upper: float
    std_error: float
    n_values: int
    cluster_factor: float = 1.0
    why_undefined: str = ""

    @property
    def defined(self) -> bool:
        """Whether it has an error."""
        return not self.why_undefined

    def table(self) -> Table:
        """One row."""
        columns = (
            Column("level", kind="number"),
            Column("value", kind="number"),
            Column("95 % interval", kind="interval"),
            Column("values", kind="count"),
        )
        shown = (self.lower, self.upper) if self.defined else (math.nan, math.nan)
        row = (self.level, self.value, shown, self.n_values)
        return Table("Quantile", columns, [row], note=self.why_undefined)


def quantile_ranks(
    n_values: int, *, level: float, cluster_factor: float = 1.0
) -> tuple[int, int, int] | None:
    """Ranks (from 1) of lower bound, quantile and upper bound; None when beyond the values.

        n (level -+ z sqrt(factor level (1 - level) / n)),  z of 95 %

    A warehouse returns the three values of these ranks, and `quantile_of_bounds` the error.
    """
    if not 0 < level < 1:
        raise DefinitionError(
            f"The level of a quantile must be between 0 and 1, got {level}.",
            code="PROBABILITY_INVALID",
        )
    z = float(stats.norm.ppf(0.5 + RANK_LEVEL / 2))
    half = z * math.sqrt(cluster_factor * level * (1 - level) * n_values)
    middle = n_values * level
    low, high = math.floor(middle - half), math.ceil(middle + half) + 1
    if low < 1 or high > n_values:
        return None
    return low, max(math.ceil(middle), 1), high


def quantile_of(values: Any, *, level: float, clusters: Any = None) -> Quantile:
    """The quantile of an arm's values, with its error.

    values    (n_values,)
    clusters  (n_values,)  randomised unit of each value, when units have several (orders of a
              customer); the error is then that of the units
    """
    y = np.asarray(values, dtype=np.float64)
    if not np.all(np.isfinite(y)):
        raise DataError(
            f"A quantile needs finite values; {int(np.sum(~np.isfinite(y)))} are not. Decide what "
            "a missing value means first.",
            code="OUTCOME_MISSING",
        )
    if len(y) == 0:
        return _undefined(level, math.nan, 0, 1.0, "no values")
    ordered = np.sort(y)
    value = float(ordered[max(math.ceil(len(y) * level), 1) - 1])
    factor = 1.0
    if clusters is not None:
        factor = cluster_factor(y <= value, clusters)
    ranks = quantile_ranks(len(y), level=level, cluster_factor=factor)
    if ranks is None:
        return _undefined(level, value, len(y), factor, _too_few(len(y), level))
    low, _, high = ranks
    return quantile_of_bounds(
        value,
        lower=float(ordered[low - 1]),
        upper=float(ordered[high - 1]),
        level=level,
        n_values=len(y),
        cluster_factor=factor,
    )


def quantile_of_bounds(
    value: float,
    *,
    lower: float,
    upper: float,
    level: float,
    n_values: int,
    cluster_factor: float = 1.0,
) -> Quantile:
    """From the values at `quantile_ranks`.

        std_error = (upper - lower) / (ranks between) * sqrt(factor n level (1 - level))

    that is (upper - lower) / (2 z), but for the rounding of ranks to whole numbers. Undefined when
    the quantile coincides with a bound: then many units share its value.
    """
    ranks = quantile_ranks(n_values, level=level, cluster_factor=cluster_factor)
    if ranks is None:
        return _undefined(level, value, n_values, cluster_factor, _too_few(n_values, level))
    if not lower < value < upper:
        why = f"too many of the {n_values:,} values equal {value:g} for the {level:g} quantile"
        return _undefined(level, value, n_values, cluster_factor, why)
    of_rank = math.sqrt(cluster_factor * n_values * level * (1 - level))
    return Quantile(
        level=level,
        value=value,
        lower=lower,
        upper=upper,
        std_error=(upper - lower) / (ranks[2] - ranks[0]) * of_rank,
        n_values=n_values,
        cluster_factor=cluster_factor,
    )


def cluster_factor(below: Any, clusters: Any) -> float:
    """How much larger the variance of the share of values below is, because units have several.

        var(sum_i below_i / sum_i count_i, over units i) / (share (1 - share) / n_values)

    by the delta method. Values of one unit that are alike make it larger than 1.

    below     (n_values,)  whether each value is at or below the quantile
    clusters  (n_values,)  its randomised unit
    """
    indicator = np.asarray(below, dtype=np.float64)
    _, unit = np.unique(np.asarray(clusters), return_inverse=True)
    if len(unit) != len(indicator):
        raise DataError(
            f"There must be one cluster per value, got {len(unit)} for {len(indicator)}.",
            code="SHAPE_MISMATCH",
        )
    count = np.bincount(unit).astype(np.float64)
    share = float(indicator.mean())
    if len(count) < 2 or share in (0.0, 1.0):
        return 1.0
    residual = np.bincount(unit, weights=indicator) - share * count
    n, n_units = len(indicator), len(count)
    by_unit = float(residual @ residual) / (n_units - 1) * n_units / n**2
    return by_unit / (share * (1 - share) / n)


def quantile_difference(
    treatment: Quantile, control: Quantile, *, confidence: float = 0.95
) -> Estimate:
    """Treatment's quantile less the control's, on a normal; relative on the log scale.

    When either is undefined, so is the effect: effect, interval and p-value are nan, and the arms'
    `why_undefined` say why. The sample quantiles themselves are kept.

    n_control, n_treatment  of the estimate are numbers of values
    """
    if treatment.level != control.level:
        raise DefinitionError(
            f"Quantiles of different levels are not compared: {treatment.level} and "
            f"{control.level}.",
            code="PROBABILITY_INVALID",
        )
    if not (treatment.defined and control.defined):
        nan = math.nan
        return Estimate(
            effect=nan,
            std_error=nan,
            ci=(nan, nan),
            p_value=nan,
            df=nan,
            control_mean=control.value,
            treatment_mean=treatment.value,
            relative_effect=nan,
            relative_ci=(nan, nan),
            relative_std_error=nan,
            n_control=control.n_values,
            n_treatment=treatment.n_values,
        )
    t, c = (
        ArmMean(
            value=arm.value,
            rest=0.0,
            variance=arm.std_error**2,
            df=NORMAL_DF,
            n_units=arm.n_values,
        )
        for arm in (treatment, control)
    )
    return contrast(t, c, confidence=confidence, shared_df=NORMAL_DF)


def _undefined(level: float, value: float, n: int, factor: float, why: str) -> Quantile:
    return Quantile(
        level=level,
        value=value,
        lower=math.nan,
        upper=math.nan,
        std_error=math.nan,
        n_values=n,
        cluster_factor=factor,
        why_undefined=why,
    )


def _too_few(n: int, level: float) -> str:
    return f"{n:,} values are too few for an interval of the {level:g} quantile"
