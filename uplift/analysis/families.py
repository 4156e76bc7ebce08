"""Tests that share one error: the declared family, and which of its tests are proven."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from uplift.experiment import Experiment
from uplift.inference.multiplicity import adjust

Array = npt.NDArray[np.float64]


def adjusted_p_values(experiment: Experiment, p_values: Sequence[float]) -> list[float]:
    """p-values of the family by the correction of the plan; nan stays nan and still counts."""
    found: list[float] = adjust(p_values, method=experiment.analysis.correction).tolist()
    return found
