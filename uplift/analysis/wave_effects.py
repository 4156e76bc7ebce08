"""The effect of each wave, beside the one of all."""

from dataclasses import dataclass

from uplift.analysis.readings import Readings
from uplift.experiment import Experiment
from uplift.inference.means import Estimate


@dataclass(frozen=True)
class WaveRow:
    """One treatment's effect on the primary metric in one wave.

    Of sticky waves, the units that came in with it; of waves drawn anew, everybody in it.
    """

    wave: str
    treatment: str
    estimate: Estimate


def wave_rows(experiment: Experiment, readings: Readings) -> tuple[WaveRow, ...]:
    """A row per wave and treatment, in the order of the schedule; none where there is one wave."""
    key = experiment.primary.key
    found = []
    for window in experiment.schedule.windows:
        by_arm = readings.waves.get(window.wave, {})
        if set(by_arm) < set(experiment.arm_names) or not by_arm:
            continue
        within = readings.of(by_arm)
        for arm in experiment.treatments:
            method = within.method(key, arm.name)
            found.append(
                WaveRow(window.wave, arm.name, within.estimate(key, arm.name, method=method))
            )
    return tuple(found)
