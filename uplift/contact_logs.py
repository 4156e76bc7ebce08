"""Logs of contacts of a campaign: what senders say they sent and delivered, kept as it came in.

    contact_logs/0002-<digest>.parquet   the second log that was brought

All of them together are the log of the campaign. A sender's later log may say more of a contact
than its earlier one (sent, then delivered or bounced): of rows of the same customer, campaign,
wave, channel and time, that of the latest log counts. A file counts from the moment when the
registry has it, and is never replaced. Once the experiment is read, the log is closed.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from uplift.analysis.delivery import CAMPAIGN, SENT_AT, STATUS, contact_log
from uplift.analysis.waves import WAVE, by_wave, is_redrawn
from uplift.checks import Check
from uplift.errors import StateError
from uplift.event_times import in_utc, times_in_zone
from uplift.experiment import CONTROL, Experiment
from uplift.files import file_digest
from uplift.frames import UNIT, read_frame, write_parquet
from uplift.inference.leaks import check_contamination
from uplift.reading_rules import ReadingRules, as_told
from uplift.registry.failing import fail_point
from uplift.registry.registry import Registry
from uplift.registry.states import position
from uplift.table import Column, Result, Table
from uplift.trial import settled_assignment

FOLDER, NAME = "contact_logs", "contacts_"  # of the files, and of the registry's artefacts
KEYS = (UNIT, CAMPAIGN, WAVE, "channel", SENT_AT)  # of one contact, as far as logs name them


@dataclass(frozen=True)
class ArmContacts:
    """Customers of an arm: assigned, sent to, reached."""

    arm: str
    assigned: int
    sent: int
    delivered: int


@dataclass(frozen=True, repr=False)
class KeptLog(Result):
    """What the logs of a campaign hold by now.

    number  of logs that were brought
    checks  contacts of the control, and what was not counted
    """

    experiment: str
    number: int
    n_contacts: int
    arms: tuple[ArmContacts, ...]
    checks: tuple[Check, ...]

    def table(self) -> Table:
        """Every arm along the way, control first."""
        columns = (
            Column("arm"),
            Column("assigned", kind="count"),
            Column("sent", kind="count"),
            Column("delivered", kind="count"),
        )
        rows = [(one.arm, one.assigned, one.sent, one.delivered) for one in self.arms]
        note = f"{self.n_contacts:,} contacts in {self.number} log(s)."
        return Table(f"Contacts of {self.experiment}", columns, rows, note=note)


@dataclass(frozen=True)
class ContactLogs:
    """The logs of one campaign, as they are kept in its folder."""

    folder: Path
    experiment: Experiment
    registry: Registry
    who: str | None = None

    def files(self) -> list[Path]:
        """Every log in the order in which they came. Errors: ARTEFACT_MISSING, FILE_CHECKSUM."""
        return list(self.registry.artefacts(self.experiment.id, prefix=NAME).values())

    def table(self) -> pd.DataFrame | None:
        """The log of the campaign; None when nobody has brought one."""
        kept = self._kept()
        return self._together(kept) if kept else None

    def with_log(self, log: pd.DataFrame) -> pd.DataFrame:
        """The log of the campaign with one that is not kept yet."""
        return self._together([*self._kept(), log])

    def read(self, contacts: Any, *, rules: ReadingRules) -> tuple[pd.DataFrame, tuple[Check, ...]]:
        """A log from outside, its ids checked, and trimmed where the rules say so."""
        told, notices = as_told(contacts, what="contacts", rules=rules)
        return read_frame(told, what="contacts"), notices

    def counted(
        self, assigned: pd.DataFrame, table: pd.DataFrame, *, rules: ReadingRules
    ) -> KeptLog:
        """Who of each arm was sent to and reached. Errors: those of `contact_log`."""
        given = by_wave(self.experiment, assigned) if is_redrawn(self.experiment) else assigned
        everyone, _ = settled_assignment(self.experiment, given, rules=rules)
        log = contact_log(self.experiment, everyone, table, given=given)
        arms = []
        for arm in self.experiment.arm_names:
            mine = (everyone["arm"] == arm).to_numpy()
            reached = int(log.delivered[mine].sum())
            arms.append(ArmContacts(arm, int(mine.sum()), int(log.sent[mine].sum()), reached))
        control = next(one for one in arms if one.arm == CONTROL)
        checks = (*log.checks, check_contamination(control.sent, n_control=control.assigned))
        return KeptLog(self.experiment.id, len(self.files()), len(table), tuple(arms), checks)

    def keep(self, table: pd.DataFrame) -> None:
        """Keep a log whole or not at all; one that is kept already changes nothing.

        Errors: CONTACTS_LATE once the experiment is read; CONTACTS_RACED.
        """
        digest, kept = _digest(table), self.files()
        if self._is_kept(digest):
            return
        self.require_open()
        number = len(kept) + 1
        # named by its content, so that another run beside this one cannot replace it
        place = self.folder / FOLDER / f"{number:04d}-{digest[:12]}.parquet"
        write_parquet(table, place)
        fail_point("contacts:named")
        self._record(f"{NAME}{number:04d}", place)

    def require_keepable(self, table: pd.DataFrame) -> None:
        """Refuse what `keep` would refuse, without writing. Errors: CONTACTS_LATE."""
        if not self._is_kept(_digest(table)):
            self.require_open()

    def require_open(self) -> None:
        """Refuse a log once the result is read. Errors: CONTACTS_LATE."""
        entry = self.registry.entry(self.experiment.id)
        if position(entry.state) > position("maturing"):
            raise StateError(
                f"{entry.id} is {entry.state}, and its reading rests on the contacts known then. "
                "Keep the log elsewhere, and record what it changes: `uplift amend`.",
                code="CONTACTS_LATE",
            )

    def _record(self, name: str, place: Path) -> None:
        try:
            self.registry.record(self.experiment.id, name, place, who=self.who, fixed=True)
        except StateError as error:
            if error.code != "ARTEFACT_FROZEN":
                raise
            place.unlink(missing_ok=True)
            raise StateError(
                f"{self.experiment.id}: another run kept a log at the same time. Nothing of this "
                "one was kept; run it again.",
                code="CONTACTS_RACED",
            ) from error

    def _kept(self) -> list[pd.DataFrame]:
        return [read_frame(path, what="contacts") for path in self.files()]

    def _together(self, tables: list[pd.DataFrame]) -> pd.DataFrame:
        one = len(tables) == 1
        return tables[0] if one else _latest([self._comparable(table) for table in tables])

    def _is_kept(self, digest: str) -> bool:
        return digest in {file_digest(path) for path in self.files()}

    def _comparable(self, table: pd.DataFrame) -> pd.DataFrame:
        """A log as all logs have it: its times in UTC, and said what a missing column means."""
        meant = {STATUS: "sent", CAMPAIGN: self.experiment.id}
        full = table.assign(**{k: v for k, v in meant.items() if k not in table.columns})
        if SENT_AT not in full.columns:
            return full
        zone = self.experiment.schedule.timezone
        times = in_utc(times_in_zone(full[SENT_AT], zone, what="contacts"))
        return full.assign(**{SENT_AT: pd.Series(times, index=full.index).dt.tz_localize("UTC")})


def _latest(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """One row per contact, as the latest log has it; without times, every row of every log."""
    timed = all(SENT_AT in table.columns for table in tables)
    keys = [name for name in KEYS if all(name in table.columns for table in tables)]
    whole, *others = tables
    for table in others:
        if timed:
            again = table[keys].drop_duplicates()
            known = whole.merge(again, on=keys, how="left", indicator=True)["_merge"]
            whole = whole[(known == "left_only").to_numpy()]
        whole = pd.concat([whole, table], ignore_index=True)
    return whole


def _digest(table: pd.DataFrame) -> str:
    """SHA-256 of the file that the table would be."""
    with tempfile.TemporaryDirectory() as folder:
        return write_parquet(table, Path(folder) / "log.parquet")
