"""The money block of a page: what each way of contacting brings, as a range, beside the truth.

Every row names the result it comes from, so that a number on the page can be found in the JSON.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from uplift.contacts.certificate import MEASURED_CONFIDENCE
from uplift.evaluation.quality import Quality
from uplift.report.road import Road
from uplift.report.words import policy_words
from uplift.table import Column, Result, Table
from uplift.text.texts import text_of

PLAN = "plan.measured"


@dataclass(frozen=True)
class MoneyRow:
    """One way of contacting the trial's customers; money in currency, in total, over nobody.

    source  the result the numbers come from, e.g. "roi.totals.email"
    truth   known value; None when it is not known
    """

    name: str
    source: str
    n_contacts: float
    cost: float
    profit: float
    low: float
    high: float
    truth: float | None = None


@dataclass(frozen=True, repr=False)
class Money(Result):
    """Total incremental profit of every arm, of the recommended policy and of the contact plan."""

    currency: str
    n_units: int
    confidence: float
    rows: tuple[MoneyRow, ...]
    recommended_source: str = ""
    language: str = "en"

    @property
    def recommended(self) -> MoneyRow | None:
        """The row of the recommended policy; None when that is to contact nobody."""
        return self.row(self.recommended_source)

    def table(self) -> Table:
        """One row per way of contacting, with the truth where it is known."""
        known = any(row.truth is not None for row in self.rows)
        columns = [
            Column("who is contacted"),
            Column("contacts", kind="count"),
            Column("cost", kind="money"),
            Column("profit", kind="money"),
            Column("at least", kind="money"),
            Column("at most", kind="money"),
            *([Column("known truth", kind="money")] if known else []),
        ]
        rows = [
            (row.name, row.n_contacts, row.cost, row.profit, row.low, row.high, row.truth)[
                : len(columns)
            ]
            for row in self.rows
        ]
        text = text_of(self.language)
        note = text.tell(
            "road.money.note",
            currency=self.currency,
            n_units=self.n_units,
            confidence=self.confidence,
        )
        return Table(text.tell("road.money.title"), columns, rows, note=note)

    def row(self, source: str) -> MoneyRow | None:
        """The row of one source, if there is one."""
        return next((row for row in self.rows if row.source == source), None)


def money_of(road: Road) -> Money | None:
    """The money block; None when no result is in money yet."""
    rows = (*_arms(road), *_policy(road), *_plan(road))
    if not rows:
        return None
    n_units = road.roi.n_units if road.roi else road.plan.n_units if road.plan else 0
    return Money(
        currency=road.experiment.money.currency,
        n_units=n_units,
        confidence=road.roi.confidence if road.roi else MEASURED_CONFIDENCE,
        rows=rows,
        recommended_source=_recommended(road),
        language=road.language,
    )


def _recommended(road: Road) -> str:
    """Source of the row that the evaluation recommends; "" when none is."""
    if road.quality is None or not in_money(road.quality):
        return ""
    kind, _, arm = road.quality.recommended.partition(":")
    return f"roi.totals.{arm}" if kind == "everyone" else f"quality.gains.{kind}"


def _arms(road: Road) -> Iterator[MoneyRow]:
    if road.roi is None:
        return
    for total in road.roi.totals:
        yield MoneyRow(
            name=text_of(road.language).tell("road.money.everyone", arm=total.arm),
            source=f"roi.totals.{total.arm}",
            n_contacts=float(total.n_units),
            cost=total.cost,
            profit=total.profit,
            low=total.ci[0],
            high=total.ci[1],
            truth=road.truth.arms.get(total.arm) if road.truth else None,
        )


def _policy(road: Road) -> Iterator[MoneyRow]:
    quality = road.quality
    if quality is None or not in_money(quality) or quality.recommended == "nobody":
        return
    gain = next(
        (g for g in quality.gains if (g.policy, g.over) == (quality.recommended, "nobody")), None
    )
    if gain is None or quality.recommended_policy.kind == "everyone":  # has its row already
        return
    row, text = quality.recommended_policy, text_of(road.language)
    yield MoneyRow(
        name=text.tell("road.money.picks", policy=policy_words(quality.recommended, text)),
        source=f"quality.gains.{quality.recommended}",
        n_contacts=row.share_contacted * quality.n_units,
        cost=row.cost * quality.n_units,
        profit=gain.value * quality.n_units,
        low=gain.ci[0] * quality.n_units,
        high=gain.ci[1] * quality.n_units,
        truth=road.truth.policy if road.truth else None,
    )


def _plan(road: Road) -> Iterator[MoneyRow]:
    plan = road.plan
    if plan is None or plan.measured is None:
        return
    yield MoneyRow(
        name=text_of(road.language).tell("road.money.plan"),
        source=PLAN,
        n_contacts=float(plan.n_contacts),
        cost=plan.cost,
        profit=plan.measured.profit,
        low=plan.measured.ci[0],
        high=plan.measured.ci[1],
        truth=road.truth.plan if road.truth else None,
    )


def in_money(quality: Quality) -> bool:
    """Whether policies are valued as profit."""
    return quality.unit.endswith("profit")
