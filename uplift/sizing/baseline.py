"""What is known about a metric before the experiment: mean, spread, and what a covariate explains.

Measured on history where there is one; otherwise as the plan assumes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.errors import DataError, DefinitionError
from uplift.experiment import Experiment
from uplift.inference.clusters import ClusterHistory, cluster_history
from uplift.inference.moments import Moments
from uplift.inference.planning_variance import ratio_variance
from uplift.inference.power import bernoulli_variance
from uplift.inference.skewness import Shape
from uplift.inference.two_part import TwoPart
from uplift.metric_plan import PlannedMetric
from uplift.metrics import Metric
from uplift.sizing.history import (
    columns_of,
    explained,
    is_number,
    known_values,
    measured_values,
    numbers_of,
    previous_window,
)

TWO_PART_ZEROS = 0.5  # share of customers at 0 from which buyers and baskets are planned apart

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Baseline:
    """A metric per unit without the campaign, in the metric's unit.

    std_dev             of a ratio: of its linearised value per unit (delta method)
    source              "history: <column>" or "plan"
    variance_reduction  share of the variance that the covariates explain, of clusters' totals where
                        clusters are drawn; 0 when unknown
    design_effect       variance of a mean over randomised clusters / over randomised units
    clusters            what history says of the clusters; None where none are drawn or shown
    shape               mean, variance and higher moments, of means only
    two_part            buyers and baskets, of a mean that is 0 for most customers
    n_buyers            customers of history with a value other than 0, of such a mean
    """

    mean: float
    std_dev: float
    source: str
    variance_reduction: float = 0.0
    design_effect: float = 1.0
    clusters: ClusterHistory | None = None
    shape: Shape | None = None
    two_part: TwoPart | None = None
    n_buyers: int | None = None

    @property
    def variance(self) -> float:
        """Variance per unit that the analysis will face."""
        return self.std_dev**2 * self.factor

    @property
    def factor(self) -> float:
        """What covariate and clusters together make of the plain variance."""
        return (1 - self.variance_reduction) * self.design_effect


def planned_baseline(
    experiment: Experiment, planned: PlannedMetric, history: pd.DataFrame | None
) -> Baseline:
    """`baseline_of` with the experiment's clusters, and the columns that adjust every metric."""
    beside = (*experiment.analysis.covariates, *experiment.assignment.balance)
    return baseline_of(planned, history, cluster=experiment.cluster, covariates=beside)


def baseline_of(
    planned: PlannedMetric,
    history: pd.DataFrame | None,
    *,
    cluster: str | None = None,
    covariates: Sequence[str] = (),
) -> Baseline:
    """What history or the plan says of a metric.

    From the metric's own column in history; else from its covariate, the same number of the time
    before; else from the plan. A metric that is the same for everybody in history shows no spread,
    so the plan must state it. Covariates (the metric's own and those of the analysis) explain their
    R squared; where only the metric's covariate is there, that of two equal windows in a row (see
    `previous_window`).

    A ratio needs both its columns. It is planned by its linearised value per unit,

        ratio + (y - ratio z) / mean(z),   ratio = sum(y) / sum(z)

    whose mean is the ratio and whose variance is that of the delta method.

    Errors: BASELINE_MISSING, BASELINE_INVALID.
    """
    metric = planned.metric
    found = None
    if history is not None and metric.denominator is not None:
        if {metric.column, metric.denominator} <= set(history.columns):
            own = [name for name in (metric.covariate, *covariates) if name is not None]
            found = _measured_ratio(metric, history, cluster=cluster, covariates=own)
    elif history is not None:
        for column in columns_of(metric, history)[:1]:
            names = [name for name in (metric.covariate, *covariates) if name is not None]
            found = _measured(metric, column, history, cluster=cluster, covariates=names)
    return _assumed(planned) if found is None or _says_nothing(planned, found) else found


def _says_nothing(planned: PlannedMetric, found: Baseline) -> bool:
    """Whether history shows no spread, so that the plan has to say it; a rare harm may be 0."""
    metric = planned.metric
    if found.std_dev > 0 or (metric.kind == "proportion" and planned.margin is not None):
        return False
    if planned.expected_mean is None:
        raise DataError(
            f"{metric.key} is {found.mean:g} for every eligible customer of history "
            f"({found.source}), so its spread is not known. Give a history in which it varies, or "
            "state expected_mean (and expected_std_dev, unless it is a proportion) in the plan.",
            code="BASELINE_INVALID",
            column=metric.column,
        )
    return True


def _measured(
    metric: Metric,
    column: str,
    history: pd.DataFrame,
    *,
    cluster: str | None,
    covariates: Sequence[str],
) -> Baseline:
    values = measured_values(metric, column, history)
    known = known_values(values, column)
    mean, variance = float(values[known].mean()), float(values[known].var(ddof=1))
    proportion = metric.kind == "proportion"
    if proportion:
        _check_proportion(metric, mean)
        variance = bernoulli_variance(mean)
    clusters = _clusters(values, known, history, cluster)
    n_buyers = int(np.count_nonzero(values[known]))
    mostly_zero = not proportion and n_buyers <= TWO_PART_ZEROS * known.sum()
    return Baseline(
        mean=mean,
        std_dev=float(np.sqrt(variance)),
        source=f"history: {column}",
        variance_reduction=_variance_reduction(
            metric, column, history, values, covariates, cluster=cluster
        ),
        design_effect=1.0 if clusters is None else clusters.design_effect,
        clusters=clusters,
        shape=None if proportion else Shape.of(values[known]),
        two_part=TwoPart.of(values[known]) if mostly_zero and n_buyers >= 2 else None,
        n_buyers=n_buyers if mostly_zero else None,
    )


def _measured_ratio(
    metric: Metric, history: pd.DataFrame, *, cluster: str | None, covariates: Sequence[str]
) -> Baseline:
    """Both columns of a ratio, by its linearised value per unit."""
    top, below = metric.column, str(metric.denominator)
    y, z = measured_values(metric, top, history), numbers_of(history, below)
    known = known_values(y + z, top)
    moments = Moments.of({top: y[known], below: z[known]}, [top, below], [(top, below)])
    variance = ratio_variance(moments, numerator=top, denominator=below)
    base = moments.mean_of(below)
    value = moments.mean_of(top) / base
    linear = value + (y - value * z) / base
    clusters = _clusters(linear, known, history, cluster)
    there = [name for name in covariates if name in history.columns]
    return Baseline(
        mean=value,
        std_dev=float(np.sqrt(variance)),
        source=f"history: {top} / {below}",
        variance_reduction=_explained(linear, history[there], _codes(history, cluster)),
        design_effect=1.0 if clusters is None else clusters.design_effect,
        clusters=clusters,
    )


def _assumed(planned: PlannedMetric) -> Baseline:
    metric, mean, std_dev = planned.metric, planned.expected_mean, planned.expected_std_dev
    if mean is not None and metric.kind == "proportion":
        _check_proportion(metric, mean)
        std_dev = float(np.sqrt(bernoulli_variance(mean)))
    if mean is None or std_dev is None:
        joint = " or " if metric.denominator is None else " and "
        other = metric.covariate if metric.denominator is None else metric.denominator
        columns = joint.join(repr(name) for name in (metric.column, other) if name)
        raise DefinitionError(
            f"{metric.key}: nothing is known about it. Give history with the column {columns}, or "
            "state expected_mean (and expected_std_dev, unless it is a proportion) in the plan.",
            code="BASELINE_MISSING",
            column=metric.column,
        )
    part = _assumed_parts(planned, mean, std_dev)
    shape = None if part is None else part.whole
    return Baseline(mean, std_dev, "plan", shape=shape, two_part=part)


def _assumed_parts(planned: PlannedMetric, mean: float, std_dev: float) -> TwoPart | None:
    """Buyers and lognormal baskets with the mean and the spread that the plan states."""
    share = planned.expected_buyers
    if share is None or planned.metric.kind != "mean":
        return None
    basket = mean / share
    spread = (std_dev**2 + mean**2) / share - basket**2
    if not (mean > 0 and spread > 0):
        raise DefinitionError(
            f"{planned.metric.key}: a share of {share:g} buyers alone spreads more than the "
            f"expected_std_dev of {std_dev:g} with a mean of {mean:g}. Correct one of them.",
            code="BASELINE_INVALID",
            column=planned.metric.column,
        )
    return TwoPart.lognormal(buyer_share=share, mean=basket, std=math.sqrt(spread))


def _variance_reduction(
    metric: Metric,
    column: str,
    history: pd.DataFrame,
    values: Array,
    covariates: Sequence[str],
    *,
    cluster: str | None,
) -> float:
    """R squared of the metric on its covariates, as far as history shows it."""
    codes = _codes(history, cluster)
    if column != metric.covariate:
        there = [name for name in covariates if is_number(history, name)]
        return _explained(values, history[there], codes)
    earlier = previous_window(column, history)
    if earlier is None:
        return 0.0
    return _explained(values, pd.DataFrame({column: earlier}), codes)


def _explained(
    values: Array, covariates: pd.DataFrame, codes: npt.NDArray[np.int64] | None
) -> float:
    """R squared of units, or of the totals of clusters about the overall mean."""
    names = list(covariates.columns)
    if codes is None or not names:
        return explained(values, covariates, names) if names else 0.0
    numbers = covariates.astype(np.float64)
    known = np.isfinite(values)
    away = np.where(known, values - values[known].mean(), 0.0)
    totals = numbers.fillna(numbers.mean()).groupby(codes).sum()
    of_clusters = np.bincount(codes, weights=away).astype(np.float64)
    return explained(of_clusters, totals.reset_index(drop=True), names)


def _codes(history: pd.DataFrame, cluster: str | None) -> npt.NDArray[np.int64] | None:
    """Code of each customer's cluster; None where none are drawn or shown."""
    if cluster is None or cluster not in history.columns:
        return None
    return np.asarray(pd.factorize(history[cluster])[0], dtype=np.int64)


def _clusters(
    values: Array, known: npt.NDArray[np.bool_], history: pd.DataFrame, cluster: str | None
) -> ClusterHistory | None:
    """What history says of the drawn clusters; None when it shows none with two members."""
    if cluster is None or cluster not in history.columns:
        return None
    codes = pd.factorize(history.loc[known, cluster])[0]
    if not 2 <= len(np.unique(codes)) < len(codes):
        return None
    return cluster_history(values[known], codes)


def _check_proportion(metric: Metric, mean: float) -> None:
    if not 0 <= mean <= 1:
        raise DefinitionError(
            f"{metric.key} is a proportion, so its mean must be between 0 and 1, got {mean:g}. "
            "Give the share of customers, e.g. 0.05.",
            code="BASELINE_INVALID",
            column=metric.column,
        )
