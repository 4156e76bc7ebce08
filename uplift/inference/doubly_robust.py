"""Doubly robust scores: the one set of numbers that effects, rankings, policies and ROI share.

Right on average when either the propensities or the predicted outcomes are right; in an experiment
the propensities are known by design, so the predictions only make them sharper.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.errors import DataError

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Average:
    """A mean of scores with its standard error and interval, in the unit of the scores."""

    value: float
    std_error: float
    ci: tuple[float, float]
    p_value: float
    n_units: int


def aipw_outcomes(*, outcome: Array, arm: IntArray, propensity: Array, predicted: Array) -> Array:
    """Doubly robust outcome of each unit under each arm.

        predicted + 1[arm received] / propensity * (outcome - predicted)

    A column's mean estimates the mean outcome had every unit received that arm.

    outcome     (n_units,)          unit of the metric
    arm         (n_units,)          column of the arm received
    propensity  (n_units, n_arms)   inside (0, 1), rows sum to 1
    predicted   (n_units, n_arms)   out-of-fold mean outcome per arm, unit of the metric
    returns     (n_units, n_arms)   unit of the metric

    Source: Robins, Rotnitzky & Zhao (1994), JASA 89(427).
    """
    if not ((propensity > 0) & (propensity < 1)).all():
        raise DataError(
            f"Propensities must be inside (0, 1), found {propensity.min():g} to "
            f"{propensity.max():g}. Leave out units that could get only one arm.",
            code="PROPENSITY_BOUND",
        )
    scores = predicted.astype(np.float64, copy=True)
    rows = np.arange(len(arm))
    scores[rows, arm] += (outcome - predicted[rows, arm]) / propensity[rows, arm]
    return scores


def average(
    scores: Array,
    *,
    weight: Array | None = None,
    cluster: IntArray | None = None,
    confidence: float = 0.95,
) -> Average:
    """Weighted mean of scores and its standard error, by cluster where the design is.

        value     = sum(weight * score) / sum(weight)
        residual  = sum of weight * (score - value) over a cluster
        std_error = sqrt(G / (G - 1) * sum(residual^2)) / sum(weight)

    scores   (n_units,)  any unit
    cluster  (n_units,)  codes from 0, gaps allowed; G is the number of clusters that occur (of
                         units where there are none). With fewer than two, there is no error (nan).
    """
    w = np.ones_like(scores) if weight is None else weight
    total = float(w.sum())
    value = float(w @ scores) / total
    residual: Array = w * (scores - value)
    groups = len(residual)
    if cluster is not None:
        residual = np.bincount(cluster, weights=residual).astype(np.float64)
        groups = int(np.count_nonzero(np.bincount(cluster)))
    std_error = float("nan")
    if groups > 1:
        std_error = float(np.sqrt(groups / (groups - 1) * (residual @ residual)) / total)
    half = float(stats.norm.ppf(0.5 + confidence / 2)) * std_error
    p_value = float(2 * stats.norm.sf(abs(value) / std_error)) if std_error > 0 else float("nan")
    return Average(value, std_error, (value - half, value + half), p_value, len(scores))
