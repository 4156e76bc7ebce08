"""What must hold of a table before its moments are read, and what they cannot tell."""

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Any

from uplift.aggregate import MomentsTable, aggregate, filled, is_missing, largest
from uplift.analysis.cells import ARM
from uplift.analysis.table_plan import TablePlan, not_binary
from uplift.checks import Check, warning
from uplift.errors import DataError
from uplift.experiment import Experiment
from uplift.inference.moments import Moments
from uplift.metrics import Metric
from uplift.outcomes import DOMINANT_SHARE, SMALL_ARM, dominance_warning

EXACT = 1e-9  # relative, of two sums that are equal where all values are 0 and 1


def refuse_unknown_arms(experiment: Experiment, moments: MomentsTable) -> dict[str, int]:
    """Units per arm, control first. Errors: ARM_NULL, ARM_UNKNOWN."""
    place = moments.layout.place(ARM)
    found: dict[Any, int] = {}
    for key, count in zip(moments.keys, moments.count.tolist(), strict=True):
        found[key[place]] = found.get(key[place], 0) + int(count)
    if None in found:
        raise DataError(
            f"{found[None]:,} unit(s) have no arm. Leave them out in a view, or repair the "
            "assignment.",
            code="ARM_NULL",
            column=ARM,
            count=found[None],
        )
    known = experiment.arm_names
    for label, count in found.items():
        if label not in known:
            near = get_close_matches(str(label).strip().lower(), known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"Arm {label!r} is not an arm of the experiment ({', '.join(known)}).{hint} Write "
                "the labels as they are registered.",
                code="ARM_UNKNOWN",
                column=ARM,
                count=count,
            )
    return {arm: found.get(arm, 0) for arm in known}


def refuse_not_binary(plan: TablePlan, moments: MomentsTable) -> None:
    """Refuse a proportion with other values than 0 and 1."""
    everyone = moments.collapse(()).cell()
    for metric in plan.metrics:
        name = not_binary(metric.key)
        if name in everyone.columns and everyone.mean_of(name) > 0:
            count = round(everyone.mean_of(name) * everyone.count)
            raise DataError(
                f"{metric.key} is a proportion, so {metric.column!r} must be 0 or 1; {count:,} "
                "row(s) hold something else. Recode it or define it as a mean.",
                code="OUTCOME_NOT_BINARY",
                column=metric.column,
                count=count,
            )


def gaps_of(
    columns: Collection[str], table: Any, threads: int | None
) -> dict[str, tuple[float, float]]:
    """Of the columns with gaps: the mean of what is there (0 of nothing), and the share of gaps."""
    asked = [
        one
        for name in columns
        for one in (filled(name, 0.0, name=name), is_missing(name, name=f"{name}, gaps"))
    ]
    cell = aggregate(table, by=(), columns=asked, threads=threads).cell()
    found = {}
    for name in columns:
        share = cell.mean_of(f"{name}, gaps")
        if share > 0:
            found[name] = (cell.mean_of(name) / (1 - share) if share < 1 else 0.0, share)
    return found


def caps_needed(
    plan: TablePlan, moments: MomentsTable, table: Any
) -> tuple[dict[str, float], tuple[Check, ...]]:
    """By metric of which one unit holds most: the next largest magnitude; and a warning each.

    The moments exclude nearly every metric: with L the largest magnitude and T their total, L / T
    >= 1/2 needs sum x^2 >= L^2 >= T^2 / 4 >= (sum x)^2 / 4. The others are looked at.
    """
    everyone, caps, checks = moments.collapse(()).cell(), {}, []
    for metric in plan.metrics:
        if metric.kind == "proportion" or not _may_be_dominated(everyone, plan, metric):
            continue
        sizes, total = largest(table, plan.value_of(metric), 2)
        if total > 0 and len(sizes) > 1 and sizes[0] / total >= DOMINANT_SHARE:
            cap = float(sizes[1])
            checks.append(dominance_warning(metric, float(sizes[0]) / total, cap=cap))
            if metric.kind != "ratio":
                caps[metric.key] = cap
    return caps, tuple(checks)


def table_notices(plan: TablePlan) -> Iterator[Check]:
    """What is left out because it needs the rows."""
    left_out = ["the influence of the largest customers", "whether an id is there twice"]
    left_out += ["the sample ratio day by day"] if plan.experiment.kind == "trigger" else []
    left_out += [f"the quantile {m.key}" for m in plan.experiment.all_metrics if m.quantile]
    yield warning(
        "NEEDS_ROWS",
        value=", ".join(left_out),
        remedy="Read from a table by its moments, which cannot tell these. Read the experiment "
        "with `analyse` where they matter.",
    )


def _may_be_dominated(everyone: Moments, plan: TablePlan, metric: Metric) -> bool:
    column = plan.collected_name(metric)
    n, mean = everyone.count, everyone.mean_of(column)
    squares = everyone.variance(column) * (n - 1) + n * mean**2
    return n >= SMALL_ARM and 4 * squares * (1 + EXACT) >= (n * mean) ** 2 and squares > 0
