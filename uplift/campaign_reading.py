"""What came back: outcomes kept, the looks of the plan, the reading that the decision rests on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

import pandas as pd

from uplift.adoption import with_failures
from uplift.amendments import Amendment
from uplift.analysis.analyse import analyse
from uplift.analysis.long_term_report import LongTermReport
from uplift.analysis.look_record import looks_from, looks_text, with_look
from uplift.analysis.looks import Look
from uplift.analysis.market_reading import MarketReport, market_shock
from uplift.analysis.maturity import mature_units
from uplift.analysis.report import AnalysisReport
from uplift.analysis.waves import is_redrawn, outcomes_of_waves
from uplift.campaign_draws import DrawnCampaign
from uplift.contact_logs import ContactLogs, KeptLog
from uplift.files import write_text
from uplift.frames import UNIT, read_frame
from uplift.kept_holdout import KeptHoldout
from uplift.reading_rules import REFUSE_ALL, ReadingRules, as_told
from uplift.strict_json import parse_json
from uplift.table import canonical_json
from uplift.trial import Trial


@dataclass
class ReadCampaign(DrawnCampaign):
    """A campaign up to its reading, and the readings again of its kept holdout."""

    @cached_property
    def trial(self) -> Trial:
        """Assignment, outcomes and customers, joined and checked."""
        tables = (self._watched(), self.read("ingest"), self.read("customers"))
        self.require_unchanged()
        return self._joined(*tables, rules=self.reading_rules)

    @property
    def reading_rules(self) -> ReadingRules:
        """As told to this campaign, and for the rest as told when the outcomes were ingested."""
        known, path = REFUSE_ALL, self.path("rules")
        if path.is_file():
            path = self.registry.artefact(self.experiment.id, "rules")
            known = ReadingRules(**parse_json(path.read_bytes(), name=path.name).content)
        return known.told(self.rules)

    def ingest(self, outcomes: Any) -> Trial:
        """Check and keep the outcomes of the assigned units → outcomes.parquet.

        The rules by which they are read hold for the later steps too (→ reading.json).
        """
        self._require_state("ingest", "assigned")
        rules = ReadingRules(**self.rules)
        table = read_frame(
            outcomes,
            what="outcomes",
            require=self.experiment.outcome_columns,
            unit=None if rules.trim else UNIT,  # kept as they came, trimmed when they are read
        )
        trial = self._joined(self._watched(), table, self.read("customers"), rules=rules)
        self._keep("ingest", table)
        self._keep_rules(rules)
        self._advance("live", "contacts were sent")
        self._advance("maturing", "outcomes arrived", files=("ingest",))
        self.__dict__["trial"] = trial
        return trial

    @property
    def contact_logs(self) -> ContactLogs:
        """What senders say they sent and delivered."""
        return ContactLogs(self.folder, self.experiment, self.registry, who=self.who)

    def keep_contacts(self, contacts: Any) -> KeptLog:
        """Check and keep a log of contacts → contact_logs/<number>-<digest>.parquet.

        Several logs are one: a later one says what became of the contacts of an earlier one. The
        analysis then reads the effect on who was reached too, and bounds it where the holdout was.

        contacts  one row per contact (see `contact_log`): `unit`, and as far as known `sent_at`,
                  `status`, `channel`, `campaign`
        Errors: STATE_ORDER before the assignment, CONTACTS_LATE after the reading, and those of
        `contact_log`.
        """
        self._require_state("contacts", "assigned")
        logs, rules = self.contact_logs, self.reading_rules
        table, notices = logs.read(contacts, rules=rules)
        found = logs.counted(self.read("assign"), logs.with_log(table), rules=rules)
        logs.keep(table)
        return replace(found, number=len(logs.files()), checks=(*notices, *found.checks))

    def reading(
        self,
        *,
        as_of: str | date | datetime | None = None,
        contacts: Any = None,
        among: str | None = None,
    ) -> AnalysisReport:
        """The analysis by the sealed plan, without writing it.

        as_of     now when None; once the response window has closed, its end, so that a later
                  reading of the same data is the same reading. Without a zone, in the experiment's
        contacts  a log of contacts beside those that are kept
        among     see `uplift.analyse`
        """
        tables = (self.read("assign"), self.read("ingest"), self.read("customers"))
        self.require_unchanged()
        schedule = self.experiment.schedule
        read_at = datetime.now(UTC) if as_of is None else schedule.moment(as_of)
        report = analyse(
            self.experiment,
            *tables,
            as_of=min(read_at, schedule.closes_at),
            earlier=tuple(look for look in self.looks if not look.final),
            planned_units=self._planned_units,
            contacts=self._contacts(contacts),
            among=among,
            **self.reading_rules.words,
        )
        trail = self.registry.history(self.experiment.id).rows
        report = with_failures(report, trail)
        return replace(report, amendments=self.registry.amendments(self.experiment.id))

    @property
    def looks(self) -> tuple[Look, ...]:
        """The looks that were taken, oldest first."""
        path = self.path("looks")
        return looks_from(path.read_text(encoding="utf-8")) if path.is_file() else ()

    def analyse(
        self,
        *,
        as_of: str | date | datetime | None = None,
        contacts: Any = None,
        among: str | None = None,
    ) -> AnalysisReport:
        """Read the experiment by its sealed plan → analysis.json.

        Before the window has closed the reading is provisional, and the experiment stays maturing.

        contacts  a log of contacts, kept with the others when the experiment could be read by it
        among     see `uplift.analyse`
        Errors: those of `uplift.analyse` and of `keep_contacts`.
        """
        self._require_state("analyse", "maturing")
        log = None if contacts is None else self._log_to_keep(contacts)
        report = self.reading(as_of=as_of, contacts=log, among=among)
        self._keep_look(report)
        self._keep("analyse", replace(report, amendments=self._amended_before_reading(report)))
        if log is not None:
            self.contact_logs.keep(log)
        if report.provisional:
            self._record("analyse")
        else:
            self._advance("read", "read by the sealed plan", files=("analyse",))
        return report

    def reread(
        self,
        outcomes: Any,
        *,
        days: Sequence[int] | None = None,
        as_of: str | date | datetime | None = None,
    ) -> LongTermReport:
        """Read the kept holdout again at the planned days (see `reread`) → rereads.jsonl.

        A day that is recorded keeps its line; new days are appended. Errors: STATE_ORDER before the
        experiment is read, and those of `reread`.
        """
        self._require_state("reread", "read")
        holdout = KeptHoldout(self.folder, self.experiment, self.registry, who=self.who)
        return holdout.reread(self.read("assign"), outcomes, days=days, as_of=as_of)

    def market_shock(
        self,
        outcomes: Any,
        *,
        since: str | date | datetime,
        as_of: str | date | datetime | None = None,
    ) -> MarketReport:
        """Did the market move at a known moment, or the campaign? See `market_shock`."""
        self._require_state("market", "assigned")
        assigned = self.read("assign")
        return market_shock(self.experiment, assigned, outcomes, since=since, as_of=as_of)

    def _contacts(self, more: Any) -> pd.DataFrame | None:
        """The log of contacts; None when there is none."""
        logs = self.contact_logs
        if more is None:
            return logs.table()
        return logs.with_log(logs.read(more, rules=self.reading_rules)[0])

    def _log_to_keep(self, contacts: Any) -> pd.DataFrame:
        """A log that may be kept now. Errors: CONTACTS_LATE and those of ids."""
        log, _ = self.contact_logs.read(contacts, rules=self.reading_rules)
        self.contact_logs.require_keepable(log)
        return log

    def _watched(self) -> pd.DataFrame:
        """The assignment that models learn from: units whose response window has closed.

        Where waves are drawn anew, that is the first one, whose customers have one arm each.
        """
        table = self.assigned.table() if is_redrawn(self.experiment) else self.read("assign")
        mature = mature_units(self.experiment, table, datetime.now(UTC))
        return table[mature].reset_index(drop=True) if mature.any() else table

    def _joined(
        self,
        assigned: pd.DataFrame,
        outcomes: pd.DataFrame,
        customers: pd.DataFrame,
        *,
        rules: ReadingRules,
    ) -> Trial:
        if is_redrawn(self.experiment):
            outcomes, _ = as_told(outcomes, what="outcomes", rules=rules)
            outcomes = self._of_first_wave(outcomes)
        return Trial.join(self.experiment, assigned, outcomes, customers, **rules.words)

    def _of_first_wave(self, outcomes: pd.DataFrame) -> pd.DataFrame:
        """Outcomes of the first wave, where waves are drawn anew."""
        first = outcomes_of_waves(self.experiment, outcomes)
        first = first[first["wave"] == self.experiment.schedule.windows[0].wave]
        return first.assign(unit=first["customer"]).drop(columns=["customer", "wave"])

    @property
    def _planned_units(self) -> int | None:
        """Units that the design asks for, where they come in over time."""
        path = self.path("design")
        if self.experiment.kind != "trigger" or not path.is_file():
            return None
        return int(parse_json(path.read_bytes(), name=path.name).content["n_units"])

    def _keep_look(self, report: AnalysisReport) -> None:
        """A look of the plan is kept, so that the next one knows what error is left."""
        if report.look is not None:
            write_text(looks_text(with_look(self.looks, report.look)), self.path("looks"))
            self._record("looks")

    def _amended_before_reading(self, report: AnalysisReport) -> tuple[Amendment, ...]:
        """Amendments by the time of the final reading: its file stays as it was written then."""
        trail = self.registry.history(self.experiment.id).rows
        read = next((row.seq for row in trail if row.to_state == "read"), None)
        return tuple(one for one in report.amendments if read is None or one.seq < read)

    def _keep_rules(self, rules: ReadingRules) -> None:
        """How the outcomes are to be read from now on; no file says that nothing was asked for."""
        if rules != REFUSE_ALL or self.path("rules").is_file():
            write_text(canonical_json(vars(rules)), self.path("rules"))
            self._record("rules")
