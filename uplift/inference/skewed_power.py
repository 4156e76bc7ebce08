"""Power of a mean that few customers make, by the interval it will be read with.

Welch's interval where it errs as often as it says, else the skewness-corrected one of
`skewed_means.common_shape`: `check_skewness` decides, on the shapes that are expected.
Source: Hall (1992), JRSS B 54(1).
"""

import math

from scipy import optimize, stats

from uplift.inference.skewed_means import (
    SkewedArm,
    bounded,
    check_skewness,
    hall_normalised,
    pooled_shape,
)
from uplift.inference.skewness import Shape, Tails


def needs_correction(
    *,
    control: Shape,
    treatment: Shape,
    n_control: float,
    n_treatment: float,
    confidence: float = 0.95,
) -> bool:
    """Whether arms of these shapes are read by the corrected interval."""
    arms = (
        SkewedArm(n_units=n_treatment, shape=treatment),
        SkewedArm(n_units=n_control, shape=control),
    )
    return not check_skewness(*arms, confidence=confidence).passed


def tails_of_corrected_test(
    *,
    control: Shape,
    treatment: Shape,
    n_control: float,
    n_treatment: float,
    confidence: float = 0.95,
) -> Tails:
    """How often the corrected test says "better" and "worse" of arms with these shapes.

    It says better where (difference) / sqrt(v) is beyond t, with g(t) = c and v, k and g those of
    `common_shape` at their expected values. With d the true difference of means, w its variance and
    q its own skewness, that has the probability

        1 - Phi(y) + q (y^2 - 1) / 6 phi(y),   y = (t sqrt(v) - d) / sqrt(w)

    v is that of all units together, so a large arm leaves it little chance.
    """
    arms = (
        SkewedArm(n_units=n_treatment, shape=treatment),
        SkewedArm(n_units=n_control, shape=control),
    )
    pooled = pooled_shape(*arms)
    believed = pooled.variance * (1 / n_treatment + 1 / n_control)
    k = bounded(pooled.third * (1 / n_treatment**2 - 1 / n_control**2) / believed**1.5)
    true = treatment.variance / n_treatment + control.variance / n_control
    q = (treatment.third / n_treatment**2 - control.third / n_control**2) / true**1.5
    c = float(stats.t.ppf(0.5 + confidence / 2, n_control + n_treatment - 2))
    difference = treatment.mean - control.mean

    def beyond(bound: float, side: int) -> float:
        y = side * (_inverse(bound, k) * math.sqrt(believed) - difference) / math.sqrt(true)
        change = side * q * (y**2 - 1) / 6 * stats.norm.pdf(y)
        return float(min(max(stats.norm.sf(y) + change, 0.0), 1.0))

    return Tails(upper=beyond(c, 1), lower=beyond(-c, -1))


def _inverse(bound: float, k: float) -> float:
    """The statistic whose corrected value is the bound; the correction rises."""
    width = 4.0 * abs(bound)
    while hall_normalised(width, k) < bound or hall_normalised(-width, k) > bound:
        width *= 2
    return float(
        optimize.brentq(lambda t: hall_normalised(t, k) - bound, -width, width, xtol=1e-12)
    )
