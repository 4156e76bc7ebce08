"""Lint: what is wrong with definitions before anything is sealed, in one list.

Nothing is written. Every finding says what was found, what was required and what to do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from uplift.checks import Check
from uplift.errors import DataError, DefinitionError, UpliftError
from uplift.experiment import CATALOGUE_FILE, DEFINITION_FILE, Experiment, load_experiment
from uplift.frames import read_frame
from uplift.metrics import MetricCatalogue
from uplift.objectives import FILE as OBJECTIVES_FILE
from uplift.objectives import Objectives
from uplift.registry.overlap import Overlap, overlaps_among
from uplift.registry.registry import Registry
from uplift.sizing.answers import GUARDRAIL, Answer
from uplift.sizing.plan import design
from uplift.sizing.result import Design
from uplift.table import Column, Result, Table

UNKNOWN_SIZE = frozenset({"DESIGN_UNITS", "BASELINE_MISSING"})  # no history, so no power


@dataclass(frozen=True)
class Finding:
    """One check of one experiment's definition."""

    experiment: str
    check: Check


@dataclass(frozen=True, repr=False)
class LintReport(Result):
    """What was found, by experiment; checks that hold are counted and not listed."""

    findings: tuple[Finding, ...]
    n_checks: int

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every finding's check."""
        return tuple(finding.check for finding in self.findings)

    def table(self) -> Table:
        """One row per finding."""
        columns = [Column("experiment"), Column("code"), Column("verdict"), Column("what to do")]
        rows = [
            (f.experiment, f.check.code, f.check.verdict, f.check.remedy) for f in self.findings
        ]
        return Table(
            "Lint", columns, rows, note=f"{self.n_checks} checks, {len(rows)} with a finding."
        )


def lint(
    root: str | Path = "experiments",
    names: Iterable[str] = (),
    *,
    history: Any = None,
    n_units: int | None = None,
) -> LintReport:
    """Check definitions below a folder; all of them, or those that are named.

    history  customers with pre-period columns, as `design` takes them; n_units without one
    """
    folder = Path(root)
    every = sorted(file.parent.name for file in folder.glob(f"*/{DEFINITION_FILE}"))
    chosen = list(names) or every
    found: list[Finding] = []
    loaded: dict[str, Experiment] = {}
    for name in every if not set(chosen) - set(every) else [*every, *chosen]:
        try:
            loaded[name] = load_experiment(folder / name)
        except UpliftError as error:
            found += [Finding(name, _refused(error))] if name in chosen else []
    table = None if history is None else read_frame(history, what="history")
    for name in chosen:
        if name in loaded:
            checks = _checks(folder, loaded[name], loaded.values(), table, n_units)
            found += [Finding(name, check) for check in checks]
    failed = tuple(finding for finding in found if not finding.check.passed)
    return LintReport(failed, len(found))


def _checks(
    folder: Path,
    experiment: Experiment,
    others: Iterable[Experiment],
    history: pd.DataFrame | None,
    n_units: int | None,
) -> Iterator[Check]:
    """Every check of one definition, held or not."""
    yield _orphan(folder, experiment)
    yield from _windows(experiment)
    yield from _overlaps(experiment, others)
    yield _same_metrics(folder, experiment)
    if history is not None:
        yield from _caps(experiment, history)
    try:
        planned = design(experiment, history, n_units=n_units)
    except (DefinitionError, DataError) as error:
        yield _unknown_power(error)
        return
    yield from _powers(experiment, planned)


def _orphan(folder: Path, experiment: Experiment) -> Check:
    file = folder / OBJECTIVES_FILE
    if file.is_file():
        return Objectives.load(file).check(experiment)
    remedy = f"There is no {OBJECTIVES_FILE}, so what the test is for is not known. Write it."
    return Check("orphan", False, remedy=remedy, code="ORPHAN", blocking=False)


def _windows(experiment: Experiment) -> Iterator[Check]:
    """Metrics whose window a wave does not watch, and looks outside the schedule."""
    for window in experiment.schedule.windows:
        watched = (window.closes_at - window.opens_at) // timedelta(days=1)
        long = [m.key for m in experiment.all_metrics if m.window_days > watched]
        yield Check(
            "windows",
            passed=not long,
            value=", ".join(long) or watched,
            bound=watched,
            remedy=f"Wave {window.wave} is watched for {watched} days, less than the window of "
            f"{', '.join(long)}. Watch it longer, or take a metric with a shorter window.",
            code="WINDOW_BEYOND_SCHEDULE",
        )
    looks = experiment.analysis.looks_days
    days = (experiment.schedule.closes_at - experiment.schedule.launch_at) // timedelta(days=1)
    late = [day for day in looks if day > days]
    yield Check(
        "looks",
        passed=not late,
        value=", ".join(map(str, late)) or len(looks),
        bound=days,
        remedy=f"Looks on day {', '.join(map(str, late))} are after the last window has closed "
        f"(day {days}). Leave them out.",
        code="WINDOW_BEYOND_SCHEDULE",
        blocking=False,
    )


def _overlaps(experiment: Experiment, others: Iterable[Experiment]) -> Iterator[Check]:
    pairs = [
        pair
        for pair in overlaps_among(others).conflicts
        if experiment.id in (pair.first, pair.second)
    ]
    clashes = ", ".join(_other(pair, experiment.id) for pair in pairs)
    yield Check(
        "layer",
        passed=not pairs,
        value=clashes or None,
        remedy=f"Its part of the layer meets that of {clashes} at the same time. Choose a free "
        "part, another layer, or another time.",
        code="LAYER_CONFLICT",
    )


def _other(pair: Overlap, experiment_id: str) -> str:
    return pair.second if pair.first == experiment_id else pair.first


def _same_metrics(folder: Path, experiment: Experiment) -> Check:
    """Whether metrics mean what sealed experiments, and the catalogue, mean by their keys."""
    known = {metric.key: metric for metric in Registry(folder).metrics()}
    file = folder / CATALOGUE_FILE
    cited = {m.key: m for m in MetricCatalogue.load(file)} if file.is_file() else {}
    changed = [
        metric.key
        for metric in experiment.all_metrics
        if known.get(metric.key, metric) != metric or cited.get(metric.key, metric) != metric
    ]
    return Check(
        "metrics",
        passed=not changed,
        value=", ".join(changed) or len(experiment.all_metrics),
        remedy=f"{', '.join(changed)}: the same key was sealed with another definition. Give the "
        "changed metric a new version.",
        code="METRIC_CHANGED",
    )


def _caps(experiment: Experiment, history: pd.DataFrame) -> Iterator[Check]:
    """A cap below every purchase leaves nothing but who bought."""
    for metric in experiment.all_metrics:
        column = next((c for c in (metric.column, metric.covariate) if c in history.columns), None)
        if metric.cap is None or column is None:
            continue
        values = history[column].to_numpy(np.float64, na_value=np.nan)
        bought = values[values > 0]
        smallest = float(bought.min()) if len(bought) else np.inf
        yield Check(
            "cap",
            passed=metric.cap > smallest,
            value=metric.cap,
            bound=smallest,
            remedy=f"{metric.key}: the cap of {metric.cap:g} is not above the smallest purchase, "
            f"{smallest:g}, so no amount is left in it. Choose it with `choose_cap`.",
            code="CAP_ZEROES_METRIC",
        )


def _powers(experiment: Experiment, planned: Design) -> Iterator[Check]:
    for answer in planned.answers:
        yield Check(
            f"power {answer.metric} {answer.treatment}",
            passed=answer.verdict != "cannot answer",
            value=answer.power,
            bound=answer.wanted_power,
            remedy=answer.words(),
            code="UNDERPOWERED",
            blocking=answer.role == "primary",
        )
    yield from _holdout(experiment, planned)


def _holdout(experiment: Experiment, planned: Design) -> Iterator[Check]:
    """Whether it is the control's size that keeps the primary metric from being answered."""
    sought = experiment.metrics.primary.minimum_effect
    weakest = max(_primary(planned), key=lambda answer: answer.mde)
    better = [
        option
        for option in planned.holdout_options
        if option.mde_relative is not None and sought is not None and option.mde_relative <= sought
    ]
    too_small = weakest.verdict == "cannot answer" and bool(better)
    enough = min(better, key=lambda option: option.control_share) if better else None
    yield Check(
        "holdout",
        passed=not too_small,
        value=float(experiment.arms[0].share),
        bound=enough.control_share if enough else None,
        remedy=f"A control of {float(experiment.arms[0].share):.0%} is too small for the effect "
        f"sought; {enough.control_share if enough else 0:.0%} would show it.",
        code="HOLDOUT_CANNOT_ANSWER",
    )


def _primary(planned: Design) -> list[Answer]:
    return [answer for answer in planned.answers if answer.role not in ("secondary", GUARDRAIL)]


def _unknown_power(error: UpliftError) -> Check:
    """Power that cannot be computed: a warning where history would help, else the refusal."""
    if error.code not in UNKNOWN_SIZE:
        return _refused(error)
    remedy = f"What it can answer is not known. {error}"
    return Check("power", False, remedy=remedy, code=error.code, blocking=False)


def _refused(error: UpliftError) -> Check:
    return Check("definition", False, remedy=str(error), code=error.code)
