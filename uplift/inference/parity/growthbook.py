"""Effects as GrowthBook (gbstats 0.8) estimates them: absolute or relative, by the delta method.

What differs from ours: a relative effect gets a symmetric interval, the degrees of freedom of the
absolute effect serve the relative one too, the variance of a proportion is p (1 - p) without
n / (n - 1), and CUPED has one slope for both arms from their raw pooled data, into which the effect
itself leaks. `growthbook_readings` makes tests and intervals of these effects.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError
from uplift.inference.moments import Moments
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]
Difference = Literal["relative", "absolute"]

SMALLEST_THETA = 1e-8  # of CUPED on a ratio: below, the plain ratio is read


@dataclass(frozen=True, repr=False)
class Effect(Result):
    """Treatment less control, or that over the magnitude of the control's mean.

    control_mean  unadjusted, whose magnitude a relative effect is divided by
    df            Welch's, of the absolute effect
    n_units       of both arms
    """

    effect: float
    std_error: float
    df: float
    n_units: float
    control_mean: float
    difference: Difference

    def table(self) -> Table:
        """One row."""
        columns = (
            Column("difference"),
            Column("effect", kind="signed"),
            Column("standard error", kind="number"),
            Column("units", kind="count"),
        )
        row = (self.difference, self.effect, self.std_error, self.n_units)
        return Table("Effect as GrowthBook", columns, [row])


@dataclass(frozen=True, eq=False)
class Statistic:
    """A function of an arm's means: its value, and its value without adjustment.

    gradient      (n_columns,)  of the value, by mean
    plain         (n_columns,)  gradient of the unadjusted value
    covariance    (n_columns, n_columns)  of the columns, per unit
    """

    value: float
    unadjusted: float
    gradient: Array
    plain: Array
    covariance: Array
    count: float

    @property
    def variance(self) -> float:
        """Per unit."""
        return float(self.gradient @ self.covariance @ self.gradient)


def mean_effect(
    treatment: Moments,
    control: Moments,
    *,
    column: str,
    difference: Difference = "relative",
    proportion: bool = False,
) -> Effect:
    """Of means, or of proportions.

    absolute  m_t - m_c,            variance v_t / n_t + v_c / n_c
    relative  (m_t - m_c) / |m_c|,  variance v_t / (n_t m_c^2) + v_c m_t^2 / (n_c m_c^4)
    """
    proportions = (column,) if proportion else ()
    return contrast(
        _mean(treatment, column, proportions), _mean(control, column, proportions), difference
    )


def ratio_effect(
    treatment: Moments,
    control: Moments,
    *,
    numerator: str,
    denominator: str,
    difference: Difference = "relative",
    proportions: Collection[str] = (),
) -> Effect:
    """Of ratios of means; `proportions` names columns of 0 and 1."""
    columns = (numerator, denominator)
    return contrast(
        _ratio(treatment, columns, proportions), _ratio(control, columns, proportions), difference
    )


def cuped_effect(
    treatment: Moments,
    control: Moments,
    *,
    column: str,
    covariate: str,
    theta: float | None = None,
    difference: Difference = "relative",
    proportions: Collection[str] = (),
) -> Effect:
    """Of means less theta times the covariate's mean; `theta` pooled when not given.

    A relative effect is divided by the unadjusted mean. Without variation before, it is plain.
    """
    slope = pooled_theta(treatment, control, column, covariate) if theta is None else theta
    if slope == 0:
        return contrast(
            _mean(treatment, column, proportions), _mean(control, column, proportions), difference
        )
    names = (column, covariate)
    arms = [
        _linear(arm, names, np.array([1.0, -slope]), proportions) for arm in (treatment, control)
    ]
    # the other program weighs the control's noise by the unadjusted ratio of means
    pull = arms[0].unadjusted - arms[1].unadjusted
    return contrast(arms[0], arms[1], difference, pull=pull)


def cuped_ratio_effect(
    treatment: Moments,
    control: Moments,
    *,
    numerator: str,
    denominator: str,
    numerator_before: str,
    denominator_before: str,
    theta: float | None = None,
    difference: Difference = "relative",
    proportions: Collection[str] = (),
) -> Effect:
    """Of ratios less theta times the ratio before.

    theta  when not given: covariances of the linearised ratio with that before, summed over arms,
           over the summed variances of the latter; below 1e-8, or without a ratio before, the plain
           ratio is read
    """
    names = (numerator, denominator, numerator_before, denominator_before)
    arms = (treatment, control)
    slope = theta
    if any(arm.mean_of(denominator_before) == 0 for arm in arms):
        slope = 0.0
    if slope is None:
        slope = _ratio_theta([_ratio_before(arm, names, 1.0, proportions) for arm in arms])
    if abs(slope) < SMALLEST_THETA:
        t, c = (_ratio(arm, names[:2], proportions) for arm in arms)
    else:
        t, c = (_ratio_before(arm, names, slope, proportions) for arm in arms)
    return contrast(t, c, difference)


def pooled_theta(treatment: Moments, control: Moments, column: str, covariate: str) -> float:
    """Slope of the column on the covariate over the units of both arms, arms not told apart.

    0 when either does not vary.
    """
    both = treatment + control
    variance = both.variance(covariate)
    if variance == 0 or both.variance(column) == 0:
        return 0.0
    return both.covariance(column, covariate) / variance


def contrast(
    treatment: Statistic,
    control: Statistic,
    difference: Difference,
    *,
    pull: float | None = None,
) -> Effect:
    """The effect between two statistics, and its delta-method error.

    pull  difference of values that weighs the control's noise in a relative effect; the effect's
          own when not given
    """
    base, apart = control.unadjusted, treatment.value - control.value
    if difference == "relative":
        _require_base(base)
        weight = (apart if pull is None else pull) * np.sign(base) / base**2
        gradient_c = control.gradient / abs(base) + weight * control.plain
        gradient_t = treatment.gradient / abs(base)
    else:
        gradient_c, gradient_t = control.gradient, treatment.gradient
    variance = float(gradient_t @ treatment.covariance @ gradient_t) / treatment.count
    variance += float(gradient_c @ control.covariance @ gradient_c) / control.count
    if not (variance > 0 and treatment.variance > 0 and control.variance > 0):
        raise DataError(
            "An arm does not vary, so there is no error of the effect. Check the outcomes.",
            code="NO_VARIATION",
        )
    return Effect(
        effect=apart / abs(base) if difference == "relative" else apart,
        std_error=float(np.sqrt(variance)),
        df=welch_df(treatment, control),
        n_units=treatment.count + control.count,
        control_mean=base,
        difference=difference,
    )


def welch_df(treatment: Statistic, control: Statistic) -> float:
    """Welch and Satterthwaite's degrees of freedom of the absolute difference."""
    t, c = treatment.variance / treatment.count, control.variance / control.count
    return (t + c) ** 2 / (t**2 / (treatment.count - 1) + c**2 / (control.count - 1))


def covariances(arm: Moments, columns: tuple[str, ...], proportions: Collection[str]) -> Array:
    """Per unit; variances and covariances of proportions have the divisor n, others n - 1."""
    matrix = arm.covariance_matrix(columns)
    binary = np.array([name in proportions for name in columns])
    shrink = (arm.count - 1) / arm.count
    return np.where(np.outer(binary, binary), matrix * shrink, matrix)


def _mean(arm: Moments, column: str, proportions: Collection[str]) -> Statistic:
    return _linear(arm, (column,), np.array([1.0]), proportions)


def _linear(
    arm: Moments, columns: tuple[str, ...], weights: Array, proportions: Collection[str]
) -> Statistic:
    """A weighted sum of means, the first of which is the unadjusted value."""
    means = np.array([arm.mean_of(name) for name in columns])
    return Statistic(
        value=float(weights @ means),
        unadjusted=float(means[0]),
        gradient=weights,
        plain=np.eye(len(columns))[0],
        covariance=covariances(arm, columns, proportions),
        count=arm.count,
    )


def _ratio(arm: Moments, columns: tuple[str, ...], proportions: Collection[str]) -> Statistic:
    return _ratio_before(arm, columns, 0.0, proportions)


def _ratio_before(
    arm: Moments, columns: tuple[str, ...], theta: float, proportions: Collection[str]
) -> Statistic:
    """The value m / d - theta m' / d' of the means of (m, d, m', d'), or m / d of (m, d)."""
    means = [arm.mean_of(name) for name in columns]
    if means[1] == 0:
        raise DataError(
            f"The mean of {columns[1]!r} is 0 in an arm, so there is no ratio. Check the column.",
            code="RATIO_UNDEFINED",
            column=columns[1],
        )
    plain = np.zeros(len(columns))
    plain[:2] = [1 / means[1], -means[0] / means[1] ** 2]
    gradient, value = plain.copy(), means[0] / means[1]
    if len(columns) == 4:
        gradient[2:] = [-theta / means[3], theta * means[2] / means[3] ** 2]
        value -= theta * means[2] / means[3]
    return Statistic(
        value=value,
        unadjusted=means[0] / means[1],
        gradient=gradient,
        plain=plain,
        covariance=covariances(arm, columns, proportions),
        count=arm.count,
    )


def _ratio_theta(arms: list[Statistic]) -> float:
    """Pooled slope of linearised ratios; their gradients are those of theta = 1."""
    before = [np.r_[0.0, 0.0, -arm.gradient[2:]] for arm in arms]
    shared = sum(float(b @ arm.covariance @ arm.plain) for arm, b in zip(arms, before, strict=True))
    spread = sum(float(b @ arm.covariance @ b) for arm, b in zip(arms, before, strict=True))
    return shared / spread if spread > 0 else 0.0


def _require_base(base: float) -> None:
    if base == 0:
        raise DataError(
            "The control's mean is 0, so there is no relative effect. Read the absolute one.",
            code="RATIO_UNDEFINED",
        )
