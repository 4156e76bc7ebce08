"""What may be asked for twice, and what is fixed: files, decisions and designs."""

import hashlib
from typing import Any

from sqlalchemy import Connection, select

from uplift.errors import DefinitionError, StateError
from uplift.experiment import Experiment
from uplift.registry.artefacts import Artefact
from uplift.registry.tables import artefacts
from uplift.registry.trail import read_trail
from uplift.strict_json import parse_json


def same_is_known(connection: Connection, experiment_id: str, file: Artefact) -> bool:
    """Whether this very file is recorded; refuses another one in place of a fixed one."""
    key = (artefacts.c.experiment == experiment_id) & (artefacts.c.name == file.name)
    row = connection.execute(select(artefacts).where(key)).mappings().one_or_none()
    if row is None:
        return False
    if (row["path"], row["sha256"]) == (file.path, file.sha256):
        return True
    if row["fixed_by"]:
        raise frozen(experiment_id, file.name, row["fixed_by"])
    return False


def require_same_files(
    connection: Connection, experiment_id: str, to: str, files: tuple[Artefact, ...]
) -> None:
    """A state that was reached before may be asked for again, with the same files only."""
    rows = read_trail(connection, experiment_id)
    reached = [row for row in rows if row.to_state == to != row.from_state]
    known = reached[0].payload.get("artefacts", {}) if reached else {}
    for file in files:
        if known.get(file.name) != file.sha256:
            raise frozen(experiment_id, file.name, to)


def frozen(experiment_id: str, name: str, state: str) -> StateError:
    """The refusal of other bytes in place of those that a state has fixed."""
    return StateError(
        f"{experiment_id} became {state} with another {name!r}. Restore that file; what was "
        "assigned, collected or read once is not replaced.",
        code="ARTEFACT_FROZEN",
    )


def require_same_decision(connection: Connection, experiment_id: str, action: str) -> None:
    """A decision that was taken may be taken again, not changed. Errors: ALREADY_DECIDED."""
    rows = read_trail(connection, experiment_id)
    taken = next(row.payload["decision"] for row in rows if row.action == "decide")
    if taken != action:
        raise StateError(
            f"{experiment_id} is decided: {taken}. Amend it, or plan a new experiment.",
            code="ALREADY_DECIDED",
        )


def design_digest(experiment: Experiment, design: Any) -> str:
    """SHA-256 of the design, which must be one of this very definition."""
    to_json = getattr(design, "to_json", None)
    if to_json is None:
        raise DefinitionError(
            f"{experiment.id} is sealed with what it promises to answer, got "
            f"{type(design).__name__}. Give the result of design().",
            code="DESIGN_MISSING",
        )
    written = str(to_json())
    if getattr(design, "digest", _digest_in(written)) != experiment.digest:
        raise StateError(
            f"{experiment.id}: the design was made for another definition. Design it again.",
            code="DESIGN_OTHER",
        )
    return hashlib.sha256(written.encode()).hexdigest()


def _digest_in(written: str) -> str | None:
    """The definition a design names, where only its text is at hand."""
    promised = parse_json(written, name="design").content
    return promised.get("digest") if isinstance(promised, dict) else None
