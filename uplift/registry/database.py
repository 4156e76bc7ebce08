"""Transactions on the registry's database: whole or not at all, one writer at a time.

SQLite in write-ahead mode, every commit synced; a writing transaction takes the write lock before
it reads (BEGIN IMMEDIATE), so that what it decided on cannot change under it.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection as RawConnection
from sqlite3 import OperationalError as RawError

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DatabaseError

from uplift.errors import DataError, DefinitionError, StateError
from uplift.registry.tables import create_tables, is_empty, require_known_schema

FILE = "registry.db"
BUSY_SECONDS = 30  # how long a writer waits for its turn before it gives up
FAIL_AT = "UPLIFT_FAIL_AT"  # tests name a point here, at which the process is killed
URL_START = "sqlite:///"


def fail_point(name: str) -> None:
    """Die here, as by a power cut, when a test has named this point in the environment."""
    if os.environ.get(FAIL_AT) == name:
        os.kill(os.getpid(), signal.SIGKILL)


class Database:
    """Where the registry keeps its rows. Created by the first writer; until then, empty to read."""

    def __init__(self, location: str | Path) -> None:
        self.file = _file_of(location)
        self._engine = _engine(f"{URL_START}{self.file.as_posix()}")

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database."""
        engine = self._engine if self.file.exists() else _engine("sqlite://")
        with _typed_errors(self.file), engine.connect() as connection:
            if is_empty(connection):
                create_tables(connection)  # in memory, or rolled back: reading writes nothing
            require_known_schema(connection)
            yield connection

    @contextlib.contextmanager
    def write(self, step: str) -> Iterator[Connection]:
        """A transaction that is committed whole when the block ends without an error.

        step  names the fail points `<step>:begun`, `<step>:written` and `<step>:committed`
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        with _typed_errors(self.file):
            with writer.begin() as connection:
                if is_empty(connection):
                    create_tables(connection)
                    fail_point("schema:written")
                require_known_schema(connection)
                fail_point(f"{step}:begun")
                yield connection
                fail_point(f"{step}:written")
            fail_point(f"{step}:committed")


def _file_of(location: str | Path) -> Path:
    given = str(location)
    if given.startswith(URL_START):
        return Path(given.removeprefix(URL_START))
    if "://" in given:
        raise DefinitionError(
            f"The registry's database must be an SQLite file, got {given.split('://')[0]}://…. "
            "Give a path, or sqlite:///path.",
            code="DATABASE_UNSUPPORTED",
        )
    return Path(given)


def _engine(url: str) -> Engine:
    # a connection per transaction: nothing is kept open across a fork or at exit
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, poolclass=NullPool)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: RawConnection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin in `_begin`, not when the driver guesses
    for setting in ("foreign_keys = on", "synchronous = full", "recursive_triggers = on"):
        connection.execute(f"pragma {setting}")
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
            return
        except RawError as error:  # another first user is switching: SQLite does not wait here
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


@contextlib.contextmanager
def _typed_errors(file: Path) -> Iterator[None]:
    """What the database refuses, as an error with a code."""
    try:
        yield
    except DatabaseError as error:
        cause = str(error.orig)
        if "full" in cause:
            raise StateError(
                f"The disk is full, so {file.name} was not changed. Free some space and repeat.",
                code="DISK_FULL",
            ) from error
        if "locked" in cause:
            raise StateError(
                f"{file.name} was in use for {BUSY_SECONDS} seconds. Repeat when others are done.",
                code="REGISTRY_BUSY",
            ) from error
        raise DataError(
            f"{file} cannot be used as a registry ({cause}). Restore it from a backup.",
            code="REGISTRY_UNREADABLE",
        ) from error
