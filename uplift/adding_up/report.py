"""The programme's total as it is shown: measured, added up, and what is between the two."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from uplift.checks import Check, blocked_by
from uplift.inference.means import Estimate
from uplift.inference.programme_total import ProgrammeTotal
from uplift.table import Column, Result, Table, format_value


@dataclass(frozen=True, repr=False)
class ProgrammeReport(Result):
    """What the programme brought by the universal control, and what its campaigns say.

    Everything is per unit of the programme, from `since` to `until`.

    total            measured, sum of shrunken campaign effects, residual
    cost             of the campaigns' contacts and redemptions
    margin_rate      share of the metric that stays as margin; None where the metric is not the
                     money's value
    winners          campaigns whose own test reads as a gain beyond chance
    n_held, n_units  units held out and of the programme, over all spans
    n_spans          times between rotations that were added up
    """

    programme: str
    title: str
    digest: str
    since: datetime
    until: datetime
    metric: str
    unit: str
    currency: str
    confidence: float
    total: ProgrammeTotal
    cost: float
    margin_rate: float | None
    winners: tuple[str, ...]
    n_held: int
    n_units: int
    n_spans: int
    checks: tuple[Check, ...]

    @property
    def measured(self) -> Estimate:
        """The programme against the universal control."""
        return self.total.measured

    @property
    def winners_sum(self) -> float:
        """What adding up the winners' own numbers would claim; too large even without cannibals."""
        return sum(
            one.reach * one.effect for one in self.total.campaigns if one.name in self.winners
        )

    @property
    def profit(self) -> tuple[float, tuple[float, float]] | None:
        """Margin of what was measured, less the campaigns' cost; None without a margin."""
        if self.margin_rate is None:
            return None
        low, high = (self.margin_rate * bound - self.cost for bound in self.measured.ci)
        return self.margin_rate * self.measured.effect - self.cost, (low, high)

    def table(self) -> Table:
        """Campaigns, their sum, the measured total, and the interaction residual."""
        columns = (
            Column("part"),
            Column("reach", kind="share"),
            Column("effect where it reached", kind="signed"),
            Column("as read by the tests", kind="signed"),
            Column("shrunken", kind="signed"),
            Column("ci", kind="interval"),
        )
        found = self.total
        rows: list[tuple[object, ...]] = [
            (one.name, one.reach, one.effect, one.reach * one.effect, float(part), None)
            for one, part in zip(found.campaigns, found.contributions, strict=True)
        ]
        rows += [
            (
                "sum of campaigns",
                None,
                None,
                found.raw_sum,
                found.shrunken_sum,
                found.shrunken_sum_ci,
            ),
            ("programme, measured", None, None, None, self.measured.effect, self.measured.ci),
            ("interaction residual", None, None, None, found.residual, found.residual_ci),
        ]
        note = f"{self.unit}, from {self.since:%Y-%m-%d} to {self.until:%Y-%m-%d}."
        return Table(f"{self.title}: {self.metric} per customer", columns, rows, note=note)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with what every campaign contributes once shrunken."""
        names = [one.name for one in self.total.campaigns]
        parts = dict(zip(names, self.total.contributions.tolist(), strict=True))
        return super().to_dict() | {
            "contributions": parts,
            "winners_sum": self.winners_sum,
            "profit": self.profit,
        }

    @property
    def words(self) -> tuple[str, ...]:
        """In sentences: the total, the sum, the residual, the money, and the winners alone."""
        blocked = blocked_by(self.checks)
        if blocked:
            return tuple(f"No verdict: {check.remedy}" for check in blocked)
        found, n = self.total, len(self.total.campaigns)
        said = [
            f"By the universal control ({format_value(self.n_held, 'count')} customers held out) "
            f"the programme brought {_shown(self.measured.effect, self.measured.ci)} {self.unit} "
            "per customer.",
            f"Its {n} campaign{'s' if n > 1 else ''} add up to "
            f"{_shown(found.shrunken_sum, found.shrunken_sum_ci)} once shrunken, "
            f"{format_value(found.raw_sum, 'signed')} as their tests read.",
            _residual(found),
        ]
        if self.profit is not None:
            value, ci = self.profit
            cost = format_value(self.cost, "number")
            said.append(
                f"At its margin, and less {cost} for contacts and redemptions, that is a profit of "
                f"{_shown(value, ci)} {self.currency} per customer."
            )
        if self.winners:
            claim = format_value(self.winners_sum, "signed")
            said.append(
                f"Adding up only the {len(self.winners)} that read as gains beyond chance would "
                f"claim {claim}: winners are partly lucky, and the others were sent too."
            )
        return tuple(said)


def _residual(found: ProgrammeTotal) -> str:
    shown = _shown(found.residual, found.residual_ci)
    if found.residual_ci[1] < 0:
        return (
            f"They do not add up: {shown} is missing in the total. Campaigns take from each other, "
            "or what they won is given back after their windows."
        )
    if found.residual_ci[0] > 0:
        return f"They help each other, or work longer than their windows: {shown} beyond the sum."
    return f"Between the two is {shown}: that campaigns help or hurt each other is not proven."


def _shown(value: float, ci: tuple[float, float]) -> str:
    return f"{format_value(value, 'signed')} {format_value(ci, 'interval')}"
