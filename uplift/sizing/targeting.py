"""Can the test prove that effects differ, and that targeting beats the best blanket action?

By simulation of a stylised customer base (`stylised_customers`), because neither question has a
usable formula. How much effects spread and how well a model ranks them is not known before the
test; both are stated, and the answer holds for what is stated. A part of the sample trains the
model, the units held out judge it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from uplift.arms import Arm
from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.progress import track
from uplift.sizing.baseline import Baseline, planned_baseline
from uplift.sizing.history import eligible_history, measured_values
from uplift.sizing.stylised_customers import Customers, simulated_test
from uplift.table import Column, Result, Table, format_value

Array = npt.NDArray[np.float64]
FEWEST_HELD_OUT = 100


@dataclass(frozen=True)
class TargetingRow:
    """Powers at one size.

    n_held_out   units of control and treatment that judge the model
    differ       probability of proving that effects differ
    pays         probability of proving that targeting beats contacting everyone and nobody
    std_errors   of both, from the number of simulations
    """

    n_units: int
    n_held_out: int
    differ: float
    pays: float
    std_errors: tuple[float, float]


@dataclass(frozen=True, repr=False)
class UpliftPower(Result):
    """What the test can prove about targeting, under stated assumptions.

    gain  true profit per unit of targeting over the best blanket action
    """

    experiment: str
    metric: str
    treatment: str
    currency: str
    average: float
    spread: float
    ranking: float
    gain: float
    n_simulations: int
    seed: int
    rows: tuple[TargetingRow, ...]

    def table(self) -> Table:
        """One row per size."""
        columns = (
            Column("units", kind="count"),
            Column("held out", kind="count"),
            Column("effects differ", kind="share"),
            Column("targeting beats the best blanket action", kind="share"),
        )
        rows = [(r.n_units, r.n_held_out, r.differ, r.pays) for r in self.rows]
        return Table(f"Targeting, {self.experiment}", columns, rows, note=self._assumption())

    def words(self) -> str:
        """The answer for the first size."""
        row = self.rows[0]
        return (
            f"{self._assumption()} With {format_value(row.n_units, 'count')} customers, that "
            f"effects differ is proven with a chance of {format_value(row.differ, 'share')}, and "
            "that targeting beats the best blanket action with one of "
            f"{format_value(row.pays, 'share')}."
        )

    def _assumption(self) -> str:
        return (
            f"Assumed: {self.metric}, {self.treatment}, average effect "
            f"{format_value(self.average, 'number')}, individual effects spread by "
            f"{format_value(self.spread, 'number')} times that, a model whose ranking correlates "
            f"{format_value(self.ranking, 'number')} with them; targeting then truly gains "
            f"{format_value(self.gain, 'number')} {self.currency} per customer."
        )


def uplift_power(
    experiment: Experiment,
    history: Any = None,
    *,
    n_units: int | None = None,
    treatment: str | None = None,
    effect: float | None = None,
    spread: float = 1.0,
    ranking: float = 0.3,
    held_out: float = 0.5,
    multiples: Sequence[float] = (1.0,),
    n_simulations: int = 500,
    seed: int = 0,
) -> UpliftPower:
    """Power to prove heterogeneity and targeting, by simulation (see the module).

    history, n_units  as `design` takes them; outcomes are drawn from history where it has them
    treatment         arm; the first when not given
    effect            average relative effect on the primary metric; its minimum_effect by default
    held_out          share of units that judge the model
    multiples         sizes to look at, as multiples of the units

    Money counts where the primary metric is the value outcome; else one unit of it is worth 1 and
    a contact is free.

    Errors: those of `design`, EFFECT_INVALID, ASSUMPTION_INVALID, METRIC_KIND, ARM_UNKNOWN.
    """
    _check(spread, ranking, held_out, n_simulations)
    table = None if history is None else eligible_history(experiment, history)
    n_assigned = n_units if n_units is not None else len(table) if table is not None else None
    if n_assigned is None:
        raise DefinitionError(
            f"{experiment.id}: the number of units is not known. Give history or n_units.",
            code="DESIGN_UNITS",
        )
    arm = _arm(experiment, treatment)
    customers = _customers(experiment, table, arm, effect, spread, ranking)
    rows = tuple(
        _row(experiment, customers, round(n_assigned * times), held_out, n_simulations, seed)
        for times in multiples
    )
    return UpliftPower(
        experiment=experiment.id,
        metric=experiment.primary.key,
        treatment=arm.name,
        currency=experiment.money.currency,
        average=customers.average,
        spread=spread,
        ranking=ranking,
        gain=customers.gain,
        n_simulations=n_simulations,
        seed=seed,
        rows=rows,
    )


def _row(
    experiment: Experiment,
    customers: Customers,
    n_units: int,
    held_out: float,
    n_simulations: int,
    seed: int,
) -> TargetingRow:
    compared = customers.control + customers.treatment
    n_held_out = round(n_units * held_out * compared)
    if n_held_out < FEWEST_HELD_OUT:
        raise DefinitionError(
            f"{n_held_out} units would judge the model; at least {FEWEST_HELD_OUT} are needed. "
            "Take more customers.",
            code="ARM_TOO_SMALL",
        )
    rng = np.random.default_rng(seed)
    confidence = experiment.analysis.confidence
    found = np.zeros(2)
    for _ in track(range(n_simulations), label="targeting", total=n_simulations):
        found += simulated_test(customers, n_held_out, rng, confidence)
    differ, pays = (found / n_simulations).tolist()
    errors = [math.sqrt(p * (1 - p) / n_simulations) for p in (differ, pays)]
    return TargetingRow(n_units, n_held_out, differ, pays, (errors[0], errors[1]))


def _customers(
    experiment: Experiment,
    table: pd.DataFrame | None,
    arm: Arm,
    effect: float | None,
    spread: float,
    ranking: float,
) -> Customers:
    planned = experiment.metrics.primary
    if planned.metric.kind == "ratio":
        raise DefinitionError(
            f"{planned.metric.key} is a ratio, which no single customer has. Plan targeting on a "
            "mean or a proportion.",
            code="METRIC_KIND",
        )
    baseline = planned_baseline(experiment, planned, table)
    relative = planned.minimum_effect if effect is None else effect
    if not relative:
        raise DefinitionError(
            f"{planned.metric.key}: state the average relative effect, or a minimum_effect in the "
            "plan.",
            code="EFFECT_INVALID",
        )
    is_value = planned.metric.column == experiment.money.value
    sign = 1.0 if planned.metric.direction == "up" else -1.0
    return Customers(
        control=float(experiment.arms[0].share),
        treatment=float(arm.share),
        usual=_usual(experiment, table, baseline),
        average=sign * relative * abs(baseline.mean),
        spread=spread,
        ranking=ranking,
        worth=experiment.money.margin_rate if is_value else sign,
        cost=arm.contact_cost if is_value else 0.0,
    )


def _usual(experiment: Experiment, table: pd.DataFrame | None, baseline: Baseline) -> Array:
    """Outcomes to draw from: history's, with the spread that covariate and clusters leave them."""
    metric = experiment.primary
    if table is not None and metric.column in table.columns:
        values = measured_values(metric, metric.column, table)
        values = values[np.isfinite(values)]
    else:
        values = stats.norm.ppf((np.arange(2_000) + 0.5) / 2_000) * baseline.std_dev + baseline.mean
    left = math.sqrt(baseline.factor)
    return np.asarray(values.mean() + left * (values - values.mean()), dtype=np.float64)


def _arm(experiment: Experiment, name: str | None) -> Arm:
    for arm in experiment.treatments:
        if name in (None, arm.name):
            return arm
    raise DefinitionError(
        f"{experiment.id} has no treatment {name!r}. Treatments: "
        f"{', '.join(arm.name for arm in experiment.treatments)}.",
        code="ARM_UNKNOWN",
    )


def _check(spread: float, ranking: float, held_out: float, n_simulations: int) -> None:
    if not (
        0 <= spread < math.inf and 0 <= ranking <= 1 and 0 < held_out <= 1 and n_simulations >= 1
    ):
        raise DefinitionError(
            "spread must be 0 or more, ranking from 0 to 1, held_out in (0, 1] and n_simulations 1 "
            f"or more, got {spread}, {ranking}, {held_out} and {n_simulations}. Usual: 1, 0.3, 0.5 "
            "and 500.",
            code="ASSUMPTION_INVALID",
        )
