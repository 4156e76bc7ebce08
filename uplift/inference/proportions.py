"""Difference of two proportions by its score interval: right also when events are rare.

A normal interval around the observed proportions fails when an arm has few events (it has no width
at all when there is none). The score interval uses the variance that the difference in question
would imply. Tests by other methods, exact ones among them, are in `proportion_tests`; an exact
interval is in `exact_proportions`.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike
from scipy import optimize, stats

from uplift.errors import DataError
from uplift.inference.means import Estimate, welch
from uplift.inference.moments import Moments

RARE_EVENTS = 20  # with fewer events (or non-events) in an arm, a normal interval is doubtful


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
    plain = welch(treatment, control, column=column, confidence=confidence)
    events = (events_of(treatment, column), events_of(control, column))
    sizes = (treatment.count, control.count)
    bound = float(stats.norm.ppf(0.5 + confidence / 2))
    ci = (_limit(events, sizes, bound), _limit(events, sizes, -bound))
    p_value = float(2 * stats.norm.sf(abs(score_statistic(0.0, events, sizes))))
    return replace(
        plain,
        ci=ci,
        p_value=p_value,
        df=float("inf"),
        relative_ci=_relative_limits(events, sizes, bound),
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


def _limit(events: tuple[float, float], sizes: tuple[float, float], bound: float) -> float:
    """The difference at which the score statistic equals the bound; it falls from -1 to 1."""
    edge = 1 - 1e-12
    return _fall_to(bound, lambda d: score_statistic(d, events, sizes), -edge, edge, ends=(-1, 1))


def _relative_limits(
    events: tuple[float, float], sizes: tuple[float, float], bound: float
) -> tuple[float, float]:
    if events[1] == 0:
        return float("nan"), float("nan")

    def statistic(log_ratio: float) -> float:
        return _ratio_statistic(float(np.exp(log_ratio)), events, sizes)

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
    (x_t, x_c), (n_t, n_c) = events, sizes
    apart = x_t / n_t - x_c / n_c - difference
    p_c = float(restricted(difference, x_t, x_c, n_t, n_c))
    p_t = p_c + difference
    variance = (p_t * (1 - p_t) / n_t + p_c * (1 - p_c) / n_c) * (n_t + n_c) / (n_t + n_c - 1)
    if variance <= 0:
        return 0.0 if apart == 0 else float(np.copysign(np.inf, apart))
    return float(apart / np.sqrt(variance))


def _ratio_statistic(
    ratio: float, events: tuple[float, float], sizes: tuple[float, float]
) -> float:
    """The score statistic of p_t / p_c = ratio, with the most likely pair of that ratio."""
    (x_t, x_c), (n_t, n_c) = events, sizes
    a, c = (n_t + n_c) * ratio, x_t + x_c
    b = n_t * ratio + x_t + n_c + x_c * ratio
    p_c = 2 * c / (b + np.sqrt(max(b**2 - 4 * a * c, 0.0)))  # the smaller root, without rounding
    p_t = min(p_c * ratio, 1.0)
    variance = p_t * (1 - p_t) / n_t + ratio**2 * p_c * (1 - p_c) / n_c
    variance *= (n_t + n_c) / (n_t + n_c - 1)
    apart = x_t / n_t - ratio * x_c / n_c
    if variance <= 0:
        return 0.0 if apart == 0 else float(np.copysign(np.inf, apart))
    return float(apart / np.sqrt(variance))


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
