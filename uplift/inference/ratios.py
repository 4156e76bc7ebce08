"""Ratio of two sums per arm, e.g. spend per customer where households were randomised.

The rows are what was randomised; lower-grain rows are summed per randomised cluster first.
Source: Deng, Knoblich & Lu (2018), "Applying the Delta Method in Metric Analytics", KDD.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError
from uplift.inference.means import ArmMean, Estimate, contrast, require_two
from uplift.inference.moments import Moments
from uplift.inference.regression_adjustment import adjusted_mean, middle_of

Array = npt.NDArray[np.float64]


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


def adjusted_ratio(
    treatment: Moments,
    control: Moments,
    *,
    numerator: str,
    denominator: str,
    covariates: Sequence[str],
    population: Moments | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Difference of two ratios, both moved to the covariate means of the whole population.

        e_a     = (y - ratio_a z) / mean(z)_a                 the ratio's linearised unit value
        ratio_a - slope_a' (mean(x)_a - mean(x)),  slope_a = S_xx,a^-1 S_xe,a

    As `regression_adjustment.lin` with e as the outcome, a slope per arm, and the same error. The
    moments hold y, z, the covariates, and all their co-moments
    (`regression_adjustment.covariances_for([numerator, denominator], covariates)` and their own
    pair).

    covariates  known before assignment; for CUPED on a ratio, its numerator and its denominator of
                the time before
    population  moments whose covariate means the arms are moved to; both arms when not given

    Source: Deng, Knoblich & Lu (2018), KDD; Lin (2013), Annals of Applied Statistics 7(1).
    """
    everyone = treatment + control if population is None else population
    middle, spread = middle_of(everyone, covariates)
    arms = []
    for arm in (treatment, control):
        plain = _arm_ratio(arm, numerator, denominator)
        base = arm.mean_of(denominator)
        top, below = (
            np.array([arm.covariance(column, name) for name in covariates])
            for column in (numerator, denominator)
        )
        arms.append(
            adjusted_mean(
                arm,
                covariates,
                name=numerator,
                value=plain.value,
                rest=plain.rest,
                variance=plain.variance * arm.count,
                cross=(top - plain.value * below) / base,
                middle=middle,
                spread=spread,
            )
        )
    return contrast(*arms, confidence=confidence, shared_df=everyone.count - 1)


def covariance_of_ratios(
    moments: Moments, *, first: tuple[str, str], second: tuple[str, str]
) -> float:
    """Covariance per unit of two ratios of means, (numerator, denominator) each; / n for theirs.

        (cov(a, c) - R cov(b, c) - Q cov(a, d) + R Q cov(b, d)) / (mean(b) mean(d)),
        R = mean(a) / mean(b),  Q = mean(c) / mean(d)

    With twice the same ratio, it is its variance.
    """
    (a, b), (c, d) = first, second
    base_b, base_d = _base(moments, b), _base(moments, d)
    r, q = moments.mean_of(a) / base_b, moments.mean_of(c) / base_d
    found = moments.covariance(a, c) - r * moments.covariance(b, c)
    found += r * q * moments.covariance(b, d) - q * moments.covariance(a, d)
    return found / (base_b * base_d)


def _base(moments: Moments, column: str) -> float:
    base = moments.mean_of(column)
    if base == 0:
        raise DataError(
            f"The mean of {column!r} is 0 in an arm, so there is no ratio. Check the column.",
            code="RATIO_UNDEFINED",
            column=column,
        )
    return base


def _arm_ratio(arm: Moments, numerator: str, denominator: str) -> ArmMean:
    require_two(arm.count, numerator)
    base = _base(arm, denominator)
    value = arm.mean_of(numerator) / base
    pair = (numerator, denominator)
    variance = covariance_of_ratios(arm, first=pair, second=pair)
    return ArmMean(
        value=value,
        rest=0.0,
        variance=max(variance, 0.0) / arm.count,
        df=arm.count - 1,
        n_units=base * arm.count,
    )
