"""Discounts that bought nothing: what customers redeemed who would have bought anyway.

Who would have bought anyway cannot be seen customer by customer, but it can be bounded. A voucher
is redeemed with a purchase. Of those who redeemed, the ones who would not have bought are among the
buyers that the campaign has won, and these are counted by the experiment:

    max(0, r - (b_t - b_c))  <=  share given away  <=  min(r, b_c)

with r the share of the treatment that redeemed, and b_t, b_c the shares of buyers in treatment and
control. What must hold: a voucher is redeemed with a purchase and once per customer, and the
campaign keeps nobody from buying.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from uplift.analysis.columns import REDEMPTION, bought
from uplift.analysis.readings import Readings
from uplift.experiment import CONTROL, Experiment
from uplift.inference.moments import Moments
from uplift.metrics import Metric

Known = Literal["bounds", "nothing redeemed", "no metric of buyers", "clusters", "several each"]
NOT_KNOWN = (float("nan"), float("nan"))
NOT_THE_SAME = 1e-6  # relative, of a variance from moments and that of a column of 0 and 1


@dataclass(frozen=True)
class GivenAway:
    """Redemption cost of customers who would have bought without the campaign, in total.

    known   bounds, or why there are none: nothing redeemed (it is 0) · no metric of buyers ·
            clusters (or customers drawn anew in every wave: not computed) · several each (a
            customer redeemed more than once, or the control redeems too)
    bounds  (least, most), in currency, 0 or more; (nan, nan) when not known
    ci      holds it, wherever in the bounds it lies, at the plan's confidence or more
    buyers  key of the metric that says who bought (of spend: who has any); None when there is none
    """

    known: Known
    bounds: tuple[float, float] = NOT_KNOWN
    ci: tuple[float, float] = NOT_KNOWN
    buyers: str | None = None


NOT_READ = GivenAway("no metric of buyers")
NOTHING = GivenAway("nothing redeemed", (0.0, 0.0), (0.0, 0.0))


def given_away(arm: str, experiment: Experiment, readings: Readings) -> GivenAway:
    """The bounds for one treatment, from plain means of its units and of the control's."""
    cost = float(experiment.economics.redemption_costs([arm])[0])
    found = _buyers(experiment, readings)
    if experiment.economics.redemption_outcome is None or cost == 0:
        return NOTHING
    if found is None:
        return NOT_READ
    key, buyers = found
    if readings.clustered or readings.customers is not None:
        return GivenAway("clusters", buyers=key)
    treated, control = readings.moments[arm], readings.moments[CONTROL]
    if not _once_each(treated, cost) or control.mean_of(REDEMPTION) != 0:
        return GivenAway("several each", buyers=key)
    level = readings.rule.confidence(readings.confidence)
    least, most, ci = _shares(treated, control, buyers, cost=cost, confidence=level)
    per_share = cost * readings.analysed[arm]
    return GivenAway(
        "bounds",
        (round(per_share * least, 2), round(per_share * most, 2)),
        (per_share * ci[0], per_share * ci[1]),
        key,
    )


def _buyers(experiment: Experiment, readings: Readings) -> tuple[str, str] | None:
    """The metric that says who bought, and its reading: who spends, where spend is primary."""
    primary = experiment.primary
    spends = primary.column == experiment.money.value
    if spends and bought(primary.key) in readings.moments[CONTROL].columns:
        return primary.key, bought(primary.key)
    metric = buyers_metric(experiment)
    return None if metric is None else (metric.key, metric.key)


def buyers_metric(experiment: Experiment) -> Metric | None:
    """The planned metric that says who bought; None when it is not clear which one does.

    The stage of the funnel in front of the one in money, when that is a proportion; otherwise the
    only proportion that is planned to rise.
    """
    by_key = {metric.key: metric for metric in experiment.all_metrics}
    stages = [by_key[key] for key in experiment.metrics.funnel]
    for before, stage in itertools.pairwise(stages):
        if stage.column == experiment.money.value:
            return before if before.kind == "proportion" and not before.delivery else None
    found = [
        planned.metric
        for role, planned in experiment.metrics.with_roles()
        if role != "guardrail" and _may_be_buyers(planned.metric)
    ]
    return found[0] if len(found) == 1 else None


def _may_be_buyers(metric: Metric) -> bool:
    return metric.kind == "proportion" and metric.direction == "up" and not metric.delivery


def _once_each(treated: Moments, cost: float) -> bool:
    """Whether every unit's redemption cost is 0 or that of one redemption, by its moments."""
    share, n = treated.mean_of(REDEMPTION) / cost, treated.count
    if share > 1:
        return False
    expected = cost**2 * share * (1 - share) * n / max(n - 1, 1)
    return math.isclose(treated.variance(REDEMPTION), expected, rel_tol=NOT_THE_SAME, abs_tol=1e-12)


def _shares(
    treated: Moments, control: Moments, buyers: str, *, cost: float, confidence: float
) -> tuple[float, float, tuple[float, float]]:
    """Least and most of the share given away, and an interval.

    Redeeming and buying go together, so the error of the lower bound is at most the sum of both.
    """
    redeemed = treated.mean_of(REDEMPTION) / cost
    buying, anyway = treated.mean_of(buyers), control.mean_of(buyers)
    error = _std_error(treated, REDEMPTION) / cost
    error_of_won = math.hypot(_std_error(treated, buyers), _std_error(control, buyers))
    least = redeemed - max(buying - anyway, 0.0)
    most = min(redeemed, anyway)
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    low = max(0.0, least - z * (error + error_of_won))
    high = min(1.0, redeemed + z * error)
    return max(0.0, min(least, most)), most, (low, high)


def _std_error(arm: Moments, column: str) -> float:
    return math.sqrt(arm.variance(column) / arm.count)
