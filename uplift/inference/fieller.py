"""Interval of a quotient of two estimates, also when the lower one may be near 0.

Source: Fieller (1954), JRSS B 16(2).
"""

import math

import numpy as np

NOT_BOUNDED = (float("nan"), float("nan"))


def quotient_interval(
    top: float,
    base: float,
    *,
    var_top: float,
    var_base: float,
    covariance: float = 0.0,
    quantile: float,
) -> tuple[float, float]:
    """The quotients q for which top - q base is not proven different from 0.

        (top - q base)^2 <= quantile^2 (var_top - 2 q covariance + q^2 var_base)

    (nan, nan) when the base may be 0: any quotient, however large, is then possible.

    quantile  of the normal or t distribution, e.g. 1.96
    """
    # on standardised numbers, so that small or large units neither under- nor overflow
    scale_top = math.sqrt(var_top) or abs(top) or 1.0
    scale_base = math.sqrt(var_base) or abs(base) or 1.0
    y, x = top / scale_top, base / scale_base
    a = x**2 - quantile**2 * var_base / scale_base**2
    b = x * y - quantile**2 * covariance / (scale_top * scale_base)
    c = y**2 - quantile**2 * var_top / scale_top**2
    inside = b**2 - a * c
    if not (a > 0 and inside >= 0):
        return NOT_BOUNDED
    root, unit = math.sqrt(inside), scale_top / scale_base
    return (b - root) / a * unit, (b + root) / a * unit


def quotient_variance(
    top: float, base: float, *, var_top: float, var_base: float, covariance: float = 0.0
) -> float:
    """Variance of top / base by the delta method; nan when the base is 0.

    (var_top - 2 q covariance + q^2 var_base) / base^2
    """
    if base == 0:
        return float("nan")
    quotient = top / base
    spread = var_top - 2 * quotient * covariance + quotient**2 * var_base
    return float(np.maximum(spread, 0.0)) / base**2
