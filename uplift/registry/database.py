"""Transactions on the registry's database: whole or not at all, one writer at a time."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from uplift.errors import StateError
from uplift.registry.engines import memory_engine, store_at
from uplift.registry.failing import fail_point
from uplift.registry.refusals import Repeatable, is_lost, repeated, typed_errors
from uplift.registry.schema import bring_up_to_date, require_known, version_of
from uplift.registry.tables import SCHEMA_VERSION, audit
from uplift.registry.trail import WRITE_KEY

FILE = "registry.db"


class Database:
    """Where the registry keeps its rows. Created by the first writer; until then, empty to read.

    location  a path, `sqlite:///path` or `postgresql://user@host/database`
    """

    def __init__(self, location: str | Path) -> None:
        self.store = store_at(location)

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database, in the newest schema."""
        with typed_errors(self.store.place):
            found = 0
            if self.store.exists():
                with self.store.reader.connect() as connection:
                    found = version_of(connection)
                    require_known(found)
                    if found == SCHEMA_VERSION:
                        yield connection
                        return
            # never committed: what is not there or older is made or migrated for this reader only
            with (self.store.migrator if found else memory_engine()).connect() as connection:
                bring_up_to_date(connection)
                yield connection

    @contextlib.contextmanager
    def write(self, step: str) -> Iterator[Connection]:
        """A transaction that is committed whole when the block ends without an error.

        step  names the fail points `<step>:begun`, `<step>:written` and `<step>:committed`

        A method that uses it is decorated with `repeated`, so that it runs again when PostgreSQL
        rolled it back. When the connection breaks at the commit, the key in the first audit row
        tells whether it was committed; a block that writes no audit row must be harmless to repeat.
        """
        key = uuid.uuid4().hex
        self.store.prepare()
        with typed_errors(self.store.place):
            with self.store.writer.connect() as connection:
                connection.info[WRITE_KEY] = key
                bring_up_to_date(connection)
                fail_point(f"{step}:begun")
                yield connection
                fail_point(f"{step}:written")
                try:
                    connection.commit()
                except DBAPIError as error:
                    if not is_lost(error) or not self._was_committed(key):
                        raise
            fail_point(f"{step}:committed")

    def migrate(self) -> int:
        """Bring the schema up to date; gives the version found before (0: there was none)."""
        self.store.prepare()
        with typed_errors(self.store.place):
            with self.store.writer.begin() as connection:
                found = bring_up_to_date(connection)
            fail_point("migration:committed")
        return found

    def _was_committed(self, key: str) -> bool:
        """Whether the transaction of this key is in the trail; waits until it has ended."""
        try:
            return self._find(key)
        except Repeatable as error:
            raise StateError(
                f"{self.store.place} was lost while a change was being committed, so it may or may "
                "not be written. Look at the trail (`uplift status`) before you repeat it.",
                code="OUTCOME_UNKNOWN",
            ) from error

    @repeated
    def _find(self, key: str) -> bool:
        with typed_errors(self.store.place), self.store.writer.connect() as connection:
            query = select(audit.c.seq).where(audit.c.write_key == key)
            return connection.execute(query).one_or_none() is not None
