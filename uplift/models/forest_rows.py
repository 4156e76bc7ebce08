"""Units as a causal forest counts them: weights and residuals in whole numbers.

Whole numbers have the same sum in any order, so neither threads nor the order of rows can change a
tree. Two precisions are kept: 32 bits of weight and 32 of residual in one number, for the many sums
that choose a split, and 62 bits of each for the sums in the leaves.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError
from uplift.models.crossfit import Design

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PACKED_BITS = 31  # of the largest sum of weights, and of absolute residuals, in a packed sum
EXACT_BITS = 62  # of the same in a leaf's sums
LARGEST = 1e30  # of an outcome; boosted means hold it in 32 bits, up to 3e38
SHIFT = 32  # a packed number is weight * 2^32 + residual


class Rows(NamedTuple):
    """What the compiled code reads of the units, one entry per row.

    codes     (n_rows, n_features)  of `Bins.encode`
    arm       0 is control
    packed    weight and weighted residual in 32 bits each
    weight    in units of `Scales.weight`
    residual  weight times residual, in units of `Scales.residual`
    unit      number of the unit or cluster that is drawn as one
    """

    codes: npt.NDArray[np.uint8]
    arm: npt.NDArray[np.uint8]
    packed: IntArray
    weight: IntArray
    residual: IntArray
    unit: npt.NDArray[np.uint64]


class Scales(NamedTuple):
    """What one step of a row's whole numbers is worth, as powers of two."""

    packed_weight: float
    weight: float
    residual: float


def pack_rows(
    codes: npt.NDArray[np.uint8],
    *,
    arm: IntArray,
    residual: Array,
    weight: Array,
    unit: IntArray,
) -> tuple[Rows, Scales]:
    """Write weights and residuals as whole numbers whose sums cannot overflow.

    No sum over any subset of rows can exceed the sum of all absolute values, so steps are sized to
    that sum: a heavy tail or a large cluster costs no more digits than many rows do.

    residual  (n_rows,)  outcome less its expected mean
    weight    (n_rows,)  0 or more, from `balancing_weights`
    """
    weighted = weight * residual
    sizes = np.abs(weighted)
    total, total_weight = math.fsum(sizes), math.fsum(weight)
    room = 2.0**PACKED_BITS - 2 * len(weight)  # rounding may add one step per row
    packed_step, packed_weight = _step(total, room), _step(total_weight, room)
    step, exact_weight = _step(total, 2.0**EXACT_BITS), _step(total_weight, 2.0**EXACT_BITS)
    whole = np.where(weight > 0, np.maximum(np.rint(weight / packed_weight), 1), 0)
    packed = (whole.astype(np.int64) << SHIFT) + np.rint(weighted / packed_step).astype(np.int64)
    rows = Rows(
        codes=codes,
        arm=arm.astype(np.uint8),
        packed=packed,
        weight=np.rint(weight / exact_weight).astype(np.int64),
        residual=np.rint(weighted / step).astype(np.int64),
        unit=unit.astype(np.uint64),
    )
    return rows, Scales(packed_weight, exact_weight, step)


def require_summable(outcome: Array) -> None:
    """Refuse an outcome whose sums or squares are beyond what is counted with.

    Refused: OUTCOME_TOO_LARGE.
    """
    largest = float(np.abs(outcome).max(initial=0))
    if largest > LARGEST:
        raise DataError(
            f"outcome: values up to {largest:g} are found, at most {LARGEST:g} can be summed. Give "
            "it in a larger unit, e.g. in millions.",
            code="OUTCOME_TOO_LARGE",
            column="outcome",
        )


def balancing_weights(design: Design, rows: IntArray) -> Array:
    """Weight of each row, so that all arms of any group of rows stand for the same units.

        weight * overlap / propensity of the arm received,   1 / overlap = sum over arms of
        1 / propensity

    scaled so that every arm keeps its weight in sum. With the same propensities for all rows this
    is the weight itself. Unlike 1 / propensity it has no large values, where few decide.
    Source: Li & Li (2019), Annals of Applied Statistics 13(4), generalised overlap weights.

    returns  (n_rows,)
    """
    propensity, arm = design.propensity[rows], design.arm[rows]
    weight = np.ones(len(rows)) if design.weight is None else design.weight[rows]
    received = np.take_along_axis(propensity, arm[:, None], axis=1)[:, 0]
    balance = 1 / (received * (1 / propensity).sum(axis=1))
    balanced = np.empty(len(rows))
    for k in range(design.n_arms):
        inside = arm == k
        _require_weight(weight[inside], arm=k)
        relative = balance[inside] / balance[inside].max()  # exactly 1 when all are alike
        scaled = weight[inside] * relative
        balanced[inside] = scaled * (math.fsum(weight[inside]) / math.fsum(scaled))
    return balanced


def _step(total: float, room: float) -> float:
    """The smallest power of two in whose units `total` is at most `room`."""
    if total <= 0:
        return 1.0
    exponent = max(math.ceil(math.log2(total / room)), -1000)
    while math.ldexp(room, exponent) < total:  # the logarithm is rounded
        exponent += 1
    return math.ldexp(1.0, exponent)


def _require_weight(weight: Array, *, arm: int) -> None:
    if not weight.any():
        raise DataError(
            f"Arm number {arm} has no unit of positive weight to learn from. Use fewer folds or "
            "more units.",
            code="ARM_TOO_SMALL",
            column="arm",
            count=len(weight),
        )
