"""Many rows at once: checked, digested and made ready column by column, outside any transaction.

The digest of a row is SHA-256 over the JSON list of its table's name and its values, as
`contents.digest_of` makes it of one row; here the constant parts are written once for all rows.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Integer, Table

from uplift.errors import DataError

INT_LIMIT = 2**63  # whole numbers are kept in 64 bits with sign, on both engines
CHUNK_ROWS = 10_000  # rows of one statement: memory stays bounded
_quoted = json.encoder.encode_basestring  # what json.dumps does with a text, in C where it can


@dataclass(frozen=True)
class Same:
    """One value in all rows."""

    value: Any


Values = Same | Sequence[Any]


@dataclass(frozen=True)
class ReadyRows:
    """Rows that only need to be written: every value can be stored, and their digests are summed.

    columns  one per column of the table, in its order
    """

    table: Table
    columns: tuple[Values, ...]
    n_rows: int
    total: int


def ready_rows(table: Table, n_rows: int, values: Mapping[str, Values]) -> ReadyRows:
    """Rows of a table by column; a missing column is null.

    values  by column's name: `Same(value)`, or `n_rows` values

    Errors: VALUE_RANGE.
    """
    for name in values:
        if name not in table.columns:
            raise _refused(table, str(name), "is not a column")
    columns = tuple(values.get(column.name, Same(None)) for column in table.columns)
    if n_rows:
        for column, given in zip(table.columns, columns, strict=True):
            _require_all_storable(table, column, _listed(given))
    return ReadyRows(table, columns, n_rows, total_of(table, columns, n_rows))


def write_rows(connection: Connection, rows: ReadyRows) -> None:
    """Add the rows, by one statement per chunk, on the driver's own fast path.

    Only for `contents.insert_ready`, which counts them into the table's digest.
    """
    sql = _insert_text(connection, rows.table)
    for part in _chunks(rows.columns, rows.n_rows):
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(sql, list(zip(*part, strict=True)))
        else:
            connection.exec_driver_sql(sql, tuple(map(list, part)))


def _insert_text(connection: Connection, table: Table) -> str:
    """One statement for a chunk: a row's values again and again, or whole columns as arrays."""
    quote = connection.dialect.identifier_preparer
    names = ", ".join(quote.quote(column.name) for column in table.columns)
    head = f"insert into {quote.format_table(table)} ({names})"
    if connection.dialect.name == "sqlite":
        return f"{head} values ({', '.join('?' * len(table.columns))})"
    arrays = ", ".join(f"%s::{_array_type(column)}" for column in table.columns)
    return " ".join((head, "select * from unnest(", arrays, ")"))


def total_of(table: Table, columns: Sequence[Values], n_rows: int) -> int:
    """The sum of the rows' digests, as a number."""
    total = 0
    for texts in _row_texts(table, columns, n_rows):
        digests = b"".join(
            hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts
        )
        total += sum(int.from_bytes(digests[at : at + 32]) for at in range(0, len(digests), 32))
    return total


def require_storable(table: Table, column: "Column[Any]", value: Any) -> None:
    """Refuse what one of the engines could not keep as it is. Errors: VALUE_RANGE."""
    if value is None:
        if not column.nullable:
            raise _refused(table, column.name, "needs a value")
    elif isinstance(column.type, Integer):
        if not isinstance(value, int) or isinstance(value, bool):
            raise _refused(table, column.name, f"is a whole number, got {value!r:.40}")
        if not -INT_LIMIT <= value < INT_LIMIT:
            raise _refused(table, column.name, f"holds whole numbers of 64 bits, got {value}")
    elif not isinstance(value, str):
        raise _refused(table, column.name, f"is text, got {value!r:.40}")
    elif "\0" in value or not _is_unicode(value):
        raise _refused(table, column.name, "holds text without NUL or half characters")


def complete_row(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every column, of the column's type and range. Errors: VALUE_RANGE."""
    for name in values:
        if name not in table.columns:
            raise _refused(table, str(name), "is not a column")
    row = {column.name: values.get(column.name) for column in table.columns}
    for column in table.columns:
        require_storable(table, column, row[column.name])
    return row


def _require_all_storable(table: Table, column: "Column[Any]", values: Sequence[Any]) -> None:
    """`require_storable` of each value; a column of plain texts is looked at as one."""
    if not isinstance(column.type, Integer):
        try:
            whole = "".join(values)
        except TypeError:  # something else than text is among them
            whole = "\0"
        if "\0" not in whole and _is_unicode(whole):
            return
    for value in values:
        require_storable(table, column, value)


def _row_texts(table: Table, columns: Sequence[Values], n_rows: int) -> Iterator[Iterator[str]]:
    """The JSON text of every row, chunk by chunk."""
    for start in range(0, n_rows, CHUNK_ROWS):
        size = min(CHUNK_ROWS, n_rows - start)
        pieces: list[Iterator[str] | list[str]] = []
        fixed = f"[{_quoted(table.name)}"
        for values in columns:
            part = values if isinstance(values, Same) else _same(values[start : start + size])
            if isinstance(part, Same):
                fixed += f",{_json(part.value)}"
                continue
            pieces += [itertools.repeat(f"{fixed},", size), list(map(_json, part))]
            fixed = ""
        pieces += [itertools.repeat(f"{fixed}]", size)]
        yield map("".join, zip(*pieces, strict=True))


def _same(values: Sequence[Any]) -> Values:
    """The values, or the one text that all of them are."""
    first = values[0]
    alike = isinstance(first, str | None) and values.count(first) == len(values)
    return Same(first) if alike else values


def _json(value: Any) -> str:
    if value.__class__ is str:
        return _quoted(value)
    if value is None:
        return "null"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _chunks(columns: Sequence[Values], n_rows: int) -> Iterator[list[Sequence[Any]]]:
    for start in range(0, n_rows, CHUNK_ROWS):
        size = min(CHUNK_ROWS, n_rows - start)
        yield [
            [values.value] * size if isinstance(values, Same) else values[start : start + size]
            for values in columns
        ]


def _listed(values: Values) -> Sequence[Any]:
    return [values.value] if isinstance(values, Same) else values


def _array_type(column: "Column[Any]") -> str:
    if isinstance(column.type, BigInteger):
        return "bigint[]"
    return "integer[]" if isinstance(column.type, Integer) else "text[]"


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _refused(table: Table, column: str, why: str) -> DataError:
    return DataError(
        f"{table.name}: {column} {why}. Nothing was written.", code="VALUE_RANGE", column=column
    )
