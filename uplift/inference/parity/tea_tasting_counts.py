"""Proportions by every method, and the rank test, as tea-tasting analyses them."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.errors import DataError, DefinitionError
from uplift.inference.parity.tea_tasting import Reading
from uplift.inference.proportion_tests import (
    Alternative,
    Events,
    barnard_test,
    boschloo_test,
    fisher_test,
    g_test,
    half_unit,
    pearson_test,
    std_error,
    z_test,
)
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]
Method = Literal["auto", "barnard", "boschloo", "fisher", "log-likelihood", "norm", "pearson"]

FEWEST_FOR_NORMAL = 1_000  # units of both arms from which "auto" leaves Barnard's test
ONLY_TWO_SIDED = ("log-likelihood", "pearson")


def proportion_test(
    treatment: Events,
    control: Events,
    *,
    method: Method = "auto",
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
    continuity_correction: bool = True,
    pooled: bool = True,
) -> Reading:
    """Difference of two proportions; intervals for "norm" only, nan otherwise.

    continuity_correction  of "norm", "log-likelihood" and "pearson"
    pooled                 the error of "norm" and the statistic of "barnard"
    """
    if method == "auto":
        few = treatment.n_units + control.n_units < FEWEST_FOR_NORMAL
        method = "barnard" if few else "norm"
    if method in ONLY_TWO_SIDED and alternative != "two-sided":
        raise DefinitionError(
            f"{method} is a two-sided test, so alternative cannot be {alternative!r}.",
            code="ALTERNATIVE_INVALID",
        )
    corrected = continuity_correction
    missing = (math.nan, math.nan)
    ci = relative_ci = missing
    if method == "norm":
        ci, relative_ci = _normal_intervals(
            treatment, control, alternative, confidence, corrected, pooled
        )
    p_t, p_c = treatment.share, control.share
    error = std_error(treatment, control, pooled=pooled)
    return Reading(
        control=p_c,
        treatment=p_t,
        effect=p_t - p_c,
        ci=ci,
        relative_effect=p_t / p_c - 1 if p_c > 0 else math.nan,
        relative_ci=relative_ci,
        p_value=_p_value(treatment, control, method, alternative, corrected, pooled),
        statistic=(p_t - p_c) / error if error > 0 else math.nan,
    )


def _p_value(
    treatment: Events,
    control: Events,
    method: str,
    alternative: Alternative,
    corrected: bool,
    pooled: bool,
) -> float:
    arms = (treatment, control)
    if method == "barnard":
        return barnard_test(*arms, pooled=pooled, alternative=alternative)
    if method == "boschloo":
        return boschloo_test(*arms, alternative=alternative)
    if method == "fisher":
        return fisher_test(*arms, alternative=alternative)
    if method == "pearson":
        return pearson_test(*arms, continuity_correction=corrected)
    if method == "log-likelihood":
        return g_test(*arms, continuity_correction=corrected)
    if method != "norm":
        raise DefinitionError(
            f"There is no method {method!r}; known: auto, barnard, boschloo, fisher, "
            "log-likelihood, norm, pearson.",
            code="METHOD_UNKNOWN",
        )
    difference = treatment.share - control.share
    against = {"greater": difference < 0, "less": difference > 0}.get(alternative, False)
    # a one-sided test is corrected on its own side only
    correct = corrected and not against
    return z_test(*arms, pooled=pooled, continuity_correction=correct, alternative=alternative)


def _normal_intervals(
    treatment: Events,
    control: Events,
    alternative: Alternative,
    confidence: float,
    corrected: bool,
    pooled: bool,
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Absolute, cut to [-1, 1], and relative, on the log scale with the same correction."""
    p_t, p_c = treatment.share, control.share
    by = half_unit(treatment, control) if corrected else 0.0
    level = (1 + confidence) / 2 if alternative == "two-sided" else confidence
    z = float(stats.norm.ppf(level))
    half = z * std_error(treatment, control, pooled=pooled) + by
    low, high = p_t - p_c - half, p_t - p_c + half
    ratio = p_t / p_c if p_c > 0 else math.nan
    factor = (
        math.exp(z * _log_error(treatment, control, pooled) + by / p_c) if p_c > 0 else math.nan
    )
    relative_low, relative_high = ratio / factor - 1, ratio * factor - 1
    if alternative == "greater":
        high, relative_high = 1.0, math.inf
    if alternative == "less":
        low, relative_low = -1.0, -1.0
    return (max(low, -1.0), min(high, 1.0)), (relative_low, relative_high)


def _log_error(treatment: Events, control: Events, pooled: bool) -> float:
    """Standard error of the log of the ratio of proportions."""
    if pooled:
        n = treatment.n_units + control.n_units
        p = (treatment.events + control.events) / n
        return std_error(treatment, control, pooled=True) / p if p > 0 else math.nan
    if treatment.events == 0 or control.events == 0:
        return math.nan
    return math.sqrt(sum((1 - arm.share) / arm.events for arm in (treatment, control)))


@dataclass(frozen=True, kw_only=True, repr=False)
class RankReading(Result):
    """Mann-Whitney: probability that a unit of one arm is above one of the other (ties half).

    effect  that of the treatment less that of the control
    """

    control: float
    treatment: float
    effect: float
    p_value: float
    statistic: float

    def table(self) -> Table:
        """One row."""
        columns = (
            Column("control", kind="share"),
            Column("treatment", kind="share"),
            Column("effect", kind="signed"),
            Column("p value", kind="p_value"),
        )
        row = (self.control, self.treatment, self.effect, self.p_value)
        return Table("Rank test as tea-tasting", columns, [row])


def rank_test(
    treatment: npt.ArrayLike,
    control: npt.ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    continuity_correction: bool = True,
    method: Literal["auto", "asymptotic", "exact"] = "auto",
) -> RankReading:
    """The Mann-Whitney U test of the values of two arms. It is no test of means.

    treatment, control  (n_units,) each
    """
    y_t, y_c = (np.asarray(values, dtype=np.float64) for values in (treatment, control))
    if not (len(y_t) and len(y_c) and np.isfinite(y_t).all() and np.isfinite(y_c).all()):
        raise DataError(
            f"The rank test needs finite values in both arms, got {len(y_t)} and {len(y_c)}.",
            code="OUTCOME_MISSING",
        )
    found = stats.mannwhitneyu(
        y_t, y_c, alternative=alternative, use_continuity=continuity_correction, method=method
    )
    above = float(found.statistic) / (len(y_t) * len(y_c))
    return RankReading(
        control=1 - above,
        treatment=above,
        effect=2 * above - 1,
        p_value=float(found.pvalue),
        statistic=float(found.statistic),
    )
