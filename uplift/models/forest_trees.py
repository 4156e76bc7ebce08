"""A grown causal forest as five flat arrays, and as bytes that cannot do harm.

Bytes are a header of counts and the arrays after it, nothing else. They are refused unless every
number in them is inside its bounds, so that the compiled code that reads the arrays can trust them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.models.forest_bins import MOST_CODES

MAGIC = 0x757066726573_0001  # of the format and its version
HEADER = np.dtype("<i8")
N_HEADER = 6  # magic, trees, nodes, leaves, arms, features
WORDS = MOST_CODES // 64
TOLERANCE = 1e-9  # of shares that add up to one

Grown = tuple[
    npt.NDArray[np.int16], npt.NDArray[np.int32], npt.NDArray[np.uint64], npt.NDArray[np.float64]
]


@dataclass(frozen=True, eq=False)
class HonestTrees:
    """Trees one after the other.

    root        (n_trees,)              the first node of each
    feature     (n_nodes,)              split on, -1 in a leaf
    child       (n_nodes,)              the left child (the right one is next), or the leaf's row
    goes_left   (n_nodes, 4)            bits of the codes that go left
    shares      (n_leaves, n_arms, 2)   each arm's weight and residual over the leaf's weight
    n_features  codes per row
    """

    root: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int16]
    child: npt.NDArray[np.int32]
    goes_left: npt.NDArray[np.uint64]
    shares: npt.NDArray[np.float64]
    n_features: int

    @classmethod
    def joined(cls, grown: Sequence[Grown], *, n_features: int) -> "HonestTrees":
        """Trees as they were grown, in order."""
        roots = np.cumsum([0] + [len(feature) for feature, _, _, _ in grown])
        leaves = np.cumsum([0] + [len(shares) for _, _, _, shares in grown])
        children = [
            child + np.where(feature < 0, leaf, root).astype(np.int32)
            for (feature, child, _, _), root, leaf in zip(grown, roots, leaves, strict=False)
        ]
        return cls(
            root=roots[:-1].astype(np.int32),
            feature=np.concatenate([feature for feature, _, _, _ in grown]),
            child=np.concatenate(children).astype(np.int32),
            goes_left=np.concatenate([words for _, _, words, _ in grown]),
            shares=np.concatenate([shares for _, _, _, shares in grown]),
            n_features=n_features,
        )

    @property
    def n_trees(self) -> int:
        """How many trees."""
        return len(self.root)

    @property
    def n_arms(self) -> int:
        """How many arms, control included."""
        return int(self.shares.shape[1])

    def to_bytes(self) -> bytes:
        """Header and arrays, little-endian."""
        counts = [len(self.root), len(self.feature), *self.shares.shape[:2], self.n_features]
        header = np.array([MAGIC, *counts], dtype=HEADER)
        arrays = (self.root, self.feature, self.child, self.goes_left, self.shares)
        return header.tobytes() + b"".join(
            array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() for array in arrays
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> "HonestTrees":
        """The trees that `to_bytes` wrote; ValueError when they are not inside their bounds."""
        size = N_HEADER * HEADER.itemsize
        header = [int(x) for x in np.frombuffer(content[:size], dtype=HEADER)]
        if len(header) != N_HEADER or header[0] != MAGIC:
            raise ValueError("not the trees of a causal forest")
        n_trees, n_nodes, n_leaves, n_arms, n_features = header[1:]
        if min(n_trees, n_nodes, n_leaves, n_features) < 1 or n_arms < 2:
            raise ValueError("counts that no forest has")
        shapes: list[tuple[str, tuple[int, ...]]] = [
            ("<i4", (n_trees,)),
            ("<i2", (n_nodes,)),
            ("<i4", (n_nodes,)),
            ("<u8", (n_nodes, WORDS)),
            ("<f8", (n_leaves, n_arms, 2)),
        ]
        root, feature, child, goes_left, shares = _sections(content[size:], shapes)
        trees = cls(root, feature, child, goes_left, shares, n_features)
        trees.require_bounds()
        return trees

    def require_bounds(self) -> None:
        """ValueError unless every walk from a root stays in its tree and ends in a leaf."""
        n_nodes, n_leaves = len(self.feature), len(self.shares)
        nodes = np.arange(n_nodes)
        if self.root[0] != 0 or (np.diff(self.root) < 1).any() or self.root[-1] >= n_nodes:
            raise ValueError("roots out of order")
        ends = np.append(self.root[1:], n_nodes)
        end = ends[np.searchsorted(self.root, nodes, side="right") - 1]
        inner = self.feature >= 0
        if (self.feature < -1).any() or (self.feature >= self.n_features).any():
            raise ValueError("splits on features that are not there")
        child = self.child.astype(np.int64)
        if (child[inner] <= nodes[inner]).any() or (child[inner] + 1 >= end[inner]).any():
            raise ValueError("children outside their tree")
        if not np.array_equal(child[~inner], np.arange(n_leaves)):
            raise ValueError("leaves out of order")
        _require_shares(self.shares)


def _sections(content: bytes, shapes: Sequence[tuple[str, tuple[int, ...]]]) -> list[Any]:
    """Arrays of known types and shapes that fill the content exactly."""
    sizes = [np.dtype(kind).itemsize * _product(shape) for kind, shape in shapes]
    if sum(sizes) != len(content):
        raise ValueError("more or fewer bytes than the header says")
    arrays, begin = [], 0
    for (kind, shape), size in zip(shapes, sizes, strict=True):
        array = np.frombuffer(content[begin : begin + size], dtype=kind).reshape(shape)
        arrays.append(array.astype(array.dtype.newbyteorder("="), copy=True))
        begin += size
    return arrays


def _product(shape: tuple[int, ...]) -> int:
    """Entries of an array, in whole numbers of any size."""
    product = 1
    for length in shape:
        product *= length
    return product


def _require_shares(shares: npt.NDArray[np.float64]) -> None:
    weight = shares[:, :, 0]
    if not np.isfinite(shares).all() or (weight < 0).any():
        raise ValueError("leaves without a finite share")
    total = weight.sum(axis=1)
    if (np.minimum(np.abs(total - 1), np.abs(total)) > TOLERANCE).any():
        raise ValueError("leaves whose shares do not add up to one")
