"""Exports in the registry: which list went out for whom, who was withdrawn, who may write now.

One transaction decides a list and writes its ledger rows; nobody else writes meanwhile. What comes
after it, such as giving the files their names, follows from the rows and can be repeated.
"""

import contextlib
import os
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from uplift.errors import StateError
from uplift.registry.artefacts import artefact_of
from uplift.registry.bulk import ReadyRows, Same, Values, ready_rows
from uplift.registry.contents import find_row, insert_ready, insert_rows, put_row, update_row
from uplift.registry.refusals import repeated
from uplift.registry.registry import Registry, _user
from uplift.registry.rows import Entry, entry_of
from uplift.registry.states import position
from uplift.registry.tables import export_batches, export_lines, leases, withdrawals
from uplift.registry.trail import AuditRow, read_trail

STAGED, PUBLISHED = "staged", "published"  # decided; and its files have their names
EXPORT, WITHDRAW = "export", "withdraw"  # actions in the trail
Payload = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One list, or one delta of a list, as the registry knows it.

    channel  the list's name: its channel, `<channel>-more-<n>`, or `<either>-delta-<n>`
    fencing  of the lease under which it was decided
    """

    id: str
    experiment: str
    wave: str
    channel: str
    suppression_sha256: str
    n_units: int
    manifest_sha256: str
    status: str
    fencing: int
    at: str


@dataclass(frozen=True)
class Lease:
    """The right to export a wave. A later holder gets a higher fencing number."""

    name: str
    holder: str
    fencing: int
    expires_at: str


class ExportLedger:
    """The registry's rows about exports of one experiment, inside one transaction."""

    def __init__(self, registry: Registry, connection: Connection, experiment_id: str) -> None:
        self._registry = registry
        self._connection = connection
        self.entry: Entry = entry_of(connection, experiment_id)

    def batches(self, wave: str | None = None) -> tuple[Batch, ...]:
        """Lists and deltas of a wave, or of all; in the order of their names."""
        query = select(export_batches).where(export_batches.c.experiment == self.entry.id)
        if wave is not None:
            query = query.where(export_batches.c.wave == wave)
        rows = self._connection.execute(query).mappings()
        found = [Batch(**row) for row in rows]
        return tuple(sorted(found, key=lambda batch: (batch.wave, batch.channel)))

    def units_of(self, batch: Batch) -> list[str]:
        """Units of a list."""
        query = select(export_lines.c.unit).where(export_lines.c.batch == batch.id)
        return list(self._connection.execute(query).scalars())

    def withdrawn(self, batches: Iterable[Batch] | None = None) -> list[tuple[str, str]]:
        """Unit and channel ("" is all) of who is never sent to again, or is in these batches."""
        query = select(withdrawals.c.unit, withdrawals.c.channel)
        query = query.where(withdrawals.c.experiment == self.entry.id)
        if batches is not None:
            query = query.where(withdrawals.c.batch.in_([batch.id for batch in batches]))
        return [(unit, channel) for unit, channel in self._connection.execute(query.distinct())]

    def runs(self) -> tuple[AuditRow, ...]:
        """Exports of all experiments, oldest first, as the trail tells them."""
        return read_trail(self._connection, actions=(EXPORT, WITHDRAW))

    def fence(self, wave: str, lease: Lease | None) -> int:
        """The fencing number under which this transaction writes.

        Without a lease, one is taken that ends at once: it outranks earlier holders and blocks
        nobody. Errors: LEASE_STALE, LEASE_HELD.
        """
        name = lease_name(self.entry.id, wave)
        row = find_row(self._connection, leases, {"name": name})
        if lease is not None:
            if row is None or (row["holder"], row["fencing"]) != (lease.holder, lease.fencing):
                raise _stale(name, lease, row["fencing"] if row else 0)
            return lease.fencing
        now = self._registry._now()
        return _take(self._connection, name, f"export:{uuid.uuid4().hex}", now, now).fencing

    def add_batch(self, batch: Batch, lines: ReadyRows | None = None) -> None:
        """A list and its lines (`ready_lines`); a delta has none.

        Errors: ROW_REFUSED for a unit that the wave already has.
        """
        insert_rows(self._connection, export_batches, [vars(batch)])
        if lines is not None:
            insert_ready(self._connection, lines)

    def add_withdrawals(self, batch: Batch, rows: Iterable[tuple[str, str]]) -> None:
        """Units that opted out, with the channel they opted out of ("" is all)."""
        found = list(rows)
        values: dict[str, Values] = {
            "experiment": Same(batch.experiment),
            "batch": Same(batch.id),
            "unit": [unit for unit, _ in found],
            "channel": [channel for _, channel in found],
        }
        insert_ready(self._connection, ready_rows(withdrawals, len(found), values))

    def write_trail(self, action: str, payload: Payload, *, who: str | None, why: str) -> None:
        """The audit row of what was decided; the first export makes the experiment live."""
        arguments = (self._connection, self.entry)
        if action == EXPORT and self.entry.state == "assigned":
            self._registry._move(*arguments, "live", action, payload, who=who, why=why)
        else:
            self._registry._append(*arguments, action, payload, who=who, why=why)

    def publish(
        self, batches: Iterable[Batch], files: Mapping[str, Path], *, who: str | None
    ) -> None:
        """Remember that the files have their names, and their digests."""
        for batch in batches:
            update_row(self._connection, export_batches, {"id": batch.id}, {"status": PUBLISHED})
        found = [artefact_of(self._registry.root, name, path) for name, path in files.items()]
        payload = {"artefacts": {file.name: file.sha256 for file in found}}
        arguments = (self._connection, self.entry, "record", payload)
        self._registry._append(*arguments, who=who, why="lists have their names")
        for file in found:
            fixed_by = "live" if file.name.startswith("export_") else ""
            self._registry._store(self._connection, self.entry.id, file, fixed_by=fixed_by)

    def now(self) -> str:
        """The time of the registry's clock."""
        return self._registry._now()


def ready_lines(batch: Batch, units: Sequence[str]) -> ReadyRows:
    """The lines of a list, made ready before its transaction. Errors: VALUE_RANGE."""
    values: dict[str, Values] = {
        "experiment": Same(batch.experiment),
        "wave": Same(batch.wave),
        "channel": Same(batch.channel.split("-")[0]),
        "batch": Same(batch.id),
        "unit": units,
    }
    return ready_rows(export_lines, len(units), values)


@contextlib.contextmanager
def read_ledger(registry: Registry, experiment_id: str) -> Iterator[ExportLedger]:
    """The ledger as it is now, to be read only. Errors: EXPERIMENT_UNKNOWN."""
    with registry._database.read() as connection:
        yield ExportLedger(registry, connection, experiment_id)


@contextlib.contextmanager
def export_ledger(registry: Registry, experiment_id: str, *, step: str) -> Iterator[ExportLedger]:
    """The ledger of an experiment's exports in a transaction, committed whole at the end.

    step  names the transaction's fail points
    Errors: EXPERIMENT_UNKNOWN.
    """
    with registry._database.write(step) as connection:
        yield ExportLedger(registry, connection, experiment_id)


@repeated
def take_lease(
    registry: Registry, experiment_id: str, wave: str, *, holder: str = "", seconds: float = 60
) -> Lease:
    """The sole right to export a wave for a while, for schedulers that may run twice.

    holder  who asks, unique per process; by default this process. Asking again renews it
    Errors: LEASE_HELD while somebody else's has not ended, EXPERIMENT_UNKNOWN.
    """
    name = lease_name(experiment_id, wave)
    with registry._database.write("lease") as connection:
        entry_of(connection, experiment_id)
        now = registry._now()
        ends = datetime.fromisoformat(now) + timedelta(seconds=seconds)
        until = ends.astimezone(UTC).isoformat(timespec="microseconds")
        return _take(connection, name, holder or this_process(), now, until)


def lease_name(experiment_id: str, wave: str) -> str:
    """What the lease on a wave is called."""
    return f"export:{experiment_id}:{wave}"


def this_process() -> str:
    """A name of this process that no other has."""
    return f"{_user()}@{socket.gethostname()}:{os.getpid()}"


def _take(connection: Connection, name: str, holder: str, now: str, until: str) -> Lease:
    row = find_row(connection, leases, {"name": name})
    if row is not None and row["holder"] != holder and row["expires_at"] > now:
        raise StateError(
            f"{name} is leased by {row['holder']} until {row['expires_at']}. Repeat after that, or "
            "let that process finish.",
            code="LEASE_HELD",
        )
    same = row is not None and row["holder"] == holder
    fencing = row["fencing"] + (not same) if row is not None else 1
    lease = Lease(name, holder, fencing, until)
    put_row(connection, leases, vars(lease))
    return lease


def _stale(name: str, lease: Lease, current: int) -> StateError:
    return StateError(
        f"{name}: the lease with fencing number {lease.fencing} was taken over (now {current}). "
        "Nothing was written. Take a new lease and look at what the other one exported.",
        code="LEASE_STALE",
    )


def require_exporting(entry: Entry, digest: str) -> None:
    """Refuse an export before arms are drawn, after the result is read, or of another definition.

    Errors: STATE_ORDER, EXPERIMENT_FROZEN.
    """
    if not position("assigned") <= position(entry.state) <= position("maturing"):
        raise StateError(
            f"{entry.id} is {entry.state}: lists are exported from assigned to maturing. "
            "Assign first (`uplift assign`), or plan a new experiment.",
            code="STATE_ORDER",
        )
    if entry.digest != digest:
        raise StateError(
            f"{entry.id} was sealed with another definition ({entry.digest[:12]}…) than the one at "
            f"hand ({digest[:12]}…). Restore the file.",
            code="EXPERIMENT_FROZEN",
        )
