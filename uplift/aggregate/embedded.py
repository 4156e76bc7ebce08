"""Frames, files and DuckDB relations, read by the embedded DuckDB.

A parquet file is cut at its row groups and a frame at fixed rows; each part is read by one thread
in the order of its rows. So the numbers depend on the table alone and not on how many threads read
it. A CSV file is one part. A relation runs in its own connection, as that connection is set up.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from uplift.aggregate.cells import Key
from uplift.aggregate.one_pass import UNKNOWN, Look
from uplift.aggregate.query import FIRST_ROWS, SOURCE, Query
from uplift.aggregate.sources import (
    first_line,
    kinds_of,
    look_by_query,
    require_columns,
    split_rows,
)
from uplift.aggregate.syntax import SYNTAX, Kind, Syntax
from uplift.errors import DataError

Array = npt.NDArray[np.float64]
Relation = Any  # duckdb.DuckDBPyRelation

CSV_ENDINGS = (".csv", ".csv.gz")
ROWS_PER_PART = 2**19  # fewer are not worth a second query
ROW_NUMBER = "file_row_number"  # DuckDB's name for it


@dataclass(frozen=True, eq=False)
class EmbeddedPart:
    """Some rows of a table, by the name of the table in messages.

    run  the rows of a query's answer, computed by the thread that asks
    """

    name: str
    run: Callable[[str], list[tuple[Any, ...]]]

    def rows(self, sql: str, *, n_keys: int) -> tuple[list[Key], Array]:
        """Answer of a query over these rows."""
        try:
            return split_rows(self.run(sql), n_keys)
        except duckdb.Error as error:
            raise _unreadable(self.name, error) from error


@dataclass(frozen=True, eq=False)
class EmbeddedSource:
    """A table in DuckDB; fields as in `Source`."""

    types: Mapping[str, str]
    kinds: Mapping[str, Kind]
    parts: Sequence[EmbeddedPart]
    some_rows: Callable[[], pa.Table | None] = field(default=lambda: None)
    syntax: Syntax = SYNTAX["duckdb"]
    table: tuple[str, ...] = (SOURCE,)

    def first_look(self, query: Query) -> list[Look]:
        """Each wanted column in rows from the middle, or in the first ones of other tables."""
        rows = self.some_rows()
        if rows is None:
            return look_by_query(self.parts[0], query)
        # through lists, because Arrow's own way to NumPy loads pandas first
        frame = {name: np.array(rows[name].to_pylist(), dtype=np.float64) for name in self.kinds}
        with np.errstate(all="ignore"):  # infinities are refused later, with their count
            return [
                UNKNOWN if one.keys or not len(rows) else _looked_at(one.values(frame))
                for one in query.wanted.expressions
            ]


def _looked_at(values: Array) -> Look:
    return Look(float(values.mean()), float(values.min()), float(values.max()))


@contextlib.contextmanager
def embedded_source(table: Any, columns: Sequence[str] | None) -> Iterator[EmbeddedSource]:
    """A frame, a file, several files or a relation as a source.

    Errors: NOT_A_TABLE, FILE_MISSING, FILE_UNREADABLE, COLUMN_MISSING, FEATURE_DUPLICATE,
    COLUMN_TYPE.
    """
    if isinstance(table, duckdb.DuckDBPyRelation):
        types = _types(table, columns)
        part = EmbeddedPart("The relation", lambda sql: table.query(SOURCE, sql).fetchall())
        yield EmbeddedSource(types, kinds_of(types), [part])
        return
    # a query runs in the thread that asks for it: the connection has no threads beside
    with duckdb.connect(config={"threads": 1}) as connection:
        paths = _paths(table)
        if paths:
            yield _files(paths, connection, columns)
        else:
            yield _frame(table, connection, columns)


def rows_per_part(n_rows: int) -> int:
    """How many rows a part has at least.

    Every query costs the same to plan, so parts grow with the square root of the table: two for a
    million rows, fourteen for fifty million.
    """
    return max(ROWS_PER_PART, math.isqrt(n_rows * ROWS_PER_PART // 2))


def cuts_of(metadata: pq.FileMetaData, rows: int) -> list[tuple[int, int]]:
    """First and last row of each part of a parquet file: whole row groups, of so many rows."""
    cuts, first, last = [], 0, -1
    for i in range(metadata.num_row_groups):
        last += metadata.row_group(i).num_rows
        if last - first + 1 >= rows:
            cuts.append((first, last))
            first = last + 1
    return [*cuts, (first, last)] if last >= first else cuts


def _paths(table: Any) -> list[Path]:
    given = [table] if isinstance(table, str | Path) else table
    if not (
        isinstance(given, list | tuple)
        and given
        and all(isinstance(path, str | Path) for path in given)
    ):
        return []
    found: list[Path] = []
    for path in map(Path, given):
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not files or not files[0].is_file():
            raise DataError(
                f"There is no file {path}. Give the path of a parquet or CSV file, or of a folder "
                "of parquet files.",
                code="FILE_MISSING",
            )
        found += files
    return found


def _files(
    paths: Sequence[Path], connection: duckdb.DuckDBPyConnection, columns: Sequence[str] | None
) -> EmbeddedSource:
    parts: list[EmbeddedPart] = []
    types = []
    for path in paths:
        csv = str(path).endswith(CSV_ENDINGS)
        try:
            read = connection.read_csv if csv else connection.read_parquet
            types.append(_types(read(str(path)), columns))
        except duckdb.Error as error:
            raise _unreadable(path.name, error) from error
        parts += [_csv_part(path, connection)] if csv else _parquet_parts(path, connection)
    kinds = _common_kinds(types, paths)
    some_rows = functools.partial(_rows_in_the_middle, paths[len(paths) // 2], list(kinds))
    return EmbeddedSource(types[0], kinds, parts, some_rows)


def _common_kinds(types: Sequence[Mapping[str, str]], paths: Sequence[Path]) -> dict[str, Kind]:
    """Kinds of the number columns of all files; real where they differ."""
    common = kinds_of(types[0])
    for found, path in zip(types[1:], paths[1:], strict=True):
        kinds = kinds_of(found)
        for name, type_name in found.items():
            if (name in kinds) != (name in common) or (
                name not in kinds and type_name != types[0][name]
            ):
                raise DataError(
                    f"Column {name!r} is {type_name} in {path.name} and {types[0][name]} in "
                    f"{paths[0].name}. Write both with one type.",
                    code="COLUMN_TYPE",
                    column=name,
                )
            if name in kinds and kinds[name] != common[name]:
                common[name] = "real"
    return common


def _csv_part(path: Path, connection: duckdb.DuckDBPyConnection) -> EmbeddedPart:
    return _file_part(path, connection, f"read_csv({_text(path)})")


def _parquet_parts(path: Path, connection: duckdb.DuckDBPyConnection) -> list[EmbeddedPart]:
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path.name, error) from error
    cuts = cuts_of(metadata, rows_per_part(metadata.num_rows))
    if len(cuts) < 2 or ROW_NUMBER in metadata.schema.names:
        return [_file_part(path, connection, f"read_parquet({_text(path)})")]
    rows = f"read_parquet({_text(path)}, {ROW_NUMBER} = true) WHERE {ROW_NUMBER}"
    return [
        # DuckDB opens only the row groups of these rows
        _file_part(path, connection, f"{rows} BETWEEN {first} AND {last}")
        for first, last in cuts
    ]


def _file_part(path: Path, connection: duckdb.DuckDBPyConnection, rows: str) -> EmbeddedPart:
    """The rows of a file, by what follows FROM; its path is quoted."""
    source = f"WITH {SOURCE} AS NOT MATERIALIZED (SELECT * FROM {rows})"  # noqa: S608

    def run(sql: str) -> list[tuple[Any, ...]]:
        whole = f"{source}\nSELECT * FROM ({sql}) AS answer"
        return list(connection.cursor().execute(whole).fetchall())

    return EmbeddedPart(path.name, run)


def _text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _rows_in_the_middle(path: Path, columns: Sequence[str]) -> pa.Table | None:
    """The first rows of the middle row group of a parquet file; None where there is none."""
    if str(path).endswith(CSV_ENDINGS):
        return None
    try:
        with pq.ParquetFile(path) as file:
            groups = [file.num_row_groups // 2] if file.num_row_groups else []
            batches = file.iter_batches(
                FIRST_ROWS, row_groups=groups, columns=columns, use_threads=False
            )
            batch = next(batches, None)
            return None if batch is None else pa.Table.from_batches([batch])
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path.name, error) from error


def _frame(
    table: Any, connection: duckdb.DuckDBPyConnection, columns: Sequence[str] | None
) -> EmbeddedSource:
    arrow = _arrow(table, columns)
    size = rows_per_part(len(arrow))

    def part(rows: pa.Table) -> EmbeddedPart:
        def run(sql: str) -> list[tuple[Any, ...]]:
            return list(connection.cursor().register(SOURCE, rows).execute(sql).fetchall())

        return EmbeddedPart("The frame", run)

    starts = range(0, max(len(arrow), 1), size)
    parts = [part(arrow.slice(first, size)) for first in starts]
    try:
        types = _types(connection.from_arrow(arrow), columns)
    except duckdb.Error as error:
        raise DataError(
            f"The table has a column of a type that the engine does not read ({first_line(error)})."
            " Turn it into doubles.",
            code="OUTCOME_NOT_NUMERIC",
        ) from error
    middle = arrow.slice(len(arrow) // 2, FIRST_ROWS)
    return EmbeddedSource(types, kinds_of(types), parts, lambda: middle)


def _arrow(table: Any, columns: Sequence[str] | None) -> pa.Table:
    """The columns of a frame as Arrow, which shares their memory where it can."""
    if hasattr(table, "collect_schema") and hasattr(table, "collect"):  # a polars LazyFrame
        columns = require_columns(table.collect_schema().names(), columns)
        table = table.select(list(columns)).collect()
    if not hasattr(table, "__arrow_c_stream__"):
        raise DataError(
            "A table is expected (pandas, polars, arrow, DuckDB relation, PostgresTable, Spark "
            f"frame or a path), got {type(table).__name__}.",
            code="NOT_A_TABLE",
        )
    if isinstance(table, pa.Table):
        return table.select(list(require_columns(table.column_names, columns)))
    if hasattr(table, "columns") and hasattr(table, "__getitem__"):  # pandas, polars
        named = [name for name in table.columns if isinstance(name, str)]
        columns = require_columns(named, columns)
        table = table[list(columns)]
    try:
        arrow = pa.table(table)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"The table has a column of mixed types ({first_line(error)}). Give "
            "each column one type.",
            code="OUTCOME_NOT_NUMERIC",
        ) from error
    return arrow.select(list(require_columns(arrow.column_names, columns)))


def _types(relation: Relation, columns: Sequence[str] | None) -> dict[str, str]:
    found = [name for name in relation.columns if name != ROW_NUMBER or name in (columns or ())]
    columns = require_columns(found, columns)
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    return {name: types[name] for name in columns}


def relation_of(connection: Any, name: str, schema: str | None) -> Relation:
    """A table or view of an open connection. Errors: TABLE_MISSING."""
    quoted = SYNTAX["duckdb"].name(*([schema] if schema else []), name)
    try:
        return connection.table(quoted)
    except duckdb.Error as error:
        raise DataError(
            f"There is no table {name} in this connection ({first_line(error)}). Check its name "
            "and schema.",
            code="TABLE_MISSING",
        ) from error


def _unreadable(name: str, error: Exception) -> DataError:
    return DataError(
        f"{name} cannot be read as a table ({first_line(error)}). Restore it or write it again.",
        code="FILE_UNREADABLE",
    )
