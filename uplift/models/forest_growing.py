"""One honest tree: splits from some units, leaf sums from others. Compiled.

Depth first. A node counts the codes of its rows for the features it tries, one addition per row and
feature, and its rows are then parted in place with their order kept.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from numpy import uint64

from uplift.models.forest_draws import GOLDEN, NODES, digest_of_sources, mix, rows_of, stream
from uplift.models.forest_rows import Rows, Scales
from uplift.models.forest_splits import WORDS, Found, Plan, best_split, weight_of
from uplift.models.forest_trees import Grown

LEAF = -1


class Part(NamedTuple):
    """The rows that choose a tree's splits, copied side by side.

    order, spare  rows in the order of the nodes, and room to part them
    """

    codes: npt.NDArray[np.uint8]
    arm: npt.NDArray[np.uint8]
    packed: npt.NDArray[np.int64]
    order: npt.NDArray[np.int32]
    spare: npt.NDArray[np.int32]


class Nodes(NamedTuple):
    """A tree while it grows, one entry per node.

    feature    split on, LEAF in a leaf
    child      the left child's node (the right one is next), or the leaf's number
    goes_left  (n_nodes, 4)       bits of the codes that go left
    total      (n_nodes, n_arms)  packed sums
    begin, end place of the node's rows
    """

    feature: npt.NDArray[np.int16]
    child: npt.NDArray[np.int32]
    goes_left: npt.NDArray[np.uint64]
    total: npt.NDArray[np.int64]
    begin: npt.NDArray[np.int32]
    end: npt.NDArray[np.int32]
    depth: npt.NDArray[np.int32]


def _kept_on_disk(sources: int) -> Any:
    """`grow_tree`, compiled once per digest of the sources; see `digest_of_sources`."""

    @njit(nogil=True, cache=True)
    def grow_tree(tree, rows, scales, plan):  # type: ignore[no-untyped-def]
        return _grow_tree(tree, rows, scales, plan), sources

    return grow_tree


@njit(nogil=True)
def _grow_tree(tree: int, rows: Rows, scales: Scales, plan: Plan):  # type: ignore[no-untyped-def]
    """Feature, child and left codes of every node, and (n_leaves, n_arms, 2) leaf shares.

    A leaf's shares are each arm's weight and weighted residual over the leaf's weight, so every
    leaf weighs 1; zeros where no unit of the second half fell.
    """
    chosen, filling = rows_of(tree, rows.unit, plan.draws)
    part = _part_of(rows, chosen)
    nodes = _new_nodes(part, plan)
    n_nodes = _grow(part, nodes, stream(plan.draws.seed, NODES, tree), plan)
    n_leaves = _number_leaves(nodes, n_nodes)
    shares = _leaf_shares(rows, filling, nodes, n_leaves, scales, plan.n_arms)
    feature, child = nodes.feature[:n_nodes].copy(), nodes.child[:n_nodes].copy()
    return feature, child, nodes.goes_left[:n_nodes].copy(), shares


@njit(nogil=True)
def goes_left(words, code):  # type: ignore[no-untyped-def]
    """1 when a code is among those that go left, else 0."""
    return np.int64((words[code >> 6] >> uint64(code & 63)) & uint64(1))


@njit(nogil=True)
def _part_of(rows, chosen):  # type: ignore[no-untyped-def]
    n, n_features = len(chosen), rows.codes.shape[1]
    codes, arm = np.empty((n, n_features), np.uint8), np.empty(n, np.uint8)
    packed, order = np.empty(n, np.int64), np.empty(n, np.int32)
    for i in range(n):
        row = chosen[i]
        codes[i] = rows.codes[row]
        arm[i], packed[i], order[i] = rows.arm[row], rows.packed[row], i
    return Part(codes, arm, packed, order, np.empty(n, np.int32))


@njit(nogil=True)
def _new_nodes(part, plan):  # type: ignore[no-untyped-def]
    """Room for as many nodes as depth and leaf weight allow, with the root in it."""
    total = np.zeros(plan.n_arms, np.int64)
    for i in range(len(part.packed)):
        total[part.arm[i]] += part.packed[i]
    weight = 0.0
    for k in range(plan.n_arms):
        weight += float(weight_of(total[k]))
    most_leaves = max(1.0, min(2.0**plan.depth, weight // plan.min_leaf, float(len(part.arm))))
    room = 2 * np.int64(most_leaves) - 1
    nodes = Nodes(
        np.full(room, LEAF, np.int16),
        np.zeros(room, np.int32),
        np.zeros((room, WORDS), np.uint64),
        np.zeros((room, plan.n_arms), np.int64),
        np.zeros(room, np.int32),
        np.zeros(room, np.int32),
        np.zeros(room, np.int32),
    )
    nodes.total[0], nodes.end[0] = total, len(part.arm)
    return nodes


@njit(nogil=True)
def _grow(part, nodes, state, plan):  # type: ignore[no-untyped-def]
    """Split nodes until none can be; gives how many there are."""
    room, n_nodes, waiting = len(nodes.feature), 1, 1
    stack = np.zeros(plan.depth + 2, np.int32)
    tried = np.arange(len(plan.n_codes))
    cells = np.zeros((plan.n_tried, plan.n_arms, plan.n_codes.max()), np.int64)
    words, zeros = np.zeros(WORDS, np.uint64), np.zeros(plan.n_arms, np.int64)
    found = Found(zeros.copy(), words, zeros.copy())
    while waiting > 0:
        waiting -= 1
        node = stack[waiting]
        if nodes.depth[node] >= plan.depth or n_nodes + 2 > room:
            continue
        _draw_features(tried, state + uint64(node) * GOLDEN, plan.n_tried)
        _count(cells, tried, part, nodes.begin[node], nodes.end[node])
        _, feature = best_split(cells, tried, nodes.total[node], found, plan)
        if feature < 0:
            continue
        _divide(node, feature, n_nodes, part, nodes, found)
        stack[waiting], stack[waiting + 1] = n_nodes + 1, n_nodes
        waiting += 2
        n_nodes += 2
    return n_nodes


@njit(nogil=True)
def _draw_features(tried, state, n_tried):  # type: ignore[no-untyped-def]
    """Put a random choice of features first, begun from the natural order."""
    n_features = len(tried)
    for j in range(n_features):
        tried[j] = j
    for q in range(n_tried):
        drawn = mix(state + uint64(q)) >> uint64(33)
        other = q + np.int64(drawn % uint64(n_features - q))
        tried[q], tried[other] = tried[other], tried[q]


@njit(nogil=True)
def _count(cells, tried, part, begin, end):  # type: ignore[no-untyped-def]
    """Packed sums per tried feature, arm and code."""
    n_tried, n_arms, width = cells.shape
    cells[:] = 0
    flat, codes = cells.reshape(-1), part.codes.reshape(-1)
    n_features = uint64(part.codes.shape[1])
    per_feature = uint64(n_arms * width)
    for i in range(begin, end):
        row = uint64(part.order[i])
        value, first = part.packed[row], row * n_features
        place = uint64(part.arm[row]) * uint64(width)
        for q in range(n_tried):
            flat[place + uint64(codes[first + uint64(tried[q])])] += value
            place += per_feature


@njit(nogil=True)
def _divide(node, feature, left, part, nodes, found):  # type: ignore[no-untyped-def]
    """Make the two children of a node and part its rows between them."""
    nodes.feature[node], nodes.child[node] = feature, left
    nodes.goes_left[node] = found.goes_left
    begin, end = nodes.begin[node], nodes.end[node]
    middle, n_right = begin, 0
    for i in range(begin, end):
        row = part.order[i]
        left_side = goes_left(found.goes_left, part.codes[row, feature])
        part.order[middle] = part.spare[n_right] = row  # to both, kept on its side
        middle += left_side
        n_right += 1 - left_side
    part.order[middle:end] = part.spare[:n_right]
    nodes.begin[left], nodes.end[left] = begin, middle
    nodes.begin[left + 1], nodes.end[left + 1] = middle, end
    nodes.depth[left] = nodes.depth[left + 1] = nodes.depth[node] + 1
    nodes.total[left] = found.left
    nodes.total[left + 1] = nodes.total[node] - found.left


@njit(nogil=True)
def _number_leaves(nodes, n_nodes):  # type: ignore[no-untyped-def]
    n_leaves = 0
    for node in range(n_nodes):
        if nodes.feature[node] == LEAF:
            nodes.child[node] = n_leaves
            n_leaves += 1
    return n_leaves


@njit(nogil=True)
def _leaf_shares(rows, filling, nodes, n_leaves, scales, n_arms):  # type: ignore[no-untyped-def]
    weight = np.zeros((n_leaves, n_arms), np.int64)
    residual = np.zeros((n_leaves, n_arms), np.int64)
    for i in range(len(filling)):
        row, node = filling[i], 0
        while nodes.feature[node] != LEAF:
            left = goes_left(nodes.goes_left[node], rows.codes[row, nodes.feature[node]])
            node = nodes.child[node] + 1 - left
        leaf, arm = nodes.child[node], rows.arm[row]
        weight[leaf, arm] += rows.weight[row]
        residual[leaf, arm] += rows.residual[row]
    shares = np.zeros((n_leaves, n_arms, 2))
    for leaf in range(n_leaves):
        total = weight[leaf].sum()
        if total > 0:
            for k in range(n_arms):
                shares[leaf, k, 0] = weight[leaf, k] / total
                worth = residual[leaf, k] * scales.residual
                shares[leaf, k, 1] = worth / (total * scales.weight)
    return shares


_grow_kept = _kept_on_disk(digest_of_sources())


def grow_tree(tree: int, rows: Rows, scales: Scales, plan: Plan) -> Grown:
    """Grow one tree; see `_grow_tree` for what it gives."""
    grown: Grown = _grow_kept(tree, rows, scales, plan)[0]
    return grown
