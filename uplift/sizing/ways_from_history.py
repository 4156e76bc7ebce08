"""Ways to answer more that history tells of: a covariate, a coarser metric, a longer window."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from uplift.errors import DefinitionError
from uplift.inference.caps import choose_cap
from uplift.metric_plan import PlannedMetric
from uplift.metrics import Metric
from uplift.sizing.baseline import Baseline, planned_baseline
from uplift.sizing.comparison import Comparison
from uplift.sizing.history import (
    MIN_HISTORY,
    WINDOW_BEFORE,
    columns_of,
    is_number,
    measured_values,
    previous_window,
)
from uplift.sizing.revenue import conversion_rise
from uplift.sizing.way import NoWay, Plan, Way
from uplift.table import format_value

LEAST_EXPLAINED = 0.02  # of the variance: the smallest effect would fall by a hundredth
CAP_QUANTILE = 0.99  # of the customers with a value: what the largest hundredth has more is cut


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


def covariate(plan: Plan) -> Iterator[Way | NoWay]:
    """The one column that explains most of the metric, in place of the one that is in use."""
    metric, already = _metric(plan), plan.comparison.baseline.variance_reduction
    used = f"{metric.covariate} is in use and explains {format_value(already, 'share')}"
    columns = [name for name in (metric.column, metric.denominator) if name is not None]
    if plan.history is None or not set(columns) <= set(plan.history.columns):
        unknown = f"history does not show {metric.column} beside what was known before"
        yield NoWay("covariate", used if already > 0 else unknown)
        return
    found = {
        name: _baseline(plan, metric.model_copy(update={"covariate": name}))
        for name in plan.covariates
        if is_number(plan.history, name) and plan.history[name].nunique() > 1
    }
    if not found:
        yield NoWay("covariate", "history has no column from before")
        return
    best = max(found, key=lambda name: found[name].variance_reduction)
    share = format_value(found[best].variance_reduction, "share")
    if already > 0 and best == metric.covariate:
        yield NoWay("covariate", used)
    elif found[best].variance_reduction < LEAST_EXPLAINED:
        yield NoWay("covariate", f"the best of history, {best}, explains {share} of the spread")
    else:
        yield plan.way(
            "covariate",
            f"covariate {best}",
            plan.relative_with(found[best]),
            f"Adjust by {best}: it explains {share} of the spread.",
        )


def coarser_metric(plan: Plan) -> Iterator[Way | NoWay]:
    """Who buys instead of what they spend, and spend up to a cap."""
    metric = _metric(plan)
    if metric.kind != "mean":
        yield NoWay("coarser metric", f"a {metric.kind} is as coarse as can be")
        return
    if plan.comparison.baseline.two_part is not None:
        yield plan.way(
            "coarser metric",
            "conversion instead of revenue",
            conversion_rise(plan.comparison),
            "Decide by the share of buyers: larger baskets are not seen.",
        )
    capped = _capped(plan, metric)
    if capped is not None:
        cap = format_value(capped.cap, "number")
        yield plan.way(
            "coarser metric",
            f"{metric.name} up to {cap}",
            plan.relative_with(_baseline(plan, capped)),
            f"Count no customer for more than {cap}: what the largest spend beyond is not seen.",
        )
    elif plan.history is None:
        yield NoWay("coarser metric", "there is no history to measure one on")


def longer_window(plan: Plan) -> Iterator[Way | NoWay]:
    """Longer windows of the same number that history holds, e.g. 91 days where 28 are planned."""
    metric, now = _metric(plan), _metric(plan).window_days
    match = WINDOW_BEFORE.match(metric.covariate or "")
    unknown = NoWay("longer window", f"history shows no window longer than {now} days")
    if plan.history is None or match is None or metric.kind != "mean":
        yield unknown
        return
    found = False
    for name in plan.history.columns:
        other = WINDOW_BEFORE.match(str(name))
        if other is None or other["what"] != match["what"]:
            continue
        days = int(other["days"][:-1])
        if days <= now:
            continue
        found = True
        longer = metric.model_copy(
            update={"column": str(name), "covariate": str(name), "window_days": days}
        )
        baseline = _baseline(plan, longer)
        yield plan.way(
            "longer window",
            f"a window of {days} days",
            plan.relative_with(baseline),
            f"Watch for {days} days instead of {now}: an effect of the first days only is diluted.",
            price=_price_of_waiting(plan, baseline),
            extra_days=days - now,
        )
    if not found:
        yield unknown


def another_wave(plan: Plan) -> Iterator[Way | NoWay]:
    """The same customers and arms once more; both windows added up, as the last two were."""
    metric, history = _metric(plan), plan.history
    column = metric.covariate
    if history is None or metric.kind != "mean" or column not in history.columns:
        return
    earlier = previous_window(str(column), history)
    if earlier is None:
        return
    now = measured_values(metric, str(column), history)
    known = np.isfinite(now) & np.isfinite(earlier)
    if known.sum() < MIN_HISTORY or np.ptp(earlier[known]) == 0:
        return
    both = now[known] + earlier[known]
    summed = replace(
        plan.comparison.baseline,
        mean=float(both.mean()),
        std_dev=float(both.std(ddof=1)),
        variance_reduction=0.0,  # of two windows together it is not known
    )
    each = plan.profit_per_unit
    held_out = None if each is None else each * plan.arms[0].n_units
    yield plan.way(
        "more waves",
        "one more wave",
        plan.relative_with(summed),
        "Send once more to the same arms and add up both windows, if the second send works as "
        "well as the first.",
        price=None if held_out is None else plan.contact_cost + held_out,
        extra_days=metric.window_days,
    )


def _metric(plan: Plan) -> Metric:
    return plan.comparison.planned.metric


def _baseline(plan: Plan, metric: Metric) -> Baseline:
    return planned_baseline(plan.comparison.experiment, PlannedMetric(metric=metric), plan.history)


def _capped(plan: Plan, metric: Metric) -> Metric | None:
    """The metric with a cap that history suggests; None where it has one or shows none."""
    if plan.history is None or metric.cap is not None:
        return None
    columns = columns_of(metric, plan.history)
    if not columns:
        return None
    values = measured_values(metric, columns[0], plan.history)
    try:
        cap = choose_cap(values, quantile=CAP_QUANTILE)
    except DefinitionError:  # nothing would be left of it
        return None
    return metric.model_copy(update={"cap": float(f"{cap:.2g}")})


def _price_of_waiting(plan: Plan, longer: Baseline) -> float | None:
    """Margin of the effect sought on what the control would spend in the days that are added."""
    experiment, planned = plan.comparison.experiment, plan.comparison.planned
    is_value = planned.metric.column == experiment.money.value
    if not is_value or planned.minimum_effect is None:
        return None
    more = max(longer.mean - plan.comparison.baseline.mean, 0.0)
    each = experiment.money.margin_rate * planned.minimum_effect * more
    return plan.arms[0].n_units * each
