"""Backup of a registry in use, and its restoration into an empty one, on either engine.

A backup is one SQLite file, whatever the registry lives in. A plain copy of a live database file
is no backup: what was committed last is still in the log beside it.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select

from uplift.checks import blocked_by
from uplift.errors import DataError, StateError
from uplift.files import file_digest, whole_file
from uplift.registry.bulk import CHUNK_ROWS
from uplift.registry.database import Database
from uplift.registry.failing import fail_point
from uplift.registry.schema import version_of
from uplift.registry.tables import audit, audit_head, metadata
from uplift.registry.verification import verify_content
from uplift.table import Column, Result, Table

FILLED_WHEN_NEW = frozenset({"schema_version", "audit_head", "contents"})


@dataclass(frozen=True, repr=False)
class Backup(Result):
    """A copy of a registry's database that was verified after it was written.

    n_changes  rows of its audit trail
    head       hash of the last of them
    """

    path: str
    sha256: str
    n_changes: int
    head: str

    def table(self) -> Table:
        """One row: what the copy holds."""
        return _one_row("Backup", self.path, self.n_changes, self.head)


@dataclass(frozen=True, repr=False)
class Restored(Result):
    """A registry filled from a backup, verified before it was committed.

    path, sha256  of the backup
    n_changes     rows of its audit trail
    head          hash of the last of them
    """

    path: str
    sha256: str
    n_changes: int
    head: str

    def table(self) -> Table:
        """One row: what the registry holds now."""
        return _one_row("Registry restored from", self.path, self.n_changes, self.head)


def backup(database: Database, path: Path) -> Backup:
    """Copy a database that others may be using into a new file, and verify the copy.

    Errors: BACKUP_EXISTS, REGISTRY_EMPTY, BACKUP_DAMAGED (the registry itself does not verify).
    """
    if path.exists():
        raise StateError(
            f"{path} is there already. A backup is never overwritten; give another name.",
            code="BACKUP_EXISTS",
        )
    with database.read() as source:
        if source.execute(select(func.count()).select_from(audit)).scalar_one() == 0:
            raise StateError(
                f"{database.store.place} holds nothing yet, so there is nothing to back up.",
                code="REGISTRY_EMPTY",
            )
        with whole_file(path) as temporary:
            if database.store.file is not None:
                _copy_pages(database.store.file, temporary)
            else:
                with Database(temporary).write("backup") as target:
                    _copy_rows(source, target)
                _fold(temporary)
            n_changes, head = _verified(Database(temporary))
            fail_point("backup:written")
    return Backup(path.as_posix(), file_digest(path), n_changes, head)


def restore(path: str | Path, location: str | Path) -> Restored:
    """Fill an empty registry from a backup, whole or not at all.

    location  a path, `sqlite:///path` or `postgresql://user@host/database`
    The backup is verified before, and the copy of it before it is committed.
    Errors: BACKUP_MISSING, BACKUP_DAMAGED, REGISTRY_NOT_EMPTY, SCHEMA_NEWER.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"There is no backup {file}. Give its path.", code="BACKUP_MISSING")
    before, database = Database(file), Database(location)
    n_changes, head = _verified(before)
    with before.read() as source, database.write("restore") as target:
        if target.execute(select(func.count()).select_from(audit)).scalar_one():
            raise StateError(
                f"{database.store.place} holds a registry. A backup is restored into an empty "
                "database only; give another path, or move that one away.",
                code="REGISTRY_NOT_EMPTY",
            )
        _copy_rows(source, target)
        fail_point("restore:half")
        _require_whole(target, database.store.place)
    return Restored(file.as_posix(), file_digest(file), n_changes, head)


def _one_row(title: str, path: str, n_changes: int, head: str) -> Table:
    columns = (Column("file"), Column("changes", kind="count"), Column("head"))
    return Table(title, columns, [(path, n_changes, head[:12])])


def _copy_pages(file: Path, to: Path) -> None:
    """SQLite's online backup: one state, whatever is written meanwhile."""
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)
    _fold(to)


def _fold(file: Path) -> None:
    """One file without a log beside it."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma journal_mode = delete")


def _copy_rows(source: Connection, target: Connection) -> None:
    """Every row as it is, heads and digests included, into an empty registry."""
    for table in metadata.sorted_tables:
        if table.name in FILLED_WHEN_NEW:
            target.execute(table.delete())
        rows = source.execute(select(table).execution_options(yield_per=CHUNK_ROWS)).mappings()
        for part in rows.partitions():
            target.execute(table.insert(), [dict(row) for row in part])


def _verified(database: Database) -> tuple[int, str]:
    """Length and end of the chain of a database that verifies."""
    with database.read() as connection:
        return _require_whole(connection, database.store.place)


def _require_whole(connection: Connection, place: str) -> tuple[int, str]:
    failed = blocked_by(verify_content(connection))
    if failed or version_of(connection) == 0:
        raise DataError(
            f"{place} does not verify: {'; '.join(check.line for check in failed)}. "
            "Take another backup.",
            code="BACKUP_DAMAGED",
        )
    head = connection.execute(select(audit_head)).mappings().one()
    return head["seq"], head["hash"]
