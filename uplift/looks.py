"""When an experiment is read: the days of its looks, and the information that is in by then."""

from datetime import datetime

from uplift.experiment import Experiment
from uplift.inference.planned_looks import PlannedLooks

NOT_THE_SAME_DAY = 1e-9


def planned_looks(experiment: Experiment) -> PlannedLooks:
    """The looks of the experiment's analysis plan.

    A look's information is the share of the customer days watched by then: of a campaign

        sum over waves of min(day - wave's day, its response days) / sum of response days

    of a campaign whose waves are drawn anew the same over closed waves alone, for only those are
    read; and of a trigger the share of intake days whose customers have been watched to the end.
    Looks without any information are left out (see `days_without_information`).
    """
    analysis = experiment.analysis
    if analysis.monitoring == "fixed":
        return PlannedLooks()
    found = tuple(fraction for _, fraction in _informative(experiment)) or (1.0,)
    return PlannedLooks(found, analysis.monitoring, analysis.spending, 1 - analysis.confidence)


def information(experiment: Experiment, day: int) -> float:
    """Share of the planned information that is in after a day (see `planned_looks`)."""
    schedule = experiment.schedule
    if schedule.ends_at is not None:
        intake = max(_days(experiment, schedule.moment(schedule.ends_at)), 1)
        return min(max(day - schedule.response_days, 0) / intake, 1.0)
    watched = whole = 0
    for window in schedule.windows:
        opens, closes = _days(experiment, window.opens_at), _days(experiment, window.closes_at)
        if day >= closes or not schedule.is_redrawn:
            watched += min(max(day - opens, 0), closes - opens)
        whole += closes - opens
    return watched / whole if whole else 1.0


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


def _informative(experiment: Experiment) -> list[tuple[int, float]]:
    """Days and fractions of the looks: rising, the last one 1 at the end of all windows."""
    end = last_day(experiment)
    found: list[tuple[int, float]] = []
    for day in (*(d for d in experiment.analysis.looks_days if d < end), end):
        fraction = 1.0 if day == end else information(experiment, day)
        if fraction > (found[-1][1] if found else 0.0) + NOT_THE_SAME_DAY:
            found.append((day, fraction))
    return found


def _days(experiment: Experiment, moment: datetime) -> int:
    return round((moment - experiment.schedule.launch_at).total_seconds() / 86_400)
