"""One set of outcomes read under many draws: the readings of `readings.read` without its joins.

Units, outcomes and covariates are lined up once; a draw is an array of arm codes, and its moments
are counted directly. Effects, money and decision then come from the same functions as any reading.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.analysis.cells import STRATUM, crossed_pairs, in_arm, refuse_strata_across
from uplift.analysis.columns import (
    GROSS,
    N_UNITS,
    Adjusting,
    bases_of,
    caps_of,
    covariates_of,
    outcome_readings,
    pairs_needed,
)
from uplift.analysis.read import known_before
from uplift.analysis.readings import Readings
from uplift.analysis.waves import is_redrawn
from uplift.checks import Check
from uplift.errors import DataError
from uplift.experiment import Experiment
from uplift.frames import UNIT
from uplift.inference.moments import Moments, Pairs, pairs_of, two_sum, without_rounding
from uplift.inference.quantiles import Quantile, quantile_of
from uplift.trial import features_of

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

NEARLY_ZERO = 1e-9  # of the overall mean: what rounding may leave of a cell's mean of 0


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is read, before anybody has an arm.

    outcomes   n_units rows, the experiment's outcome columns, without gaps
    adjusting  covariates of the units, in the same order
    before     by name, (n_units,): numbers known before the send, of which arms must be alike
    groups     by name: the code of the stratum, or of a segment, of each unit; and the values
    cluster    (n_units,) code of the cluster that was drawn; None where units are read
    customer   (n_units,) code of whom a row is of, where waves are drawn anew and a customer (or a
               cluster) has a row in each; else None
    checks     covariates that cannot be used
    """

    experiment: Experiment
    outcomes: pd.DataFrame = field(repr=False)
    adjusting: Adjusting = field(repr=False)
    before: Mapping[str, Array] = field(repr=False)
    groups: Mapping[str, tuple[IntArray, tuple[str, ...]]] = field(repr=False)
    cluster: IntArray | None = field(repr=False)
    checks: tuple[Check, ...]
    customer: IntArray | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        outcomes: pd.DataFrame,
        customers: Any = None,
        *,
        cluster: IntArray | None = None,
        customer: IntArray | None = None,
        groups: Mapping[str, pd.Series] | None = None,
    ) -> "Prepared":
        """Line up outcomes (`unit` and the outcome columns) and what was known before.

        cluster   code of each unit's cluster; not used where units are read
        customer  code of whom each row is of; not used where no wave is drawn anew
        groups    stratum and segments of the units, as `groups_of` gives them

        Errors: STRATA_ACROSS_CLUSTERS.
        """
        if experiment.cluster is not None and cluster is not None and STRATUM in (groups or {}):
            refuse_strata_across((groups or {})[STRATUM], pd.Series(cluster))
        features = features_of(outcomes[UNIT], customers)
        adjusting, checks = covariates_of(experiment, features)
        return cls(
            experiment,
            outcomes[list(experiment.outcome_columns)].astype(np.float64),
            adjusting,
            known_before(features),
            {name: _coded(values) for name, values in (groups or {}).items()},
            None if experiment.cluster is None else cluster,
            tuple(checks),
            customer if is_redrawn(experiment) else None,
        )

    def read(self, arm: IntArray, outcomes: pd.DataFrame | None = None) -> Readings:
        """The readings when unit i has arm `arm[i]`, (n_units,), a position in `arm_names`.

        outcomes  in place of those that were prepared, e.g. with an effect planted
        """
        experiment = self.experiment
        table = self.outcomes if outcomes is None else outcomes
        costs = experiment.economics.redemption_costs(experiment.arm_names)
        caps = caps_of(experiment, table)
        readings = outcome_readings(experiment, table, caps, redemption_cost=costs[arm])
        counted = {**readings, **self.before}
        pairs = pairs_needed(experiment, list(counted), self.adjusting)
        columns = {**counted, **self.adjusting.columns}
        names = experiment.arm_names
        cells, drawn = self._cells(columns, arm, pairs)
        counts = dict(zip(names, np.bincount(arm, minlength=len(names)).tolist(), strict=True))
        by_group = {name: self._by_group(columns, arm, pairs, name) for name in self.groups}
        strata = by_group.pop(STRATUM, {})
        by_unit = self.cluster is None and self.customer is None
        return Readings(
            moments=dict(zip(names, cells, strict=True)),
            covariates=self.adjusting.by_reading,
            bases=bases_of(experiment),
            caps=caps,
            assigned=counts,
            randomised=dict(zip(names, drawn, strict=True)),
            analysed=counts,
            clustered=experiment.cluster is not None,
            confidence=experiment.analysis.confidence,
            data_digest="",
            checks=self.checks,
            strata=strata,
            segments=by_group,
            known_before=tuple(self.before),
            customers=self._customers(readings, arm),
            thirds=self._thirds(readings, arm) if by_unit else {},
            quantiles=self._quantiles(readings, arm),
        )

    def _cells(
        self, columns: Mapping[str, Array], arm: IntArray, pairs: Sequence[tuple[str, str]]
    ) -> tuple[list[Moments], list[int]]:
        """Moments by arm, and how many units or clusters were drawn into it."""
        n_arms = len(self.experiment.arm_names)
        code = arm
        if self.cluster is not None:
            _refuse_torn(arm, self.cluster)
            columns, code = _totals(columns, arm, self.cluster)
        drawn = np.bincount(code, minlength=n_arms).tolist()
        return moments_of(columns, code, n_arms, pairs), drawn

    def _customers(self, readings: Mapping[str, Array], arm: IntArray) -> Moments | None:
        """Moments of what is drawn in every wave anew; None where nothing is."""
        if self.customer is None:
            return None
        n_customers = int(self.customer.max()) + 1
        columns = {**readings, N_UNITS: np.ones(len(arm))}
        wide = {
            in_arm(name, of_arm): np.bincount(
                self.customer, weights=values * (arm == i), minlength=n_customers
            ).astype(np.float64)
            for i, of_arm in enumerate(self.experiment.arm_names)
            for name, values in columns.items()
        }
        pairs = crossed_pairs(self.experiment, list(readings))
        return moments_of(wide, np.zeros(n_customers, dtype=np.int64), 1, pairs)[0]

    def _thirds(self, readings: Mapping[str, Array], arm: IntArray) -> dict[str, dict[str, float]]:
        """Third central moments per arm of means that a few large values may make."""
        names = self.experiment.arm_names
        means = [m.key for m in self.experiment.all_metrics if m.kind == "mean"]
        found = {}
        for name in (*means, GROSS):
            thirds = third_moments(readings[name], arm, len(names)).tolist()
            found[name] = dict(zip(names, thirds, strict=True))
        return found

    def _quantiles(
        self, readings: Mapping[str, Array], arm: IntArray
    ) -> dict[str, dict[str, Quantile]]:
        """Quantile metrics per arm."""
        return {
            metric.key: {
                name: quantile_of(
                    readings[metric.key][arm == i],
                    level=metric.quantile,
                    clusters=None if self.cluster is None else self.cluster[arm == i],
                )
                for i, name in enumerate(self.experiment.arm_names)
            }
            for metric in self.experiment.all_metrics
            if metric.quantile is not None
        }

    def _by_group(
        self,
        columns: Mapping[str, Array],
        arm: IntArray,
        pairs: Sequence[tuple[str, str]],
        name: str,
    ) -> dict[str, dict[str, Moments]]:
        """Moments by group and arm, without the cells that nobody is in.

        A cluster with units in several groups has a total in each.
        """
        arms, (group, values) = self.experiment.arm_names, self.groups[name]
        code = group * len(arms) + arm
        if self.cluster is not None:
            part = np.unique(self.cluster * len(values) + group, return_inverse=True)[1]
            columns, code = _totals(columns, code, part)
        if name != STRATUM:  # of segments the counts are checked, and nothing else
            columns, pairs = {}, ()
        found: dict[str, dict[str, Moments]] = {}
        for i, moments in enumerate(moments_of(columns, code, len(values) * len(arms), pairs)):
            if moments.count:
                value, position = divmod(i, len(arms))
                found.setdefault(values[value], {})[arms[position]] = moments
        return found


def moments_of(
    columns: Mapping[str, Array],
    code: IntArray,
    n_cells: int,
    covariances: Sequence[tuple[str, str]],
) -> list[Moments]:
    """Moments of each cell, as `Moments.of` of its rows.

    columns  by name, (n_units,), finite
    code     (n_units,)  cell of each unit, from 0
    """
    names = tuple(columns)
    pairs = pairs_of(names, covariances)
    count = np.bincount(code, minlength=n_cells).astype(np.float64)
    centre = np.array([column.mean() for column in columns.values()])
    centred = [column - middle for column, middle in zip(columns.values(), centre, strict=True)]
    size = np.maximum(count, 1.0)
    away = _stacked(
        [np.bincount(code, weights=x, minlength=n_cells) / size for x in centred], n_cells
    )
    away = _zero_where_zero(list(columns.values()), code, centre=centre, away=away, count=count)
    comoment = _stacked(
        [
            np.bincount(code, weights=centred[i] * centred[j], minlength=n_cells)
            - count * away[i] * away[j]
            for i, j in pairs
        ],
        n_cells,
    )
    return [
        _cell(names, pairs, float(count[k]), centre, away[:, k], comoment[:, k])
        for k in range(n_cells)
    ]


def third_moments(values: Array, code: IntArray, n_cells: int) -> Array:
    """Mean of (y - mean)^3 in each cell. (n_cells,); 0 of an empty one.

    values  (n_units,);  code  (n_units,), cell of each unit, from 0
    """
    count = np.maximum(np.bincount(code, minlength=n_cells), 1)
    centred = values - values.mean()
    first, second, third = (
        np.bincount(code, weights=power, minlength=n_cells) / count
        for power in (centred, centred**2, centred**2 * centred)
    )
    return np.asarray(third - 3 * first * second + 2 * first**3)


def _zero_where_zero(
    columns: Sequence[Array], code: IntArray, *, centre: Array, away: Array, count: Array
) -> Array:
    """`away` such that a column of nothing but zeros in a cell has the mean 0, without rounding."""
    mean = np.abs(centre[:, None] + away)
    exact = away.copy()
    for i, k in zip(
        *np.nonzero((mean > 0) & (mean < NEARLY_ZERO * np.abs(centre)[:, None])), strict=True
    ):
        if count[k] and not columns[i][code == k].any():
            exact[i, k] = -centre[i]
    return exact


def _cell(
    names: tuple[str, ...], pairs: Pairs, count: float, centre: Array, away: Array, comoment: Array
) -> Moments:
    mean, rest = two_sum(centre, away)
    kept = without_rounding(comoment, count=np.array(count), mean=mean, pairs=pairs)
    return Moments(names, pairs, count, mean, kept, rest)


def _stacked(rows: list[Array], n_cells: int) -> Array:
    """Rows as one array, also when there are none. (n_rows, n_cells)."""
    return np.array(rows, dtype=np.float64).reshape(len(rows), n_cells)


def _coded(values: pd.Series) -> tuple[IntArray, tuple[str, ...]]:
    """The code of each unit's value, and the values in ascending order."""
    code, known = pd.factorize(values, sort=True)
    return np.asarray(code, dtype=np.int64), tuple(str(value) for value in known)


def _refuse_torn(arm: IntArray, cluster: IntArray) -> None:
    arm_of = np.zeros(int(cluster.max()) + 1, dtype=np.int64)
    arm_of[cluster] = arm
    if (arm_of[cluster] != arm).any():
        raise DataError(
            "A cluster has units in more than one arm, though clusters are read. Draw clusters.",
            code="CLUSTER_TWO_ARMS",
            column="cluster",
        )


def _totals(
    readings: Mapping[str, Array], code: IntArray, part: IntArray
) -> tuple[dict[str, Array], IntArray]:
    """Totals and size of each part (a cluster, or what of it is in one group), and its code."""
    n_parts = int(part.max()) + 1
    of_part = np.zeros(n_parts, dtype=np.int64)
    of_part[part] = code
    totals = {
        name: np.bincount(part, weights=values, minlength=n_parts).astype(np.float64)
        for name, values in readings.items()
    }
    totals[N_UNITS] = np.bincount(part, minlength=n_parts).astype(np.float64)
    return totals, of_part
