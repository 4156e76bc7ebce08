"""Best linear projection: how effects differ along some features, with errors that hold.

Least squares of doubly robust scores on features. It is the best linear description of the effects,
whether or not they are linear, and its errors need no model of the outcome.
Source: Semenova & Chernozhukov (2021), The Econometrics Journal 24(2); MacKinnon & White (1985)
for HC3.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, stats

from uplift.errors import DataError

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DEPENDENT = 1e-10  # of a column's length: less than that is not its own


@dataclass(frozen=True, eq=False)
class LinearFit:
    """Coefficients of a projection, each (n_columns,), in the unit of the scores.

    covariance  (n_columns, n_columns)
    """

    value: Array
    std_error: Array
    low: Array
    high: Array
    p_value: Array
    covariance: Array


def linear_projection(
    scores: Array,
    columns: Array,
    *,
    weight: Array | None = None,
    cluster: IntArray | None = None,
    confidence: float = 0.95,
) -> LinearFit:
    """Weighted least squares of scores on columns, with HC3 errors, or by cluster.

        value   = (X'WX)^-1 X'W scores
        HC3     = (X'WX)^-1 sum w^2 e^2 / (1 - h)^2 x x' (X'WX)^-1,  h the leverage
        cluster = (X'WX)^-1 sum_g s_g s_g' (X'WX)^-1 G / (G - 1) (n - 1) / (n - p),
                  s_g the sum of w e x over a cluster

    scores   (n_units,)
    columns  (n_units, n_columns), a column of ones included
    cluster  (n_units,)  codes from 0

    PROJECTION_COLLINEAR when a column is a sum of others, PROJECTION_TOO_SMALL when there are no
    more units (or clusters) than columns.
    """
    n_units, n_columns = columns.shape
    groups = n_units if cluster is None else len(np.unique(cluster))
    if groups <= n_columns:
        raise DataError(
            f"A projection on {n_columns} columns needs more units or clusters than that, got "
            f"{groups}. Name fewer features.",
            code="PROJECTION_TOO_SMALL",
            count=groups,
        )
    root = np.ones(n_units) if weight is None else np.sqrt(weight)
    x, y = columns * root[:, None], scores * root
    q, r = np.linalg.qr(x)
    alone = np.abs(np.diag(r)) / np.maximum(np.linalg.norm(x, axis=0), np.finfo(float).tiny)
    if (alone <= DEPENDENT).any():
        raise DataError(
            f"Column number {int(alone.argmin())} of the projection is a sum of the others. Leave "
            "one of them out.",
            code="PROJECTION_COLLINEAR",
        )
    value = linalg.solve_triangular(r, q.T @ y)
    residual = y - x @ value
    if cluster is None:
        leverage = (q**2).sum(axis=1)
        pieces = q * (residual / (1 - leverage))[:, None]
    else:
        codes = np.unique(cluster, return_inverse=True)[1]
        pieces = np.stack([np.bincount(codes, weights=column * residual) for column in q.T], axis=1)
        pieces *= np.sqrt(groups / (groups - 1) * (n_units - 1) / (n_units - n_columns))
    half = linalg.solve_triangular(r, pieces.T)
    covariance = half @ half.T
    return _fit(value, covariance, confidence)


def _fit(value: Array, covariance: Array, confidence: float) -> LinearFit:
    std_error = np.sqrt(np.diag(covariance))
    width = float(stats.norm.ppf(0.5 + confidence / 2)) * std_error
    p_value = 2 * stats.norm.sf(np.abs(value) / std_error)
    return LinearFit(value, std_error, value - width, value + width, p_value, covariance)
