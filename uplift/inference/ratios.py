"""Ratio of two sums per arm, e.g. spend per customer where households were randomised.

The rows are what was randomised; lower-grain rows are summed per randomised cluster first.
Source: Deng, Knoblich & Lu (2018), "Applying the Delta Method in Metric Analytics", KDD.
"""

import numpy as np

from uplift.errors import DataError
from uplift.inference.means import ArmMean, Estimate, contrast, require_two
from uplift.inference.moments import Moments


def ratio(
    treatment: Moments,
    control: Moments,
    *,
    numerator: str,
    denominator: str,
    confidence: float = 0.95,
) -> Estimate:
    """Difference of two ratios of means, by the delta method.

        ratio_a    = mean(y)_a / mean(z)_a
        variance_a = (var(y) - 2 ratio cov(y, z) + ratio^2 var(z)) / (mean(z)^2 n_clusters)

    The moments are of cluster totals; the covariance of both columns must be among them. With the
    number of units as denominator, it is the effect per unit with an error by cluster.

    n_control, n_treatment  of the estimate are sums of the denominator (units)
    """
    return contrast(
        _arm_ratio(treatment, numerator, denominator),
        _arm_ratio(control, numerator, denominator),
        confidence=confidence,
    )


def _arm_ratio(arm: Moments, numerator: str, denominator: str) -> ArmMean:
    require_two(arm.count, numerator)
    top, base = arm.mean_of(numerator), arm.mean_of(denominator)
    if base == 0:
        raise DataError(
            f"The mean of {denominator!r} is 0 in an arm, so there is no ratio. Check the column.",
            code="RATIO_UNDEFINED",
            column=denominator,
        )
    value = top / base
    spread = (
        arm.variance(numerator)
        - 2 * value * arm.covariance(numerator, denominator)
        + value**2 * arm.variance(denominator)
    )
    return ArmMean(
        value=value,
        rest=0.0,
        variance=float(np.maximum(spread, 0.0)) / (base**2 * arm.count),
        df=arm.count - 1,
        n_units=base * arm.count,
    )
