"""Who is contacted: the draws of a campaign, and the lists that leave the house."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd

from uplift.adoption import failures_taken_over, require_sent_as_assigned
from uplift.assigned import FIRST
from uplift.assignment.assign import assign_from
from uplift.assignment.order import Lists, distinct_customers, excluded_units, held_out
from uplift.assignment.report import AssignmentReport, assignment_report
from uplift.campaign_folder import CampaignFolder
from uplift.checks import Check
from uplift.errors import DefinitionError, StateError
from uplift.export.export import export_wave, export_withdrawals
from uplift.export.job import ExportOptions
from uplift.export.report import ExportReport
from uplift.export.suppression import is_suppression_list, listed_units
from uplift.frames import UNIT, read_frame
from uplift.reading_rules import ReadingRules, all_as_told
from uplift.registry.memberships import control_units
from uplift.registry.states import position
from uplift.trial import settled_assignment


@dataclass
class DrawnCampaign(CampaignFolder):
    """A campaign up to its send: arms drawn here or taken over, then exported."""

    def assign(
        self, customers: Any, *, as_of: str | date | datetime | None = None, **lists: Any
    ) -> AssignmentReport:
        """Draw the arms of a sealed experiment → assignment.parquet, .json, customers.parquet.

        A trigger is assigned again and again: each time, who became eligible since comes in
        → intakes/<number>-<digest>/.

        as_of  of a trigger: the moment of the intake; now when not given
        lists  `excluded`, `suppressed`, `contacts` as for `uplift.assign`. The control of the
               experiments that the definition excludes is left out without being given

        Errors: those of `assign_from` and of `Assigned.take_in`; ROTATION_DRAWS for a control that
        rotates.
        """
        self._require_state("assign", "sealed")
        if self.experiment.rotation is not None:
            raise StateError(
                f"{self.folder.name} rotates: its members are drawn in cohorts. Run `uplift "
                f"control rotate {self.folder.name} CUSTOMERS`.",
                code="ROTATION_DRAWS",
            )
        if as_of is not None and self.experiment.kind != "trigger":
            raise DefinitionError(
                f"{self.folder.name} is drawn as of its launch. Only a trigger takes in customers "
                "as of another moment: leave as_of out.",
                code="ARGUMENT_INVALID",
            )
        told, notices = self._told(customers=customers, **lists)
        table = read_frame(told.pop("customers"), what="customers")
        at = self.moment_of_contact(as_of)
        known = self._lists(table, at, **told)
        if self.experiment.kind == "trigger":
            self.assigned.intakes.require_open(at)
            if position(self.registry.state(self.experiment.id)) >= position("assigned"):
                return self.assigned.take_in(
                    table, self._customers(), known, at=at, notices=notices
                )
        made = assign_from(self.experiment, table, known, at=at)
        report = assignment_report(self.experiment, made, table).with_notices(notices)
        self._keep_assignment(made.table, table, report)
        self._advance("assigned", "arms drawn", files=("assign", "customers"))
        return report

    def assign_wave(self, wave: str, customers: Any, **lists: Any) -> AssignmentReport:
        """Assign a later wave → assignment_<wave>.parquet, .json, customers_<wave>.parquet.

        Errors: those of `Assigned.draw_wave`.
        """
        if self.experiment.schedule.window(wave) == self.experiment.schedule.windows[0]:
            return self.assign(customers, **lists)
        self._require_state("assign", "assigned")
        told, notices = self._told(customers=customers, **lists)
        table = read_frame(told.pop("customers"), what="customers")
        opens = self.experiment.schedule.window(wave).opens_at
        now = self._lists(table, opens, **told)
        return self.assigned.draw_wave(wave, table, now, notices=notices)

    def ramp(self, exposure_share: Any, *, why: str = "ramp-up", **lists: Any) -> AssignmentReport:
        """Take in a larger share of the customers first given → assignment_ramp_<n>.parquet.

        Errors: those of `Assigned.ramp`.
        """
        self._require_state("assign", "assigned")
        table = read_frame(self.path("customers"), what="customers")  # those first given
        told, notices = self._told(**lists)
        now = self._lists(table, datetime.now(UTC), **told)
        return self.assigned.ramp(exposure_share, table, now, why=why, notices=notices)

    def adopt(
        self, assigned: Any, customers: Any, *, sent: Any = None, despite: str | None = None
    ) -> AssignmentReport:
        """Take over an assignment that was drawn elsewhere, after the same checks.

        sent     contacts made already, one row each, if there are any
        despite  why it is taken over although its split or its balance fails; every later reading
                 then withholds its verdict and says so

        With the rule two_arms="drop", units in two arms are left out, and an amendment says so.
        Errors: those of `checked_assignment`; SRM, BALANCE, EXPOSED_UNASSIGNED, CONTROL_EXPOSED,
        REASON_MISSING.
        """
        self._require_state("adopt", "sealed")
        told, notices = self._told(assigned=assigned, customers=customers, sent=sent)
        table = read_frame(told["customers"], what="customers")
        drawn, left_out = settled_assignment(
            self.experiment, told["assigned"], rules=ReadingRules(**self.rules)
        )
        if sent is not None:
            require_sent_as_assigned(drawn, told["sent"], given=told["assigned"])
        report = assignment_report(self.experiment, drawn, table)
        failed = failures_taken_over(report, despite=despite)
        report = report.with_notices((*notices, *left_out))
        self._keep_assignment(drawn, table, report)
        for notice in left_out:
            self.assigned.amend(f"{notice.value} units in two arms left out", why=notice.remedy)
        files = ("assign", "customers")
        self._advance("assigned", "arms drawn elsewhere", files=files, payload=failed)
        return report

    def export(
        self,
        suppression: Any,
        *,
        wave: str | None = None,
        as_of: str | date | datetime | None = None,
        options: ExportOptions | None = None,
    ) -> ExportReport:
        """The lists of a wave, one per channel, with manifest and proof → export/<wave>/<channel>/.

        Opt-outs in the suppression list are left out, and so is whoever the experiments that this
        one excludes hold out. The first export makes the experiment live.
        """
        return export_wave(
            self.experiment,
            self._assignment(wave),
            suppression=suppression,
            registry=self.registry,
            folder=self.folder,
            as_of=as_of,
            wave=wave,
            options=self._options(options, wave, as_of),
            who=self.who,
        )

    def export_withdrawals(
        self,
        suppression: Any,
        *,
        wave: str | None = None,
        as_of: str | date | datetime | None = None,
        options: ExportOptions | None = None,
    ) -> ExportReport:
        """Who opted out since the lists were exported → export/<wave>/<channel>-delta-<n>/."""
        return export_withdrawals(
            self.experiment,
            pd.concat([table[[UNIT]] for table in self._assignments()], ignore_index=True),
            suppression=suppression,
            registry=self.registry,
            folder=self.folder,
            as_of=as_of,
            wave=wave,
            options=options,
            who=self.who,
        )

    def held_out(
        self, *, as_of: str | date | datetime | None = None, customers: Any = None
    ) -> pd.DataFrame:
        """Units that this experiment keeps from being contacted: its control.

        as_of      of a control that rotates, the moment of the contact; now when not given
        customers  of one that holds out clusters, so that who joined one later is held out too
        """
        if self.experiment.rotation is not None:
            moment = datetime.now(UTC) if as_of is None else as_of
            return control_units(self.registry, self.experiment.id, moment, customers=customers)
        return held_out(self.read("assign"))

    def moment_of_contact(
        self, as_of: str | date | datetime | None, *, wave: str | None = None
    ) -> datetime:
        """When units are contacted: at the start of the wave, or of a trigger as they come in."""
        schedule = self.experiment.schedule
        if self.experiment.kind != "trigger":
            return schedule.window(wave).opens_at
        return datetime.now(UTC) if as_of is None else schedule.moment(as_of)

    def _assignments(self) -> list[pd.DataFrame]:
        """Every table of the assignment, when their bytes are still those that were fixed."""
        self._require_state("export", "assigned")
        own = [path for path in self.assigned.files if path.parent == self.folder]
        names = ["assign" if path.name == FIRST else path.stem for path in own]
        paths = [self.registry.artefact(self.experiment.id, name) for name in names]
        tables = [read_frame(path, what="assignment") for path in paths]
        return [*tables, *self.assigned.intakes.assigned()]

    def _assignment(self, wave: str | None) -> pd.DataFrame:
        """The wave's own assignment where there is one, else the first, with what joined it."""
        if wave is not None:
            self.experiment.schedule.window(wave)  # before its name is part of a path
        self._assignments()
        own = wave is not None and (self.folder / f"assignment_{wave}.parquet").is_file()
        return self.assigned.wave(wave) if own and wave else self.assigned.table()

    def _options(
        self,
        given: ExportOptions | None,
        wave: str | None,
        as_of: str | date | datetime | None,
    ) -> ExportOptions:
        """The options of an export, with customers and held-out units from the folders."""
        options = given or ExportOptions()
        own = self.folder / f"customers_{wave}.parquet"
        path = own if own.is_file() else self.path("customers", need="assign")
        customers = read_frame(path, what="customers")
        if self.experiment.kind == "trigger":
            customers = self._customers()
        at = self.moment_of_contact(as_of, wave=wave)
        lists = self._lists(customers, at, excluded=options.held_out)
        return replace(options, held_out=lists.excluded, customers=customers)

    def _told(self, **tables: Any) -> tuple[dict[str, Any], tuple[Check, ...]]:
        """Tables by name, their ids trimmed where the rules say so, and what was trimmed."""
        own_form = {name: t for name, t in tables.items() if is_suppression_list(t)}
        others = {name: t for name, t in tables.items() if name not in own_form}
        told, notices = all_as_told(ReadingRules(**self.rules), **others)
        return told | own_form, notices

    def _distinct(self, customers: pd.DataFrame) -> pd.DataFrame:
        """Customers as later steps need them: a repeated row counted once."""
        return distinct_customers(customers, cluster=self.experiment.cluster)

    def _lists(
        self,
        customers: pd.DataFrame,
        as_of: datetime,
        *,
        excluded: Any = None,
        suppressed: Any = None,
        contacts: Any = None,
    ) -> Lists:
        """The lists, with the control of the experiments that the definition excludes."""
        others = [
            DrawnCampaign(self.folder.parent / name).held_out(as_of=as_of, customers=customers)[
                "unit"
            ]
            for name in self.experiment.assignment.excludes
        ]
        if excluded is not None:
            others.append(excluded_units(excluded))
        both = pd.concat(others, ignore_index=True).drop_duplicates() if others else None
        return Lists(
            excluded=None if both is None else both.to_frame("unit"),
            suppressed=None if suppressed is None else listed_units(suppressed, customers[UNIT]),
            contacts=contacts,
        )

    def _keep_assignment(
        self, assigned: pd.DataFrame, customers: pd.DataFrame, report: AssignmentReport
    ) -> None:
        self._keep("customers", self._distinct(customers))
        self._keep("assign", assigned)
        self._write("assignment", report)
