"""Power of proving that a rare share has not risen by a margin: the score test at the margin.

Opt-outs, complaints and returns are rare, so the plain formula takes almost no variance from them
and promises a proof with a handful of customers. The score test takes the variance of the most
likely pair of shares that lie the margin apart, which is never small.
Source: Farrington & Manning (1990), Statistics in Medicine 9(12); Miettinen & Nurminen (1985),
Statistics in Medicine 4(2).
"""

import math

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from uplift.errors import DefinitionError
from uplift.inference.proportions import restricted, skewness_of, without_skewness

Array = npt.NDArray[np.float64]

DEVIATIONS = 9.0  # of each binomial that are summed over; beyond lies less than 1e-15
MOST_CELLS = 2_000_000  # of the exact sum; above, the normal formula is as good


def required_units_margin_score(
    mean: float,
    margin: float,
    *,
    control_share: float,
    treatment_share: float,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Units of the whole experiment that prove a share of `mean` in both arms within the margin.

        (z_confidence sqrt(v_margin) + z_power sqrt(v_same))^2 / margin^2

    v_same is mean (1 - mean) (1 / share_c + 1 / share_t), v_margin the same of the most likely
    shares that lie `margin` apart. One-sided, against a treatment that raises the share.

    mean    in [0, 1), of control and treatment alike
    margin  above 0, a share: 0.01 is one point
    """
    _check(mean, margin)
    return _units(mean, margin, control_share, treatment_share, confidence, power)


def detectable_margin_score(
    mean: float,
    *,
    n_control: float,
    n_treatment: float,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Smallest margin that is proven with `power`; nan when even a rise to 1 is not ruled out."""
    n = n_control + n_treatment
    shares = (n_control / n, n_treatment / n)
    largest = (1 - mean) * (1 - 1e-9)

    def excess(margin: float) -> float:
        return _units(mean, margin, *shares, confidence, power) - n

    if excess(largest) > 0:
        return math.nan
    return float(optimize.brentq(excess, 1e-9, largest, xtol=1e-12))


def power_of_margin_score(
    mean: float,
    margin: float,
    *,
    n_control: int,
    n_treatment: int,
    confidence: float = 0.95,
    equal_tailed: bool = False,
) -> float:
    """Probability that the score interval stays within the margin, summed over all counts.

    equal_tailed  that of `equal_tailed_score`, which the analysis uses

    Above `MOST_CELLS` pairs of counts, by the normal formula of `required_units_margin_score`.
    """
    _check(mean, margin)
    if min(n_control, n_treatment) < 1:
        raise DefinitionError(
            f"Each arm needs units, got {n_control} and {n_treatment}.", code="ARM_TOO_SMALL"
        )
    (x_c, w_c), (x_t, w_t) = _counts(n_control, mean), _counts(n_treatment, mean)
    z = float(stats.norm.ppf(confidence))
    if len(x_c) * len(x_t) <= MOST_CELLS:
        events, n = np.meshgrid(x_c, x_t, indexing="ij"), (float(n_control), float(n_treatment))
        before = restricted(margin, events[1], events[0], n[1], n[0])
        variance = _variance(before, margin, n) * sum(n) / (sum(n) - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (events[1] / n[1] - events[0] / n[0] - margin) / np.sqrt(variance)
        if equal_tailed:
            skewness = skewness_of(before + margin, before, n[1], n[0], variance)
            found = without_skewness(found, skewness)
        return float(w_c @ (found < -z) @ w_t)
    both = (float(n_control), float(n_treatment))
    null = math.sqrt(_variance(_apart(mean, margin, both), margin, both))
    true = math.sqrt(_variance(np.array(mean), 0.0, both))
    return (
        float(stats.norm.cdf((margin - z * null) / true)) if true > 0 else float(margin > z * null)
    )


def _units(
    mean: float, margin: float, share_c: float, share_t: float, confidence: float, power: float
) -> float:
    shares = (share_c, share_t)
    null = math.sqrt(_variance(_apart(mean, margin, shares), margin, shares))
    true = math.sqrt(_variance(np.array(mean), 0.0, shares))
    z_error, z_power = stats.norm.ppf(confidence), stats.norm.ppf(power)
    return float(((z_error * null + z_power * true) / margin) ** 2)


def _apart(mean: float, margin: float, sizes: tuple[float, float]) -> Array:
    """Most likely control share, `margin` apart, when both arms show `mean`."""
    return restricted(margin, mean * sizes[1], mean * sizes[0], sizes[1], sizes[0])


def _variance(control: Array, difference: float, sizes: tuple[float, float]) -> Array:
    """Of the difference of the two shares, per unit of the sizes."""
    treated = control + difference
    spread = treated * (1 - treated) / sizes[1] + control * (1 - control) / sizes[0]
    return np.asarray(np.maximum(spread, 0.0))


def _counts(n: int, mean: float) -> tuple[Array, Array]:
    """Counts with any probability worth summing, and it."""
    spread = DEVIATIONS * math.sqrt(n * mean * (1 - mean)) + DEVIATIONS
    low, high = max(0, math.floor(n * mean - spread)), min(n, math.ceil(n * mean + spread))
    counts = np.arange(low, high + 1, dtype=np.float64)
    return counts, np.asarray(stats.binom.pmf(counts, n, mean))


def _check(mean: float, margin: float) -> None:
    if not 0 <= mean < 1:
        raise DefinitionError(
            f"A share must be at least 0 and below 1, got {mean}. Check the baseline: 0.01 is one "
            "in a hundred.",
            code="PROPORTION_INVALID",
        )
    if not margin > 0:
        raise DefinitionError(
            f"A margin must be above 0, got {margin}. Give the largest rise that is acceptable, as "
            "a share.",
            code="MARGIN_INVALID",
        )
