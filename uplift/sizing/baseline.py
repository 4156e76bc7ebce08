"""What is known about a metric before the experiment: mean, spread, and what a covariate explains.

Measured on history where there is one; otherwise as the plan assumes.
"""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.errors import DataError, DefinitionError
from uplift.experiment import PlannedMetric
from uplift.frames import UNIT
from uplift.inference.clusters import ClusterHistory, cluster_history
from uplift.inference.moments import Moments
from uplift.inference.planning_variance import ratio_variance
from uplift.inference.power import bernoulli_variance
from uplift.inference.skewness import Shape
from uplift.inference.two_part import TwoPart
from uplift.metrics import Metric

WINDOW_BEFORE = re.compile(r"^(?P<what>\w+)_(?P<days>\d+d)_before$")  # e.g. spend_28d_before
MIN_HISTORY = 30  # customers; fewer say too little about a spread
TWO_PART_ZEROS = 0.5  # share of customers at 0 from which buyers and baskets are planned apart

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Baseline:
    """A metric per unit without the campaign, in the metric's unit.

    std_dev             of a ratio: of its linearised value per unit (delta method)
    source              "history: <column>" or "plan"
    variance_reduction  share of the variance that the metric's covariate explains; 0 when unknown,
                        and where clusters are drawn, because those are read without adjustment
    design_effect       variance of a mean over randomised clusters / over randomised units
    clusters            what history says of the clusters; None where none are drawn or shown
    shape               measured mean, variance and higher moments, of means only
    two_part            buyers and baskets, of a mean that is 0 for most customers
    """

    mean: float
    std_dev: float
    source: str
    variance_reduction: float = 0.0
    design_effect: float = 1.0
    clusters: ClusterHistory | None = None
    shape: Shape | None = None
    two_part: TwoPart | None = None

    @property
    def variance(self) -> float:
        """Variance per unit that the analysis will face."""
        return self.std_dev**2 * self.factor

    @property
    def factor(self) -> float:
        """What covariate and clusters together make of the plain variance."""
        return (1 - self.variance_reduction) * self.design_effect


def baseline_of(
    planned: PlannedMetric, history: pd.DataFrame | None, *, cluster: str | None = None
) -> Baseline:
    """Baseline of a planned metric.

    From the metric's own column in history; else from its covariate, the same number of the time
    before; else from the plan. A covariate explains its squared correlation with the metric; where
    only the covariate is there, that of two equal windows in a row (see `previous_window`).

    A ratio needs both its columns. It is planned by its linearised value per unit,

        ratio + (y - ratio z) / mean(z),   ratio = sum(y) / sum(z)

    whose mean is the ratio and whose variance is that of the delta method.

    Errors: BASELINE_MISSING, BASELINE_INVALID.
    """
    metric = planned.metric
    if history is not None and metric.denominator is not None:
        if {metric.column, metric.denominator} <= set(history.columns):
            return _measured_ratio(metric, history, cluster=cluster)
    elif history is not None:
        for column in (metric.column, metric.covariate):
            if column and column in history.columns:
                return _measured(metric, column, history, cluster=cluster)
    return _assumed(planned)


def measured_values(metric: Metric, column: str, history: pd.DataFrame) -> Array:
    """A column of history as the metric counts it: capped, nan where nothing is known.

    Returns (n_units,). Errors: BASELINE_INVALID.
    """
    values = _numbers(history, column)
    return values if metric.cap is None else np.minimum(values, metric.cap)


def _measured(
    metric: Metric, column: str, history: pd.DataFrame, *, cluster: str | None
) -> Baseline:
    values = measured_values(metric, column, history)
    known = _known(values, column)
    mean, variance = float(values[known].mean()), float(values[known].var(ddof=1))
    proportion = metric.kind == "proportion"
    if proportion:
        _check_proportion(metric, mean)
        variance = bernoulli_variance(mean)
    clusters = _clusters(values, known, history, cluster)
    mostly_zero = not proportion and float(np.mean(values[known] == 0)) >= TWO_PART_ZEROS
    enough = np.count_nonzero(values[known]) >= 2
    return Baseline(
        mean=mean,
        std_dev=float(np.sqrt(variance)),
        source=f"history: {column}",
        variance_reduction=0.0
        if cluster is not None  # whole clusters are read without adjustment
        else _variance_reduction(metric, column, history, values),
        design_effect=1.0 if clusters is None else clusters.design_effect,
        clusters=clusters,
        shape=None if proportion else Shape.of(values[known]),
        two_part=TwoPart.of(values[known]) if mostly_zero and enough else None,
    )


def _measured_ratio(metric: Metric, history: pd.DataFrame, *, cluster: str | None) -> Baseline:
    """Both columns of a ratio. It is not adjusted by a covariate, because its analysis is not."""
    top, below = metric.column, str(metric.denominator)
    y, z = measured_values(metric, top, history), _numbers(history, below)
    known = _known(y + z, top)
    moments = Moments.of({top: y[known], below: z[known]}, [top, below], [(top, below)])
    variance = ratio_variance(moments, numerator=top, denominator=below)
    base = moments.mean_of(below)
    value = moments.mean_of(top) / base
    clusters = _clusters(value + (y - value * z) / base, known, history, cluster)
    return Baseline(
        mean=value,
        std_dev=float(np.sqrt(variance)),
        source=f"history: {top} / {below}",
        design_effect=1.0 if clusters is None else clusters.design_effect,
        clusters=clusters,
    )


def _known(values: Array, column: str) -> npt.NDArray[np.bool_]:
    known = np.isfinite(values)
    if known.sum() < MIN_HISTORY:
        raise DataError(
            f"history: column {column!r} has {int(known.sum())} eligible customers with a value; "
            f"at least {MIN_HISTORY} are needed to plan with. Give more history, or leave it out "
            "and state expected_mean and expected_std_dev.",
            code="BASELINE_INVALID",
            column=column,
            count=int(known.sum()),
        )
    return known


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
    return Baseline(mean, std_dev, "plan")


def _variance_reduction(metric: Metric, column: str, history: pd.DataFrame, values: Array) -> float:
    """Squared correlation of the metric with its covariate, as far as history shows it."""
    if metric.covariate is None:
        return 0.0
    if column != metric.covariate:
        if metric.covariate not in history.columns:
            return 0.0
        return _squared_correlation(values, _numbers(history, metric.covariate))
    earlier = previous_window(column, history)
    return 0.0 if earlier is None else _squared_correlation(values, earlier)


def previous_window(column: str, history: pd.DataFrame) -> Array | None:
    """The window of the same length just before that of `column`, where history shows it.

    Of `spend_28d_before`: less `spend_change_28d`; of `spend_91d_before`: `spend_182d_before`,
    twice as long, less itself. Returns (n_units,), or None.
    """
    window = WINDOW_BEFORE.match(column)
    if window is None:
        return None
    change = f"{window['what']}_change_{window['days']}"
    if change in history.columns:
        return np.asarray(_numbers(history, column) - _numbers(history, change))
    twice = f"{window['what']}_{2 * int(window['days'][:-1])}d_before"
    if twice in history.columns:
        return np.asarray(_numbers(history, twice) - _numbers(history, column))
    return None


def _squared_correlation(first: Array, second: Array) -> float:
    known = np.isfinite(first) & np.isfinite(second)
    if known.sum() < MIN_HISTORY or np.ptp(first[known]) == 0 or np.ptp(second[known]) == 0:
        return 0.0
    return float(np.corrcoef(first[known], second[known])[0, 1] ** 2)


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


def _numbers(history: pd.DataFrame, column: str) -> Array:
    if column == UNIT or not (
        pd.api.types.is_numeric_dtype(history[column].dtype)
        or pd.api.types.is_bool_dtype(history[column].dtype)
    ):
        raise DataError(
            f"history: column {column!r} must hold numbers, found {history[column].dtype}. "
            "Convert it first.",
            code="BASELINE_INVALID",
            column=column,
        )
    return np.asarray(history[column].to_numpy(dtype=np.float64, na_value=np.nan))


def _check_proportion(metric: Metric, mean: float) -> None:
    if not 0 <= mean <= 1:
        raise DefinitionError(
            f"{metric.key} is a proportion, so its mean must be between 0 and 1, got {mean:g}. "
            "Give the share of customers, e.g. 0.05.",
            code="BASELINE_INVALID",
            column=metric.column,
        )
