"""Where a registry of the tests lives, and how somebody gets at its rows without the registry."""

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from uplift.registry.contents import insert_rows
from uplift.registry.registry import Registry
from uplift.registry.tables import (
    cohort_members,
    control_cohorts,
    export_batches,
    export_lines,
    leases,
    metrics,
    withdrawals,
)

KINDS = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Place:
    """A database for one registry; `location` is what `Registry(database=…)` gets."""

    kind: str
    location: str

    def part(self, name: str) -> "Place":
        """Another empty database beside this one."""
        if self.kind == "sqlite":
            return Place(self.kind, self.location.removesuffix(".db") + f"-{name}.db")
        with psycopg.connect(self.location, autocommit=True) as connection:
            connection.execute(f"create schema {name}")
        return Place(self.kind, f"{self.location}?options=-csearch_path%3D{name}")

    @contextlib.contextmanager
    def connect(self, *, around_triggers: bool = False) -> Iterator[Any]:
        """A connection of the driver's own, committed at the end."""
        if self.kind == "sqlite":
            with contextlib.closing(sqlite3.connect(self.location)) as raw, raw:
                raw.execute("pragma recursive_triggers = on")
                if around_triggers:
                    found = raw.execute("select name from sqlite_master where type = 'trigger'")
                    for (name,) in found.fetchall():
                        raw.execute(f"drop trigger {name}")
                yield raw
            return
        with psycopg.connect(self.location) as raw:
            if around_triggers:
                raw.execute("set session_replication_role = replica")
            yield raw

    def tamper(self, *statements: str) -> None:
        """Change rows as somebody would who goes around the registry and its triggers."""
        with self.connect(around_triggers=True) as connection:
            for statement in statements:
                connection.execute(statement)


def sqlite_place(folder: Path) -> Place:
    """A file in a folder of the test's own."""
    return Place("sqlite", str(folder / "registry.db"))


def fill(registry: Registry) -> None:
    """A row in every table that other rooms write."""
    digest, at = "0" * 64, "2026-01-01T00:00:00.000000+00:00"
    definition = '{"name":"spend_14d","version":2}'
    (experiment, *_) = registry.experiments().rows
    metric = {
        "key": "spend_14d@2",
        "digest": hashlib.sha256(definition.encode()).hexdigest(),
        "definition": definition,
        "first_experiment": experiment.id,
        "at": at,
    }
    cohort = {"programme": "control", "cohort": "1", "batch": "b", "n_units": 1, "from_at": at}
    cohort["until_at"] = at
    member = {"batch": "b", "unit": "u1"}
    batch = {
        "id": "b1",
        "experiment": experiment.id,
        "wave": "w1",
        "channel": "email",
        "suppression_sha256": digest,
        "n_units": 1,
        "manifest_sha256": digest,
        "status": "written",
        "fencing": 7,
        "at": at,
    }
    line = {
        "experiment": experiment.id,
        "wave": "w1",
        "unit": "u1",
        "channel": "email",
        "batch": "b1",
    }
    withdrawal = {"batch": "b1", "unit": "u2", "channel": "", "experiment": experiment.id}
    lease = {"name": "export", "holder": "me", "fencing": 7, "expires_at": at}
    with registry._database.write("fill") as connection:
        insert_rows(connection, metrics, [metric])
        insert_rows(connection, control_cohorts, [cohort])
        insert_rows(connection, cohort_members, [member])
        insert_rows(connection, export_batches, [batch])
        insert_rows(connection, export_lines, [line])
        insert_rows(connection, withdrawals, [withdrawal])
        insert_rows(connection, leases, [lease])
