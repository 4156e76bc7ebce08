"""Caps of heavy-tailed metrics: a fixed amount, chosen before launch from all units together.

A percentile of all units is useless where most of them spend nothing: the 99th percentile of
e-mail test spend is 0. So the quantile is taken among the amounts that are not 0.
"""

import numpy as np
import numpy.typing as npt

from uplift.errors import DefinitionError

Array = npt.NDArray[np.float64]


def choose_cap(values: Array, *, quantile: float = 0.99) -> float:
    """The amount above which this share of the non-zero values lies, to be written as `cap`.

    values    (n_units,), of all arms or of the time before, in the metric's unit
    quantile  among values other than 0, in (0, 1)
    Errors: CAP_ZEROES_METRIC when nothing would be left of the metric, PROBABILITY_INVALID.
    """
    if not 0 < quantile < 1:
        raise DefinitionError(
            f"The quantile of a cap must be between 0 and 1, got {quantile}.",
            code="PROBABILITY_INVALID",
        )
    bought = values[np.isfinite(values) & (values != 0)]
    cap = float(np.quantile(bought, quantile)) if len(bought) else 0.0
    if cap <= 0 or (len(bought) > 1 and cap <= bought.min()):
        raise DefinitionError(
            f"A cap at the {quantile:g} quantile would be {cap:g} and leave nothing of the metric. "
            "Take a higher quantile, or leave the metric uncapped.",
            code="CAP_ZEROES_METRIC",
        )
    return cap


def require_useful_cap(values: Array, cap: float) -> None:
    """Refuse a cap that zeroes a metric, such as a percentile of values that are mostly 0.

    Errors: CAP_ZEROES_METRIC.
    """
    if cap <= 0 and (values != 0).any():
        raise DefinitionError(
            f"A cap of {cap:g} zeroes the metric: {np.mean(values != 0):.1%} of units have a value "
            "other than 0. Choose it among those (`choose_cap`).",
            code="CAP_ZEROES_METRIC",
        )
