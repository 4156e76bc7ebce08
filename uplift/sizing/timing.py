"""How many days the test takes: until enough customers are in, and their windows have closed."""

import math
from dataclasses import dataclass

from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.looks import last_day
from uplift.table import format_value


@dataclass(frozen=True)
class Timing:
    """Days from the launch to the last reading.

    inflow_per_day   eligible units that enter a trigger each day; None for a list sent at once
    intake_days      days until `n_units` are in; 0 for a list sent at once
    response_days    days each of them is watched after that (of all waves together)
    n_waves          sends of a campaign
    """

    n_units: int
    inflow_per_day: float | None
    intake_days: int
    response_days: int
    n_waves: int

    @property
    def days(self) -> int:
        """Until the result is final."""
        return self.intake_days + self.response_days

    def days_for(self, n_units: int) -> int | None:
        """Days until `n_units` are in and watched; None when a list sent at once has too few."""
        if self.inflow_per_day is not None:
            return math.ceil(n_units / self.inflow_per_day) + self.response_days
        return self.response_days if n_units <= self.n_units else None

    def words(self, n_needed: int | None) -> str:
        """Days of the plan, and those that the wanted power takes."""
        text = f"It takes {format_value(self.days, 'count')} days"
        if self.inflow_per_day is not None:
            text += (
                f": {format_value(self.intake_days, 'count')} until "
                f"{format_value(self.n_units, 'count')} customers are in at "
                f"{format_value(self.inflow_per_day, 'number')} a day, and "
                f"{self.response_days} to watch the last of them"
            )
        elif self.n_waves > 1:
            text += f" with {self.n_waves} waves"
        if n_needed is None or n_needed <= self.n_units:
            return f"{text}."
        wanted = f"{format_value(n_needed, 'count')} customers are needed for the wanted chance"
        needed = self.days_for(n_needed)
        if needed is not None:
            return f"{text}; {wanted}, which takes {format_value(needed, 'count')} days."
        times = format_value(n_needed / self.n_units, "number")
        return f"{text}; {wanted}, {times} times those on the list."


def timing_of(experiment: Experiment, n_units: int, inflow_per_day: float | None) -> Timing:
    """When `n_units` are read. Errors: INFLOW_INVALID."""
    schedule = experiment.schedule
    if inflow_per_day is not None and not (math.isfinite(inflow_per_day) and inflow_per_day > 0):
        raise DefinitionError(
            f"inflow_per_day must be above 0, got {inflow_per_day}. Give the eligible customers "
            "who enter on a usual day.",
            code="INFLOW_INVALID",
        )
    if inflow_per_day is not None and experiment.kind != "trigger":
        raise DefinitionError(
            f"{experiment.id} is sent to a list, so customers do not flow in. Leave out "
            "inflow_per_day, or make it an experiment of the kind trigger.",
            code="INFLOW_INVALID",
        )
    waves = len(schedule.windows)
    if inflow_per_day is None:
        return Timing(n_units, None, 0, last_day(experiment), waves)
    intake = math.ceil(n_units / inflow_per_day)
    return Timing(n_units, inflow_per_day, intake, schedule.response_days, waves)


def units_of_trigger(experiment: Experiment, inflow_per_day: float) -> int | None:
    """Units that enter until the trigger ends; None when no end is declared."""
    schedule = experiment.schedule
    if schedule.ends_at is None:
        return None
    open_for = schedule.moment(schedule.ends_at) - schedule.launch_at
    return math.floor(inflow_per_day * open_for.total_seconds() / 86_400)
