"""Power for relative effects: (treatment mean - control mean) / |control mean|.

The control mean in the denominator is estimated too, so the standard error grows with the effect
itself and the smallest detectable effect solves an equation. `inflation` widens the standard error
for tests that are read more than once: the multiplier of the boundary over the fixed quantile.
Source: delta method, e.g. Deng, Knoblich & Lu (2018), KDD.
"""

import math

import numpy as np
from scipy import optimize, stats

from uplift.errors import DefinitionError
from uplift.inference.always_valid import multiplier


def relative_std_error(
    relative_effect: float,
    *,
    control_mean: float,
    n_control: float,
    n_treatment: float,
    control_variance: float,
    treatment_variance: float | None = None,
) -> float:
    """Standard error of a relative effect whose true value is `relative_effect`.

    sqrt(treatment_variance / n_treatment + control_variance (1 + effect)^2 / n_control) / |mean|
    """
    _check(control_mean, n_control, n_treatment)
    treated = control_variance if treatment_variance is None else treatment_variance
    # the effect divides by the magnitude of the mean, so a negative one turns its sign
    ratio = 1 + math.copysign(relative_effect, control_mean * relative_effect)
    variance = treated / n_treatment + control_variance * ratio**2 / n_control
    return math.sqrt(variance) / abs(control_mean)


def power_of_relative(
    relative_effect: float,
    *,
    control_mean: float,
    n_control: float,
    n_treatment: float,
    control_variance: float,
    treatment_variance: float | None = None,
    confidence: float = 0.95,
    inflation: float = 1.0,
) -> float:
    """Probability that a true `relative_effect` is found different from zero, on either side.

    inflation  factor on the standard error, at least 1: e.g. that of `always_valid.inflation`
    """
    error = inflation * relative_std_error(
        relative_effect,
        control_mean=control_mean,
        n_control=n_control,
        n_treatment=n_treatment,
        control_variance=control_variance,
        treatment_variance=treatment_variance,
    )
    bound, shift = stats.norm.ppf(0.5 + confidence / 2), relative_effect / error
    return float(stats.norm.sf(bound - shift) + stats.norm.cdf(-bound - shift))


def detectable_relative(
    *,
    control_mean: float,
    n_control: float,
    n_treatment: float,
    control_variance: float,
    treatment_variance: float | None = None,
    confidence: float = 0.95,
    power: float = 0.8,
    inflation: float = 1.0,
) -> float:
    """Smallest relative rise that is proven with probability `power`.

        effect = (z_confidence + z_power) inflation std_error(effect),  a quadratic in the effect

    inf when the control mean is so uncertain that no rise, however large, would be proven.
    """
    _check(control_mean, n_control, n_treatment)
    treated = control_variance if treatment_variance is None else treatment_variance
    z = inflation * (stats.norm.ppf(0.5 + confidence / 2) + stats.norm.ppf(power))
    a = z**2 * treated / (n_treatment * control_mean**2)
    c = z**2 * control_variance / (n_control * control_mean**2)
    sign = math.copysign(1.0, control_mean)
    # effect^2 = a + c (1 + sign effect)^2
    if c >= 1:
        return math.inf
    return float((sign * c + math.sqrt(c**2 + (1 - c) * (a + c))) / (1 - c))


def required_units_relative(
    relative_effect: float,
    *,
    control_mean: float,
    control_share: float,
    treatment_share: float,
    control_variance: float,
    treatment_variance: float | None = None,
    confidence: float = 0.95,
    power: float = 0.8,
    inflation: float = 1.0,
) -> float:
    """Units of the whole experiment at which `relative_effect` is proven with `power`.

    Shares are of all units, so with several arms they add up to less than 1.
    """
    if not (math.isfinite(relative_effect) and relative_effect != 0):
        raise DefinitionError(
            f"The relative effect to detect must be a number other than 0, got {relative_effect}.",
            code="EFFECT_INVALID",
        )
    error_of_one = relative_std_error(
        relative_effect,
        control_mean=control_mean,
        n_control=control_share,
        n_treatment=treatment_share,
        control_variance=control_variance,
        treatment_variance=treatment_variance,
    )
    z = stats.norm.ppf(0.5 + confidence / 2) + stats.norm.ppf(power)
    return float((z * inflation * error_of_one / relative_effect) ** 2)


def additional_share_needed(
    effect: float,
    *,
    std_error: float,
    n_units: float,
    confidence: float = 0.95,
    power: float = 0.8,
    tuning_n: float | None = None,
    n_goals: int = 1,
) -> float:
    """Units still to come, as a multiple of those there are, until `effect` is proven with `power`.

    The standard error of now, squared, shrinks by 1 + share. 0 when nothing more is needed.

    effect     absolute or relative, as the standard error is
    n_units    units of both arms now; used with `tuning_n` only
    tuning_n   tuning of an always-valid reading (`always_valid.multiplier`), whose multiplier
               changes with the units; None for one reading at the end
    n_goals    metrics that must all be proven: each gets the power `power ** (1 / n_goals)`
    """
    if std_error == 0:
        return 0.0
    each = float(power ** (1 / n_goals))
    alpha, fixed = 1 - confidence, float(stats.norm.ppf(0.5 + confidence / 2))

    def reached(share: float) -> float:
        n = n_units * (1 + share)
        bound = fixed if tuning_n is None else multiplier(n, alpha=alpha, tuning_n=tuning_n)
        shift = abs(effect) * math.sqrt(1 + share) / std_error
        return float(stats.norm.sf(bound - shift) + stats.norm.cdf(-bound - shift)) - each

    if reached(0.0) >= 0:
        return 0.0
    upper = 1.0
    while reached(upper) < 0:
        upper *= 2
        if upper > 1e15:
            return math.inf
    return float(optimize.brentq(reached, 0.0, upper, xtol=1e-10))


def _check(control_mean: float, n_control: float, n_treatment: float) -> None:
    if not (np.isfinite(control_mean) and control_mean != 0):
        raise DefinitionError(
            f"A relative effect divides by the control mean, which is {control_mean}. "
            "Plan an absolute effect instead.",
            code="RATIO_UNDEFINED",
        )
    if not (n_control > 0 and n_treatment > 0):
        raise DefinitionError(
            f"Each arm needs units, got {n_control} and {n_treatment}.", code="ARM_TOO_SMALL"
        )
