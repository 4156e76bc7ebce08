"""A trial: who was assigned what, and what happened, ready for analysis and models.

The one place where assignment, outcomes and customers are joined (by id, never by position) and
checked. Everything after it trusts the trial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from difflib import get_close_matches
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.checks import Check, warning
from uplift.economics import Economics
from uplift.errors import DataError
from uplift.experiment import Experiment
from uplift.feature_times import measured_at, refuse_later
from uplift.frames import (
    UNIT,
    personal_id_warning,
    read_frame,
    require_labels,
    require_unique,
    rows_by_id,
)
from uplift.outcome_rows import as_numbers, refuse_not_finite
from uplift.outcomes import joined_outcomes
from uplift.reading_rules import REFUSE_ALL, ReadingRules, RuleWords, as_told
from uplift.table import Column, Result, Table

NOT_FEATURES = frozenset({UNIT, "as_of", "household", "cluster", "arm", "propensity", "stratum"})
REDRAWN_TOLERANCE = 0.5  # share of a propensity that rerandomisation moves at most

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Trial(Result):
    """Features, arm and outcomes of n units.

    units       (n_units,)          ids, text
    features    n_units rows        known before assignment
    arms        names, control first
    arm         (n_units,)          column of the arm received, 0 is control
    outcomes    by name, (n_units,) unit of the metric; finite
    propensity  (n_units, n_arms)   probability of each arm by design, rows sum to 1
    primary     name of the outcome that decides; of a ratio its numerator, which is no outcome
                to model (`of_ratio`)
    cluster     (n_units,)          code of the randomised cluster; None when units were randomised
    weight      (n_units,)          None means every unit counts once
    economics   worth and costs; None when effects are not turned into money
    notices     warnings of the join, shown with every result
    """

    units: npt.NDArray[np.object_] = field(repr=False)
    features: pd.DataFrame = field(repr=False)
    arms: tuple[str, ...]
    arm: IntArray = field(repr=False)
    outcomes: Mapping[str, Array] = field(repr=False)
    propensity: Array = field(repr=False)
    primary: str
    experiment: str = "unregistered"
    cluster: IntArray | None = field(default=None, repr=False)
    weight: Array | None = field(default=None, repr=False)
    economics: Economics | None = None
    notices: tuple[Check, ...] = field(default=())
    of_ratio: bool = False

    def __post_init__(self) -> None:
        _check_lengths(self)
        _check_arms(self)
        _check_propensity(self.propensity)
        for name, values in self.outcomes.items():
            refuse_not_finite(values, column=name)

    @classmethod
    def join(
        cls,
        experiment: Experiment,
        assigned: Any,
        outcomes: Any,
        customers: Any = None,
        **words: Unpack[RuleWords],
    ) -> "Trial":
        """Join a registered experiment's assignment, outcomes and customers by `unit`.

        outcomes  one row per unit with the experiment's outcome columns
        words     the rules for what can be read in two ways (see `ReadingRules`), such as
                  missing="zero" or repeats="sum"
        """
        rules = ReadingRules(**words)
        joined, notices = join_outcomes(experiment, assigned, outcomes, rules=rules)
        table, trimming = as_told(customers, what="customers", rules=rules)
        features = features_of(joined[UNIT], _known_before(experiment, table))
        code = joined["arm"].map({name: i for i, name in enumerate(experiment.arm_names)})
        arm = np.asarray(code, dtype=np.int64)
        return cls(
            units=joined[UNIT].to_numpy(dtype=object),
            features=features,
            arms=experiment.arm_names,
            arm=arm,
            outcomes={
                name: joined[name].to_numpy(np.float64) for name in experiment.outcome_columns
            },
            propensity=_propensities(experiment, joined, arm),
            primary=experiment.primary.column,
            of_ratio=experiment.primary.kind == "ratio",
            experiment=experiment.id,
            cluster=pd.factorize(joined["cluster"])[0] if experiment.cluster else None,
            economics=experiment.economics,
            notices=(*notices, *trimming),
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

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """Mean per unit, by outcome and arm."""
        return {
            name: {arm: float(values[self.arm == i].mean()) for i, arm in enumerate(self.arms)}
            for name, values in self.outcomes.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """What the trial is, and its units and mean outcomes per arm."""
        return super().to_dict() | {"counts": self.counts, "means": self.means}

    def table(self) -> Table:
        """Units and mean outcomes per arm."""
        names = list(self.outcomes)
        columns = [Column("arm"), Column("units", kind="count")]
        columns += [Column(name, kind="number") for name in names]
        means = self.means
        rows = [(arm, n, *(means[name][arm] for name in names)) for arm, n in self.counts.items()]
        return Table(f"Trial {self.experiment}: mean outcome per unit", columns, rows)


def join_outcomes(
    experiment: Experiment, assigned: Any, outcomes: Any, *, rules: ReadingRules = REFUSE_ALL
) -> tuple[pd.DataFrame, tuple[Check, ...]]:
    """One row per assigned unit with its arm and outcomes, and the warnings met on the way."""
    assignment, left_out = settled_assignment(experiment, assigned, rules=rules)
    joined, notices = joined_outcomes(experiment, assignment, outcomes, rules=rules)
    personal = personal_id_warning(assignment[UNIT])
    return joined, (*([personal] if personal else []), *left_out, *notices)


def settled_assignment(
    experiment: Experiment, assigned: Any, *, rules: ReadingRules
) -> tuple[pd.DataFrame, tuple[Check, ...]]:
    """A checked assignment after what the rules leave out of it, and the warnings that say so."""
    given, notices = as_told(assigned, what="assignment", rules=rules)
    if rules.two_arms == "refuse":
        return checked_assignment(experiment, given), notices
    table = read_frame(given, what="assignment", require=["arm"])
    torn = _torn_units(table)
    if len(torn):
        remedy = (
            f"These units, {len(torn) / table[UNIT].nunique():.2%} of all, are in two arms; all "
            "their rows are left out, as asked for. Find out how they came into both."
        )
        notices = (*notices, warning("ID_TWO_ARMS", value=len(torn), remedy=remedy))
        table = table[~table[UNIT].isin(torn)].reset_index(drop=True)
    return checked_assignment(experiment, table), notices


def checked_assignment(experiment: Experiment, assigned: Any) -> pd.DataFrame:
    """An assignment table whose ids, arms and propensities are those of the experiment."""
    table = read_frame(assigned, what="assignment", require=["arm"])
    _check_arm_labels(table["arm"], experiment.arm_names)
    _check_one_arm_per_unit(table)
    if "propensity" in table.columns:
        _check_designed(experiment, table)
    if experiment.cluster and "cluster" not in table.columns:
        raise DataError(
            f"assignment: {experiment.id} randomises by {experiment.cluster}, so the column "
            "'cluster' is needed.",
            code="COLUMN_MISSING",
            column="cluster",
        )
    return table


def _propensities(experiment: Experiment, joined: pd.DataFrame, arm: IntArray) -> Array:
    """Probability of each arm: the designed shares; rerandomised, those of the draw.

    An assignment holds the propensity of the arm received. The other arms share what it leaves in
    the proportions of the design. Returns (n_units, n_arms).
    """
    shares = np.array(list(experiment.shares.values()))
    table = np.tile(shares, (len(joined), 1))
    if experiment.assignment.method == "rerandomised" and "propensity" in joined.columns:
        received = joined["propensity"].to_numpy(np.float64)
        table *= ((1 - received) / (1 - shares[arm]))[:, None]
        table[np.arange(len(arm)), arm] = received
    return table


def _known_before(experiment: Experiment, customers: Any) -> Any:
    """Customers without the times of their features, none of which is later than the send.

    Units of a trigger have moments of their own, which their rows are not compared with.
    """
    if customers is None:
        return None
    table = read_frame(customers, what="customers")
    if experiment.kind != "trigger":
        refuse_later(table, experiment.schedule.windows[-1].opens_at.astimezone(UTC))
    return table.drop(columns=measured_at(table))


def features_of(units: pd.Series, customers: Any) -> pd.DataFrame:
    """Rows of the customer table in the order of the units, without ids and design columns."""
    if customers is None:
        return pd.DataFrame(index=range(len(units)))
    table = read_frame(customers, what="customers")
    require_unique(table[UNIT], what="customers")
    row = rows_by_id(units, among=table[UNIT])
    absent = np.flatnonzero(row < 0)
    if len(absent):
        raise DataError(
            f"customers: {len(absent)} assigned unit(s) have no row here. "
            "Give the customer table that the assignment was made from.",
            code="FEATURE_ROWS_MISSING",
            column=UNIT,
            count=len(absent),
            rows=(absent[:5] + 1).tolist(),
        )
    names = [name for name in table.columns if name not in NOT_FEATURES]
    return table[names].take(row).reset_index(drop=True)


def _check_designed(experiment: Experiment, table: pd.DataFrame) -> None:
    """Refuse propensities that are not the design's; rerandomised, that are far from it."""
    rerandomised = experiment.assignment.method == "rerandomised"
    designed = table["arm"].map(experiment.shares).to_numpy(np.float64)
    recorded = as_numbers(
        table["propensity"], name="propensity", what="assignment", code="PROPENSITY_MISMATCH"
    )
    tolerance = REDRAWN_TOLERANCE if rerandomised else 0
    wrong = np.flatnonzero(~np.isclose(recorded, designed, rtol=tolerance, atol=1e-9))
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
    require_labels(labels, what="assignment")
    for label in labels.unique():
        if label not in known:
            near = get_close_matches(str(label).strip().lower(), known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"assignment: arm {label!r} is not an arm of the experiment "
                f"({', '.join(known)}).{hint} Write the labels as they are registered.",
                code="ARM_UNKNOWN",
                column="arm",
                count=int((labels == label).sum()),
            )


def _check_one_arm_per_unit(table: pd.DataFrame) -> None:
    torn = _torn_units(table)
    if len(torn):
        rows = np.flatnonzero(table[UNIT].isin(torn)) + 1
        raise DataError(
            f"assignment: {len(torn)} unit(s) are in two arms "
            f"({len(torn) / table[UNIT].nunique():.2%} of all), first in rows "
            f"{', '.join(map(str, rows[:5]))}. Find out how, or leave all their rows out: "
            "two_arms='drop' (`--two-arms drop`); the report then says so.",
            code="ID_TWO_ARMS",
            column=UNIT,
            count=len(torn),
            rows=rows[:5].tolist(),
        )
    require_unique(table[UNIT], what="assignment", remedy="Keep one row of each unit.")


def _torn_units(table: pd.DataFrame) -> "pd.Index[str]":
    """Units that are in two arms."""
    repeated = table[UNIT].duplicated(keep=False)
    n_arms = table[repeated].groupby(UNIT)["arm"].nunique()
    return n_arms.index[n_arms > 1]


def _check_lengths(trial: Trial) -> None:
    lengths = {"arm": len(trial.arm), "features": len(trial.features), "units": len(trial.units)}
    lengths |= {name: len(values) for name, values in trial.outcomes.items()}
    lengths |= {"propensity": len(trial.propensity)}
    optional = {"cluster": trial.cluster, "weight": trial.weight}
    lengths |= {name: len(part) for name, part in optional.items() if part is not None}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"trial: all parts need one entry per unit, got lengths {lengths}.",
            code="LENGTH_MISMATCH",
        )
    if trial.n_units == 0:
        raise DataError("trial: there are no units.", code="EMPTY_INPUT")
    require_unique(pd.Series(trial.units), what="trial")
    _check_weight(trial.weight)
    if trial.primary not in trial.outcomes:
        raise DataError(
            f"trial: the primary outcome {trial.primary!r} is not among the outcomes "
            f"({', '.join(trial.outcomes)}).",
            code="COLUMN_MISSING",
            column=trial.primary,
        )


def _check_weight(weight: Array | None) -> None:
    if weight is None:
        return
    wrong = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if len(wrong) or not weight.any():
        raise DataError(
            f"trial: weights must be 0 or more and not all 0; {len(wrong)} are not. Repair them.",
            code="WEIGHT_INVALID",
            column="weight",
            count=len(wrong),
            rows=[int(row) + 1 for row in wrong[:5]],
        )


def _check_arms(trial: Trial) -> None:
    known = (trial.arm >= 0) & (trial.arm < trial.n_arms)
    if trial.propensity.shape[1:] != (trial.n_arms,) or not known.all():
        raise DataError(
            f"trial: arms are numbered 0 to {trial.n_arms - 1} ({', '.join(trial.arms)}), with a "
            f"column of propensities each; found numbers {trial.arm.min()} to {trial.arm.max()} "
            f"and propensities of shape {trial.propensity.shape}.",
            code="ARM_UNKNOWN",
            column="arm",
            count=int((~known).sum()),
        )
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
                f"trial: arm {arm!r} has one unit; at least 2 are needed for a mean's error. "
                "Check the assignment.",
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
