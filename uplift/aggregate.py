"""Any table to moments per cell in one query, run where the data is.

The query centres every column by the mean of its cell before it squares anything, so that a small
variance at a large mean keeps its digits; the numbers are those of `Moments.of` to 1e-9.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from uplift.errors import DataError
from uplift.inference.moments import Moments, Pairs, merge, pairs_of, two_sum, without_rounding
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]
SOURCE = "source"  # the name the table has inside the query
NUMBERS = ("INT", "DECIMAL", "DOUBLE", "FLOAT", "BOOLEAN", "HUGEINT")  # as types are called in SQL
CSV_ENDINGS = (".csv", ".csv.gz")


@dataclass(frozen=True, eq=False, repr=False)
class MomentsTable(Result):
    """Moments of every cell, and the query that made them.

    by        columns whose values make a cell
    keys      values of `by` per cell, in order
    columns   names
    pairs     co-moments held, as column positions
    count     (n_cells,)
    mean      (n_cells, n_columns)
    rest      (n_cells, n_columns)  what rounding cut off the means
    comoment  (n_cells, n_pairs)    centred
    """

    by: tuple[str, ...]
    keys: tuple[tuple[Any, ...], ...]
    columns: tuple[str, ...]
    pairs: Pairs
    count: Array
    mean: Array
    comoment: Array
    rest: Array = field(repr=False)
    sql: str = field(repr=False, default="")

    def cell(self, **key: Any) -> Moments:
        """Moments of one cell, e.g. `cell(arm="control")`."""
        wanted = tuple(key.get(name) for name in self.by)
        if set(key) != set(self.by) or wanted not in self.keys:
            raise DataError(
                f"There is no cell {key}. Cells are made of {', '.join(self.by) or 'nothing'}; "
                f"there are {len(self.keys)}: {_few(self.keys)}.",
                code="CELL_MISSING",
            )
        i = self.keys.index(wanted)
        return Moments(
            self.columns,
            self.pairs,
            float(self.count[i]),
            self.mean[i],
            self.comoment[i],
            self.rest[i],
        )

    def cells(self) -> Iterator[tuple[Mapping[str, Any], Moments]]:
        """Every cell's key and moments, in order."""
        for key in self.keys:
            named = dict(zip(self.by, key, strict=True))
            yield named, self.cell(**named)

    def collapse(self, by: Sequence[str]) -> "MomentsTable":
        """The cells put together to those of fewer columns, without loss and without the data."""
        for name in by:
            if name not in self.by:
                raise DataError(
                    f"The moments are not kept by {name!r}, only by {', '.join(self.by)}. "
                    "Aggregate again with it.",
                    code="COLUMN_MISSING",
                    column=name,
                )
        places = [self.by.index(name) for name in by]
        short = [tuple(key[place] for place in places) for key in self.keys]
        keys = tuple(dict.fromkeys(short))
        position = {key: i for i, key in enumerate(keys)}
        count, mean, rest, comoment = merge(
            count=self.count,
            mean=self.mean,
            rest=self.rest,
            comoment=self.comoment,
            pairs=self.pairs,
            into=np.array([position[key] for key in short], dtype=np.int64),
        )
        return MomentsTable(
            tuple(by), keys, self.columns, self.pairs, count, mean, comoment, rest, self.sql
        )

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


def aggregate(
    table: Any,
    *,
    by: Sequence[str] = ("arm",),
    columns: Sequence[str],
    covariances: Iterable[tuple[str, str]] = (),
    threads: int = 1,
) -> MomentsTable:
    """Moments of the columns per cell, in one query.

    table        a frame (pandas, polars, arrow), a DuckDB relation, or the path of a parquet or
                 CSV file, which is scanned and never loaded
    by           columns whose values make the cells; a missing value is a value of its own
    columns      numbers or truth values; a missing or infinite one is refused
    covariances  pairs of columns whose co-moment is wanted, beside every variance
    threads      more are faster; one gives the same bits for the same data every time

    Raises DataError: COLUMN_MISSING, FEATURE_DUPLICATE, EMPTY_INPUT, OUTCOME_NOT_NUMERIC,
    OUTCOME_MISSING, OUTCOME_NOT_FINITE, FILE_MISSING, FILE_UNREADABLE.
    """
    keys, names, pairs = tuple(by), tuple(columns), pairs_of(columns, covariances)
    with duckdb.connect(config={"threads": threads}) as connection:
        relation = _relation(table, connection, [*keys, *names])
        _check_columns(relation, keys, names)
        sql = moments_query(keys, names, pairs)
        rows = relation.query(SOURCE, sql).fetchall()
    return _read(rows, keys, names, pairs, sql)


def moments_query(by: Sequence[str], columns: Sequence[str], pairs: Pairs) -> str:
    """The SQL that computes count, centres, rests and co-moments per cell of the table `source`.

    Names are quoted; they must have been checked against the table's own columns.
    """
    k = [f"k{i}" for i in range(len(by))]
    x = range(len(columns))
    picked = [f"{_quoted(name)} AS k{i}" for i, name in enumerate(by)]
    picked += [f"CAST({_quoted(name)} AS DOUBLE) AS x{i}" for i, name in enumerate(columns)]
    centres = [*k, *(f"avg(x{i}) FILTER (WHERE isfinite(x{i})) AS c{i}" for i in x)]
    same = [f"n.{name} IS NOT DISTINCT FROM c.{name}" for name in k]
    wanted = [f"n.{name}" for name in k] + ["count(*)"]
    wanted += [f"count(*) FILTER (WHERE x{i} IS NULL OR isnan(x{i}))" for i in x]
    wanted += [f"count(*) FILTER (WHERE isinf(x{i}))" for i in x]
    wanted += [f"any_value(c{i})" for i in x]
    wanted += [f"avg({_centred(i)})" for i in x]
    wanted += [f"sum({_centred(i)} * {_centred(j)})" for i, j in pairs]
    clauses = [
        "WITH numbers AS NOT MATERIALIZED (",
        f"  SELECT {_listed(picked)}",
        f"  FROM {SOURCE}",
        "), centres AS (",
        f"  SELECT {_listed(centres)}",
        "  FROM numbers",
        *([f"  GROUP BY {_listed(k)}"] if k else []),
        ")",
        f"SELECT {_listed(wanted)}",
        f"FROM numbers AS n JOIN centres AS c ON {' AND '.join(same) or 'TRUE'}",
    ]
    if k:
        clauses.append(f"GROUP BY {_listed(f'n.{name}' for name in k)}")
        clauses.append(f"ORDER BY {_listed(f'n.{name} NULLS LAST' for name in k)}")
    return "\n".join(clauses)


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _centred(i: int) -> str:
    return f"(CASE WHEN isfinite(x{i}) THEN x{i} - c{i} END)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _relation(table: Any, connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> Any:
    if isinstance(table, duckdb.DuckDBPyRelation):
        return table
    if isinstance(table, str | Path):
        return _file(table, connection)
    if hasattr(table, "__arrow_c_stream__"):
        arrow = pa.table(table)
        _refuse_case_twins(arrow.column_names, columns)
        return connection.from_arrow(arrow)
    raise DataError(
        "A table is expected (pandas, polars, arrow, DuckDB relation or a path), "
        f"got {type(table).__name__}.",
        code="NOT_A_TABLE",
    )


def _file(path: str | Path, connection: duckdb.DuckDBPyConnection) -> Any:
    if not Path(path).is_file():
        raise DataError(
            f"There is no file {path}. Give the path of a parquet or CSV file.", code="FILE_MISSING"
        )
    try:
        if str(path).endswith(CSV_ENDINGS):
            return connection.read_csv(str(path))
        return connection.read_parquet(str(path))
    except duckdb.Error as error:
        raise DataError(
            f"{Path(path).name} cannot be read as a table. Restore it or write it again.",
            code="FILE_UNREADABLE",
        ) from error


def _refuse_case_twins(found: Sequence[str], columns: Sequence[str]) -> None:
    for name in columns:
        if sum(other.lower() == name.lower() for other in found) > 1:
            raise DataError(
                f"Columns {name!r} differ in upper and lower case only, or not at all, and a query "
                "cannot tell them apart. Rename one of them.",
                code="FEATURE_DUPLICATE",
                column=name,
            )


def _check_columns(relation: Any, by: Sequence[str], columns: Sequence[str]) -> None:
    found = list(relation.columns)
    for name in [*by, *columns]:
        if name not in found:
            raise DataError(
                f"Column {name!r} is missing (found: {', '.join(found[:12])}).",
                code="COLUMN_MISSING",
                column=name,
            )
    types = dict(zip(found, map(str, relation.types), strict=True))
    for name in columns:
        if not any(number in types[name].upper() for number in NUMBERS):
            raise DataError(
                f"Column {name!r} must hold numbers, but is {types[name]}. Write numbers with a "
                "decimal point and no currency sign.",
                code="OUTCOME_NOT_NUMERIC",
                column=name,
            )


def _read(
    rows: Sequence[tuple[Any, ...]],
    by: tuple[str, ...],
    columns: tuple[str, ...],
    pairs: Pairs,
    sql: str,
) -> MomentsTable:
    start, width = len(by), len(columns)
    if not rows or rows[0][start] == 0:
        raise DataError("The table has no row. Check how it was filtered.", code="EMPTY_INPUT")
    values = np.array([row[start:] for row in rows], dtype=np.float64)
    count = values[:, 0]
    missing, infinite, centre, shift = (
        values[:, 1 + i * width : 1 + (i + 1) * width] for i in range(4)
    )
    _refuse_unusable(missing, columns, "missing", "OUTCOME_MISSING")
    _refuse_unusable(infinite, columns, "infinite", "OUTCOME_NOT_FINITE")
    products = values[:, 1 + 4 * width :]
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    comoment = products - count[:, None] * shift[:, first] * shift[:, second]
    mean, rest = two_sum(centre, shift)
    comoment = without_rounding(comoment, count=count, mean=mean, pairs=pairs)
    keys = tuple(tuple(row[:start]) for row in rows)
    return MomentsTable(by, keys, columns, pairs, count, mean, comoment, rest, sql)


def _refuse_unusable(counts: Array, columns: Sequence[str], what: str, code: str) -> None:
    totals = counts.sum(axis=0)
    for name, total in zip(columns, totals.tolist(), strict=True):
        if total:
            raise DataError(
                f"Column {name!r} is {what} in {int(total)} row(s). Decide what that means before "
                "the moments are taken: fill, drop or repair those rows.",
                code=code,
                column=name,
                count=int(total),
            )


def _few(keys: Sequence[tuple[Any, ...]]) -> str:
    shown = ", ".join("/".join(map(str, key)) for key in keys[:5])
    return shown + (", …" if len(keys) > 5 else "")
