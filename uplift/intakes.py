"""Intakes of a trigger: who became eligible since the last one, night by night.

    intakes/0002-<digest>/assignment.parquet   the units that came in, with the moment they did
    intakes/0002-<digest>/customers.parquet    their rows as they were then
    intakes/0002-<digest>/assignment.json      the account of all units by then

A folder counts from the moment when the registry has it, by number. One that a killed run left is
not in the registry and is never read: the next run draws those units again.
"""

import shutil
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from uplift.assignment.report import AssignmentReport
from uplift.errors import DefinitionError, StateError
from uplift.experiment import Experiment
from uplift.files import sync, write_text
from uplift.frames import read_frame, write_parquet
from uplift.registry.artefacts import path_digest
from uplift.registry.failing import fail_point
from uplift.registry.registry import Registry
from uplift.registry.states import position

FOLDER, NAME = "intakes", "intake_"  # of the files, and of the registry's artefacts
STAGING, LEFT_SECONDS = ".staging-", 86_400.0  # no run takes a day
TABLE, CUSTOMERS, REPORT = "assignment.parquet", "customers.parquet", "assignment.json"


@dataclass(frozen=True)
class Intakes:
    """The intakes of one trigger; none for any other kind of experiment."""

    folder: Path
    experiment: Experiment
    registry: Registry
    who: str | None = None

    def folders(self) -> dict[str, Path]:
        """Every intake by its name in the registry, its bytes being those recorded, in order.

        Errors: ARTEFACT_MISSING, FILE_CHECKSUM.
        """
        if self.experiment.kind != "trigger":
            return {}
        return self.registry.artefacts(self.experiment.id, prefix=NAME)

    def assigned(self) -> list[pd.DataFrame]:
        """The units of each intake."""
        return [read_frame(one / TABLE, what="assignment") for one in self.folders().values()]

    def customers(self) -> list[pd.DataFrame]:
        """The customers of each intake, as they were when they came in."""
        return [read_frame(one / CUSTOMERS, what="customers") for one in self.folders().values()]

    def keep(
        self, assigned: pd.DataFrame, customers: pd.DataFrame, report: AssignmentReport
    ) -> None:
        """Write an intake and record it, whole or not at all.

        Errors: INTAKE_RACED when another run has recorded one meanwhile.
        """
        root, number = self.folder / FOLDER, len(self.folders()) + 1
        root.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=root, prefix=STAGING))
        write_parquet(assigned, staging / TABLE)
        write_parquet(customers, staging / CUSTOMERS)
        write_text(report.to_json(), staging / REPORT)
        fail_point("intake:staged")
        # named by its content, so that another run beside this one cannot replace it
        digest = path_digest(staging, name=TABLE)
        place = root / f"{number:04d}-{digest[:12]}"
        if place.exists():
            shutil.rmtree(staging)
        else:
            staging.chmod(0o755)
            staging.rename(place)
        sync(root)
        fail_point("intake:named")
        self._record(f"{NAME}{number:04d}", place)
        self._clear()

    def require_open(self, at: datetime) -> None:
        """Refuse an intake before the start, after the end, or once the result is read.

        Errors: TIME_WINDOW, STATE_ORDER, INTAKE_LATE.
        """
        schedule, name = self.experiment.schedule, self.experiment.id
        ends = None if schedule.ends_at is None else schedule.moment(schedule.ends_at)
        if at < schedule.launch_at or (ends is not None and at >= ends):
            until = "" if ends is None else f" until {ends:%Y-%m-%d %H:%M}"
            raise DefinitionError(
                f"{name} takes in customers from {schedule.launch_at:%Y-%m-%d %H:%M}{until} UTC, "
                f"not at {at:%Y-%m-%d %H:%M}. Take in between these times.",
                code="TIME_WINDOW",
            )
        entry = self.registry.entry(name)
        if position(entry.state) > position("maturing"):
            raise StateError(
                f"{name} is {entry.state}, so it takes in nobody any more. Plan a new experiment.",
                code="INTAKE_LATE",
            )

    def _record(self, name: str, place: Path) -> None:
        try:
            self.registry.record(self.experiment.id, name, place, who=self.who, fixed=True)
        except StateError as error:
            if error.code != "ARTEFACT_FROZEN":
                raise
            shutil.rmtree(place, ignore_errors=True)
            raise StateError(
                f"{self.experiment.id}: another run took in customers at the same time. Nothing of "
                "this one was kept; run it again.",
                code="INTAKE_RACED",
            ) from error

    def _clear(self) -> None:
        """Remove what runs that were killed long ago had begun to write."""
        for path in (self.folder / FOLDER).glob(f"{STAGING}*"):
            if time.time() - path.stat().st_mtime > LEFT_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
