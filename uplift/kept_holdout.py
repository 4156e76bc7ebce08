"""The kept holdout of an experiment: read again at the planned days, each kept once.

`rereads.jsonl` in the experiment's folder has a line per day that was read. A line is never
changed, and the registry knows the file's digest.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from uplift.analysis.long_term import reread
from uplift.analysis.long_term_report import LongTermReport
from uplift.analysis.reread_record import Line, rereads_from, rereads_text, with_rereads
from uplift.checks import Check, warning
from uplift.errors import DataError
from uplift.experiment import CONTROL, Experiment
from uplift.files import write_text
from uplift.frames import UNIT, read_frame, rows_by_id
from uplift.registry.registry import Registry
from uplift.registry.rows import Entry
from uplift.registry.states import position

REREADS, NAME = "rereads.jsonl", "reread"  # the file, and its name in the registry


@dataclass(frozen=True)
class KeptHoldout:
    """An experiment's folder, seen after its decision."""

    folder: Path
    experiment: Experiment
    registry: Registry
    who: str | None = None

    @property
    def lines(self) -> tuple[Line, ...]:
        """What was recorded, in the order in which it was read.

        Lines that an interrupted run has written but not recorded are left out, to be read again.
        Errors: FILE_CHECKSUM when the recorded lines are no longer those in the file.
        """
        recorded, path = self._recorded(), self.folder / REREADS
        if recorded is None:
            return ()
        kept = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
        for n in range(len(kept), 0, -1):
            text = "".join(kept[:n])
            if hashlib.sha256(text.encode()).hexdigest() == recorded:
                return rereads_from(text)
        raise DataError(
            f"{REREADS} has changed since it was recorded (SHA-256 {recorded[:12]}…). What was "
            "read once is not rewritten: restore the file.",
            code="FILE_CHECKSUM",
        )

    def reread(
        self,
        assigned: pd.DataFrame,
        outcomes: Any,
        *,
        days: Sequence[int] | None = None,
        as_of: str | date | datetime | None = None,
    ) -> LongTermReport:
        """Read the days that are over, and record those that are not yet recorded."""
        report = reread(self.experiment, assigned, outcomes, days=days, as_of=as_of)
        lines, changed = with_rereads(self.lines, report)
        write_text(rereads_text(lines), self.folder / REREADS)
        self.registry.record(
            self.experiment.id,
            NAME,
            self.folder / REREADS,
            who=self.who,
            why=f"holdout read again up to day {report.days[-1]}",
        )
        return replace(
            report,
            checks=(*report.checks, *changed, *self._treated_since(assigned, report.as_of)),
            amendments=self.registry.amendments(self.experiment.id),
        )

    def _recorded(self) -> str | None:
        """Digest of the file as the trail knows it."""
        rows = self.registry.history(self.experiment.id).rows
        known = [row.payload["artefacts"].get(NAME) for row in rows if "artefacts" in row.payload]
        return next((digest for digest in reversed(known) if digest is not None), None)

    def _treated_since(self, assigned: pd.DataFrame, as_of: datetime) -> Iterator[Check]:
        """A warning per later experiment of the same line that treats the holdout."""
        held = assigned.loc[assigned["arm"] == CONTROL, UNIT]
        for entry in self._descendants():
            later = self.registry.definition(entry.id)
            if position(entry.state) < position("assigned") or later.schedule.launch_at >= as_of:
                continue
            table = read_frame(self.registry.artefact(entry.id, "assign"), what="assignment")
            treated = table.loc[table["arm"] != CONTROL, UNIT]
            count = int((rows_by_id(held, among=treated) >= 0).sum())
            if count:
                yield warning(
                    "HOLDOUT_TREATED",
                    value=count,
                    remedy=f"So many units of the holdout were assigned to a treatment of "
                    f"{entry.id} on {later.schedule.launch_at:%Y-%m-%d}. From then on the effect "
                    "reads smaller than it is: trust the re-reads before that day.",
                )

    def _descendants(self) -> Iterator[Entry]:
        """Experiments that go on from this one, their own children included."""
        line = {self.experiment.id}
        entries = self.registry.experiments().rows
        for _ in entries:
            line |= {entry.id for entry in entries if entry.parent in line}
        yield from (entry for entry in entries if entry.id in line - {self.experiment.id})
