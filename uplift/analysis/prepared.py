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

from uplift.analysis.columns import (
    N_UNITS,
    Adjusting,
    bases_of,
    caps_of,
    covariates_of,
    outcome_readings,
    pairs_needed,
)
from uplift.analysis.readings import Readings
from uplift.checks import Check
from uplift.errors import DataError
from uplift.experiment import Experiment
from uplift.frames import UNIT
from uplift.inference.moments import Moments, Pairs, pairs_of, two_sum, without_rounding
from uplift.trial import features_of

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is read, before anybody has an arm.

    outcomes   n_units rows, the experiment's outcome columns, without gaps
    adjusting  covariates of the units, in the same order
    cluster    (n_units,) code of the cluster that was drawn; None where units are read
    stratum    code of the stratum of each unit, or cluster where those are read, from 0; None where
               nothing is weighed by stratum
    checks     covariates that cannot be used
    """

    experiment: Experiment
    outcomes: pd.DataFrame = field(repr=False)
    adjusting: Adjusting = field(repr=False)
    cluster: IntArray | None = field(repr=False)
    checks: tuple[Check, ...]
    stratum: IntArray | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        outcomes: pd.DataFrame,
        customers: Any = None,
        *,
        cluster: IntArray | None = None,
        stratum: IntArray | None = None,
    ) -> "Prepared":
        """Line up outcomes (`unit` and the outcome columns) and the customers' covariates."""
        adjusting, checks = covariates_of(experiment, features_of(outcomes[UNIT], customers))
        columns = outcomes[list(experiment.outcome_columns)].astype(np.float64)
        clustered = experiment.cluster is not None
        cluster = cluster if clustered else None
        return cls(experiment, columns, adjusting, cluster, tuple(checks), stratum)

    def read(self, arm: IntArray, outcomes: pd.DataFrame | None = None) -> Readings:
        """The readings when unit i has arm `arm[i]`, (n_units,), a position in `arm_names`.

        outcomes  in place of those that were prepared, e.g. with an effect planted
        """
        experiment = self.experiment
        table = self.outcomes if outcomes is None else outcomes
        costs = experiment.economics.redemption_costs(experiment.arm_names)
        caps = caps_of(experiment, table)
        readings = outcome_readings(experiment, table, caps, redemption_cost=costs[arm])
        columns = {**readings, **self.adjusting.columns}
        code = arm
        if self.cluster is not None:
            columns, code = _totals(columns, arm, self.cluster)
        pairs = pairs_needed(experiment, list(readings), self.adjusting)
        names = experiment.arm_names
        randomised = np.bincount(code, minlength=len(names)).tolist()
        analysed = np.bincount(arm, minlength=len(names)).tolist()
        counts = dict(zip(names, analysed, strict=True))
        return Readings(
            moments=dict(zip(names, moments_of(columns, code, len(names), pairs), strict=True)),
            covariates=self.adjusting.by_reading,
            bases=bases_of(experiment),
            caps=caps,
            assigned=counts,
            randomised=dict(zip(names, randomised, strict=True)),
            analysed=counts,
            clustered=experiment.cluster is not None,
            confidence=experiment.analysis.confidence,
            data_digest="",
            checks=self.checks,
            strata=self._strata(columns, code, pairs),
        )

    def _strata(
        self, columns: Mapping[str, Array], code: IntArray, pairs: Sequence[tuple[str, str]]
    ) -> dict[str, dict[str, Moments]]:
        """Moments by stratum and arm, without the cells that nobody is in."""
        if self.stratum is None:
            return {}
        names = self.experiment.arm_names
        cell = self.stratum * len(names) + code
        found = moments_of(columns, cell, (int(self.stratum.max()) + 1) * len(names), pairs)
        strata: dict[str, dict[str, Moments]] = {}
        for i, moments in enumerate(found):
            if moments.count:
                stratum, arm = divmod(i, len(names))
                strata.setdefault(str(stratum), {})[names[arm]] = moments
        return strata


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
    away = np.stack([np.bincount(code, weights=x, minlength=n_cells) / size for x in centred])
    comoment = np.stack(
        [
            np.bincount(code, weights=centred[i] * centred[j], minlength=n_cells)
            - count * away[i] * away[j]
            for i, j in pairs
        ]
    )
    return [
        _cell(names, pairs, float(count[k]), centre, away[:, k], comoment[:, k])
        for k in range(n_cells)
    ]


def _cell(
    names: tuple[str, ...], pairs: Pairs, count: float, centre: Array, away: Array, comoment: Array
) -> Moments:
    mean, rest = two_sum(centre, away)
    kept = without_rounding(comoment, count=np.array(count), mean=mean, pairs=pairs)
    return Moments(names, pairs, count, mean, kept, rest)


def _totals(
    readings: Mapping[str, Array], arm: IntArray, cluster: IntArray
) -> tuple[dict[str, Array], IntArray]:
    """Totals and size of each cluster, and its arm."""
    n_clusters = int(cluster.max()) + 1
    arm_of = np.zeros(n_clusters, dtype=np.int64)
    arm_of[cluster] = arm
    if (arm_of[cluster] != arm).any():
        raise DataError(
            "A cluster has units in more than one arm, though clusters are read. Draw clusters.",
            code="CLUSTER_TWO_ARMS",
            column="cluster",
        )
    totals = {
        name: np.bincount(cluster, weights=values, minlength=n_clusters).astype(np.float64)
        for name, values in readings.items()
    }
    totals[N_UNITS] = np.bincount(cluster, minlength=n_clusters).astype(np.float64)
    return totals, arm_of
