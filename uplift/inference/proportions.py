"""Difference of two proportions by its score interval: right also when events are rare.

A normal interval around the observed proportions fails when an arm has few events (it has no width
at all when there is none). The score interval uses the variance that the difference in question
would imply.
"""

from dataclasses import replace

import numpy as np
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

    Never undefined: without any event, the interval still says how many there can be. Standard
    error and relative interval are those of `welch`.

    Source: Miettinen & Nurminen (1985), Statistics in Medicine 4(2).
    """
    plain = welch(treatment, control, column=column, confidence=confidence)
    events = (_events(treatment, column), _events(control, column))
    sizes = (treatment.count, control.count)
    bound = float(stats.norm.ppf(0.5 + confidence / 2))
    ci = (_limit(events, sizes, bound), _limit(events, sizes, -bound))
    p_value = float(2 * stats.norm.sf(abs(_statistic(0.0, events, sizes))))
    return replace(plain, ci=ci, p_value=p_value, df=float("inf"))


def _events(moments: Moments, column: str) -> float:
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
    """The difference at which the score statistic equals the bound; it falls from 1 to -1."""
    edge = 1 - 1e-12

    def above(difference: float) -> float:
        return _statistic(difference, events, sizes) - bound

    if above(-edge) <= 0:
        return -1.0
    if above(edge) >= 0:
        return 1.0
    return float(optimize.brentq(above, -edge, edge, xtol=1e-14, rtol=1e-12))


def _statistic(difference: float, events: tuple[float, float], sizes: tuple[float, float]) -> float:
    (x_t, x_c), (n_t, n_c) = events, sizes
    apart = x_t / n_t - x_c / n_c - difference
    p_c = _restricted(difference, events, sizes)
    p_t = p_c + difference
    variance = (p_t * (1 - p_t) / n_t + p_c * (1 - p_c) / n_c) * (n_t + n_c) / (n_t + n_c - 1)
    if variance <= 0:
        return 0.0 if apart == 0 else float(np.copysign(np.inf, apart))
    return float(apart / np.sqrt(variance))


def _restricted(
    difference: float, events: tuple[float, float], sizes: tuple[float, float]
) -> float:
    """Most likely control proportion when the treatment's is `difference` more: a cubic's root."""
    (x_t, x_c), (n_t, n_c) = events, sizes
    n = n_t + n_c
    quadratic = (n_t + 2 * n_c) * difference - n - x_t - x_c
    linear = (n_c * difference - n - 2 * x_c) * difference + x_t + x_c
    constant = x_c * difference * (1 - difference)
    third = quadratic / (3 * n)
    q = third**3 - quadratic * linear / (6 * n**2) + constant / (2 * n)
    p = np.copysign(np.sqrt(max(third**2 - linear / (3 * n), 0.0)), q)
    angle = 0.0 if p == 0 else float(np.arccos(np.clip(q / p**3, -1.0, 1.0)))
    root = 2 * p * np.cos((np.pi + angle) / 3) - third
    return float(np.clip(root, max(0.0, -difference), min(1.0, 1 - difference)))
