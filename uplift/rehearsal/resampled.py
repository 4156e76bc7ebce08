"""History made as large as the plan: customers, or whole clusters, drawn with replacement.

A plan for 64,000 customers is not the plan for the 20,000 of whom history tells: its tests see
more, and skewed spend errs less. Each draw is a customer of its own, with a new id.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.errors import DefinitionError
from uplift.frames import UNIT

IntArray = npt.NDArray[np.int64]


def resampled(table: pd.DataFrame, *, n_units: int, cluster: str | None, seed: int) -> pd.DataFrame:
    """`n_units` rows of the table in the order of their new ids.

    Whole clusters are drawn until there are as many members, so there may be a few more. The same
    seed gives the same rows. Errors: REHEARSAL_DATA.
    """
    if n_units < 2:
        raise DefinitionError(
            f"{n_units} customers cannot be divided. Give n_units of 2 or more.",
            code="REHEARSAL_DATA",
        )
    rng = np.random.default_rng(seed)
    if cluster is None:
        found = table.take(np.sort(rng.integers(0, len(table), n_units)))
        return found.assign(**{UNIT: _ids("u", np.arange(n_units))}).reset_index(drop=True)
    rows, copy = _clusters(pd.factorize(table[cluster])[0], n_units, rng)
    ids = {UNIT: _ids("u", np.arange(len(rows))), cluster: _ids("c", copy)}
    return table.take(rows).assign(**ids).reset_index(drop=True)


def _clusters(code: IntArray, n_units: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Rows of the drawn clusters, one after the other, and which draw each row is of."""
    order = np.argsort(code, kind="stable")
    size = np.bincount(code)
    start = np.cumsum(size) - size
    drawn = rng.integers(0, len(size), n_units)  # more than enough: a cluster has a member
    members = size[drawn]
    n_drawn = int(np.searchsorted(np.cumsum(members), n_units)) + 1
    drawn, members = drawn[:n_drawn], members[:n_drawn]
    copy = np.repeat(np.arange(n_drawn), members)
    within = np.arange(len(copy)) - np.repeat(np.cumsum(members) - members, members)
    return order[start[drawn][copy] + within], copy


def _ids(letter: str, numbers: IntArray) -> list[str]:
    """Ids whose order is that of the numbers."""
    width = len(str(numbers.max()))
    return [f"{letter}{number:0{width}d}" for number in numbers.tolist()]
