"""The assignment of a campaign as it grows: the first draw, ramp-ups, later waves.

Each is a file of its own that is never replaced, so nobody who has an arm is ever drawn again.

    assignment.parquet         the first draw, of the first wave
    assignment_ramp_2.parquet  the units that the first ramp-up took in, and so on
    assignment_<wave>.parquet  a later wave, whole
    intakes/                   of a trigger: who became eligible since (see `uplift.intakes`)
"""

from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd

from uplift.assignment.assign import assign_from
from uplift.assignment.order import Lists, distinct_customers, exposure_of
from uplift.assignment.report import AssignmentReport, assignment_report
from uplift.checks import Check
from uplift.errors import StateError
from uplift.experiment import Experiment
from uplift.files import whole_file, write_text
from uplift.frames import UNIT, read_frame, write_parquet
from uplift.intakes import TABLE, Intakes
from uplift.registry.registry import Registry
from uplift.registry.states import position
from uplift.strict_json import parse_json

FIRST = "assignment.parquet"


@dataclass(frozen=True)
class Assigned:
    """What stands in an experiment's folder of its assignment, and how more comes to it."""

    folder: Path
    experiment: Experiment
    registry: Registry
    who: str | None = None

    def table(self, *, before_ramp: int | None = None) -> pd.DataFrame:
        """The first draw and what ramp-ups or intakes have added to it, sorted by unit.

        before_ramp  number of the ramp-up that is left out, with those after it
        """
        first = read_frame(self.folder / FIRST, what="assignment")
        ramps = [
            read_frame(path, what="assignment")
            for number, path in enumerate(self._ramps(".parquet"), start=2)
            if before_ramp is None or number < before_ramp
        ]
        more = [*ramps, *self.intakes.assigned()]
        if not more:
            return first
        return pd.concat([first, *more]).sort_values(UNIT, ignore_index=True)

    @property
    def intakes(self) -> Intakes:
        """What came in since the first draw, where the experiment is a trigger."""
        return Intakes(self.folder, self.experiment, self.registry, who=self.who)

    def wave(self, wave: str) -> pd.DataFrame:
        """The assignment of one wave. Errors: WAVE_UNKNOWN, WAVE_ORDER when there is none yet."""
        schedule = self.experiment.schedule
        if schedule.window(wave) == schedule.windows[0]:
            return self.table()
        path = self._of_wave(wave)
        if not path.is_file():
            name = self.experiment.id
            raise StateError(
                f"{name}: wave {wave} has not been assigned. Run "
                f"`uplift assign {name} CUSTOMERS --wave {wave}` first.",
                code="WAVE_ORDER",
            )
        return read_frame(path, what="assignment")

    def whole(self) -> pd.DataFrame:
        """All that has been assigned, with the column `wave` where there are several.

        A customer of sticky waves has one row, that of the first wave; where a wave is drawn anew,
        a row per wave.
        """
        windows = self.experiment.schedule.windows
        if len(windows) == 1:
            return self.table()
        made = [w.wave for w in windows[1:] if self._of_wave(w.wave).is_file()]
        tables = [self.table().assign(wave=windows[0].wave)]
        tables += [self.wave(wave).assign(wave=wave) for wave in made]
        both = pd.concat(tables, ignore_index=True)
        if self.experiment.schedule.is_redrawn:
            return both
        return both.drop_duplicates(UNIT).sort_values(UNIT, ignore_index=True)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every table of the assignment, in the order in which they are made."""
        intakes = (folder / TABLE for folder in self.intakes.folders().values())
        paths = (self.folder / FIRST, *self._ramps(".parquet"), *intakes, *self._later_waves())
        return tuple(path for path in paths if path.is_file())

    @property
    def exposure_share(self) -> Fraction:
        """The share of eligible units that take part by now."""
        return self._shares()[-1]

    def draw_wave(
        self, wave: str, customers: Any, lists: Lists, *, notices: tuple[Check, ...] = ()
    ) -> AssignmentReport:
        """Assign a later wave; who has an arm keeps it, unless the wave is drawn anew.

        Errors: those of `assign_from`; WAVE_ORDER when a wave before it has not been assigned;
        ARTEFACT_FROZEN when this one was, with another result.
        """
        waves = [window.wave for window in self.experiment.schedule.windows]
        before = [self.wave(one) for one in waves[: waves.index(wave)]]
        table = read_frame(customers, what="customers")
        made = assign_from(
            self.experiment,
            table,
            replace(lists, earlier=pd.concat(before, ignore_index=True)),
            wave=wave,
            exposure_share=self.exposure_share,
        )
        report = assignment_report(self.experiment, made, table).with_notices(notices)
        distinct = distinct_customers(table, cluster=self.experiment.cluster)
        self._keep(f"customers_{wave}", distinct)
        self._keep(f"assignment_{wave}", made.table)
        self._note(f"assignment_{wave}", report)
        return report

    def take_in(
        self,
        customers: pd.DataFrame,
        known: pd.DataFrame,
        lists: Lists,
        *,
        at: datetime,
        notices: tuple[Check, ...] = (),
    ) -> AssignmentReport:
        """Assign the customers of a trigger who became eligible since the last intake.

        customers  as they are now; who has an arm keeps it, whether or not still eligible
        known      the customers of the intakes so far, as they were then
        at         the moment, in UTC

        By hash a customer has the same arm on whatever night. Without anybody new nothing is
        written. The report is of all units by then. Errors: those of `assign_from`, TIME_WINDOW,
        INTAKE_LATE, INTAKE_RACED.
        """
        self.intakes.require_open(at)
        earlier = self.table()
        made = assign_from(
            self.experiment,
            customers,
            replace(lists, earlier=earlier),
            exposure_share=self.exposure_share,
            at=at,
        )
        new = made.table[~made.table[UNIT].isin(earlier[UNIT])].reset_index(drop=True)
        came = distinct_customers(customers, cluster=self.experiment.cluster)
        came = came[came[UNIT].isin(new[UNIT])].reset_index(drop=True)
        both = pd.concat([earlier, new]).sort_values(UNIT, ignore_index=True)
        everybody = pd.concat([known, came], ignore_index=True)
        report = assignment_report(self.experiment, replace(made, table=both), everybody)
        report = report.with_notices(notices)
        if len(new):
            self.intakes.keep(new, came, report)
        return report

    def ramp(
        self,
        exposure_share: Any,
        customers: pd.DataFrame,
        lists: Lists,
        *,
        why: str,
        notices: tuple[Check, ...] = (),
    ) -> AssignmentReport:
        """Take in a larger share of the customers of the first draw; an amendment says so.

        The file holds the units that come in. The report is of all units by then.
        Errors: those of `assign_from`; RAMP_DOWN; RAMP_LATE once outcomes or a later wave are
        there; ARTEFACT_FROZEN when the same ramp-up was made with another result.
        """
        share, shares = exposure_of(self.experiment, exposure_share), self._shares()
        self._require_ramp(share, shares)
        number = len(shares) + (share != shares[-1])  # the last one again is the same file again
        earlier = self.table(before_ramp=number)
        made = assign_from(
            self.experiment, customers, replace(lists, earlier=earlier), exposure_share=share
        )
        new = made.table[~made.table[UNIT].isin(earlier[UNIT])].reset_index(drop=True)
        both = pd.concat([earlier, new]).sort_values(UNIT, ignore_index=True)
        whole = assignment_report(self.experiment, replace(made, table=both), customers)
        report = whole.with_notices(notices)
        self.amend(f"exposure_share raised from {shares[number - 2]} to {share}", why=why)
        self._keep(f"assignment_ramp_{number}", new)
        self._note(f"assignment_ramp_{number}", report)
        return report

    def amend(self, change: str, *, why: str) -> None:
        """Record a deviation from the plan, once."""
        known = self.registry.amendments(self.experiment.id)
        if all(one.change != change for one in known):
            self.registry.amend(self.experiment.id, change, why=why, who=self.who)

    def _require_ramp(self, share: Fraction, shares: list[Fraction]) -> None:
        entry = self.registry.entry(self.experiment.id)
        begun = [path.stem for path in self._later_waves() if path.is_file()]
        if position(entry.state) > position("live") or begun:
            found = f"{begun[0]} is there" if begun else f"it is {entry.state}"
            raise StateError(
                f"{entry.id} cannot take in more units: {found}. Plan a new experiment.",
                code="RAMP_LATE",
            )
        again = share == shares[-1] and len(shares) > 1
        if share <= shares[-1] and not again:
            raise StateError(
                f"{entry.id} takes in {float(shares[-1]):g} of its units by now; a ramp-up takes "
                f"in more, got {float(share):g}.",
                code="RAMP_DOWN",
            )

    def _shares(self) -> list[Fraction]:
        """The share of the definition, and that of every ramp-up."""
        reports = [parse_json(path.read_bytes(), name=path.name) for path in self._ramps(".json")]
        later = [Fraction(str(report.content["exposure_share"])) for report in reports]
        return [self.experiment.assignment.exposure_share, *later]

    def _ramps(self, suffix: str) -> list[Path]:
        """Files of the ramp-ups made so far; the first draw counts as number 1."""
        files: list[Path] = []
        while (path := self.folder / f"assignment_ramp_{len(files) + 2}{suffix}").is_file():
            files.append(path)
        return files

    def _of_wave(self, wave: str) -> Path:
        return self.folder / f"assignment_{wave}.parquet"

    def _later_waves(self) -> list[Path]:
        return [self._of_wave(window.wave) for window in self.experiment.schedule.windows[1:]]

    def _keep(self, name: str, table: pd.DataFrame) -> None:
        """Write a table that is never replaced by another one."""
        path = self.folder / f"{name}.parquet"
        with whole_file(path) as temporary:
            digest = write_parquet(table, temporary)
            self.registry.require_replaceable(self.experiment.id, name, digest)
        self.registry.record(self.experiment.id, name, path, who=self.who, fixed=True)

    def _note(self, name: str, report: AssignmentReport) -> None:
        """The report beside the table."""
        path = self.folder / f"{name}.json"
        write_text(report.to_json(), path)
        self.registry.record(self.experiment.id, f"{name}_report", path, who=self.who)
