"""What an assignment did: how many units each step left, the arms, and whether the arms are alike.

Random assignment leaves differences between arms that chance explains; larger ones mean that
something after the draw removed or added units.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from uplift.assignment.assign import distinct_customers
from uplift.audience import eligible
from uplift.checks import Check, warning
from uplift.errors import DataError
from uplift.experiment import CONTROL, Experiment
from uplift.frames import UNIT, personal_id_warning, read_frame
from uplift.inference.doubly_robust import average
from uplift.inference.multiplicity import holm
from uplift.inference.sample_ratio import check_sample_ratio
from uplift.table import Column, Result, Table
from uplift.trial import NOT_FEATURES, checked_assignment

ALARM_P_VALUE = 1e-4  # after Holm, over all covariates and arms

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Step:
    """How many units were left after one step."""

    name: str
    n_units: int


@dataclass(frozen=True)
class ArmCount:
    """Units of one arm, and its designed and observed share."""

    arm: str
    n_units: int
    designed_share: float
    observed_share: float


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


@dataclass(frozen=True, repr=False)
class AssignmentReport(Result):
    """The steps in their order, the arms, the balance of covariates and the checks."""

    experiment: str
    digest: str
    steps: tuple[Step, ...]
    arms: tuple[ArmCount, ...]
    balance: tuple[Balance, ...]
    checks: tuple[Check, ...]

    @property
    def n_units(self) -> int:
        """Units assigned."""
        return sum(arm.n_units for arm in self.arms)

    def table(self) -> Table:
        """Units per arm."""
        columns = (
            Column("arm"),
            Column("units", kind="count"),
            Column("designed share", kind="share"),
            Column("observed share", kind="share"),
        )
        rows = [(a.arm, a.n_units, a.designed_share, a.observed_share) for a in self.arms]
        left = " → ".join(f"{step.name} {step.n_units:,}" for step in self.steps)
        return Table(f"Assignment {self.experiment}", columns, rows, note=left)

    def balance_table(self) -> Table:
        """Covariates of each treatment beside the control's."""
        columns = (
            Column("covariate"),
            Column("arm"),
            Column("control mean", kind="number"),
            Column("treatment mean", kind="number"),
            Column("standardised difference", kind="signed"),
            Column("p value", kind="p_value"),
        )
        rows = [
            (b.covariate, b.arm, b.control_mean, b.treatment_mean, b.difference, b.p_value)
            for b in self.balance
        ]
        return Table("Balance of covariates", columns, rows, note="p values adjusted by Holm.")

    def metrics(self) -> dict[str, float]:
        """Flat figures, for tracking."""
        figures = {f"assigned_{arm.arm}": float(arm.n_units) for arm in self.arms}
        differences = [abs(b.difference) for b in self.balance if np.isfinite(b.difference)]
        return {**figures, "largest_imbalance": max(differences, default=0.0)}


def assignment_report(
    experiment: Experiment, assigned: Any, customers: Any = None
) -> AssignmentReport:
    """Account for an assignment; with `customers`, also for who was left out and for balance.

    customers  the table the assignment was made from
    Errors: those of `checked_assignment`; FEATURE_ROWS_MISSING when an assigned unit is not there.
    """
    table = checked_assignment(experiment, assigned)
    checks = [_check_ratio(experiment, table)]
    steps: list[Step] = []
    balance: tuple[Balance, ...] = ()
    if customers is not None:
        steps, repeated = _steps(experiment, customers)
        checks += repeated
        balance = _balances(experiment, table, customers)
        checks += _check_balance(balance)
    personal = personal_id_warning(table[UNIT])
    return AssignmentReport(
        experiment=experiment.id,
        digest=experiment.digest,
        steps=(*steps, Step("assigned", len(table))),
        arms=_arm_counts(experiment, table),
        balance=balance,
        checks=(*checks, *([personal] if personal else [])),
    )


def _arm_counts(experiment: Experiment, table: pd.DataFrame) -> tuple[ArmCount, ...]:
    counts = table["arm"].value_counts()
    return tuple(
        ArmCount(arm, int(counts.get(arm, 0)), share, int(counts.get(arm, 0)) / max(len(table), 1))
        for arm, share in experiment.shares.items()
    )


def _check_ratio(experiment: Experiment, table: pd.DataFrame) -> Check:
    """Sample ratio of what was drawn: clusters where clusters were, units otherwise."""
    if table.empty:
        return warning("EMPTY", value=0, remedy="Nobody was assigned: see the audience rule.")
    drawn = table.drop_duplicates("cluster") if experiment.cluster else table
    counts = {str(arm): int(count) for arm, count in drawn["arm"].value_counts().items()}
    return check_sample_ratio(counts, shares=experiment.shares)


def _steps(experiment: Experiment, customers: Any) -> tuple[list[Step], list[Check]]:
    n_rows = len(read_frame(customers, what="customers"))
    table = distinct_customers(customers, cluster=experiment.cluster)
    n_eligible = int(eligible(table, experiment.audience).sum())
    steps = [Step("customers", len(table)), Step("eligible", n_eligible)]
    if n_rows == len(table):
        return steps, []
    remedy = "Identical rows of one customer were counted once; find out why they repeat."
    return steps, [warning("ID_DUPLICATE_SAME", value=n_rows - len(table), remedy=remedy)]


def _balances(experiment: Experiment, table: pd.DataFrame, customers: Any) -> tuple[Balance, ...]:
    covariates = distinct_customers(customers, cluster=experiment.cluster)
    names = [
        name
        for name in covariates.select_dtypes(["number", "bool"]).columns
        if name not in NOT_FEATURES
    ]
    joined = table[[UNIT, "arm"]].merge(
        covariates[[UNIT, *names]], on=UNIT, how="left", indicator=True
    )
    absent = int((joined.pop("_merge") != "both").sum())
    if absent:
        raise DataError(
            f"customers: {absent} assigned unit(s) have no row here. Give the customer table that "
            "the assignment was made from.",
            code="FEATURE_ROWS_MISSING",
            column=UNIT,
            count=absent,
        )
    cluster = pd.factorize(table["cluster"])[0] if experiment.cluster else None
    found = [
        one
        for name in names
        for one in _balance_of(experiment, joined["arm"], joined[name], cluster)
    ]
    adjusted = holm([one.p_value for one in found])
    return tuple(
        Balance(b.covariate, b.arm, b.control_mean, b.treatment_mean, b.difference, float(p))
        for b, p in zip(found, adjusted, strict=True)
    )


def _balance_of(
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


def _check_balance(balance: tuple[Balance, ...]) -> list[Check]:
    """The least balanced covariate; one check, blocking as a sample ratio mismatch is."""
    tested = [one for one in balance if np.isfinite(one.p_value)]
    if not tested:
        return []
    worst = min(tested, key=lambda one: one.p_value)
    return [
        Check(
            "balance",
            passed=worst.p_value >= ALARM_P_VALUE,
            value=worst.p_value,
            bound=ALARM_P_VALUE,
            remedy=f"{worst.covariate} differs between {worst.arm} and control by more than "
            "chance explains: look for units removed or added after the draw.",
            code="BALANCE",
        )
    ]
