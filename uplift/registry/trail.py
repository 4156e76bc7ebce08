"""The audit trail: who changed what, when and why, each row sealed by a hash that covers the last.

    hash = SHA-256 of the row's canonical JSON, which holds the hash of the row before

So an edited, removed or inserted row breaks the chain from there on; the head, kept apart, shows
when the end was cut off. Rows are ordered by number, never by the clock.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from uplift.checks import Check
from uplift.errors import DataError
from uplift.registry.bulk import complete_row, require_storable
from uplift.registry.contents import insert_rows
from uplift.registry.tables import FIRST_HASH, audit, audit_head
from uplift.table import Column, Result, Table, canonical_json

WRITE_KEY = "write_key"  # where a connection carries the key of its transaction
NOT_HASHED = frozenset({"hash", WRITE_KEY})  # the key is drawn at random: what happened is not


@dataclass(frozen=True)
class AuditRow:
    """One entry of the trail; `from_state` equals `to_state` when the state did not change."""

    seq: int
    experiment: str
    from_state: str
    to_state: str
    action: str
    digest: str
    who: str
    why: str
    at: str
    payload: Mapping[str, Any]
    previous_hash: str
    hash: str
    write_key: str | None = None  # names the transaction, in the first row it wrote


@dataclass(frozen=True, repr=False)
class History(Result):
    """Rows of the trail, oldest first."""

    rows: tuple[AuditRow, ...]

    def table(self) -> Table:
        """One row per change."""
        columns = (
            Column("number", kind="count"),
            Column("at"),
            Column("experiment"),
            Column("action"),
            Column("state"),
            Column("who"),
            Column("why"),
            Column("hash"),
        )
        rows = [
            (r.seq, r.at, r.experiment, r.action, r.to_state, r.who, r.why, r.hash[:12])
            for r in self.rows
        ]
        return Table("Audit trail", columns, rows)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to be written into the trail; `payload` is any plain value with JSON form."""

    experiment: str
    from_state: str
    to_state: str
    action: str
    digest: str
    who: str
    why: str
    at: str
    payload: Mapping[str, Any]


def require_signable(*, who: str, why: str) -> None:
    """Refuse a name or a reason that the trail cannot hold, before work for it is written down.

    Errors: VALUE_RANGE.
    """
    require_storable(audit, audit.c.who, who)
    require_storable(audit, audit.c.why, why)


def append(connection: Connection, change: Change) -> AuditRow:
    """Add a row at the end of the chain, inside the caller's transaction. Errors: VALUE_RANGE."""
    head = connection.execute(select(audit_head)).mappings().one_or_none()
    if head is None:
        raise DataError(
            "The registry has lost the end of its trail. Restore a backup.",
            code="REGISTRY_UNREADABLE",
        )
    values: dict[str, Any] = {
        **vars(change),
        "payload": canonical_json(change.payload),
        "seq": head["seq"] + 1,
        "previous_hash": head["hash"],
        "write_key": connection.info.pop(WRITE_KEY, None),
    }
    complete_row(audit, {**values, "hash": ""})  # what cannot be stored is not hashed either
    values["hash"] = _hash_of(values)
    insert_rows(connection, audit, [values])
    connection.execute(
        audit_head.update()
        .values(seq=values["seq"], hash=values["hash"])
        .where(audit_head.c.id == 1)
    )
    return row_of(values)


def read_trail(
    connection: Connection, experiment: str | None = None, *, actions: Sequence[str] = ()
) -> tuple[AuditRow, ...]:
    """The rows of one experiment, or of all; of some actions, or of every one."""
    query = select(audit).order_by(audit.c.seq)
    if experiment is not None:
        query = query.where(audit.c.experiment == experiment)
    if actions:
        query = query.where(audit.c.action.in_(actions))
    return tuple(row_of(row) for row in connection.execute(query).mappings())


def row_of(values: Mapping[str, Any] | RowMapping) -> AuditRow:
    """A stored row, its payload parsed."""
    return AuditRow(**{**values, "payload": json.loads(values["payload"])})


def check_chain(connection: Connection) -> Check:
    """Whether every hash can be computed again, and the chain ends where the head says."""
    previous, expected_seq = FIRST_HASH, 0
    for row in connection.execute(select(audit).order_by(audit.c.seq)).mappings():
        expected_seq += 1
        whole = row["seq"] == expected_seq and row["previous_hash"] == previous
        if not whole or row["hash"] != _hash_of(row):
            return _broken(expected_seq)
        previous = row["hash"]
    head = connection.execute(select(audit_head)).all()
    if list(map(tuple, head)) != [(1, expected_seq, previous)]:
        return _broken(expected_seq + 1)
    return Check("audit_chain", True, value=expected_seq, code="CHAIN_BROKEN")


def _hash_of(values: Mapping[str, Any] | RowMapping) -> str:
    said = {name: value for name, value in values.items() if name not in NOT_HASHED}
    return hashlib.sha256(canonical_json(said).encode()).hexdigest()


def _broken(seq: int) -> Check:
    return Check(
        "audit_chain",
        False,
        value=f"row {seq}",
        bound="every hash as computed",
        remedy=f"Row {seq} was edited, removed or added outside the registry. Restore a backup.",
        code="CHAIN_BROKEN",
    )
