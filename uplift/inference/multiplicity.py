"""Several tests at once: p-values adjusted so that one error rate holds for the declared family."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def holm(p_values: Sequence[float] | Array) -> Array:
    """Adjusted p-values: reject those at or below alpha, and the chance of any false one is alpha.

        running maximum, from the smallest on, of (n_tests - rank) * p_value, at most 1

    p_values  (n_tests,)  the declared family; nan (no test was possible) stays nan and still counts
    returns   (n_tests,)  in the order given

    Source: Holm (1979), Scandinavian Journal of Statistics 6(2).
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given, kind="stable")  # nan last: they count, but hold nothing back
    factors = len(given) - np.arange(len(given))
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return adjusted
