"""Factorial designs: two campaign elements tested in one draw, and whether they help each other.

Cells are the combinations of the levels of a first and a second factor (offer x channel). A
contrast is a weighted sum of cell means; its variance is the sum over cells of
weight^2 variance / n. With four equal cells of n / 4 units and one variance, a main effect has
variance 4 variance / n and an interaction (the difference of two effects) 16 variance / n: seeing
an interaction as large as a main effect takes 4 times the units, one half as large 16 times.
Source: Cochran & Cox (1957), "Experimental Designs", chapter 5.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from uplift.errors import DefinitionError
from uplift.inference.power import power_of

Array = npt.NDArray[np.float64]

ROUNDING = 1e-12  # of the largest cell mean: what the fit leaves below it is no interaction
Cells = Sequence[Sequence[float]] | Array


def interaction_contrast(
    n_first: int = 2, n_second: int = 2, *, first: int = 1, second: int = 1
) -> Array:
    """Weights of (first level's effect at a second level) - (its effect at the second's level 0).

        mean[first, second] - mean[0, second] - mean[first, 0] + mean[0, 0]

    returns  (n_first, n_second)
    """
    _check_level(first, n_first)
    _check_level(second, n_second)
    weights = np.zeros((n_first, n_second))
    weights[first, second] = weights[0, 0] = 1.0
    weights[0, second] = weights[first, 0] = -1.0
    return weights


def main_effect_contrast(
    n_first: int = 2,
    n_second: int = 2,
    *,
    first: int = 1,
    second_shares: Sequence[float] | None = None,
) -> Array:
    """Weights of the first factor's effect (level `first` against 0), averaged over the second.

    second_shares  (n_second,)  weights of the average; equal when not given. The effect of the
                   second factor is that of the transposed design.
    returns        (n_first, n_second)
    """
    _check_level(first, n_first)
    given = np.ones(n_second) if second_shares is None else np.asarray(second_shares, dtype=float)
    weights = np.zeros((n_first, n_second))
    weights[first] = given / given.sum()
    weights[0] = -weights[first]
    return weights


def simple_effect_contrast(
    n_first: int = 2, n_second: int = 2, *, first: int = 1, second: int = 0
) -> Array:
    """Weights of the first factor's effect at one level of the second. (n_first, n_second)."""
    _check_level(first, n_first)
    weights = np.zeros((n_first, n_second))
    weights[first, second], weights[0, second] = 1.0, -1.0
    return weights


def contrast_variance(contrast: Cells, *, n_units: Cells, variance: float | Cells) -> float:
    """Variance of a contrast: sum over cells of weight^2 variance / n_units.

    n_units, variance  (n_first, n_second), or one variance for all cells
    """
    weights = np.asarray(contrast, dtype=np.float64)
    n = np.broadcast_to(np.asarray(n_units, dtype=np.float64), weights.shape)
    used = weights != 0
    if not np.all(n[used] > 0):
        raise DefinitionError(
            f"Every cell of the contrast needs units, got {n.tolist()}.", code="ARM_TOO_SMALL"
        )
    spread = np.broadcast_to(np.asarray(variance, dtype=np.float64), weights.shape)
    return float(np.sum(weights[used] ** 2 * spread[used] / n[used]))


def power_of_contrast(
    effect: float,
    *,
    contrast: Cells,
    n_units: Cells,
    variance: float | Cells,
    confidence: float = 0.95,
) -> float:
    """Probability that a true contrast of `effect` is found different from zero."""
    total = contrast_variance(contrast, n_units=n_units, variance=variance)
    # one pair of arms with the variance of the contrast: the equation is the same
    return power_of(
        effect,
        n_control=2.0,
        n_treatment=2.0,
        control_variance=total,
        confidence=confidence,
    )


def required_units_of_contrast(
    effect: float,
    *,
    contrast: Cells,
    shares: Cells,
    variance: float | Cells,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Units of the whole experiment at which a contrast of `effect` is proven with `power`.

        (z_confidence + z_power)^2 sum(weight^2 variance / share) / effect^2

    shares  (n_first, n_second)  of all units, in each cell
    """
    if not (math.isfinite(effect) and effect != 0):
        raise DefinitionError(
            f"The effect to detect must be a number other than 0, got {effect}.",
            code="EFFECT_INVALID",
        )
    unit = contrast_variance(contrast, n_units=shares, variance=variance)
    return float(_z_sum(confidence, power) ** 2 * unit / effect**2)


def detectable_contrast(
    *,
    contrast: Cells,
    n_units: Cells,
    variance: float | Cells,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Smallest contrast that is proven with probability `power`, above 0."""
    total = contrast_variance(contrast, n_units=n_units, variance=variance)
    return float(_z_sum(confidence, power) * math.sqrt(total))


def power_of_any_interaction(
    cell_means: Cells, *, n_units: Cells, variance: float, confidence: float = 0.95
) -> float:
    """Power of the test that no combination differs from the sum of its parts.

        P(chi2 with (n_first - 1)(n_second - 1) degrees of freedom and noncentrality
          sum over cells of n (mean - additive fit)^2 / variance  > its quantile)

    cell_means  (n_first, n_second)  as planned; the additive fit is weighted least squares
    """
    lack = _noncentrality(cell_means, n_units, variance)
    return _chi2_power(lack, np.shape(cell_means), confidence)


def required_units_of_any_interaction(
    cell_means: Cells,
    *,
    shares: Cells,
    variance: float,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Units of the whole experiment at which `power_of_any_interaction` reaches `power`."""
    unit = _noncentrality(cell_means, shares, variance)
    if not unit > 0:
        raise DefinitionError(
            "The planned cell means are additive, so there is no interaction to find. "
            "Plan the smallest one worth finding.",
            code="EFFECT_INVALID",
        )
    shape = np.shape(cell_means)
    upper = 50.0
    while _chi2_power(upper, shape, confidence) < power:
        upper *= 2
    found = optimize.brentq(lambda nc: _chi2_power(nc, shape, confidence) - power, 1e-9, upper)
    return float(found / unit)


def _chi2_power(noncentrality: float, shape: tuple[int, ...], confidence: float) -> float:
    df = (shape[0] - 1) * (shape[1] - 1)
    bound = stats.chi2.ppf(confidence, df)
    if noncentrality <= 0:
        return 1 - confidence
    return float(stats.ncx2.sf(bound, df, noncentrality))


def _noncentrality(cell_means: Cells, n_units: Cells, variance: float) -> float:
    means = np.asarray(cell_means, dtype=np.float64)
    n = np.broadcast_to(np.asarray(n_units, dtype=np.float64), means.shape)
    rows, columns = np.indices(means.shape)
    design = np.concatenate(
        [np.eye(means.shape[0])[rows.ravel()], np.eye(means.shape[1])[columns.ravel()]], axis=1
    )
    root = np.sqrt(n.ravel())
    fit, *_ = np.linalg.lstsq(design * root[:, None], means.ravel() * root, rcond=None)
    rest = means.ravel() - design @ fit
    rest[np.abs(rest) <= ROUNDING * np.abs(means).max()] = 0.0
    return float(np.sum(n.ravel() * rest**2) / variance)


def _z_sum(confidence: float, power: float) -> float:
    return float(stats.norm.ppf(0.5 + confidence / 2) + stats.norm.ppf(power))


def _check_level(level: int, n_levels: int) -> None:
    if not 0 < level < n_levels:
        raise DefinitionError(
            f"A level is compared with level 0, so it must be 1 to {n_levels - 1}, got {level}.",
            code="LEVEL_INVALID",
        )
