"""How many units, how small an effect, how much power: the same normal approximation solved thrice.

Effects are absolute, in the unit of the metric. Tests are two-sided at `1 - confidence`; to plan
for a family of tests, divide the error by its size first (`confidence = 1 - 0.05 / n_tests`).
Source: Fleiss, Levin & Paik (2003), "Statistical Methods for Rates and Proportions", chapter 4.
"""

import numpy as np
from scipy import optimize, stats

from uplift.errors import DefinitionError


def required_units(
    effect: float,
    *,
    control_share: float,
    treatment_share: float,
    control_variance: float,
    treatment_variance: float | None = None,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Units of the whole experiment at which `effect` is proven with probability `power`.

        (z_confidence + z_power)^2 (control_variance / control_share
                                    + treatment_variance / treatment_share) / effect^2

    Shares are of all units, so with several arms they add up to less than 1; without a treatment
    variance it is taken equal to the control's.
    """
    _check(effect=effect, confidence=confidence, power=power)
    _check_shares(control_share, treatment_share)
    treated = control_variance if treatment_variance is None else treatment_variance
    variance = control_variance / control_share + treated / treatment_share
    return float(_z_sum(confidence, power) ** 2 * variance / effect**2)


def detectable_effect(
    *,
    n_control: float,
    n_treatment: float,
    control_variance: float,
    treatment_variance: float | None = None,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Smallest effect that is proven with probability `power` (the MDE), above 0.

    (z_confidence + z_power) * sqrt(control_variance / n_control + treatment_variance / n_treatment)
    """
    _check(confidence=confidence, power=power)
    error = _std_error(n_control, n_treatment, control_variance, treatment_variance)
    return _z_sum(confidence, power) * error


def power_of(
    effect: float,
    *,
    n_control: float,
    n_treatment: float,
    control_variance: float,
    treatment_variance: float | None = None,
    confidence: float = 0.95,
) -> float:
    """Probability that a true `effect` is found different from zero, on either side."""
    _check(confidence=confidence)
    error = _std_error(n_control, n_treatment, control_variance, treatment_variance)
    if error == 0:
        return 1.0 if effect else 1 - confidence
    bound = stats.norm.ppf(0.5 + confidence / 2)
    return float(stats.norm.sf(bound - effect / error) + stats.norm.cdf(-bound - effect / error))


def required_units_proportion(
    control_mean: float,
    effect: float,
    *,
    control_share: float,
    treatment_share: float,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """`required_units` of a proportion, whose treatment mean is `control_mean + effect`."""
    _check_proportion(control_mean, control_mean + effect)
    return required_units(
        effect,
        control_share=control_share,
        treatment_share=treatment_share,
        control_variance=bernoulli_variance(control_mean),
        treatment_variance=bernoulli_variance(control_mean + effect),
        confidence=confidence,
        power=power,
    )


def detectable_proportion(
    control_mean: float,
    *,
    n_control: float,
    n_treatment: float,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Smallest rise of a proportion that is proven with probability `power`.

    Solves effect = (z_confidence + z_power) * std_error(effect), whose treatment variance is that
    at `control_mean + effect`; nan when even a rise to 1 would not be proven.
    """
    _check(confidence=confidence, power=power)
    _check_proportion(control_mean)

    def shortfall(effect: float) -> float:
        variances = (bernoulli_variance(control_mean), bernoulli_variance(control_mean + effect))
        return effect - _z_sum(confidence, power) * _std_error(n_control, n_treatment, *variances)

    largest = 1 - control_mean
    if shortfall(largest) < 0:
        return float("nan")
    return float(optimize.brentq(shortfall, 0.0, largest, xtol=1e-14))


def power_of_proportion(
    control_mean: float,
    effect: float,
    *,
    n_control: float,
    n_treatment: float,
    confidence: float = 0.95,
) -> float:
    """`power_of` a change of a proportion from `control_mean` to `control_mean + effect`."""
    _check_proportion(control_mean, control_mean + effect)
    return power_of(
        effect,
        n_control=n_control,
        n_treatment=n_treatment,
        control_variance=bernoulli_variance(control_mean),
        treatment_variance=bernoulli_variance(control_mean + effect),
        confidence=confidence,
    )


def bernoulli_variance(mean: float) -> float:
    """Variance of a 0/1 outcome with this mean; 0 outside [0, 1]."""
    return max(mean * (1 - mean), 0.0)


def _z_sum(confidence: float, power: float) -> float:
    return float(stats.norm.ppf(0.5 + confidence / 2) + stats.norm.ppf(power))


def _std_error(
    n_control: float,
    n_treatment: float,
    control_variance: float,
    treatment_variance: float | None = None,
) -> float:
    for name, count in (("n_control", n_control), ("n_treatment", n_treatment)):
        if not count > 0:
            raise DefinitionError(
                f"{name} must be above 0, got {count}. Give each arm some units.",
                code="ARM_TOO_SMALL",
            )
    treated = control_variance if treatment_variance is None else treatment_variance
    if not (control_variance >= 0 and treated >= 0):
        raise DefinitionError(
            f"A variance must be 0 or more, got {control_variance} and {treated}.",
            code="VARIANCE_INVALID",
        )
    return float(np.sqrt(control_variance / n_control + treated / n_treatment))


def _check(*, effect: float = 1.0, confidence: float = 0.95, power: float = 0.8) -> None:
    if not (np.isfinite(effect) and effect != 0):
        raise DefinitionError(
            f"The effect to detect must be a number other than 0, got {effect}. "
            "Give the smallest effect worth acting on, in the unit of the metric.",
            code="EFFECT_INVALID",
        )
    for name, value in (("confidence", confidence), ("power", power)):
        if not 0 < value < 1:
            raise DefinitionError(
                f"{name} must be between 0 and 1, got {value}. Usual: 0.95 and 0.8.",
                code="PROBABILITY_INVALID",
            )


def _check_shares(control_share: float, treatment_share: float) -> None:
    if not (
        control_share > 0 and treatment_share > 0 and control_share + treatment_share <= 1.0001
    ):
        raise DefinitionError(
            "Shares of control and treatment must be above 0 and add up to at most 1, got "
            f"{control_share} and {treatment_share}.",
            code="WEIGHTS_INVALID",
        )


def _check_proportion(*means: float) -> None:
    for mean in means:
        if not 0 <= mean <= 1:
            raise DefinitionError(
                f"A proportion must stay between 0 and 1, got {mean}. Check the baseline and the "
                "effect: both are shares, e.g. 0.01 for one point.",
                code="PROPORTION_INVALID",
            )
