"""The best split of a node, from sums per feature, arm and code. Compiled.

A split is judged by how much better separate effects in both children explain the residuals than
one effect does (the R-loss with a free level in every node, all arms jointly):

    gain = between(left) + between(right) - between(node)
    between = sum over arms of sum_k^2 / weight_k - (sum of sums)^2 / (sum of weights)

Sums are packed: weight in the high 32 bits, weighted residual in the low ones. A split is the set
of codes that go left, as 256 bits; missing values go to the side where they gain more.
Source: Nie & Wager (2021), Biometrika 108(2); Athey, Tibshirani & Wager (2019), AoS 47(2).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from numpy import uint64

from uplift.models.forest_draws import Draws

WORDS = 4  # of 64 bits, for 256 codes
TOO_SMALL_LEFT, TOO_SMALL_RIGHT = -1.0, -2.0  # instead of a gain

Packed = npt.NDArray[np.int64]


class Plan(NamedTuple):
    """How trees grow. Weights are in steps of packed sums.

    depth        most splits between the root and a leaf
    min_leaf     least weight of a child
    min_arm      least weight of every arm in a child
    min_share    least share of its node's weight in a child
    n_tried      features looked at per node
    n_codes      (n_features,)
    categorical  (n_features,)
    """

    draws: Draws
    n_arms: int
    depth: int
    min_leaf: float
    min_arm: float
    min_share: float
    n_tried: int
    n_codes: npt.NDArray[np.int64]
    categorical: npt.NDArray[np.bool_]


class Found(NamedTuple):
    """Where the best split so far is written.

    left       (n_arms,)  packed sums of the left child
    running    (n_arms,)  packed sums of the split being looked at
    goes_left  (4,)       bits of the codes that go left
    """

    left: Packed
    running: Packed
    goes_left: npt.NDArray[np.uint64]


@njit(nogil=True)
def residual_of(packed):  # type: ignore[no-untyped-def]
    """The weighted residual in a packed sum."""
    return np.int64(np.int32(packed & 0xFFFFFFFF))


@njit(nogil=True)
def weight_of(packed):  # type: ignore[no-untyped-def]
    """The weight in a packed sum."""
    return (packed - residual_of(packed)) >> 32


@njit(nogil=True)
def copy(source, target):  # type: ignore[no-untyped-def]
    """Values of a short array into another; a loop compiles faster than a slice."""
    for i in range(len(source)):
        target[i] = source[i]


@njit(nogil=True)
def _clear(values):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        values[i] = 0


@njit(nogil=True)
def best_split(
    cells: npt.NDArray[np.int64],
    tried: npt.NDArray[np.int64],
    total: Packed,
    found: Found,
    plan: Plan,
) -> tuple[float, int]:
    """Gain and feature of the best split, written into `found`; gain 0 when there is none.

    cells  (n_tried, n_arms, most codes)  packed sums
    tried  features in the order of the cells
    total  (n_arms,)  packed sums of the node
    """
    parent = _between(total)
    weight = 0.0
    for k in range(len(total)):
        weight += float(weight_of(total[k]))
    smallest = max(plan.min_leaf, plan.min_share * weight)
    best, feature, slot = 0.0, -1, 0
    for q in range(plan.n_tried):
        f = tried[q]
        if plan.categorical[f]:
            gain = _best_levels(
                cells[q], plan.n_codes[f], total, parent, smallest, best, found, plan
            )
        else:
            gain = _best_cut(cells[q], plan.n_codes[f], total, parent, smallest, best, found, plan)
        if gain > best:
            best, feature, slot = gain, f, q
    if feature >= 0:
        if plan.categorical[feature]:
            _turn(cells[slot], total, found)
        _send_absent(cells[slot], plan.categorical[feature], total, found)
    return best, feature


@njit(nogil=True)
def _best_cut(cells, n_codes, total, parent, smallest, best, found, plan):  # type: ignore[no-untyped-def]
    """Best cut of a number: codes up to one go left; missing (code 0) is tried on both sides."""
    n_arms = len(total)
    for missing_left in range(1 + _is_present(cells, 0)):
        for k in range(n_arms):
            found.running[k] = cells[k, 0] if missing_left else 0
        for code in range(1, n_codes):
            if not _is_present(cells, code):
                continue
            for k in range(n_arms):
                found.running[k] += cells[k, code]
            gain = _gain(found.running, total, parent, smallest, plan.min_arm)
            if gain == TOO_SMALL_RIGHT:
                break
            if gain > best:
                best = gain
                copy(found.running, found.left)
                _clear(found.goes_left)
                for c in range(0 if missing_left else 1, code + 1):
                    _set(found.goes_left, c)
    return best


@njit(nogil=True)
def _best_levels(cells, n_codes, total, parent, smallest, best, found, plan):  # type: ignore[no-untyped-def]
    """Best set of levels, among those that begin the order by a treatment's effect.

    The effect of a level is drawn towards 0 by `min_arm`, so rare levels stand in the middle.
    """
    n_arms = len(total)
    order, effect = np.empty(n_codes, np.int64), np.empty(n_codes, np.float64)
    for k in range(1, n_arms):
        n_present = 0
        for code in range(n_codes):
            if not _is_present(cells, code):
                continue
            treated = residual_of(cells[k, code]) / (weight_of(cells[k, code]) + plan.min_arm)
            control = residual_of(cells[0, code]) / (weight_of(cells[0, code]) + plan.min_arm)
            i = n_present
            while i > 0 and effect[i - 1] > treated - control:
                order[i], effect[i] = order[i - 1], effect[i - 1]
                i -= 1
            order[i], effect[i] = code, treated - control
            n_present += 1
        _clear(found.running)
        for i in range(n_present):
            for j in range(n_arms):
                found.running[j] += cells[j, order[i]]
            gain = _gain(found.running, total, parent, smallest, plan.min_arm)
            if gain == TOO_SMALL_RIGHT:
                break
            if gain > best:
                best = gain
                copy(found.running, found.left)
                _clear(found.goes_left)
                for c in range(i + 1):
                    _set(found.goes_left, order[c])
    return best


@njit(nogil=True)
def _gain(left, total, parent, smallest, min_arm):  # type: ignore[no-untyped-def]
    """Gain of a split, or which child is too small."""
    left_sum = left_weight = left_part = right_sum = right_weight = right_part = 0.0
    too_small = False
    for k in range(len(total)):
        g, h = float(residual_of(left[k])), float(weight_of(left[k]))
        rest = total[k] - left[k]
        rest_g, rest_h = float(residual_of(rest)), float(weight_of(rest))
        if rest_h < min_arm:
            return TOO_SMALL_RIGHT
        if h < min_arm:
            too_small = True
            continue
        left_sum, left_weight, left_part = left_sum + g, left_weight + h, left_part + g * g / h
        right_sum, right_weight = right_sum + rest_g, right_weight + rest_h
        right_part += rest_g * rest_g / rest_h
    if too_small:
        return TOO_SMALL_LEFT
    if right_weight < smallest:
        return TOO_SMALL_RIGHT
    if left_weight < smallest:
        return TOO_SMALL_LEFT
    left_part -= left_sum * left_sum / left_weight
    right_part -= right_sum * right_sum / right_weight
    return left_part + right_part - parent


@njit(nogil=True)
def _between(total):  # type: ignore[no-untyped-def]
    """What separate arm means explain in a node; 0 when an arm is absent."""
    all_sum = all_weight = part = 0.0
    for k in range(len(total)):
        g, h = float(residual_of(total[k])), float(weight_of(total[k]))
        if h <= 0:
            return 0.0
        all_sum, all_weight, part = all_sum + g, all_weight + h, part + g * g / h
    return part - all_sum * all_sum / all_weight


@njit(nogil=True)
def _is_present(cells, code):  # type: ignore[no-untyped-def]
    """Whether any row of the node has this code."""
    for k in range(len(cells)):  # noqa: SIM110  compiled code has no any()
        if cells[k, code] != 0:
            return True
    return False


@njit(nogil=True)
def _turn(cells, total, found):  # type: ignore[no-untyped-def]
    """Put the first level that is there on the left, so that arms may trade names."""
    first = 0
    while not _is_present(cells, first):
        first += 1
    if (found.goes_left[first >> 6] >> uint64(first & 63)) & uint64(1):
        return
    for k in range(len(total)):
        found.left[k] = total[k] - found.left[k]
    for code in range(first, cells.shape[1]):
        if _is_present(cells, code):
            found.goes_left[code >> 6] ^= uint64(1) << uint64(code & 63)


@njit(nogil=True)
def _send_absent(cells, categorical, total, found):  # type: ignore[no-untyped-def]
    """Codes no row of the node has go with the heavier child: missing values, unseen levels."""
    left = weight = 0
    for k in range(len(total)):
        left, weight = left + weight_of(found.left[k]), weight + weight_of(total[k])
    if 2 * left < weight:
        return
    for code in range(64 * WORDS if categorical else 1):
        if code >= cells.shape[1] or not _is_present(cells, code):
            _set(found.goes_left, code)


@njit(nogil=True)
def _set(words, code):  # type: ignore[no-untyped-def]
    words[code >> 6] |= uint64(1) << uint64(code & 63)
