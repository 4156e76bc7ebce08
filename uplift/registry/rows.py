"""Rows of the registry as results: an experiment, its files, its amendments."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from uplift.amendments import Amendment
from uplift.errors import StateError
from uplift.experiment import Experiment
from uplift.metrics import require_id
from uplift.registry.artefacts import Artefact
from uplift.registry.tables import amendments, artefacts, experiments
from uplift.registry.trail import read_trail
from uplift.table import Column, Result, Table

Row = Mapping[str, Any] | RowMapping


@dataclass(frozen=True, repr=False)
class Entry(Result):
    """An experiment as the registry knows it."""

    id: str
    title: str
    kind: str
    state: str
    digest: str
    created_at: str
    parent: str | None = None
    decision: str | None = None

    def table(self) -> Table:
        """The entry as one row."""
        return Entries((self,)).table()


@dataclass(frozen=True, repr=False)
class Entries(Result):
    """All experiments, by id."""

    rows: tuple[Entry, ...]

    def table(self) -> Table:
        """One row per experiment."""
        columns = [Column(name) for name in ("experiment", "title", "kind", "state", "digest")]
        rows = [(e.id, e.title, e.kind, e.state, e.digest[:12]) for e in self.rows]
        return Table("Experiments", columns, rows)


def find_row(connection: Connection, experiment_id: str) -> RowMapping | None:
    """The stored row of an experiment, if there is one."""
    query = select(experiments).where(experiments.c.id == experiment_id)
    return connection.execute(query).mappings().one_or_none()


def row_of(connection: Connection, experiment_id: str) -> RowMapping:
    """The stored row of an experiment. Errors: EXPERIMENT_UNKNOWN, NAME_INVALID."""
    row = find_row(connection, require_id(experiment_id))
    if row is None:
        raise StateError(
            f"There is no experiment {experiment_id[:80]!r} in this registry. Seal it first.",
            code="EXPERIMENT_UNKNOWN",
        )
    return row


def entry_of(connection: Connection, experiment_id: str) -> Entry:
    """One experiment. Errors: EXPERIMENT_UNKNOWN."""
    return as_entry(row_of(connection, experiment_id))


def as_entry(row: Row) -> Entry:
    """A stored row as a result."""
    definition = json.loads(row["definition"])
    return Entry(
        id=row["id"],
        title=definition["title"],
        kind=definition["kind"],
        state=row["state"],
        digest=row["digest"],
        created_at=row["created_at"],
        parent=row["parent"],
        decision=row["decision"],
    )


def definition_of(row: Row) -> Experiment:
    """The definition that a stored row holds."""
    return Experiment(**json.loads(row["definition"]))


def definitions_in(connection: Connection) -> list[tuple[Experiment, str]]:
    """Every experiment with its state, by id."""
    rows = connection.execute(select(experiments).order_by(experiments.c.id)).mappings()
    return [(definition_of(row), row["state"]) for row in rows]


def artefacts_in(connection: Connection, experiment_id: str) -> list[Artefact]:
    """Recorded files of an experiment, by name."""
    query = select(artefacts).where(artefacts.c.experiment == experiment_id)
    rows = connection.execute(query.order_by(artefacts.c.name)).mappings()
    return [Artefact(row["name"], row["path"], row["sha256"]) for row in rows]


def amendments_in(connection: Connection, experiment_id: str) -> tuple[Amendment, ...]:
    """Deviations from the sealed definition, oldest first."""
    query = select(amendments).where(amendments.c.experiment == experiment_id)
    changes = {row["seq"]: row["change"] for row in connection.execute(query).mappings()}
    return tuple(
        Amendment(row.seq, changes[row.seq], row.who, row.why, row.at)
        for row in read_trail(connection, experiment_id)
        if row.seq in changes
    )
