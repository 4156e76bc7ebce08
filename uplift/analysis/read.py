"""From tables to readings: joined once, checked, and reduced to moments per arm."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.analysis.cells import (
    ARM,
    Cells,
    cluster_cells,
    crossed_moments,
    groups_of,
    unit_cells,
)
from uplift.analysis.columns import (
    DELIVERED,
    GROSS,
    Adjusting,
    bases_of,
    caps_of,
    covariates_of,
    delivered_part,
    outcome_readings,
)
from uplift.analysis.looks import LookRule
from uplift.analysis.readings import Readings
from uplift.analysis.waves import CUSTOMER, DRAWN, is_redrawn
from uplift.experiment import Experiment
from uplift.frames import UNIT, frame_digest
from uplift.inference.influence import Extremes
from uplift.inference.moments import Moments
from uplift.inference.quantiles import Quantile, quantile_of
from uplift.reading_rules import ReadingRules
from uplift.trial import features_of, join_outcomes

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def read(
    experiment: Experiment,
    assigned: pd.DataFrame,
    outcomes: Any,
    customers: Any,
    *,
    rules: ReadingRules,
    rule: LookRule,
    delivered: pd.Series | None = None,
) -> Readings:
    """Join, count and reduce to moments; refuses what cannot be analysed at all.

    assigned   checked, and without what the rules leave out of it
    delivered  by unit, 1 when a contact arrived; None when that is not known
    """
    joined, notices = join_outcomes(experiment, assigned, outcomes, rules=rules)
    everyone = assigned if rules.missing == "drop" else joined
    features = features_of(joined[CUSTOMER if CUSTOMER in joined.columns else UNIT], customers)
    caps = caps_of(experiment, joined)
    adjusting, remarks = covariates_of(experiment, features)
    source = _Source(
        joined=joined,
        readings=_readings(experiment, joined, caps, delivered),
        before=known_before(features),
        adjusting=adjusting,
        groups=groups_of(experiment, joined, features),
    )
    cells = source.cells(experiment)
    clustered = experiment.cluster is not None
    by_unit = not clustered and not is_redrawn(experiment)
    return Readings(
        moments=cells.arms,
        strata=cells.strata,
        segments=cells.segments,
        waves=cells.waves,
        customers=source.customers(experiment),
        covariates=adjusting.by_reading,
        bases=bases_of(experiment),
        caps=caps,
        assigned=counts_of(everyone[ARM], experiment),
        randomised=_randomised(everyone, experiment),
        analysed=counts_of(joined[ARM], experiment),
        clustered=clustered,
        confidence=experiment.analysis.confidence,
        data_digest=frame_digest(joined),
        checks=(*notices, *remarks),
        rule=rule,
        ends=source.ends(experiment) if by_unit else {},
        thirds=source.thirds(experiment) if by_unit else {},
        quantiles=source.quantiles(experiment),
        known_before=tuple(source.before),
    )


def known_before(features: pd.DataFrame) -> dict[str, Array]:
    """Numbers known of each unit before the send, by column; gaps take the mean.

    What varies nowhere or is not finite says nothing about the draw and is left out.
    """
    found = {}
    for name in features.columns:
        if not pd.api.types.is_numeric_dtype(features[name].dtype):
            continue
        values = features[name].to_numpy(np.float64, na_value=np.nan)
        gaps = np.isnan(values)
        if gaps.all() or np.isinf(values).any():
            continue
        filled = np.where(gaps, values[~gaps].mean(), values)
        if filled.min() < filled.max():
            found[f"before: {name}"] = filled
    return found


def counts_of(arms: pd.Series, experiment: Experiment) -> dict[str, int]:
    """Units per arm, control first."""
    found = arms.value_counts()
    return {arm: int(found.get(arm, 0)) for arm in experiment.arm_names}


@dataclass(frozen=True, eq=False)
class _Source:
    """Every unit's numbers, side by side.

    joined    one row per unit: its arm, outcomes and design columns
    readings  by name, (n_units,): metrics and money
    before    by name, (n_units,): known before the send
    groups    stratum, wave and segments of each unit
    """

    joined: pd.DataFrame
    readings: Mapping[str, Array]
    before: Mapping[str, Array]
    adjusting: Adjusting
    groups: Mapping[str, pd.Series]

    def cells(self, experiment: Experiment) -> Cells:
        """Moments by arm, stratum, wave and segment."""
        frame = pd.DataFrame({ARM: self.joined[ARM], **self.readings, **self.before})
        adjusted = pd.DataFrame(dict(self.adjusting.columns), index=frame.index)
        frame = pd.concat([frame, adjusted], axis=1)
        names, adjusting = [*self.readings, *self.before], self.adjusting
        if experiment.cluster is None:
            return unit_cells(experiment, frame, names, adjusting, self.groups)
        cluster = self.joined["cluster"]
        return cluster_cells(experiment, frame, cluster, names, adjusting, self.groups)

    def customers(self, experiment: Experiment) -> Moments | None:
        """Moments of what is drawn in every wave anew; None where nothing is."""
        if not is_redrawn(experiment):
            return None
        drawn = self.joined[DRAWN if experiment.cluster is not None else CUSTOMER]
        frame = pd.DataFrame({ARM: self.joined[ARM], **self.readings})
        return crossed_moments(experiment, frame, drawn, list(self.readings))

    def thirds(self, experiment: Experiment) -> dict[str, dict[str, float]]:
        """Third central moments per arm of means that a few large values may make."""
        names = [m.key for m in experiment.all_metrics if m.kind == "mean"]
        return {
            name: {
                arm: float(np.mean((values - values.mean()) ** 3))
                for arm, values in self.by_arm(experiment, name)
            }
            for name in (*names, GROSS)
        }

    def quantiles(self, experiment: Experiment) -> dict[str, dict[str, Quantile]]:
        """Quantile metrics per arm, by cluster where clusters were randomised."""
        drawn = self.joined["cluster"].to_numpy() if experiment.cluster is not None else None
        return {
            metric.key: {
                arm: quantile_of(
                    self.readings[metric.key][mine],
                    level=metric.quantile,
                    clusters=None if drawn is None else drawn[mine],
                )
                for arm, mine in self.masks(experiment)
            }
            for metric in experiment.all_metrics
            if metric.quantile is not None
        }

    def masks(self, experiment: Experiment) -> Iterator[tuple[str, Mask]]:
        """Every arm, and which units are in it."""
        for arm in experiment.arm_names:
            yield arm, np.asarray(self.joined[ARM] == arm, dtype=np.bool_)

    def by_arm(self, experiment: Experiment, name: str) -> Iterator[tuple[str, Array]]:
        """Every arm, and its units' values of a reading."""
        for arm, mine in self.masks(experiment):
            yield arm, self.readings[name][mine]

    def ends(self, experiment: Experiment) -> dict[str, dict[str, Extremes]]:
        """The largest and smallest values of the primary metric and of the profit, per arm."""
        return {
            name: {arm: Extremes.of(values) for arm, values in self.by_arm(experiment, name)}
            for name in (experiment.primary.key, GROSS)
        }


def _readings(
    experiment: Experiment,
    joined: pd.DataFrame,
    caps: Mapping[str, float],
    delivered: pd.Series | None,
) -> dict[str, Array]:
    cost = joined[ARM].map(dict(experiment.economics.redemption_cost))
    readings = outcome_readings(
        experiment, joined, caps, redemption_cost=np.asarray(cost, dtype=np.float64)
    )
    if delivered is not None and experiment.cluster is None and not is_redrawn(experiment):
        key, reached = experiment.primary.key, joined[UNIT].map(delivered).to_numpy(np.float64)
        readings |= {DELIVERED: reached, delivered_part(key): readings[key] * reached}
    return readings


def _randomised(assignment: pd.DataFrame, experiment: Experiment) -> dict[str, int]:
    if experiment.cluster is None:
        return counts_of(assignment[ARM], experiment)
    found = assignment.groupby(ARM)["cluster"].nunique()
    return {arm: int(found.get(arm, 0)) for arm in experiment.arm_names}
