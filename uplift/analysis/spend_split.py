"""The effect on spend in two parts: more buyers, or larger baskets."""

from collections.abc import Iterator
from dataclasses import dataclass

from uplift.analysis.columns import bought
from uplift.analysis.readings import Readings
from uplift.errors import DataError
from uplift.experiment import CONTROL, Experiment
from uplift.inference.hurdle import Hurdle, hurdle

TOO_FEW = "BUYERS_TOO_FEW"


@dataclass(frozen=True)
class SpendSplit:
    """One treatment's effect on the primary metric, split without a remainder."""

    metric: str
    treatment: str
    parts: Hurdle


def spend_splits(experiment: Experiment, readings: Readings) -> tuple[SpendSplit, ...]:
    """Of every treatment with buyers in both arms; none where spend is not read by unit."""
    key = experiment.primary.key
    by_unit = not readings.clustered and readings.customers is None
    if not by_unit or bought(key) not in readings.moments[CONTROL].columns:
        return ()
    return tuple(_splits(experiment, readings, key))


def _splits(experiment: Experiment, readings: Readings, key: str) -> Iterator[SpendSplit]:
    level = readings.rule.confidence(readings.confidence)
    for arm in experiment.treatments:
        arms = (readings.moments[arm.name], readings.moments[CONTROL])
        try:
            found = hurdle(*arms, spend=key, buyer=bought(key), confidence=level)
        except DataError as refused:
            if refused.code != TOO_FEW:
                raise
            continue
        yield SpendSplit(key, arm.name, found)
