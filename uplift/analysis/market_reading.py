"""Market shock against campaign effect: did everybody change, or did the campaign get weaker?

The control shows what happens without the campaign. Both sides are read per unit and day, so that
spans of different lengths compare. Changes are relative where the means allow it: a quarter less
demand makes a quarter less spend and a quarter less absolute effect, and the campaign is as good as
before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from uplift.analysis.columns import GROSS
from uplift.analysis.panel import RATE, Followed, Panel, panel_of
from uplift.checks import Check, blocked_by
from uplift.errors import DefinitionError, StateError
from uplift.event_times import DAY
from uplift.experiment import CONTROL, Experiment
from uplift.inference.market import MarketReading, Scale, market_or_campaign
from uplift.inference.periods import PeriodMeans
from uplift.inference.sample_ratio import check_sample_ratio
from uplift.table import Column, Result, Table, format_value

Span = tuple[float, float]


@dataclass(frozen=True)
class MarketRow:
    """One treatment: what moved between two spans.

    before, after  (from, to) in days after the launch
    reading        the control's change and the effect's, per unit and day
    """

    treatment: str
    before: Span
    after: Span
    reading: MarketReading

    @property
    def words(self) -> str:
        """In a sentence: what moved, by how much."""
        relative = self.reading.scale == "relative"
        market = _change(self.reading.market.change, relative)
        campaign = _change(self.reading.campaign.change, relative)
        name = self.treatment.replace("_", " ")
        said = {
            "market": f"the market moved, by {market} a day in the control. That {name} changed "
            f"beyond that is not proven ({campaign}).",
            "campaign": f"the campaign moved: {name} against control changed by {campaign} a day. "
            f"No change of the market is proven ({market}).",
            "both": f"both moved: the market by {market} a day in the control, and {name} against "
            f"it by {campaign}.",
            "neither": f"no change is proven, of the market ({market} a day) or of {name} against "
            f"it ({campaign}).",
        }
        return f"After day {self.before[1]:.0f} {said[self.reading.moved]}"


@dataclass(frozen=True, repr=False)
class MarketReport(Result):
    """What moved when the control or the treatments changed.

    metric  key of the primary metric, or "profit" where that is a ratio; `unit` is its unit
    since   the moment that parts before and after
    """

    experiment: str
    title: str
    metric: str
    unit: str
    since: datetime
    as_of: datetime
    confidence: float
    rows: tuple[MarketRow, ...]
    data_digest: str
    checks: tuple[Check, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """A sentence per treatment; the fault where the arms cannot be compared."""
        blocked = blocked_by(self.checks)
        if blocked:
            return tuple(f"No verdict: {check.remedy}" for check in blocked)
        return tuple(row.words for row in self.rows)

    def table(self) -> Table:
        """Per treatment: the control, then the effect."""
        return market_table(self.rows, title=f"Market or campaign: {self.metric} of {self.title}")


def market_shock(
    experiment: Experiment,
    assigned: Any,
    outcomes: Any,
    *,
    since: str | date | datetime,
    as_of: str | date | datetime | None = None,
) -> MarketReport:
    """Did the market move at a known moment, or did the campaign get weaker?

    The primary metric (the profit before contact cost where that is a ratio) per unit and day, from
    the launch to `since` and from there to `as_of`. The moment must be known from elsewhere (a
    competitor's entry, a new price, a changed message): the largest of many changes is not tested.

    outcomes  one row per response: `unit`, `occurred_at` and the outcome columns; units without a
              row brought nothing
    as_of     now when not given; later rows are left out

    Errors: KIND_MISMATCH (a trigger, or waves drawn anew), TIME_WINDOW (nothing before or after),
    and those of `panel_of`.
    """
    if experiment.kind == "trigger":
        raise DefinitionError(
            f"{experiment.id} takes in units every day, so days before and after a moment are of "
            "other units. Read a campaign, or the universal control.",
            code="KIND_MISMATCH",
        )
    schedule = experiment.schedule
    launch, moved_at = schedule.launch_at, schedule.moment(since)
    now = datetime.now(UTC) if as_of is None else schedule.moment(as_of)
    if not launch < moved_at < now:
        raise StateError(
            f"{experiment.id}: the moment of the change must be after the launch on "
            f"{launch:%Y-%m-%d} and before {now:%Y-%m-%d}, got {moved_at:%Y-%m-%d}.",
            code="TIME_WINDOW",
        )
    ends = [(moved_at - launch) / DAY, (now - launch) / DAY]
    panel = panel_of(Followed.of(experiment, assigned), outcomes, ends=ends, numbered=False)
    ratio = RATE not in panel.values
    return MarketReport(
        experiment=experiment.id,
        title=experiment.title,
        metric="profit" if ratio else experiment.primary.key,
        unit=experiment.money.currency if ratio else experiment.primary.unit,
        since=moved_at.astimezone(ZoneInfo(schedule.timezone)),
        as_of=now,
        confidence=experiment.analysis.confidence,
        rows=market_rows(panel, confidence=experiment.analysis.confidence, cut=ends[0]),
        data_digest=panel.data_digest,
        checks=(check_sample_ratio(panel.randomised, shares=experiment.shares), *panel.checks),
    )


def market_rows(
    panel: Panel, *, confidence: float, cut: float, until: float | None = None
) -> tuple[MarketRow, ...]:
    """Every treatment, from the start to `cut` against from there to `until`; they share the error.

    cut, until  ends of periods of the panel; the last one when not given
    """
    last = panel.ends[-1] if until is None else until
    each = confidence ** (1 / (len(panel.arms) - 1))
    reading = RATE if RATE in panel.values else GROSS
    control = _two_spans(panel.means(reading, CONTROL), panel.ends, cut, last)
    rows = []
    for arm in panel.arms[1:]:
        treatment = _two_spans(panel.means(reading, arm), panel.ends, cut, last)
        scale: Scale = "relative" if _all_positive(treatment, control) else "absolute"
        found = market_or_campaign(treatment, control, scale=scale, confidence=each)
        rows.append(MarketRow(arm, (0.0, cut), (cut, last), found))
    return tuple(rows)


def market_table(rows: Sequence[MarketRow], *, title: str) -> Table:
    """Two rows per treatment: the control, then the effect."""
    columns = (
        Column("treatment"),
        Column("days"),
        Column("what"),
        Column("a day before", kind="number"),
        Column("a day after", kind="number"),
        Column("change", kind="signed"),
        Column("ci", kind="interval"),
        Column("p adjusted", kind="p_value"),
        Column("moved"),
    )
    lines = []
    for row in rows:
        spans = f"0 to {row.before[1]:.0f} | {row.after[0]:.0f} to {row.after[1]:.0f}"
        for what, one in (
            ("control (market)", row.reading.market),
            ("effect (campaign)", row.reading.campaign),
        ):
            moved = row.reading.moved in ("both", what.split("(")[1][:-1])
            lines.append(
                (
                    row.treatment,
                    spans,
                    what,
                    one.before,
                    one.after,
                    one.change,
                    one.ci,
                    one.adjusted_p_value,
                    moved,
                )
            )
    relative = all(row.reading.scale == "relative" for row in rows)
    note = "Changes are relative; season and competition count as the market." if relative else ""
    return Table(title, columns, lines, note=note)


def _two_spans(means: PeriodMeans, ends: Sequence[float], cut: float, last: float) -> PeriodMeans:
    """Means per unit and day over the days up to `cut` and from there to `last`."""
    days = np.asarray(ends, dtype=np.float64)
    weights = np.stack([days <= cut, (days > cut) & (days <= last)]).astype(np.float64)
    weights /= np.array([[cut], [last - cut]])
    return PeriodMeans(
        periods=(f"to day {cut:g}", f"to day {last:g}"),
        mean=weights @ means.mean,
        rest=weights @ means.rest,
        covariance=weights @ means.covariance @ weights.T,
        df=means.df[:2] if len(means.df) > 1 else np.repeat(means.df, 2),
        n_units=means.n_units,
        same_units=True,
    )


def _all_positive(*arms: PeriodMeans) -> bool:
    return all(bool((arm.mean + arm.rest > 0).all()) for arm in arms)


def _change(value: float, relative: bool) -> str:
    return format_value(value, "signed_share" if relative else "signed")
