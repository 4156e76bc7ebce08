"""The schema of a database: made when it is empty, brought up to date when it is older.

`schema_version` holds one number. The step from each number to the next is a module of
`migrations/`, written with Alembic's operations and run inside the caller's transaction, so a
database has the old schema or the new one and nothing between.
"""

from importlib import import_module

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, func, select

from uplift.errors import DataError, StateError
from uplift.registry.contents import count_again
from uplift.registry.failing import fail_point
from uplift.registry.protection import EVERY, protect
from uplift.registry.tables import FIRST_HASH, SCHEMA_VERSION, audit_head, metadata, schema_version

STEPS = "uplift.registry.migrations.version_{}"


def version_of(connection: Connection) -> int:
    """The schema a database has; 0 when it has no tables yet. Errors: REGISTRY_UNREADABLE."""
    if not connection.dialect.has_table(connection, schema_version.name):
        return 0
    found = connection.execute(select(func.max(schema_version.c.version))).scalar()
    if found is None or found < 1:
        raise DataError(
            f"The registry's schema must be a number from 1, found {found}. Restore a backup.",
            code="REGISTRY_UNREADABLE",
        )
    return int(found)


def require_known(found: int) -> None:
    """Refuse a database that a newer program has written. Errors: SCHEMA_NEWER."""
    if found > SCHEMA_VERSION:
        raise StateError(
            f"The registry has schema {found}; this program knows up to {SCHEMA_VERSION}. "
            "Use the program that wrote it, or a newer one.",
            code="SCHEMA_NEWER",
        )


def bring_up_to_date(connection: Connection) -> int:
    """The newest schema, inside the caller's transaction; gives the one found before.

    Errors: SCHEMA_NEWER, REGISTRY_UNREADABLE.
    """
    found = version_of(connection)
    require_known(found)
    if found == 0:
        _create(connection)
        fail_point("schema:written")
    elif found < SCHEMA_VERSION:
        fail_point("migration:begun")
        for version in range(found + 1, SCHEMA_VERSION + 1):
            _step_to(connection, version)
        count_again(connection)
        fail_point("migration:written")
    return found


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    protect(connection, EVERY)
    connection.execute(schema_version.insert().values(version=SCHEMA_VERSION))
    connection.execute(audit_head.insert().values(id=1, seq=0, hash=FIRST_HASH))
    count_again(connection)


def _step_to(connection: Connection, version: int) -> None:
    migration = import_module(STEPS.format(version))
    migration.upgrade(Operations(MigrationContext.configure(connection)))
    connection.execute(schema_version.update().values(version=version))
