"""Schema 3: a cohort of a universal control is one row, which its members stand behind.

So a cohort begins and ends by one row, however many members it has, and its members can be written
before it begins.
"""

import sqlalchemy as sa
from alembic.operations import Operations

from uplift.errors import DataError
from uplift.registry.failing import fail_point
from uplift.registry.members import batch_of, members_digest
from uplift.registry.protection import VERSION_3, protect

Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """From schema 2, inside the caller's transaction."""
    op.create_table(
        "control_cohorts",
        sa.Column("programme", sa.Text, primary_key=True),
        sa.Column("cohort", sa.Text, primary_key=True),
        sa.Column("batch", sa.Text, nullable=False),
        sa.Column("n_units", Whole, nullable=False),
        sa.Column("from_at", sa.Text, nullable=False),
        sa.Column("until_at", sa.Text),
        sqlite_strict=True,
    )
    op.create_table(
        "cohort_members",
        sa.Column("batch", sa.Text, primary_key=True),
        sa.Column("unit", sa.Text, primary_key=True),
        sqlite_strict=True,
    )
    fail_point("migration:half")
    _fill(op.get_bind())
    op.drop_table("control_members")
    protect(op.get_bind(), VERSION_3)


def _fill(connection: sa.Connection) -> None:
    """Cohorts and members from the memberships, a row each, that schema 2 had."""
    query = (
        "select programme, cohort, min(from_at), max(from_at), max(until_at), count(*), "
        "count(distinct coalesce(until_at, '')) from control_members group by programme, cohort"
    )
    for programme, cohort, start, last_start, end, n_units, n_ends in connection.execute(
        sa.text(query)
    ).all():
        if start != last_start or n_ends > 1:
            raise DataError(
                f"Members of {programme} cohort {cohort} began or ended at different times, so "
                "the registry is not migrated. Restore a backup.",
                code="REGISTRY_UNREADABLE",
            )
        key = {"programme": programme, "cohort": cohort}
        of_it = "from control_members where programme = :programme and cohort = :cohort"
        units = connection.execute(sa.text(f"select unit {of_it}"), key).scalars().all()
        batch = batch_of(programme, cohort, sha256=members_digest(units))
        members = f"insert into cohort_members select :batch, unit {of_it}"
        connection.execute(sa.text(members), {**key, "batch": batch})
        connection.execute(
            sa.text(
                "insert into control_cohorts "
                "values (:programme, :cohort, :batch, :n_units, :from_at, :until_at)"
            ),
            {**key, "batch": batch, "n_units": n_units, "from_at": start, "until_at": end},
        )
