"""Quantiles as GrowthBook (gbstats 0.8): from a sample quantile and two order statistics.

Ours are in `quantiles`. Theirs floors a variance at 1e-5 from 100 units on, in the metric's unit
squared, so the scale of a metric changes its interval.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from uplift.errors import DataError
from uplift.inference.moments import Moments
from uplift.inference.parity.growthbook import Difference, Effect
from uplift.inference.ratios import covariance_of_ratios

FLOOR, FLOOR_UNITS = 1e-5, 100
FEW_UNITS = 1_000  # below, bounds that coincide mean "no estimate"
LEVEL = 0.95  # of the order statistics, always


@dataclass(frozen=True, kw_only=True)
class QuantileBounds:
    """A sample quantile with the order statistics around it.

    n_units     values behind the quantile
    level       of the quantile, in (0, 1)
    n_star      units for which the ranks of the bounds were computed; n_units when not given
    clusters    of a quantile over events: per randomised unit the events at or below the quantile
                ("below") and all events ("events"); their moments with covariance
    """

    n_units: float
    level: float
    value: float
    lower: float
    upper: float
    n_star: float | None = None
    clusters: Moments | None = None

    @property
    def variance(self) -> float:
        """Per value: n_units times that of the quantile.

        (n_star / n) (n - 1) ((upper - lower) / (2 z))^2, times var(share below, by cluster) /
        (level (1 - level) / n) where units have several values
        """
        n_star = self.n_units if self.n_star is None else self.n_star
        z = float(stats.norm.isf((1 - LEVEL) / 2))
        spread = n_star / self.n_units * (self.n_units - 1)
        found = spread * ((self.upper - self.lower) / (2 * z)) ** 2
        if self.clusters is not None:
            found *= self._cluster_factor(self.clusters)
        return found if self.n_units < FLOOR_UNITS else max(found, FLOOR)

    def _cluster_factor(self, clusters: Moments) -> float:
        pair = ("below", "events")
        by_cluster = covariance_of_ratios(clusters, first=pair, second=pair) / clusters.count
        return by_cluster / (self.level * (1 - self.level) / self.n_units)

    @property
    def estimable(self) -> bool:
        """Whether the ranks exist, and the bounds differ where there are few values."""
        z2 = float(stats.norm.isf((1 - LEVEL) / 2)) ** 2
        odds = self.level / (1 - self.level)
        if self.n_units <= z2 * max(odds, 1 / odds):
            return False
        return self.upper > self.lower or self.n_units >= FEW_UNITS


def quantile_effect(
    treatment: QuantileBounds, control: QuantileBounds, *, difference: Difference = "relative"
) -> Effect:
    """Difference of two quantiles, as one of means with these variances."""
    for arm in (treatment, control):
        if not arm.estimable:
            raise DataError(
                f"The {arm.level:g} quantile of {arm.n_units:g} values has no error: too few, or "
                "its bounds coincide.",
                code="QUANTILE_UNDEFINED",
            )
    base, apart = control.value, treatment.value - control.value
    v_t, v_c = treatment.variance / treatment.n_units, control.variance / control.n_units
    df = (v_t + v_c) ** 2 / (v_t**2 / (treatment.n_units - 1) + v_c**2 / (control.n_units - 1))
    variance, effect = v_t + v_c, apart
    if difference == "relative":
        if base == 0:
            raise DataError(
                "The control's quantile is 0, so there is no relative effect.",
                code="RATIO_UNDEFINED",
            )
        effect = apart / abs(base)
        variance = v_t / base**2 + v_c * treatment.value**2 / base**4
    return Effect(
        effect=effect,
        std_error=float(np.sqrt(variance)),
        df=df,
        n_units=treatment.n_units + control.n_units,
        control_mean=base,
        difference=difference,
    )
