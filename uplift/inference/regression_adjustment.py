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
    middle, spread = middle_of(everyone, covariates)
    arms = (
        lin_mean(arm, column=column, covariates=covariates, middle=middle, spread=spread)
        for arm in (treatment, control)
    )
    return contrast(*arms, confidence=confidence, shared_df=everyone.count - 1)


def covariances_for(columns: Sequence[str], covariates: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The covariances that adjusting these columns by these covariates needs."""
    yield from ((column, covariate) for column in columns for covariate in covariates)
    yield from combinations(covariates, 2)


def cuped(
    treatment: Moments,
    control: Moments,
    *,
    column: str,
    covariates: Sequence[str],
    theta: Sequence[float] | None = None,
    population: Moments | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """As `lin`, with one slope for both arms: CUPED.

        mean_a     = mean(y)_a - theta' (mean(x)_a - mean(x))
        theta      = (sum_a C_xx,a)^-1 sum_a C_xy,a
        variance_a = var(y - theta' x)_a / n_a

    C are co-moments within the arms, so the effect does not leak into theta. With arms of unequal
    size and unequal slopes this can be worse than no adjustment, which `lin` cannot: it is for
    comparison, and for several arms that must share one theta. The means of the covariates are
    noise that both arms share, and of an absolute effect it cancels.

    theta  (n_covariates,)  fixed in advance, e.g. from the time before, instead of estimated

    Source: Deng, Xu, Kohavi & Walker (2013), WSDM.
    """
    everyone = treatment + control if population is None else population
    middle, root = middle_of(everyone, covariates)
    slope = (
        _pooled_slope((treatment, control), column, covariates)
        if theta is None
        else np.asarray(theta, dtype=np.float64)
    )
    shared = root.T @ slope
    arms = []
    for arm in (treatment, control):
        require_two(arm.count, column)
        cross = np.array([arm.covariance(column, name) for name in covariates])
        spread = arm.variance(column) - 2 * slope @ cross
        spread += slope @ arm.covariance_matrix(covariates) @ slope
        away = np.array([arm.mean_of(name) for name in covariates]) - middle
        i = arm.index(column)
        value, rest = two_sum(arm.mean[i], arm.rest[i] - slope @ away)
        arms.append(
            ArmMean(
                value=float(value),
                rest=float(rest),
                variance=max(float(spread), 0.0) / arm.count,
                df=arm.count - 1,
                n_units=arm.count,
                shared=shared,
            )
        )
    return contrast(*arms, confidence=confidence, shared_df=everyone.count - 1)


def adjusted_mean(
    arm: Moments,
    covariates: Sequence[str],
    *,
    name: str,
    value: float,
    rest: float,
    variance: float,
    cross: Array,
    middle: Array,
    spread: Array,
) -> ArmMean:
    """One arm's mean moved to covariate means, by the arm's own slope.

    value, rest  the unadjusted mean of `name` and what rounding cut off it
    variance     of the outcome per unit; cross (n_covariates,) its covariances with the covariates
    middle       (n_covariates,)  covariate means to move to
    spread       (n_covariates, n)  a root of the covariance of `middle`, by which arms share noise
    """
    require_two(arm.count, name)
    inverse, rank = _inverse(arm.covariance_matrix(covariates))
    df = arm.count - 1 - rank
    if df < 1:
        raise DataError(
            f"An arm has {arm.count:g} units, too few to adjust {name!r} by {len(covariates)} "
            "covariate(s). Use fewer covariates or none.",
            code="ARM_TOO_SMALL",
            column=name,
            count=int(arm.count),
        )
    slope = inverse @ cross
    away = np.array([arm.mean_of(covariate) for covariate in covariates]) - middle
    residual = max(variance - float(slope @ cross), 0.0) * (arm.count - 1) / df
    leverage = 1 / arm.count + float(away @ inverse @ away) / (arm.count - 1)
    moved, cut = two_sum(np.asarray(value), np.asarray(rest - slope @ away))
    return ArmMean(
        value=float(moved),
        rest=float(cut),
        variance=residual * leverage,
        df=df,
        n_units=arm.count,
        shared=spread.T @ slope,
    )


def middle_of(everyone: Moments, covariates: Sequence[str]) -> tuple[Array, Array]:
    """Covariate means of a population, and a root of their covariance as estimates.

    returns  (n_covariates,) and (n_covariates, n_covariates)
    """
    middle = np.array([everyone.mean_of(name) for name in covariates])
    return middle, _root(everyone.covariance_matrix(covariates)) / np.sqrt(everyone.count)


def lin_mean(
    arm: Moments, *, column: str, covariates: Sequence[str], middle: Array, spread: Array
) -> ArmMean:
    """An arm's mean in `lin`; `middle` and `spread` are those of `middle_of`."""
    i = arm.index(column)
    return adjusted_mean(
        arm,
        covariates,
        name=column,
        value=float(arm.mean[i]),
        rest=float(arm.rest[i]),
        variance=arm.variance(column),
        cross=np.array([arm.covariance(column, name) for name in covariates]),
        middle=middle,
        spread=spread,
    )


def _pooled_slope(arms: Sequence[Moments], column: str, covariates: Sequence[str]) -> Array:
    """Slope over the units of all arms, each about its own arm's means."""
    within = np.sum([arm.covariance_matrix(covariates) * (arm.count - 1) for arm in arms], axis=0)
    cross = [
        sum(arm.covariance(column, name) * (arm.count - 1) for arm in arms) for name in covariates
    ]
    return np.asarray(_inverse(within)[0] @ np.array(cross))


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
