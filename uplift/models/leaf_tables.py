"""LightGBM's trees as tables of leaf sets over codes: the same predictions, several times faster.

For every (feature, code, tree) a table holds the leaves that the code leaves possible. Trees of
more than 32 leaves, and tables too large for the cache to help, are left to LightGBM itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]
Sets = npt.NDArray[np.uint32]

LEAVES = 32  # as many as a set has bits
TREES = 64  # in a block
N_CODES = 256
LARGEST = 64 * 2**20  # bytes of a table; wide forests with more are left to LightGBM
EVERY = np.uint32(0xFFFFFFFF)
CATEGORY, DEFAULT_LEFT = 1, 2  # bits of LightGBM's decision types
MISSING_SHIFT, MISSING_ZERO, MISSING_NAN = 2, 1, 2
OTHER_ARM, THIS_ARM = 1, 2  # codes of an arm column; 0 would be "missing"
_SPOT = np.array([((0x077CB531 << bit) & 0xFFFFFFFF) >> 27 for bit in range(LEAVES)])


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree as LightGBM writes it; a child below 0 is the leaf -1 - child."""

    feature: IntArray
    threshold: Array
    decision: IntArray
    left: IntArray
    right: IntArray
    values: Array
    category_ends: IntArray
    categories: npt.NDArray[np.uint32]

    def goes_left(self, node: int) -> npt.NDArray[np.bool_]:
        """Which codes go left at a node, (256,); code 0 is "missing"."""
        codes = np.arange(N_CODES)
        decision, threshold = int(self.decision[node]), float(self.threshold[node])
        if decision & CATEGORY:
            start, end = self.category_ends[int(threshold) : int(threshold) + 2]
            words = self.categories[start:end]
            inside = codes < 32 * len(words)
            word = words[np.where(inside, codes >> 5, 0)]
            known: npt.NDArray[np.bool_] = inside & (
                (word >> (codes & 31).astype(np.uint32)) & 1
            ).astype(bool)
            known &= codes > 0  # a missing category goes right
            return known
        left: npt.NDArray[np.bool_] = codes <= threshold
        if (decision >> MISSING_SHIFT) & 3 in (MISSING_ZERO, MISSING_NAN):
            left[0] = bool(decision & DEFAULT_LEFT)
        return left


@dataclass(frozen=True, eq=False)
class LeafTables:
    """Tables of one forest, in blocks of 64 trees; see `add_leaves` for their shapes."""

    first: IntArray
    feature: IntArray
    sets: Sets
    arm_sets: npt.NDArray[np.uint32]
    values: Array

    @classmethod
    def of(cls, text: str, *, n_features: int, n_arms: int) -> "LeafTables | None":
        """Tables of a forest from LightGBM's text; None when they would not serve it."""
        trees = read_trees(text)
        if any(len(t.values) > LEAVES or not np.isfinite(t.values).all() for t in trees):
            return None
        blocks = [trees[i : i + TREES] for i in range(0, len(trees), TREES)]
        used = [_features_of(block, n_features) for block in blocks]
        first = np.cumsum([0, *map(len, used)])
        if int(first[-1]) * N_CODES * TREES * 4 > LARGEST:
            return None
        sets = np.full((int(first[-1]), N_CODES, TREES), EVERY)
        arm_sets = np.full((len(blocks), n_arms, TREES), np.uint32(1))
        values = np.zeros((len(blocks), TREES * LEAVES))
        for b, block in enumerate(blocks):
            for t, tree in enumerate(block):
                place = t * LEAVES + _SPOT[: len(tree.values)]
                values[b, place] = tree.values
                arm_sets[b, :, t] = (1 << len(tree.values)) - 1
                known = {int(feature): sets[first[b] + e] for e, feature in enumerate(used[b])}
                _cross_out(tree, t, known, arm_sets[b], n_features=n_features)
        feature = np.concatenate([np.empty(0, dtype=np.int64), *used]).astype(np.int64)
        return cls(first, feature, sets.reshape(-1, TREES), arm_sets, values)

    def raw(self, codes: Codes, *, arms: Sequence[int]) -> Array:
        """Sums of leaf values under some arms, (n_arms, n_rows).

        codes  (n_features, n_rows)
        """
        sums: Array = self._sums(codes, arms, [len(self.values) * TREES])[:, 0]
        return sums

    def raw_at(self, codes: Codes, *, rounds: Sequence[int]) -> Array:
        """Sums after some numbers of rounds, ascending, (n_stops, n_rows)."""
        sums: Array = self._sums(codes, [0], rounds)[0]
        return sums

    def _sums(self, codes: Codes, arms: Sequence[int], stops: Sequence[int]) -> Array:
        from uplift.models.leaf_scoring import add_leaves  # loads numba

        out = np.zeros((len(arms), len(stops), codes.shape[1]))
        chosen = np.ascontiguousarray(self.arm_sets[:, list(arms)])
        ends = np.array(stops, dtype=np.int64)
        add_leaves(codes, self.first, self.feature, self.sets, chosen, self.values, ends, out)
        return out


def read_trees(text: str) -> list[Tree]:
    """The trees of LightGBM's text form."""
    trees = []
    for block in text.split("\nTree=")[1:]:
        lines = block.split("\n\n", 1)[0].split("\n")
        found = dict(line.split("=", 1) for line in lines if "=" in line)
        trees.append(
            Tree(
                feature=_integers(found, "split_feature"),
                threshold=_numbers(found, "threshold"),
                decision=_integers(found, "decision_type"),
                left=_integers(found, "left_child"),
                right=_integers(found, "right_child"),
                values=_numbers(found, "leaf_value"),
                category_ends=_integers(found, "cat_boundaries"),
                categories=_integers(found, "cat_threshold").astype(np.uint32),
            )
        )
    return trees


def _integers(found: dict[str, str], name: str) -> IntArray:
    return np.array(found.get(name, "").split(), dtype=np.int64)


def _numbers(found: dict[str, str], name: str) -> Array:
    return np.array(found.get(name, "").split(), dtype=np.float64)


def _features_of(trees: Sequence[Tree], n_features: int) -> IntArray:
    """Features that some trees split on, arm columns left out."""
    split = np.unique(np.concatenate([tree.feature for tree in trees]))
    return split[split < n_features].astype(np.int64)


def _cross_out(
    tree: Tree, t: int, sets: Mapping[int, Sets], arm_sets: Sets, *, n_features: int
) -> None:
    """Take out of the sets what each node of a tree rules out."""
    below = _leaves_below(tree)
    for node, feature in enumerate(tree.feature.tolist()):
        left, right = below[node]
        kept = np.where(tree.goes_left(node), EVERY ^ right, EVERY ^ left)
        if feature < n_features:
            sets[feature][:, t] &= kept
            continue
        code = np.full(len(arm_sets), OTHER_ARM)
        code[feature - n_features + 1] = THIS_ARM  # the first arm column is of arm 1
        arm_sets[:, t] &= kept[code]


def _leaves_below(tree: Tree) -> Sets:
    """Leaves on the left and the right of each node, (n_nodes, 2)."""
    sides = np.zeros((len(tree.feature), 2), dtype=np.uint32)
    for node in range(len(tree.feature) - 1, -1, -1):  # children come after their parent
        for side, child in enumerate((int(tree.left[node]), int(tree.right[node]))):
            sides[node, side] = (
                np.uint32(1 << (-1 - child)) if child < 0 else sides[child, 0] | sides[child, 1]
            )
    return sides
