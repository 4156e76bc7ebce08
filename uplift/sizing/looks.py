"""The looks of a plan: when it is read, and how large an effect would be shown then."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from uplift.experiment import Experiment
from uplift.inference.planned_looks import PlannedLooks

NOT_THE_SAME_DAY = 1e-9


@dataclass(frozen=True)
class Look:
    """One reading of one comparison, as planned.

    fraction        of the planned information that is in by then
    z               bound on the estimate over its standard error
    effect_shown    smallest estimate that would be called proven, in the metric's unit
    effect_needed   true effect that is proven by then with the wanted power
    stops_by        probability of having proven the sought effect by then; None if none is sought
    """

    day: int
    fraction: float
    z: float
    effect_shown: float
    effect_needed: float | None
    stops_by: float | None


def planned_looks(experiment: Experiment) -> PlannedLooks:
    """The looks of the experiment's analysis plan.

    A look's information is the share of the customer days watched by then: of a campaign

        sum over waves of min(day - wave's day, its response days) / sum of response days

    and of a trigger the share of intake days whose customers have been watched to the end. That is
    what is planned with; the reading itself takes the information that is really there. Looks
    without any information are left out (see `days_without_information`).
    """
    analysis = experiment.analysis
    if analysis.monitoring == "fixed":
        return PlannedLooks()
    found = tuple(fraction for _, fraction in _informative(experiment)) or (1.0,)
    return PlannedLooks(found, analysis.monitoring, analysis.spending)


def look_days(experiment: Experiment) -> tuple[int, ...]:
    """The day of each planned look, the last one when every window has closed."""
    if experiment.analysis.monitoring == "fixed":
        return (last_day(experiment),)
    return tuple(day for day, _ in _informative(experiment)) or (last_day(experiment),)


def days_without_information(experiment: Experiment) -> tuple[int, ...]:
    """Declared looks that come before anything can be read, or after everything has been."""
    used = look_days(experiment)
    return tuple(day for day in experiment.analysis.looks_days if day not in used)


def last_day(experiment: Experiment) -> int:
    """Days from the launch until every response window has closed."""
    return _days(experiment, experiment.schedule.closes_at)


def look_table(
    looks: PlannedLooks,
    days: tuple[int, ...],
    *,
    alpha: float,
    sides: Literal[1, 2],
    std_error: float,
    power: float,
    sought: float | None,
) -> Iterator[Look]:
    """Every look of one comparison; `std_error` is that of the effect at the end."""
    boundary = looks.boundary(alpha, sides=sides)
    stopped = None
    if sought and std_error > 0:
        stopped = np.cumsum(boundary.crossing([sought / std_error])[0])
    for i, (day, fraction, z) in enumerate(
        zip(days, boundary.fractions.tolist(), boundary.z.tolist(), strict=True)
    ):
        until = PlannedLooks(looks.fractions[: i + 1], looks.monitoring, looks.spending)
        yield Look(
            day=day,
            fraction=fraction,
            z=z,
            effect_shown=z * std_error / math.sqrt(fraction),
            effect_needed=_needed(until, z, alpha, sides, std_error, power),
            stops_by=None if stopped is None else float(stopped[i]),
        )


def _needed(
    until: PlannedLooks,
    z: float,
    alpha: float,
    sides: Literal[1, 2],
    std_error: float,
    power: float,
) -> float | None:
    """The true effect proven by the last of these looks with `power`; None if none can stop."""
    boundary = until.boundary(alpha, sides=sides)
    if boundary.spent[-1] >= power or z >= 8:  # a bound of 8 cannot stop
        return None
    return boundary.drift_for(power) * std_error


def _informative(experiment: Experiment) -> list[tuple[int, float]]:
    """Days and fractions of the looks: rising, the last one 1 at the end of all windows."""
    end = last_day(experiment)
    found: list[tuple[int, float]] = []
    for day in (*(d for d in experiment.analysis.looks_days if d < end), end):
        fraction = 1.0 if day == end else _information(experiment, day)
        if fraction > (found[-1][1] if found else 0.0) + NOT_THE_SAME_DAY:
            found.append((day, fraction))
    return found


def _information(experiment: Experiment, day: int) -> float:
    schedule = experiment.schedule
    if schedule.ends_at is not None:
        intake = max(_days(experiment, schedule.moment(schedule.ends_at)), 1)
        return min(max(day - schedule.response_days, 0) / intake, 1.0)
    watched = whole = 0
    for window in schedule.windows:
        opens, closes = _days(experiment, window.opens_at), _days(experiment, window.closes_at)
        watched += min(max(day - opens, 0), closes - opens)
        whole += closes - opens
    return watched / whole if whole else 1.0


def _days(experiment: Experiment, moment: datetime) -> int:
    return round((moment - experiment.schedule.launch_at).total_seconds() / 86_400)
