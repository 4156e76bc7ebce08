"""A forest that sees the arm, with the arm fixed: the same predictions, by the features alone.

Every split on an arm column is replaced by the side the arm takes. Shares of units on both sides of
the other splits stay what they were, because arms are drawn whatever the features are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from uplift.models.leaf_tables import OTHER_ARM, THIS_ARM, Tree, read_trees

UNITS = 2**30  # of a tree's root: shares of units are written as counts of this many
END = "end of trees"


def under_arm(text: str, *, n_features: int, arm: int) -> str:
    """LightGBM's text of a forest, with every split on an arm column taken as the arm takes it.

    n_features  columns before the arm columns
    """
    head = text[: text.index("\nTree=")]
    tail = text[text.index(f"\n{END}") + 1 :]
    trees = [
        _fixed(tree, counts, n_features=n_features, arm=arm)
        for tree, counts in zip(read_trees(text), _counts(text), strict=True)
    ]
    blocks = [f"Tree={t}\n{body}\n\n\n" for t, body in enumerate(trees)]
    lines = [line for line in head.split("\n") if not line.startswith("tree_sizes=")]
    sizes = " ".join(str(len(block)) for block in blocks)
    header = "\n".join([*(line for line in lines if line), f"tree_sizes={sizes}"])
    return f"{header}\n\n{''.join(blocks)}{tail}"


@dataclass
class _Growing:
    """Lines of a tree while its nodes are walked, parents first."""

    feature: list[int] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    decision: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    leaf_count: list[int] = field(default_factory=list)
    node_count: list[int] = field(default_factory=list)


def _counts(text: str) -> list[dict[str, list[int]]]:
    """Units in the leaves and the nodes of every tree."""
    found = []
    for block in text.split("\nTree=")[1:]:
        lines = dict(line.split("=", 1) for line in block.split("\n\n", 1)[0].split("\n")[1:])
        found.append(
            {
                name: [int(float(x)) for x in lines[name].split()]
                for name in ("leaf_count", "internal_count")
            }
        )
    return found


def _fixed(tree: Tree, counts: dict[str, list[int]], *, n_features: int, arm: int) -> str:
    """One tree's lines with the arm fixed."""
    grown = _Growing()

    def follow(node: int) -> int:
        """The first node or leaf on an arm's way that is not split by the arm."""
        while node >= 0 and tree.feature[node] >= n_features:
            column = int(tree.feature[node]) - n_features + 1
            goes_left = tree.goes_left(node)[THIS_ARM if column == arm else OTHER_ARM]
            node = int(tree.left[node] if goes_left else tree.right[node])
        return node

    def units(node: int) -> int:
        return counts["internal_count"][node] if node >= 0 else counts["leaf_count"][-1 - node]

    def place(node: int, share: int) -> int:
        """Write a subtree; gives its number, and counts its units by shares of the root's."""
        node = follow(node)
        if node < 0:
            grown.value.append(float(tree.values[-1 - node]))
            grown.leaf_count.append(share)
            return -len(grown.value)
        number = len(grown.feature)
        grown.feature.append(int(tree.feature[node]))
        grown.threshold.append(float(tree.threshold[node]))
        grown.decision.append(int(tree.decision[node]))
        grown.left.append(0)
        grown.right.append(0)
        grown.node_count.append(share)
        sides = int(tree.left[node]), int(tree.right[node])
        total = max(units(sides[0]) + units(sides[1]), 1)
        on_left = min(max(round(share * units(sides[0]) / total), 1), max(share - 1, 1))
        grown.left[number] = place(sides[0], on_left)
        grown.right[number] = place(sides[1], max(share - on_left, 1))
        return number

    place(0 if len(tree.feature) else -1, UNITS)
    return _written(grown, tree)


def _written(grown: _Growing, tree: Tree) -> str:
    n_nodes = len(grown.feature)
    zeros = " ".join(["0"] * n_nodes)
    lines = [
        f"num_leaves={len(grown.value)}",
        f"num_cat={len(tree.category_ends) - 1 if n_nodes and len(tree.category_ends) else 0}",
        f"split_feature={_joined(grown.feature)}",
        f"split_gain={zeros}",
        f"threshold={_joined(grown.threshold)}",
        f"decision_type={_joined(grown.decision)}",
        f"left_child={_joined(grown.left)}",
        f"right_child={_joined(grown.right)}",
        f"leaf_value={_joined(grown.value)}",
        f"leaf_weight={_joined(grown.leaf_count) if n_nodes else ''}",
        f"leaf_count={_joined(grown.leaf_count)}",
        f"internal_value={zeros}",
        f"internal_weight={zeros}",
        f"internal_count={_joined(grown.node_count)}",
    ]
    if n_nodes and len(tree.category_ends):
        lines.append(f"cat_boundaries={_joined(tree.category_ends.tolist())}")
        lines.append(f"cat_threshold={_joined(tree.categories.tolist())}")
    return "\n".join([*lines, "is_linear=0", "shrinkage=1"])


def _joined(values: Sequence[int | float] | np.ndarray) -> str:
    return " ".join(repr(value) for value in values)
