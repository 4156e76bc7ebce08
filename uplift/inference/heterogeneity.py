"""Do independent effects differ by more than their errors explain?

Sources: Cochran (1954), Biometrics 10(1); Welch (1951), Biometrika 38(3-4), for errors that are
themselves estimated from few units.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.inference.shrinkage import checked_effects

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Heterogeneity:
    """The test that all effects are the same one.

    q        Cochran's Q, sum of ((effect - mean) / std_error)^2
    df       n_effects - 1
    p_value  of equal effects; nan below two effects
    share    I^2, the share of the effects' spread that errors do not explain: max(0, 1 - df / q)
    mean     of the effects, weighted by precision
    """

    q: float
    df: int
    p_value: float
    share: float
    mean: float


def heterogeneity(
    effects: Sequence[float] | Array,
    std_errors: Sequence[float] | Array,
    *,
    df: Sequence[float] | Array | None = None,
) -> Heterogeneity:
    """Cochran's Q; chi-squared when the errors are known, Welch's F when they have their own df.

        F = Q / (n - 1) / (1 + 2 (n - 2) / (n^2 - 1) spread)  on  n - 1 and (n^2 - 1) / (3 spread),
        spread = sum of (1 - weight)^2 / df,  weights 1 / std_error^2 scaled to add up to 1

    Read against chi-squared, Q of ten segments of 30 units finds differences that are not there.
    """
    y, error = checked_effects(effects, std_errors)
    n = len(y)
    weight = 1 / error**2
    mean = float(np.average(y, weights=weight))
    q = float(weight @ (y - mean) ** 2)
    if n < 2:
        return Heterogeneity(q, 0, float("nan"), 0.0, mean)
    spread = 0.0
    if df is not None:
        spread = float(np.sum((1 - weight / weight.sum()) ** 2 / np.asarray(df, np.float64)))
    if spread > 0:
        f = q / (n - 1) / (1 + 2 * (n - 2) / (n**2 - 1) * spread)
        p_value = float(stats.f.sf(f, n - 1, (n**2 - 1) / (3 * spread)))
    else:
        p_value = float(stats.chi2.sf(q, n - 1))
    share = max(0.0, 1 - (n - 1) / q) if q > 0 else 0.0
    return Heterogeneity(q, n - 1, p_value, share, mean)
