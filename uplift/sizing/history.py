"""History as a plan reads it: a row per eligible customer, numbers, and what explains what.

Missing values stay missing, caps are applied as the analysis applies them.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.audience import eligible
from uplift.errors import DataError
from uplift.experiment import Experiment
from uplift.frames import LARGEST, UNIT, read_frame, require_unique
from uplift.inference.moments import Moments
from uplift.inference.planning_variance import explained_share
from uplift.inference.regression_adjustment import covariances_for
from uplift.metrics import Metric

WINDOW_BEFORE = re.compile(r"^(?P<what>\w+)_(?P<days>\d+d)_before$")  # e.g. spend_28d_before
MIN_HISTORY = 30  # customers; fewer say too little about a spread

Array = npt.NDArray[np.float64]


def eligible_history(experiment: Experiment, history: Any) -> pd.DataFrame:
    """The eligible rows of history, one per customer. Errors: AUDIENCE_COLUMN, ID_DUPLICATE."""
    table = read_frame(history, what="history")
    require_unique(table[UNIT], what="history")
    return table[eligible(table, experiment.audience)].reset_index(drop=True)


def columns_of(metric: Metric, history: pd.DataFrame) -> list[str]:
    """Columns of history that show the metric: its own, then its covariate, the time before."""
    names = (metric.column, metric.covariate)
    return [name for name in names if name is not None and name in history.columns]


def measured_values(metric: Metric, column: str, history: pd.DataFrame) -> Array:
    """A column of history as the metric counts it: capped, nan where nothing is known.

    Returns (n_units,). Errors: BASELINE_INVALID.
    """
    values = numbers_of(history, column)
    return values if metric.cap is None else np.minimum(values, metric.cap)


def numbers_of(history: pd.DataFrame, column: str) -> Array:
    """A column as numbers, nan where nothing is known. (n_units,). Errors: BASELINE_INVALID."""
    if not is_number(history, column):
        raise DataError(
            f"history: column {column!r} must hold numbers, found {history[column].dtype}. "
            "Convert it first.",
            code="BASELINE_INVALID",
            column=column,
        )
    return np.asarray(history[column].to_numpy(dtype=np.float64, na_value=np.nan))


def is_number(history: pd.DataFrame, column: str) -> bool:
    """Whether history has the column, and it holds numbers."""
    if column not in history.columns or column == UNIT:
        return False
    dtype = history[column].dtype
    return bool(pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype))


def known_values(values: Array, column: str) -> npt.NDArray[np.bool_]:
    """Where a value is known, (n_units,). Errors: BASELINE_INVALID when that is hardly anywhere."""
    known = np.abs(values) <= LARGEST
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
        return np.asarray(numbers_of(history, column) - numbers_of(history, change))
    twice = f"{window['what']}_{2 * int(window['days'][:-1])}d_before"
    if twice in history.columns:
        return np.asarray(numbers_of(history, twice) - numbers_of(history, column))
    return None


def explained(values: Array, history: pd.DataFrame, names: Sequence[str]) -> float:
    """Share of the variance of `values` that columns of history explain together, 0 to 1.

    The R squared that adjusting by them saves, less what as many columns of noise would explain;
    of the customers for whom all are known, 0 of fewer than `MIN_HISTORY`.
    """
    table = {name: numbers_of(history, name) for name in dict.fromkeys(names)}
    known = np.all([np.isfinite(column) for column in (values, *table.values())], axis=0)
    if not table or known.sum() < MIN_HISTORY:
        return 0.0
    moments = Moments.of(
        {"metric": values[known]} | {name: column[known] for name, column in table.items()},
        ["metric", *table],
        covariances_for(["metric"], list(table)),
    )
    return explained_share(moments, column="metric", covariates=list(table))
