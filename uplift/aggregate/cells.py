"""Moments of many cells: put together to fewer, cut to some, shown."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError
from uplift.inference.moments import CellMoments, Moments, Pairs, merge
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Key = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """Which moments are held: what must be equal before moments are put together.

    by       columns whose values make a cell
    columns  names
    pairs    co-moments, as positions of columns
    skewed   positions of the columns with third moments
    """

    by: tuple[str, ...]
    columns: tuple[str, ...]
    pairs: Pairs
    skewed: tuple[int, ...] = ()

    def parts(self) -> tuple[Any, ...]:
        """What two layouts are compared by."""
        return self.by, self.columns, self.pairs, self.skewed

    def place(self, name: str) -> int:
        """Position of a column among those that make the cells. Errors: COLUMN_MISSING."""
        if name not in self.by:
            raise DataError(
                f"The moments are not kept by {name!r}, only by {', '.join(self.by)}. "
                "Aggregate again with it.",
                code="COLUMN_MISSING",
                column=name,
            )
        return self.by.index(name)

    def only_by(self, by: Sequence[str]) -> "Layout":
        """The same moments of other cells."""
        return Layout(tuple(by), self.columns, self.pairs, self.skewed)


@dataclass(frozen=True, eq=False, repr=False)
class MomentsTable(Result):
    """Moments of every cell, and the query that made them.

    layout   which moments: `by`, `columns`, `pairs`, `skewed`
    keys     values of `by` per cell, in order, missing ones last
    numbers  count (n_cells,), mean and rest (n_cells, n_columns), comoment (n_cells, n_pairs),
             cubes (n_cells, n_skewed), as in `merge`
    sql      the query
    reread   columns that had to be read a second time, exactly: a cell's mean is far from the
             column's beside the cell's standard deviation
    """

    layout: Layout
    keys: tuple[Key, ...]
    numbers: CellMoments
    sql: str = field(repr=False, default="")
    reread: tuple[str, ...] = ()

    @property
    def by(self) -> tuple[str, ...]:
        """Columns whose values make a cell."""
        return self.layout.by

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that moments are held of."""
        return self.layout.columns

    @property
    def pairs(self) -> Pairs:
        """Co-moments held, as positions of columns."""
        return self.layout.pairs

    @property
    def count(self) -> Array:
        """Rows per cell, (n_cells,)."""
        return self.numbers.count

    @property
    def mean(self) -> Array:
        """(n_cells, n_columns)."""
        return self.numbers.mean

    @property
    def rest(self) -> Array:
        """What rounding cut off the means, (n_cells, n_columns)."""
        return self.numbers.rest

    @property
    def comoment(self) -> Array:
        """Centred co-moments, (n_cells, n_pairs)."""
        return self.numbers.comoment

    def cell(self, **key: Any) -> Moments:
        """Moments of one cell, e.g. `cell(arm="control")`."""
        wanted = clean_key([key.get(name) for name in self.by])
        if set(key) != set(self.by) or wanted not in self.keys:
            raise DataError(
                f"There is no cell {key}. Cells are made of {', '.join(self.by) or 'nothing'}; "
                f"there are {len(self.keys)}: {_few(self.keys)}.",
                code="CELL_MISSING",
            )
        return self._moments(self.keys.index(wanted))

    def cells(self) -> Iterator[tuple[Mapping[str, Any], Moments]]:
        """Every cell's key and moments, in order."""
        for i, key in enumerate(self.keys):
            yield dict(zip(self.by, key, strict=True)), self._moments(i)

    def collapse(self, by: Sequence[str]) -> "MomentsTable":
        """The cells put together to those of fewer columns, without loss and without the data."""
        places = [self.layout.place(name) for name in by]
        short = [tuple(key[place] for place in places) for key in self.keys]
        return merged_cells(
            self.layout.only_by(by), short, self.numbers, sql=self.sql, reread=self.reread
        )

    def only(self, **values: Any) -> "MomentsTable":
        """Some of the cells: by a value, by values, or by a condition on the value.

        table.only(segment=["new", "old"], day=lambda day: day < last)
        """
        tests = [(self.layout.place(name), condition(value)) for name, value in values.items()]
        rows = [i for i, key in enumerate(self.keys) if all(t(key[place]) for place, t in tests)]
        if not rows:
            raise DataError(
                f"No cell has {', '.join(values)} as asked; there are {len(self.keys)} cells: "
                f"{_few(self.keys)}.",
                code="CELL_MISSING",
            )
        keys = tuple(self.keys[i] for i in rows)
        numbers = self.numbers.rows(np.array(rows, dtype=np.int64))
        return MomentsTable(self.layout, keys, numbers, self.sql, self.reread)

    @property
    def digest(self) -> str:
        """SHA-256 of the layout, the keys and the numbers; the same moments give the same."""
        found = sha256(repr((*self.layout.parts(), self.keys)).encode())
        for array in self.numbers.arrays():
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def table(self) -> Table:
        """Count and means per cell."""
        columns = [*(Column(name) for name in self.by), Column("units", kind="count")]
        columns += [Column(f"mean {name}", kind="number") for name in self.columns]
        rows = [
            (*key, count, *means)
            for key, count, means in zip(
                self.keys, self.count.tolist(), self.mean.tolist(), strict=True
            )
        ]
        return Table("Moments", columns, rows)

    def _moments(self, i: int) -> Moments:
        return self.numbers.cell(
            i, columns=self.columns, pairs=self.pairs, skewed=self.layout.skewed
        )


def merged_cells(
    layout: Layout,
    keys: Sequence[Key],
    numbers: CellMoments,
    *,
    sql: str = "",
    reread: tuple[str, ...] = (),
) -> MomentsTable:
    """A table of cells in which several rows may be of one cell, put together in their order."""
    distinct = list(dict.fromkeys(keys))
    position = {key: i for i, key in enumerate(distinct)}
    into = np.array([position[key] for key in keys], dtype=np.int64)
    return merged_into(layout, distinct, numbers, into, sql=sql, reread=reread)


def merged_into(
    layout: Layout,
    keys: Sequence[Key],
    numbers: CellMoments,
    into: IntArray,
    *,
    sql: str = "",
    reread: tuple[str, ...] = (),
) -> MomentsTable:
    """A table of the cells with these keys, each once; `into` says which one each row goes to."""
    order = sorted(range(len(keys)), key=lambda i: _order(keys[i]))
    place = np.empty(len(keys), dtype=np.int64)
    place[order] = np.arange(len(keys))
    merged = merge(numbers, pairs=layout.pairs, into=place[into], skewed=layout.skewed)
    return MomentsTable(layout, tuple(keys[i] for i in order), merged, sql, reread)


def clean_key(values: Sequence[Any]) -> Key:
    """The values of a key such that equal ones are equal in Python: NaN is one object."""
    return tuple(
        math.nan if isinstance(value, float) and value != value else value for value in values
    )


def _order(key: Key) -> tuple[tuple[int, Any], ...]:
    return tuple(
        (2, 0) if value is None else (1, 0) if value is math.nan else (0, value) for value in key
    )


def condition(value: Any) -> Callable[[Any], bool]:
    """Whether a found value is this one, one of these, or meets this condition."""
    if callable(value):
        return lambda found: bool(value(found))
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        values = clean_key(list(value))
        return lambda found: found in values
    wanted = clean_key([value])
    return lambda found: found in wanted


def _few(keys: Sequence[Key]) -> str:
    shown = ", ".join("/".join(map(str, key)) for key in keys[:5])
    return shown + (", …" if len(keys) > 5 else "")
