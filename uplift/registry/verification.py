"""Verification: everything the registry holds, computed again.

An edited byte in the trail, a definition, a state, an amendment or a file fails a check.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, RowMapping, select

from uplift.checks import Check, checks_table
from uplift.registry.artefacts import Artefact, path_digest
from uplift.registry.contents import check_contents
from uplift.registry.memberships import ROTATE, check_memberships
from uplift.registry.rows import artefacts_in
from uplift.registry.tables import amendments, experiments, metrics
from uplift.registry.trail import AuditRow, check_chain, read_trail
from uplift.table import Result, Table


@dataclass(frozen=True, repr=False)
class Verification(Result):
    """What was computed again, and whether it is as it was written."""

    checks: tuple[Check, ...]

    def table(self) -> Table:
        """One row per check."""
        return checks_table(self.checks, title="Verification of the registry")


def verify(connection: Connection, root: Path) -> tuple[Check, ...]:
    """The database's content, and every recorded file below `root`."""
    checks = verify_content(connection)
    if not checks[0].passed:
        return checks  # what the files are compared with cannot be read
    rows = read_trail(connection)
    return (
        *checks,
        *(
            check_artefact(root, experiment_id, file, rows)
            for experiment_id in dict.fromkeys(row.experiment for row in rows)
            for file in artefacts_in(connection, experiment_id)
        ),
    )


def verify_content(connection: Connection) -> tuple[Check, ...]:
    """The chain, the rows of each table, definitions and states, amendments, metrics, members."""
    checks = (check_chain(connection), *check_contents(connection))
    if not checks[0].passed:
        return checks  # the trail that everything else is compared with cannot be read
    rows = read_trail(connection)
    stored = connection.execute(select(experiments).order_by(experiments.c.id)).mappings().all()
    return (
        *checks,
        check_definitions(stored, rows),
        check_amendments(connection, rows),
        check_metrics(connection),
        check_memberships(connection, rows),
    )


def check_definitions(stored: Sequence[RowMapping], rows: Sequence[AuditRow]) -> Check:
    """Whether states and definitions are those the trail ends with."""
    last = {row.experiment: row for row in rows}
    decisions = {row.experiment: row.payload["decision"] for row in rows if row.action == "decide"}
    wrong = [
        row["id"]
        for row in stored
        if row["id"] not in last
        or row["state"] != last[row["id"]].to_state
        or row["digest"] != last[row["id"]].digest
        or row["digest"] != hashlib.sha256(row["definition"].encode()).hexdigest()
        or row["decision"] != decisions.get(row["id"])
    ]
    missing = sorted(set(last) - {row["id"] for row in stored})
    return Check(
        "definitions",
        passed=not wrong and not missing,
        value=", ".join(wrong + missing) or len(stored),
        bound="state and definition as the trail says",
        remedy="These experiments were changed outside the registry. Restore a backup.",
        code="DEFINITION_CHANGED",
    )


def check_amendments(connection: Connection, rows: Sequence[AuditRow]) -> Check:
    """Whether the amendments shown are those the trail holds."""
    found = connection.execute(select(amendments).order_by(amendments.c.seq)).mappings()
    shown = [(row["seq"], row["experiment"], row["change"]) for row in found]
    promised = [
        (row.seq, row.experiment, row.payload["change"]) for row in rows if row.action == "amend"
    ]
    return Check(
        "amendments",
        passed=shown == promised,
        value=len(shown),
        bound=len(promised),
        remedy="Amendments were changed outside the registry. Restore a backup.",
        code="AMENDMENT_CHANGED",
    )


def check_metrics(connection: Connection) -> Check:
    """Whether each metric's definition is the one its digest names."""
    stored = connection.execute(select(metrics).order_by(metrics.c.key)).mappings().all()
    wrong = [
        row["key"]
        for row in stored
        if row["digest"] != hashlib.sha256(row["definition"].encode()).hexdigest()
    ]
    return Check(
        "metrics",
        passed=not wrong,
        value=", ".join(wrong) or len(stored),
        bound="every definition as its digest says",
        remedy="These metrics were changed outside the registry. Restore a backup.",
        code="METRIC_CHANGED",
    )


def check_artefact(
    root: Path, experiment_id: str, file: Artefact, rows: Sequence[AuditRow]
) -> Check:
    """Whether a file is the one its row and the trail name."""
    promised = [
        row.payload["artefacts"][file.name]
        for row in rows
        if row.experiment == experiment_id
        and row.action in {"advance", "record", ROTATE}
        and file.name in row.payload.get("artefacts", {})
    ]
    path = root / file.path
    found = path_digest(path, name=file.name) if path.exists() else "missing"
    return Check(
        f"artefact {experiment_id}/{file.name}",
        passed=promised[-1:] == [file.sha256] == [found],
        value=found[:12],
        bound=(promised[-1] if promised else file.sha256)[:12],
        remedy=f"{file.path} is not the file recorded. Restore it, or run its step again.",
        code="FILE_CHECKSUM",
    )
