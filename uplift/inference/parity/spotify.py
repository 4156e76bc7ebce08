"""Tests of means and proportions as Spotify Confidence (3.0) makes them.

A relative interval there is the absolute one divided by the control's mean, as if that had no
noise: it is too narrow, and kept here for comparison only. A column of 0 and 1 has the variance
p (1 - p). Bounds of one-sided families tested by Holm are `simultaneous.holm_bounds`; bounds of
sequential plans are `group_sequential.spending_boundary` with the power family and a smallest spend
of 1e-7.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.errors import DefinitionError
from uplift.inference.moments import Moments
from uplift.inference.proportion_tests import Events, pearson_test, std_error
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]
Preference = Literal["two-sided", "larger", "smaller"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Reading(Result):
    """Difference, treatment less control, in the unit of the metric or over the control's mean."""

    difference: float
    std_error: float
    ci: tuple[float, float]
    p_value: float

    def table(self) -> Table:
        """One row."""
        columns = (
            Column("difference", kind="signed"),
            Column("ci", kind="interval"),
            Column("p value", kind="p_value"),
        )
        return Table(
            "Difference as Confidence", columns, [(self.difference, self.ci, self.p_value)]
        )

    def relative_to(self, control_mean: float) -> "Reading":
        """Divided by the control's mean, whose noise is ignored (too narrow)."""
        return Reading(
            difference=self.difference / control_mean,
            std_error=self.std_error / abs(control_mean),
            ci=(self.ci[0] / control_mean, self.ci[1] / control_mean),
            p_value=self.p_value,
        )


def z_test(
    treatment: Moments,
    control: Moments,
    *,
    column: str,
    covariates: Sequence[str] = (),
    others: Sequence[Moments] = (),
    alternative: Preference = "two-sided",
    null: float = 0.0,
    confidence: float = 0.95,
) -> Reading:
    """Difference of means on a normal; with covariates, of regression adjusted means.

    covariates  one slope for all arms, of the regression over the units of all arms put together;
                its variances have the divisor n
    others      further arms of the experiment, which have a say in the slope
    null        difference under the hypothesis, e.g. minus the margin of a non-inferiority test
    """
    everyone = (treatment, control, *others)
    binary = all(_is_binary(arm, column) for arm in everyone)
    slope = _pooled_slope(everyone, column, covariates)
    error = math.sqrt(
        sum(
            (_variance(arm, column, binary) + _explained(arm, column, covariates, slope))
            / arm.count
            for arm in (treatment, control)
        )
    )
    difference = treatment.mean_of(column) - control.mean_of(column)
    difference -= sum(
        float(b) * (treatment.mean_of(name) - control.mean_of(name))
        for b, name in zip(slope, covariates, strict=True)
    )
    return _reading(difference, error, math.inf, alternative, null, confidence)


def t_test(
    treatment: Moments,
    control: Moments,
    *,
    column: str,
    alternative: Preference = "two-sided",
    null: float = 0.0,
    confidence: float = 0.95,
) -> Reading:
    """Welch's test; of a column of 0 and 1 with the variance p (1 - p)."""
    arms = (treatment, control)
    binary = all(_is_binary(arm, column) for arm in arms)
    t, c = (_variance(arm, column, binary) / arm.count for arm in arms)
    df = (t + c) ** 2 / (t**2 / (treatment.count - 1) + c**2 / (control.count - 1))
    difference = treatment.mean_of(column) - control.mean_of(column)
    return _reading(difference, math.sqrt(t + c), df, alternative, null, confidence)


def chi_squared_test(treatment: Events, control: Events, *, confidence: float = 0.95) -> Reading:
    """Pearson's p-value beside the Wald interval, which need not agree."""
    difference = treatment.share - control.share
    error = std_error(treatment, control, pooled=False)
    half = float(stats.norm.ppf(0.5 + confidence / 2)) * error
    return Reading(
        difference=difference,
        std_error=error,
        ci=(difference - half, difference + half),
        p_value=pearson_test(treatment, control),
    )


def _reading(
    difference: float,
    error: float,
    df: float,
    alternative: Preference,
    null: float,
    confidence: float,
) -> Reading:
    t = (difference - null) / error
    both = alternative == "two-sided"
    half = float(stats.t.ppf(0.5 + confidence / 2 if both else confidence, df)) * error
    readings = {
        "two-sided": ((difference - half, difference + half), 2 * stats.t.sf(abs(t), df)),
        "larger": ((difference - half, math.inf), stats.t.sf(t, df)),
        "smaller": ((-math.inf, difference + half), stats.t.cdf(t, df)),
    }
    if alternative not in readings:
        raise DefinitionError(
            f"alternative must be one of {', '.join(readings)}, got {alternative!r}.",
            code="ALTERNATIVE_INVALID",
        )
    ci, p_value = readings[alternative]
    return Reading(difference=difference, std_error=error, ci=ci, p_value=float(p_value))


def _is_binary(arm: Moments, column: str) -> bool:
    """Whether the sum of squares equals the sum, as a column of 0 and 1 has it."""
    mean = arm.mean_of(column)
    squares = arm.variance(column) * (arm.count - 1) / arm.count + mean**2
    return bool(np.isclose(squares, mean, rtol=1e-9, atol=0.0))


def _variance(arm: Moments, column: str, binary: bool) -> float:
    if binary:
        return arm.mean_of(column) * (1 - arm.mean_of(column))
    return arm.variance(column)


def _pooled_slope(arms: Sequence[Moments], column: str, covariates: Sequence[str]) -> Array:
    if not covariates:
        return np.zeros(0)
    everyone = sum(arms[1:], start=arms[0])
    cross = np.array([everyone.covariance(column, name) for name in covariates])
    spread = everyone.covariance_matrix(covariates)
    if np.linalg.matrix_rank(spread) < len(covariates):
        return np.zeros(len(covariates))  # as there: a regression that fails adjusts nothing
    return np.asarray(np.linalg.solve(spread, cross))


def _explained(arm: Moments, column: str, covariates: Sequence[str], slope: Array) -> float:
    """What the regression takes off the variance, with the divisor n."""
    if not covariates:
        return 0.0
    cross = np.array([arm.covariance(column, name) for name in covariates])
    gain = slope @ arm.covariance_matrix(covariates) @ slope - 2 * slope @ cross
    return float(gain) * (arm.count - 1) / arm.count
