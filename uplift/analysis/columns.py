"""The columns of a reading: what each unit is worth, by what it is adjusted, where it is cut.

A reading is a metric (by its key) or a money column; every unit has a number for each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.analysis.waves import is_redrawn
from uplift.checks import Check, warning
from uplift.errors import DataError
from uplift.experiment import Experiment
from uplift.inference.hurdle import buyer_column
from uplift.inference.regression_adjustment import covariances_for
from uplift.metrics import Metric
from uplift.outcomes import metric_values, uncapped_values, winsorising_cap

Array = npt.NDArray[np.float64]

VALUE = "money: value"  # the outcome in currency
REDEMPTION = "money: redemption cost"  # of the unit's own arm
GROSS = "money: profit before contact cost"  # margin less redemption cost
N_UNITS = "units"  # in a cluster
DELIVERED = "delivered"  # 1 when a contact arrived, whichever arm the unit is in


def base_of(key: str) -> str:
    """The reading that a ratio is divided by."""
    return f"{key} denominator"


def bases_of(experiment: Experiment) -> dict[str, str]:
    """By metric key of every ratio: the reading that it is divided by."""
    return {m.key: base_of(m.key) for m in experiment.all_metrics if m.denominator is not None}


def pairs_needed(
    experiment: Experiment, readings: Sequence[str], adjusting: "Adjusting"
) -> list[tuple[str, str]]:
    """The covariances that the estimates need: with bases, covariates, cluster sizes."""
    bases, clustered = bases_of(experiment), experiment.cluster is not None
    pairs = list(bases.items())
    if clustered:
        pairs += [(reading, N_UNITS) for reading in readings]
    elif DELIVERED in readings:
        key = experiment.primary.key
        pairs += combinations((key, DELIVERED, delivered_part(key)), 2)
    for reading, covariates in adjusting.by_reading.items():
        if reading in readings:
            base = bases.get(reading, N_UNITS if clustered else None)
            of_it = [reading] if base is None else [reading, base]
            pairs += covariances_for(of_it, covariates)
    return pairs


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
        if metric.cap is not None:
            readings[uncapped(metric.key)] = uncapped_values(metric, joined)
        if metric.denominator is not None:
            readings[base_of(metric.key)] = joined[metric.denominator].to_numpy(np.float64)
    if is_spend(experiment.primary, readings[experiment.primary.key]):
        readings[bought(experiment.primary.key)] = buyer_column(readings[experiment.primary.key])
    economics = experiment.economics
    value = joined[economics.value_outcome].to_numpy(np.float64)
    redemption = np.zeros(len(joined))
    if economics.redemption_outcome is not None:
        redemption = redemption_cost * joined[economics.redemption_outcome].to_numpy(np.float64)
    gross = economics.margin_rate * value - redemption
    return readings | {VALUE: value, REDEMPTION: redemption, GROSS: gross}


def is_spend(metric: Metric, values: Array) -> bool:
    """Whether a metric is 0 for who did not buy and above 0 for who did: it has two parts."""
    return bool(metric.kind == "mean" and values.min() == 0 < values.max())


def bought(key: str) -> str:
    """The reading of who has any of a metric."""
    return f"{key} bought"


def delivered_part(key: str) -> str:
    """The reading of a metric where a contact arrived, and 0 elsewhere."""
    return f"{key} x delivered"


def uncapped(key: str) -> str:
    """The reading of a capped metric without its cap."""
    return f"{key} uncapped"


def winsorised(key: str) -> str:
    """The reading of a metric with its one dominating unit cut to the next largest."""
    return f"{key} winsorised"


def caps_of(experiment: Experiment, joined: pd.DataFrame) -> dict[str, float]:
    """By metric key, where one unit holds most of it: the next largest magnitude."""
    found = {
        metric.key: winsorising_cap(metric, metric_values(metric, joined))
        for metric in experiment.all_metrics
        if metric.kind not in ("ratio", "quantile")
    }
    return {key: cap for key, cap in found.items() if cap is not None}


def covariates_of(experiment: Experiment, features: pd.DataFrame) -> tuple[Adjusting, list[Check]]:
    """The covariates of the units, and a warning for each that cannot be used as planned.

    features  n_units rows: what is known of each unit from before
    """
    columns: dict[str, Array] = {}

    def share_missing(name: str) -> float:
        made = _covariate_columns(features[name], name)
        columns.update(made)
        return float(made[missing_column(name)].mean()) if len(made) > 1 else 0.0

    known = {n: bool(pd.api.types.is_numeric_dtype(features[n].dtype)) for n in features.columns}
    by_reading, checks = adjustments(experiment, known, share_missing)
    return Adjusting(columns, by_reading), checks


def adjustments(
    experiment: Experiment, known: Mapping[str, bool], share_missing: Callable[[str], float]
) -> tuple[dict[str, tuple[str, ...]], list[Check]]:
    """By reading: the columns that adjust it; and a warning for each that cannot be used.

    known          columns known from before, and whether they hold numbers
    share_missing  of the units, that have no value of a covariate
    """
    by_reading: dict[str, tuple[str, ...]] = {}
    missing: dict[str, float] = {}
    checks: list[Check] = []
    for metric in experiment.all_metrics:
        used: list[str] = []
        for name in planned_covariates(experiment, metric, known):
            why = _why_unadjusted(experiment, metric, known=name in known)
            if why is not None:
                checks.append(_unadjusted(metric.key, name, why))
                continue
            if name not in missing:
                missing[name] = share_missing(name)
                checks += [_partly_missing(name, missing[name])] if missing[name] else []
            used += [covariate_column(name)]
            used += [missing_column(name)] if missing[name] else []
        if used:
            by_reading |= dict.fromkeys(_readings_of(metric), tuple(used))
            if metric.column == experiment.money.value and GROSS not in by_reading:
                by_reading |= dict.fromkeys((VALUE, REDEMPTION, GROSS), tuple(used))
    return by_reading, checks


def planned_covariates(
    experiment: Experiment, metric: Metric, known: Mapping[str, bool]
) -> tuple[str, ...]:
    """Columns that adjust a metric: its own, the plan's, and those that the draw has balanced.

    Lin's adjustment by what a rerandomised or matched draw has balanced gives it its small error.
    Source: Li & Ding (2020), JRSS B 82(1).

    known  columns known from before, and whether they hold numbers
    """
    own = () if metric.covariate is None else (metric.covariate,)
    balanced = tuple(name for name in experiment.assignment.balance if known.get(name))
    return tuple(dict.fromkeys((*own, *experiment.analysis.covariates, *balanced)))


def covariate_column(name: str) -> str:
    """The column of a covariate, its gaps at the mean."""
    return f"covariate {name}"


def missing_column(name: str) -> str:
    """The indicator of a covariate's gaps."""
    return f"covariate {name} is missing"


def _readings_of(metric: Metric) -> tuple[str, ...]:
    return (metric.key, winsorised(metric.key), uncapped(metric.key))


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
        return {covariate_column(name): numbers}
    middle = float(numbers[~gaps].mean()) if not gaps.all() else 0.0
    return {
        covariate_column(name): np.where(gaps, middle, numbers),
        missing_column(name): gaps.astype(np.float64),
    }


def _why_unadjusted(experiment: Experiment, metric: Metric, *, known: bool) -> str | None:
    if is_redrawn(experiment):
        return "waves are drawn anew, and customers are read by their totals in every arm"
    if metric.kind == "quantile":
        return "a quantile is read without adjustment"
    return None if known else f"the customer table has no column {metric.covariate!r}"


def _unadjusted(metric: str, covariate: str, why: str) -> Check:
    return warning(
        "COVARIATE_UNUSED", value=covariate, remedy=f"{metric} is not adjusted, because {why}."
    )


def _partly_missing(name: str, share: float) -> Check:
    return warning(
        "COVARIATE_MISSING",
        value=share,
        remedy=f"{share:.1%} of units have no {name}; they keep the mean and an indicator.",
    )
