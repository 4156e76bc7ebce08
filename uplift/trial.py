"""A trial: who was assigned what, and what happened, ready for analysis and models.

The one place where assignment, outcomes and customers are joined (by id, never by position) and
checked. Everything after it trusts the trial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.checks import Check, warning
from uplift.economics import Economics
from uplift.errors import DataError
from uplift.experiment import Experiment
from uplift.frames import UNIT, personal_id_warning, read_frame, require_unique
from uplift.metrics import Metric
from uplift.table import Column, Result, Table

SMALL_ARM = 30  # units; below this a normal interval is doubtful
DOMINANT_SHARE = 0.5  # of a metric's total held by one unit: the mean is that unit's story
NOT_FEATURES = frozenset({UNIT, "as_of", "household", "cluster", "arm", "propensity", "stratum"})

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Trial(Result):
    """Features, arm and outcomes of n units.

    units       (n_units,)          ids, text
    features    n_units rows        known before assignment
    arms        names, control first
    arm         (n_units,)          column of the arm received, 0 is control
    outcomes    by name, (n_units,) unit of the metric; finite
    propensity  (n_units, n_arms)   probability of each arm by design, rows sum to 1
    primary     name of the outcome that decides
    cluster     (n_units,)          code of the randomised cluster; None when units were randomised
    weight      (n_units,)          None means every unit counts once
    economics   worth and costs; None when effects are not turned into money
    notices     warnings of the join, shown with every result
    """

    units: npt.NDArray[np.object_]
    features: pd.DataFrame
    arms: tuple[str, ...]
    arm: IntArray
    outcomes: Mapping[str, Array]
    propensity: Array
    primary: str
    experiment: str = "unregistered"
    cluster: IntArray | None = None
    weight: Array | None = None
    economics: Economics | None = None
    notices: tuple[Check, ...] = field(default=())

    def __post_init__(self) -> None:
        _check_lengths(self)
        _check_arms(self)
        _check_propensity(self.propensity)
        for name, values in self.outcomes.items():
            _refuse_not_finite(values, column=name)

    @classmethod
    def join(
        cls,
        experiment: Experiment,
        assigned: Any,
        outcomes: Any,
        customers: Any = None,
        *,
        missing: Literal["refuse", "zero", "drop"] = "refuse",
    ) -> "Trial":
        """Join a registered experiment's assignment, outcomes and customers by `unit`.

        outcomes  one row per unit with the experiment's outcome columns
        missing   what an assigned unit without an outcome means: an error, 0, or left out
        """
        joined, notices = join_outcomes(experiment, assigned, outcomes, missing=missing)
        features = features_of(joined[UNIT], customers)
        arm = joined["arm"].map({name: i for i, name in enumerate(experiment.arm_names)})
        shares = np.array(list(experiment.shares.values()))
        return cls(
            units=joined[UNIT].to_numpy(dtype=object),
            features=features,
            arms=experiment.arm_names,
            arm=np.asarray(arm, dtype=np.int64),
            outcomes={
                name: joined[name].to_numpy(np.float64) for name in experiment.outcome_columns
            },
            propensity=np.tile(shares, (len(joined), 1)),
            primary=experiment.primary.column,
            experiment=experiment.id,
            cluster=pd.factorize(joined["cluster"])[0] if experiment.cluster else None,
            economics=experiment.economics,
            notices=notices,
        )

    @property
    def n_units(self) -> int:
        """How many units."""
        return len(self.arm)

    @property
    def n_arms(self) -> int:
        """How many arms, control included."""
        return len(self.arms)

    @property
    def counts(self) -> dict[str, int]:
        """Units per arm."""
        return dict(
            zip(self.arms, np.bincount(self.arm, minlength=self.n_arms).tolist(), strict=True)
        )

    def table(self) -> Table:
        """Units and mean outcomes per arm."""
        names = list(self.outcomes)
        columns = [Column("arm"), Column("units", kind="count")]
        columns += [Column(name, kind="number") for name in names]
        rows = [
            (
                arm,
                int((self.arm == i).sum()),
                *(float(self.outcomes[name][self.arm == i].mean()) for name in names),
            )
            for i, arm in enumerate(self.arms)
        ]
        return Table(f"Trial {self.experiment}: mean outcome per unit", columns, rows)


def join_outcomes(
    experiment: Experiment,
    assigned: Any,
    outcomes: Any,
    *,
    missing: Literal["refuse", "zero", "drop"] = "refuse",
) -> tuple[pd.DataFrame, tuple[Check, ...]]:
    """One row per assigned unit with its arm and outcomes, and the warnings met on the way."""
    assignment = checked_assignment(experiment, assigned)
    table = read_frame(outcomes, what="outcomes", require=experiment.outcome_columns)
    require_unique(table[UNIT], what="outcomes")
    notices = [notice for notice in (personal_id_warning(assignment[UNIT]),) if notice]
    unknown = ~table[UNIT].isin(assignment[UNIT])
    if unknown.any():
        notices.append(
            warning(
                "EXPOSED_UNASSIGNED",
                value=int(unknown.sum()),
                remedy="These units have outcomes but no assignment; they are left out, never "
                "counted as control. Find out where they come from.",
            )
        )
    values = table[[UNIT, *experiment.outcome_columns]]
    joined = assignment.merge(values, on=UNIT, how="left", validate="one_to_one")
    columns = list(experiment.outcome_columns)
    if missing == "drop":
        joined = joined[joined[columns].notna().all(axis=1)].reset_index(drop=True)
    for name in columns:
        fill = 0.0 if missing == "zero" else None
        joined[name] = _outcome_column(joined[name], name, fill=fill)
    for metric in experiment.all_metrics:
        _check_metric_values(metric, joined[metric.column].to_numpy(np.float64))
        notices += _dominance(metric, joined[metric.column].to_numpy(np.float64))
    return joined, tuple(notices)


def checked_assignment(experiment: Experiment, assigned: Any) -> pd.DataFrame:
    """An assignment table whose ids, arms and propensities are those of the experiment."""
    table = read_frame(assigned, what="assignment", require=["arm"])
    _check_arm_labels(table["arm"], experiment.arm_names)
    _check_one_arm_per_unit(table)
    if "propensity" in table.columns:
        designed = table["arm"].map(experiment.shares).to_numpy(np.float64)
        recorded = table["propensity"].to_numpy(np.float64)
        wrong = np.flatnonzero(~np.isclose(designed, recorded, rtol=0, atol=1e-9))
        if len(wrong):
            raise DataError(
                f"assignment: {len(wrong)} unit(s) carry a propensity that is not the designed "
                f"share of their arm (first row {wrong[0] + 1}: {recorded[wrong[0]]} recorded, "
                f"{designed[wrong[0]]} designed). Use the assignment this experiment made.",
                code="PROPENSITY_MISMATCH",
                column="propensity",
                count=len(wrong),
                rows=[int(row) + 1 for row in wrong[:5]],
            )
    if experiment.cluster and "cluster" not in table.columns:
        raise DataError(
            f"assignment: {experiment.id} randomises by {experiment.cluster}, so the column "
            "'cluster' is needed.",
            code="COLUMN_MISSING",
            column="cluster",
        )
    return table


def features_of(units: pd.Series, customers: Any) -> pd.DataFrame:
    """Rows of the customer table in the order of the units, without ids and design columns."""
    if customers is None:
        return pd.DataFrame(index=range(len(units)))
    table = read_frame(customers, what="customers")
    require_unique(table[UNIT], what="customers")
    aligned = units.to_frame().merge(table, on=UNIT, how="left", indicator=True)
    absent = (aligned.pop("_merge") != "both").to_numpy()
    if absent.any():
        raise DataError(
            f"customers: {int(absent.sum())} assigned unit(s) have no row here. "
            "Give the customer table that the assignment was made from.",
            code="FEATURE_ROWS_MISSING",
            column=UNIT,
            count=int(absent.sum()),
            rows=[int(row) + 1 for row in np.flatnonzero(absent)[:5]],
        )
    return aligned[[name for name in aligned.columns if name not in NOT_FEATURES]]


def _check_arm_labels(labels: pd.Series, known: Sequence[str]) -> None:
    null = labels.isna().to_numpy()
    if null.any():
        raise DataError(
            f"assignment: {int(null.sum())} unit(s) have no arm, first in row "
            f"{int(np.flatnonzero(null)[0]) + 1}. Repair the assignment.",
            code="ARM_NULL",
            column="arm",
            count=int(null.sum()),
            rows=[int(row) + 1 for row in np.flatnonzero(null)[:5]],
        )
    for label in labels.unique():
        if label not in known:
            near = get_close_matches(str(label).strip().lower(), known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"assignment: arm {label!r} is not an arm of the experiment "
                f"({', '.join(known)}).{hint}",
                code="ARM_UNKNOWN",
                column="arm",
                count=int((labels == label).sum()),
            )


def _check_one_arm_per_unit(table: pd.DataFrame) -> None:
    repeated = table[UNIT].duplicated(keep=False)
    if not repeated.any():
        return
    n_arms = table[repeated].groupby(UNIT)["arm"].nunique()
    torn = int((n_arms > 1).sum())
    if torn:
        raise DataError(
            f"assignment: {torn} unit(s) are in two arms ({torn / table[UNIT].nunique():.2%}). "
            "Remove both rows of each, and record that you did.",
            code="ID_TWO_ARMS",
            column=UNIT,
            count=torn,
            rows=[int(row) + 1 for row in np.flatnonzero(repeated.to_numpy())[:5]],
        )
    require_unique(table[UNIT], what="assignment")


def _outcome_column(column: pd.Series, name: str, *, fill: float | None) -> Array:
    if not (
        pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype)
    ):
        found = next((value for value in column if isinstance(value, str)), column.iloc[0])
        raise DataError(
            f"outcomes: column {name!r} must hold numbers, found {found!r}. "
            "Write numbers with a decimal point and no currency sign.",
            code="OUTCOME_NOT_NUMERIC",
            column=name,
        )
    values = column.to_numpy(np.float64)
    if fill is not None:
        values = np.where(np.isnan(values), fill, values)
    missing = np.flatnonzero(np.isnan(values))
    if len(missing):
        raise DataError(
            f"outcomes: column {name!r} is missing for {len(missing)} assigned unit(s), first in "
            f"row {missing[0] + 1}. Say what a missing outcome means: missing='zero' or 'drop'.",
            code="OUTCOME_MISSING",
            column=name,
            count=len(missing),
            rows=[int(row) + 1 for row in missing[:5]],
        )
    _refuse_not_finite(values, column=name)
    return values


def _refuse_not_finite(values: Array, *, column: str) -> None:
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise DataError(
            f"outcomes: column {column!r} is not finite in {len(wrong)} row(s), first in row "
            f"{wrong[0] + 1}. Repair the source.",
            code="OUTCOME_NOT_FINITE",
            column=column,
            count=len(wrong),
            rows=[int(row) + 1 for row in wrong[:5]],
        )


def _check_metric_values(metric: Metric, values: Array) -> None:
    if metric.kind != "proportion":
        return
    wrong = np.flatnonzero((values != 0) & (values != 1))
    if len(wrong):
        raise DataError(
            f"outcomes: {metric.key} is a proportion, so {metric.column!r} must be 0 or 1; found "
            f"{values[wrong[0]]:g} and {len(wrong) - 1} more. Recode it or define it as a mean.",
            code="OUTCOME_NOT_BINARY",
            column=metric.column,
            count=len(wrong),
            rows=[int(row) + 1 for row in wrong[:5]],
        )


def _dominance(metric: Metric, values: Array) -> list[Check]:
    total = float(np.abs(values).sum())
    if metric.kind == "proportion" or total == 0 or len(values) < SMALL_ARM:
        return []
    share = float(np.abs(values).max() / total)
    if share < DOMINANT_SHARE:
        return []
    return [
        warning(
            "OUTCOME_DOMINATED",
            value=share,
            remedy=f"One unit holds {share:.0%} of {metric.column}; read the effect without it.",
        )
    ]


def _check_lengths(trial: Trial) -> None:
    lengths = {"arm": len(trial.arm), "features": len(trial.features), "units": len(trial.units)}
    lengths |= {name: len(values) for name, values in trial.outcomes.items()}
    lengths |= {"propensity": len(trial.propensity)}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"trial: all parts need one entry per unit, got lengths {lengths}.",
            code="LENGTH_MISMATCH",
        )
    if trial.n_units == 0:
        raise DataError("trial: there are no units.", code="EMPTY_INPUT")
    if trial.primary not in trial.outcomes:
        raise DataError(
            f"trial: the primary outcome {trial.primary!r} is not among the outcomes "
            f"({', '.join(trial.outcomes)}).",
            code="COLUMN_MISSING",
            column=trial.primary,
        )


def _check_arms(trial: Trial) -> None:
    counts = trial.counts
    for arm, count in counts.items():
        if count == 0:
            share = trial.propensity[:, trial.arms.index(arm)].mean()
            raise DataError(
                f"trial: arm {arm!r} got no unit, though {share:.1%} were planned. "
                "Check the assignment and the outcomes.",
                code="ARM_MISSING",
                column="arm",
            )
        if count < 2:
            raise DataError(
                f"trial: arm {arm!r} has one unit; at least 2 are needed for a mean's error.",
                code="ARM_TOO_SMALL",
                column="arm",
                count=count,
            )


def _check_propensity(propensity: Array) -> None:
    wrong = ~((propensity > 0) & (propensity < 1)).all(axis=1)
    if wrong.any():
        raise DataError(
            f"trial: propensities must be inside (0, 1); {int(wrong.sum())} unit(s) are outside "
            f"(smallest {propensity.min():g}, largest {propensity.max():g}). Units that could get "
            "only one arm teach nothing: leave them out.",
            code="PROPENSITY_BOUND",
            column="propensity",
            count=int(wrong.sum()),
        )
    if not np.allclose(propensity.sum(axis=1), 1, rtol=0, atol=1e-9):
        raise DataError(
            "trial: the propensities of a unit must add up to 1.", code="PROPENSITY_SUM"
        )
