"""Overlap: are there customers who could hardly have got an arm?

Such customers get large weights, and an effect that rests on a few of them is of a few customers.
"""

import numpy as np
import numpy.typing as npt

from uplift.checks import Check, warning
from uplift.inference.doubly_robust import average
from uplift.models.crossfit import Design

Array = npt.NDArray[np.float64]

LOWEST = 0.01  # a propensity below it (or above 1 less it) is extreme
ALARM_SHARE = 0.05  # of units with an extreme propensity


def overlap_notice(design: Design, scores: Array) -> tuple[Check, ...]:
    """A warning (OVERLAP_WEAK) when many units could hardly have got one of the arms.

        effective sample size = (sum w)^2 / sum w^2,  w = 1 / propensity of the arm received

    scores  (n_units, n_arms - 1)  doubly robust effects: the effect without such units is told
    """
    propensity = design.propensity
    outside = (propensity < LOWEST) | (propensity > 1 - LOWEST)
    extreme = np.asarray(outside.any(axis=1), dtype=np.bool_)
    share = float(extreme.mean())
    if share < ALARM_SHARE:
        return ()
    n_units = design.n_units
    w = 1 / propensity[np.arange(n_units), design.arm]
    w = w if design.weight is None else w * design.weight
    effective = float(w.sum() ** 2 / (w**2).sum())
    words = (
        f"{share:.1%} of units have a propensity below {LOWEST} or above {1 - LOWEST}; the sample "
        f"counts like {effective:,.0f} of {n_units:,} units. {_trimmed(design, scores, extreme)}"
        "Leave out units that could hardly get an arm, or read the effect as one of few."
    )
    return (warning("OVERLAP_WEAK", value=share, remedy=words),)


def _trimmed(design: Design, scores: Array, extreme: npt.NDArray[np.bool_]) -> str:
    """The effect of all units beside that of the others, for the first treatment."""
    kept = ~extreme
    if kept.sum() < 2:
        return ""
    weight = design.weight
    everyone = average(scores[:, 0], weight=weight)
    others = average(scores[kept, 0], weight=None if weight is None else weight[kept])
    return (
        f"First treatment: effect {everyone.value:.4g} (standard error {everyone.std_error:.2g}), "
        f"without them {others.value:.4g} ({others.std_error:.2g}). "
    )
