"""How many customers a universal control holds out: what it can show against what it gives up.

A period is the window of the value metric. With N units, share s held out, and theta the profit
per unit and period that the programme adds (see `programme_prior`):

    lost profit          s * N * mean(theta) * periods of the measurement
    cost of not knowing  N * periods of the decision * (E[max(theta, 0)] - E[theta * kept])

The share that minimises their sum is the one that pays; it may be none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize

from uplift.checks import Check, warning
from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.inference.power import detectable_effect
from uplift.metric_plan import PlannedMetric
from uplift.sizing.baseline import Baseline, planned_baseline
from uplift.sizing.comparison import one_test_confidence, wanted_power
from uplift.sizing.control_size import ControlOption, ControlSize
from uplift.sizing.history import eligible_history
from uplift.sizing.programme_prior import ProgrammePrior, Rule
from uplift.table import format_value

SHARES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.10, 0.15, 0.20)  # worth comparing
LARGEST_SHARE = 0.5  # above, the programme would be the smaller part
GRID_POINTS = 400  # of the search for the share that pays, evenly spaced in its logarithm
YEAR_DAYS = 365
MIN_UNITS = 4  # two on either side


@dataclass(frozen=True)
class _Question:
    """Everything an option follows from."""

    n_units: int
    primary: Baseline
    value: Baseline
    margin_rate: float
    primary_is_value: bool
    prior: ProgrammePrior
    n_periods: float
    n_decision_periods: float
    confidence: float
    power: float
    rule: Rule

    @property
    def lowest_share(self) -> float:
        return min(2 / self.n_units, LARGEST_SHARE)  # one unit has no spread

    def option(self, share: float) -> ControlOption:
        n_control = self.n_units * share
        mde = detectable_effect(
            n_control=n_control,
            n_treatment=self.n_units - n_control,
            control_variance=self.primary.variance,
            confidence=self.confidence,
            power=self.power,
        )
        lost = n_control * self.prior.mean
        return ControlOption(
            share=share,
            n_control=round(n_control),
            mde=mde,
            mde_relative=mde / self.primary.mean if self.primary.mean > 0 else None,
            mde_money=mde * self.margin_rate if self.primary_is_value else None,
            lost_profit_period=lost,
            lost_profit=lost * self.n_periods,
            cost_of_not_knowing=self.not_knowing(share),
        )

    def not_knowing(self, share: float) -> float:
        error = self.margin_rate * math.sqrt(
            self.value.variance / (self.n_units * share * (1 - share))
        )
        missed = self.prior.best_value - self.prior.value(error, rule=self.rule)
        return self.n_units * self.n_decision_periods * missed

    def loss(self, share: float) -> float:
        return self.n_units * share * self.prior.mean * self.n_periods + self.not_knowing(share)

    def without(self) -> float:
        missed = self.prior.best_value - max(self.prior.mean, 0.0)
        return self.n_units * self.n_decision_periods * missed

    def cheapest_share(self) -> float:
        """The minimum over (0, a half]: the best point of a grid, then refined beside it."""
        grid = np.geomspace(self.lowest_share, LARGEST_SHARE, GRID_POINTS)
        best = int(np.argmin([self.loss(float(share)) for share in grid]))
        bounds = grid[max(best - 1, 0)], grid[min(best + 1, GRID_POINTS - 1)]
        found = optimize.minimize_scalar(
            self.loss, bounds=bounds, method="bounded", options={"xatol": 1e-7}
        )
        return float(min(found.x, grid[best], key=self.loss))

    def smallest_share(self, effect: float | None) -> float | None:
        """Solves mde(share) = effect: share (1 - share) = z^2 variance / (n_units effect^2)."""
        if not effect:
            return None
        half = self.option(LARGEST_SHARE).mde
        product = LARGEST_SHARE**2 * (half / effect) ** 2  # mde^2 * share * (1 - share) is constant
        if product > LARGEST_SHARE**2:
            return None
        # the smaller root, without the cancellation of 1 - sqrt(1 - 4 product)
        root = 2 * product / (1 + math.sqrt(1 - 4 * product))
        return max(root, self.lowest_share)


def choose_control_size(
    experiment: Experiment,
    history: Any = None,
    *,
    n_units: int | None = None,
    prior: ProgrammePrior | None = None,
    wanted_effect: float | None = None,
    shares: Sequence[float] = SHARES,
    horizon_days: int | None = None,
    decision_days: int = YEAR_DAYS,
    power: float | None = None,
    rule: Rule = "estimate",
) -> ControlSize:
    """What each share of a universal control can show and costs, with two recommendations.

    history        any table with one row per customer (see `baseline_of`)
    n_units        eligible units; without it, the eligible customers of history
    prior          profit the programme adds per unit and period; without it, from the primary
                   metric's prior and the arms' costs
    wanted_effect  that the control must be able to show, in the primary metric's unit; without it,
                   the plan's minimum_effect
    horizon_days   how long customers are held out before the decision; the response window when
                   not given
    decision_days  how long the decision then holds
    power          wanted probability of showing the effect; the definition's when not given

    The reading is that of one period; averaging several can only make it more exact. Clusters count
    as far as history shows them.

    Errors: DESIGN_UNITS, BASELINE_MISSING, BASELINE_INVALID, PRIOR_MISSING, PRIOR_INVALID,
    VALUE_METRIC_MISSING, SHARES_INVALID, ARGUMENT_INVALID, PROBABILITY_INVALID.
    """
    horizon = experiment.schedule.response_days if horizon_days is None else horizon_days
    _check_arguments(shares, horizon, decision_days, rule)
    power = wanted_power(experiment, power)
    audience = None if history is None else eligible_history(experiment, history)
    planned, worth = experiment.metrics.primary, _value_metric(experiment)
    primary = planned_baseline(experiment, planned, audience)
    period_days = worth.metric.window_days
    question = _Question(
        n_units=_units(experiment, audience, n_units),
        primary=primary,
        value=planned_baseline(experiment, worth, audience),
        margin_rate=experiment.money.margin_rate,
        primary_is_value=planned.metric.key == worth.metric.key,
        prior=prior or _planned_prior(experiment, planned, worth, primary),
        n_periods=horizon / period_days,
        n_decision_periods=decision_days / period_days,
        confidence=one_test_confidence(experiment),
        power=power,
        rule=rule,
    )
    if wanted_effect is None and planned.minimum_effect is not None and primary.mean != 0:
        wanted_effect = planned.minimum_effect * abs(primary.mean)
    smallest = question.smallest_share(wanted_effect)
    result = ControlSize(
        experiment=experiment.id,
        currency=experiment.money.currency,
        metric=planned.metric.key,
        unit=planned.metric.unit,
        n_units=question.n_units,
        period_days=period_days,
        horizon_days=horizon,
        decision_days=decision_days,
        power=power,
        confidence=question.confidence,
        rule=rule,
        prior=question.prior,
        wanted_effect=wanted_effect,
        options=tuple(question.option(float(share)) for share in sorted(set(shares))),
        smallest=None if smallest is None else question.option(smallest),
        cheapest=question.option(question.cheapest_share()),
        without=question.without(),
        checks=(),
    )
    return replace(result, checks=_checks(experiment, result, history_known=audience is not None))


def _units(experiment: Experiment, audience: pd.DataFrame | None, n_units: int | None) -> int:
    found = n_units if n_units is not None else (0 if audience is None else len(audience))
    if found < MIN_UNITS:
        raise DefinitionError(
            f"{experiment.id}: {found} eligible units cannot be divided. Give history (customers, "
            "one row each) or n_units.",
            code="DESIGN_UNITS",
        )
    return int(found)


def _value_metric(experiment: Experiment) -> PlannedMetric:
    """The planned metric that is worth money, the primary one first."""
    for _, planned in experiment.metrics.with_roles():
        if planned.metric.column == experiment.money.value and planned.metric.denominator is None:
            return planned
    raise DefinitionError(
        f"{experiment.id}: no planned metric measures {experiment.money.value!r}, so profit cannot "
        "be read. Add one, e.g. as a secondary metric.",
        code="VALUE_METRIC_MISSING",
        column=experiment.money.value,
    )


def _planned_prior(
    experiment: Experiment, planned: PlannedMetric, worth: PlannedMetric, baseline: Baseline
) -> ProgrammePrior:
    """Margin rate * relative effect * mean - contact cost, where the plan knows the effect."""
    if planned.prior is None or planned is not worth:
        raise DefinitionError(
            f"{experiment.id}: nothing is known of the profit the programme adds. Give a prior "
            "(mean and standard deviation per customer and period), or state the value metric's "
            "prior in the plan.",
            code="PRIOR_MISSING",
        )
    scale = experiment.money.margin_rate * baseline.mean
    treated = sum(float(arm.share) for arm in experiment.treatments)
    cost = sum(float(arm.share) * arm.contact_cost for arm in experiment.treatments) / treated
    return ProgrammePrior(
        scale * planned.prior.mean - cost,
        abs(scale) * planned.prior.std_dev,
        source=planned.prior.source,
    )


def _checks(
    experiment: Experiment, result: ControlSize, *, history_known: bool
) -> tuple[Check, ...]:
    """Warnings about the answer; none forbids it."""
    checks: list[Check] = []
    planned = float(experiment.arms[0].share)
    if result.smallest is not None and planned < result.smallest.share:
        checks.append(
            warning(
                "UNDERPOWERED",
                value=planned,
                remedy=f"The planned control of {format_value(planned, 'share')} is too small for "
                "the wanted effect.",
            )
        )
    if result.wanted_effect is not None and result.smallest is None:
        checks.append(
            warning(
                "CANNOT_ANSWER",
                value=result.wanted_effect,
                remedy="No share of the control can show the wanted effect.",
            )
        )
    if experiment.cluster and not history_known:
        checks.append(
            warning(
                "CLUSTER_UNKNOWN",
                value=experiment.cluster,
                remedy="Whole clusters are held out, but there is no history to show them: the "
                "effects stated here are too small.",
            )
        )
    return tuple(checks)


def _check_arguments(shares: Sequence[float], horizon: int, decision: int, rule: str) -> None:
    if not shares or not all(0 < share <= LARGEST_SHARE for share in shares):
        raise DefinitionError(
            f"Candidate shares must be above 0 and at most {LARGEST_SHARE}, got {list(shares)}.",
            code="SHARES_INVALID",
        )
    if horizon < 1 or decision < 1 or rule not in ("estimate", "posterior"):
        raise DefinitionError(
            "horizon_days and decision_days must be 1 or more and the rule estimate or posterior, "
            f"got {horizon}, {decision} and {rule!r}.",
            code="ARGUMENT_INVALID",
        )
