"""What an experiment's data say, as moments per arm: the columns that effects and money need.

Everything after this works on moments. Units are counted once here, in arms, and by cluster where
clusters were randomised.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.aggregate import aggregate
from uplift.analysis.looks import LookRule
from uplift.checks import Check, warning
from uplift.errors import DataError
from uplift.experiment import CONTROL, Experiment
from uplift.frames import frame_digest
from uplift.inference.means import Estimate, shifted, welch
from uplift.inference.moments import Moments
from uplift.inference.proportions import RARE_EVENTS, score
from uplift.inference.ratios import ratio
from uplift.inference.regression_adjustment import covariances_for, lin
from uplift.metrics import Metric
from uplift.outcomes import SMALL_ARM, Missing, metric_values, winsorising_cap
from uplift.trial import checked_assignment, features_of, join_outcomes

Array = npt.NDArray[np.float64]
Method = Literal["Welch", "Lin", "score", "by cluster", "ratio"]

VALUE = "money: value"  # the outcome in currency
REDEMPTION = "money: redemption cost"  # of the unit's own arm
GROSS = "money: profit before contact cost"  # margin less redemption cost
N_UNITS = "units"  # in a cluster


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

    @property
    def population(self) -> Moments:
        """Moments of all arms together."""
        first, *others = self.moments.values()
        return sum(others, start=first)

    def method(self, reading: str, treatment: str, *, proportion: bool = False) -> Method:
        """How this comparison is estimated: by the design first, then by what the data allow."""
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
    assigned: Any,
    outcomes: Any,
    customers: Any,
    *,
    missing: Missing,
    rule: LookRule,
) -> Readings:
    """Join, count and reduce to moments; refuses what cannot be analysed at all."""
    joined, notices = join_outcomes(experiment, assigned, outcomes, missing=missing)
    everyone = checked_assignment(experiment, assigned) if missing == "drop" else joined
    analysed = _counts(joined["arm"], experiment)
    caps = caps_of(experiment, joined)
    cost = joined["arm"].map(dict(experiment.economics.redemption_cost))
    readings = outcome_readings(
        experiment, joined, caps, redemption_cost=np.asarray(cost, dtype=np.float64)
    )
    adjusting, more = covariates_of(experiment, joined["unit"], customers)
    frame = pd.DataFrame({"arm": joined["arm"], **readings, **adjusting.columns})
    clustered = experiment.cluster is not None
    if clustered:
        moments = _cluster_moments(experiment, frame, joined["cluster"], list(readings))
    else:
        moments = _unit_moments(experiment, frame, list(readings), adjusting)
    return Readings(
        moments={arm: moments[arm] for arm in experiment.arm_names},
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
        rule=rule,
    )


def base_of(key: str) -> str:
    """The reading that a ratio is divided by."""
    return f"{key} denominator"


def bases_of(experiment: Experiment) -> dict[str, str]:
    """By metric key of every ratio: the reading that it is divided by."""
    return {m.key: base_of(m.key) for m in experiment.all_metrics if m.denominator is not None}


def pairs_needed(
    experiment: Experiment, readings: Sequence[str], adjusting: "Adjusting"
) -> list[tuple[str, str]]:
    """The covariances that the estimates need: with covariates, ratios' bases, cluster sizes."""
    pairs = list(bases_of(experiment).items())
    if experiment.cluster is not None:
        return [*pairs, *((reading, N_UNITS) for reading in readings)]
    return pairs + [
        pair
        for reading, covariates in adjusting.by_reading.items()
        if reading in readings
        for pair in covariances_for([reading], covariates)
    ]


@dataclass(frozen=True)
class Adjusting:
    """Covariate columns, and which of them go with which reading."""

    columns: Mapping[str, Array]
    by_reading: Mapping[str, tuple[str, ...]]


NO_COVARIATES = Adjusting({}, {})


def outcome_readings(
    experiment: Experiment,
    joined: pd.DataFrame,
    caps: Mapping[str, float],
    *,
    redemption_cost: Array,
) -> dict[str, Array]:
    """Every reading of each unit, (n_units,), from its outcome columns.

    redemption_cost  (n_units,)  of a redemption in the unit's own arm
    """
    readings = {metric.key: metric_values(metric, joined) for metric in experiment.all_metrics}
    readings |= {winsorised(key): np.clip(readings[key], -cap, cap) for key, cap in caps.items()}
    for metric in experiment.all_metrics:
        if metric.denominator is not None:
            readings[base_of(metric.key)] = joined[metric.denominator].to_numpy(np.float64)
    economics = experiment.economics
    value = joined[economics.value_outcome].to_numpy(np.float64)
    redemption = np.zeros(len(joined))
    if economics.redemption_outcome is not None:
        redemption = redemption_cost * joined[economics.redemption_outcome].to_numpy(np.float64)
    gross = economics.margin_rate * value - redemption
    return readings | {VALUE: value, REDEMPTION: redemption, GROSS: gross}


def winsorised(key: str) -> str:
    """The reading of a metric with its one dominating unit cut to the next largest."""
    return f"{key} winsorised"


def caps_of(experiment: Experiment, joined: pd.DataFrame) -> dict[str, float]:
    """By metric key, where one unit holds most of it: the next largest magnitude."""
    found = {
        metric.key: winsorising_cap(metric, metric_values(metric, joined))
        for metric in experiment.all_metrics
        if metric.kind != "ratio"
    }
    return {key: cap for key, cap in found.items() if cap is not None}


def covariates_of(
    experiment: Experiment, units: pd.Series, customers: Any
) -> tuple[Adjusting, list[Check]]:
    """The covariates of the units, and a warning for each that cannot be used as planned."""
    features = features_of(units, customers)
    columns: dict[str, Array] = {}
    by_reading: dict[str, tuple[str, ...]] = {}
    checks: list[Check] = []
    for metric in experiment.all_metrics:
        name = metric.covariate
        if name is None:
            continue
        why = _why_unadjusted(experiment, metric, known=name in features.columns)
        if why is not None:
            checks.append(_unadjusted(metric.key, name, why))
            continue
        made = _covariate_columns(features[name], name)
        if len(made) > 1 and not set(made) <= set(columns):
            checks.append(_partly_missing(name, made))
        columns |= made
        by_reading |= dict.fromkeys((metric.key, winsorised(metric.key)), tuple(made))
        if metric.column == experiment.money.value and GROSS not in by_reading:
            by_reading |= dict.fromkeys((VALUE, REDEMPTION, GROSS), tuple(made))
    return Adjusting(columns, by_reading), checks


def _covariate_columns(values: pd.Series, name: str) -> dict[str, Array]:
    """The covariate with its gaps at the mean, and an indicator of the gaps if there are any."""
    if not pd.api.types.is_numeric_dtype(values.dtype):
        raise DataError(
            f"customers: covariate {name!r} must hold numbers, but is {values.dtype}. "
            "Give the pre-period value of the metric.",
            code="COVARIATE_NOT_NUMERIC",
            column=name,
        )
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    if np.isinf(numbers).any():
        raise DataError(
            f"customers: covariate {name!r} is infinite in {int(np.isinf(numbers).sum())} row(s). "
            "Repair the source.",
            code="FEATURE_NOT_FINITE",
            column=name,
            count=int(np.isinf(numbers).sum()),
        )
    gaps = np.isnan(numbers)
    if not gaps.any():
        return {f"covariate {name}": numbers}
    middle = float(numbers[~gaps].mean()) if not gaps.all() else 0.0
    return {
        f"covariate {name}": np.where(gaps, middle, numbers),
        f"covariate {name} is missing": gaps.astype(np.float64),
    }


def _unit_moments(
    experiment: Experiment, frame: pd.DataFrame, readings: Sequence[str], adjusting: Adjusting
) -> dict[str, Moments]:
    pairs = pairs_needed(experiment, readings, adjusting)
    table = aggregate(
        frame, by=("arm",), columns=[*readings, *adjusting.columns], covariances=pairs
    )
    return {key["arm"]: cell for key, cell in table.cells()}


def _cluster_moments(
    experiment: Experiment, frame: pd.DataFrame, cluster: pd.Series, readings: Sequence[str]
) -> dict[str, Moments]:
    grouped = frame.groupby(cluster.to_numpy(), sort=True)
    torn = int((grouped["arm"].nunique() > 1).sum())
    if torn:
        raise DataError(
            f"assignment: {torn} cluster(s) have units in more than one arm, though clusters were "
            "randomised. Use the assignment this experiment made.",
            code="CLUSTER_TWO_ARMS",
            column="cluster",
            count=torn,
        )
    totals = grouped[list(readings)].sum()
    totals[N_UNITS] = grouped.size().astype(np.float64)
    totals["arm"] = grouped["arm"].first()
    pairs = pairs_needed(experiment, readings, NO_COVARIATES)
    table = aggregate(totals, by=("arm",), columns=[*readings, N_UNITS], covariances=pairs)
    return {key["arm"]: cell for key, cell in table.cells()}


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


def _why_unadjusted(experiment: Experiment, metric: Metric, *, known: bool) -> str | None:
    if experiment.cluster is not None:
        return "clusters were randomised, and adjustment by cluster is not available"
    if metric.kind == "ratio":
        return "a ratio is read without adjustment"
    return None if known else f"the customer table has no column {metric.covariate!r}"


def _unadjusted(metric: str, covariate: str, why: str) -> Check:
    return warning(
        "COVARIATE_UNUSED", value=covariate, remedy=f"{metric} is not adjusted, because {why}."
    )


def _partly_missing(name: str, columns: Mapping[str, Array]) -> Check:
    share = float(list(columns.values())[1].mean())
    return warning(
        "COVARIATE_MISSING",
        value=share,
        remedy=f"{share:.1%} of units have no {name}; they keep the mean and an indicator.",
    )
