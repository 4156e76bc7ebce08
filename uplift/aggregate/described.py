"""What a table is before it is aggregated: where it is, its columns, its largest values."""

from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.aggregate.expressions import Column
from uplift.aggregate.one_pass import query_of
from uplift.aggregate.postgres import PostgresTable
from uplift.aggregate.query import Wanted
from uplift.aggregate.sources import opened
from uplift.aggregate.syntax import Kind
from uplift.errors import DefinitionError

Array = npt.NDArray[np.float64]


def table_at(where: Any, name: str | None = None, schema: str | None = None) -> Any:
    """What `aggregate` reads, from what a user has at hand.

    where  anything that `aggregate` takes; with `name` (and `schema`) the place of a table: an open
           connection of DuckDB, or an address, engine or connection of PostgreSQL
    Errors: TABLE_MISSING, ARGUMENT_INVALID.
    """
    in_duckdb = type(where).__name__ == "DuckDBPyConnection"
    if name is None:
        is_url = str(where).startswith("postgres") and "://" in str(where)
        if in_duckdb or is_url or hasattr(where, "dialect") or hasattr(where, "cursor"):
            raise DefinitionError(
                "A database holds many tables. Say which one is read: name='results'.",
                code="ARGUMENT_INVALID",
            )
        return where
    if not in_duckdb:
        return PostgresTable(where, name, schema)
    from uplift.aggregate.embedded import relation_of

    return relation_of(where, name, schema)


def column_kinds(table: Any) -> dict[str, Kind | None]:
    """What numbers each column of a table holds; None where it holds none.

    Nothing but the description of the table is read. Errors: as in `aggregate`.
    """
    with opened(_without_rows(table), None) as source:
        return {name: source.kinds.get(name) for name in source.types}


def largest(table: Any, column: Column, k: int) -> tuple[Array, float]:
    """The k largest magnitudes of a column, falling, and the sum of all magnitudes.

    Every value must be a finite number. Returns (at most k,) and the sum.
    """
    wanted = Wanted.of((), [column])
    with opened(table, wanted.needed) as source:
        query = query_of(source, wanted)
        found = [part.rows(query.largest(k), n_keys=0)[1][:, 0] for part in source.parts]
        totals = [part.rows(query.magnitude(), n_keys=0)[1] for part in source.parts]
    falling = np.sort(np.concatenate(found))[::-1]
    return falling[:k], float(np.nansum(totals))


def _without_rows(table: Any) -> Any:
    """A frame of the same columns with hardly any row; anything else as it is.

    Of a pandas column of objects the first value is kept, for that says what it holds.
    """
    kind = type(table).__module__.split(".")[0]
    if kind == "pandas" and hasattr(table, "dtypes") and hasattr(table, "iloc"):
        objects = [table.iloc[:, i] for i, dtype in enumerate(table.dtypes) if dtype.kind == "O"]
        known = {int(np.argmax(column.notna())) for column in objects if len(column)}
        return table.iloc[sorted(known)]
    if kind in ("pandas", "polars"):
        return table.head(0)
    return table.slice(0, 0) if kind == "pyarrow" and hasattr(table, "slice") else table
