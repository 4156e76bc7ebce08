"""Post-stratification: effects per stratum, put together by the strata's sizes.

Strata are known before assignment (a segment, a country, new or old). Weighting each stratum's
means by its share of all units takes the chance differences of the arms' mix out of the effect.
How the strata's sizes came about decides the error:

- sampled: customers came as they came, so the shares are estimates too, and both arms share that
  noise;
- fixed: arms were drawn with exact shares within strata, and the effect is about this population,
  so the shares are known.

Source: Miratrix, Sekhon & Yu (2013), JRSS B 75(2); Lin (2013) within strata.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError
from uplift.inference.means import ArmMean, Estimate, arm_mean, contrast
from uplift.inference.moments import Moments, two_sum
from uplift.inference.ratios import covariance_of_ratios
from uplift.inference.regression_adjustment import lin_mean, middle_of

Array = npt.NDArray[np.float64]
Stratum = tuple[Moments, Moments]  # treatment, control
Sizes = Literal["sampled", "fixed"]


def poststratified(
    strata: Sequence[Stratum],
    *,
    column: str,
    covariates: Sequence[str] = (),
    sizes: Sizes = "sampled",
    population: Sequence[float] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Difference of two means over the strata; with covariates, adjusted within each (Lin).

        mean_a     = sum_k nu_k mean_ak,  nu_k = n_k / n
        variance_a = sum_k nu_k^2 s_ak^2 / n_ak

    Sampled sizes add, to variances and to the covariance of the arms alike,
    sum_k nu_k (mean_ak - mean_a)(mean_bk - mean_b) / n.

    With A the strata's (control mean, effect) and Omega_k = n_k times their covariance, all this is
    (A (diag(nu) - nu nu') A' + sum_k nu_k Omega_k) / n for both together.

    strata      (treatment, control) of each; those without an estimate of their own are put into
                the largest (`viable_strata`), and with one left this is `welch` or `lin`
    sizes       how the strata's sizes came about (see above)
    population  (n_strata,) units n_k of all arms; of these two when not given. Give it when there
                are more arms, and the control has one mean in every comparison
    """
    kept, units = _kept(strata, population, (column,), len(covariates))

    def means_of(stratum: Stratum) -> tuple[ArmMean, ArmMean]:
        if not covariates:
            return arm_mean(stratum[0], column), arm_mean(stratum[1], column)
        middle, spread = middle_of(stratum[0] + stratum[1], covariates)
        t, c = (
            lin_mean(arm, column=column, covariates=covariates, middle=middle, spread=spread)
            for arm in stratum
        )
        return t, c

    n = float(units.sum())
    shares = units / n
    arms = [_pooled(parts, shares, n, sizes) for parts in _columns(kept, means_of)]
    return contrast(arms[0], arms[1], confidence=confidence, shared_df=n - 1)


def poststratified_ratio(
    strata: Sequence[Stratum],
    *,
    numerator: str,
    denominator: str,
    sizes: Sizes = "sampled",
    population: Sequence[float] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Difference of two ratios, each of a numerator and a denominator put together over the strata.

        ratio_a = sum_k nu_k mean(y)_ak / sum_k nu_k mean(z)_ak

    By the delta method: `poststratified` of e_a = (y - ratio_a z) / (denominator's mean of arm a).

    n_control, n_treatment  of the estimate are sums of the denominator
    """
    kept, units = _kept(strata, population, (numerator, denominator), 0)
    n = float(units.sum())
    shares = units / n
    arms = [
        _pooled_ratio([stratum[arm] for stratum in kept], shares, n, numerator, denominator, sizes)
        for arm in (0, 1)
    ]
    return contrast(arms[0], arms[1], confidence=confidence, shared_df=n - 1)


def viable_strata(
    strata: Sequence[Stratum], *, columns: Sequence[str], covariates: Sequence[str] = ()
) -> list[Stratum]:
    """The strata from largest to smallest, those without an estimate put into the first.

    A stratum has one when each arm has at least 2 units more than covariates, and when the columns
    vary in each arm (a ratio's linearised value).
    """
    return _kept(strata, None, columns, len(covariates))[0]


def _kept(
    strata: Sequence[Stratum],
    population: Sequence[float] | None,
    columns: Sequence[str],
    n_covariates: int,
) -> tuple[list[Stratum], Array]:
    """The viable strata, and the units that weight them."""
    if not strata:
        raise DataError("There is no stratum to read.", code="EMPTY_INPUT")
    own = np.array([t.count + c.count for t, c in strata])
    units = own if population is None else np.asarray(population, dtype=np.float64)
    if units.shape != own.shape or not np.all(units > 0):
        raise DataError(
            f"Each of {len(strata)} strata needs units above 0, got {units.tolist()}.",
            code="SHAPE_MISMATCH",
        )
    first, *others = np.argsort(-own, kind="stable")
    kept, weights = [strata[first]], [float(units[first])]
    for k in others:
        if all(_varies(arm, columns, n_covariates) for arm in strata[k]):
            kept.append(strata[k])
            weights.append(float(units[k]))
        else:
            kept[0] = (kept[0][0] + strata[k][0], kept[0][1] + strata[k][1])
            weights[0] += float(units[k])
    return kept, np.array(weights)


def _columns(
    strata: Sequence[Stratum], means_of: Callable[[Stratum], tuple[ArmMean, ArmMean]]
) -> tuple[list[ArmMean], list[ArmMean]]:
    """Means per stratum of the treatment, and of the control."""
    pairs = [means_of(stratum) for stratum in strata]
    return [t for t, _ in pairs], [c for _, c in pairs]


def _varies(arm: Moments, columns: Sequence[str], n_covariates: int) -> bool:
    if arm.count < n_covariates + 2:
        return False
    if len(columns) == 1:
        return arm.variance(columns[0]) > 0
    if arm.mean_of(columns[1]) == 0:
        return False
    pair = (columns[0], columns[1])
    return covariance_of_ratios(arm, first=pair, second=pair) > 0


def _pooled(parts: Sequence[ArmMean], shares: Array, n: float, sizes: Sizes) -> ArmMean:
    """One arm's mean over the strata; noise of the strata's sizes is shared by the arms."""
    values = np.array([part.value for part in parts])
    rests = np.array([part.rest for part in parts])
    reference = float(values[0])  # differences from it are small and exact
    middle = float(shares @ (values - reference))
    value, rest = two_sum(np.asarray(reference), np.asarray(middle + shares @ rests))
    own = shares**2 * np.array([part.variance for part in parts])
    within = [share * part.shared for share, part in zip(shares, parts, strict=True)]
    away = (values - reference) - middle
    between = np.sqrt(shares / n) * away if sizes == "sampled" else np.zeros(len(shares))
    return ArmMean(
        value=float(value),
        rest=float(rest),
        variance=float(own.sum()),
        df=_satterthwaite(own, np.array([part.df for part in parts])),
        n_units=sum(part.n_units for part in parts),
        shared=np.concatenate([*within, between]),
    )


def _pooled_ratio(
    arms: Sequence[Moments],
    shares: Array,
    n: float,
    numerator: str,
    denominator: str,
    sizes: Sizes,
) -> ArmMean:
    top = np.array([arm.mean_of(numerator) for arm in arms])
    below = np.array([arm.mean_of(denominator) for arm in arms])
    base = float(shares @ below)
    if base == 0:
        raise DataError(
            f"The mean of {denominator!r} is 0 in an arm, so there is no ratio. Check the column.",
            code="RATIO_UNDEFINED",
            column=denominator,
        )
    value = float(shares @ top) / base
    spread = [
        arm.variance(numerator)
        - 2 * value * arm.covariance(numerator, denominator)
        + value**2 * arm.variance(denominator)
        for arm in arms
    ]
    counts = np.array([arm.count for arm in arms])
    own = shares**2 * np.maximum(spread, 0.0) / base**2 / counts
    away = (top - value * below) / base  # 0 on average over the strata
    between = np.sqrt(shares / n) * away if sizes == "sampled" else np.zeros(len(shares))
    return ArmMean(
        value=value,
        rest=0.0,
        variance=float(own.sum()),
        df=_satterthwaite(own, counts - 1),
        n_units=float(counts @ below),
        shared=between,
    )


def _satterthwaite(parts: Array, df: Array) -> float:
    """Degrees of freedom of a sum of independent variance estimates."""
    total = parts.sum()
    if not total > 0:
        return float(df.sum())
    return float(1 / np.sum((parts / total) ** 2 / df))
