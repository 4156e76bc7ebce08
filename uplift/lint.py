"""Lint: what is wrong with definitions before anything is sealed, in one list.

Nothing is written. Every finding says what was found, what was required and what to do.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from uplift.checks import Check
from uplift.errors import DataError, DefinitionError, UpliftError
from uplift.experiment import CATALOGUE_FILE, DEFINITION_FILE, Experiment, load_experiment
from uplift.frames import read_frame
from uplift.metrics import Metric, MetricCatalogue
from uplift.objectives import FILE as OBJECTIVES_FILE
from uplift.objectives import Objectives
from uplift.registry.overlap import Overlap, circle_of, conflict_words, overlaps_among
from uplift.registry.pressure import pressures_among
from uplift.registry.registry import Registry
from uplift.registry.sealing import check_caps, missing_parts
from uplift.sizing.answers import GUARDRAIL, Answer
from uplift.sizing.plan import design
from uplift.sizing.result import Design
from uplift.strict_yaml import read_yaml
from uplift.table import Column, Result, Table
from uplift.violations import Document

DAY = timedelta(days=1)
DESIGN_FILE = "design.json"
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

    def remarks(self) -> list[str]:
        """Nothing beside the table, which holds every finding."""
        return []

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
    for name in dict.fromkeys([*every, *chosen]):
        try:
            loaded[name] = load_experiment(folder / name)
        except UpliftError as error:
            found += [Finding(name, _refused(error))] if name in chosen else []
    project = _Project(folder, tuple(loaded.values()))
    table = None if history is None else read_frame(history, what="history")
    for name in chosen:
        if name in loaded:
            document = read_yaml(folder / name / DEFINITION_FILE)
            found += [
                Finding(name, _located(check, document, key))
                for key, check in _checks(project, loaded[name], table, n_units)
            ]
    failed = tuple(finding for finding in found if not finding.check.passed)
    return LintReport(failed, len(found))


@dataclass(frozen=True)
class _Project:
    """What definitions are compared with."""

    folder: Path
    experiments: tuple[Experiment, ...]

    @cached_property
    def registered(self) -> dict[str, str]:
        """State of every registered experiment, by id."""
        return {entry.id: entry.state for entry in Registry(self.folder).experiments().rows}

    @cached_property
    def sealed_metrics(self) -> dict[str, Metric]:
        """Metrics that sealed experiments use, by key."""
        return {metric.key: metric for metric in Registry(self.folder).metrics()}

    @cached_property
    def catalogue(self) -> dict[str, Metric]:
        """Metrics of the shared file, by key."""
        file = self.folder / CATALOGUE_FILE
        return {m.key: m for m in MetricCatalogue.load(file)} if file.is_file() else {}

    @cached_property
    def objectives(self) -> Objectives | None:
        """The tree of objectives, if there is one."""
        file = self.folder / OBJECTIVES_FILE
        return Objectives.load(file) if file.is_file() else None

    def knows(self, experiment_id: str) -> bool:
        """Whether an experiment is registered here, or stands in the folder."""
        return experiment_id in self.registered or experiment_id in {e.id for e in self.experiments}

    def undecided(self) -> tuple[Experiment, ...]:
        """Experiments that run or are to run."""
        over = ("read", "decided", "archived")
        return tuple(e for e in self.experiments if self.registered.get(e.id) not in over)


def _located(check: Check, document: Document, key: tuple[str, ...]) -> Check:
    """The check with file and line of the key it is about."""
    where = f"{document.name}, line {document.line(key)}: "
    return replace(check, remedy=where + check.remedy)


def _checks(
    project: _Project, experiment: Experiment, history: pd.DataFrame | None, n_units: int | None
) -> Iterator[tuple[tuple[str, ...], Check]]:
    """Every check of one definition, held or not, with the key it is about."""
    yield ("objective",), _orphan(project, experiment)
    yield from ((("schedule",), check) for check in _windows(experiment))
    yield from ((("analysis", "looks_days"), check) for check in _looks(experiment))
    yield ("assignment", "layer"), _layers(experiment, project)
    yield ("assignment", "contact_caps"), check_caps(experiment)
    yield from ((("assignment", "contact_caps"), c) for c in _pressures(experiment, project))
    yield ("assignment", "excludes"), _excludes(experiment, project)
    yield ("parent",), _parent(experiment, project)
    yield ("metrics",), _same_metrics(project, experiment)
    if project.registered.get(experiment.id, "draft") == "draft":
        yield (), _complete(experiment)
    if history is not None:
        yield from ((("metrics",), check) for check in _caps(experiment, history))
    yield from ((("metrics",), c) for c in _design(project, experiment, history, n_units))


def _design(
    project: _Project, experiment: Experiment, history: pd.DataFrame | None, n_units: int | None
) -> Iterator[Check]:
    """Power by the figures given; without any, for as many units as the last design had."""
    file = project.folder / experiment.id / DESIGN_FILE
    if history is None and n_units is None and file.is_file():
        made = json.loads(file.read_text(encoding="utf-8"))
        n_units = made["n_units"] if made["digest"] == experiment.digest else None
    try:
        planned = design(experiment, history, n_units=n_units)
    except (DefinitionError, DataError) as error:
        yield _unknown_power(error)
        return
    yield from _powers(experiment, planned)


def _orphan(project: _Project, experiment: Experiment) -> Check:
    if project.objectives is not None:
        return project.objectives.check(experiment)
    remedy = f"There is no {OBJECTIVES_FILE}, so what the test is for is not known. Write it."
    return Check("orphan", False, remedy=remedy, code="ORPHAN", blocking=False)


def _complete(experiment: Experiment) -> Check:
    """A draft may be incomplete; what is missing is asked for before it is sealed."""
    missing = tuple(missing_parts(experiment))
    return Check(
        "complete",
        passed=not missing,
        value=len(missing),
        bound=0,
        remedy=f"Not ready to be sealed. Write {' '.join(missing)}",
        code="SEAL_INCOMPLETE",
        blocking=False,
    )


def _windows(experiment: Experiment) -> Iterator[Check]:
    """Metrics whose window is longer than a wave is watched."""
    for window in experiment.schedule.windows:
        watched = (window.closes_at - window.opens_at) // DAY
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


def _looks(experiment: Experiment) -> Iterator[Check]:
    """Looks after the last window, and a last look before the primary metric has matured."""
    looks, schedule = experiment.analysis.looks_days, experiment.schedule
    last = (schedule.closes_at - schedule.launch_at) // DAY
    late = [day for day in looks if day > last]
    shown = ", ".join(map(str, late))
    yield Check(
        "looks",
        passed=not late,
        value=shown or len(looks),
        bound=last,
        remedy=f"Looks on day {shown} are after the last window has closed (day {last}). Leave "
        "them out.",
        code="WINDOW_BEYOND_SCHEDULE",
    )
    final_send = max(window.opens_at for window in schedule.windows)
    if schedule.ends_at is not None:
        final_send = schedule.moment(schedule.ends_at)
    matured = math.ceil((final_send - schedule.launch_at) / DAY) + experiment.primary.window_days
    bound = min(matured, last)
    yield Check(
        "final look",
        passed=not looks or looks[-1] >= bound,
        value=looks[-1] if looks else None,
        bound=bound,
        remedy=f"The last look comes before {experiment.primary.key} has matured for the last "
        f"customers contacted, on day {bound}. Look then.",
        code="LOOK_TOO_EARLY",
    )


def _layers(experiment: Experiment, project: _Project) -> Check:
    by_id = {one.id: one for one in project.undecided()}
    clashes = {
        _other(pair, experiment.id): pair
        for pair in overlaps_among(by_id.values()).conflicts
        if experiment.id in (pair.first, pair.second)
    }
    words = [conflict_words(experiment, by_id[name], pair) for name, pair in clashes.items()]
    return Check(
        "layer",
        passed=not clashes,
        value=", ".join(clashes) or None,
        remedy=" ".join(word[0].upper() + word[1:] for word in words),
        code="LAYER_CONFLICT",
    )


def _pressures(experiment: Experiment, project: _Project) -> Iterator[Check]:
    """Caps that are exceeded by the sends of this experiment together with those of others."""
    for pressure in pressures_among(project.undecided()):
        if experiment.id in (pressure.experiment, *pressure.others):
            yield pressure.check


def _excludes(experiment: Experiment, project: _Project) -> Check:
    """Whether every experiment whose control is left out exists, and is drawn first."""
    unknown = [name for name in experiment.assignment.excludes if not project.knows(name)]
    if unknown:
        return Check(
            "excludes",
            False,
            value=", ".join(unknown),
            remedy=f"There is no experiment {', '.join(unknown)} whose control could be left out. "
            "Correct the name, or register it.",
            code="EXCLUDED_UNKNOWN",
        )
    circle = circle_of(experiment, project.experiments)
    return Check(
        "excludes",
        passed=not circle,
        value=" → ".join(circle) or None,
        remedy=f"Each of {' → '.join(circle)} leaves out the control of the next, so none can be "
        "drawn first. Take one out.",
        code="EXCLUDES_CYCLE",
    )


def _parent(experiment: Experiment, project: _Project) -> Check:
    parent = experiment.parent
    return Check(
        "parent",
        passed=parent is None or (parent != experiment.id and project.knows(parent)),
        value=parent,
        remedy=f"There is no experiment {parent!r} that it could go on from. Correct the name, or "
        "leave it out.",
        code="PARENT_UNKNOWN",
    )


def _other(pair: Overlap, experiment_id: str) -> str:
    return pair.second if pair.first == experiment_id else pair.first


def _same_metrics(project: _Project, experiment: Experiment) -> Check:
    """Whether metrics mean what sealed experiments, and the catalogue, mean by their keys."""
    known = {**project.catalogue, **project.sealed_metrics}
    cited = {metric.key: metric for metric in experiment.all_metrics}
    changed = [key for key, metric in cited.items() if known.get(key, metric) != metric]
    return Check(
        "metrics",
        passed=not changed,
        value=", ".join(changed) or len(cited),
        remedy=f"{', '.join(changed)}: the same key has another definition elsewhere, in "
        f"{CATALOGUE_FILE} or in a sealed experiment. Give the changed metric a new version.",
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
