"""Moments kept day by day in one file: new days and late rows are added, nothing is read twice.

A batch is what arrives at once: the rows of a day, of a file, of a late delivery. It has a name and
a digest of its source. The same batch again changes nothing, a changed one replaces what it was,
and what is read is the same, to rounding, as one pass over all rows. So every later question (an
arm, a segment, a week) costs milliseconds and no scan.

A unit must be in one batch only, and a batch must be delivered again, whole, when outcomes of its
units have changed: moments of rows can be added, but a row that is in them cannot be changed.
"""

import contextlib
import fcntl
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from uplift.aggregate.cells import Layout, MomentsTable, clean_key, condition, merged_into
from uplift.aggregate.sources import first_line
from uplift.errors import DataError, StateError
from uplift.files import whole_file
from uplift.inference.moments import CellMoments

IntArray = npt.NDArray[np.int64]

FORMAT = "uplift moments 1"
BATCH, DIGEST = "batch", "digest"
WAIT_SECONDS = 30.0  # for another writer


class MomentsStore:
    """Moments by cell and batch in a parquet file, replaced whole or not at all.

    Any number of readers, one writer at a time: a second one waits for the first.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def put(self, moments: MomentsTable, *, batch: str, digest: str | None = None) -> bool:
        """Add a batch, or replace the one of this name; whether anything changed.

        digest  of the batch's source (`file_digest`), by which a repeated batch is known without
                aggregating it again (`holds`); of the moments themselves when not given

        Errors: MOMENTS_DIFFER when the store keeps other cells, columns or covariances;
        BATCH_TWICE when a batch of another name was made from the same source;
        FILE_LOCKED, FILE_CHECKSUM, FILE_UNREADABLE.
        """
        of_source, digest = digest is not None, digest or moments.digest
        with self._locked():
            table = self._read()
            if table is None:
                self._write(_rows_of(moments, batch, digest))
                return True
            _require_same(_layout_of(table.schema, self.path), moments.layout)
            kept = _batches_of(table)
            if kept.get(batch) == digest:
                return False
            if of_source:
                _refuse_twice(kept, batch, digest)
            self._write(_joined(_without(table, batch), _rows_of(moments, batch, digest)))
            return True

    def remove(self, batch: str) -> bool:
        """Take a batch out; whether it was there."""
        with self._locked():
            table = self._read()
            if table is None or batch not in _batches_of(table):
                return False
            self._write(_without(table, batch))
            return True

    def batches(self) -> Mapping[str, str]:
        """Digest of every batch, in the order of their arrival."""
        table = self._read()
        return {} if table is None else _batches_of(table)

    def holds(self, batch: str, digest: str) -> bool:
        """Whether this batch is kept with this digest, so that it need not be aggregated again."""
        return self.batches().get(batch) == digest

    def read(self, by: Sequence[str] | None = None, **values: Any) -> MomentsTable:
        """Moments of the cells of all batches together.

        by      columns that make the cells; those of the store when not given
        values  as in `MomentsTable.only`: read(by=["arm"], day=lambda day: day <= last)

        Errors: EMPTY_INPUT, CELL_MISSING, COLUMN_MISSING, FILE_CHECKSUM, FILE_UNREADABLE.
        """
        with self._opened() as file:
            if file is None or not file.metadata.num_rows:
                raise DataError(
                    f"There are no moments in {self.path}. Put a batch into it first.",
                    code="EMPTY_INPUT",
                )
            layout = _layout_of(file.schema_arrow, self.path)
            cells = layout.by if by is None else tuple(by)
            needed = [name for name in layout.by if {name} & {*cells, *values}]
            for name in {*cells, *values}:
                layout.place(name)
            table = file.read([*(_key(name) for name in needed), *_number_names(layout)])
        coded = {name: _Coded.of(table[_key(name)]) for name in needed}
        rows = np.flatnonzero(_wanted(coded, values, len(table)))
        if not len(rows):
            raise DataError(
                f"No cell has {', '.join(values)} as asked. Look at `read()` for those kept.",
                code="CELL_MISSING",
            )
        keys, into = _cells_of([coded[name] for name in cells], rows)
        numbers = _numbers_in(table.columns[len(needed) :], layout)
        if len(rows) < len(table):
            numbers = numbers.rows(rows)
        return merged_into(layout.only_by(cells), keys, numbers, into)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile | None]:
        if not self.path.exists():
            yield None
            return
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                yield file
        except (pa.ArrowInvalid, OSError) as error:
            code = "FILE_CHECKSUM" if "checksum" in str(error).lower() else "FILE_UNREADABLE"
            raise DataError(
                f"{self.path.name} is not a whole file of moments. Restore it, or put its batches "
                "again.",
                code=code,
            ) from error

    def _read(self) -> pa.Table | None:
        """All rows as they are kept; None when nothing was put yet."""
        with self._opened() as file:
            if file is None:
                return None
            _layout_of(file.schema_arrow, self.path)
            return file.read()

    def _write(self, table: pa.Table) -> None:
        with whole_file(self.path) as temporary:
            pq.write_table(
                table,
                temporary,
                compression="none",
                use_dictionary=False,
                write_statistics=False,
                write_page_checksum=True,
            )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_name(f".{self.path.name}.lock")
        with lock.open("a") as file:
            deadline = time.monotonic() + WAIT_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise StateError(
                            f"Another process has been writing {self.path.name} for "
                            f"{WAIT_SECONDS:.0f} seconds. Try again when it has ended.",
                            code="FILE_LOCKED",
                        ) from None
                    time.sleep(0.02)
            yield


def _rows_of(moments: MomentsTable, batch: str, digest: str) -> pa.Table:
    """The cells of a batch as rows: batch, digest, keys, then a column per number."""
    layout, n = moments.layout, len(moments.keys)
    keys = list(zip(*moments.keys, strict=True)) or [()] * len(layout.by)
    columns: list[Any] = [pa.array([batch] * n), pa.array([digest] * n)]
    columns += [pa.array(list(values)) for values in keys]
    for array in moments.numbers.arrays():
        columns += [pa.array(column) for column in array.reshape(n, -1).T]
    table = pa.Table.from_arrays(columns, names=_names(layout))
    return table.replace_schema_metadata({"uplift": _described(layout)})


def _key(name: str) -> str:
    return f"by {name}"


def _number_names(layout: Layout) -> list[str]:
    x = layout.columns
    return [
        "count",
        *(f"mean {name}" for name in x),
        *(f"rest {name}" for name in x),
        *(f"comoment {x[i]} × {x[j]}" for i, j in layout.pairs),
        *(f"cubes {x[i]}" for i in layout.skewed),
    ]


def _names(layout: Layout) -> list[str]:
    return [BATCH, DIGEST, *map(_key, layout.by), *_number_names(layout)]


def _described(layout: Layout) -> str:
    held = {"by": layout.by, "columns": layout.columns, "pairs": layout.pairs}
    return json.dumps({"format": FORMAT, **held, "skewed": layout.skewed})


def _layout_of(schema: pa.Schema, path: Path) -> Layout:
    try:
        held = json.loads((schema.metadata or {})[b"uplift"])
        pairs = tuple((int(i), int(j)) for i, j in held["pairs"])
        layout = Layout(
            tuple(held["by"]), tuple(held["columns"]), pairs, tuple(map(int, held["skewed"]))
        )
        known = held["format"] == FORMAT and schema.names == _names(layout)
    except (KeyError, ValueError, TypeError, IndexError):
        known = False
    if not known:
        raise DataError(
            f"{path.name} is no file of moments that this version reads. Put its batches into a "
            "new file.",
            code="FILE_UNREADABLE",
        )
    return layout


@dataclass(frozen=True, eq=False)
class _Coded:
    """A key column as numbers of its values.

    values  each once
    code    (n_rows,)  position among the values
    """

    values: list[Any]
    code: IntArray

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "_Coded":
        encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        found = [clean_key([value])[0] for value in encoded.dictionary.to_pylist()]
        values = list(dict.fromkeys(found))
        place = {value: i for i, value in enumerate(values)}
        numbers = np.array([place[value] for value in found], dtype=np.int64)
        return cls(values, numbers[np.from_dlpack(encoded.indices)])


def _wanted(
    coded: Mapping[str, _Coded], values: Mapping[str, Any], n_rows: int
) -> npt.NDArray[np.bool_]:
    """Whether each row has the values asked for."""
    wanted = np.ones(n_rows, dtype=np.bool_)
    for name, value in values.items():
        test = condition(value)
        wanted &= np.array([test(found) for found in coded[name].values])[coded[name].code]
    return wanted


def _cells_of(columns: Sequence[_Coded], rows: IntArray) -> tuple[list[tuple[Any, ...]], IntArray]:
    """Distinct keys of these rows, and which of them each row has."""
    code = np.zeros(len(rows), dtype=np.int64)
    for column in columns:
        code = code * len(column.values) + column.code[rows]
    _, first, into = np.unique(code, return_index=True, return_inverse=True)
    keys = [
        tuple(column.values[column.code[row]] for column in columns) for row in rows[first].tolist()
    ]
    return keys, into


def _numbers_in(columns: Sequence[pa.ChunkedArray], layout: Layout) -> CellMoments:
    width = len(layout.columns)
    sizes = [1, width, width, len(layout.pairs), len(layout.skewed)]
    numbers = np.empty((len(columns[0]), sum(sizes)))
    for i, column in enumerate(columns):
        numbers[:, i] = np.from_dlpack(column.combine_chunks())  # `to_numpy` loads pandas first
    count, mean, rest, comoment, cubes = np.split(numbers, np.cumsum(sizes)[:-1], axis=1)
    return CellMoments(count[:, 0], mean, rest, comoment, cubes)


def _batches_of(table: pa.Table) -> dict[str, str]:
    pairs = table.select([BATCH, DIGEST]).group_by([BATCH, DIGEST], use_threads=False)
    found = pairs.aggregate([])
    return dict(zip(found[BATCH].to_pylist(), found[DIGEST].to_pylist(), strict=True))


def _without(table: pa.Table, batch: str) -> pa.Table:
    return table.filter(pc.not_equal(table[BATCH], batch))


def _joined(table: pa.Table, more: pa.Table) -> pa.Table:
    try:
        both = pa.concat_tables([table, more], promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"The keys of the cells have other types than those kept ({first_line(error)}). Bring "
            "them to one type.",
            code="MOMENTS_DIFFER",
        ) from error
    return both.replace_schema_metadata(table.schema.metadata)


def _require_same(kept: Layout, given: Layout) -> None:
    names = ("cells", "columns", "covariances", "third moments")
    for name, mine, other in zip(names, kept.parts(), given.parts(), strict=True):
        if mine != other:
            raise DataError(
                f"The store keeps moments with other {name}: {mine} are kept, {other} were given. "
                "Aggregate with the same, or keep them in a file of their own.",
                code="MOMENTS_DIFFER",
            )


def _refuse_twice(kept: Mapping[str, str], batch: str, digest: str) -> None:
    """Refuse to count one source under two names."""
    other = next((name for name, held in kept.items() if held == digest and name != batch), None)
    if other is not None:
        raise DataError(
            f"Batch {batch!r} was made from the same source as batch {other!r}, and its units "
            f"would count twice. Remove {other!r} first if this is its new name.",
            code="BATCH_TWICE",
        )
