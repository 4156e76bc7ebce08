"""Many effects at once, each drawn towards their mean by as much as it is noise.

The largest of many estimates is large partly by luck (winner's curse). An estimate keeps the share
of its distance from the mean that true differences explain:

    shrunken = mean + kept (estimate - mean),  kept = between / (between + std_error^2)

averaged over what the variance of the true effects, `between`, may be. Two promises go with it:

- the interval of an effect covers in 95 of 100 cases *on average over the effects*, whatever the
  distribution of the true effects is; intervals are neither simultaneous nor about the one effect
  that was picked because it is the largest;
- sums of effects, also of those picked for their size, have the error that `covariance` gives as
  long as the true effects are spread normally.

Source: Morris (1983), JASA 78(381); Gelman et al. (2013), "Bayesian Data Analysis", section 5.4;
Armstrong, Kolesár & Plagborg-Møller (2022), "Robust Empirical Bayes Confidence Intervals",
Econometrica 90(6).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import ndtr, ndtri, stdtrit

from uplift.errors import DataError, DefinitionError

Array = npt.NDArray[np.float64]

N_GRID = 120  # standard deviations between effects that are weighed against each other
LARGEST_SPREAD = 4.0  # of them, in standard deviations of the estimates: flat until there
NEGLIGIBLE = 1e-6  # weight, beside that of the most likely; not looked at again more finely
LARGEST_BIAS = 400.0  # squared bias over variance; beyond, the multiplier is bias + z


@dataclass(frozen=True, eq=False)
class Shrunken:
    """Effects drawn towards their mean.

    effects           (n_effects,)
    kept              (n_effects,)     share of an estimate's distance from the mean that stays
    ci                (n_effects, 2)   covers on average over the effects
    covariance        (n_effects, n_effects)  of true minus shrunken effects, for sums of them
    mean              of the true effects
    mean_std_error    of it
    between_variance  of the true effects: the square of the mean of what their standard deviation
                      may be, so that it is above 0 also where nothing is proven to differ
    """

    effects: Array
    kept: Array
    ci: Array
    covariance: Array = field(repr=False)
    mean: float
    mean_std_error: float
    between_variance: float


def shrink(
    effects: Sequence[float] | Array,
    std_errors: Sequence[float] | Array,
    *,
    confidence: float = 0.95,
    df: Sequence[float] | Array | None = None,
) -> Shrunken:
    """Shrink independent estimates of at least two effects.

    Standard deviations between effects are weighed by their likelihood (flat before), and the mean
    of the effects by its precision. The half width of an interval is `bias_aware_multiplier` times
    the error of the shrunken estimate, with the bias that effects of this spread suffer.

    effects, std_errors  (n_effects,)  in one unit, errors above 0
    df                   (n_effects,)  of the errors; they widen the intervals of small samples
    """
    y, error = checked_effects(effects, std_errors)
    if len(y) < 2:
        raise DataError(
            f"Effects are shrunken towards their mean; at least 2 are needed, got {len(y)}.",
            code="EFFECTS_FEW",
            count=len(y),
        )
    if not 0 < confidence < 1:
        raise DefinitionError(
            f"confidence must be between 0 and 1, got {confidence}. Usual: 0.95.",
            code="PROBABILITY_INVALID",
        )
    variance = error**2
    spread, weight, mean, mean_variance = _weighed_spreads(y, variance)
    kept_at = spread[:, None] ** 2 / (spread[:, None] ** 2 + variance)
    shrunken_at = mean[:, None] + kept_at * (y - mean[:, None])
    shrunken, kept = weight @ shrunken_at, weight @ kept_at
    off, apart = 1 - kept_at, shrunken_at - shrunken
    covariance = (off * (weight * mean_variance)[:, None]).T @ off
    covariance += (apart * weight[:, None]).T @ apart + np.diag(weight @ (kept_at * variance))
    centre = float(weight @ mean)
    between = float(weight @ spread) ** 2
    half = _half_widths(variance, kept, between, df=df, confidence=confidence)
    return Shrunken(
        effects=shrunken,
        kept=kept,
        ci=np.stack([shrunken - half, shrunken + half], axis=1),
        covariance=covariance,
        mean=centre,
        mean_std_error=math.sqrt(float(weight @ (mean_variance + (mean - centre) ** 2))),
        between_variance=between,
    )


def bias_aware_multiplier(
    squared_bias: Sequence[float] | Array, *, confidence: float = 0.95
) -> Array:
    """Half width, in standard errors, of an interval whose estimate is biased, by chance of a draw.

        smallest c with  sup over F of E_F[ Phi(-c - b) + Phi(-c + b) ] <= 1 - confidence,
        over all distributions F of the bias b with E_F[b^2] = squared_bias

    squared_bias  (n,)  mean squared bias over the estimate's variance; 0 gives the usual 1.96
    returns       (n,)
    """
    given = np.asarray(squared_bias, dtype=np.float64)
    squared, multipliers = _multiplier_table(confidence)
    inside = np.interp(np.minimum(given, LARGEST_BIAS), squared, multipliers)
    # far out only Chebyshev's inequality holds, which grows as the root of the squared bias
    grown = multipliers[-1] * np.sqrt(np.maximum(given, LARGEST_BIAS) / LARGEST_BIAS)
    return np.where(given > LARGEST_BIAS, grown, inside)


def checked_effects(
    effects: Sequence[float] | Array, std_errors: Sequence[float] | Array
) -> tuple[Array, Array]:
    """Effects and their errors as arrays; refused when one has no error, or is not a number."""
    y = np.asarray(effects, dtype=np.float64)
    error = np.asarray(std_errors, dtype=np.float64)
    if y.shape != error.shape or y.ndim != 1 or len(y) == 0:
        raise DataError(
            f"There must be one standard error per effect, and an effect at all; got {y.shape} "
            f"effects and {error.shape} errors.",
            code="EMPTY_INPUT",
        )
    bad = np.flatnonzero(~(np.isfinite(y) & np.isfinite(error) & (error > 0)))
    if len(bad):
        raise DataError(
            f"{len(bad)} effect(s) are not estimable (no number, or an error that is not above "
            f"0), first number {bad[0] + 1}. Leave them out and say so.",
            code="EFFECT_NOT_ESTIMABLE",
            count=len(bad),
            rows=[int(i) + 1 for i in bad],
        )
    return y, error


def _half_widths(
    variance: Array,
    kept: Array,
    between: float,
    *,
    df: Sequence[float] | Array | None,
    confidence: float,
) -> Array:
    precision = 1 / (variance + between)
    share, away = precision / precision.sum(), 1 - kept
    own = kept**2 * variance + away**2 * float(share**2 @ variance)
    own += 2 * kept * away * share * variance  # an estimate is part of the mean it goes towards
    level = 0.5 + confidence / 2
    wider = 1.0 if df is None else stdtrit(np.asarray(df, np.float64), level) / ndtri(level)
    multiplier = bias_aware_multiplier(away**2 * between / own, confidence=confidence)
    return np.asarray(multiplier * wider * np.sqrt(own))


def _weighed_spreads(y: Array, variance: Array) -> tuple[Array, Array, Array, Array]:
    """Standard deviations between effects, their weights, and at each the mean and its variance.

    Each (n_grid,). The likelihood has the mean of the effects integrated out.
    """
    top = LARGEST_SPREAD * math.sqrt(float(y.var()) + float(variance.mean()))
    low, high = 0.0, top
    for _ in range(2):  # first over all, then where there is any weight
        step = (high - low) / N_GRID
        spread: Array = low + step * (np.arange(N_GRID, dtype=np.float64) + 0.5)
        precision = 1 / (spread[:, None] ** 2 + variance)
        mean_variance = 1 / precision.sum(axis=1)
        mean = precision @ y * mean_variance
        log_weight = 0.5 * (np.log(mean_variance) + np.log(precision).sum(axis=1))
        log_weight -= 0.5 * np.sum(precision * (y - mean[:, None]) ** 2, axis=1)
        weight: Array = np.exp(log_weight - log_weight.max())
        seen = spread[weight > NEGLIGIBLE]
        low, high = max(seen[0] - step, 0.0), min(seen[-1] + step, top)
    return spread, weight / weight.sum(), mean, mean_variance


@lru_cache(maxsize=32)
def _multiplier_table(confidence: float) -> tuple[Array, Array]:
    """Multipliers on a grid of squared biases, fine enough for linear interpolation."""
    roots = np.concatenate([np.linspace(0, 3, 61), np.geomspace(3.1, math.sqrt(LARGEST_BIAS), 60)])
    found = [_multiplier(float(root) ** 2, 1 - confidence) for root in roots]
    return roots**2, np.array(found)


def _multiplier(squared: float, alpha: float) -> float:
    low = float(ndtri(1 - alpha / 2))
    if squared == 0:
        return low
    high = math.sqrt((1 + squared) / alpha) + 1  # Chebyshev
    return float(optimize.brentq(lambda c: _worst(squared, c) - alpha, low * 0.999, high))


def _worst(squared: float, c: float) -> float:
    """Largest probability of missing when the mean squared bias is `squared`.

    The least concave function above `_miss` as a function of the squared bias: a straight line
    from 0 to where it touches, and `_miss` itself from there on.
    """
    touch = _touching(c)
    if squared >= touch:
        return _miss(squared, c)
    return _miss(0.0, c) + squared / touch * (_miss(touch, c) - _miss(0.0, c))


@lru_cache(maxsize=4096)
def _touching(c: float) -> float:
    if c <= math.sqrt(3):  # concave from the start
        return 0.0

    def excess(squared: float) -> float:
        b = math.sqrt(squared)
        slope = (math.exp(-((c - b) ** 2) / 2) - math.exp(-((c + b) ** 2) / 2)) / (
            2 * b * math.sqrt(2 * math.pi)
        )
        return _miss(squared, c) - _miss(0.0, c) - squared * slope

    # convex at first: the slope outruns the chord until the line touches, beyond c^2 for large c
    start = c**2 if c > 3 else 1e-3 * (c - 1.7) ** 2
    return float(optimize.brentq(excess, start, (c + 6) ** 2))


def _miss(squared: float, c: float) -> float:
    b = math.sqrt(squared)
    return float(ndtr(-c - b) + ndtr(-c + b))
