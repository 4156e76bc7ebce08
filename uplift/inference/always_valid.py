"""Readings that hold at every moment: the asymptotic confidence sequence (normal mixture).

A campaign that never ends (a trigger, the universal control) has no planned looks. Its interval is
estimate +- multiplier * std_error with a multiplier that grows slowly with the units, so that the
chance of ever being wrong, over all readings together, is alpha. The multiplier is smallest near
`tuning_n` units: take the planned number, and freeze it before the first reading.

With few units the error is itself uncertain: `t_multiplier` and `t_p_value` mix over Student's t,
for means that are compared plainly or adjusted by regression (Lin). `always_valid_reading` makes
any estimate one of this kind.
Source: Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49(2), equation 14;
Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), Annals of Statistics 52(6); Lindon, Ham,
Tingley & Bojinov (2024), "Anytime-valid linear models and regression adjusted causal inference".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from uplift.errors import DefinitionError
from uplift.inference.means import Estimate

Array = npt.NDArray[np.float64]

SEARCH_POINTS = 200
LARGEST_DF = 1e9  # of a t distribution; beyond, it is a normal


def mixture_variance(tuning_n: float, *, alpha: float = 0.05) -> float:
    """r, the variance of the mixture in units, that is best at `tuning_n` units.

    tuning_n / (ln(1 - 2 ln alpha) - 2 ln alpha)
    """
    _check(tuning_n, alpha)
    return tuning_n / (math.log(1 - 2 * math.log(alpha)) - 2 * math.log(alpha))


def multiplier(
    n_units: float, *, tuning_n: float, alpha: float = 0.05, sides: Literal[1, 2] = 2
) -> float:
    """Half width of the interval in standard errors, when `n_units` (all arms) have been read.

    two-sided  sqrt((n + r) / n ln((n + r) / (r alpha^2)))
    one-sided  sqrt(2 (n + r) / n ln(1 + sqrt((n + r) / r) / (2 alpha))),  r tuned at 2 alpha
    """
    return float(multipliers([n_units], tuning_n=tuning_n, alpha=alpha, sides=sides)[0])


def multipliers(
    n_units: Sequence[float] | Array,
    *,
    tuning_n: float,
    alpha: float = 0.05,
    sides: Literal[1, 2] = 2,
) -> Array:
    """`multiplier` of several readings. Returns (n_readings,)."""
    n = np.asarray(n_units, dtype=np.float64)
    if not np.all(n > 0):
        raise DefinitionError(
            f"Every reading needs units, got {n_units}. Leave out readings of an empty experiment.",
            code="ARM_TOO_SMALL",
        )
    if sides == 2:
        r = mixture_variance(tuning_n, alpha=alpha)
        return np.asarray(np.sqrt((n + r) / n * np.log((n + r) / (r * alpha**2))))
    r = mixture_variance(tuning_n, alpha=2 * alpha)
    return np.asarray(np.sqrt(2 * (n + r) / n * np.log1p(np.sqrt((n + r) / r) / (2 * alpha))))


def multiplier_of_mixture(n_units: float, *, mixture: float, alpha: float) -> float:
    """`multiplier` at any error of one mixture, which all tests of a family must share.

    mixture  `mixture_variance` at the error that the plan was tuned for
    """
    ratio = (n_units + mixture) / mixture
    return math.sqrt((n_units + mixture) / n_units * math.log(ratio / alpha**2))


def always_valid_p_value(
    z: float, n_units: float, *, tuning_n: float, alpha: float = 0.05
) -> float:
    """p-value of one reading; its running minimum over the readings is valid at every moment.

        min(1, sqrt((n + r) / r) exp(-n z^2 / (2 (n + r))))

    It is alpha exactly where |z| is the multiplier.
    """
    r = mixture_variance(tuning_n, alpha=alpha)
    log_value = 0.5 * math.log((n_units + r) / r) - n_units * z**2 / (2 * (n_units + r))
    return math.exp(min(log_value, 0.0))


def always_valid_p_value_one_sided(
    z: float, n_units: float, *, tuning_n: float, smallest: float = 1e-5, largest: float = 0.4999
) -> float:
    """Smallest alpha whose one-sided bound excludes 0, for a z towards the side looked at.

    The tuning follows alpha, so there is no closed form; it is searched between `smallest` and
    `largest`, and `largest` stands for "not proven at any alpha".
    """

    def excess(alpha: float) -> float:
        return z - multiplier(n_units, tuning_n=tuning_n, alpha=alpha, sides=1)

    grid = np.geomspace(smallest, largest, SEARCH_POINTS)
    proven = [bool(excess(alpha) >= 0) for alpha in grid]
    if not any(proven):  # near 1/2 the tuning runs away, so the end of the grid says nothing
        return largest
    first = proven.index(True)
    if first == 0:
        return smallest
    return float(optimize.brentq(excess, grid[first - 1], grid[first], xtol=1e-12))


def t_multiplier(n_units: float, *, df: float, tuning_n: float, alpha: float = 0.05) -> float:
    """As the two-sided `multiplier`, of an error estimated with `df` degrees of freedom.

        sqrt(df (1 - a) / (a - g / (g + n))),  a = (alpha^2 g / (g + n))^(1 / (df + 1))

    with g = `mixture_variance`; inf while so few units prove nothing. It is above `multiplier`, and
    near it from some hundred degrees of freedom on.
    """
    share = _mixture_share(n_units, df, tuning_n, alpha)
    a = math.exp((math.log(share) + 2 * math.log(alpha)) / (df + 1))
    return math.sqrt(df * (1 - a) / (a - share)) if a > share else math.inf


def t_p_value(
    t: float, n_units: float, *, df: float, tuning_n: float, alpha: float = 0.05
) -> float:
    """p-value of one reading of a t statistic; alpha where |t| is `t_multiplier`.

        1 / p = sqrt(r) ((1 + t^2 / df) / (1 + r t^2 / df))^((df + 1) / 2),  r = g / (g + n)

    Its running minimum over the readings is valid at every moment.
    """
    share = _mixture_share(n_units, df, tuning_n, alpha)
    grown = math.log1p(t**2 / df) - math.log1p(share * t**2 / df)
    return math.exp(-max(0.5 * math.log(share) + 0.5 * (df + 1) * grown, 0.0))


def always_valid_reading(
    read: Callable[[float], Estimate],
    *,
    tuning_n: float,
    confidence: float = 0.95,
    n_units: float | None = None,
) -> Estimate:
    """An estimate whose intervals and p-value may be read at every moment.

    read     makes the estimate at a confidence, e.g. `lambda level: lin(t, c, column="y",
             covariates=["x"], confidence=level)`
    n_units  read so far; units of both arms of the estimate when not given

    The intervals, relative ones too, are those of the confidence whose fixed quantile is
    `t_multiplier`; while there is none, the effect's is unbounded and the relative one nan.
    """
    alpha = 1 - confidence
    fixed = read(confidence)
    n = fixed.n_control + fixed.n_treatment if n_units is None else n_units
    if not fixed.std_error > 0:
        return fixed
    df = min(fixed.df, LARGEST_DF)
    wide = t_multiplier(n, df=df, tuning_n=tuning_n, alpha=alpha)
    p_value = t_p_value(fixed.effect / fixed.std_error, n, df=df, tuning_n=tuning_n, alpha=alpha)
    half = wide * fixed.std_error
    level = 1 - 2 * float(stats.t.sf(wide, df))
    found = read(level) if level < 1 else replace(fixed, relative_ci=(math.nan, math.nan))
    return replace(found, ci=(fixed.effect - half, fixed.effect + half), p_value=p_value)


def inflation(n_units: float, *, tuning_n: float, alpha: float = 0.05) -> float:
    """Factor by which an interval that may be read at any time is wider than one read once."""
    fixed = float(stats.norm.isf(alpha / 2))
    return multiplier(n_units, tuning_n=tuning_n, alpha=alpha) / fixed


def units_inflation(
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    tuning_share: float = 1.0,
) -> float:
    """Units of an always-valid plan over those of a plan read once, at equal power at the end.

        ((multiplier(n) + z_power) / (z_(1 - alpha/2) + z_power))^2

    Only crossing at the end is counted, so the true power is a little higher; crossings on the way
    are counted by `group_sequential.boundary_of` with `multipliers` as its bounds.

    tuning_share  tuning_n as a share of the units at the end (the multiplier depends on no more)
    """
    z_power = float(stats.norm.ppf(power))
    wide = multiplier(1.0, tuning_n=tuning_share, alpha=alpha)
    return ((wide + z_power) / (float(stats.norm.isf(alpha / 2)) + z_power)) ** 2


def power_at_end(
    effect: float, *, std_error: float, n_units: float, tuning_n: float, alpha: float = 0.05
) -> float:
    """Probability that the reading at `n_units` alone proves a true `effect`, on either side."""
    bound = multiplier(n_units, tuning_n=tuning_n, alpha=alpha)
    shift = effect / std_error
    return float(stats.norm.sf(bound - shift) + stats.norm.cdf(-bound - shift))


def _mixture_share(n_units: float, df: float, tuning_n: float, alpha: float) -> float:
    """The r of the t mixture: g / (g + n)."""
    g = mixture_variance(tuning_n, alpha=alpha)
    if not (n_units > 0 and df > 0):
        raise DefinitionError(
            f"A reading needs units and degrees of freedom above 0, got {n_units} and {df}.",
            code="ARM_TOO_SMALL",
        )
    return g / (g + n_units)


def _check(tuning_n: float, alpha: float) -> None:
    if not tuning_n > 0:
        raise DefinitionError(
            f"tuning_n must be above 0, got {tuning_n}. Give the planned number of units.",
            code="TUNING_INVALID",
        )
    if not 0 < alpha < 1:
        raise DefinitionError(
            f"alpha must be between 0 and 1, got {alpha}. Usual: 0.05.", code="PROBABILITY_INVALID"
        )
