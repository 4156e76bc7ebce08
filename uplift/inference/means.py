"""Difference of two means, absolute and relative, from moments alone.

Every estimator of a mean per arm (plain, regression adjusted, ratio) ends in `contrast`, so that
effects, intervals and p-values are formed in one way.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError, DefinitionError
from uplift.inference.moments import Moments
from uplift.inference.student import t_quantile, t_tail
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]
LARGEST_LOG = 100.0  # half width of a log ratio; beyond, its ends are no numbers to look at
LOG_RATIO_STD_ERRORS = 3.0  # a control mean nearer to 0 than this makes a log ratio unreliable


@dataclass(frozen=True, repr=False)
class Estimate(Result):
    """Treatment minus control with its uncertainty.

    effect           unit of the metric
    std_error        of the effect
    ci               (lower, upper) of the effect; (nan, nan) when it is not estimable
    p_value          two-sided, of no effect; nan when it is not estimable
    df               degrees of freedom of the t distribution used
    relative_effect  effect / |control_mean|; nan when the control mean is 0
    relative_ci      (lower, upper) of it; (nan, nan) when the control mean may be 0
    relative_std_error  of the relative effect, by the delta method; nan when the control mean is
                     within 3 standard errors of 0. Unlike an interval's width it knows nothing of
                     confidence, looks or the t distribution
    """

    effect: float
    std_error: float
    ci: tuple[float, float]
    p_value: float
    df: float
    control_mean: float
    treatment_mean: float
    relative_effect: float
    relative_ci: tuple[float, float]
    relative_std_error: float
    n_control: float
    n_treatment: float

    def table(self) -> Table:
        """One row."""
        columns = (
            Column("control mean", kind="number"),
            Column("effect", kind="signed"),
            Column("ci", kind="interval"),
            Column("p value", kind="p_value"),
            Column("relative effect", kind="signed"),
            Column("relative ci", kind="interval"),
        )
        row = (
            self.control_mean,
            self.effect,
            self.ci,
            self.p_value,
            self.relative_effect,
            self.relative_ci,
        )
        return Table("Effect", columns, [row])


@dataclass(frozen=True, eq=False)
class ArmMean:
    """An estimated mean of one arm.

    value, rest  the mean and what rounding cut off it
    variance     of the mean, from this arm's units alone
    df           degrees of freedom of that variance
    shared       (n_covariates,) loadings on noise that all arms share (the covariate means)
    """

    value: float
    rest: float
    variance: float
    df: float
    n_units: float
    shared: Array = field(default_factory=lambda: np.zeros(0))


def welch(
    treatment: Moments, control: Moments, *, column: str, confidence: float = 0.95
) -> Estimate:
    """Difference of two means with unequal variances.

        std_error^2 = s_t^2 / n_t + s_c^2 / n_c, on a t distribution with Welch-Satterthwaite df

    When no unit differs from another in both arms, interval and p-value are not estimable (nan).

    Source: Welch (1947), Biometrika 34(1-2).
    """
    return contrast(arm_mean(treatment, column), arm_mean(control, column), confidence=confidence)


def arm_mean(moments: Moments, column: str) -> ArmMean:
    """The plain mean of one arm; at least 2 units are needed for its error."""
    require_two(moments.count, column)
    i = moments.index(column)
    return ArmMean(
        value=float(moments.mean[i]),
        rest=float(moments.rest[i]),
        variance=moments.variance(column) / moments.count,
        df=moments.count - 1,
        n_units=moments.count,
    )


def contrast(
    treatment: ArmMean, control: ArmMean, *, confidence: float = 0.95, shared_df: float = np.inf
) -> Estimate:
    """The effect between two arm means.

    effect         treatment - control
    std_error^2    variance_t + variance_c + |shared_t - shared_c|^2
    relative_ci    on the scale of log(treatment / control) and back, so it never falls below -1;
                   by Fieller's theorem when a mean is not positive or the control mean is within
                   3 standard errors of 0
    relative_std_error  ratio x error of log(treatment / control), written so that it also holds
                   for means that are not positive:
                   |(1, -treatment / control) . (treatment, control)| / |control|

    shared_df  degrees of freedom behind the noise that the arms share

    Sources: Satterthwaite (1946), Biometrics Bulletin 2(6); Fieller (1954), JRSS B 16(2).
    """
    if not 0 < confidence < 1:
        raise DefinitionError(
            f"confidence must be between 0 and 1, got {confidence}. Usual: 0.95.",
            code="PROBABILITY_INVALID",
        )
    effect = (treatment.value - control.value) + (treatment.rest - control.rest)
    variance, df = _combined(treatment, control, 1.0, 1.0, shared_df)
    std_error = float(np.sqrt(variance))
    ci, p_value = (float("nan"), float("nan")), float("nan")
    if std_error > 0:
        half = t_quantile(0.5 + confidence / 2, df) * std_error
        ci = (effect - half, effect + half)
        p_value = 2 * t_tail(abs(effect) / std_error, df)
    base = abs(control.value)
    return Estimate(
        effect=effect,
        std_error=std_error,
        ci=ci,
        p_value=p_value,
        df=df,
        control_mean=control.value,
        treatment_mean=treatment.value,
        relative_effect=effect / base if base > 0 else float("nan"),
        relative_ci=_relative_ci(treatment, control, confidence, shared_df),
        relative_std_error=_relative_std_error(treatment, control),
        n_control=control.n_units,
        n_treatment=treatment.n_units,
    )


def shifted(estimate: Estimate, amount: float) -> Estimate:
    """The estimate when every treated unit has an exactly known amount more (e.g. a cost less).

    Its uncertainty stays; relative interval and error are not kept (nan).
    """
    effect = estimate.effect + amount
    low, high = estimate.ci
    base = abs(estimate.control_mean)
    t = abs(effect) / estimate.std_error if estimate.std_error > 0 else float("nan")
    return replace(
        estimate,
        effect=effect,
        ci=(low + amount, high + amount),
        p_value=2 * t_tail(t, estimate.df),
        treatment_mean=estimate.treatment_mean + amount,
        relative_effect=effect / base if base > 0 else float("nan"),
        relative_ci=(float("nan"), float("nan")),
        relative_std_error=float("nan"),
    )


def widened(estimate: Estimate, factor: float) -> Estimate:
    """The estimate with intervals whose ends are `factor` times as far from the effect.

    The relative one on the scale of log(treatment / control), where it is above -1.
    """
    low, high = estimate.ci
    effect = estimate.effect
    return replace(
        estimate,
        ci=(effect + factor * (low - effect), effect + factor * (high - effect)),
        relative_ci=_widened_ratio(estimate, factor),
    )


def require_two(count: float, column: str) -> None:
    """Refuse an arm without at least two units."""
    if count < 2:
        raise DataError(
            f"An arm has {count:g} unit(s) of {column!r}; at least 2 are needed for the error of a "
            "mean. Check the assignment and the outcomes.",
            code="ARM_TOO_SMALL",
            column=column,
            count=int(count),
        )


def _widened_ratio(estimate: Estimate, factor: float) -> tuple[float, float]:
    centre, (low, high) = estimate.relative_effect, estimate.relative_ci
    if not (centre > -1 and low > -1):
        return centre + factor * (low - centre), centre + factor * (high - centre)
    middle, *ends = np.log1p([centre, low, high])
    first, last = (float(np.expm1(middle + factor * (end - middle))) for end in ends)
    return first, last


def _combined(
    treatment: ArmMean, control: ArmMean, scale_t: float, scale_c: float, shared_df: float
) -> tuple[float, float]:
    """Variance of scale_t * treatment - scale_c * control, and its degrees of freedom."""
    apart = treatment.shared * scale_t - control.shared * scale_c
    parts = [
        (treatment.variance * scale_t**2, treatment.df),
        (control.variance * scale_c**2, control.df),
        (float(apart @ apart), shared_df),
    ]
    variance = sum(part for part, _ in parts)
    if not variance > 0:
        return 0.0, float("nan")
    # shares of the variance, so that a tiny variance does not underflow when squared
    return variance, 1 / sum((part / variance) ** 2 / df for part, df in parts)


def _relative_std_error(treatment: ArmMean, control: ArmMean) -> float:
    """Error of (treatment - control) / |control| to first order."""
    base = abs(control.value)
    if not base > LOG_RATIO_STD_ERRORS * _own_error(control):
        return float("nan")
    ratio = treatment.value / control.value
    apart = treatment.shared - ratio * control.shared
    variance = treatment.variance + ratio**2 * control.variance + float(apart @ apart)
    return float(np.sqrt(variance)) / base if variance > 0 else float("nan")


def _own_error(arm: ArmMean) -> float:
    return float(np.sqrt(arm.variance + arm.shared @ arm.shared))


def _relative_ci(
    treatment: ArmMean, control: ArmMean, confidence: float, shared_df: float
) -> tuple[float, float]:
    top, base = treatment.value, control.value
    if top <= 0 or base <= 0 or base < LOG_RATIO_STD_ERRORS * _own_error(control):
        return _fieller(treatment, control, confidence, shared_df)
    variance, df = _combined(treatment, control, 1 / top, 1 / base, shared_df)
    if variance == 0:
        return float("nan"), float("nan")
    half = t_quantile(0.5 + confidence / 2, df) * float(np.sqrt(variance))
    if half > LARGEST_LOG:  # a treatment mean next to 0
        return _fieller(treatment, control, confidence, shared_df)
    ratio = top / base
    with np.errstate(over="ignore"):  # of two units hardly anything is known: up to infinity
        return ratio * float(np.exp(-half)) - 1, ratio * float(np.exp(half)) - 1


def _fieller(
    treatment: ArmMean, control: ArmMean, confidence: float, shared_df: float
) -> tuple[float, float]:
    """Ratios r for which treatment - r * control is not proven different from 0, less 1."""
    variance, df = _combined(treatment, control, 1.0, 1.0, shared_df)
    if variance == 0:
        return float("nan"), float("nan")
    t_squared = t_quantile(0.5 + confidence / 2, df) ** 2
    a = control.value**2 - t_squared * (control.variance + control.shared @ control.shared)
    b = treatment.value * control.value - t_squared * (treatment.shared @ control.shared)
    c = treatment.value**2 - t_squared * (treatment.variance + treatment.shared @ treatment.shared)
    inside = b**2 - a * c
    if a <= 0 or inside < 0:  # the control mean may be 0: the set of ratios is unbounded
        return float("nan"), float("nan")
    low, high = (b - np.sqrt(inside)) / a, (b + np.sqrt(inside)) / a
    if control.value < 0:  # relative to the magnitude, so that a gain stays a gain
        return float(1 - high), float(1 - low)
    return float(low - 1), float(high - 1)
