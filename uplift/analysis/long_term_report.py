"""What a kept holdout showed when it was read again: table, market, sentences."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from uplift.amendments import Amendment
from uplift.analysis.market_reading import MarketRow, market_table
from uplift.analysis.reread_periods import EARLY_DAYS, LATE_DAYS
from uplift.checks import Check, blocked_by
from uplift.inference.long_term import PullForward, Reading
from uplift.inference.means import Estimate
from uplift.table import Column, Result, Table, format_value


@dataclass(frozen=True)
class Reread:
    """What one treatment brought from the launch until a day, per unit.

    metric  the primary metric; None where it is a ratio, whose periods do not add up
    profit  margin less redemptions so far, less the contact cost, which is paid once at the start

    Each has an interval of its own (`estimate.ci`) and a band that holds with all others of its
    kind: of every treatment and every planned re-read.
    """

    treatment: str
    day: int
    metric: Reading | None
    profit: Reading


@dataclass(frozen=True, repr=False)
class LongTermReport(Result):
    """A kept holdout read again.

    metric        key of the primary metric
    planned_days  re-reads of the plan, in days after the launch; their bands share the error
    rows          by day, one per treatment
    curve         the effect so far after every period, in a band that holds over all periods of
                  the plan: its points are more, so it is wider than that of the re-reads
    pull_forward  by treatment: the first four weeks against the eight that follow; empty until
                  those are over
    market        by re-read but the first: what moved since the one before
    counts        units per arm as assigned, control first; those who left count 0
    """

    experiment: str
    title: str
    digest: str
    data_digest: str
    as_of: datetime
    metric: str
    unit: str
    currency: str
    confidence: float
    planned_days: tuple[int, ...]
    rows: tuple[Reread, ...]
    curve: tuple[Reread, ...]
    pull_forward: Mapping[str, PullForward]
    market: tuple[MarketRow, ...]
    counts: Mapping[str, int]
    checks: tuple[Check, ...]
    amendments: tuple[Amendment, ...] = ()

    @property
    def days(self) -> tuple[int, ...]:
        """Days that were read, oldest first."""
        return tuple(dict.fromkeys(row.day for row in self.rows))

    @property
    def flagged(self) -> tuple[str, ...]:
        """Treatments whose early gain was paid for later."""
        return tuple(name for name, found in self.pull_forward.items() if found.flagged)

    def row(self, treatment: str, day: int) -> Reread:
        """The re-read of one treatment at one day."""
        return next(r for r in self.rows if (r.treatment, r.day) == (treatment, day))

    def remarks(self) -> list[str]:
        """A line per amendment and per failed check."""
        return [*(one.line for one in self.amendments), *super().remarks()]

    def table(self) -> Table:
        """One row per day and treatment."""
        columns = (
            Column("day", kind="count"),
            Column("treatment"),
            Column(f"{self.metric} so far", kind="signed"),
            Column("band of all", kind="interval"),
            Column("proven"),
            Column("profit so far", kind="signed"),
            Column("band of all profits", kind="interval"),
            Column("profit proven"),
        )
        rows = [
            (row.day, row.treatment, *_cells(row.metric), *_cells(row.profit)) for row in self.rows
        ]
        level = format_value(self.confidence, "confidence")
        note = (
            f"Per customer assigned, from the launch on. The bands hold together with {level} over "
            f"{len(self.planned_days)} planned re-reads of {len(self.counts) - 1} treatment(s)."
        )
        return Table(f"{self.title}: read again", columns, rows, note=note)

    def market_table(self) -> Table:
        """What moved between two re-reads: the market or the campaign."""
        return market_table(self.market, title="Market or campaign, since the re-read before")

    @property
    def words(self) -> tuple[str, ...]:
        """In sentences: the last re-read, purchases brought forward, the market, what is next."""
        blocked = blocked_by(self.checks)
        if blocked:
            return tuple(f"No verdict: {check.remedy}" for check in blocked)
        last = [row for row in self.rows if row.day == self.days[-1]]
        market = [row for row in self.market if row.after[1] == self.days[-1]]
        return (
            *(_sentence(row, self) for row in last),
            *(_on_pull_forward(name, found) for name, found in self.pull_forward.items()),
            *(row.words for row in market),
            _next(self),
        )


def _cells(reading: Reading | None) -> tuple[object, ...]:
    if reading is None:
        return (None, (float("nan"), float("nan")), None)
    return (reading.estimate.effect, reading.band, reading.proven)


def _sentence(row: Reread, report: LongTermReport) -> str:
    name, profit = row.treatment.replace("_", " "), row.profit
    parts = []
    if row.metric is not None:
        parts.append(f"{_shown(row.metric)} {report.unit} ({_verdict(row.metric)})")
    parts.append(f"a profit of {_shown(profit)} {report.currency} ({_verdict(profit)})")
    return f"{row.day} days after the launch {name} has brought {' and '.join(parts)} per customer."


def _shown(reading: Reading) -> str:
    effect = format_value(reading.estimate.effect, "signed")
    return f"{effect} {format_value(reading.band, 'interval')}"


def _verdict(reading: Reading) -> str:
    if not reading.proven:
        return "not proven"
    return "proven" if reading.band[0] > 0 else "proven to be less than without it"


def _on_pull_forward(treatment: str, found: PullForward) -> str:
    name = treatment.replace("_", " ")
    early, late = format_value(found.early.effect, "signed"), _effect(found.late)
    if found.flagged:
        return (
            f"Purchases were brought forward by {name}: {early} in the first {EARLY_DAYS} days was "
            f"followed by {late} until day {LATE_DAYS}. Decide on both together: "
            f"{_effect(found.total)}."
        )
    return (
        f"That {name} only brought purchases forward is not proven: {early} in the first "
        f"{EARLY_DAYS} days, {late} until day {LATE_DAYS}."
    )


def _effect(estimate: Estimate) -> str:
    return f"{format_value(estimate.effect, 'signed')} {format_value(estimate.ci, 'interval')}"


def _next(report: LongTermReport) -> str:
    to_come = [day for day in report.planned_days if day > report.days[-1]]
    if to_come:
        return (
            f"The next re-read is at day {to_come[0]}; keep the holdout out of contacts till then."
        )
    return "This was the last planned re-read: the holdout may be let go."
