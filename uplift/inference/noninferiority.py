"""Non-inferiority: proving that a treatment is not worse than control by more than a margin.

One-sided, planned for a treatment that changes nothing, so both arms have the control's variance.
Effects point in the good direction: above 0 the treatment helps.
Source: Julious (2004), Statistics in Medicine 23(12).
"""

import math

from scipy import stats

from uplift.errors import DefinitionError
from uplift.inference.power import required_units


def required_units_noninferiority(
    margin: float,
    *,
    control_share: float,
    treatment_share: float,
    variance: float,
    confidence: float = 0.95,
    power: float = 0.8,
    true_effect: float = 0.0,
) -> float:
    """Units of the whole experiment at which "not worse by the margin" is proven.

        (z_confidence + z_power)^2 variance (1 / share_c + 1 / share_t) / (margin + true_effect)^2

    The test is one-sided at `confidence`, and both arms have the control's variance.

    margin       above 0, in the unit of the metric
    true_effect  in the good direction: above 0 it helps, below 0 it costs
    """
    distance = _distance(margin, true_effect)
    return required_units(
        distance,
        control_share=control_share,
        treatment_share=treatment_share,
        control_variance=variance,
        confidence=_two_sided(confidence),
        power=power,
    )


def power_of_noninferiority(
    margin: float,
    *,
    n_control: float,
    n_treatment: float,
    variance: float,
    confidence: float = 0.95,
    true_effect: float = 0.0,
) -> float:
    """Probability that a one-sided test proves the treatment not worse than control by `margin`."""
    error = math.sqrt(variance / n_control + variance / n_treatment)
    shift = (margin + true_effect) / error
    return float(stats.norm.cdf(shift - stats.norm.ppf(confidence)))


def detectable_margin(
    *,
    n_control: float,
    n_treatment: float,
    variance: float,
    confidence: float = 0.95,
    power: float = 0.8,
    true_effect: float = 0.0,
) -> float:
    """Smallest margin that a treatment with `true_effect` is proven to keep, with `power`."""
    error = math.sqrt(variance / n_control + variance / n_treatment)
    z = stats.norm.ppf(confidence) + stats.norm.ppf(power)
    return float(z * error - true_effect)


def _distance(margin: float, true_effect: float) -> float:
    if not margin > 0:
        raise DefinitionError(
            f"A margin must be above 0, got {margin}. Give the largest loss that is acceptable, "
            "in the unit of the metric.",
            code="MARGIN_INVALID",
        )
    if not margin + true_effect > 0:
        raise DefinitionError(
            f"A true effect of {true_effect} lies beyond the margin {margin}, so the arm is worse "
            "and no number of units proves otherwise.",
            code="EFFECT_INVALID",
        )
    return margin + true_effect


def _two_sided(one_sided: float) -> float:
    if not 0.5 < one_sided < 1:
        raise DefinitionError(
            f"A one-sided confidence must be between 0.5 and 1, got {one_sided}. Usual: 0.95.",
            code="PROBABILITY_INVALID",
        )
    return 2 * one_sided - 1
