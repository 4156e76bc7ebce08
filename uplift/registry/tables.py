"""The registry's tables. What must never change is protected by triggers as well as by the code."""

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    select,
    text,
)

from uplift.errors import StateError

SCHEMA_VERSION = 1  # raised together with a migration from the version before
FIRST_HASH = "0" * 64  # what the first audit row names as the hash before it

metadata = MetaData()

schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, primary_key=True),
    sqlite_strict=True,
)

experiments = Table(
    "experiments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("definition", Text, nullable=False),  # canonical JSON, of which digest is the SHA-256
    Column("state", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    sqlite_strict=True,
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("experiment", Text, ForeignKey("experiments.id"), nullable=False, index=True),
    Column("from_state", Text, nullable=False),
    Column("to_state", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    sqlite_strict=True,
)

audit_head = Table(  # the last audit row, so that cutting off the end of the trail is noticed
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("hash", Text, nullable=False),
    sqlite_strict=True,
)

artefacts = Table(
    "artefacts",
    metadata,
    Column("experiment", Text, ForeignKey("experiments.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("path", Text, nullable=False),  # relative to the registry's folder
    Column("sha256", Text, nullable=False),
    Column("fixed_by", Text, nullable=False),  # state whose transition names it; "" if replaceable
    Column("at", Text, nullable=False),
    sqlite_strict=True,
)

amendments = Table(
    "amendments",
    metadata,
    Column("seq", Integer, ForeignKey("audit.seq"), primary_key=True, autoincrement=False),
    Column("experiment", Text, ForeignKey("experiments.id"), nullable=False),
    Column("change", Text, nullable=False),
    sqlite_strict=True,
)

TRIGGERS = (
    *(
        f"create trigger {table}_{verb} before {verb} on {table} begin "
        f"select raise(abort, '{table} is append-only'); end"
        for table in ("audit", "amendments")
        for verb in ("update", "delete")
    ),
    "create trigger experiments_frozen before update of id, digest, definition on experiments "
    "when old.state <> 'draft' begin select raise(abort, 'a sealed definition is frozen'); end",
    "create trigger experiments_kept before delete on experiments begin "
    "select raise(abort, 'an experiment is never deleted'); end",
)


def create_tables(connection: Connection) -> None:
    """Tables and triggers of an empty database, inside the caller's transaction."""
    metadata.create_all(connection)
    for trigger in TRIGGERS:
        connection.execute(text(trigger))
    connection.execute(schema_version.insert().values(version=SCHEMA_VERSION))
    connection.execute(audit_head.insert().values(id=1, seq=0, hash=FIRST_HASH))


def is_empty(connection: Connection) -> bool:
    """Whether the database has no tables yet."""
    return not connection.dialect.has_table(connection, schema_version.name)


def require_known_schema(connection: Connection) -> None:
    """Refuse a database that a newer program has written."""
    found = connection.execute(select(schema_version.c.version)).scalar_one()
    if found > SCHEMA_VERSION:
        raise StateError(
            f"The registry has schema {found}; this program knows up to {SCHEMA_VERSION}. "
            "Use the program that wrote it, or a newer one.",
            code="SCHEMA_NEWER",
        )
