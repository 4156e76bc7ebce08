"""Means, ratios and CUPED as tea-tasting analyses them.

A relative interval is made on the scale of log(treatment / control), with its own degrees of
freedom, as ours. CUPED has one slope, from the aggregates of both arms put together, so the effect
leaks into it; the covariate's mean over both arms is taken as known.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from uplift.errors import DefinitionError
from uplift.inference.moments import Moments
from uplift.inference.proportion_tests import ALTERNATIVES, Alternative
from uplift.table import Column, Result, Table


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a test is made.

    equal_var  pool the variances of both arms
    use_t      Student's t; a normal otherwise
    """

    alternative: Alternative = "two-sided"
    confidence: float = 0.95
    equal_var: bool = False
    use_t: bool = True

    def __post_init__(self) -> None:
        if self.alternative not in ALTERNATIVES or not 0 < self.confidence < 1:
            raise DefinitionError(
                f"alternative must be one of {', '.join(ALTERNATIVES)} and confidence between 0 "
                f"and 1, got {self.alternative!r} and {self.confidence}.",
                code="ALTERNATIVE_INVALID",
            )


DEFAULT = Options()


@dataclass(frozen=True, kw_only=True, repr=False)
class Reading(Result):
    """An effect, absolute and relative; one-sided intervals have an infinite end."""

    control: float
    treatment: float
    effect: float
    ci: tuple[float, float]
    relative_effect: float
    relative_ci: tuple[float, float]
    p_value: float
    statistic: float

    def table(self) -> Table:
        """One row."""
        columns = (
            Column("control", kind="number"),
            Column("treatment", kind="number"),
            Column("relative effect", kind="signed"),
            Column("relative ci", kind="interval"),
            Column("p value", kind="p_value"),
        )
        row = (self.control, self.treatment, self.relative_effect, self.relative_ci, self.p_value)
        return Table("Effect as tea-tasting", columns, [row])


@dataclass(frozen=True)
class _Arm:
    """Mean, variance per unit and units of an arm."""

    mean: float
    variance: float
    count: float

    @property
    def relative(self) -> "_Arm":
        """On the log scale."""
        return _Arm(1.0, self.variance / self.mean**2, self.count)


def mean_test(
    treatment: Moments,
    control: Moments,
    *,
    column: str,
    covariate: str | None = None,
    options: Options = DEFAULT,
) -> Reading:
    """Difference of two means; with a covariate, CUPED."""
    return ratio_test(
        treatment, control, numerator=column, numerator_covariate=covariate, options=options
    )


def ratio_test(
    treatment: Moments,
    control: Moments,
    *,
    numerator: str,
    denominator: str | None = None,
    numerator_covariate: str | None = None,
    denominator_covariate: str | None = None,
    options: Options = DEFAULT,
) -> Reading:
    """Difference of two ratios of means by the delta method; a column left out is a constant 1.

    theta = cov(ratio, covariate ratio) / var(covariate ratio), of both arms put together
    """
    metric = (numerator, denominator)
    before = (numerator_covariate, denominator_covariate)
    both = treatment + control
    spread = _covariance(both, before, before)
    theta = _covariance(both, metric, before) / spread if spread != 0 else 0.0
    middle = _ratio(both, before)

    def adjusted(arm: Moments) -> _Arm:
        variance = _covariance(arm, metric, metric) - 2 * theta * _covariance(arm, metric, before)
        variance += theta**2 * _covariance(arm, before, before)
        mean = _ratio(arm, metric) - theta * (_ratio(arm, before) - middle)
        return _Arm(mean, variance, arm.count)

    return _reading(adjusted(treatment), adjusted(control), options)


def _reading(treatment: _Arm, control: _Arm, options: Options) -> Reading:
    error, df = _error(treatment, control, options)
    log_error, log_df = _error(treatment.relative, control.relative, options)
    effect, ratio = treatment.mean - control.mean, treatment.mean / control.mean
    two_sided = options.alternative == "two-sided"
    level = (1 + options.confidence) / 2 if two_sided else options.confidence
    half = float(stats.t.ppf(level, df)) * error
    factor = math.exp(float(stats.t.ppf(level, log_df)) * log_error)
    low, high = effect - half, effect + half
    relative_low, relative_high = ratio / factor - 1, ratio * factor - 1
    if options.alternative == "greater":
        high = relative_high = math.inf
    if options.alternative == "less":
        low = relative_low = -math.inf
    t = effect / error
    tail = {"two-sided": 2 * stats.t.sf(abs(t), df), "greater": stats.t.sf(t, df)}
    return Reading(
        control=control.mean,
        treatment=treatment.mean,
        effect=effect,
        ci=(low, high),
        relative_effect=ratio - 1,
        relative_ci=(relative_low, relative_high),
        p_value=float(tail.get(options.alternative, stats.t.cdf(t, df))),
        statistic=t,
    )


def _error(treatment: _Arm, control: _Arm, options: Options) -> tuple[float, float]:
    """Standard error of the difference, and degrees of freedom (inf for a normal)."""
    n_t, n_c = treatment.count, control.count
    if options.equal_var:
        pooled = (n_t - 1) * treatment.variance + (n_c - 1) * control.variance
        variance = pooled / (n_t + n_c - 2) * (1 / n_t + 1 / n_c)
        df = n_t + n_c - 2
    else:
        t, c = treatment.variance / n_t, control.variance / n_c
        variance = t + c
        df = variance**2 / (t**2 / (n_t - 1) + c**2 / (n_c - 1))
    return math.sqrt(variance), df if options.use_t else math.inf


Ratio = tuple[str | None, str | None]


def _ratio(arm: Moments, ratio: Ratio) -> float:
    return _mean(arm, ratio[0]) / _mean(arm, ratio[1])


def _mean(arm: Moments, column: str | None) -> float:
    return 1.0 if column is None else arm.mean_of(column)


def _covariance(arm: Moments, first: Ratio, second: Ratio) -> float:
    """Per unit, of two ratios of means, any part of which may be the constant 1."""

    def part(a: str | None, b: str | None) -> float:
        return 0.0 if a is None or b is None else arm.covariance(a, b)

    (a, b), (c, d) = first, second
    r, q = _ratio(arm, first), _ratio(arm, second)
    found = part(a, c) - q * part(a, d) - r * part(b, c) + r * q * part(b, d)
    return float(np.float64(found) / (_mean(arm, b) * _mean(arm, d)))
