"""The one door for rows of every table: checked, written, and counted into the table's digest.

    total = sum of SHA-256(table, values of the row) over the rows, modulo 2^256

A row more, less or different gives another total, whatever the order (the incremental hash of
Bellare & Micciancio, 1997, Eurocrypt). So `check_contents` finds rows that were not written here.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, func, select

from uplift.checks import Check
from uplift.errors import DataError, StateError
from uplift.registry.bulk import (
    CHUNK_ROWS,
    ReadyRows,
    Same,
    complete_row,
    ready_rows,
    total_of,
    write_rows,
)
from uplift.registry.tables import contents, metadata

MODULUS = 2**256
# compared with the trail's end; refused when unknown; the digests themselves
NOT_COUNTED = frozenset({"audit_head", "schema_version", "contents"})

Row = Mapping[str, Any] | RowMapping


def counted_tables() -> list[Table]:
    """Tables whose rows are counted into a digest, by name."""
    found = [metadata.tables[name] for name in sorted(metadata.tables)]
    return [table for table in found if table.name not in NOT_COUNTED]


def insert_rows(connection: Connection, table: Table, rows: Iterable[Row]) -> int:
    """Add rows, inside the caller's transaction; gives how many. A missing column is null.

    Errors: VALUE_RANGE (before anything is written), ROW_REFUSED for a key that is there already.
    """
    n_rows, given = 0, iter(rows)
    while chunk := list(itertools.islice(given, CHUNK_ROWS)):
        names = dict.fromkeys(name for row in chunk for name in row)
        columns = {str(name): [row.get(name) for row in chunk] for name in names}
        n_rows += insert_ready(connection, ready_rows(table, len(chunk), columns))
    return n_rows


def insert_ready(connection: Connection, rows: ReadyRows) -> int:
    """Add rows that were made ready before the transaction; gives how many.

    Errors: ROW_REFUSED for a key that is there already.
    """
    write_rows(connection, rows)
    _count(connection, rows.table, rows.n_rows, rows.total)
    return rows.n_rows


def update_row(connection: Connection, table: Table, key: Row, values: Row) -> None:
    """Change columns of the one row with this primary key, inside the caller's transaction.

    Errors: ROW_UNKNOWN, VALUE_RANGE, ROW_REFUSED where the table's triggers forbid it.
    """
    old = find_row(connection, table, key)
    if old is None:
        raise StateError(f"{table.name} has no row {dict(key)}. Add it first.", code="ROW_UNKNOWN")
    new = complete_row(table, {**old, **values})
    changed = {name: new[name] for name in values if new[name] != old[name]}
    if changed:
        connection.execute(table.update().values(**changed).where(*_is(table, key)))
        _count(connection, table, 0, digest_of(table, new) - digest_of(table, old))


def put_row(connection: Connection, table: Table, values: Row) -> None:
    """Add a row, or change the one that has its primary key."""
    key = {column.name: values[column.name] for column in table.primary_key}
    if find_row(connection, table, key) is None:
        insert_rows(connection, table, [values])
    else:
        update_row(connection, table, key, values)


def find_row(connection: Connection, table: Table, key: Row) -> RowMapping | None:
    """The row with this primary key, if there is one."""
    query = select(table).where(*_is(table, key))
    return connection.execute(query).mappings().one_or_none()


def check_contents(connection: Connection) -> tuple[Check, ...]:
    """Whether the rows of each table are those that were written through this module."""
    heads = {row["name"]: row for row in connection.execute(select(contents)).mappings()}
    known = [_check_table(connection, t, heads.pop(t.name, None)) for t in counted_tables()]
    return (*known, *(_changed(name, 0, row["n_rows"]) for name, row in heads.items()))


def count_again(connection: Connection) -> None:
    """Write the digests for the rows as they are: for a migration, never to hide a change."""
    connection.execute(contents.delete())
    for table in counted_tables():
        n_rows, total = _sum(connection, table)
        connection.execute(
            contents.insert().values(name=table.name, n_rows=n_rows, total=f"{total:064x}")
        )


def digest_of(table: Table, row: Row) -> int:
    """SHA-256 of a row, as a number."""
    return total_of(table, [Same(row[column.name]) for column in table.columns], 1)


def _is(table: Table, key: Row) -> list[Any]:
    return [table.columns[name] == value for name, value in key.items()]


def _count(connection: Connection, table: Table, n_rows: int, total: int) -> None:
    """Move a table's digest by rows that came and went."""
    head = find_row(connection, contents, {"name": table.name})
    if head is None:
        raise DataError(
            f"The registry has lost count of its table {table.name}. Restore a backup.",
            code="REGISTRY_UNREADABLE",
        )
    moved = (int(head["total"], 16) + total) % MODULUS
    connection.execute(
        contents.update()
        .values(n_rows=head["n_rows"] + n_rows, total=f"{moved:064x}")
        .where(contents.c.name == table.name)
    )


def _sum(connection: Connection, table: Table) -> tuple[int, int]:
    """How many rows a table has, and the sum of their digests."""
    n_rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
    found = connection.execute(select(table).execution_options(yield_per=CHUNK_ROWS)).partitions()
    total = sum(total_of(table, list(zip(*rows, strict=True)), len(rows)) for rows in found)
    return n_rows, total % MODULUS


def _check_table(connection: Connection, table: Table, head: Row | None) -> Check:
    n_rows, total = _sum(connection, table)
    if head is None or (head["n_rows"], head["total"]) != (n_rows, f"{total:064x}"):
        return _changed(table.name, n_rows, head["n_rows"] if head else "lost")
    return Check(f"contents {table.name}", True, value=n_rows, code="CONTENTS_CHANGED")


def _changed(name: str, found: object, written: object) -> Check:
    return Check(
        f"contents {name}",
        False,
        value=f"{found} rows",
        bound=f"{written} rows as they were written",
        remedy=f"Rows of {name} were edited, removed or added outside the registry. Restore a "
        "backup.",
        code="CONTENTS_CHANGED",
    )
