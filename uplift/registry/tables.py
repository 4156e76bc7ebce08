"""The registry's tables. What must never change is protected by triggers as well as by the code."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

SCHEMA_VERSION = 3  # raised together with a migration from the version before
FIRST_HASH = "0" * 64  # what the first audit row names as the hash before it

Whole = BigInteger().with_variant(Integer(), "sqlite")  # 64 bits on both

metadata = MetaData()

schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
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
    Column("parent", Text),
    Column("objective", Text, nullable=False, server_default=""),
    Column("decision", Text),
    sqlite_strict=True,
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Whole, primary_key=True, autoincrement=False),
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
    Column("write_key", Text),  # of the transaction, in its first row: was it committed?
    Index("ix_audit_write_key", "write_key", unique=True),
    sqlite_strict=True,
)

audit_head = Table(  # the last audit row, so that cutting off the end of the trail is noticed
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", Whole, nullable=False),
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
    Column("fixed_by", Text, nullable=False),  # state in which it was fixed; "" if replaceable
    Column("at", Text, nullable=False),
    sqlite_strict=True,
)

amendments = Table(
    "amendments",
    metadata,
    Column("seq", Whole, ForeignKey("audit.seq"), primary_key=True, autoincrement=False),
    Column("experiment", Text, ForeignKey("experiments.id"), nullable=False),
    Column("change", Text, nullable=False),
    sqlite_strict=True,
)

metrics = Table(  # a key such as spend_28d@1 never changes its definition
    "metrics",
    metadata,
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("definition", Text, nullable=False),  # canonical JSON, of which digest is the SHA-256
    Column("first_experiment", Text, ForeignKey("experiments.id"), nullable=False),
    Column("at", Text, nullable=False),
    sqlite_strict=True,
)

control_cohorts = Table(  # who is held out when, by cohort; it ends, its row stays
    "control_cohorts",
    metadata,
    Column("programme", Text, primary_key=True),
    Column("cohort", Text, primary_key=True),
    Column("batch", Text, nullable=False),  # its members
    Column("n_units", Whole, nullable=False),
    Column("from_at", Text, nullable=False),
    Column("until_at", Text),
    sqlite_strict=True,
)

cohort_members = Table(  # of a batch that no cohort names, nobody is held out
    "cohort_members",
    metadata,
    Column("batch", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    sqlite_strict=True,
)

export_batches = Table(
    "export_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("experiment", Text, ForeignKey("experiments.id"), nullable=False, index=True),
    Column("wave", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("suppression_sha256", Text, nullable=False),
    Column("n_units", Whole, nullable=False),
    Column("manifest_sha256", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("fencing", Whole, nullable=False),  # of the lease under which it was last written
    Column("at", Text, nullable=False),
    sqlite_strict=True,
)

export_lines = Table(  # nobody is sent the same wave twice
    "export_lines",
    metadata,
    Column("experiment", Text, primary_key=True),
    Column("wave", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("batch", Text, ForeignKey("export_batches.id"), nullable=False, index=True),
    sqlite_strict=True,
)

withdrawals = Table(  # opted out since the batch's experiment began: never sent to again by it
    "withdrawals",
    metadata,
    Column("batch", Text, ForeignKey("export_batches.id"), primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("channel", Text, primary_key=True),  # "" is all channels
    Column("experiment", Text, nullable=False, index=True),
    sqlite_strict=True,
)

leases = Table(  # who may do a step now; a new holder gets a higher fencing number
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("fencing", Whole, nullable=False),
    Column("expires_at", Text, nullable=False),
    sqlite_strict=True,
)

contents = Table(  # per table: how many rows, and the sum of their digests
    "contents",
    metadata,
    Column("name", Text, primary_key=True),
    Column("n_rows", Whole, nullable=False),
    Column("total", Text, nullable=False),
    sqlite_strict=True,
)
