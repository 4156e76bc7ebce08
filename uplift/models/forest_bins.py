"""Features as small codes: what a causal forest counts by.

Code 0 is "missing"; a number's code says between which of its edges it lies, a category's code is
its level. Edges are taken from features only, never from outcomes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]

MOST_CODES = 256  # of one feature, "missing" included: a code is one byte
MOST_LOOKED_AT = 200_000  # values that place the edges of one feature


@dataclass(frozen=True, eq=False)
class Bins:
    """What turns columns of numbers into codes.

    edges  per feature, ascending: a value has code 1 + the edges below it; None for a category
    n_codes  per feature, "missing" included
    """

    edges: tuple[Array | None, ...]
    n_codes: tuple[int, ...]

    @classmethod
    def fit(
        cls,
        columns: Sequence[Array],
        *,
        n_levels: Mapping[int, int],
        n_bins: int,
        weight: Array | None = None,
    ) -> "Bins":
        """Place edges so that bins hold about equal weight; few distinct values get one bin each.

        columns   one per feature, (n_rows,)
        n_levels  of the categories, by position
        weight    (n_rows,)  None means every row counts once
        """
        edges: list[Array | None] = []
        n_codes = []
        for i, values in enumerate(columns):
            found = None if i in n_levels else _edges(values, weight, n_bins=n_bins)
            edges.append(found)
            n_codes.append(n_levels[i] + 1 if found is None else len(found) + 2)
        return cls(tuple(edges), tuple(n_codes))

    @property
    def categorical(self) -> npt.NDArray[np.bool_]:
        """Which features are categories, (n_features,)."""
        return np.array([edges is None for edges in self.edges])

    def encode(self, columns: Iterable[Array], *, n_rows: int) -> Codes:
        """Codes of some rows, (n_rows, n_features)."""
        codes = np.empty((n_rows, len(self.edges)), dtype=np.uint8)
        for i, (values, edges) in enumerate(zip(columns, self.edges, strict=True)):
            missing = np.isnan(values)
            if edges is None:
                codes[:, i] = np.where(missing, -1, values) + 1
            else:
                codes[:, i] = np.searchsorted(edges, values) + 1
                codes[missing, i] = 0
        return codes

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for storage."""
        edges = [None if found is None else found.tolist() for found in self.edges]
        return {"edges": edges, "n_codes": list(self.n_codes)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Bins":
        """The bins that `to_dict` described; ValueError when they are none."""
        edges = tuple(
            None if found is None else np.array(found, dtype=np.float64) for found in plain["edges"]
        )
        n_codes = tuple(int(count) for count in plain["n_codes"])
        for found, count in zip(edges, n_codes, strict=True):
            if not 1 <= count <= MOST_CODES or (found is not None and len(found) + 2 != count):
                raise ValueError("bins of another shape")
            if found is not None and not (np.isfinite(found).all() and (np.diff(found) > 0).all()):
                raise ValueError("edges that do not ascend")
        return cls(edges, n_codes)


def _edges(values: Array, weight: Array | None, *, n_bins: int) -> Array:
    """Middles between few distinct values, or else values that cut the weight evenly."""
    step = -(-len(values) // MOST_LOOKED_AT)
    looked_at = values[::step]
    known = ~np.isnan(looked_at)
    if weight is None:
        ordered, below = np.sort(looked_at[known]), None
    else:
        order = np.argsort(looked_at[known], kind="stable")
        ordered, below = looked_at[known][order], np.cumsum(weight[::step][known][order])
    if not len(ordered):
        return np.empty(0)
    first = np.concatenate([[True], ordered[1:] > ordered[:-1]])
    distinct = ordered[first]
    if len(distinct) <= n_bins:
        middles: Array = distinct[:-1] + (distinct[1:] - distinct[:-1]) / 2
        return np.unique(middles)
    if below is None:
        below = np.arange(1.0, len(ordered) + 1)
    asked = np.arange(1, n_bins) / n_bins * below[-1]
    cuts = ordered[np.minimum(np.searchsorted(below, asked), len(ordered) - 1)]
    return np.unique(cuts[cuts < ordered[-1]])
