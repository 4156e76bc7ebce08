"""Intervals for several effects at once: all of them are right together, or those selected are.

Which to take:

- all effects are shown: `max_t_intervals` when their correlations are known (several arms against
  one control, segments, metrics of the same customers), else `sidak_intervals`, else
  `bonferroni_intervals`, which needs nothing;
- only those found by Benjamini-Hochberg are shown: `selected_intervals`, of which at most a share q
  misses on average;
- one-sided claims tested by Holm: `holm_bounds`, which reject exactly what Holm rejects. Two-sided
  intervals that do and still say something are not known, so there are none here.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats
from scipy.stats import qmc

from uplift.errors import DataError, DefinitionError
from uplift.inference.multiplicity import benjamini_hochberg, benjamini_yekutieli, harmonic, holm

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Numbers = Sequence[float] | Array

N_DIRECTIONS = 2**14  # of the integral behind `max_t_quantile`
SMALLEST_INTEGRATED = 1e-4  # tail; below, few of the directions matter
SEED = 20_240_501  # of that set of directions; any will do


def bonferroni_intervals(
    effects: Numbers, std_errors: Numbers, *, confidence: float = 0.95, df: Numbers | float = np.inf
) -> Array:
    """Each at 1 - alpha / n_tests: together they hold with at least `confidence`, always.

    effects, std_errors  (n_tests,); nan where an effect could not be estimated, which still counts
    df                   of each t distribution, or of all
    returns              (n_tests, 2)  lower and upper
    """
    n = max(len(np.atleast_1d(effects)), 1)
    return _around(effects, std_errors, 1 - (1 - _level(confidence)) / n, df)


def sidak_intervals(
    effects: Numbers, std_errors: Numbers, *, confidence: float = 0.95, df: Numbers | float = np.inf
) -> Array:
    """Each at confidence^(1 / n_tests): for jointly normal estimates, whatever their correlation.

    As `bonferroni_intervals`, and never wider. Source: Šidák (1967), JASA 62(318).
    """
    n = max(len(np.atleast_1d(effects)), 1)
    return _around(effects, std_errors, _level(confidence) ** (1 / n), df)


def selected_intervals(
    effects: Numbers,
    std_errors: Numbers,
    *,
    p_values: Numbers,
    q: float = 0.05,
    df: Numbers | float = np.inf,
    any_dependence: bool = False,
) -> Array:
    """Intervals of the effects that Benjamini-Hochberg selects at q; nan for the others.

        each at 1 - n_selected q / n_tests

    Of the intervals shown, a share of at most q misses its effect on average (false coverage rate).
    None of them contains 0 when the p-values are those of the same two-sided test.

    any_dependence  select by Benjamini-Yekutieli and divide q by its sum, for tests that may
                    depend negatively on each other

    Source: Benjamini & Yekutieli (2005), JASA 100(469).
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = benjamini_yekutieli(p) if any_dependence else benjamini_hochberg(p)
    selected: BoolArray = adjusted <= _level(q)  # nan is not selected
    share = float(selected.sum()) * q / max(len(p), 1)
    if any_dependence:
        share /= harmonic(len(p)) if len(p) else 1.0
    intervals = _around(effects, std_errors, 1 - share, df)
    intervals[~selected] = np.nan
    return intervals


def holm_bounds(
    effects: Numbers,
    std_errors: Numbers,
    *,
    side: Literal["greater", "less"] = "greater",
    null: float = 0.0,
    confidence: float = 0.95,
    df: Numbers | float = np.inf,
) -> Array:
    """One-sided bounds that hold together and agree with Holm's test of "beyond `null`".

        not rejected  effect - t(1 - alpha / n_not_rejected) * std_error
        rejected      null, when another is not rejected: Holm proves the side, not the distance
        all rejected  max(null, effect - t(1 - alpha / n_tests) * std_error)

    side     "greater": the bound is below the effect, (bound, inf); "less": mirrored
    returns  (n_tests, 2)

    Source: Strassburger & Bretz (2008), Statistics in Medicine 27(24); Guilbaud (2008),
    Biometrical Journal 50(5).
    """
    sign = 1.0 if side == "greater" else -1.0
    centre, error, freedom = _columns(effects, std_errors, df)
    alpha = 1 - _level(confidence)
    away = sign * (centre - null)
    p_values = np.asarray(stats.t.sf(away / error, freedom), dtype=np.float64)
    rejected: BoolArray = holm(p_values) <= alpha
    n_open = int((~rejected).sum())
    tail = alpha / (n_open if n_open else max(len(centre), 1))
    bound = away - stats.t.isf(tail, freedom) * error
    bound = np.where(rejected, np.maximum(bound, 0.0) if n_open == 0 else 0.0, bound)
    bound = null + sign * bound
    far = np.full_like(bound, sign * np.inf)
    far[np.isnan(bound)] = np.nan
    return np.stack([bound, far] if sign > 0 else [far, bound], axis=1)


def max_t_intervals(
    effects: Numbers,
    std_errors: Numbers,
    *,
    correlation: Sequence[Sequence[float]] | Array,
    confidence: float = 0.95,
    df: float = np.inf,
) -> Array:
    """All at the quantile of the largest |t| among them: exact for jointly normal estimates.

    correlation  (n_tests, n_tests)  of the estimates; it may be singular
    df           of all; give the smallest when they differ
    returns      (n_tests, 2)

    Source: Hothorn, Bretz & Westfall (2008), Biometrical Journal 50(3).
    """
    half = max_t_quantile(correlation, confidence=confidence, df=df)
    centre, error, _ = _columns(effects, std_errors, df)
    return np.stack([centre - half * error, centre + half * error], axis=1)


def max_t_quantile(
    correlation: Sequence[Sequence[float]] | Array, *, confidence: float = 0.95, df: float = np.inf
) -> float:
    """The c with P(max |t_i| <= c) = confidence, for correlated t statistics without an effect.

    Equal inputs give equal numbers, right to about 5e-3 (60 tests). See `_Joint` for the integral.
    """
    joint = _Joint(_correlation(correlation), df)
    level = _level(confidence)
    single = float(stats.t.ppf(0.5 + level / 2, df))
    widest = float(stats.t.isf((1 - level) / (2 * joint.n_tests), df))  # Bonferroni's
    if widest - single < 1e-12 or joint.beyond(single) <= 1 - level:  # all are the same test
        return single
    return float(
        optimize.brentq(lambda c: joint.beyond(c) - (1 - level), single, widest * 1.01, xtol=1e-10)
    )


def max_t_p_values(
    t: Numbers, *, correlation: Sequence[Sequence[float]] | Array, df: float = np.inf
) -> Array:
    """p-values adjusted for the family: chance that any |t| is as large, without an effect.

    t        (n_tests,); nan stays nan and still counts
    returns  (n_tests,)  between the plain p-value and Bonferroni's; below 1e-4 it is Bonferroni's,
             because the integral has no digits there
    """
    joint = _Joint(_correlation(correlation), df)
    sizes = np.abs(np.asarray(t, dtype=np.float64))
    found = [np.nan if np.isnan(size) else joint.beyond(float(size)) for size in sizes]
    plain = 2 * stats.t.sf(sizes, df)
    most = np.minimum(plain * joint.n_tests, 1.0)
    return np.where(most < SMALLEST_INTEGRATED, most, np.clip(np.array(found), plain, most))


class _Joint:
    """The joint distribution of t statistics without an effect: P(max |t_i| > c).

    Correlated normals are length * (root @ direction), and the length is independent of the
    direction. So the chance is the mean over directions of that of a length (an F distribution
    with the rank of the correlations and df), which needs no simulation and keeps tiny tails:

        P(max |t| > c) = E[ F.sf(c^2 / (rank max_i (root_i @ direction)^2); rank, df) ]

    Directions are a fixed low-discrepancy set. A singular matrix only has fewer dimensions.
    """

    def __init__(self, correlation: Array, df: float) -> None:
        values, vectors = np.linalg.eigh(correlation)
        kept = values > 1e-10 * values[-1]
        root = vectors[:, kept] * np.sqrt(values[kept])
        self.n_tests, self.rank, self.df = len(correlation), int(kept.sum()), df
        points = qmc.Sobol(self.rank, scramble=True, rng=SEED).random(N_DIRECTIONS)
        normals = special.ndtri(np.clip(points, 1e-12, 1 - 1e-12))
        direction = normals / np.linalg.norm(normals, axis=1, keepdims=True)
        self.reach = np.max((direction @ root.T) ** 2, axis=1)  # (n_directions,)

    def beyond(self, c: float) -> float:
        squared = c**2 / self.reach
        if np.isinf(self.df):
            return float(np.mean(special.gammaincc(self.rank / 2, squared / 2)))
        return float(np.mean(special.fdtrc(self.rank, self.df, squared / self.rank)))


def _around(effects: Numbers, std_errors: Numbers, level: float, df: Numbers | float) -> Array:
    centre, error, freedom = _columns(effects, std_errors, df)
    half = stats.t.ppf(0.5 + level / 2, freedom) * error
    return np.stack([centre - half, centre + half], axis=1)


def _columns(
    effects: Numbers, std_errors: Numbers, df: Numbers | float
) -> tuple[Array, Array, Array]:
    centre = np.atleast_1d(np.asarray(effects, dtype=np.float64))
    error = np.atleast_1d(np.asarray(std_errors, dtype=np.float64))
    if centre.shape != error.shape or np.any(error < 0):
        raise DataError(
            f"There must be one standard error of 0 or more per effect, got {len(error)} for "
            f"{len(centre)} effects.",
            code="SHAPE_MISMATCH",
        )
    freedom = np.broadcast_to(np.asarray(df, dtype=np.float64), centre.shape)
    return centre, np.where(error == 0, np.nan, error), freedom


def _correlation(correlation: Sequence[Sequence[float]] | Array) -> Array:
    matrix = np.atleast_2d(np.asarray(correlation, dtype=np.float64))
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and len(matrix) > 0
    if not (
        square
        and np.allclose(matrix, matrix.T, atol=1e-8)
        and np.allclose(np.diag(matrix), 1.0, atol=1e-8)
        and np.linalg.eigvalsh(matrix).min() > -1e-8
    ):
        raise DefinitionError(
            "A correlation matrix must be square and symmetric with ones on its diagonal, and no "
            "combination of the estimates may have a negative variance. Compute it from "
            "covariances of the same units.",
            code="CORRELATION_INVALID",
        )
    return matrix


def _level(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise DefinitionError(
            f"confidence must be between 0 and 1, got {confidence}. Usual: 0.95.",
            code="PROBABILITY_INVALID",
        )
    return confidence
