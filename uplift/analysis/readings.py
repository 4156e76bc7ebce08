"""What an experiment's data say, as moments per arm: the columns that effects and money need.

Everything after this works on moments. Units are counted once here, in arms, and by cluster where
clusters were randomised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from uplift.analysis.cells import (
    ByArm,
    cluster_cells,
    crossed_moments,
    groups_of,
    in_arm,
    unit_cells,
)
from uplift.analysis.columns import (
    DELIVERED,
    N_UNITS,
    bases_of,
    caps_of,
    covariates_of,
    delivered_part,
    outcome_readings,
)
from uplift.analysis.looks import LookRule
from uplift.analysis.waves import CUSTOMER, is_redrawn
from uplift.checks import Check
from uplift.experiment import CONTROL, Experiment
from uplift.frames import UNIT, frame_digest
from uplift.inference.crossed import crossed
from uplift.inference.means import Estimate, shifted, welch
from uplift.inference.moments import Moments
from uplift.inference.proportions import score
from uplift.inference.ratios import ratio
from uplift.inference.regression_adjustment import lin
from uplift.outcomes import SMALL_ARM
from uplift.reading_rules import ReadingRules
from uplift.trial import features_of, join_outcomes

Method = Literal["Welch", "Lin", "score", "by cluster", "by customer", "ratio"]

RARE_EVENTS = 20  # with fewer events (or non-events) in an arm, a normal interval is doubtful


@dataclass(frozen=True, eq=False)
class Readings:
    """Moments of every reading (metric key or money column) per arm.

    moments     by arm, of units, or of cluster totals where clusters were randomised
    covariates  by reading: columns of the moments that adjust it, maybe none
    bases       by metric key of a ratio: the reading it is divided by
    caps        by metric key, where one unit holds most of it: the magnitude that the reading
                `winsorised(key)` is cut to
    assigned    units per arm as assigned; `randomised` counts clusters where those were drawn
    analysed    units per arm with outcomes
    rule        how this reading shares the error with others
    strata      moments by stratum and arm, where units are weighed by stratum
    segments    moments by segment column, value and arm
    waves       moments by wave and arm, where there are several
    customers   moments of customers, where they are drawn anew in every wave (`in_arm`)
    """

    moments: Mapping[str, Moments]
    covariates: Mapping[str, tuple[str, ...]]
    bases: Mapping[str, str]
    caps: Mapping[str, float]
    assigned: Mapping[str, int]
    randomised: Mapping[str, int]
    analysed: Mapping[str, int]
    clustered: bool
    confidence: float
    data_digest: str
    checks: tuple[Check, ...]
    rule: LookRule = field(default_factory=LookRule)
    strata: Mapping[str, ByArm] = field(default_factory=dict)
    segments: Mapping[str, Mapping[str, ByArm]] = field(default_factory=dict)
    waves: Mapping[str, ByArm] = field(default_factory=dict)
    customers: Moments | None = None

    def of(self, moments: ByArm) -> "Readings":
        """The readings of some units only, e.g. of one segment."""
        counts = {arm: round(cell.count) for arm, cell in moments.items()}
        rule = replace(self.rule, before={})  # the looks before were of all units
        return replace(self, moments=moments, analysed=counts, rule=rule, customers=None)

    @property
    def population(self) -> Moments:
        """Moments of all arms together."""
        first, *others = self.moments.values()
        return sum(others, start=first)

    def method(self, reading: str, treatment: str, *, proportion: bool = False) -> Method:
        """How this comparison is estimated: by the design first, then by what the data allow."""
        if self.customers is not None:
            return "by customer"
        if self.clustered:
            return "by cluster"
        if reading in self.bases:
            return "ratio"
        arms = (self.moments[treatment], self.moments[CONTROL])
        if proportion and any(_rare(arm, reading) for arm in arms):
            return "score"
        enough = min(self.analysed.values()) >= SMALL_ARM
        return "Lin" if self.covariates.get(reading) and enough else "Welch"

    def estimate(
        self,
        reading: str,
        treatment: str,
        *,
        control: str = CONTROL,
        method: Method,
        confidence: float | None = None,
        plus: float = 0.0,
    ) -> Estimate:
        """Mean of the reading in one arm less that in another, per unit.

        Interval and p-value hold over all looks (see `LookRule`).

        plus  an exactly known amount that every unit of the treatment has more
        """
        wanted = self.confidence if confidence is None else confidence
        found = self._alone(
            reading, treatment, control, method=method, confidence=self.rule.confidence(wanted)
        )
        found = found if plus == 0 else shifted(found, plus)
        test = f"{reading} by {treatment}" + ("" if control == CONTROL else f" over {control}")
        return replace(found, p_value=self.rule.p_value(found.p_value, test=test))

    def _alone(
        self, reading: str, treatment: str, control: str, *, method: Method, confidence: float
    ) -> Estimate:
        """The estimate as if this were the only reading."""
        arms = (self.moments[treatment], self.moments[control])
        level = confidence
        if method == "by customer" and self.customers is not None:
            base = self.bases.get(reading, N_UNITS)
            first, second = (
                (in_arm(reading, arm), in_arm(base, arm)) for arm in (treatment, control)
            )
            return crossed(self.customers, treatment=first, control=second, confidence=level)
        if method in ("by cluster", "ratio"):
            base = self.bases.get(reading, N_UNITS)
            return ratio(*arms, numerator=reading, denominator=base, confidence=level)
        if method == "score":
            return score(*arms, column=reading, confidence=level)
        if method == "Welch":
            return welch(*arms, column=reading, confidence=level)
        return lin(
            *arms,
            column=reading,
            covariates=self.covariates[reading],
            population=self.population,
            confidence=level,
        )


def read(
    experiment: Experiment,
    assigned: pd.DataFrame,
    outcomes: Any,
    customers: Any,
    *,
    rules: ReadingRules,
    look: LookRule,
    delivered: pd.Series | None = None,
) -> Readings:
    """Join, count and reduce to moments; refuses what cannot be analysed at all.

    assigned   checked, and without what the rules leave out of it
    delivered  by unit, 1 when a contact arrived; None when that is not known
    """
    joined, notices = join_outcomes(experiment, assigned, outcomes, rules=rules)
    everyone = assigned if rules.missing == "drop" else joined
    analysed = _counts(joined["arm"], experiment)
    caps = caps_of(experiment, joined)
    cost = joined["arm"].map(dict(experiment.economics.redemption_cost))
    readings = outcome_readings(
        experiment, joined, caps, redemption_cost=np.asarray(cost, dtype=np.float64)
    )
    if delivered is not None and experiment.cluster is None:
        reached = joined[UNIT].map(delivered).to_numpy(np.float64)
        key = experiment.primary.key
        readings |= {DELIVERED: reached, delivered_part(key): readings[key] * reached}
    features = features_of(joined[CUSTOMER if CUSTOMER in joined.columns else UNIT], customers)
    adjusting, more = covariates_of(experiment, features)
    groups = groups_of(experiment, joined, features)
    frame = pd.DataFrame({"arm": joined["arm"], **readings, **adjusting.columns})
    clustered = experiment.cluster is not None
    if clustered:
        cells = cluster_cells(experiment, frame, joined["cluster"], list(readings), groups)
    else:
        cells = unit_cells(experiment, frame, list(readings), adjusting, groups)
    drawn = joined["cluster"] if clustered else joined.get(CUSTOMER)
    return Readings(
        moments=cells.arms,
        strata=cells.strata,
        segments=cells.segments,
        waves=cells.waves,
        customers=crossed_moments(experiment, frame, drawn, list(readings))
        if is_redrawn(experiment) and drawn is not None
        else None,
        covariates={} if clustered else adjusting.by_reading,
        bases=bases_of(experiment),
        caps=caps,
        assigned=_counts(everyone["arm"], experiment),
        randomised=_randomised(everyone, experiment),
        analysed=analysed,
        clustered=clustered,
        confidence=experiment.analysis.confidence,
        data_digest=frame_digest(joined),
        checks=(*notices, *more),
        rule=look,
    )


def _counts(arms: pd.Series, experiment: Experiment) -> dict[str, int]:
    found = arms.value_counts()
    return {arm: int(found.get(arm, 0)) for arm in experiment.arm_names}


def _randomised(assignment: pd.DataFrame, experiment: Experiment) -> dict[str, int]:
    if experiment.cluster is None:
        return _counts(assignment["arm"], experiment)
    found = assignment.groupby("arm")["cluster"].nunique()
    return {arm: int(found.get(arm, 0)) for arm in experiment.arm_names}


def _rare(arm: Moments, reading: str) -> bool:
    events = arm.mean_of(reading) * arm.count
    return min(events, arm.count - events) < RARE_EVENTS
