"""What lint says of power: by the figures given, or as the last design found it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from uplift.checks import Check
from uplift.errors import DataError, DefinitionError, UpliftError
from uplift.experiment import Experiment
from uplift.sizing.plan import design
from uplift.strict_json import parse_json
from uplift.table import format_value

UNKNOWN_SIZE = frozenset({"DESIGN_UNITS", "BASELINE_MISSING"})  # no history, so no power


@dataclass(frozen=True)
class _Answer:
    """One answer of a design, new or kept."""

    metric: str
    role: str
    treatment: str
    power: float | None
    wanted_power: float
    mde: float
    words: str

    @property
    def enough(self) -> bool:
        """Whether the effect sought is proven with the wanted power; so it is if none is sought."""
        return self.power is None or self.power >= self.wanted_power


def power_checks(
    experiment: Experiment, history: pd.DataFrame | None, n_units: int | None, *, kept: Path
) -> Iterator[Check]:
    """Checks of power, and of the control's size.

    kept  file of the last design; it is read when neither history nor a number is given, and it is
          of the definition as it stands
    """
    try:
        if history is None and n_units is None and (made := _kept(kept, experiment)) is not None:
            yield from _checks(experiment, *made)
            return
        planned = design(experiment, history, n_units=n_units)
    except (DefinitionError, DataError) as error:
        yield _unknown(error)
        return
    answers = [
        _Answer(a.metric, a.role, a.treatment, a.power, a.wanted_power, a.mde, a.words())
        for a in planned.answers
    ]
    options = [(option.control_share, option.mde_relative) for option in planned.holdout_options]
    yield from _checks(experiment, answers, options)


def refused(error: UpliftError) -> Check:
    """A definition that cannot be used at all."""
    return Check("definition", False, remedy=str(error), code=error.code)


def _kept(
    file: Path, experiment: Experiment
) -> tuple[list[_Answer], list[tuple[float, float | None]]] | None:
    """Answers and sizes of a control of the last design, if it was made for this definition.

    Errors: JSON_INVALID, DESIGN_FILE (it is not what `uplift design` writes).
    """
    if not file.is_file():
        return None
    made = parse_json(file.read_bytes(), name=file.name).content
    try:
        if made["digest"] != experiment.digest:
            return None
        answers = [_of_file(row) for row in made["answers"]]
        return answers, [(o["control_share"], o["mde_relative"]) for o in made["holdout_options"]]
    except (TypeError, KeyError, ValueError) as error:
        raise DefinitionError(
            f"{file.name} is not what `uplift design` writes ({type(error).__name__}: {error}). "
            "Run `uplift design` again.",
            code="DESIGN_FILE",
        ) from error


def _of_file(row: Mapping[str, Any]) -> _Answer:
    words = (
        f"{row['metric']}, {row['treatment']}: by the last design the effect sought is proven with "
        f"a chance of {format_value(row['power'], 'share')}, where "
        f"{format_value(row['wanted_power'], 'share')} is wanted; that takes "
        f"{format_value(row['n_needed'], 'count')} customers."
    )
    figures = {name: row[name] for name in ("metric", "role", "treatment", "power", "wanted_power")}
    return _Answer(**figures, mde=row["mde"], words=words)


def _checks(
    experiment: Experiment,
    answers: list[_Answer],
    options: list[tuple[float, float | None]],
) -> Iterator[Check]:
    for answer in answers:
        yield Check(
            f"power {answer.metric} {answer.treatment}",
            passed=answer.enough,
            value=answer.power,
            bound=answer.wanted_power,
            remedy=answer.words,
            code="UNDERPOWERED",
            blocking=answer.role == "primary",
        )
    yield _holdout(experiment, [a for a in answers if a.role == "primary"], options)


def _holdout(
    experiment: Experiment,
    primary: list[_Answer],
    options: list[tuple[float, float | None]],
) -> Check:
    """Whether it is the control's size that keeps the primary metric from being answered."""
    sought, planned = experiment.metrics.primary.minimum_effect, float(experiment.arms[0].share)
    better = [
        share for share, mde in options if mde is not None and sought is not None and mde <= sought
    ]
    weakest = max(primary, key=lambda answer: answer.mde)
    enough = min(better, default=None)
    return Check(
        "holdout",
        passed=weakest.enough or enough is None or enough <= planned,
        value=planned,
        bound=enough,
        remedy=f"A control of {planned:.0%} is too small for the effect sought; {enough or 0:.0%} "
        "would show it.",
        code="HOLDOUT_CANNOT_ANSWER",
    )


def _unknown(error: UpliftError) -> Check:
    """Power that cannot be computed: a warning where history would help, else the refusal."""
    if error.code not in UNKNOWN_SIZE:
        return refused(error)
    remedy = f"What it can answer is not known. {error}"
    return Check("power", False, remedy=remedy, code=error.code, blocking=False)
