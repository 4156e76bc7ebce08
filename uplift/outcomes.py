"""Outcomes of assigned units: joined by id, each value checked, what is doubtful pointed out.

Row numbers in a refusal are those of the table that has to be repaired, counted from 1.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.checks import Check, warning
from uplift.errors import DataError
from uplift.experiment import CONTROL, Experiment
from uplift.frames import Table as AnyTable
from uplift.frames import read_frame
from uplift.metrics import Metric
from uplift.outcome_rows import rows_that_count, value_per_unit
from uplift.reading_rules import Missing, ReadingRules, as_told

SMALL_ARM = 30  # units; below this a normal interval is doubtful
DOMINANT_SHARE = 0.5  # of a metric's total held by one unit: the mean is that unit's story

Array = npt.NDArray[np.float64]


def joined_outcomes(
    experiment: Experiment,
    assignment: pd.DataFrame,
    outcomes: AnyTable,
    *,
    rules: ReadingRules,
    now: datetime | None = None,
) -> tuple[pd.DataFrame, tuple[Check, ...]]:
    """A checked assignment with the outcome of every unit, and the warnings met on the way.

    rules  what an assigned unit without an outcome means, several rows of one, and so on
    now    the time; units with an outcome stamped later are held back
    """
    given, trimming = as_told(outcomes, what="outcomes", rules=rules)
    table = read_frame(given, what="outcomes", require=experiment.outcome_columns)
    now = now or datetime.now(UTC)
    rows, notices = rows_that_count(experiment, assignment, table, rules=rules, now=now)
    binary = {metric.column: metric for metric in experiment.all_metrics if _is_binary(metric)}
    values = {
        name: value_per_unit(rows, name, binary=binary.get(name), rules=rules)
        for name in experiment.outcome_columns
    }
    kept = assignment.assign(**values)[~rows.held_back]
    joined = _without_gaps(kept, list(values), missing=rules.missing).reset_index(drop=True)
    n_held_back = int(rows.held_back.sum())
    counts = {str(arm): int(n) for arm, n in joined["arm"].value_counts().items()}
    checks = [*trimming, *notices, *arm_size_checks(experiment, counts, n_held_back=n_held_back)]
    for metric in experiment.all_metrics:
        _refuse_leak(experiment, metric, joined)
        checks += _dominance(metric, metric_values(metric, joined))
    return joined, tuple(checks)


def metric_values(metric: Metric, joined: pd.DataFrame) -> Array:
    """The metric of each unit, capped where its definition says so. Returns (n_units,)."""
    values = uncapped_values(metric, joined)
    return values if metric.cap is None else np.minimum(values, metric.cap)


def uncapped_values(metric: Metric, joined: pd.DataFrame) -> Array:
    """The metric of each unit without its cap. Returns (n_units,)."""
    return joined[metric.column].to_numpy(np.float64)


def winsorising_cap(metric: Metric, values: Array) -> float | None:
    """The next largest magnitude, when one unit holds most of a metric; else None.

    values  (n_units,) unit of the metric; cutting them to plus or minus the cap keeps every unit
            and treats all arms alike
    """
    sizes = np.abs(values)
    total = float(sizes.sum())
    if _is_binary(metric) or total == 0 or len(values) < SMALL_ARM:
        return None
    next_largest, largest = np.partition(sizes, -2)[-2:]
    return float(next_largest) if largest / total >= DOMINANT_SHARE else None


def refuse_function_of_arm(column: str, *, control: float, treatment: float, arm: str) -> None:
    """Refuse an outcome that is one number in all of control and another in all of an arm."""
    raise DataError(
        f"outcomes: {column!r} is {control:g} for all of control and {treatment:g} for all of "
        f"{arm}: it is a function of the arm, not an outcome. Check how the column is made.",
        code="OUTCOME_EQUALS_ARM",
        column=column,
    )


def _is_binary(metric: Metric) -> bool:
    return metric.kind == "proportion"


def _without_gaps(joined: pd.DataFrame, columns: list[str], *, missing: Missing) -> pd.DataFrame:
    gaps = joined[columns].isna()
    if missing == "zero":
        return joined.fillna(dict.fromkeys(columns, 0.0))
    if missing == "drop":
        return joined[~gaps.any(axis=1)].reset_index(drop=True)
    for name in columns:
        wrong = np.flatnonzero(gaps[name])
        if len(wrong):
            raise DataError(
                f"outcomes: column {name!r} is missing for {len(wrong)} assigned unit(s), first "
                f"that of row {wrong[0] + 1} of the assignment. Say what a missing outcome means: "
                "missing='zero' or 'drop' (`--missing zero`).",
                code="OUTCOME_MISSING",
                column=name,
                count=len(wrong),
                rows=(wrong[:5] + 1).tolist(),
            )
    return joined


def arm_size_checks(
    experiment: Experiment, counts: Mapping[str, int], *, n_held_back: int = 0
) -> Iterator[Check]:
    """A warning for each small arm. Errors: EMPTY_INPUT, ARM_MISSING, ARM_TOO_SMALL.

    counts       units with an outcome, by arm
    n_held_back  units whose outcome is stamped in the future
    """
    if not any(counts.values()):
        future = f" ({n_held_back:,} have one in the future.)" if n_held_back else ""
        raise DataError(
            "No assigned unit has an outcome. Check that both tables are of this experiment."
            f"{future}",
            code="EMPTY_INPUT",
        )
    for arm, share in experiment.shares.items():
        count = int(counts.get(arm, 0))
        if count == 0:
            raise DataError(
                f"Arm {arm!r} has no unit with an outcome, though {share:.1%} of units were "
                "planned for it. Check the assignment and the outcomes.",
                code="ARM_MISSING",
                column="arm",
            )
        if count == 1:
            raise DataError(
                f"Arm {arm!r} has one unit with an outcome; at least 2 are needed for the error of "
                "a mean. Check the assignment and the outcomes.",
                code="ARM_TOO_SMALL",
                column="arm",
                count=count,
            )
        if count < SMALL_ARM:
            yield warning(
                "ARM_TOO_SMALL",
                value=count,
                remedy=f"Arm {arm!r} has fewer than {SMALL_ARM} units, so its intervals are rough.",
            )


def _refuse_leak(experiment: Experiment, metric: Metric, joined: pd.DataFrame) -> None:
    if metric.delivery:
        return
    values = pd.Series(metric_values(metric, joined))
    ranges = values.groupby(joined["arm"].to_numpy()).agg(["min", "max"])
    only = ranges.loc[ranges["min"] == ranges["max"], "min"]  # by arm, where nothing varies
    for arm in experiment.treatments:
        if CONTROL in only and arm.name in only and only[arm.name] != only[CONTROL]:
            refuse_function_of_arm(
                metric.column, control=only[CONTROL], treatment=only[arm.name], arm=arm.name
            )


def _dominance(metric: Metric, values: Array) -> Iterator[Check]:
    cap = winsorising_cap(metric, values)
    if cap is None:
        return
    yield dominance_warning(metric, float(np.abs(values).max() / np.abs(values).sum()), cap=cap)


def dominance_warning(metric: Metric, share: float, *, cap: float) -> Check:
    """One unit holds this share of a metric; the next largest magnitude is the cap."""
    return warning(
        "OUTCOME_DOMINATED",
        value=share,
        remedy=f"One unit holds {share:.0%} of {metric.column}, so the mean is its story. Read "
        f"beside each effect the one with that unit cut to the next largest, {cap:g}.",
    )
