"""The size of a universal control as a result: what each share shows and costs, in words."""

from dataclasses import dataclass

from uplift.checks import Check
from uplift.sizing.programme_prior import ProgrammePrior, Rule
from uplift.table import Column, Result, Table, format_value


@dataclass(frozen=True)
class ControlOption:
    """One share of the universal control; money in the experiment's currency.

    mde                    smallest effect on the primary metric that is proven with the wanted
                           power, in its unit; its relative size, and as margin per unit (None
                           where that is not known)
    lost_profit_period     profit given up per period, if the programme adds what is expected
    lost_profit            the same over the measurement
    cost_of_not_knowing    profit lost by wrong decisions, in expectation
    """

    share: float
    n_control: int
    mde: float
    mde_relative: float | None
    mde_money: float | None
    lost_profit_period: float
    lost_profit: float
    cost_of_not_knowing: float

    @property
    def loss(self) -> float:
        """What the share costs altogether."""
        return self.lost_profit + self.cost_of_not_knowing


@dataclass(frozen=True, repr=False)
class ControlSize(Result):
    """Candidate shares of a universal control, and two recommendations.

    smallest  the smallest share whose MDE reaches the wanted effect; None when none up to a half
              does, or no effect is wanted
    cheapest  the share with the smallest expected loss
    without   loss without any control, when the programme is kept if the prior's mean is positive
    """

    experiment: str
    currency: str
    metric: str
    unit: str
    n_units: int
    period_days: int
    horizon_days: int
    decision_days: int
    power: float
    confidence: float
    rule: Rule
    prior: ProgrammePrior
    wanted_effect: float | None
    options: tuple[ControlOption, ...]
    smallest: ControlOption | None
    cheapest: ControlOption
    without: float
    checks: tuple[Check, ...]

    def table(self) -> Table:
        """One row per share."""
        columns = (
            Column("control share", kind="share"),
            Column("control units", kind="count"),
            Column("smallest effect", kind="number"),
            Column("relative", kind="share"),
            Column("as margin", kind="cents"),
            Column("lost profit per period", kind="money"),
            Column("lost profit", kind="money"),
            Column("cost of not knowing", kind="money"),
            Column("expected loss", kind="money"),
            Column("", kind="text"),
        )
        rows = [
            (
                o.share,
                o.n_control,
                o.mde,
                o.mde_relative,
                o.mde_money,
                o.lost_profit_period,
                o.lost_profit,
                o.cost_of_not_knowing,
                o.loss,
                self._mark(o),
            )
            for o in self.rows
        ]
        note = (
            f"Effects on {self.metric} in {self.unit}; money in {self.currency}. A period is "
            f"{self.period_days} days, the measurement {self.horizon_days}, its decision holds "
            f"{self.decision_days}."
        )
        return Table(f"Universal control of {self.experiment}", columns, rows, note=note)

    @property
    def rows(self) -> tuple[ControlOption, ...]:
        """Candidates and recommendations, by share."""
        found = {o.share: o for o in (*self.options, self.cheapest)}
        if self.smallest is not None:
            found[self.smallest.share] = self.smallest
        return tuple(found[share] for share in sorted(found))

    def words(self) -> str:
        """Both recommendations as sentences."""
        return f"{self._smallest_words()} {self._cheapest_words()}"

    def _smallest_words(self) -> str:
        if self.wanted_effect is None:
            return "No effect is stated that the control must be able to show."
        effect = f"{format_value(self.wanted_effect, 'number')} {self.unit}"
        if self.smallest is None:
            return (
                f"No share can show an effect of {effect} on {self.metric} among "
                f"{format_value(self.n_units, 'count')} customers: widen the audience, lengthen "
                "the window or add a covariate."
            )
        return (
            f"To show an effect of {effect} on {self.metric}, hold out at least "
            f"{format_value(self.smallest.share, 'share')} "
            f"({format_value(self.smallest.n_control, 'count')} customers); that gives up "
            f"{format_value(self.smallest.lost_profit, 'money')} {self.currency} in "
            f"{self.horizon_days} days."
        )

    def _cheapest_words(self) -> str:
        best = self.cheapest
        text = (
            f"The share that costs least is {format_value(best.share, 'share')} "
            f"({format_value(best.n_control, 'count')} customers): it gives up "
            f"{format_value(best.lost_profit, 'money')} and leaves "
            f"{format_value(best.cost_of_not_knowing, 'money')} {self.currency} of wrong decisions"
        )
        if best.loss < self.without:
            saved = format_value(self.without - best.loss, "money")
            return f"{text}; without any control it would be {saved} more."
        return (
            f"{text}. By this prior no control pays: deciding without one loses "
            f"{format_value(self.without, 'money')} {self.currency} only."
        )

    def remarks(self) -> list[str]:
        """The recommendations, then the checks."""
        return [self.words(), *super().remarks()]

    def metrics(self) -> dict[str, float]:
        """Flat figures, for tracking."""
        figures = {"cheapest_share": self.cheapest.share, "cheapest_loss": self.cheapest.loss}
        if self.smallest is not None:
            figures["smallest_share"] = self.smallest.share
        return figures

    def _mark(self, option: ControlOption) -> str:
        marks = [
            name
            for name, one in (("shows the effect", self.smallest), ("costs least", self.cheapest))
            if one is not None and one.share == option.share
        ]
        return ", ".join(marks)
