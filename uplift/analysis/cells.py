"""Moments of every reading by cell: arm, and stratum or segment where the plan has them.

Units are counted once, in one query; coarser cells are put together from finer ones. Where
clusters were randomised, a row is a cluster's total within the cell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import pandas as pd

from uplift.aggregate import MomentsTable, aggregate
from uplift.analysis.columns import (
    N_UNITS,
    Adjusting,
    bases_of,
    pairs_needed,
)
from uplift.analysis.waves import WAVE
from uplift.errors import DataError
from uplift.experiment import Experiment
from uplift.inference.crossed import covariances_of_arms
from uplift.inference.moments import Moments

ByArm = Mapping[str, Moments]
ARM, STRATUM = "arm", "stratum"
NOT_KNOWN = "(not known)"  # the segment of units without a value


@dataclass(frozen=True, eq=False)
class Cells:
    """What was counted.

    arms      by arm
    strata    by stratum and arm; empty where units are not weighed by stratum
    segments  by segment column, value and arm
    waves     by wave and arm; empty where there is one
    """

    arms: ByArm
    strata: Mapping[str, ByArm] = field(default_factory=dict)
    segments: Mapping[str, Mapping[str, ByArm]] = field(default_factory=dict)
    waves: Mapping[str, ByArm] = field(default_factory=dict)


def unit_cells(
    experiment: Experiment,
    frame: pd.DataFrame,
    readings: Sequence[str],
    adjusting: Adjusting,
    groups: Mapping[str, pd.Series],
) -> Cells:
    """Cells of units.

    groups  by name (STRATUM, or a segment column), n_units values
    """
    labels = {name: f"group {i}" for i, name in enumerate(groups)}
    table = aggregate(
        pd.concat(
            [frame, *(values.rename(labels[name]) for name, values in groups.items())], axis=1
        ),
        by=(ARM, *labels.values()),
        columns=[*readings, *adjusting.columns],
        covariances=pairs_needed(experiment, readings, adjusting),
    )
    by_group = {
        name: _by_group(table.collapse((label, ARM)), label) for name, label in labels.items()
    }
    return _cells(experiment, _by_arm(table.collapse((ARM,))), by_group)


def cluster_cells(
    experiment: Experiment,
    frame: pd.DataFrame,
    cluster: pd.Series,
    readings: Sequence[str],
    adjusting: Adjusting,
    groups: Mapping[str, pd.Series],
) -> Cells:
    """Cells of clusters; a cluster with units in several segments has a total in each.

    Errors: CLUSTER_TWO_ARMS, STRATA_ACROSS_CLUSTERS.
    """
    _refuse_torn(frame, cluster)
    if STRATUM in groups:
        refuse_strata_across(groups[STRATUM], cluster)
    pairs = pairs_needed(experiment, readings, adjusting)
    columns = [*readings, *adjusting.columns, N_UNITS]
    rows = frame[[ARM, *readings, *adjusting.columns]].assign(cluster=cluster.to_numpy())
    rows[N_UNITS] = 1.0

    def counted(label: pd.Series | None) -> MomentsTable:
        keyed = rows if label is None else rows.assign(group=label.to_numpy())
        by = [ARM] if label is None else ["group", ARM]
        totals = keyed.groupby([*by, "cluster"], sort=True)[columns].sum().reset_index()
        return aggregate(totals, by=by, columns=columns, covariances=pairs)

    by_group = {name: _by_group(counted(values), "group") for name, values in groups.items()}
    return _cells(experiment, _by_arm(counted(None)), by_group)


def groups_of(
    experiment: Experiment, joined: pd.DataFrame, features: pd.DataFrame
) -> dict[str, pd.Series]:
    """The stratum and the segments of every unit, as the plan has them. Errors: COLUMN_MISSING."""
    plan = experiment.analysis
    parts = [_labels(features, name) for name in plan.strata]
    if experiment.assignment.method == "stratified" and STRATUM in joined.columns:
        parts.append(joined[STRATUM].astype("str").reset_index(drop=True))
    groups = {name: _labels(features, name) for name in plan.segments}
    if parts:
        groups[STRATUM] = reduce(lambda first, second: first + " · " + second, parts)
    if WAVE in joined.columns and joined[WAVE].nunique() > 1:
        groups[WAVE] = joined[WAVE].astype("str").reset_index(drop=True)
    return groups


def crossed_moments(
    experiment: Experiment,
    frame: pd.DataFrame,
    customer: pd.Series,
    readings: Sequence[str],
) -> Moments:
    """Moments of customers who may be in several arms: a total per reading and arm (`in_arm`)."""
    rows = frame[[ARM, *readings]].assign(customer=customer.to_numpy())
    rows[N_UNITS] = 1.0
    names = [*readings, N_UNITS]
    totals = [
        rows[rows[ARM] == arm]
        .groupby("customer")[names]
        .sum()
        .rename(columns={name: in_arm(name, arm) for name in names})
        for arm in experiment.arm_names
    ]
    wide = pd.concat(totals, axis=1).fillna(0.0)
    pairs = crossed_pairs(experiment, readings)
    return aggregate(
        wide, by=(), columns=[str(name) for name in wide.columns], covariances=pairs
    ).cell()


def crossed_pairs(experiment: Experiment, readings: Sequence[str]) -> list[tuple[str, str]]:
    """The covariances of customers' totals that `crossed` needs, of all arms."""
    bases = bases_of(experiment)
    return [
        pair
        for reading in readings
        for pair in covariances_of_arms(
            [
                (in_arm(reading, arm), in_arm(bases.get(reading, N_UNITS), arm))
                for arm in experiment.arm_names
            ]
        )
    ]


def in_arm(reading: str, arm: str) -> str:
    """The column of a customer's total of a reading in one arm."""
    return f"{reading} | {arm}"


def _labels(features: pd.DataFrame, name: str) -> pd.Series:
    if name not in features.columns:
        raise DataError(
            f"customers: column {name!r} is missing, though the plan reads effects by it. Give the "
            "customer table that the assignment was made from.",
            code="COLUMN_MISSING",
            column=name,
        )
    values = features[name]
    text = values.astype("str")
    return text.where(values.notna(), NOT_KNOWN).reset_index(drop=True)


def _refuse_torn(frame: pd.DataFrame, cluster: pd.Series) -> None:
    torn = int((frame[ARM].groupby(cluster.to_numpy()).nunique() > 1).sum())
    if torn:
        raise DataError(
            f"assignment: {torn} cluster(s) have units in more than one arm, though clusters were "
            "randomised. Use the assignment this experiment made.",
            code="CLUSTER_TWO_ARMS",
            column="cluster",
            count=torn,
        )


def refuse_strata_across(stratum: pd.Series, cluster: pd.Series) -> None:
    """Strata must hold whole clusters: totals of one cluster in two strata are not independent.

    Read as independent, effects of nothing are proven three times as often as the plan allows.
    Errors: STRATA_ACROSS_CLUSTERS.
    """
    torn = int((stratum.groupby(cluster.to_numpy()).nunique() > 1).sum())
    if torn:
        raise DataError(
            f"{torn} cluster(s) have units in more than one stratum, so strata are not independent "
            "of each other. Weigh by a column that members of a cluster share, or by none.",
            code="STRATA_ACROSS_CLUSTERS",
            column="cluster",
            count=torn,
        )


def _by_arm(table: MomentsTable) -> dict[str, Moments]:
    return {key[ARM]: cell for key, cell in table.cells()}


def _by_group(table: MomentsTable, label: str) -> dict[str, dict[str, Moments]]:
    found: dict[str, dict[str, Moments]] = {}
    for key, cell in table.cells():
        found.setdefault(str(key[label]), {})[key[ARM]] = cell
    return dict(sorted(found.items()))


def _cells(
    experiment: Experiment, arms: ByArm, by_group: dict[str, dict[str, dict[str, Moments]]]
) -> Cells:
    strata, waves = by_group.pop(STRATUM, {}), by_group.pop(WAVE, {})
    return Cells({arm: arms[arm] for arm in experiment.arm_names}, strata, by_group, waves)
