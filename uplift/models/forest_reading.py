"""Effects and their variances, read from the leaves a row falls into. Compiled.

Leaf shares are summed over trees and divided once, so the forest is one weighted mean per arm: a
leaf without an arm adds nothing to it, and harms nothing.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from uplift.models.boosting import CHUNK, side_by_side
from uplift.models.forest_bins import Codes
from uplift.models.forest_draws import (
    BAG,
    ESTIMATION,
    OUTSIDE,
    STRUCTURE,
    TREE,
    Draws,
    digest_of_sources,
    role_of,
    stream,
)
from uplift.models.forest_growing import goes_left
from uplift.models.forest_trees import HonestTrees

Array = npt.NDArray[np.float64]
Units = npt.NDArray[np.uint64]

BLOCK = 128  # rows that go through all trees together
IN_BAG = -1  # instead of a leaf
NOBODY: Units = np.zeros(0, dtype=np.uint64)


class Leaves(NamedTuple):
    """The arrays of `HonestTrees`, as the compiled code takes them."""

    root: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int16]
    child: npt.NDArray[np.int32]
    goes_left: npt.NDArray[np.uint64]
    shares: Array


class Reading(NamedTuple):
    """What the trees say of some rows.

    sums   (n_rows, n_arms, 2)      weight and weighted residual per arm, over all trees
    spread (n_rows, n_arms - 1, 3)  variance of the effect between bags, between trees of one bag,
                                    and number of bags; zeros when not asked for
    """

    sums: Array
    spread: Array


def read_trees(
    trees: HonestTrees, codes: Codes, draws: Draws, *, unit: Units = NOBODY, spread: bool = False
) -> Reading:
    """Read rows one block after the other.

    unit    (n_rows,) of training rows: trees that used a row's unit are left out; empty for others
    spread  whether variances are wanted; then bags that hold a row's unit are left out whole
    """
    n_rows, n_arms = len(codes), trees.n_arms
    sums = np.zeros((n_rows, n_arms, 2))
    moments = np.zeros((n_rows if spread else 0, n_arms - 1, 3))
    leaves = Leaves(trees.root, trees.feature, trees.child, trees.goes_left, trees.shares)
    _read_kept(leaves, codes, unit, draws, sums, moments)
    return Reading(sums, moments)


def read_in_chunks(
    trees: HonestTrees, codes: Codes, draws: Draws, *, unit: Units, spread: bool = False
) -> Reading:
    """The same on all threads, for many training rows."""

    def read(begin: int) -> Reading:
        part = slice(begin, begin + CHUNK)
        return read_trees(trees, codes[part], draws, unit=unit[part], spread=spread)

    parts = list(side_by_side(read, range(0, len(codes), CHUNK)))
    return Reading(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _kept_on_disk(sources: int) -> Any:
    """`_read`, compiled once per digest of the sources; see `digest_of_sources`."""

    @njit(nogil=True, cache=True)
    def read(leaves, codes, unit, draws, sums, moments):  # type: ignore[no-untyped-def]
        _read(leaves, codes, unit, draws, sums, moments)
        return sources

    return read


@njit(nogil=True)
def _read(leaves, codes, unit, draws, sums, moments):  # type: ignore[no-untyped-def]
    n_rows, n_trees = len(codes), len(leaves.root)
    found = np.empty((BLOCK, n_trees), np.int32)
    for begin in range(0, n_rows, BLOCK):
        end = min(begin + BLOCK, n_rows)
        _find_leaves(leaves, codes[begin:end], found)
        if len(unit):
            _strike_in_bag(unit[begin:end], draws, len(moments) > 0, found)
        _sum_leaves(leaves.shares, found, sums[begin:end])
        if len(moments):
            _compare_bags(leaves.shares, found, sums[begin:end], draws.per_bag, moments[begin:end])


@njit(nogil=True)
def _find_leaves(leaves, codes, found):  # type: ignore[no-untyped-def]
    """The leaf of every row in every tree; a tree stays in the cache while rows go through it."""
    for t in range(len(leaves.root)):
        root = leaves.root[t]
        for i in range(len(codes)):
            node = root
            feature = leaves.feature[node]
            while feature >= 0:
                left = goes_left(leaves.goes_left[node], codes[i, feature])
                node = leaves.child[node] + np.int32(1 - left)
                feature = leaves.feature[node]
            found[i, t] = leaves.child[node]


@njit(nogil=True)
def _strike_in_bag(unit, draws, whole_bags, found):  # type: ignore[no-untyped-def]
    """Leave out, for every training row, the trees that its unit helped to grow."""
    for t in range(found.shape[1]):
        tree_stream = stream(draws.seed, TREE, t)
        bag_stream = stream(draws.seed, BAG, t // draws.per_bag)
        for i in range(len(unit)):
            role = role_of(unit[i], tree_stream, bag_stream, draws)
            if role in (STRUCTURE, ESTIMATION) or (whole_bags and role != OUTSIDE):
                found[i, t] = IN_BAG


@njit(nogil=True)
def _sum_leaves(shares, found, sums):  # type: ignore[no-untyped-def]
    for i in range(len(sums)):
        for t in range(found.shape[1]):
            leaf = found[i, t]
            if leaf != IN_BAG:
                for k in range(sums.shape[1]):
                    sums[i, k, 0] += shares[leaf, k, 0]
                    sums[i, k, 1] += shares[leaf, k, 1]


@njit(nogil=True)
def _compare_bags(shares, found, sums, per_bag, moments):  # type: ignore[no-untyped-def]
    """Variances of each tree's pull, per row and treatment; zeros where an arm is absent."""
    for i in range(len(moments)):
        used = 0
        for t in range(found.shape[1]):
            used += found[i, t] != IN_BAG
        for k in range(1, sums.shape[1]):
            if sums[i, 0, 0] > 0 and sums[i, k, 0] > 0:
                _bag_variances(shares, found[i], sums[i], k, used, per_bag, moments[i, k - 1])


@njit(nogil=True)
def _bag_variances(shares, found, sums, k, used, per_bag, moments):  # type: ignore[no-untyped-def]
    """Variance between the means of whole bags, that within bags, and how many bags there are.

    A tree's pull is its term in the linearised effect, so that it is 0 on average over trees.
    """
    bags, between, within = 0, 0.0, 0.0
    for b in range(len(found) // per_bag):
        total, squares, n = 0.0, 0.0, 0
        for t in range(b * per_bag, (b + 1) * per_bag):
            if found[t] == IN_BAG:
                continue
            leaf = shares[found[t]]
            pull = (leaf[k, 1] - leaf[k, 0] * sums[k, 1] / sums[k, 0]) * used / sums[k, 0]
            pull -= (leaf[0, 1] - leaf[0, 0] * sums[0, 1] / sums[0, 0]) * used / sums[0, 0]
            total, squares, n = total + pull, squares + pull * pull, n + 1
        if n == per_bag:
            mean = total / per_bag
            bags += 1
            between += mean * mean
            within += (squares - per_bag * mean * mean) / (per_bag - 1)
    if bags > 1:
        moments[0], moments[1], moments[2] = between / bags, within / bags, bags


_read_kept = _kept_on_disk(digest_of_sources())
