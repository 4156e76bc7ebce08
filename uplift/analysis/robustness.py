"""Whether a result can be trusted: arms alike before the send, not the story of ten customers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from uplift.analysis.columns import GROSS, N_UNITS
from uplift.analysis.readings import Readings
from uplift.checks import Check, warning
from uplift.experiment import CONTROL, Experiment
from uplift.inference.balance_tests import balance_of_moments, check_balance, check_before
from uplift.inference.influence import Influence, influence

FEWEST_UNITS = 3  # of an arm, for leaving somebody out


@dataclass(frozen=True)
class InfluenceRow:
    """What the ten largest customers do to one effect.

    reading  key of the primary metric, or "profit"
    """

    reading: str
    treatment: str
    influence: Influence


def influence_rows(experiment: Experiment, readings: Readings) -> tuple[InfluenceRow, ...]:
    """Of every treatment on the primary metric and on profit; none where clusters are read."""
    level = readings.rule.confidence(readings.confidence)
    return tuple(
        InfluenceRow(
            "profit" if name == GROSS else name,
            arm.name,
            influence(
                readings.moments[arm.name],
                readings.moments[CONTROL],
                column=name,
                treatment_ends=ends[arm.name],
                control_ends=ends[CONTROL],
                confidence=level,
            ),
        )
        for name, ends in readings.ends.items()
        if name not in readings.bases
        for arm in experiment.treatments
        if min(readings.analysed[arm.name], readings.analysed[CONTROL]) >= FEWEST_UNITS
    )


def robustness_checks(
    experiment: Experiment, readings: Readings, found: tuple[InfluenceRow, ...]
) -> Iterator[Check]:
    """Balance of what was known before, bias of the primary metric before, influence."""
    control = readings.moments[CONTROL]
    if readings.known_before:
        treatments = {arm.name: readings.moments[arm.name] for arm in experiment.treatments}
        yield from check_balance(
            balance_of_moments(
                treatments,
                control,
                covariates=readings.known_before,
                units=N_UNITS if readings.clustered else None,
            )
        )
    yield from _before(experiment, readings)
    yield from _shapes(experiment, readings)
    for row in found:
        check = row.influence.check()
        if not check.passed and row.reading == experiment.primary.key:
            yield check


def _before(experiment: Experiment, readings: Readings) -> Iterator[Check]:
    """The primary metric's own value before the send: an A/A test of the same units."""
    name = f"before: {experiment.primary.covariate}"
    if name not in readings.known_before or readings.clustered:
        return
    for arm in experiment.treatments:
        before = readings.alone(name, arm.name, CONTROL, method="Welch", confidence=0.95)
        yield check_before(before, metric=str(experiment.primary.covariate), arm=arm.name)


def _shapes(experiment: Experiment, readings: Readings) -> Iterator[Check]:
    """Where a few large values make the mean of a small arm, and quantiles without an error."""
    for name in dict.fromkeys((experiment.primary.key, GROSS)):
        for arm in experiment.treatments:
            check = readings.skewness(name, arm.name)
            if not check.passed:
                shown = "the profit" if name == GROSS else name
                yield replace(check, remedy=f"{shown} of {arm.name}: {check.remedy}")
    for key, by_arm in readings.quantiles.items():
        for arm_name, found in by_arm.items():
            if not found.defined:
                yield warning(
                    "QUANTILE_UNDEFINED",
                    value=found.value,
                    remedy=f"{key} has no error in {arm_name}: {found.why_undefined}. Read the "
                    "share of customers above a fixed amount instead.",
                )
