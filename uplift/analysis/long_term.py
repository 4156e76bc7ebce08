"""The long term: a kept holdout read again at the days of the plan, with money and warnings.

A win of four weeks may be purchases brought forward. So the arms that were drawn are kept, and read
again from the launch on, at days that were fixed before: the bands of all re-reads hold together,
those to come included, and one that was published never changes. Nothing is read between them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from uplift.analysis.columns import GROSS
from uplift.analysis.long_term_report import LongTermReport, Reread
from uplift.analysis.market_reading import MarketRow, market_rows
from uplift.analysis.money import money_checks
from uplift.analysis.panel import METRIC, Followed, Panel, panel_of, period_name
from uplift.analysis.reread_periods import EARLY_DAYS, LATE_DAYS, period_ends
from uplift.checks import Check, warning
from uplift.errors import DefinitionError, StateError
from uplift.experiment import CONTROL, Experiment
from uplift.inference.long_term import PullForward, Reading, pull_forward, rereads
from uplift.inference.means import shifted
from uplift.inference.sample_ratio import check_sample_ratio


def reread(
    experiment: Experiment,
    assigned: Any,
    outcomes: Any,
    *,
    days: Sequence[int] | None = None,
    as_of: str | date | datetime | None = None,
) -> LongTermReport:
    """Read a kept holdout again, from the launch until each planned day.

    assigned  the assignment as it was drawn: whoever left since stays in it
    outcomes  a long table: `unit`, the columns of the primary metric and of the economics, and
              `occurred_at` (one row per response) or `period` (one row per unit and period of
              `reread_periods`). A unit without a row in a period brought nothing in it
    days      of the plan's `analysis.reread_days`; all that are over when not given. Where the plan
              has none, these days are the family, and a warning says that they were not planned
    as_of     now when not given; what came later is not read

    A share (a proportion) is read as customers who ever did by then; a cap, which is of the
    metric's own window, is not applied. Clusters that were drawn give the errors.

    Errors: StateError REREAD_EARLY (a day is not over for all units), DefinitionError
    REREAD_UNPLANNED (no such day in the plan, or none at all), KIND_MISMATCH (waves drawn anew);
    DataError PERIOD_EMPTY, PERIOD_UNKNOWN, COLUMN_MISSING and those of `panel_of`.
    """
    planned = _planned(experiment, days)
    followed = Followed.of(experiment, assigned)
    now = datetime.now(UTC) if as_of is None else experiment.schedule.moment(as_of)
    asked = _over(followed, planned, days, now)
    ends = period_ends(planned)
    closed = [end for end in ends if end <= asked[-1]]
    panel = panel_of(followed, outcomes, ends=closed)
    family = _Family(experiment, panel, planned, n_periods=len(ends))
    pulled = family.pulled_forward()
    return LongTermReport(
        experiment=experiment.id,
        title=experiment.title,
        digest=experiment.digest,
        data_digest=panel.data_digest,
        as_of=now,
        metric=experiment.primary.key,
        unit=experiment.primary.unit,
        currency=experiment.money.currency,
        confidence=experiment.analysis.confidence,
        planned_days=planned,
        rows=family.read(asked, n_planned=len(planned)),
        curve=family.read(closed, n_planned=len(ends)),
        pull_forward=pulled,
        market=family.market(asked),
        counts=panel.counts,
        checks=(
            check_sample_ratio(panel.randomised, shares=experiment.shares),
            *panel.checks,
            *_notices(experiment),
            *money_checks(experiment),
            *(replace(one.check(), name=f"pull_forward {arm}") for arm, one in pulled.items()),
        ),
    )


@dataclass(frozen=True, eq=False)
class _Family:
    """The readings of a panel, which share the error over treatments and planned days."""

    experiment: Experiment
    panel: Panel
    planned: tuple[int, ...]
    n_periods: int

    def read(self, days: Sequence[int], *, n_planned: int) -> tuple[Reread, ...]:
        """Metric and profit of every treatment from the launch until each day, by day."""
        metric = {arm: self._of(METRIC, arm, days, n_planned) for arm in self._treatments}
        profit = {arm: self._of(GROSS, arm, days, n_planned) for arm in self._treatments}
        return tuple(
            Reread(
                arm, day, metric[arm][i] if metric[arm] else None, self._net(profit[arm][i], arm)
            )
            for i, day in enumerate(days)
            for arm in self._treatments
        )

    def pulled_forward(self) -> dict[str, PullForward]:
        """The first weeks against those after, per treatment, once both are over."""
        if self.panel.ends[-1] < LATE_DAYS:
            return {}
        ends = self.panel.ends
        early = [period_name(end) for end in ends if end <= EARLY_DAYS]
        late = [period_name(end) for end in ends if EARLY_DAYS < end <= LATE_DAYS]
        reading = METRIC if self._gains else GROSS
        each = self.experiment.analysis.confidence ** (1 / len(self._treatments))
        control = self.panel.means(reading, CONTROL)
        return {
            arm: pull_forward(
                self.panel.means(reading, arm), control, early=early, late=late, confidence=each
            )
            for arm in self._treatments
        }

    def market(self, days: Sequence[int]) -> tuple[MarketRow, ...]:
        """What moved between each day and the planned one before it."""
        level = self.experiment.analysis.confidence
        rows: list[MarketRow] = []
        for day in days:
            before = max((one for one in self.planned if one < day), default=None)
            if before is not None:
                rows += market_rows(self.panel, confidence=level, cut=before, until=day)
        return tuple(rows)

    @property
    def _treatments(self) -> tuple[str, ...]:
        return self.panel.arms[1:]

    @property
    def _gains(self) -> bool:
        """Whether more of the primary metric is a gain."""
        return METRIC in self.panel.values and self.experiment.primary.direction == "up"

    def _of(
        self, reading: str, arm: str, days: Sequence[int], n_planned: int
    ) -> tuple[Reading, ...]:
        if reading not in self.panel.values:
            return ()
        return rereads(
            self.panel.means(reading, arm),
            self.panel.means(reading, CONTROL),
            until=[period_name(day) for day in days],
            n_planned=n_planned * len(self._treatments),
            confidence=self.experiment.analysis.confidence,
        ).readings

    def _net(self, gross: Reading, arm: str) -> Reading:
        """The profit, less the contact cost that is paid once."""
        first, second = self.experiment.economics.contact_costs([arm, CONTROL])
        cost = float(first - second)
        low, high = gross.band
        return Reading(gross.until, shifted(gross.estimate, -cost), (low - cost, high - cost))


def _planned(experiment: Experiment, days: Sequence[int] | None) -> tuple[int, ...]:
    """The family of re-reads: the plan's, or those asked for where the plan has none."""
    plan = experiment.analysis.reread_days
    asked = tuple(sorted(set(days or ())))
    if not plan and not asked:
        raise DefinitionError(
            f"{experiment.id} plans no re-reads. Put analysis.reread_days, e.g. [30, 91, 182], "
            "into the next definition; for this one give the days, all that will ever be read.",
            code="REREAD_UNPLANNED",
        )
    strange = [day for day in asked if day not in plan] if plan else [d for d in asked if d < 1]
    if strange:
        shown = ", ".join(map(str, plan)) or "from 1 on"
        raise DefinitionError(
            f"{experiment.id} plans re-reads at days {shown}; day {strange[0]} is not one of them. "
            "Read it at a planned day.",
            code="REREAD_UNPLANNED",
        )
    return plan or asked


def _over(
    followed: Followed, planned: Sequence[int], days: Sequence[int] | None, now: datetime
) -> list[int]:
    """The days to read: those asked for, all over; else those of the plan that are over."""
    over = [day for day in planned if followed.ends_at(day) <= now]
    asked = sorted(set(days)) if days else over
    early = [day for day in asked if day not in over] or ([] if over else list(planned))
    if early:
        closes = followed.ends_at(early[0])
        readable = ", ".join(map(str, over)) or "none yet"
        raise StateError(
            f"{followed.experiment.id}: day {early[0]} is over for all units on "
            f"{closes:%Y-%m-%d %H:%M} UTC, and it is read as of {now:%Y-%m-%d %H:%M}. Wait, or "
            f"read the days that are over: {readable}.",
            code="REREAD_EARLY",
        )
    return asked


def _notices(experiment: Experiment) -> Iterator[Check]:
    """How the long term is read otherwise than the response window."""
    primary = experiment.primary
    if not experiment.analysis.reread_days:
        yield warning(
            "REREAD_UNPLANNED",
            value=None,
            remedy="The definition plans no re-reads: these days may have been chosen by a look.",
        )
    if primary.kind == "ratio":
        yield warning(
            "METRIC_NOT_ADDITIVE",
            value=primary.key,
            remedy="A ratio of several periods is not the sum of its periods; the profit is read.",
        )
    if primary.cap is not None:
        yield warning(
            "CAP_NOT_APPLIED",
            value=primary.cap,
            remedy=f"The cap of {primary.key} is of its own window, so the long term is read "
            "without it and one customer may weigh much.",
        )
