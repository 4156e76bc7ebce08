"""Are the arms of a draw alike? Every covariate of each treatment beside the control's, from rows.

The tests themselves, and the check, are in `inference.balance_tests`.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.errors import DataError
from uplift.experiment import CONTROL, Experiment
from uplift.frames import LARGEST, UNIT, rows_by_id
from uplift.inference.balance_tests import Balance, adjusted_balance, compared_means, pooled_spread
from uplift.inference.doubly_robust import average
from uplift.trial import NOT_FEATURES

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def covariates_in(customers: pd.DataFrame) -> list[str]:
    """Columns of numbers that describe a customer."""
    numbers = customers.select_dtypes(["number", "bool"]).columns
    return [str(name) for name in numbers if name not in NOT_FEATURES]


def balance_of(
    experiment: Experiment, assigned: pd.DataFrame, customers: pd.DataFrame, names: Iterable[str]
) -> tuple[Balance, ...]:
    """Each covariate in each treatment against the control; p values adjusted by Holm.

    Errors: FEATURE_ROWS_MISSING when an assigned unit is not among the customers.
    """
    row = rows_by_id(assigned[UNIT], among=customers[UNIT])
    absent = int((row < 0).sum())
    if absent:
        raise DataError(
            f"customers: {absent} assigned unit(s) have no row here. Give the customer table that "
            "the assignment was made from.",
            code="FEATURE_ROWS_MISSING",
            column=UNIT,
            count=absent,
        )
    cluster = pd.factorize(assigned["cluster"])[0] if experiment.cluster else None
    found = [
        one
        for name in names
        for one in _one_covariate(experiment, assigned["arm"], customers[name].take(row), cluster)
    ]
    return adjusted_balance(found)


def _one_covariate(
    experiment: Experiment, arm: pd.Series, column: pd.Series, cluster: IntArray | None
) -> Iterator[Balance]:
    """One covariate in each treatment against the control, p values unadjusted."""
    values = column.to_numpy(np.float64, na_value=np.nan)
    known = np.abs(values) <= LARGEST
    means = {}
    for name in experiment.arm_names:
        rows = known & (arm == name).to_numpy(dtype=np.bool_)
        means[name] = _mean_of(values[rows], None if cluster is None else cluster[rows])
    control_mean, control_error, control_variance = means[CONTROL]
    for treatment in experiment.treatments:
        mean, error, variance = means[treatment.name]
        yield compared_means(
            covariate=str(column.name),
            arm=treatment.name,
            control_mean=control_mean,
            treatment_mean=mean,
            spread=pooled_spread(variance, control_variance),
            std_error=float(np.hypot(error, control_error)),
        )


def _mean_of(values: Array, cluster: IntArray | None) -> tuple[float, float, float]:
    """Mean, its standard error and the variance; nan below two units."""
    if len(values) < 2:
        return float("nan"), float("nan"), float("nan")
    codes = None if cluster is None else np.unique(cluster, return_inverse=True)[1]
    found = average(values, cluster=codes)
    return found.value, found.std_error, float(values.var(ddof=1))
