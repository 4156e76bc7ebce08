"""The analysis report: what the experiment showed, with the digests of its plan and its data."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from uplift.amendments import Amendment
from uplift.analysis.decision import BETWEEN_LOOKS, Decision, words_of
from uplift.analysis.delivery import Delivery
from uplift.analysis.effects import GUARDRAIL, JUDGED, NO_INFORMATION, WITHHELD, EffectRow
from uplift.analysis.funnel import Funnel
from uplift.analysis.looks import Look
from uplift.analysis.looks_ahead import LookAhead
from uplift.analysis.money import Money
from uplift.analysis.robustness import InfluenceRow
from uplift.analysis.segments import SegmentReading
from uplift.analysis.spend_split import SpendSplit
from uplift.analysis.wave_effects import WaveRow
from uplift.checks import Check, blocked_by
from uplift.files import write_text
from uplift.inference.means import Estimate
from uplift.table import Column, Result, Table, format_value, to_plain
from uplift.text.places import Place
from uplift.text.texts import text_of

PAGE = "uplift.report.analysis_page"  # loaded by name, so that a result knows no template


@dataclass(frozen=True, repr=False)
class AnalysisReport(Result):
    """An experiment read by its plan.

    experiment   id; `digest` is that of its definition, `data_digest` of the joined data
    confidence   of every interval
    as_of        when it was read, as given; None when not given
    provisional  whether the response window was still open
    family       tests that share one error, as "metric by treatment"
    assigned, analysed  units per arm, before and after units without outcomes were left out
    effects      one row per planned metric and treatment
    checks       sample ratio first; a failed blocking one withholds the decision
    amendments   deviations from the sealed plan, oldest first; shown with every number
    look         this reading, as the looks after it need it; None between the looks of the plan
    earlier      the looks before it
    ahead        the planned looks still to come
    segments     effects by declared segment; all their intervals hold together
    spend        the effect on spend split into buyers and baskets, where the primary metric is one
    waves        effects by wave on the primary metric; empty where there is one wave
    influence    what the ten largest customers do to an effect; empty where clusters are read
    funnel       the declared stages; None when there are none
    delivery     arms along the way, control first; empty without a log of contacts
    """

    experiment: str
    title: str
    digest: str
    data_digest: str
    confidence: float
    as_of: datetime | None
    provisional: bool
    family: tuple[str, ...]
    assigned: Mapping[str, int]
    analysed: Mapping[str, int]
    effects: tuple[EffectRow, ...]
    money: Money
    checks: tuple[Check, ...]
    decision: Decision
    amendments: tuple[Amendment, ...] = ()
    look: Look | None = None
    earlier: tuple[Look, ...] = ()
    ahead: tuple[LookAhead, ...] = ()
    segments: tuple[SegmentReading, ...] = ()
    spend: tuple[SpendSplit, ...] = ()
    waves: tuple[WaveRow, ...] = ()
    influence: tuple[InfluenceRow, ...] = ()
    funnel: Funnel | None = None
    delivery: tuple[Delivery, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether no check withholds the verdict."""
        return not blocked_by(self.checks)

    @property
    def judged(self) -> bool:
        """Whether effects have verdicts: checks hold, windows are closed, the look is planned."""
        codes = {reason.code for reason in self.decision.reasons}
        return self.valid and not self.provisional and BETWEEN_LOOKS not in codes

    def to_dict(self) -> dict[str, Any]:
        """Plain values. Without a verdict no effect has one either: it reads "withheld"."""
        found = super().to_dict()
        rows = [*found["effects"], *((found["funnel"] or {}).get("rows", ()))]
        for row in () if self.judged else rows:
            row["verdict"] = WITHHELD if row["verdict"] in JUDGED else row["verdict"]
        return found

    @property
    def barred(self) -> tuple[str, ...]:
        """Treatments with a guardrail that is not proven to hold; they are not sent."""
        broken = {row.treatment for row in self.effects if row.role == GUARDRAIL and not row.proven}
        return tuple(sorted(broken))

    def remarks(self) -> list[str]:
        """A line per amendment, per failed check and per warning."""
        return [*(one.line for one in self.amendments), *super().remarks()]

    def effect(self, metric: str, treatment: str) -> EffectRow:
        """The row of a metric (by key, e.g. "spend_28d@1") and a treatment."""
        return next(r for r in self.effects if (r.metric, r.treatment) == (metric, treatment))

    @property
    def best_arm(self) -> str:
        """The treatment that the decision scales; else the one with the best primary effect."""
        sign = {"up": 1, "down": -1}
        primary = [row for row in self.effects if row.role == "primary"]
        best = max(primary, key=lambda row: sign[row.direction] * row.effect)
        return self.decision.arm or best.treatment

    def relative_effects(self) -> dict[str, tuple[float, float]]:
        """Relative effect and its standard error by metric, of the best arm.

        The best of several arms looks better than it is, so a prior made of it is a little too
        hopeful. The error is that of the estimate itself (delta method), not taken from an interval
        that looks or few units make wider; metrics without one are left out.
        """
        return {
            row.metric: (row.relative_effect, row.relative_std_error)
            for row in self.effects
            if row.treatment == self.best_arm and np.isfinite(row.relative_std_error)
        }

    def to_html(self, path: str | Path | None = None, *, language: str = "en") -> str:
        """The page for people who decide: no network, no script; written when `path` is given.

        language  "en" or "fr". Errors: LANGUAGE_UNKNOWN
        """
        page = str(import_module(PAGE).render_analysis(self, language=language))
        if path is not None:
            write_text(page, path)
        return page

    def _repr_html_(self) -> str:
        """In a notebook: the decision first, then the effects."""
        decided = "".join(f"<li>{escape(words)}</li>" for words in self.decision.words[1:])
        first = f"<p><strong>{escape(self.decision.words[0])}</strong></p>"
        return f"{first}<ul>{decided}</ul>{super()._repr_html_()}"

    def table(self) -> Table:
        """The effects."""
        columns = (
            Column("metric"),
            Column("treatment"),
            Column("control mean", kind="number"),
            Column("effect", kind="signed"),
            Column(f"{format_value(self.confidence, 'confidence')} ci", kind="interval"),
            Column("p adjusted", kind="p_value"),
            Column("relative", kind="signed_share"),
            Column("method"),
            Column("verdict"),
        )
        rows = [line for row in self.effects for line in self._lines(row)]
        return Table(f"Effects of {self.experiment}", columns, rows, note=self.decision.words[0])

    def _lines(self, row: EffectRow) -> Iterator[tuple[Any, ...]]:
        """A row, and beneath it the same without the weight of one dominating unit."""
        verdict = row.verdict if self.judged or row.verdict not in JUDGED else WITHHELD
        yield _line(row.metric, row, row.estimate, row.p_adjusted, verdict)
        if row.winsorised is not None:
            name = f"{row.metric}, largest unit cut to {format_value(row.cap, 'number')}"
            yield _line(name, row, row.winsorised, float("nan"), "for comparison")
        if row.uncapped is not None:
            yield _line(
                f"{row.metric}, not capped", row, row.uncapped, float("nan"), "for comparison"
            )

    @property
    def words(self) -> tuple[str, ...]:
        """In sentences: the decision, amendments, then every effect (none when withheld)."""
        return (*self.decision.words, *self._after_the_decision("en"))

    def words_in(self, language: str) -> tuple[str, ...]:
        """The same in another language: "en" or "fr"."""
        decided = words_of(self.decision.reasons, language)
        return (*decided, *self._after_the_decision(language))

    def _after_the_decision(self, language: str) -> Iterator[str]:
        text = text_of(language)
        for one in self.amendments:
            yield text.plain("amendment", Place(to_plain(one)))
        for row in self.effects if self.judged else ():
            yield text.plain(effect_sentence(row), Place(to_plain(row)))

    def metrics(self) -> dict[str, float]:
        """Flat numbers for tracking; what is not estimable is left out."""
        numbers: dict[str, float] = {"analysis.valid": float(self.valid)}
        for row in self.effects:
            name = f"{row.metric.replace('@', '_v')}.{row.treatment}"
            numbers[f"effect.{name}"] = row.effect
            numbers[f"effect_low.{name}"], numbers[f"effect_high.{name}"] = row.ci
            numbers[f"p_adjusted.{name}"] = row.p_adjusted
        for line in self.money.rows:
            numbers[f"profit_per_unit.{line.arm}"] = line.profit.effect
            numbers[f"profit_per_unit_low.{line.arm}"] = line.ci[0]
            numbers[f"profit_per_unit_high.{line.arm}"] = line.ci[1]
            numbers[f"profit_total.{line.arm}"] = line.total
        return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _line(
    name: str, row: EffectRow, estimate: Estimate, p_adjusted: float, verdict: str
) -> tuple[Any, ...]:
    return (
        name,
        row.treatment,
        estimate.control_mean,
        estimate.effect,
        estimate.ci,
        p_adjusted,
        estimate.relative_effect,
        row.method,
        verdict,
    )


def effect_sentence(row: EffectRow) -> str:
    """The name of the words that tell an effect."""
    if row.role == GUARDRAIL:
        return "effect.guardrail"
    if row.verdict == NO_INFORMATION:
        return "effect.no_information"
    return "effect.difference" if row.winsorised is None else "effect.winsorised"
