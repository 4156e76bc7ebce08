"""Are the arms alike? Every covariate of each treatment beside the control's.

Random assignment leaves differences between arms that chance explains; larger ones mean that
something after the draw removed or added units. Where strata or rerandomisation made the arms more
alike than chance does, the p values are too large: such a draw raises fewer false alarms than it
may, and a true one is as loud as ever.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from uplift.checks import Check
from uplift.errors import DataError
from uplift.experiment import CONTROL, Experiment
from uplift.frames import UNIT, rows_by_id
from uplift.inference.doubly_robust import average
from uplift.inference.multiplicity import holm
from uplift.trial import NOT_FEATURES

ALARM_P_VALUE = 1e-4  # after Holm, over all covariates and arms

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Balance:
    """How one covariate differs between a treatment and the control.

    difference  standardised: difference in means / pooled standard deviation
    p_value     of no difference (by cluster where clusters were drawn), adjusted by Holm
    """

    covariate: str
    arm: str
    control_mean: float
    treatment_mean: float
    difference: float
    p_value: float


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
    adjusted = holm([one.p_value for one in found])
    return tuple(replace(b, p_value=float(p)) for b, p in zip(found, adjusted, strict=True))


def check_balance(balance: Iterable[Balance], *, name: str = "balance") -> list[Check]:
    """The least balanced covariate; one check, blocking as a sample ratio mismatch is."""
    tested = [one for one in balance if np.isfinite(one.p_value)]
    if not tested:
        return []
    worst = min(tested, key=lambda one: one.p_value)
    return [
        Check(
            name,
            passed=worst.p_value >= ALARM_P_VALUE,
            value=worst.p_value,
            bound=ALARM_P_VALUE,
            remedy=f"{worst.covariate} differs between {worst.arm} and control by more than "
            "chance explains: look for units removed or added after the draw.",
            code=name.upper(),
        )
    ]


def _one_covariate(
    experiment: Experiment, arm: pd.Series, column: pd.Series, cluster: IntArray | None
) -> Iterator[Balance]:
    """One covariate in each treatment against the control, p values unadjusted."""
    values = column.to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(values)
    means = {}
    for name in experiment.arm_names:
        rows = known & (arm == name).to_numpy(dtype=np.bool_)
        means[name] = _mean_of(values[rows], None if cluster is None else cluster[rows])
    control_mean, control_error, control_variance = means[CONTROL]
    for treatment in experiment.treatments:
        mean, error, variance = means[treatment.name]
        spread = float(np.sqrt((variance + control_variance) / 2))
        gap, std_error = mean - control_mean, float(np.hypot(error, control_error))
        yield Balance(
            covariate=str(column.name),
            arm=treatment.name,
            control_mean=control_mean,
            treatment_mean=mean,
            difference=gap / spread if spread > 0 else (0.0 if gap == 0 else float("nan")),
            p_value=_p_value(gap, std_error),
        )


def _p_value(gap: float, std_error: float) -> float:
    """Two-sided; where nothing varies, any difference is one; nan when an arm has no mean."""
    if std_error == 0:
        return 1.0 if gap == 0 else 0.0
    return float(2 * stats.norm.sf(abs(gap) / std_error))


def _mean_of(values: Array, cluster: IntArray | None) -> tuple[float, float, float]:
    """Mean, its standard error and the variance; nan below two units."""
    if len(values) < 2:
        return float("nan"), float("nan"), float("nan")
    codes = None if cluster is None else np.unique(cluster, return_inverse=True)[1]
    found = average(values, cluster=codes)
    return found.value, found.std_error, float(values.var(ddof=1))
