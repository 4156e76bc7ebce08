"""The expected long-term effect of a test as it is shown: numbers, assumptions, evidence."""

from dataclasses import dataclass, replace

from uplift.checks import Check, blocked_by
from uplift.inference.means import Estimate
from uplift.inference.surrogate import SurrogateEffect, check_surrogacy
from uplift.table import Column, Result, Table, format_value

ASSUMPTIONS = (
    "It holds if the campaign works through {surrogates} only: what it does past them, such as "
    "annoying customers who leave later, is not in it.",
    "It holds if {surrogates} are worth to these customers what they were worth to those of the "
    "history: another season, audience or offer may change that.",
)


@dataclass(frozen=True)
class Evidence:
    """What one treatment of an earlier test, known to its end, did past the surrogates.

    expected  long-term effect by the index
    direct    what was measured beyond it; 0 when both assumptions hold
    """

    experiment: str
    treatment: str
    expected: Estimate
    direct: Estimate

    @property
    def measured(self) -> float:
        """The long-term effect that was measured."""
        return self.expected.effect + self.direct.effect

    @property
    def check(self) -> Check:
        """A warning when the measurement contradicts the index."""
        return replace(
            check_surrogacy(self.direct), name=f"surrogacy {self.experiment} {self.treatment}"
        )

    @property
    def words(self) -> str:
        """In a sentence: expected, measured, and whether the difference is proven."""
        expected, measured, beyond = (
            format_value(x, "signed")
            for x in (self.expected.effect, self.measured, self.direct.effect)
        )
        verdict = (
            "no difference is proven" if self.check.passed else "the surrogates miss a way it works"
        )
        return (
            f"In {self.experiment}, known to its end, {_plain(self.treatment)} was expected to "
            f"bring {expected} and brought {measured}: {beyond} "
            f"{format_value(self.direct.ci, 'interval')} beyond the index, {verdict}."
        )


@dataclass(frozen=True)
class SurrogateRow:
    """One treatment's expected long-term effect, with both sources of error."""

    treatment: str
    found: SurrogateEffect


@dataclass(frozen=True, repr=False)
class SurrogateReport(Result):
    """The expected long-term effect of a test.

    rows         one per treatment; their intervals hold together
    assumptions  without which the numbers mean nothing
    evidence     of earlier tests known to their end; empty when there is none
    """

    experiment: str
    title: str
    digest: str
    data_digest: str
    outcome: str
    surrogates: tuple[str, ...]
    confidence: float
    rows: tuple[SurrogateRow, ...]
    assumptions: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    checks: tuple[Check, ...]

    def row(self, treatment: str) -> SurrogateEffect:
        """What is expected of one treatment."""
        return next(row.found for row in self.rows if row.treatment == treatment)

    def table(self) -> Table:
        """One row per treatment."""
        columns = (
            Column("treatment"),
            Column(f"expected effect on {self.outcome}", kind="signed"),
            Column("ci", kind="interval"),
            Column("p value", kind="p_value"),
            Column("error of the test", kind="number"),
            Column("error of the index", kind="number"),
            Column("explained", kind="share"),
        )
        rows = [
            (
                row.treatment,
                row.found.estimate.effect,
                row.found.estimate.ci,
                row.found.estimate.p_value,
                row.found.sampling_error,
                row.found.index_error,
                row.found.r_squared,
            )
            for row in self.rows
        ]
        note = "Expected from the first weeks, not measured. " + " ".join(self.assumptions)
        return Table(f"{self.title}: the long term, expected", columns, rows, note=note)

    @property
    def words(self) -> tuple[str, ...]:
        """In sentences: what is expected, of what its error is made, what it rests on."""
        blocked = blocked_by(self.checks)
        if blocked:
            return tuple(f"No verdict: {check.remedy}" for check in blocked)
        return (
            *(self._sentence(row) for row in self.rows),
            *self.assumptions,
            *(one.words for one in self.evidence),
            *(() if self.evidence else ("No test known to its end has tried this.",)),
        )

    def _sentence(self, row: SurrogateRow) -> str:
        found, shown = row.found, format_value
        return (
            f"{_plain(row.treatment)} is expected to bring "
            f"{shown(found.estimate.effect, 'signed')} {shown(found.estimate.ci, 'interval')} of "
            f"{self.outcome} per customer in the end. One standard error is "
            f"{shown(found.sampling_error, 'number')} from this test and "
            f"{shown(found.index_error, 'number')} from the history of the index."
        )


def _plain(name: str) -> str:
    return name.replace("_", " ")
