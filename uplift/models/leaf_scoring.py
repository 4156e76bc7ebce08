"""Codes of numbers, and leaves of many trees at once. Compiled.

A row's leaf in a tree is what is left when every feature has crossed out the leaves that its code
rules out. Leaves are bits of a 32-bit number, so crossing out is one AND per feature, for many
trees at a time and for any kind of split; no tree is walked.
"""

import numpy as np
from numba import njit

from uplift.models.leaf_tables import Array, Codes, IntArray, Sets

TREES = 64  # that are scored together: their tables fit the processor's cache
LEAVES = 32  # bits of a leaf set
DE_BRUIJN = np.uint32(0x077CB531)  # times a power of two, its first five bits tell which
SHIFT = np.uint32(27)


@njit(nogil=True, cache=True, boundscheck=False)
def encode_numbers(values: Array, edges: Array, codes: Codes) -> None:
    """Write each value's code: 0 when missing, or else 1 + the edges below it.

    edges  (256,), ascending, infinite after the last: eight halvings without a branch
    """
    for i in range(len(values)):
        value = values[i]
        below = 0
        half = 128
        while half > 0:
            below += half * (edges[below + half - 1] < value)
            half >>= 1
        codes[i] = 0 if np.isnan(value) else below + 1


@njit(nogil=True, cache=True, boundscheck=False)
def add_leaves(
    codes: Codes,
    first: IntArray,
    feature: IntArray,
    sets: Sets,
    arm_sets: Sets,
    values: Array,
    stops: IntArray,
    out: Array,
) -> None:
    """Add the leaf values of some trees to `out`, (n_arms, n_stops, n_rows).

    codes     (n_features, n_rows)
    first     (n_blocks + 1,)                first entry of each block of trees in `feature`
    feature   (n_entries,)                   a feature that the block splits on
    sets      (n_entries * 256, TREES)       leaves left by the feature's code, tree by tree
    arm_sets  (n_blocks, n_arms, TREES)      leaves left by an arm
    values    (n_blocks, TREES * LEAVES)     by tree and place of the leaf
    stops     (n_stops,)                     ascending numbers of trees: a sum for each
    """
    n_arms = arm_sets.shape[1]
    left = np.empty(TREES, np.uint32)
    place = np.empty(TREES, np.int64)
    for b in range(len(first) - 1):
        for i in range(codes.shape[1]):
            for t in range(TREES):
                left[t] = np.uint32(0xFFFFFFFF)
            for e in range(first[b], first[b + 1]):
                row = sets[e * 256 + codes[feature[e], i]]
                for t in range(TREES):
                    left[t] &= row[t]
            for a in range(n_arms):
                for t in range(TREES):
                    bit = np.uint32((left[t] & arm_sets[b, a, t]) * DE_BRUIJN)
                    place[t] = t * LEAVES + np.int64(bit >> SHIFT)
                total = out[a, len(stops) - 1, i]  # one by one, as LightGBM adds, for its very bits
                low = 0
                for s in range(len(stops)):
                    high = max(low, min(TREES, stops[s] - b * TREES))
                    for t in range(low, high):
                        total += values[b, place[t]]
                    if stops[s] > b * TREES:
                        out[a, s, i] = total
                    low = high
