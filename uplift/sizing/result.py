"""A design as a result: what the experiment can answer, and its tables."""

from dataclasses import dataclass
from typing import Any

from uplift.checks import Check
from uplift.sizing.answers import Answer, HoldoutOption
from uplift.sizing.factors import FactorAnswer
from uplift.sizing.money import ArmPlan
from uplift.sizing.revenue import Revenue
from uplift.sizing.timing import Timing
from uplift.sizing.way import NoWay, Way
from uplift.sizing.words import design_lines
from uplift.table import Column, Result, Table, format_value


@dataclass(frozen=True, repr=False)
class Design(Result):
    """What the experiment can and cannot answer, and what it costs.

    n_units         eligible units that are assigned
    power           wanted probability that a treatment with the sought effect is proven and all its
                    guardrails hold
    n_tests         size of the family that shares one error
    confidence      of one test of that family
    holdout_cost    profit given up by not contacting the control, if the best arm has the smallest
                    effect worth acting on; None when the plan does not say
    timing          days until the last reading
    revenue         of every metric that is 0 for most customers
    factors         main effects and interactions of a factorial design, on the primary metric
    interaction_cost  units of its hardest interaction over those of its hardest main effect
    ways            to answer more of the hardest comparison of the primary metric, cheapest first
    no_ways         what one would think of first, and why it brings nothing here
    power_curve     units of the experiment and power of that comparison; empty if none is sought
    """

    experiment: str
    digest: str
    currency: str
    n_units: int
    power: float
    n_tests: int
    confidence: float
    arms: tuple[ArmPlan, ...]
    answers: tuple[Answer, ...]
    holdout_options: tuple[HoldoutOption, ...]
    holdout_cost: float | None
    checks: tuple[Check, ...]
    timing: Timing
    revenue: tuple[Revenue, ...] = ()
    factors: tuple[FactorAnswer, ...] = ()
    interaction_cost: float | None = None
    ways: tuple[Way, ...] = ()
    no_ways: tuple[NoWay, ...] = ()
    power_curve: tuple[tuple[int, float], ...] = ()

    @property
    def hardest(self) -> Answer:
        """The primary metric of the treatment that is hardest to prove."""
        primary = [answer for answer in self.answers if answer.role == "primary"]
        return max(primary, key=lambda answer: answer.mde)

    @property
    def contact_cost(self) -> float:
        """Of all arms, in the experiment's currency."""
        return sum(arm.contact_cost for arm in self.arms)

    def table(self) -> Table:
        """One row per metric and treatment."""
        columns = (
            Column("metric"),
            Column("role"),
            Column("treatment"),
            Column("control units", kind="count"),
            Column("treatment units", kind="count"),
            Column("baseline", kind="number"),
            Column("smallest effect", kind="number"),
            Column("relative", kind="share"),
            Column("sought effect", kind="number"),
            Column("power", kind="share"),
            Column("units needed", kind="count"),
            Column("verdict"),
        )
        return Table(f"Design {self.experiment}", columns, [_row(a) for a in self.answers])

    def arms_table(self) -> Table:
        """Units and money per arm."""
        columns = (
            Column("arm"),
            Column("share", kind="share"),
            Column("units", kind="count"),
            Column("contact cost", kind="money"),
            Column("profit per unit at the sought effect", kind="cents"),
            Column("break-even effect", kind="number"),
        )
        rows = [
            (a.arm, a.share, a.n_units, a.contact_cost, a.profit_sought, a.break_even)
            for a in self.arms
        ]
        return Table("Arms", columns, rows, note=f"Money in {self.currency}.")

    def holdout_table(self) -> Table:
        """What other holdouts would show of the primary metric."""
        columns = (
            Column("control share", kind="share"),
            Column("control units", kind="count"),
            Column("smallest effect", kind="number"),
            Column("relative", kind="share"),
        )
        rows = [(o.control_share, o.n_control, o.mde, o.mde_relative) for o in self.holdout_options]
        return Table(f"Holdout and {self.answers[0].metric}", columns, rows)

    def looks_table(self) -> Table:
        """Every reading of the primary metric's hardest comparison."""
        columns = (
            Column("day", kind="count"),
            Column("information", kind="share"),
            Column("bound on z", kind="number"),
            Column("effect shown from", kind="number"),
            Column("true effect needed", kind="number"),
            Column("proven by then", kind="share"),
        )
        answer = self.hardest
        rows = [
            (k.day, k.fraction, k.z, k.effect_shown, k.effect_needed, k.stops_by)
            for k in answer.looks
        ]
        cost = format_value(answer.inflation - 1, "share")
        note = f"{answer.metric}, {answer.treatment}. The looks cost {cost} more customers."
        return Table("Looks", columns, rows, note=note)

    def revenue_table(self) -> Table:
        """Metrics that are 0 for most customers: errors of their tests, buyers beside baskets."""
        columns = (
            Column("metric"),
            Column("treatment"),
            Column("buyers", kind="share"),
            Column("skewness", kind="number"),
            Column("control units for a normal mean", kind="count"),
            Column("units for honest tails", kind="count"),
            Column("planned error", kind="share"),
            Column("falsely better", kind="share"),
            Column("falsely worse", kind="share"),
            Column("rise shown by conversion", kind="share"),
            Column("rise shown by spend, more buyers", kind="share"),
            Column("rise shown by spend, larger baskets", kind="share"),
        )
        rows = [
            (
                r.metric,
                r.treatment,
                r.buyer_share,
                r.skewness,
                r.n_normal,
                r.n_honest,
                2 * r.nominal,
                r.false_better,
                r.false_worse,
                r.mde_conversion,
                r.mde_buyers,
                r.mde_baskets,
            )
            for r in self.revenue
        ]
        note = "Rises are per customer, with the spread and skewness that the treatment then has."
        return Table("Revenue in two parts", columns, rows, note=note)

    def factors_table(self) -> Table:
        """Main effects and interactions on the primary metric."""
        columns = (
            Column("contrast"),
            Column("kind"),
            Column("smallest effect", kind="number"),
            Column("relative", kind="share"),
            Column("sought effect", kind="number"),
            Column("power", kind="share"),
            Column("units needed", kind="count"),
        )
        rows = [
            (f.name, f.kind, f.mde, f.mde_relative, f.sought, f.power, f.n_needed)
            for f in self.factors
        ]
        return Table("Factors", columns, rows)

    def ways_table(self) -> Table:
        """Ways to answer more, the cheapest per gain first."""
        columns = (
            Column("way"),
            Column("smallest relative effect", kind="share"),
            Column("smaller by", kind="share"),
            Column("worth as many customers", kind="count"),
            Column("price", kind="money"),
            Column("extra days", kind="count"),
            Column("price per percent", kind="cents"),
            Column("what it means"),
        )
        rows = [
            (
                w.name,
                w.mde_relative,
                w.gain,
                w.n_equivalent,
                w.price,
                w.extra_days,
                w.price_per_gain,
                w.words,
            )
            for w in self.ways
        ]
        note = f"{self.hardest.metric}, {self.hardest.treatment}; money in {self.currency}."
        return Table("Ways to answer more", columns, rows, note=note)

    def tables(self) -> tuple[Table, ...]:
        """Every table that has something to say."""
        found = [self.table(), self.arms_table(), self.holdout_table()]
        if len(self.hardest.looks) > 1:
            found.append(self.looks_table())
        optional = (
            (self.revenue, self.revenue_table),
            (self.factors, self.factors_table),
            (self.ways, self.ways_table),
        )
        return (*found, *(make() for rows, make in optional if rows))

    def words(self) -> str:
        """The design as sentences: units, days, answers, money, how to answer more."""
        return "\n".join(design_lines(self))

    def metrics(self) -> dict[str, float]:
        """Flat figures, for tracking."""
        figures = {"n_units": float(self.n_units), "contact_cost": self.contact_cost}
        if self.holdout_cost is not None:
            figures["holdout_cost"] = self.holdout_cost
        for answer in self.answers:
            name = f"{answer.metric.replace('@', '_v')}_{answer.treatment}"
            figures[f"mde_{name}"] = answer.mde
            if answer.power is not None:
                figures[f"power_{name}"] = answer.power
        return figures


def _row(answer: Answer) -> tuple[Any, ...]:
    return (
        answer.metric,
        answer.role,
        answer.treatment,
        answer.n_control,
        answer.n_treatment,
        answer.baseline.mean,
        answer.mde,
        answer.mde_relative,
        answer.sought_effect,
        answer.power,
        answer.n_needed,
        answer.verdict,
    )
