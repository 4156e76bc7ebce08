"""Where a registry of the tests lives, and how somebody gets at its rows without the registry."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

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
