"""Difference of two proportions by its score interval: right also when events are rare.

A normal interval around the observed proportions fails when an arm has few events (it has no width
at all when there is none). The score interval uses the variance that the difference in question
would imply. Tests by other methods, exact ones among them, are in `proportion_tests`; an exact
interval is in `exact_proportions`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike
from scipy import optimize, stats

from uplift.errors import DataError
from uplift.inference.means import Estimate, welch
from uplift.inference.moments import Moments

RARE_EVENTS = 20  # with fewer events (or non-events) in an arm, a normal interval is doubtful
LARGEST_SKEWNESS = 3.0  # of a difference; beyond, its expansion holds no longer


def score(
    treatment: Moments, control: Moments, *, column: str, confidence: float = 0.95
) -> Estimate:
    """Difference of two proportions with its score interval and score test.

        the differences d with |p_t - p_c - d| <= z * std_error(d), where std_error(d) comes from
        the most likely pair of proportions that lie d apart, times n / (n - 1)

    Never undefined: without any event, the interval still says how many there can be. The relative
    interval holds the ratios p_t / p_c that the same kind of test does not reject, less 1 (nan when
    the control had no event, because then the ratio has no upper limit). The standard error is that
    of `welch`.

    Source: Miettinen & Nurminen (1985), Statistics in Medicine 4(2).
    """
    return _read(_Score(treatment, control, column, corrected=False), confidence)


def equal_tailed_score(
    treatment: Moments, control: Moments, *, column: str, confidence: float = 0.95
) -> Estimate:
    """As `score`, with its statistic's skewness taken out: right on each side by itself.

    With arms of unequal size and few events the score test keeps its error as a whole, and has
    nearly all of it on one side: 2,000 treated beside 18,000 with 0.1 % buyers and no effect are
    called better in 4.0 % and worse in none. Corrected it is 2.3 and 0.4 %, and with 5,000 beside
    45,000 it is 2.5 and 2.3 %.

    Source: Gart & Nam (1990), Biometrics 46(3); Laud (2017), Pharmaceutical Statistics 16(5).
    """
    return _read(_Score(treatment, control, column, corrected=True), confidence)


def without_skewness(z: ArrayLike, skewness: ArrayLike) -> npt.NDArray[np.float64]:
    """A statistic of this skewness as one that is nearly normal.

        u + skewness (u^2 - 1) / 6 = z, solved for u; where z is below all that u can give, its end

    z, skewness  numbers or arrays that broadcast
    """
    z = np.asarray(z, dtype=np.float64)
    a = np.clip(skewness, -LARGEST_SKEWNESS, LARGEST_SKEWNESS) / 6
    moved = np.isfinite(z) & (a != 0)
    size, sign = np.where(moved, np.abs(a), 1.0), np.copysign(1.0, a)
    w = np.maximum(size + sign * np.where(moved, z, 0.0), -1 / (4 * size))  # of sign * u
    return np.asarray(np.where(moved, sign * 2 * w / (1 + np.sqrt(1 + 4 * size * w)), z))


def skewness_of(
    p_t: ArrayLike, p_c: ArrayLike, n_t: float, n_c: float, variance: ArrayLike, ratio: float = 1.0
) -> npt.NDArray[np.float64]:
    """Skewness of share_t - ratio share_c when the arms' true shares are these; 0 without variance.

    variance  of that difference
    """
    p_t, p_c = np.asarray(p_t, dtype=np.float64), np.asarray(p_c, dtype=np.float64)
    third = p_t * (1 - p_t) * (1 - 2 * p_t) / n_t**2
    third = third - ratio**3 * p_c * (1 - p_c) * (1 - 2 * p_c) / n_c**2
    known = np.where(np.asarray(variance) > 0, variance, np.inf)
    return np.asarray(third / known**1.5)


@dataclass(frozen=True)
class _Score:
    """Statistics of hypothetical differences and ratios of two arms; both fall as these rise."""

    treatment: Moments
    control: Moments
    column: str
    corrected: bool

    @cached_property
    def events(self) -> tuple[float, float]:
        return events_of(self.treatment, self.column), events_of(self.control, self.column)

    @property
    def sizes(self) -> tuple[float, float]:
        return self.treatment.count, self.control.count

    def of_difference(self, difference: float) -> float:
        """Of p_t - p_c = difference."""
        found, shares, variance = _of_difference(difference, self.events, self.sizes)
        return self._corrected(found, shares, variance, 1.0)

    def of_ratio(self, ratio: float) -> float:
        """Of p_t / p_c = ratio."""
        found, shares, variance = _of_ratio(ratio, self.events, self.sizes)
        return self._corrected(found, shares, variance, ratio)

    def _corrected(
        self, z: float, shares: tuple[float, float], variance: float, ratio: float
    ) -> float:
        if not self.corrected or variance <= 0:
            return z
        skewness = skewness_of(*shares, *self.sizes, variance, ratio)
        return float(without_skewness(z, skewness))


def _read(scores: _Score, confidence: float) -> Estimate:
    plain = welch(scores.treatment, scores.control, column=scores.column, confidence=confidence)
    bound = float(stats.norm.ppf(0.5 + confidence / 2))
    edge = 1 - 1e-12
    low, high = (
        _fall_to(level, scores.of_difference, -edge, edge, ends=(-1, 1))
        for level in (bound, -bound)
    )
    return replace(
        plain,
        ci=(low, high),
        p_value=float(2 * stats.norm.sf(abs(scores.of_difference(0.0)))),
        df=float("inf"),
        relative_ci=_relative_limits(scores, bound),
    )


def events_of(moments: Moments, column: str) -> float:
    """How many units had the event; refused unless every value of the column is 0 or 1."""
    mean, count = moments.mean_of(column), moments.count
    spread = mean * (1 - mean) * count / max(count - 1, 1)
    if not np.isclose(moments.variance(column), spread, rtol=1e-6, atol=1e-12):
        raise DataError(
            f"Column {column!r} is not a proportion: its values are not all 0 or 1. "
            "Recode it or analyse it as a mean.",
            code="OUTCOME_NOT_BINARY",
            column=column,
        )
    return float(round(mean * count))


def _relative_limits(scores: _Score, bound: float) -> tuple[float, float]:
    if scores.events[1] == 0:
        return float("nan"), float("nan")

    def statistic(log_ratio: float) -> float:
        return scores.of_ratio(float(np.exp(log_ratio)))

    ends = (-np.inf, np.inf)
    low, high = (_fall_to(b, statistic, -50.0, 50.0, ends=ends) for b in (bound, -bound))
    return float(np.expm1(low)), float(np.expm1(high))


def _fall_to(
    bound: float,
    statistic: Callable[[float], float],
    low: float,
    high: float,
    *,
    ends: tuple[float, float],
) -> float:
    """Where a falling statistic reaches the bound; an end when it does not in between."""
    if statistic(low) <= bound:
        return float(ends[0])
    if statistic(high) >= bound:
        return float(ends[1])
    return float(optimize.brentq(lambda x: statistic(x) - bound, low, high, xtol=1e-14, rtol=1e-12))


def score_statistic(
    difference: float, events: tuple[float, float], sizes: tuple[float, float]
) -> float:
    """How far the observed difference is from `difference`, in standard errors under the latter.

    events, sizes  of the treatment and of the control
    """
    return _of_difference(difference, events, sizes)[0]


Found = tuple[float, tuple[float, float], float]  # statistic, most likely shares, variance


def _of_difference(
    difference: float, events: tuple[float, float], sizes: tuple[float, float]
) -> Found:
    (x_t, x_c), (n_t, n_c) = events, sizes
    apart = x_t / n_t - x_c / n_c - difference
    p_c = float(restricted(difference, x_t, x_c, n_t, n_c))
    p_t = p_c + difference
    variance = (p_t * (1 - p_t) / n_t + p_c * (1 - p_c) / n_c) * (n_t + n_c) / (n_t + n_c - 1)
    return _standardised(apart, variance), (p_t, p_c), variance


def _standardised(apart: float, variance: float) -> float:
    if variance <= 0:
        return 0.0 if apart == 0 else float(np.copysign(np.inf, apart))
    return float(apart / np.sqrt(variance))


def _of_ratio(ratio: float, events: tuple[float, float], sizes: tuple[float, float]) -> Found:
    """The score statistic of p_t / p_c = ratio, with the most likely pair of that ratio."""
    (x_t, x_c), (n_t, n_c) = events, sizes
    a, c = (n_t + n_c) * ratio, x_t + x_c
    b = n_t * ratio + x_t + n_c + x_c * ratio
    p_c = 2 * c / (b + np.sqrt(max(b**2 - 4 * a * c, 0.0)))  # the smaller root, without rounding
    p_t = min(p_c * ratio, 1.0)
    variance = p_t * (1 - p_t) / n_t + ratio**2 * p_c * (1 - p_c) / n_c
    variance *= (n_t + n_c) / (n_t + n_c - 1)
    apart = x_t / n_t - ratio * x_c / n_c
    return _standardised(apart, variance), (p_t, p_c), variance


def restricted(
    difference: float, x_t: ArrayLike, x_c: ArrayLike, n_t: float, n_c: float
) -> npt.NDArray[np.float64]:
    """Most likely control proportion when the treatment's is `difference` more: a cubic's root.

    x_t, x_c  events, of one pair of arms or of many (they broadcast)
    """
    x_t, x_c = np.asarray(x_t, dtype=np.float64), np.asarray(x_c, dtype=np.float64)
    n = n_t + n_c
    quadratic = (n_t + 2 * n_c) * difference - n - x_t - x_c
    linear = (n_c * difference - n - 2 * x_c) * difference + x_t + x_c
    constant = x_c * difference * (1 - difference)
    third = quadratic / (3 * n)
    q = third**3 - quadratic * linear / (6 * n**2) + constant / (2 * n)
    p = np.copysign(np.sqrt(np.maximum(third**2 - linear / (3 * n), 0.0)), q)
    cubed = np.where(p == 0, 1.0, p**3)
    angle = np.where(p == 0, 0.0, np.arccos(np.clip(q / cubed, -1.0, 1.0)))
    root = 2 * p * np.cos((np.pi + angle) / 3) - third
    return np.asarray(np.clip(root, max(0.0, -difference), min(1.0, 1 - difference)))
