"""Effects by declared segment: all intervals hold together, over every segment and treatment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from uplift.analysis.cells import ByArm
from uplift.analysis.columns import GROSS
from uplift.analysis.readings import Readings
from uplift.checks import Check, warning
from uplift.experiment import CONTROL, Experiment
from uplift.inference.means import Estimate
from uplift.inference.moments import Moments
from uplift.inference.multiplicity import holm
from uplift.inference.sample_ratio import ALARM_P_VALUE, chi_squared_p_value
from uplift.inference.segments import SegmentEffects, segment_effects

PROFIT = "profit"  # per unit, contact cost included


@dataclass(frozen=True)
class SegmentReading:
    """One treatment's effect on one reading, in every segment of one column.

    by       the customers' column
    reading  key of the primary metric, or PROFIT in the experiment's currency
    """

    by: str
    reading: str
    treatment: str
    effects: SegmentEffects


def segment_readings(experiment: Experiment, readings: Readings) -> tuple[SegmentReading, ...]:
    """Primary metric and profit of every treatment, by every declared segment column."""
    questions = [
        (by, reading, arm.name)
        for by in readings.segments
        for reading in (experiment.primary.key, PROFIT)
        for arm in experiment.treatments
    ]
    level = readings.confidence ** (1 / len(questions)) if questions else readings.confidence
    return tuple(
        SegmentReading(by, reading, arm, _effects(experiment, readings, by, reading, arm, level))
        for by, reading, arm in questions
    )


def segment_checks(experiment: Experiment, readings: Readings) -> Iterator[Check]:
    """Whether the arms have their designed shares within every segment, and what warns."""
    for by, cells in readings.segments.items():
        yield from _sample_ratios(experiment, by, cells)


def segment_warnings(found: tuple[SegmentReading, ...]) -> Iterator[Check]:
    """What has no number, once per segment column."""
    seen: set[str] = set()
    for reading in found:
        if reading.by in seen:
            continue
        seen.add(reading.by)
        yield from reading.effects.checks
        silent = [one for one in reading.effects.segments if not one.estimable]
        if silent:
            named = ", ".join(f"{one.segment} ({one.reason})" for one in silent[:5])
            yield warning(
                "SEGMENT_NOT_ESTIMABLE",
                value=len(silent),
                remedy=f"{reading.by}: no number for {named}. Join small segments before the test.",
            )


def _effects(
    experiment: Experiment, readings: Readings, by: str, reading: str, arm: str, level: float
) -> SegmentEffects:
    cells = readings.segments[by]
    column = GROSS if reading == PROFIT else reading
    costs = experiment.economics.contact_costs([arm, CONTROL])
    plus = float(costs[1] - costs[0]) if reading == PROFIT else 0.0

    def estimator(treatment: Moments, control: Moments, *, confidence: float) -> Estimate:
        within = readings.of({arm: treatment, CONTROL: control})
        method = within.method(column, arm)
        return within.estimate(column, arm, method=method, confidence=confidence, plus=plus)

    return segment_effects(
        _of_arm(cells, arm), _of_arm(cells, CONTROL), estimator=estimator, confidence=level
    )


def _of_arm(cells: Mapping[str, ByArm], arm: str) -> dict[str, Moments]:
    return {segment: by_arm[arm] for segment, by_arm in cells.items() if arm in by_arm}


def _sample_ratios(experiment: Experiment, by: str, cells: Mapping[str, ByArm]) -> Iterator[Check]:
    shares = experiment.shares
    p_values = [
        chi_squared_p_value(
            [by_arm[arm].count if arm in by_arm else 0.0 for arm in shares], list(shares.values())
        )
        for by_arm in cells.values()
    ]
    adjusted = holm(p_values).tolist()
    worst = min(range(len(adjusted)), key=lambda i: adjusted[i])
    segment = list(cells)[worst]
    yield Check(
        f"sample_ratio by {by}",
        passed=adjusted[worst] >= ALARM_P_VALUE,
        value=adjusted[worst],
        bound=ALARM_P_VALUE,
        remedy=f"Customers with {by} = {segment} are not split as designed: something that knows "
        "this column decided who is in which arm, or whose outcome is known.",
        code="SRM",
    )
