"""Features of some rows, as numbers when they are asked for and as codes made once.

All forests of a suite read the same codes, so a table is coded once however many forests there
are. Codes stand column by column: a column goes to LightGBM without a copy.
"""

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from uplift.models.forest_bins import MOST_CODES, MOST_LOOKED_AT, Bins

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]
Chosen = slice | IntArray | npt.NDArray[np.bool_]

N_BINS = 254  # of a number; "missing" is one more, and 255 are as many as LightGBM tells apart


class FeatureRows:
    """Rows of features; numbers are made when they are asked for, codes are kept.

    read        gives one feature's numbers, by its position, of some rows or of all (None);
                missing is NaN
    n_rows      how many rows
    n_features  how many features
    """

    def __init__(
        self, read: Callable[[int, Chosen | None], Array], *, n_rows: int, n_features: int
    ) -> None:
        self._read = read
        self.n_rows = n_rows
        self.n_features = n_features
        self._codes: dict[int, tuple[Bins, Codes]] = {}
        self._parent: tuple[FeatureRows, Chosen] | None = None

    @classmethod
    def of(cls, numbers: Array) -> "FeatureRows":
        """Rows of a matrix, (n_rows, n_features)."""

        def read(i: int, chosen: Chosen | None) -> Array:
            column: Array = numbers[:, i]
            return column if chosen is None else column[chosen]

        return cls(read, n_rows=numbers.shape[0], n_features=numbers.shape[1])

    def __len__(self) -> int:
        """How many rows."""
        return self.n_rows

    @overload
    def __getitem__(self, chosen: Chosen) -> "FeatureRows": ...
    @overload
    def __getitem__(self, chosen: tuple[slice, int]) -> Array: ...
    def __getitem__(self, chosen: Chosen | tuple[slice, int]) -> "FeatureRows | Array":
        """Some of the rows; or, of a pair, one feature of some of them."""
        if isinstance(chosen, tuple):
            return self._read(chosen[1], chosen[0])
        rows = chosen

        def read(i: int, of_those: Chosen | None) -> Array:
            column = self._read(i, rows)
            return column if of_those is None else column[of_those]

        part = FeatureRows(read, n_rows=_count(rows, self.n_rows), n_features=self.n_features)
        part._parent = (self, rows)
        return part

    def column(self, i: int) -> Array:
        """One feature, (n_rows,)."""
        return self._read(i, None)

    @property
    def numbers(self) -> Array:
        """All features, (n_rows, n_features)."""
        matrix = np.empty((self.n_rows, self.n_features))
        for i in range(self.n_features):
            matrix[:, i] = self.column(i)
        return matrix

    def codes(self, bins: Bins) -> Codes:
        """Codes by some bins, (n_features, n_rows), made the first time they are asked for."""
        kept = self._codes.get(id(bins))
        if kept is not None:
            return kept[1]
        if self._parent is not None and id(bins) in self._parent[0]._codes:
            rows, chosen = self._parent
            codes = np.ascontiguousarray(rows.codes(bins)[:, chosen])
        else:
            codes = encode_columns(self.column, bins, n_rows=self.n_rows)
        self._codes[id(bins)] = (bins, codes)  # the bins too, so that their id stays theirs
        return codes


def encode_columns(column: Callable[[int], Array], bins: Bins, *, n_rows: int) -> Codes:
    """Codes of columns of numbers, (n_features, n_rows): what `Bins.encode` gives, compiled."""
    from uplift.models.leaf_scoring import encode_numbers  # loads numba

    codes = np.empty((len(bins.edges), n_rows), dtype=np.uint8)
    for i, edges in enumerate(bins.edges):
        values = np.ascontiguousarray(column(i), dtype=np.float64)
        if edges is None:
            codes[i] = np.where(np.isnan(values), -1, values) + 1
            continue
        padded = np.full(MOST_CODES, np.inf)
        padded[: len(edges)] = edges
        encode_numbers(values, padded, codes[i])
    return codes


def bins_of(rows: FeatureRows, *, categorical: Sequence[int]) -> Bins:
    """Edges of all features, from the features alone; of many rows, from some evenly spread."""
    step = max(1, -(-len(rows) // MOST_LOOKED_AT))
    found = []
    for i in range(rows.n_features):
        if i in categorical:
            n_levels = int(np.nanmax(rows.column(i), initial=0)) + 1
            found.append(Bins.fit([np.empty(0)], n_levels={0: n_levels}, n_bins=N_BINS))
        else:
            found.append(Bins.fit([rows[::step, i]], n_levels={}, n_bins=N_BINS))
    edges = tuple(one.edges[0] for one in found)
    return Bins(edges, tuple(one.n_codes[0] for one in found))


def _count(chosen: Chosen, n_rows: int) -> int:
    if isinstance(chosen, slice):
        return len(range(*chosen.indices(n_rows)))
    return int(np.count_nonzero(chosen)) if chosen.dtype == bool else len(chosen)
