"""Ways to answer more: each computed from this plan and this history, with its gain and its price.

The question is the primary metric of the treatment that is hardest to prove. A gain is by how much
the smallest relative effect falls; a price is money, and beside it stand the days it takes and what
it no longer answers. The cheapest per gain comes first; of those that cost nothing, the largest
gain; last those whose price is not known.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.experiment import PlannedMetric
from uplift.frames import UNIT
from uplift.inference.moments import Moments
from uplift.inference.planned_looks import PlannedLooks
from uplift.inference.planning_variance import explained_share
from uplift.inference.power_rules import best_shares
from uplift.inference.regression_adjustment import covariances_for
from uplift.metrics import Metric
from uplift.sizing.answers import Comparison
from uplift.sizing.baseline import (
    MIN_HISTORY,
    WINDOW_BEFORE,
    Baseline,
    baseline_of,
    measured_values,
    previous_window,
)
from uplift.sizing.money import ArmPlan
from uplift.sizing.proof import Proof
from uplift.sizing.revenue import relative_detectable
from uplift.table import format_value

SMALLEST_GAIN = 0.01  # of the smallest relative effect; less is not worth a sentence

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Way:
    """One change of the plan and what it brings.

    mde_relative     smallest relative effect with the change
    gain             share by which that is smaller than without, 0 to 1
    n_equivalent     units of the unchanged plan that would show as much
    price            money, in the experiment's currency; None when the plan does not say what an
                     effect is worth
    extra_days       days longer
    words            what is changed, and what it does not answer
    """

    name: str
    mde_relative: float
    gain: float
    n_equivalent: int
    price: float | None
    extra_days: int
    words: str

    @property
    def price_per_gain(self) -> float | None:
        """Money per percent by which the smallest effect falls."""
        return None if self.price is None else self.price / (100 * self.gain)


@dataclass(frozen=True)
class Plan:
    """What the ways are computed from.

    comparison  primary metric, hardest treatment
    arms        units and money of every arm
    days        that the plan takes
    covariates  columns of history that may be taken as covariates
    """

    comparison: Comparison
    arms: Sequence[ArmPlan]
    days: int
    history: pd.DataFrame | None
    covariates: Sequence[str]

    @property
    def mde_relative(self) -> float:
        """Smallest relative effect of the plan as it is."""
        return self.relative(self.comparison.proof)

    def relative(self, proof: Proof, mean: float | None = None) -> float:
        """Smallest relative effect that a test proves; nan where the mean is not above 0."""
        base = self.comparison.baseline.mean if mean is None else mean
        found = proof.at_control_variance().detectable(self.comparison.test_power)
        return found / base if base > 0 else math.nan

    @property
    def profit_per_unit(self) -> float | None:
        """Given up on a customer held out, if the best arm has the effect sought."""
        profits = [arm.profit_sought for arm in self.arms if arm.profit_sought is not None]
        return max(*profits, 0.0) if profits else None


def ways_to_answer_more(plan: Plan) -> tuple[Way, ...]:
    """Every way with a gain, the cheapest per gain first."""
    if not plan.mde_relative > 0:
        return ()
    makers = (
        _covariates,
        _conversion,
        _longer_window,
        _another_wave,
        _larger_control,
        _fewer_arms,
        _fewer_metrics,
        _one_look,
        _more_customers,
    )
    found = [way for make in makers for way in make(plan) if way.gain >= SMALLEST_GAIN]
    return tuple(sorted(found, key=_order))


def candidate_covariates(comparison: Comparison, history: pd.DataFrame | None) -> list[str]:
    """Columns of history that are known to come from before: `…_before`, and metrics' covariates.

    Others are not taken unasked: a column of what happened after a send would look like the best
    covariate of all.
    """
    if history is None:
        return []
    declared = {metric.covariate for metric in comparison.experiment.all_metrics}
    return [
        str(name)
        for name in history.columns
        if name in declared or (isinstance(name, str) and name.endswith("_before"))
    ]


def _order(way: Way) -> tuple[bool, float, float]:
    price = way.price_per_gain
    return price is None, price or 0.0, -way.gain


def _way(
    plan: Plan,
    name: str,
    mde_relative: float,
    words: str,
    *,
    price: float | None = 0.0,
    extra_days: int = 0,
) -> Way:
    before = plan.mde_relative
    gain = 1 - mde_relative / before if math.isfinite(mde_relative) else 0.0
    equivalent = plan.comparison.n_units * (before / mde_relative) ** 2 if gain > 0 else 0
    return Way(name, mde_relative, gain, round(equivalent), price, extra_days, words)


def _covariates(plan: Plan) -> Iterator[Way]:
    """The one column that explains most, and all of them together."""
    measured = _measured(plan)
    unadjusted = plan.comparison.experiment.cluster is not None
    if measured is None or unadjusted or plan.comparison.planned.metric.kind == "ratio":
        return
    values, history = measured
    explained = {
        name: _explained(values, history, [name])
        for name in plan.covariates
        if name in history.columns and _usable(history[name])
    }
    if not explained:
        return
    best = max(explained, key=lambda name: explained[name])
    already = plan.comparison.baseline.variance_reduction
    left = (1 - explained[best]) / (1 - already) if already < 1 else 1.0
    share = format_value(explained[best], "share")
    yield _way(
        plan,
        f"covariate {best}",
        plan.mde_relative * math.sqrt(left),
        f"Adjust by {best}: it explains {share} of the spread.",
    )


def _conversion(plan: Plan) -> Iterator[Way]:
    part = plan.comparison.baseline.two_part
    if part is None:
        return
    found = relative_detectable(plan.comparison, part, "buyers", "conversion")
    yield _way(
        plan,
        "conversion instead of revenue",
        found,
        "Decide by the share of buyers: larger baskets are not seen.",
    )


def _longer_window(plan: Plan) -> Iterator[Way]:
    """Longer windows of the same number that history holds, e.g. 91 days where 28 are planned."""
    planned, history = plan.comparison.planned, plan.history
    metric = planned.metric
    match = WINDOW_BEFORE.match(metric.covariate or "")
    if history is None or match is None or metric.kind != "mean":
        return
    for name in history.columns:
        other = WINDOW_BEFORE.match(str(name))
        if other is None or other["what"] != match["what"]:
            continue
        days, now = int(other["days"][:-1]), int(match["days"][:-1])
        if days <= now:
            continue
        longer = _with_window(metric, str(name), days)
        baseline = baseline_of(
            PlannedMetric(metric=longer), history, cluster=plan.comparison.experiment.cluster
        )
        proof = _with_baseline(plan.comparison, baseline)
        yield _way(
            plan,
            f"a window of {days} days",
            plan.relative(proof, baseline.mean),
            f"Watch for {days} days instead of {now}: an effect of the first days only is diluted.",
            price=_price_of_waiting(plan, baseline),
            extra_days=days - now,
        )


def _another_wave(plan: Plan) -> Iterator[Way]:
    """The same customers and arms once more; both windows added up, as the last two were."""
    comparison, history = plan.comparison, plan.history
    column = comparison.planned.metric.covariate
    if history is None or column not in history.columns:
        return
    earlier = previous_window(str(column), history)
    if earlier is None or comparison.planned.metric.kind != "mean":
        return
    now = measured_values(comparison.planned.metric, str(column), history)
    known = np.isfinite(now) & np.isfinite(earlier)
    if known.sum() < MIN_HISTORY or np.ptp(earlier[known]) == 0:
        return
    both = now[known] + earlier[known]
    summed = replace(
        comparison.baseline,
        mean=float(both.mean()),
        std_dev=float(both.std(ddof=1)),
        variance_reduction=0.0,  # of two windows together it is not known
    )
    proof = _with_baseline(comparison, summed)
    each = plan.profit_per_unit
    contacts = sum(arm.contact_cost for arm in plan.arms)
    held_out = None if each is None else each * plan.arms[0].n_units
    yield _way(
        plan,
        "one more wave",
        plan.relative(proof, summed.mean),
        "Send once more to the same arms and add up both windows, if the second send works as "
        "well as the first.",
        price=None if held_out is None else contacts + held_out,
        extra_days=comparison.planned.metric.window_days,
    )


def _larger_control(plan: Plan) -> Iterator[Way]:
    """The control share at which the comparisons' summed variance is least."""
    comparison = plan.comparison
    n_treatments = len(comparison.experiment.treatments)
    best = best_shares(treatment_variances=[1.0] * n_treatments)[0]
    control, treatment = comparison.shares
    if best <= control:
        return
    scale = (1 - best) / (1 - control)
    proof = replace(comparison.proof, shares=(best, treatment * scale))
    more = (best - control) * comparison.n_units
    each = plan.profit_per_unit
    yield _way(
        plan,
        f"a control of {format_value(best, 'share')}",
        plan.relative(proof),
        f"Hold out {format_value(more, 'count')} customers more.",
        price=None if each is None else each * more,
    )


def _fewer_arms(plan: Plan) -> Iterator[Way]:
    comparison = plan.comparison
    treatments = comparison.experiment.treatments
    if len(treatments) < 2:
        return
    control = comparison.shares[0]
    alpha = comparison.proof.alpha * len(treatments)
    proof = replace(comparison.proof, shares=(control, 1 - control), alpha=alpha)
    found = plan.relative(proof)
    yield _way(
        plan,
        "one treatment",
        found,
        f"Test {comparison.arm.name} alone: nothing is learned about the others.",
    )
    yield _way(
        plan,
        "treatments merged",
        found,
        "Read all treatments as one: whether contacting works, not which treatment works best.",
    )


def _fewer_metrics(plan: Plan) -> Iterator[Way]:
    comparison = plan.comparison
    others = len(comparison.experiment.metrics.secondary)
    if not others:
        return
    proof = replace(comparison.proof, alpha=comparison.proof.alpha * (1 + others))
    yield _way(
        plan,
        "one metric",
        plan.relative(proof),
        f"Test the primary metric alone: {others} secondary ones are shown without a verdict.",
    )


def _one_look(plan: Plan) -> Iterator[Way]:
    proof = plan.comparison.proof
    if plan.comparison.proof.inflation(plan.comparison.test_power) <= 1:
        return
    yield _way(
        plan,
        "one look",
        plan.relative(replace(proof, looks=PlannedLooks())),
        "Read the result once, at the end: it cannot be stopped early.",
    )


def _more_customers(plan: Plan) -> Iterator[Way]:
    """As many again: what everything else is measured against."""
    n_units = plan.comparison.n_units
    proof = replace(plan.comparison.proof, n_units=2 * n_units)
    contacts = sum(arm.contact_cost for arm in plan.arms)
    each = plan.profit_per_unit
    yield _way(
        plan,
        "twice the customers",
        plan.relative(proof),
        f"Take {format_value(n_units, 'count')} customers more.",
        price=None if each is None else contacts + each * plan.arms[0].n_units,
    )


def _measured(plan: Plan) -> tuple[Array, pd.DataFrame] | None:
    """The metric's own values, where history has them."""
    history, metric = plan.history, plan.comparison.planned.metric
    if history is None or metric.column not in history.columns:
        return None
    return measured_values(metric, metric.column, history), history


def _explained(values: Array, history: pd.DataFrame, names: list[str]) -> float:
    table = {name: history[name].to_numpy(np.float64, na_value=np.nan) for name in names}
    table["metric"] = values
    known = np.all([np.isfinite(column) for column in table.values()], axis=0)
    if known.sum() < MIN_HISTORY:
        return 0.0
    moments = Moments.of(
        {name: column[known] for name, column in table.items()},
        list(table),
        covariances_for(["metric"], names),
    )
    return explained_share(moments, column="metric", covariates=names)


def _usable(column: Any) -> bool:
    numeric = pd.api.types.is_numeric_dtype(column.dtype)
    return bool(numeric and column.name != UNIT and column.nunique() > 1)


def _with_window(metric: Metric, column: str, days: int) -> Metric:
    return metric.model_copy(
        update={"column": column, "covariate": column, "window_days": days, "kind": "mean"}
    )


def _with_baseline(comparison: Comparison, baseline: Baseline) -> Proof:
    return replace(
        comparison.proof,
        control_variance=baseline.variance,
        treatment_variance=baseline.variance,
    )


def _price_of_waiting(plan: Plan, longer: Baseline) -> float | None:
    """Margin of the effect sought on what the control would spend in the days that are added."""
    experiment, planned = plan.comparison.experiment, plan.comparison.planned
    is_value = planned.metric.column == experiment.money.value
    if not is_value or planned.minimum_effect is None:
        return None
    more = max(longer.mean - plan.comparison.baseline.mean, 0.0)
    each = experiment.money.margin_rate * planned.minimum_effect * more
    return plan.arms[0].n_units * each
