"""The sequential boundary as Statsig documents it, before the target date of an experiment.

With the mixing variance tied to the units seen, the critical value does not change as units come:
3.585 with equal arms at 5 %. That is a flat boundary, not an always-valid one. It is wider than
needed at ordinary sizes and has no guarantee in the long run; `always_valid` has both.
"""

import math

from scipy import stats

from uplift.errors import DefinitionError


def critical_value(
    *,
    n_treatment: float,
    n_control: float,
    treatment_variance: float = 1.0,
    control_variance: float = 1.0,
    alpha: float = 0.05,
) -> float:
    """The z that an effect must pass to be called before the target date.

        V   = v_t / n_t + v_c / n_c
        tau = z_(1 - alpha / 2)^2 (v_t + v_c) / (n_t + n_c)
        sqrt((V + tau) / tau (-2 ln(alpha / 2) - ln(V / (V + tau))))

    Only shares of units and the ratio of variances matter.
    """
    if not (n_treatment > 0 and n_control > 0 and treatment_variance > 0 and control_variance > 0):
        raise DefinitionError(
            "Units and variances of both arms must be above 0, got "
            f"{n_treatment}, {n_control}, {treatment_variance} and {control_variance}.",
            code="ARM_TOO_SMALL",
        )
    if not 0 < alpha < 1:
        raise DefinitionError(
            f"alpha must be between 0 and 1, got {alpha}. Usual: 0.05.", code="PROBABILITY_INVALID"
        )
    v = treatment_variance / n_treatment + control_variance / n_control
    z = float(stats.norm.isf(alpha / 2))
    tau = z**2 * (treatment_variance + control_variance) / (n_treatment + n_control)
    return math.sqrt((v + tau) / tau * (-2 * math.log(alpha / 2) - math.log(v / (v + tau))))
