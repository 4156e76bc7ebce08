"""What an experiment costs: contacts, and the profit given up on the customers held out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from uplift.arms import Arm
from uplift.experiment import CONTROL, Experiment
from uplift.sizing.baseline import Baseline


@dataclass(frozen=True)
class ArmPlan:
    """Units and money of one arm.

    contact_cost    of all its units, in the experiment's currency
    profit_sought   margin - contact cost - redemption cost per unit if the arm has the smallest
                    effect worth acting on; None when the plan states none, or for the control
    break_even      effect on the value outcome per unit at which the arm pays for itself
    """

    arm: str
    share: float
    n_units: int
    contact_cost: float
    profit_sought: float | None
    break_even: float | None


def arm_plan(
    experiment: Experiment, arm: Arm, baselines: Mapping[str, Baseline], n_units: int
) -> ArmPlan:
    """Units, cost and break-even of one arm when `n_units` are assigned.

    break_even = (unit cost + redemption cost * redemption rate) / margin rate
    """
    n_assigned = round(n_units * arm.share)
    is_control = arm.name == CONTROL
    cost = arm.contact_cost + arm.redemption_cost * redemption_rate(experiment)
    rate, sought = experiment.money.margin_rate, _value_sought(experiment, baselines)
    return ArmPlan(
        arm=arm.name,
        share=float(arm.share),
        n_units=n_assigned,
        contact_cost=n_assigned * arm.contact_cost,
        profit_sought=None if is_control or sought is None else rate * sought - cost,
        break_even=None if is_control or rate == 0 else cost / rate,
    )


def redemption_rate(experiment: Experiment) -> float:
    """Redemptions per unit as far as a planned metric assumes them; otherwise 0."""
    for _, planned in experiment.metrics.with_roles():
        if planned.metric.column == experiment.money.redemption:
            return planned.expected_mean or 0.0
    return 0.0


def holdout_cost(arms: Sequence[ArmPlan]) -> float | None:
    """Profit given up on the control, if the best arm has the effect sought; never below 0."""
    profits = [arm.profit_sought for arm in arms if arm.profit_sought is not None]
    return arms[0].n_units * max(*profits, 0.0) if profits else None


def _value_sought(experiment: Experiment, baselines: Mapping[str, Baseline]) -> float | None:
    """The smallest effect worth acting on, on the value outcome, in currency per unit."""
    for _, planned in experiment.metrics.with_roles():
        known = baselines.get(planned.metric.key)
        is_value = planned.metric.column == experiment.money.value
        if is_value and planned.minimum_effect is not None and known is not None:
            return planned.minimum_effect * abs(known.mean)
    return None
