"""Exact shares of whole units: counts per stratum and arm, rounded without favour.

A stratum of 7 drawn half and half holds 3.5 of each arm. Rounding must be by lot, or every small
stratum gives its odd unit to the same arm. The lots here are not independent. They are such that

    each count is its expectation, rounded down or up
    each stratum's counts add up to its size
    each arm's total over all strata is its expectation, rounded down or up
    the expectation of each count is n_stratum * share, exactly

The last line makes the propensity of every unit the designed share, in a stratum of one unit too.

**How.** The fractional parts are the edges of a graph between strata and arms (one more stratum
makes the totals whole). While there is a cycle, its edges are raised and lowered in turn until one
of them is whole, in a direction drawn so that no expectation changes. Every row and column adds up
to a whole number, so a fraction always lies on a cycle, and the end has none. The fractions are
whole multiples of 1 / (common denominator of the shares), so all of this is exact.

Source: Cox (1987), "A Constructive Procedure for Unbiased Controlled Rounding", JASA 82(398);
Gandhi, Khuller, Parthasarathy & Srinivasan (2006), "Dependent Rounding", Journal of the ACM 53(3).
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.assignment.hashing import hash_units, slots

FEW_CELLS = 20_000  # up to here the plain loop is over before the compiler is loaded
LARGEST = 2**53  # of a whole number that a float holds exactly

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Parts = npt.NDArray[
    Any
]  # whole multiples of 1 / denominator: int64, or Python's where that is short


def rounded_counts(sizes: IntArray, shares: Sequence[Fraction], *, salt: str) -> IntArray:
    """How many units of each stratum each arm gets. Returns (n_strata, n_arms).

    sizes   (n_strata,)  units per stratum
    shares  (n_arms,)    add up to 1
    salt    of the lots: the same sizes, shares and salt give the same counts
    """
    whole, parts, denominator = _split(sizes, shares)
    fractional = np.flatnonzero(parts.any(axis=1))
    if len(fractional):
        rows = parts[fractional]
        lots = slots(hash_units([str(i) for i in range(rows.size + 2)], salt=f"{salt}:rounding"))
        whole[fractional] += _rounded(rows, denominator, lots)
    return whole


def _split(sizes: IntArray, shares: Sequence[Fraction]) -> tuple[IntArray, Parts, int]:
    """Whole part of every expectation, and the rest in multiples of 1 / denominator."""
    denominator = math.lcm(*(share.denominator for share in shares))
    known, code = np.unique(sizes, return_inverse=True)
    table = [[int(size) * int(share * denominator) for share in shares] for size in known]
    whole = np.array([[x // denominator for x in row] for row in table], dtype=np.int64)
    kind = np.int64 if denominator < LARGEST // max(len(sizes), 1) else object
    parts = np.array([[x % denominator for x in row] for row in table], dtype=kind)
    shape = (-1, len(shares))
    return whole.reshape(shape)[code], parts.reshape(shape)[code], denominator


def _rounded(parts: Parts, denominator: int, lots: Array) -> IntArray:
    """0 or 1 for each fraction."""
    totals = (-parts.sum(axis=0)) % denominator  # the row that makes every arm's total whole
    rows = np.concatenate([totals[None, :], parts])
    taken = np.zeros(rows.shape, dtype=np.int64)
    cancel = _cancel_cycles
    if rows.size > FEW_CELLS and rows.dtype != object:
        from numba import njit  # loads what takes most of a second

        cancel = njit(cache=True)(_cancel_cycles)
    cancel(rows, denominator, lots, taken)
    return taken[1:]


def _cancel_cycles(rows: Parts, denominator: int, lots: Array, taken: IntArray) -> None:
    """Write 1 into `taken` for every fraction that is rounded up. Changes `rows`.

    Rows are added one by one to those still open, which hold no cycle: so a new cycle goes through
    the new row, and fewer rows are open than there are arms. Written so that numba can compile it.

    rows   (n_rows, n_arms)  in multiples of 1 / denominator; rows and columns add up to whole ones
    lots   at least one per fraction, in [0, 1)
    """
    n_rows, n_arms = rows.shape
    pending = np.zeros(n_arms + 1, dtype=np.int64)  # rows still open; the last is the new one
    n_pending = 0
    by_row = np.zeros(n_arms, dtype=np.int64)  # how the search reached an arm: through which row
    by_arm = np.zeros(n_arms, dtype=np.int64)  # … and from which arm; -1 where it began
    seen = np.zeros(n_arms, dtype=np.bool_)
    queue = np.zeros(n_arms, dtype=np.int64)
    lot = 0
    for new in range(n_rows):
        while True:
            start, end = -1, -1  # two arms of the new row that open rows connect
            for first in range(n_arms):
                if rows[new, first] == 0:
                    continue
                seen[:] = False
                seen[first], queue[0], by_arm[first] = True, first, -1
                head, tail = 0, 1
                while head < tail and end < 0:
                    arm = queue[head]
                    head += 1
                    for i in range(n_pending):
                        row = pending[i]
                        if rows[row, arm] == 0:
                            continue
                        for other in range(n_arms):
                            if rows[row, other] != 0 and not seen[other]:
                                seen[other], by_row[other], by_arm[other] = True, row, arm
                                queue[tail] = other
                                tail += 1
                                if end < 0 and rows[new, other] != 0:
                                    end = other
                if end >= 0:
                    start = first
                    break
            if end < 0:
                break
            # edges with + : (new, end), then on the way back each arm's edge to the row it came
            # from is −, the row's edge to the arm before is +, and (new, start) is −
            up = min(denominator - rows[new, end], rows[new, start])
            down = min(rows[new, end], denominator - rows[new, start])
            arm = end
            while by_arm[arm] >= 0:
                row, before = by_row[arm], by_arm[arm]
                up = min(up, rows[row, arm], denominator - rows[row, before])
                down = min(down, denominator - rows[row, arm], rows[row, before])
                arm = before
            step = up if lots[lot] * (up + down) < down else -down
            lot += 1
            rows[new, end] += step
            rows[new, start] -= step
            arm = end
            while by_arm[arm] >= 0:
                row, before = by_row[arm], by_arm[arm]
                rows[row, arm] -= step
                rows[row, before] += step
                arm = before
            pending[n_pending] = new
            kept = 0
            for i in range(n_pending + 1):
                row = pending[i]
                is_open = False
                for arm in range(n_arms):
                    if rows[row, arm] == denominator:
                        taken[row, arm], rows[row, arm] = 1, 0
                    is_open = is_open or rows[row, arm] != 0
                if is_open and row != new:
                    pending[kept] = row
                    kept += 1
            n_pending = kept
        for arm in range(n_arms):
            if rows[new, arm] != 0:
                pending[n_pending] = new
                n_pending += 1
                break
