"""Incremental profit of every treatment against the control, per unit and in total, with a ledger.

Profit of a unit is a column like any other (`Economics`), so its effect has an interval of the same
kind. In the ledger costs are what was paid, and the margin is what makes the estimated profit of
them: the lines add up to the total to the cent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from uplift.analysis.columns import GROSS, N_UNITS, REDEMPTION
from uplift.analysis.families import adjusted_p_values
from uplift.analysis.given_away import NOT_READ, GivenAway, given_away
from uplift.analysis.readings import Readings
from uplift.checks import Check, warning
from uplift.experiment import CONTROL, Experiment
from uplift.inference.means import Estimate
from uplift.table import Column, Result, Table


@dataclass(frozen=True)
class MoneyRow:
    """Incremental profit of one treatment over the control, in currency.

    profit           per assigned unit
    p_adjusted       of no profit, corrected over the treatments
    n_units          units of the arm that were analysed
    margin           ledger line in total: what the arm's units brought more than as many of the
                     control; adjusted when the profit is
    contact_cost, redemption_cost  ledger lines in total, as paid, less what as many of the control
                     cost; negative
    total, total_ci  profit of the arm's units together; the lines add up to it to the cent
    cost_per_unit    what treating one unit costs more than not, above 0
    roi              profit per unit of currency spent; nan when nothing is spent
    holdout_units    units of the control; `holdout_profit` and its interval are what the arm would
                     have brought from them: the price of knowing
    given_away       the part of the redemption cost that bought nothing
    """

    arm: str
    profit: Estimate
    p_adjusted: float
    method: str
    n_units: int
    margin: float
    contact_cost: float
    redemption_cost: float
    total: float
    total_ci: tuple[float, float]
    cost_per_unit: float
    roi: float
    holdout_units: int = 0
    holdout_profit: float = float("nan")
    holdout_ci: tuple[float, float] = (float("nan"), float("nan"))
    given_away: GivenAway = NOT_READ

    @property
    def ci(self) -> tuple[float, float]:
        """Interval of the profit per unit."""
        return self.profit.ci


@dataclass(frozen=True)
class ProfitDifference:
    """How much more one treatment earns per unit than another."""

    arm: str
    over: str
    estimate: Estimate


@dataclass(frozen=True, repr=False)
class Money(Result):
    """Incremental profit per treatment, and of every treatment over every other."""

    currency: str
    confidence: float
    rows: tuple[MoneyRow, ...]
    differences: tuple[ProfitDifference, ...]

    def row(self, arm: str) -> MoneyRow:
        """The row of one treatment."""
        return next(row for row in self.rows if row.arm == arm)

    def difference(self, arm: str, over: str) -> Estimate:
        """Profit per unit of one treatment less that of another."""
        return next(d.estimate for d in self.differences if (d.arm, d.over) == (arm, over))

    def table(self) -> Table:
        """One row per treatment."""
        columns = (
            Column("treatment"),
            Column("units", kind="count"),
            Column("profit per unit", kind="signed"),
            Column("ci", kind="interval"),
            Column("margin", kind="cents"),
            Column("contact cost", kind="cents"),
            Column("redemption cost", kind="cents"),
            Column("total profit", kind="cents"),
            Column("total ci", kind="interval"),
        )
        rows = [
            (
                row.arm,
                row.n_units,
                row.profit.effect,
                row.ci,
                row.margin,
                row.contact_cost,
                row.redemption_cost,
                row.total,
                row.total_ci,
            )
            for row in self.rows
        ]
        return Table("Incremental profit", columns, rows, note=f"{self.currency}, against control.")


def money_of(experiment: Experiment, readings: Readings) -> Money:
    """Profit of every treatment against the control, and against the others."""
    rows = [_row(arm.name, experiment, readings) for arm in experiment.treatments]
    adjusted = adjusted_p_values(experiment, [row.profit.p_value for row in rows])
    names = [row.arm for row in rows]
    return Money(
        currency=experiment.money.currency,
        confidence=readings.confidence,
        rows=tuple(replace(row, p_adjusted=p) for row, p in zip(rows, adjusted, strict=True)),
        differences=tuple(
            ProfitDifference(arm, over, _profit(arm, over, experiment, readings))
            for arm in names
            for over in names
            if arm != over
        ),
    )


def money_checks(experiment: Experiment) -> Iterator[Check]:
    """A warning when vouchers cost something and no outcome counts them: the profit is too high."""
    if experiment.money.redemption is None and any(arm.redemption_cost for arm in experiment.arms):
        yield warning(
            "REDEMPTION_UNKNOWN",
            value=None,
            remedy="Arms have a redemption_cost, but money.redemption names no outcome that counts "
            "redemptions: the profit leaves them out, so it is too high. Name the column.",
        )


def ledger_cents(lines: Sequence[float]) -> list[float]:
    """Amounts rounded to cents so that they add up to their rounded sum (largest remainder)."""
    cents = [100 * line for line in lines]
    whole = [int(np.floor(amount)) for amount in cents]
    short = round(sum(cents)) - sum(whole)
    by_remainder = sorted(range(len(cents)), key=lambda i: whole[i] - cents[i])
    for i in by_remainder[:short]:
        whole[i] += 1
    return [amount / 100 for amount in whole]


def _row(arm: str, experiment: Experiment, readings: Readings) -> MoneyRow:
    profit = _profit(arm, CONTROL, experiment, readings)
    n_units, n_held_out = readings.analysed[arm], readings.analysed[CONTROL]
    contact = _contact_cost(arm, CONTROL, experiment)
    redemption = _redeemed(arm, readings) - _redeemed(CONTROL, readings)
    lines = [profit.effect + contact + redemption, -contact, -redemption]
    margin, contact_cost, redemption_cost = ledger_cents([n_units * line for line in lines])
    cost = contact + redemption
    return MoneyRow(
        arm=arm,
        profit=profit,
        p_adjusted=float("nan"),
        method=readings.method(GROSS, arm),
        n_units=n_units,
        margin=margin,
        contact_cost=contact_cost,
        redemption_cost=redemption_cost,
        total=round(margin + contact_cost + redemption_cost, 2),
        total_ci=(n_units * profit.ci[0], n_units * profit.ci[1]),
        cost_per_unit=cost,
        roi=profit.effect / cost if cost > 0 else float("nan"),
        holdout_units=n_held_out,
        holdout_profit=round(n_held_out * profit.effect, 2),
        holdout_ci=(n_held_out * profit.ci[0], n_held_out * profit.ci[1]),
        given_away=given_away(arm, experiment, readings),
    )


def _profit(arm: str, over: str, experiment: Experiment, readings: Readings) -> Estimate:
    """The effect before contact cost, moved by the contact cost, which is known exactly."""
    method = readings.method(GROSS, arm)
    cost = _contact_cost(arm, over, experiment)
    return readings.estimate(GROSS, arm, control=over, method=method, plus=-cost)


def _redeemed(arm: str, readings: Readings) -> float:
    """Redemption cost per unit of the arm, as it was paid: a fact, so it is never adjusted."""
    moments = readings.moments[arm]
    units = moments.mean_of(N_UNITS) if readings.clustered else 1.0
    return moments.mean_of(REDEMPTION) / units


def _contact_cost(arm: str, over: str, experiment: Experiment) -> float:
    first, second = experiment.economics.contact_costs([arm, over])
    return float(first - second)
