"""A table in PostgreSQL: the query runs there, and only the cells come back."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.aggregate.cells import Key
from uplift.aggregate.one_pass import Look
from uplift.aggregate.query import Query
from uplift.aggregate.sources import (
    first_line,
    kinds_of,
    look_by_query,
    require_columns,
    split_rows,
)
from uplift.aggregate.syntax import SYNTAX, Kind, Syntax
from uplift.errors import DataError, DefinitionError, MissingExtra

Array = npt.NDArray[np.float64]

CONNECT_SECONDS = 10
TYPES = {  # of PostgreSQL's own object ids, which drivers give for columns
    16: "boolean", 20: "bigint", 21: "smallint", 23: "integer",
    700: "real", 701: "double precision", 1700: "numeric",
}  # fmt: skip
OUT_OF_RANGE = "22003"  # a square beyond the largest double
NO_TABLE = ("42P01", "3F000", "42501")  # no such table, no such schema, not allowed


@dataclass(frozen=True, eq=False)
class PostgresTable:
    """A table or view that `aggregate` reads where it is.

    address  `postgresql://user@host/database` (text or SQLAlchemy's URL), read in one transaction
             that cannot write; or an engine of SQLAlchemy; or an open connection of SQLAlchemy or
             psycopg, read inside its own transaction
    name     of the table; a view is the way to join or to filter
    """

    address: Any
    name: str
    schema: str | None = None

    @contextlib.contextmanager
    def database_source(self, columns: Sequence[str] | None) -> Iterator["PostgresSource"]:
        """The table as a source for these columns. Errors: as in `aggregate`."""
        table = (self.name,) if self.schema is None else (self.schema, self.name)
        with _connected(self.address) as connection:
            part = PostgresPart(connection, ".".join(table))
            syntax = SYNTAX["postgresql"]
            cursor = part.execute(f"SELECT * FROM {syntax.name(*table)} LIMIT 0")  # noqa: S608
            found = {column[0]: _type_of(column) for column in cursor.description}
            columns = require_columns(list(found), columns, any_case=False)
            yield PostgresSource({name: found[name] for name in columns}, table, [part])


@dataclass(frozen=True, eq=False)
class PostgresPart:
    """The rows of the table, by its name in messages."""

    connection: Any
    name: str

    def rows(self, sql: str, *, n_keys: int) -> tuple[list[Key], Array]:
        """Answer of a query over the table."""
        return split_rows(self.execute(sql).fetchall(), n_keys)

    def execute(self, sql: str) -> Any:
        """A cursor with the answer. Errors: TABLE_MISSING, OUTCOME_NOT_FINITE, DATABASE_FAILED."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql)
        except Exception as error:
            state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
            if state is None:
                raise
            raise self._refusal(str(state), error) from error
        return cursor

    def _refusal(self, state: str, error: Exception) -> DataError:
        if state == OUT_OF_RANGE:
            return DataError(
                "A column holds values whose squares are beyond the largest number (about 1e308). "
                "Give it in a larger unit.",
                code="OUTCOME_NOT_FINITE",
            )
        if state in NO_TABLE:
            return DataError(
                f"There is no table {self.name} that this connection may read. Check its name and "
                "schema, and the rights of the user.",
                code="TABLE_MISSING",
            )
        return DataError(
            f"PostgreSQL refused to read {self.name} ({first_line(error)}).",
            code="DATABASE_FAILED",
        )


@dataclass(frozen=True, eq=False)
class PostgresSource:
    """A table in PostgreSQL; fields as in `Source`."""

    types: Mapping[str, str]
    table: tuple[str, ...]
    parts: Sequence[PostgresPart]
    syntax: Syntax = SYNTAX["postgresql"]

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Kinds of the columns that hold numbers."""
        return kinds_of(self.types)

    def first_look(self, query: Query) -> list[Look]:
        """Each wanted column in the first rows."""
        return look_by_query(self.parts[0], query)


def _type_of(column: Any) -> str:
    """A column's type, by a driver's description of it."""
    shown = getattr(column, "type_display", None) or f"of type {column[1]}"
    return TYPES.get(column[1], str(shown))


@contextlib.contextmanager
def _connected(address: Any) -> Iterator[Any]:
    """A connection of the driver's own; one made here is closed at the end."""
    if hasattr(address, "dialect") and address.dialect.name != "postgresql":
        raise DefinitionError(
            f"PostgreSQL is read here, got an address of {address.dialect.name}. Read files and "
            "frames by themselves.",
            code="DATABASE_UNSUPPORTED",
        )
    if hasattr(address, "render_as_string"):  # SQLAlchemy's URL
        address = address.render_as_string(hide_password=False)
    if hasattr(address, "raw_connection"):  # SQLAlchemy's engine
        with address.connect() as connection:
            yield connection.connection.driver_connection
        return
    if hasattr(address, "connection") and hasattr(address, "exec_driver_sql"):  # its connection
        yield address.connection.driver_connection
        return
    if hasattr(address, "cursor"):
        yield address
        return
    if not isinstance(address, str) or not address.startswith("postgres"):
        raise DefinitionError(
            f"A PostgreSQL address or connection is expected, got {type(address).__name__}. Give "
            "postgresql://user@host/database.",
            code="DATABASE_UNSUPPORTED",
        )
    with _opened(address) as connection:
        yield connection


@contextlib.contextmanager
def _opened(address: str) -> Iterator[Any]:
    if find_spec("psycopg") is None:
        raise MissingExtra("psycopg", extra="postgres")
    import psycopg

    plain = "postgresql://" + address.split("://", 1)[1]  # without the driver's name
    try:
        connection = psycopg.connect(plain, connect_timeout=CONNECT_SECONDS)
    except psycopg.OperationalError as error:
        raise DataError(  # the address is not shown: it may hold a password
            f"PostgreSQL cannot be reached ({first_line(error)}). Check the address and that the "
            "server runs.",
            code="DATABASE_UNREACHABLE",
        ) from None
    with contextlib.closing(connection):
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection
