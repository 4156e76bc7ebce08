"""Calibration: does a promised extra effect of 1 bring 1?

The slope of the doubly robust scores on the out-of-fold effects, both centred within their fold.
1 means that differences between customers are as large as promised, 0 that they say nothing.
Source: Chernozhukov, Demirer, Duflo & Fernández-Val (2025), Econometrica 93(4), best linear
predictor of the effect; standard errors by White (1980), Econometrica 48(4), by cluster.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.evaluation.heterogeneity import fold_means

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Slope:
    """Slope of scores on effects with its interval; NaN when the effects do not differ."""

    value: float
    std_error: float
    ci: tuple[float, float]
    p_value: float


@dataclass(frozen=True)
class Calibration:
    """How true a candidate's differences between customers are, for one arm or for all arms."""

    candidate: str
    arm: str
    slope: float
    std_error: float
    ci: tuple[float, float]
    p_value: float


def slope_of(
    scores: Array,
    effects: Array,
    *,
    fold: IntArray,
    weight: Array | None = None,
    cluster: IntArray | None = None,
    dependence: float = 1.0,
    confidence: float = 0.95,
) -> Slope:
    """Slope of scores on effects within folds, all columns together.

        slope = sum w e s / sum w e^2,  e and s centred per fold and column
        std_error = sqrt(dependence * sum_g (sum_{i in g} w e (s - slope e))^2) / sum w e^2

    scores, effects  (n_units, n_columns), same unit
    dependence       factor for models that share folds, see `fold_dependence`
    """
    w = np.ones(len(scores)) if weight is None else weight
    s = _centred(scores, fold=fold, weight=w)
    e = _centred(effects, fold=fold, weight=w)
    squares = float((w[:, None] * e * e).sum())
    if squares <= _rounding(effects) * w.sum():
        nan = float("nan")
        return Slope(nan, nan, (nan, nan), nan)
    slope = float((w[:, None] * e * s).sum()) / squares
    moment = (w[:, None] * e * (s - slope * e)).sum(axis=1)
    if cluster is not None:
        moment = np.bincount(cluster, weights=moment)
    std_error = float(np.sqrt(dependence * (moment @ moment))) / squares
    half = float(stats.norm.ppf(0.5 + confidence / 2)) * std_error
    p_value = float(stats.norm.sf(slope / std_error)) if std_error > 0 else float("nan")
    return Slope(slope, std_error, (slope - half, slope + half), p_value)


def _centred(values: Array, *, fold: IntArray, weight: Array) -> Array:
    columns = [
        values[:, k] - fold_means(values[:, k], fold=fold, weight=weight)
        for k in range(values.shape[1])
    ]
    return np.column_stack(columns)


def _rounding(effects: Array) -> float:
    """Squares below this are rounding of a constant, not differences between customers."""
    return float((1e-12 * np.abs(effects).max(initial=0.0)) ** 2)
