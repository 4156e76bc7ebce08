"""Means of one arm over several periods (weeks, months, waves), with how they move together.

The same customers watched week after week are correlated with themselves, so a sum over weeks is
not as uncertain as a sum over strangers. Everything about time (later effects, re-reads, market
shocks) is a weighted sum of period means.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError, DefinitionError
from uplift.inference.means import ArmMean, arm_mean, require_two
from uplift.inference.moments import Moments

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PeriodMeans:
    """One arm's mean in each period.

    periods     names, oldest first
    mean, rest  (n_periods,)             mean per unit, and what rounding cut off it
    covariance  (n_periods, n_periods)   of the means
    df          (n_periods,)             degrees of freedom of each variance
    same_units  whether every period is of the same units
    """

    periods: tuple[str, ...]
    mean: Array
    rest: Array = field(repr=False)
    covariance: Array
    df: Array
    n_units: float
    same_units: bool

    @classmethod
    def of_panel(cls, moments: Moments, columns: Sequence[str]) -> "PeriodMeans":
        """The same units in every period, one column each; their covariances must be declared.

        A unit that has left counts 0 from then on; leaving it out would compare survivors.
        """
        _require_periods(columns)
        require_two(moments.count, columns[0])
        at = [moments.index(column) for column in columns]
        return cls(
            periods=tuple(columns),
            mean=moments.mean[at],
            rest=moments.rest[at],
            covariance=moments.covariance_matrix(columns) / moments.count,
            df=np.full(len(columns), moments.count - 1),
            n_units=moments.count,
            same_units=True,
        )

    @classmethod
    def of_waves(
        cls, waves: Sequence[Moments], column: str, *, periods: Sequence[str] | None = None
    ) -> "PeriodMeans":
        """Other units in every period (waves drawn anew): the means are independent."""
        _require_periods(waves)
        arms = [arm_mean(wave, column) for wave in waves]
        names = [str(i + 1) for i in range(len(waves))] if periods is None else periods
        return cls(
            periods=tuple(names),
            mean=np.array([arm.value for arm in arms]),
            rest=np.array([arm.rest for arm in arms]),
            covariance=np.diag([arm.variance for arm in arms]),
            df=np.array([arm.df for arm in arms]),
            n_units=sum(arm.n_units for arm in arms),
            same_units=False,
        )

    def weights_of(self, periods: Iterable[str]) -> Array:
        """1 for each of these periods, 0 for the others. Returns (n_periods,)."""
        weights = np.zeros(len(self.periods))
        for period in periods:
            if period not in self.periods:
                raise DataError(
                    f"There is no period {period!r}, only {', '.join(self.periods)}.",
                    code="COLUMN_MISSING",
                    column=period,
                )
            weights[self.periods.index(period)] = 1.0
        return weights

    def total(self, weights: Array) -> ArmMean:
        """The weighted sum of the period means, as a mean of the arm.

        value = weights' mean,  variance = weights' covariance weights
        """
        variance = max(float(weights @ self.covariance @ weights), 0.0)
        return ArmMean(
            value=float(weights @ self.mean),
            rest=float(weights @ self.rest),
            variance=variance,
            df=self._df_of(weights, variance),
            n_units=self.n_units,
        )

    def _df_of(self, weights: Array, variance: float) -> float:
        if self.same_units or variance == 0:
            return float(self.df.min())
        shares = weights**2 * np.diag(self.covariance) / variance
        return float(1 / np.sum(shares**2 / self.df))


def covariances_of(columns: Sequence[str]) -> list[tuple[str, str]]:
    """The covariances that periods of the same units need: of every pair of columns."""
    return list(combinations(columns, 2))


def require_same_periods(treatment: PeriodMeans, control: PeriodMeans) -> None:
    """Refuse arms that are not of the same periods."""
    if treatment.periods != control.periods:
        raise DataError(
            f"Both arms must have the same periods; the treatment has "
            f"{', '.join(treatment.periods)}, the control {', '.join(control.periods)}.",
            code="COLUMN_MISSING",
        )


def _require_periods(given: Sequence[object]) -> None:
    if len(given) == 0:
        raise DefinitionError("At least one period is needed; none was given.", code="EMPTY_INPUT")
