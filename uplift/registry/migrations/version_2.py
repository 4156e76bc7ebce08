"""Schema 2: metric catalogue, universal control, exports, leases; a digest of every table's rows.

Experiments get columns for what their definition and their trail already say.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

from uplift.errors import DataError
from uplift.registry.failing import fail_point
from uplift.registry.protection import VERSION_2, protect

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """From schema 1, inside the caller's transaction."""
    _widen(op)
    _add_tables(op)
    fail_point("migration:half")
    _fill(op.get_bind())
    protect(op.get_bind(), VERSION_2)


def _widen(op: Operations) -> None:
    op.add_column("experiments", sa.Column("parent", sa.Text))
    op.add_column("experiments", sa.Column("objective", sa.Text, nullable=False, server_default=""))
    op.add_column("experiments", sa.Column("decision", sa.Text))
    op.add_column("audit", sa.Column("write_key", sa.Text))
    op.create_index("ix_audit_write_key", "audit", ["write_key"], unique=True)


def _add_tables(op: Operations) -> None:
    op.create_table(
        "metrics",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("first_experiment", sa.Text, sa.ForeignKey("experiments.id"), nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "control_members",
        sa.Column("programme", sa.Text, primary_key=True),
        sa.Column("unit", sa.Text, primary_key=True),
        sa.Column("cohort", sa.Text, primary_key=True),
        sa.Column("from_at", sa.Text, nullable=False),
        sa.Column("until_at", sa.Text),
        sqlite_strict=True,
    )
    _add_exports(op)
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("fencing", Whole, nullable=False),
        sa.Column("expires_at", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "contents",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("n_rows", Whole, nullable=False),
        sa.Column("total", sa.Text, nullable=False),
        sqlite_strict=True,
    )


def _add_exports(op: Operations) -> None:
    op.create_table(
        "export_batches",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("experiment", sa.Text, sa.ForeignKey("experiments.id"), nullable=False),
        sa.Column("wave", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("suppression_sha256", sa.Text, nullable=False),
        sa.Column("n_units", Whole, nullable=False),
        sa.Column("manifest_sha256", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("fencing", Whole, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("ix_export_batches_experiment", "export_batches", ["experiment"])
    op.create_table(
        "export_lines",
        sa.Column("experiment", sa.Text, primary_key=True),
        sa.Column("wave", sa.Text, primary_key=True),
        sa.Column("unit", sa.Text, primary_key=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("batch", sa.Text, sa.ForeignKey("export_batches.id"), nullable=False),
        sqlite_strict=True,
    )
    op.create_index("ix_export_lines_batch", "export_lines", ["batch"])
    op.create_table(
        "withdrawals",
        sa.Column("batch", sa.Text, sa.ForeignKey("export_batches.id"), primary_key=True),
        sa.Column("unit", sa.Text, primary_key=True),
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("experiment", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("ix_withdrawals_experiment", "withdrawals", ["experiment"])


def _fill(connection: sa.Connection) -> None:
    """What definitions and trail say, into columns of their own."""
    known = sa.text("update experiments set parent = :parent, objective = :goal where id = :id")
    for experiment, definition in _read(connection, "select id, definition from experiments"):
        values = {"parent": definition.get("parent"), "goal": definition.get("objective", "")}
        connection.execute(known, {**values, "id": experiment})
    taken = sa.text("update experiments set decision = :decision where id = :id")
    query = "select experiment, payload from audit where action = 'decide'"
    for experiment, payload in _read(connection, query):
        connection.execute(taken, {"decision": payload.get("decision"), "id": experiment})


def _read(connection: sa.Connection, query: str) -> list[tuple[str, dict[str, Any]]]:
    """Ids with a JSON text that belongs to each."""
    found = connection.execute(sa.text(query)).all()
    try:
        return [(str(name), dict(json.loads(text))) for name, text in found]
    except (ValueError, TypeError):
        raise DataError(
            "A definition or the trail cannot be read, so the registry is not migrated. Restore a "
            "backup.",
            code="REGISTRY_UNREADABLE",
        ) from None
