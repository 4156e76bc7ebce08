"""Power of the score test of two proportions: right also when events are rare.

The test divides by the standard error under no difference, so arms of unequal size and rare events
move its power away from the plain formula. The exact answer sums over all counts the arms can show.
Source: Miettinen & Nurminen (1985), Statistics in Medicine 4(2); Fleiss, Levin & Paik (2003),
chapter 4.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from uplift.errors import DefinitionError
from uplift.inference.proportions import skewness_of, without_skewness

Array = npt.NDArray[np.float64]

DEVIATIONS = 9.0  # of each binomial that are summed over; beyond lies less than 1e-15
MOST_CELLS = 40_000_000  # of the exact sum; above, the normal formula is as good


def power_of_score(
    control_mean: float,
    effect: float,
    *,
    n_control: int,
    n_treatment: int,
    confidence: float = 0.95,
) -> float:
    """Probability that the score test finds a change from `control_mean` by `effect` (normal).

    (effect - z std_error under no difference) / std_error under the effect, and the far tail
    """
    after = _checked(control_mean, effect)
    z = stats.norm.ppf(0.5 + confidence / 2)
    pooled = (n_control * control_mean + n_treatment * after) / (n_control + n_treatment)
    null = math.sqrt(pooled * (1 - pooled) * _widened(n_control, n_treatment))
    variance = control_mean * (1 - control_mean) / n_control + after * (1 - after) / n_treatment
    if variance == 0:
        return 1.0 if abs(effect) > z * null else 0.0
    error = math.sqrt(variance)
    return float(
        stats.norm.sf((z * null - effect) / error) + stats.norm.cdf((-z * null - effect) / error)
    )


def exact_power_of_score(
    control_mean: float,
    effect: float,
    *,
    n_control: int,
    n_treatment: int,
    confidence: float = 0.95,
    equal_tailed: bool = False,
) -> float:
    """As `power_of_score`, summed over every pair of counts instead of approximated.

    equal_tailed  of the test of `equal_tailed_score`, which the analysis uses

    With an effect of 0 it is the true false-alarm rate. For arms with up to some thousand events.
    """
    after = _checked(control_mean, effect)
    x_c, w_c = _counts(n_control, control_mean)
    x_t, w_t = _counts(n_treatment, after)
    if len(x_c) * len(x_t) > MOST_CELLS:
        return power_of_score(
            control_mean,
            effect,
            n_control=n_control,
            n_treatment=n_treatment,
            confidence=confidence,
        )
    apart = x_t[None, :] / n_treatment - x_c[:, None] / n_control
    pooled = (x_t[None, :] + x_c[:, None]) / (n_control + n_treatment)
    variance = pooled * (1 - pooled) * _widened(n_control, n_treatment)
    z = stats.norm.ppf(0.5 + confidence / 2)
    proven = (apart**2 > z**2 * variance) & (apart != 0)
    if equal_tailed:
        skewness = skewness_of(pooled, pooled, n_treatment, n_control, variance)
        found = apart / np.sqrt(np.where(variance > 0, variance, np.inf))
        proven = np.abs(without_skewness(found, skewness)) > z
    return float(w_c @ proven @ w_t)


def required_units_score(
    control_mean: float,
    effect: float,
    *,
    control_share: float,
    treatment_share: float,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Units of the whole experiment at which the score test finds `effect` with `power` (normal).

    (z std of the pooled proportion + z_power std of the two) ^2 / effect^2, per unit
    """
    after = _checked(control_mean, effect)
    if effect == 0:
        raise DefinitionError(
            "The effect to detect must be a number other than 0, got 0.", code="EFFECT_INVALID"
        )
    both = control_share + treatment_share
    pooled = (control_share * control_mean + treatment_share * after) / both
    null = pooled * (1 - pooled) * (1 / control_share + 1 / treatment_share)
    true = control_mean * (1 - control_mean) / control_share + after * (1 - after) / treatment_share
    z = stats.norm.ppf(0.5 + confidence / 2) * math.sqrt(null)
    return float(((z + stats.norm.ppf(power) * math.sqrt(true)) / effect) ** 2)


def detectable_score(
    control_mean: float,
    *,
    n_control: int,
    n_treatment: int,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Smallest rise that the score test finds with `power`; nan when even a rise to 1 is not."""

    def shortfall(effect: float) -> float:
        arms = {"n_control": n_control, "n_treatment": n_treatment}
        return power_of_score(control_mean, effect, **arms, confidence=confidence) - power

    largest = 1 - control_mean
    if shortfall(largest) < 0:
        return math.nan
    return float(optimize.brentq(shortfall, 1e-12, largest, xtol=1e-14))


def _widened(n_control: int, n_treatment: int) -> float:
    """1 / n_c + 1 / n_t, with the n / (n - 1) of Miettinen and Nurminen."""
    n = n_control + n_treatment
    return (1 / n_control + 1 / n_treatment) * n / (n - 1)


def _counts(n: int, mean: float) -> tuple[Array, Array]:
    """Counts with any probability worth summing, and it."""
    spread = DEVIATIONS * math.sqrt(n * mean * (1 - mean)) + DEVIATIONS
    low, high = max(0, math.floor(n * mean - spread)), min(n, math.ceil(n * mean + spread))
    counts = np.arange(low, high + 1, dtype=np.float64)
    return counts, np.asarray(stats.binom.pmf(counts, n, mean))


def _checked(control_mean: float, effect: float) -> float:
    after = control_mean + effect
    if not (0 <= control_mean <= 1 and 0 <= after <= 1):
        raise DefinitionError(
            f"A proportion must stay between 0 and 1, got {control_mean} and {after}. Check the "
            "baseline and the effect: both are shares, e.g. 0.01 for one point.",
            code="PROPORTION_INVALID",
        )
    return after
