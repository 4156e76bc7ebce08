"""The best small tree: exact search of two splits over features in bins; three by looking ahead.

For every pair of features the worth of the units is summed by pair of bins, once. All trees of two
levels are then compared on these sums, so the search is exact and does not grow with the units.
Source: Zhou, Athey & Wager (2023), "Offline Multi-Action Policy Learning", Operations Research
71(1), for trees as policies; the search on sums by bins is ours.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]

LEAST_GAIN = 1e-12  # of the total's size: a smaller gain is rounding, and no reason for a split


@dataclass(frozen=True)
class Leaf:
    """Everybody here gets an arm, by its column."""

    arm: int


@dataclass(frozen=True)
class Split:
    """Units whose code is at most `code` (of a category: equals it) go left, others go right."""

    feature: int
    code: int
    left: "Node"
    right: "Node"


Node = Leaf | Split


@dataclass(frozen=True, eq=False)
class Binned:
    """Units to search over.

    codes        (n_features, n_units)  0 is missing; it counts as the lowest number
    categorical  (n_features,)
    worth        (n_units, n_arms)      of each unit under each arm, weighted where units are
    """

    codes: Codes
    categorical: npt.NDArray[np.bool_]
    worth: Array

    def of(self, chosen: IntArray) -> "Binned":
        """Some of the units."""
        return Binned(self.codes[:, chosen], self.categorical, self.worth[chosen])

    @cached_property
    def totals(self) -> Array:
        """Worth of all units under each arm, (n_arms,)."""
        return np.asarray(self.worth.sum(axis=0), dtype=np.float64)

    @cached_property
    def sides(self) -> list[Array]:
        """Per feature, which codes each of its splits sends left, (n_splits, n_codes)."""
        found = []
        for codes, categorical in zip(self.codes, self.categorical, strict=True):
            n_codes = int(codes.max(initial=0)) + 1
            found.append(np.eye(n_codes) if categorical else np.tri(n_codes))
        return found

    def sums(self, f: int, g: int) -> Array:
        """Worth by arm, and units, by the codes of two features, (n_f, n_g, n_arms + 1)."""
        n_f, n_g = self.sides[f].shape[1], self.sides[g].shape[1]
        place = self.codes[f].astype(np.int64) * n_g + self.codes[g]
        columns = [*self.worth.T, None]
        counted = [np.bincount(place, weights=w, minlength=n_f * n_g) for w in columns]
        return np.stack(counted, axis=-1).reshape(n_f, n_g, -1).astype(np.float64)


def best_tree(units: Binned, *, depth: int, min_leaf: int) -> Node:
    """The tree of some depth that is worth most; splits that gain nothing are left out.

    Up to depth 2 it is the best of all trees over these bins. At depth 3 the first split is that of
    the best tree of depth 2, and both sides are then split by exact search.

    depth     0 to 3
    min_leaf  units in every leaf
    """
    arm = int(units.totals.argmax())
    if depth == 0:
        return Leaf(arm)
    found = _best_split(units, deep=depth > 1, min_leaf=min_leaf)
    if found is None:
        return Leaf(arm)
    goes_left = found_left(units.codes[found[0]], found[1], categorical=units.categorical[found[0]])
    sides = [units.of(np.flatnonzero(side)) for side in (goes_left, ~goes_left)]
    left, right = (best_tree(side, depth=depth - 1, min_leaf=min_leaf) for side in sides)
    if left == right and isinstance(left, Leaf):
        return left
    return Split(found[0], found[1], left, right)


def found_left(codes: Codes, code: int, *, categorical: bool) -> npt.NDArray[np.bool_]:
    """Which units a split sends left, (n_units,)."""
    left: npt.NDArray[np.bool_] = codes == code if categorical else codes <= code
    return left


def arms_of(node: Node, codes: Codes, categorical: npt.NDArray[np.bool_]) -> IntArray:
    """The arm each unit gets, (n_units,)."""
    if isinstance(node, Leaf):
        return np.full(codes.shape[1], node.arm, dtype=np.int64)
    goes_left = found_left(
        codes[node.feature], node.code, categorical=bool(categorical[node.feature])
    )
    left, right = (arms_of(side, codes, categorical) for side in (node.left, node.right))
    return np.where(goes_left, left, right)


def _best_split(units: Binned, *, deep: bool, min_leaf: int) -> tuple[int, int] | None:
    """Feature and code of the first split of the best tree; None when no split gains.

    deep  whether each side may be split once more
    """
    n_features = len(units.codes)
    best, chosen = units.totals.max(), None
    least = LEAST_GAIN * np.abs(units.worth).sum()
    values = _values_by_split(units, min_leaf=min_leaf, deep=deep)
    for f in range(n_features):
        code = int(values[f].argmax())
        if values[f][code] > best + least:
            best, chosen = values[f][code], (f, code)
    return chosen


def _values_by_split(units: Binned, *, min_leaf: int, deep: bool) -> list[Array]:
    """Per feature, what the best tree that begins with each of its splits is worth, (n_splits,)."""
    n_features = len(units.codes)
    left, right = (
        [_unsplit(units, f, side, min_leaf) for f in range(n_features)] for side in _SIDES
    )
    if deep:
        for f in range(n_features):
            for g in range(f, n_features):
                sums = units.sums(f, g)
                pairs = [(f, g, sums)] if f == g else [(f, g, sums), (g, f, sums.swapaxes(0, 1))]
                for first, second, table in pairs:
                    for kept, side in ((left, 1), (right, 0)):
                        found = _split_once(units, first, second, table, side, min_leaf)
                        kept[first] = np.maximum(kept[first], found)
    return [a + b for a, b in zip(left, right, strict=True)]


_SIDES = (1, 0)  # left, right


def _unsplit(units: Binned, f: int, side: int, min_leaf: int) -> Array:
    """Worth of one side of each split of a feature when it is a leaf, (n_splits,)."""
    sums = units.sums(f, f)  # only its diagonal is filled
    by_code = sums[np.arange(len(sums)), np.arange(len(sums))]
    return _leaf_worth(_membership(units, f, side) @ by_code, min_leaf)


def _split_once(units: Binned, f: int, g: int, sums: Array, side: int, min_leaf: int) -> Array:
    """The same when it is split once by another feature, (n_splits,)."""
    part = np.tensordot(_membership(units, f, side), sums, axes=1)  # (n_splits, n_g, n_arms + 1)
    below = np.einsum("tg,sgc->stc", units.sides[g], part, optimize=True)
    rest = part.sum(axis=1)[:, None] - below
    worth = _leaf_worth(below, min_leaf) + _leaf_worth(rest, min_leaf)
    return np.asarray(worth.max(axis=1), dtype=np.float64)


def _membership(units: Binned, f: int, side: int) -> Array:
    return units.sides[f] if side else 1 - units.sides[f]


def _leaf_worth(sums: Array, min_leaf: int) -> Array:
    """Worth of leaves that give their best arm; minus infinity when they are too small."""
    enough = sums[..., -1] > min_leaf - 0.5  # counts are whole, sums of them nearly
    return np.asarray(np.where(enough, sums[..., :-1].max(axis=-1), -np.inf), dtype=np.float64)
