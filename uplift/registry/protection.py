"""Triggers by which the database itself refuses to rewrite what was written, on both engines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

REFUSE = (  # 23000: the class of broken constraints, as SQLite reports it too
    "create or replace function uplift_refuse() returns trigger language plpgsql as $$ begin "
    "raise exception using message = tg_argv[0], errcode = '23000'; end $$"
)


@dataclass(frozen=True)
class Refusal:
    """A change of rows that the database refuses.

    verb  update · delete · update of some columns
    when  condition on `old` and `new`, in SQL that both engines know; always when empty
    """

    name: str
    table: str
    verb: str
    message: str
    when: str = ""

    def sqlite(self) -> str:
        """As a trigger of SQLite."""
        when = f"when {self.when} " if self.when else ""
        return (
            f"create trigger {self.name} before {self.verb} on {self.table} {when}"
            f"begin select raise(abort, '{self.message}'); end"
        )

    def postgresql(self) -> str:
        """As a trigger of PostgreSQL."""
        when = f"when ({self.when}) " if self.when else ""
        return (
            f"create trigger {self.name} before {self.verb} on {self.table} for each row {when}"
            f"execute function uplift_refuse('{self.message}')"
        )


def append_only(table: str) -> tuple[Refusal, Refusal]:
    """Rows are added, never changed or removed."""
    message = f"{table} is append-only"
    return (
        Refusal(f"{table}_update", table, "update", message),
        Refusal(f"{table}_delete", table, "delete", message),
    )


def kept(table: str, message: str) -> Refusal:
    """Rows may change but are never removed."""
    return Refusal(f"{table}_kept", table, "delete", message)


VERSION_1 = (
    *append_only("audit"),
    *append_only("amendments"),
    Refusal(
        "experiments_frozen",
        "experiments",
        "update of id, digest, definition",
        "a sealed definition is frozen",
        when="old.state <> 'draft'",
    ),
    kept("experiments", "an experiment is never deleted"),
)
VERSION_2 = (
    *append_only("metrics"),
    *append_only("export_lines"),
    *append_only("withdrawals"),
    Refusal(
        "experiments_frozen_too",
        "experiments",
        "update of parent, objective",
        "a sealed definition is frozen",
        when="old.state <> 'draft'",
    ),
    Refusal(
        "experiments_decided",
        "experiments",
        "update of decision",
        "a decision is taken once",
        when="old.decision is not null",
    ),
    kept("control_members", "a membership is never deleted"),
    Refusal(
        "control_members_fixed",
        "control_members",
        "update of programme, unit, cohort, from_at",
        "a membership only ends",
    ),
    Refusal(
        "control_members_ended",
        "control_members",
        "update of until_at",
        "a membership ends once",
        when="old.until_at is not null",
    ),
    kept("export_batches", "an export is never deleted"),
    Refusal(
        "export_batches_fixed",
        "export_batches",
        "update of id, experiment, wave, channel, at",
        "what was exported for whom is fixed",
    ),
    Refusal(
        "export_batches_fenced",
        "export_batches",
        "update",
        "a later lease holder has written this export",
        when="new.fencing < old.fencing",
    ),
    kept("leases", "a fencing number is never used again"),
    Refusal(
        "leases_fenced",
        "leases",
        "update",
        "the fencing number rises with every new holder",
        when="new.name <> old.name or new.fencing < old.fencing"
        " or (new.holder <> old.holder and new.fencing = old.fencing)",
    ),
)
VERSION_3 = (
    *append_only("cohort_members"),
    kept("control_cohorts", "a cohort is never deleted"),
    Refusal(
        "control_cohorts_fixed",
        "control_cohorts",
        "update of programme, cohort, batch, n_units, from_at",
        "a cohort only ends",
    ),
    Refusal(
        "control_cohorts_ended",
        "control_cohorts",
        "update of until_at",
        "a cohort ends once",
        when="old.until_at is not null",
    ),
)
GONE = frozenset({"control_members"})  # tables that version 3 has no more
EVERY = (
    *VERSION_1,
    *(refusal for refusal in VERSION_2 if refusal.table not in GONE),
    *VERSION_3,
)


def protect(connection: Connection, refusals: Sequence[Refusal]) -> None:
    """Create the triggers, in the way of the database at hand."""
    for statement in statements(refusals, dialect=connection.dialect.name):
        connection.exec_driver_sql(statement)


def statements(refusals: Sequence[Refusal], *, dialect: str) -> Iterator[str]:
    """The triggers as SQL of one engine."""
    if dialect == "sqlite":
        yield from (one.sqlite() for one in refusals)
        return
    yield REFUSE
    yield from (one.postgresql() for one in refusals)
    for table in dict.fromkeys(one.table for one in refusals if one.verb == "delete"):
        yield (  # PostgreSQL can empty a table without deleting its rows one by one
            f"create trigger {table}_truncate before truncate on {table} "
            "execute function uplift_refuse('rows are never deleted')"
        )
