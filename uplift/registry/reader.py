"""What the registry knows: entries, files, overlaps, the calendar, the trail."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy import select

from uplift.amendments import Amendment
from uplift.checks import Check
from uplift.errors import StateError
from uplift.experiment import Experiment
from uplift.frames import UNIT, read_frame
from uplift.metrics import Metric
from uplift.registry.artefacts import require_unchanged
from uplift.registry.backup import Backup, backup
from uplift.registry.calendar import Calendar, calendar_of
from uplift.registry.catalogue import sealed_metrics
from uplift.registry.database import FILE, Database
from uplift.registry.guards import frozen
from uplift.registry.overlap import LIVE_STATES, Overlaps, overlaps_among
from uplift.registry.rows import (
    Entries,
    Entry,
    amendments_in,
    artefacts_in,
    as_entry,
    definition_of,
    definitions_in,
    entry_of,
    row_of,
)
from uplift.registry.tables import artefacts, experiments
from uplift.registry.trail import History, read_trail
from uplift.registry.verification import verify


def utc_now() -> datetime:
    """The time, for the trail's `at`; order never depends on it."""
    return datetime.now(UTC)


class RegistryReader:
    """The experiments below a folder and the database `registry.db` in it, to be read.

    root      folder with one folder per experiment
    database  another SQLite file, `sqlite:///path` or `postgresql://user@host/database`
    clock     gives the time written into the trail
    """

    def __init__(
        self,
        root: str | Path = "experiments",
        *,
        database: str | Path | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.root = Path(root)
        self._database = Database(self.root / FILE if database is None else database)
        self._clock = clock

    def entry(self, experiment_id: str) -> Entry:
        """One experiment. Errors: EXPERIMENT_UNKNOWN."""
        with self._database.read() as connection:
            return entry_of(connection, experiment_id)

    def state(self, experiment_id: str) -> str:
        """The state of one experiment. Errors: EXPERIMENT_UNKNOWN."""
        return self.entry(experiment_id).state

    def definition(self, experiment_id: str) -> Experiment:
        """The definition as it was registered. Errors: EXPERIMENT_UNKNOWN."""
        with self._database.read() as connection:
            return definition_of(row_of(connection, experiment_id))

    def experiments(self) -> Entries:
        """Every experiment with its state."""
        with self._database.read() as connection:
            found = connection.execute(select(experiments).order_by(experiments.c.id)).mappings()
            return Entries(tuple(as_entry(row) for row in found))

    def artefact(self, experiment_id: str, name: str) -> Path:
        """Path of a recorded file, when its bytes are still those recorded.

        Errors: ARTEFACT_UNKNOWN, ARTEFACT_MISSING, FILE_CHECKSUM.
        """
        with self._database.read() as connection:
            entry_of(connection, experiment_id)
            known = {file.name: file for file in artefacts_in(connection, experiment_id)}
        if name not in known:
            raise StateError(
                f"{experiment_id} has no artefact {name!r} (recorded: "
                f"{', '.join(known) or 'none'}). Run the step that writes it.",
                code="ARTEFACT_UNKNOWN",
            )
        return require_unchanged(self.root, known[name])

    def artefacts(self, experiment_id: str, *, prefix: str) -> dict[str, Path]:
        """Paths of the recorded files and folders whose names begin so, by name, in order.

        Errors: EXPERIMENT_UNKNOWN, ARTEFACT_MISSING, FILE_CHECKSUM.
        """
        with self._database.read() as connection:
            entry_of(connection, experiment_id)
            known = artefacts_in(connection, experiment_id)
        found = (file for file in known if file.name.startswith(prefix))
        return {file.name: require_unchanged(self.root, file) for file in found}

    def require_replaceable(self, experiment_id: str, name: str, sha256: str) -> None:
        """Refuse bytes that would replace a file which a transition fixed with other ones.

        To be asked before the file is written. Errors: ARTEFACT_FROZEN.
        """
        key = (artefacts.c.experiment == experiment_id) & (artefacts.c.name == name)
        with self._database.read() as connection:
            row = connection.execute(select(artefacts).where(key)).mappings().one_or_none()
        if row is not None and row["fixed_by"] and row["sha256"] != sha256:
            raise frozen(experiment_id, name, row["fixed_by"])

    def overlaps(self, *, count_units: bool = False) -> Overlaps:
        """Which sealed and undecided experiments run at the same time, and how they relate.

        count_units  also how many units are assigned in both, from the assignments' files
        """
        with self._database.read() as connection:
            found = definitions_in(connection)
            live = [one for one, state in found if state in LIVE_STATES]
            recorded = {one.id: artefacts_in(connection, one.id) for one in live}
        overlaps = overlaps_among(live)
        if not count_units:
            return overlaps
        files = {
            name: require_unchanged(self.root, file)
            for name, artefacts in recorded.items()
            for file in artefacts
            if file.name == "assign"
        }
        units = {name: read_frame(path, what="assignment")[UNIT] for name, path in files.items()}
        return overlaps.counted(units)

    def calendar(self, *, first: date | None = None, last: date | None = None) -> Calendar:
        """Every wave of every experiment that is watched between two days."""
        with self._database.read() as connection:
            return calendar_of(definitions_in(connection), first=first, last=last)

    def history(self, experiment_id: str | None = None) -> History:
        """The trail of one experiment, or of all."""
        with self._database.read() as connection:
            return History(read_trail(connection, experiment_id))

    def metrics(self) -> tuple[Metric, ...]:
        """Every metric that a sealed experiment uses, by key."""
        with self._database.read() as connection:
            return sealed_metrics(connection)

    def amendments(self, experiment_id: str) -> tuple[Amendment, ...]:
        """Deviations from the sealed definition, oldest first."""
        with self._database.read() as connection:
            return amendments_in(connection, experiment_id)

    def verify(self) -> tuple[Check, ...]:
        """Compute everything again: the chain, states, definitions, and every file's digest."""
        with self._database.read() as connection:
            return verify(connection, self.root)

    def backup(self, path: str | Path) -> Backup:
        """Copy the database, while others use it, into one SQLite file that can be restored.

        Errors: BACKUP_EXISTS, REGISTRY_EMPTY, BACKUP_DAMAGED.
        """
        return backup(self._database, Path(path))
