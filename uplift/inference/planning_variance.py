"""Variances that a plan is made of: of a ratio, and of an outcome after adjustment.

Each is per unit, so that it enters `power.py` wherever a variance of a mean does.
"""

from collections.abc import Sequence

import numpy as np

from uplift.errors import DataError
from uplift.inference.moments import Moments

RANK_TOLERANCE = 1e-10  # of the largest eigenvalue of the correlations: below, a direction is empty


def ratio_variance(moments: Moments, *, numerator: str, denominator: str) -> float:
    """Variance per unit of the ratio of two means, by the delta method.

        (var(y) - 2 ratio cov(y, z) + ratio^2 var(z)) / mean(z)^2,  ratio = mean(y) / mean(z)

    Units whose denominator is 0 stay in. The effect planned is absolute, in the ratio's unit.
    Source: Deng, Knoblich & Lu (2018), KDD.
    """
    base = moments.mean_of(denominator)
    if base == 0:
        raise DataError(
            f"The mean of {denominator!r} is 0, so there is no ratio. Check the column.",
            code="RATIO_UNDEFINED",
            column=denominator,
        )
    ratio = moments.mean_of(numerator) / base
    spread = (
        moments.variance(numerator)
        - 2 * ratio * moments.covariance(numerator, denominator)
        + ratio**2 * moments.variance(denominator)
    )
    return float(max(spread, 0.0) / base**2)


def explained_share(moments: Moments, *, column: str, covariates: Sequence[str]) -> float:
    """R squared: the share of a column's variance that covariates explain together, 0 to 1.

        S_xy' S_xx^-1 S_xy / S_yy, adjusted: 1 - (1 - R^2) (n - 1) / (n - 1 - rank), at least 0

    The adjustment takes out what as many columns of noise would explain of this history. A
    covariate that is constant, or a combination of others, explains nothing more.
    """
    total = moments.variance(column)
    if not covariates or not total > 0:
        return 0.0
    own = moments.covariance_matrix(covariates)
    cross = np.array([moments.covariance(column, name) for name in covariates])
    scale = np.sqrt(np.diag(own))
    scale[scale == 0] = 1.0
    values, vectors = np.linalg.eigh(own / np.outer(scale, scale))
    kept = values > RANK_TOLERANCE * max(values.max(initial=0.0), 0.0)
    along = vectors[:, kept].T @ (cross / scale)
    share = min(float(np.sum(along**2 / values[kept])) / total, 1.0)
    df = moments.count - 1 - int(kept.sum())
    if df < 1:
        raise DataError(
            f"{moments.count:g} units are too few to adjust {column!r} by {len(covariates)} "
            "covariate(s). Use fewer covariates or a longer history.",
            code="ARM_TOO_SMALL",
            column=column,
            count=int(moments.count),
        )
    return max(1 - (1 - share) * (moments.count - 1) / df, 0.0)


def variance_after_adjustment(moments: Moments, *, column: str, covariates: Sequence[str]) -> float:
    """Variance of a column that is left when covariates known before the draw are taken out.

    variance (1 - R^2), with `explained_share` as R^2; every pair of the columns must be among the
    moments' covariances (`regression_adjustment.covariances_for`).
    """
    explained = explained_share(moments, column=column, covariates=covariates)
    return moments.variance(column) * (1 - explained)
