"""What past experiments have found, by the analysis each was read by: all, not the winners.

A mean of published wins is a mean of luck. So every experiment that was read counts, whatever its
decision; those that cannot count are named with the reason.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError, DefinitionError
from uplift.experiment import DEFINITION_FILE, Experiment, load_experiment
from uplift.registry.database import FILE
from uplift.registry.registry import Registry
from uplift.registry.states import position
from uplift.table import Column, Result, Table

ANALYSIS_FILE = "analysis.json"
ONLY_TREATED = "only the treated"  # delivered, opened: no effect
UNIVERSAL = "universal_control"  # the kind whose effect is that of many campaigns

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ArmEffect:
    """One treatment as its experiment's analysis read it, against the control.

    effect, std_error      in the metric's unit; without its cap, so that it adds up
    relative               effect by the control's mean, of the metric as defined, and its standard
                           error; nan where the control's mean may be 0
    n_treatment, n_control units
    """

    treatment: str
    effect: float
    std_error: float
    relative: tuple[float, float]
    n_treatment: float
    n_control: float


@dataclass(frozen=True)
class PastReading:
    """An experiment that was read: its definition and its analysis, as in the file."""

    experiment: Experiment
    decision: str | None
    analysis: Mapping[str, Any] = field(repr=False)

    @property
    def faults(self) -> tuple[str, ...]:
        """Names of the checks that withhold its verdict."""
        checks = self.analysis["checks"]
        return tuple(one["name"] for one in checks if not one["passed"] and one["blocking"])

    def arms(self, metric: str) -> tuple[ArmEffect, ...]:
        """Its treatments' effects on a metric, by key; none where it was not estimable."""
        found = (_arm(row) for row in self.analysis["effects"] if row["metric"] == metric)
        return tuple(one for one in found if one is not None)


@dataclass(frozen=True)
class PastEffect:
    """What one experiment found: the relative effect of its treatments, on average.

    n_treatments  whose effects were averaged, by units; they share the control, and the error
                  knows it
    decision      None while nothing is decided
    """

    experiment: str
    title: str
    kind: str
    launched_on: date
    decision: str | None
    effect: float
    std_error: float
    n_treatments: int
    n_units: int


@dataclass(frozen=True, repr=False)
class PastEffects(Result):
    """Relative effects of every experiment that was read, on one metric, oldest first.

    direction  `up` when more is better
    left_out   by experiment, why it does not count
    """

    metric: str
    direction: str
    rows: tuple[PastEffect, ...]
    left_out: Mapping[str, str]

    def table(self) -> Table:
        """One row per experiment."""
        columns = (
            Column("experiment"),
            Column("kind"),
            Column("launched"),
            Column("decision"),
            Column("relative effect", kind="signed_share"),
            Column("standard error", kind="share"),
            Column("treatments", kind="count"),
            Column("units", kind="count"),
        )
        rows = [
            (
                row.experiment,
                row.kind,
                f"{row.launched_on}",
                row.decision or "none yet",
                row.effect,
                row.std_error,
                row.n_treatments,
                row.n_units,
            )
            for row in self.rows
        ]
        return Table(f"Past effects on {self.metric}", columns, rows, note=self.note)

    @property
    def note(self) -> str:
        """What does not count, and why."""
        return " ".join(f"Left out: {name} ({why})." for name, why in self.left_out.items())


def past_effects(
    source: Registry | str | Path, *, metric: str | None = None, kind: str | None = None
) -> PastEffects:
    """The relative effects of every experiment that was read, on a metric.

    source  a registry, or the folder it belongs to; a folder without a registry is read by its
            files
    metric  key such as `spend_28d@1`; where all experiments have one primary metric, that one
    kind    of experiment; all but universal controls when not given, whose effect is that of many
            campaigns

    The treatments of an experiment are averaged, so that its effects are not counted as if they
    were independent, and so that none is chosen by its result. Left out, with the reason: those
    whose verdict was withheld (sample ratio and the like), and those without an interval.

    Errors: DefinitionError METRIC_UNKNOWN (none was read with it, or several metrics and none
    named); DataError FILE_CHECKSUM, ARTEFACT_MISSING for an analysis that was changed.
    """
    return effects_among(past_readings(source, kind=kind), metric=metric)


def effects_among(readings: Sequence[PastReading], *, metric: str | None = None) -> PastEffects:
    """As `past_effects`, of experiments that are at hand."""
    key = _metric(readings, metric)
    rows, left_out = [], {}
    for reading in readings:
        known = {one.key for one in reading.experiment.all_metrics}
        if key not in known:
            continue
        arms = [arm for arm in reading.arms(key) if np.isfinite(arm.relative).all()]
        if reading.faults:
            left_out[reading.experiment.id] = f"no verdict: {' and '.join(reading.faults)} failed"
        elif not arms:
            left_out[reading.experiment.id] = "its relative effect was not estimable"
        else:
            rows.append(_past(reading, arms))
    metrics = (m for reading in readings for m in reading.experiment.all_metrics if m.key == key)
    ordered = sorted(rows, key=lambda row: (row.launched_on, row.experiment))
    return PastEffects(key, next(metrics).direction, tuple(ordered), left_out)


def past_readings(
    source: Registry | str | Path, *, kind: str | None = None
) -> tuple[PastReading, ...]:
    """Every experiment of a kind that was read, by id; see `past_effects`.

    Errors: FILE_CHECKSUM, ARTEFACT_MISSING.
    """
    if isinstance(source, Registry):
        found = _in_registry(source)
    elif (Path(source) / FILE).is_file():
        found = _in_registry(Registry(source))
    else:
        found = _in_folder(Path(source))
    return tuple(one for one in found if _is_of(one.experiment, kind))


def primary_metrics(readings: Sequence[PastReading]) -> dict[str, int]:
    """How many experiments were decided by each metric, by key, most used first."""
    counts: dict[str, int] = {}
    for reading in readings:
        key = reading.experiment.primary.key
        counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def averaged(
    arms: Sequence[ArmEffect], weights: Sequence[float], *, relative: bool
) -> tuple[float, float]:
    """Mean effect of treatments that share a control, and its standard error.

        sum(w effect),  error^2 = sum over a, b of w_a w_b cov(a, b)
        cov(a, b) = sqrt(v_a v_b),  v_a = error_a^2 n_a / (n_a + n_control)

    where v is the control's part of the error when units vary alike in all arms.

    weights  one per arm, scaled to add up to 1
    """
    share = np.asarray(weights, dtype=np.float64) / float(np.sum(weights))
    found = [arm.relative if relative else (arm.effect, arm.std_error) for arm in arms]
    effect = np.array([one[0] for one in found])
    error = np.array([one[1] for one in found])
    n = np.array([arm.n_treatment for arm in arms])
    of_control = error * np.sqrt(n / (n + np.array([arm.n_control for arm in arms])))
    covariance = np.outer(of_control, of_control)
    np.fill_diagonal(covariance, error**2)
    return float(share @ effect), float(np.sqrt(share @ covariance @ share))


def _in_registry(registry: Registry) -> Iterator[PastReading]:
    for entry in registry.experiments().rows:
        if position(entry.state) >= position("read"):
            file = registry.artefact(entry.id, "analyse")
            content = json.loads(file.read_text(encoding="utf-8"))
            yield PastReading(registry.definition(entry.id), entry.decision, content)


def _in_folder(folder: Path) -> Iterator[PastReading]:
    for file in sorted(folder.glob(f"*/{ANALYSIS_FILE}")):
        content = json.loads(file.read_text(encoding="utf-8"))
        if not content["provisional"] and (file.parent / DEFINITION_FILE).is_file():
            yield PastReading(load_experiment(file.parent), None, content)


def _is_of(experiment: Experiment, kind: str | None) -> bool:
    return experiment.kind != UNIVERSAL if kind is None else experiment.kind == kind


def _metric(readings: Sequence[PastReading], metric: str | None) -> str:
    known = {one.key for reading in readings for one in reading.experiment.all_metrics}
    primary = primary_metrics(readings)
    if metric is None and len(primary) == 1:
        return next(iter(primary))
    if metric is None or metric not in known:
        listed = ", ".join(f"{key} ({count})" for key, count in primary.items()) or "none"
        asked = "Name one" if metric is None else f"No experiment was read with {metric!r}"
        raise DefinitionError(
            f"{asked}; experiments were read by these primary metrics: {listed}.",
            code="METRIC_UNKNOWN",
        )
    return metric


def _past(reading: PastReading, arms: Sequence[ArmEffect]) -> PastEffect:
    effect, error = averaged(arms, [arm.n_treatment for arm in arms], relative=True)
    experiment = reading.experiment
    return PastEffect(
        experiment=experiment.id,
        title=experiment.title,
        kind=experiment.kind,
        launched_on=experiment.schedule.launch_at.date(),
        decision=reading.decision,
        effect=effect,
        std_error=error,
        n_treatments=len(arms),
        n_units=sum(reading.analysis["analysed"].values()),
    )


def _arm(row: Mapping[str, Any]) -> ArmEffect | None:
    estimate = row.get("uncapped") or row["estimate"]
    if row["verdict"] == ONLY_TREATED or not (estimate["std_error"] or 0) > 0:
        return None
    try:
        return ArmEffect(
            treatment=row["treatment"],
            effect=float(estimate["effect"]),
            std_error=float(estimate["std_error"]),
            relative=_relative(row["estimate"]),
            n_treatment=float(estimate["n_treatment"]),
            n_control=float(estimate["n_control"]),
        )
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{ANALYSIS_FILE}: the effect of {row.get('treatment')!r} on {row.get('metric')!r} is "
            "not one that `uplift analyse` writes. Run it again.",
            code="FILE_UNREADABLE",
        ) from error


def _relative(estimate: Mapping[str, Any]) -> tuple[float, float]:
    """Relative effect and its error, as the analysis wrote them; nan where it has no error."""
    effect, error = estimate["relative_effect"], estimate["relative_std_error"]
    if effect is None or not (error or 0) > 0:
        return float("nan"), float("nan")
    return float(effect), float(error)
