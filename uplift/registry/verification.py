"""Verification: everything the registry holds, computed again.

An edited byte in the trail, a definition, a state, an amendment or a file fails a check.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, RowMapping, select

from uplift.checks import Check
from uplift.registry.artefacts import Artefact, path_digest
from uplift.registry.rows import artefacts_in
from uplift.registry.tables import amendments, experiments
from uplift.registry.trail import AuditRow, check_chain, read_trail


def verify(connection: Connection, root: Path) -> tuple[Check, ...]:
    """The chain, definitions and states, amendments, and every recorded file below `root`."""
    rows = read_trail(connection)
    stored = connection.execute(select(experiments).order_by(experiments.c.id)).mappings().all()
    checks = [
        check_chain(connection),
        check_definitions(stored, rows),
        check_amendments(connection, rows),
    ]
    for row in stored:
        known = artefacts_in(connection, row["id"])
        checks += [check_artefact(root, row["id"], file, rows) for file in known]
    return tuple(checks)


def check_definitions(stored: Sequence[RowMapping], rows: Sequence[AuditRow]) -> Check:
    """Whether states and definitions are those the trail ends with."""
    last = {row.experiment: row for row in rows}
    wrong = [
        row["id"]
        for row in stored
        if row["id"] not in last
        or row["state"] != last[row["id"]].to_state
        or row["digest"] != last[row["id"]].digest
        or row["digest"] != hashlib.sha256(row["definition"].encode()).hexdigest()
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


def check_artefact(
    root: Path, experiment_id: str, file: Artefact, rows: Sequence[AuditRow]
) -> Check:
    """Whether a file is the one its row and the trail name."""
    promised = [
        row.payload["artefacts"][file.name]
        for row in rows
        if row.experiment == experiment_id
        and row.action in {"advance", "record"}
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
