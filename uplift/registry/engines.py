"""The two kinds of database a registry can live in, and how each begins a transaction.

SQLite in write-ahead mode, every commit synced; a writing transaction takes the write lock before
it reads (BEGIN IMMEDIATE). PostgreSQL: a writing transaction waits for an advisory lock of the
registry before it reads. So on both what a writer decided on cannot change under it, and a reader
sees one state and waits for nobody.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from sqlite3 import Connection as RawConnection
from sqlite3 import OperationalError as RawError

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from uplift.errors import DefinitionError, MissingExtra, StateError

BUSY_SECONDS = 30.0  # how long a writer waits for its turn before it gives up
STATEMENT_SECONDS = 600.0  # longer than the longest export; a statement that hangs is ended
CONNECT_SECONDS = 10
SQLITE_START = "sqlite:///"
POSTGRES = frozenset({"postgresql", "postgresql+psycopg"})
LOCK = 7_265_617_443  # names the registry's advisory lock among those of other programs
NETWORK = ("nfs", "cifs", "smb", "afs", "ceph", "lustre", "gpfs", "glusterfs", "fuse.sshfs")
MAX_NAME_BYTES = 200  # of a file's name, with what SQLite adds to it
MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True)
class Store:
    """A database: what it is called in messages, and its engines.

    file      of SQLite; None for a server
    migrator  for a reader that brings an old schema up to date for itself, and commits nothing
    """

    place: str
    file: Path | None
    reader: Engine
    writer: Engine
    migrator: Engine

    def exists(self) -> bool:
        """Whether there is something to read; a server must be asked."""
        return self.file is None or self.file.exists()

    def prepare(self) -> None:
        """Make room for a new SQLite file. Errors: NETWORK_FILE_SYSTEM."""
        if self.file is not None and not self.file.exists():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            require_local(self.file.parent)


def store_at(location: str | Path) -> Store:
    """The store at a path, `sqlite:///path` or `postgresql://…`.

    Errors: DATABASE_UNSUPPORTED, EXTRA_MISSING.
    """
    given = str(location)
    if given.startswith(SQLITE_START):
        return _sqlite_store(Path(given.removeprefix(SQLITE_START)))
    if "://" not in given:
        return _sqlite_store(Path(location))
    if given.split("://")[0] in POSTGRES:
        return _postgres_store(given)
    raise _unsupported(f"{given.split('://')[0]}://…")


def memory_engine() -> Engine:
    """An empty SQLite database that is gone with its connection."""
    return _sqlite_engine("sqlite://", _configure, "BEGIN")


def require_local(folder: Path, *, mounts: Path = MOUNTS) -> None:
    """Refuse a folder on a network file system, where write-ahead mode loses data.

    Errors: NETWORK_FILE_SYSTEM.
    """
    try:
        lines = [line.split() for line in mounts.read_text(errors="replace").splitlines()]
    except OSError:
        return  # no such list here: the mount cannot be told
    inside = [
        (len(mount), kind)
        for _, mount, kind, *_ in lines
        if folder.resolve().is_relative_to(mount.replace("\\040", " "))
    ]
    kind = max(inside)[1] if inside else ""
    if kind.startswith(NETWORK):
        raise StateError(
            f"{folder} is on a network file system ({kind}), where SQLite cannot keep its promises."
            " Put the registry on a local disk, or give a postgresql:// address.",
            code="NETWORK_FILE_SYSTEM",
        )


def _sqlite_store(file: Path) -> Store:
    if len(os.fsencode(file.name)) > MAX_NAME_BYTES:
        raise DefinitionError(
            f"The name of the database {file.name[:40]!r}… is longer than {MAX_NAME_BYTES} bytes, "
            "which no file system takes. Give a shorter path.",
            code="DATABASE_UNSUPPORTED",
        )
    url = f"{SQLITE_START}{file.as_posix()}"
    return Store(
        file.name,
        file,
        reader=_sqlite_engine(url, _configure, "BEGIN"),
        writer=_sqlite_engine(url, _configure_writer, "BEGIN IMMEDIATE"),
        migrator=_sqlite_engine(url, _configure, "BEGIN IMMEDIATE"),
    )


def _sqlite_engine(
    url: str, configure: Callable[[RawConnection, object], None], *begin: str
) -> Engine:
    # a connection per transaction: nothing is kept open across a fork or at exit
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, poolclass=NullPool)
    event.listen(engine, "connect", configure)
    return _beginning_with(engine, *begin)


def _postgres_store(given: str) -> Store:
    if find_spec("psycopg") is None:
        raise MissingExtra("psycopg", extra="postgres")
    try:
        url = make_url(given).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        raise _unsupported("an address that cannot be read") from None
    place = f"{url.host or 'localhost'}/{url.database or ''}"  # a password is never shown
    read = "set transaction isolation level repeatable read, read only"
    write = (
        f"set local lock_timeout = '{BUSY_SECONDS * 1000:.0f}ms'",
        f"set local statement_timeout = '{STATEMENT_SECONDS * 1000:.0f}ms'",
        f"select pg_advisory_xact_lock({LOCK} # hashtext(current_schema()))",
    )

    def engine() -> Engine:
        waiting = {"connect_timeout": CONNECT_SECONDS}
        return create_engine(url, connect_args=waiting, poolclass=NullPool)

    writer = _beginning_with(engine(), *write)
    return Store(place, None, _beginning_with(engine(), read), writer, migrator=writer)


def _beginning_with(engine: Engine, *statements: str) -> Engine:
    def begin(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    event.listen(engine, "begin", begin)
    return engine


def _configure(connection: RawConnection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin in `begin`, not when the driver guesses
    for setting in ("foreign_keys = on", "synchronous = full", "recursive_triggers = on"):
        connection.execute(f"pragma {setting}")


def _configure_writer(connection: RawConnection, record: object) -> None:
    _configure(connection, record)
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
            return
        except RawError as error:  # another first user is switching: SQLite does not wait here
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _unsupported(found: str) -> DefinitionError:
    return DefinitionError(
        f"The registry's database must be SQLite or PostgreSQL, got {found}. Give a path, "
        "sqlite:///path or postgresql://user@host/database.",
        code="DATABASE_UNSUPPORTED",
    )
