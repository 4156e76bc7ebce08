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
from uplift.models.forest_rows import SHIFT, Rows, Scales
from uplift.models.forest_splits import WORDS, Found, Plan, best_split, copy
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


class Tree(NamedTuple):
    """A grown tree, one entry per node, as in `Nodes`."""

    feature: npt.NDArray[np.int16]
    child: npt.NDArray[np.int32]
    goes_left: npt.NDArray[np.uint64]


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


def grow_tree(tree: int, rows: Rows, scales: Scales, plan: Plan) -> Grown:
    """Feature, child and left codes of every node, and (n_leaves, n_arms, 2) leaf shares.

    A leaf's shares are each arm's weight and weighted residual over the leaf's weight, so every
    leaf weighs 1; zeros where no unit of the second half fell.
    """
    chosen, filling = _compiled.draw(tree, rows.unit, plan.draws)[0]
    order = np.arange(len(chosen), dtype=np.int32)
    part = Part(
        rows.codes[chosen], rows.arm[chosen], rows.packed[chosen], order, np.empty_like(order)
    )
    nodes = _new_nodes(part, plan)
    cells = np.zeros((plan.n_tried, plan.n_arms, int(plan.n_codes.max())), np.int64)
    found = Found(
        left=np.zeros(plan.n_arms, np.int64),
        running=np.zeros(plan.n_arms, np.int64),
        goes_left=np.zeros(WORDS, np.uint64),
    )
    n_nodes = _compiled.grow(part, nodes, cells, found, tree, plan)[0]
    feature, child = nodes.feature[:n_nodes].copy(), nodes.child[:n_nodes].copy()
    n_leaves = int((feature == LEAF).sum())
    child[feature == LEAF] = np.arange(n_leaves)
    tree_of = Tree(feature, child, nodes.goes_left[:n_nodes].copy())
    sums = np.zeros((n_leaves, plan.n_arms, 2), dtype=np.int64)
    _compiled.fill(rows, filling, tree_of, sums)
    return (*tree_of, _shares(sums, scales))


def _shares(sums: npt.NDArray[np.int64], scales: Scales) -> npt.NDArray[np.float64]:
    """Whole sums of weights and residuals per leaf and arm, over the leaf's weight."""
    weight = sums[:, :, 0].sum(axis=1)
    heavy = np.maximum(weight, 1)[:, None]
    shares = np.empty(sums.shape)
    shares[:, :, 0] = sums[:, :, 0] / heavy
    shares[:, :, 1] = (sums[:, :, 1] * scales.residual) / (heavy * scales.weight)
    return shares


def _new_nodes(part: Part, plan: Plan) -> Nodes:
    """Room for as many nodes as depth and leaf weight allow, with the root in it."""
    total = np.array([part.packed[part.arm == k].sum() for k in range(plan.n_arms)])
    weight = float((total >> SHIFT).sum()) + plan.n_arms  # a negative residual borrows one
    most_leaves = max(1, int(min(2.0**plan.depth, weight // plan.min_leaf, len(part.arm))))
    room = 2 * most_leaves - 1
    nodes = Nodes(
        feature=np.full(room, LEAF, np.int16),
        child=np.zeros(room, np.int32),
        goes_left=np.zeros((room, WORDS), np.uint64),
        total=np.zeros((room, plan.n_arms), np.int64),
        begin=np.zeros(room, np.int32),
        end=np.zeros(room, np.int32),
        depth=np.zeros(room, np.int32),
    )
    nodes.total[0], nodes.end[0] = total, len(part.arm)
    return nodes


@njit(nogil=True)
def goes_left(words, code):  # type: ignore[no-untyped-def]
    """1 when a code is among those that go left, else 0."""
    return np.int64((words[code >> 6] >> uint64(code & 63)) & uint64(1))


@njit(nogil=True)
def _grow(part, nodes, cells, found, tree, plan):  # type: ignore[no-untyped-def]
    """Split nodes until none can be; gives how many there are."""
    state = stream(plan.draws.seed, NODES, tree)
    room, n_nodes, waiting = len(nodes.feature), 1, 1
    stack = np.zeros(plan.depth + 2, np.int32)
    tried = np.empty(len(plan.n_codes), np.int64)
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
    flat, codes = cells.reshape(-1), part.codes.reshape(-1)
    for i in range(len(flat)):
        flat[i] = 0
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
    copy(found.goes_left, nodes.goes_left[node])
    begin, end = nodes.begin[node], nodes.end[node]
    middle, n_right = begin, 0
    for i in range(begin, end):
        row = part.order[i]
        left_side = goes_left(found.goes_left, part.codes[row, feature])
        part.order[middle] = part.spare[n_right] = row  # to both, kept on its side
        middle += left_side
        n_right += 1 - left_side
    for i in range(n_right):
        part.order[middle + i] = part.spare[i]
    nodes.begin[left], nodes.end[left] = begin, middle
    nodes.begin[left + 1], nodes.end[left + 1] = middle, end
    nodes.depth[left] = nodes.depth[left + 1] = nodes.depth[node] + 1
    for k in range(len(found.left)):
        nodes.total[left, k] = found.left[k]
        nodes.total[left + 1, k] = nodes.total[node, k] - found.left[k]


@njit(nogil=True)
def _fill(rows, filling, tree, sums):  # type: ignore[no-untyped-def]
    """Add weights and residuals of some rows to the leaves they fall into."""
    for i in range(len(filling)):
        row, node = filling[i], 0
        while tree.feature[node] != LEAF:
            left = goes_left(tree.goes_left[node], rows.codes[row, tree.feature[node]])
            node = tree.child[node] + 1 - left
        leaf, arm = tree.child[node], rows.arm[row]
        sums[leaf, arm, 0] += rows.weight[row]
        sums[leaf, arm, 1] += rows.residual[row]


class _Compiled(NamedTuple):
    draw: Any
    grow: Any
    fill: Any


def _compiled_under(sources: int) -> _Compiled:
    """The three outermost functions, kept on disk under `digest_of_sources`."""

    @njit(nogil=True, cache=True)
    def draw(tree, unit, draws):  # type: ignore[no-untyped-def]
        return rows_of(tree, unit, draws), sources

    @njit(nogil=True, cache=True)
    def grow(part, nodes, cells, found, tree, plan):  # type: ignore[no-untyped-def]
        return _grow(part, nodes, cells, found, tree, plan), sources

    @njit(nogil=True, cache=True)
    def fill(rows, filling, tree, sums):  # type: ignore[no-untyped-def]
        _fill(rows, filling, tree, sums)
        return sources

    return _Compiled(draw, grow, fill)


_compiled = _compiled_under(digest_of_sources())
