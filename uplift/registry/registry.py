"""The registry: definitions, their states, and everything that was done to them.

Each change is one transaction with its audit row. What is sealed cannot be changed; a deviation is
recorded as an amendment, which every later report shows.
"""

import getpass
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping

from uplift.amendments import Amendment
from uplift.errors import DefinitionError, StateError
from uplift.experiment import Experiment
from uplift.registry.artefacts import Artefact, artefact_of, artefacts_of
from uplift.registry.catalogue import keep_metrics, require_same_metrics
from uplift.registry.contents import insert_rows, put_row, update_row
from uplift.registry.failing import fail_point
from uplift.registry.guards import (
    design_digest,
    require_same_decision,
    require_same_files,
    same_is_known,
)
from uplift.registry.lineage import require_parent
from uplift.registry.overlap import LIVE_STATES, require_no_conflict
from uplift.registry.reader import RegistryReader
from uplift.registry.refusals import repeated
from uplift.registry.rows import (
    Entry,
    as_entry,
    definitions_in,
    entry_of,
    find_row,
)
from uplift.registry.sealing import require_complete, require_reachable
from uplift.registry.states import position, require_decision, require_next
from uplift.registry.tables import amendments, artefacts, experiments
from uplift.registry.trail import AuditRow, Change, append

Paths = Mapping[str, str | Path]
Payload = Mapping[str, Any]
OWN_METHOD = {"sealed": "seal()", "decided": "decide()"}  # states that need more than a name
OWN_ACTIONS = frozenset(
    {"add", "edit", "seal", "advance", "decide", "amend", "record", "rotate", "export", "withdraw"}
)


class Registry(RegistryReader):
    """The experiments below a folder, and the database `registry.db` in it.

    root      folder with one folder per experiment
    database  another SQLite file, `sqlite:///path` or `postgresql://user@host/database`
    clock     gives the time written into the trail
    """

    @repeated
    def add(self, experiment: Experiment, *, who: str | None = None, why: str = "") -> Entry:
        """Register a draft, or the newer text of one. The same text twice changes nothing.

        Errors: EXPERIMENT_FROZEN when it is sealed with another definition, METRIC_CHANGED,
        PARENT_UNKNOWN.
        """
        with self._database.write("add") as connection:
            self._put(connection, experiment, who=who, why=why)
            return entry_of(connection, experiment.id)

    def require_addable(self, experiment: Experiment) -> None:
        """Refuse what `add` would refuse, without writing. Errors: those of `add`."""
        with self._database.read() as connection:
            _require_addable(connection, experiment)

    @repeated
    def seal(
        self, experiment: Experiment, design: Any, *, who: str | None = None, why: str = ""
    ) -> Entry:
        """Freeze the definition, with the design it promises. Sealing it again changes nothing.

        design  made for this definition; anything with `to_json()`
        The audit row lists the sealed experiments that run at the same time, and the caps on
        contacts that it exceeds together with them.
        Errors: EXPERIMENT_FROZEN (sealed with another definition), SEAL_INCOMPLETE,
        CAP_EXCLUDES_ALL, METRIC_CHANGED, PARENT_UNKNOWN, LAYER_CONFLICT, EXCLUDES_CYCLE,
        DESIGN_MISSING, DESIGN_OTHER.
        """
        self.require_addable(experiment)  # before the design, which is then another one too
        payload: dict[str, Any] = {"design_sha256": design_digest(experiment, design)}
        with self._database.write("seal") as connection:
            entry = self._put(connection, experiment, who=who, why=why)
            if entry.state == "draft":
                require_complete(experiment)
                require_reachable(experiment)
                used, at = experiment.all_metrics, self._now()
                keep_metrics(connection, used, experiment_id=experiment.id, at=at)
                live = [one for one, state in definitions_in(connection) if state in LIVE_STATES]
                overlaps = require_no_conflict(experiment, live).to_dict()
                payload |= {"overlaps": overlaps["pairs"], "pressures": overlaps["pressures"]}
                self._move(connection, entry, "sealed", "seal", payload, who=who, why=why)
            return entry_of(connection, experiment.id)

    @repeated
    def advance(
        self,
        experiment_id: str,
        to: str,
        *,
        who: str | None = None,
        why: str = "",
        payload: Payload | None = None,
        artefacts: Paths | None = None,
    ) -> Entry:
        """Take the next state, together with the files that belong to it.

        artefacts  files or folders by name; their digests are fixed by this transition
        Reaching a state again with the same files changes nothing.
        Errors: STATE_ORDER (a state is skipped, or has its own method), ARTEFACT_FROZEN (reached
        before with other files), STATE_UNKNOWN, EXPERIMENT_UNKNOWN, ARTEFACT_MISSING,
        ARTEFACT_OUTSIDE.
        """
        files = artefacts_of(self.root, artefacts)
        with self._database.write("advance") as connection:
            entry = entry_of(connection, experiment_id)
            if position(to) <= position(entry.state):
                require_same_files(connection, experiment_id, to, files)
                return entry
            if to in OWN_METHOD:
                raise StateError(
                    f"{experiment_id} becomes {to} by {OWN_METHOD[to]}, which records why.",
                    code="STATE_ORDER",
                )
            found = {**(payload or {}), "artefacts": {file.name: file.sha256 for file in files}}
            self._move(connection, entry, to, "advance", found, who=who, why=why)
            for file in files:
                self._store(connection, experiment_id, file, fixed_by=to)
            return entry_of(connection, experiment_id)

    @repeated
    def decide(
        self,
        experiment_id: str,
        action: str,
        words: str,
        *,
        who: str | None = None,
        payload: Payload | None = None,
    ) -> Entry:
        """Record the decision: scale, fix, stop or retest, and why in words.

        The same decision again changes nothing.
        Errors: DECISION_UNKNOWN, STATE_ORDER (the result is not read yet), ALREADY_DECIDED.
        """
        require_decision(action)
        found = {**(payload or {}), "decision": action}
        with self._database.write("decide") as connection:
            entry = entry_of(connection, experiment_id)
            if position(entry.state) >= position("decided"):
                require_same_decision(connection, experiment_id, action)
                return entry
            self._move(connection, entry, "decided", "decide", found, who=who, why=words)
            return entry_of(connection, experiment_id)

    @repeated
    def amend(
        self, experiment_id: str, change: str, *, why: str, who: str | None = None
    ) -> Amendment:
        """Record a deviation from a sealed definition. Errors: STATE_ORDER for a draft."""
        with self._database.write("amend") as connection:
            entry = entry_of(connection, experiment_id)
            if entry.state == "draft":
                raise StateError(
                    f"{experiment_id} is a draft: change its definition instead.",
                    code="STATE_ORDER",
                )
            row = self._append(connection, entry, "amend", {"change": change}, who=who, why=why)
            values = {"seq": row.seq, "experiment": experiment_id, "change": change}
            insert_rows(connection, amendments, [values])
            return Amendment(row.seq, change, row.who, row.why, row.at)

    @repeated
    def audit(
        self,
        experiment_id: str,
        action: str,
        payload: Payload | None = None,
        *,
        who: str | None = None,
        why: str = "",
    ) -> AuditRow:
        """Write into the trail what did not change the state, e.g. a promotion.

        Errors: ACTION_RESERVED for an action that has its own method, EXPERIMENT_UNKNOWN.
        """
        if action in OWN_ACTIONS:
            raise DefinitionError(
                f"{action!r} is written by the registry itself. Choose another name.",
                code="ACTION_RESERVED",
            )
        with self._database.write("audit") as connection:
            entry = entry_of(connection, experiment_id)
            return self._append(connection, entry, action, payload or {}, who=who, why=why)

    @repeated
    def record(
        self,
        experiment_id: str,
        name: str,
        path: str | Path,
        *,
        who: str | None = None,
        why: str = "",
        fixed: bool = False,
    ) -> str:
        """Remember a file's or folder's digest; gives the SHA-256. The same bytes change nothing.

        fixed  other bytes are refused from now on, as for the files of a transition
        Errors: ARTEFACT_FROZEN (a transition fixed it with other bytes), ARTEFACT_MISSING,
        ARTEFACT_OUTSIDE, NAME_INVALID, EXPERIMENT_UNKNOWN.
        """
        file = artefact_of(self.root, name, path)
        with self._database.write("record") as connection:
            entry = entry_of(connection, experiment_id)
            if same_is_known(connection, experiment_id, file):
                return file.sha256
            payload = {"artefacts": {file.name: file.sha256}, "path": file.path}
            self._append(connection, entry, "record", payload, who=who, why=why)
            fail_point("record:half")
            self._store(connection, experiment_id, file, fixed_by=entry.state if fixed else "")
            return file.sha256

    def migrate(self) -> int:
        """Bring the schema up to date, as the first writer does; gives the version before."""
        return self._database.migrate()

    def _put(
        self, connection: Connection, experiment: Experiment, *, who: str | None, why: str
    ) -> Entry:
        """The experiment in the registry with this definition, or a refusal."""
        row = _require_addable(connection, experiment)
        values = {
            "digest": experiment.digest,
            "definition": experiment.canonical,
            "parent": experiment.parent,
            "objective": experiment.objective,
        }
        if row is not None and row["digest"] == experiment.digest:
            return as_entry(row)
        if row is None:
            new = {"id": experiment.id, "state": "draft", "created_at": self._now(), **values}
            insert_rows(connection, experiments, [new])
        else:
            update_row(connection, experiments, {"id": experiment.id}, values)
        entry = entry_of(connection, experiment.id)
        self._append(connection, entry, "edit" if row else "add", {}, who=who, why=why)
        return entry

    def _move(
        self,
        connection: Connection,
        entry: Entry,
        to: str,
        action: str,
        payload: Payload,
        *,
        who: str | None,
        why: str,
    ) -> None:
        """The next state and its audit row."""
        require_next(entry.id, current=entry.state, to=to)
        changed = {"state": to}
        if to == "decided":
            changed["decision"] = payload["decision"]
        update_row(connection, experiments, {"id": entry.id}, changed)
        fail_point(f"{action}:half")
        self._append(connection, entry, action, payload, who=who, why=why, to=to)

    def _append(
        self,
        connection: Connection,
        entry: Entry,
        action: str,
        payload: Payload,
        *,
        who: str | None,
        why: str,
        to: str | None = None,
    ) -> AuditRow:
        change = Change(
            experiment=entry.id,
            from_state=entry.state,
            to_state=to or entry.state,
            action=action,
            digest=entry.digest,
            who=who or _user(),
            why=why,
            at=self._now(),
            payload=payload,
        )
        return append(connection, change)

    def _store(
        self, connection: Connection, experiment_id: str, file: Artefact, *, fixed_by: str
    ) -> None:
        """The artefact's row, new or replaced."""
        values = {
            "experiment": experiment_id,
            "name": file.name,
            "path": file.path,
            "sha256": file.sha256,
            "fixed_by": fixed_by,
            "at": self._now(),
        }
        put_row(connection, artefacts, values)

    def _now(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="microseconds")


def _require_addable(connection: Connection, experiment: Experiment) -> RowMapping | None:
    """The experiment's row, if there is one that this definition may stand in or replace."""
    row = find_row(connection, experiment.id)
    if row is not None and row["digest"] == experiment.digest:
        return row
    if row is not None and row["state"] != "draft":
        raise StateError(
            f"{experiment.id} was sealed with definition {row['digest'][:12]}…, this one is "
            f"{experiment.digest[:12]}…. Record an amendment, or give the changed experiment a "
            "new id.",
            code="EXPERIMENT_FROZEN",
        )
    require_parent(connection, experiment)
    require_same_metrics(connection, experiment.all_metrics)
    return row


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user, as in a container
        return "unknown"
