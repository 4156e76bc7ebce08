"""Regression adjustment with a slope per arm: what was known before sharpens the difference.

Works on moments alone: the outcome, the covariates and all their co-moments. A covariate must be
known before assignment.
Source: Lin (2013), "Agnostic notes on regression adjustments to experimental data", Annals of
Applied Statistics 7(1).
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError
from uplift.inference.means import ArmMean, Estimate, contrast, require_two
from uplift.inference.moments import Moments, two_sum

Array = npt.NDArray[np.float64]
RANK_TOLERANCE = 1e-10  # of the largest eigenvalue of the correlations: below, a direction is empty


def lin(
    treatment: Moments,
    control: Moments,
    *,
    column: str,
    covariates: Sequence[str],
    population: Moments | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Difference of the arms' means, both moved to the covariate means of the whole population.

        mean_a     = mean(y)_a - slope_a' (mean(x)_a - mean(x)),  slope_a = S_xx,a^-1 S_xy,a
        variance_a = s_a^2 (1 / n_a + (mean(x)_a - mean(x))' (n_a - 1)^-1 S_xx,a^-1 (...))
        variance   = variance_t + variance_c + (slope_t - slope_c)' S_xx (slope_t - slope_c) / n

    The effect is the coefficient of the treatment in the regression on treatment, centred
    covariates and their interactions. Its variance is that of ordinary least squares with a
    residual variance s_a^2 of each arm's own (n_a - 1 - rank degrees of freedom), plus the last
    term, because the units are a sample from the customers the effect is about.

    population  moments whose covariate means the arms are moved to; both arms together when not
                given. Give all arms, and the control has one adjusted mean in every comparison.

    A covariate that is constant, or a combination of others, adjusts nothing.
    """
    everyone = treatment + control if population is None else population
    middle = np.array([everyone.mean_of(name) for name in covariates])
    spread = _root(everyone.covariance_matrix(covariates)) / np.sqrt(everyone.count)
    return contrast(
        _adjusted(treatment, column, covariates, middle, spread),
        _adjusted(control, column, covariates, middle, spread),
        confidence=confidence,
        shared_df=everyone.count - 1,
    )


def covariances_for(columns: Sequence[str], covariates: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The covariances that adjusting these columns by these covariates needs."""
    yield from ((column, covariate) for column in columns for covariate in covariates)
    yield from combinations(covariates, 2)


def _adjusted(
    arm: Moments, column: str, covariates: Sequence[str], middle: Array, spread: Array
) -> ArmMean:
    require_two(arm.count, column)
    own = arm.covariance_matrix(covariates)
    cross = np.array([arm.covariance(column, name) for name in covariates])
    inverse, rank = _inverse(own)
    df = arm.count - 1 - rank
    if df < 1:
        raise DataError(
            f"An arm has {arm.count:g} units, too few to adjust {column!r} by {len(covariates)} "
            "covariate(s). Use fewer covariates or none.",
            code="ARM_TOO_SMALL",
            column=column,
            count=int(arm.count),
        )
    slope = inverse @ cross
    away = np.array([arm.mean_of(name) for name in covariates]) - middle
    residual = max(arm.variance(column) - float(slope @ cross), 0.0) * (arm.count - 1) / df
    leverage = 1 / arm.count + float(away @ inverse @ away) / (arm.count - 1)
    i = arm.index(column)
    value, rest = two_sum(arm.mean[i], arm.rest[i] - slope @ away)
    return ArmMean(
        value=float(value),
        rest=float(rest),
        variance=residual * leverage,
        df=df,
        n_units=arm.count,
        shared=spread.T @ slope,
    )


def _inverse(covariance: Array) -> tuple[Array, int]:
    """Inverse on the directions in which the covariates vary, and how many those are."""
    scale = np.sqrt(np.diag(covariance))
    scale[scale == 0] = 1.0
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    kept = values > RANK_TOLERANCE * max(values.max(initial=0.0), 0.0)
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return inverse / np.outer(scale, scale), int(kept.sum())


def _root(covariance: Array) -> Array:
    """A matrix whose product with its own transpose is the covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
