"""Where the rows are: each kind of table as a `Source` of parts that queries run on."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.aggregate.cells import Key, clean_key
from uplift.aggregate.one_pass import Look, Part, Source
from uplift.aggregate.query import Query
from uplift.aggregate.syntax import Kind, kind_of
from uplift.errors import DataError

Array = npt.NDArray[np.float64]


@contextlib.contextmanager
def opened(table: Any, columns: Sequence[str] | None) -> Iterator[Source]:
    """The table, ready for queries over these columns (all when None), and closed afterwards.

    Errors: NOT_A_TABLE, COLUMN_MISSING, FEATURE_DUPLICATE, and those of its kind.
    """
    # each kind is loaded when it is met, so that a first call pays for one of them only
    if _is_spark(table):
        from uplift.aggregate.spark import spark_source

        with spark_source(table, columns) as source:
            yield source
        return
    if hasattr(table, "database_source"):
        with table.database_source(columns) as source:
            yield source
        return
    from uplift.aggregate.embedded import embedded_source

    with embedded_source(table, columns) as source:
        yield source


def require_columns(
    found: Sequence[str], wanted: Sequence[str] | None, *, any_case: bool = True
) -> Sequence[str]:
    """The wanted columns, all when None; a table without them is refused, or with two alike.

    any_case  the engine reads upper and lower case alike
    """
    if wanted is None:
        return found
    for name in wanted:
        if name not in found:
            raise DataError(
                f"Column {name!r} is missing (found: {', '.join(map(str, found[:12]))}).",
                code="COLUMN_MISSING",
                column=name,
            )
        twins = [other for other in found if str(other) == name]
        if any_case:
            twins = [other for other in found if str(other).lower() == name.lower()]
        if len(twins) > 1:
            raise DataError(
                f"Columns {name!r} differ in upper and lower case only, or not at all, and a query "
                "cannot tell them apart. Rename one of them.",
                code="FEATURE_DUPLICATE",
                column=name,
            )
    return wanted


def split_rows(rows: Sequence[tuple[Any, ...]], n_keys: int) -> tuple[list[Key], Array]:
    """A query's answer as keys, and numbers (n_rows, n_numbers) with NaN for missing ones."""
    keys = [clean_key(row[:n_keys]) for row in rows]
    return keys, np.array([row[n_keys:] for row in rows], dtype=np.float64)


def kinds_of(types: Mapping[str, str]) -> dict[str, Kind]:
    """Kinds of the columns that hold numbers, by their SQL types."""
    kinds = {name: kind_of(type_name) for name, type_name in types.items()}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def look_by_query(part: Part, query: Query) -> list[Look]:
    """A first look at the first rows that the engine gives."""
    if not query.wanted.expressions:
        return []
    _, numbers = part.rows(query.first_look(), n_keys=0)
    return [Look(*look) for look in numbers[0].reshape(-1, 3).tolist()]


def first_line(error: Exception) -> str:
    """What an engine says went wrong, in short."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _is_spark(table: Any) -> bool:
    return type(table).__module__.startswith("pyspark.sql") and hasattr(table, "sparkSession")
