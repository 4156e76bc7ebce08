"""How a causal forest grows: what a caller may choose, checked once, and grown from rows."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from uplift.errors import DefinitionError
from uplift.models.boosting import side_by_side
from uplift.models.forest_bins import MOST_CODES, Bins
from uplift.models.forest_rows import Rows, Scales
from uplift.models.forest_trees import HonestTrees

if TYPE_CHECKING:  # these load numba, which takes most of a second
    from uplift.models.forest_draws import Draws
    from uplift.models.forest_splits import Plan

MIN_SHARE = 0.05  # of a node's weight in each child, so that no split shaves off a few units
DEEPEST = 30  # splits between root and leaf
FEWEST_TRIED = 6  # features per split: fewer leave splits to features without any say


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The choices of `CausalForest` that shape its trees; see there."""

    n_trees: int
    max_depth: int
    min_leaf: int | None
    min_arm: int | None
    max_features: int | None
    n_bins: int
    sample_share: float
    trees_per_bag: int
    honest: bool
    seed: int

    def __post_init__(self) -> None:
        bags = self.trees_per_bag > 1
        limits = {
            "n_trees": self.n_trees >= 1,
            "trees_per_bag": self.trees_per_bag >= 1 and self.n_trees % self.trees_per_bag == 0,
            "max_depth": 0 <= self.max_depth <= DEEPEST,
            "min_leaf": self.min_leaf is None or self.min_leaf >= 1,
            "min_arm": self.min_arm is None or self.min_arm >= 1,
            "max_features": self.max_features is None or self.max_features >= 1,
            "n_bins": 2 <= self.n_bins < MOST_CODES,
            "sample_share": 0 < self.sample_share <= (0.5 if bags else 1),
            "seed": self.seed >= 0,
        }
        for name, holds in limits.items():
            if not holds:
                raise DefinitionError(
                    f"CausalForest: {name}={getattr(self, name)!r} is outside its limits: n_trees "
                    f"a multiple of trees_per_bag, max_depth 0 to {DEEPEST}, n_bins 2 to "
                    f"{MOST_CODES - 1}, sample_share above 0 and at most 0.5 (1 without bags), "
                    "seed 0 or more, the others 1 or more.",
                    code="FOREST_INVALID",
                )

    @property
    def n_bags(self) -> int:
        """Bags that can be compared; 0 without bags."""
        return self.n_trees // self.trees_per_bag if self.trees_per_bag > 1 else 0

    def draws(self) -> "Draws":
        """Which units each tree sees."""
        from uplift.models.forest_draws import draws_of  # loads numba

        return draws_of(
            seed=self.seed,
            per_bag=self.trees_per_bag,
            sample_share=self.sample_share,
            honest=self.honest,
        )

    def plan(self, rows: Rows, scales: Scales, bins: Bins, *, n_arms: int) -> "Plan":
        """The same as the compiled code takes it, with weights in steps of packed sums."""
        from uplift.models.forest_splits import Plan  # loads numba

        n_rows, n_features = rows.codes.shape
        average = float(rows.weight.sum()) * scales.weight / n_rows / scales.packed_weight
        leaf = self.min_leaf or default_min_leaf(n_rows)
        tried = self.max_features or max(FEWEST_TRIED, -(-n_features // 3))
        return Plan(
            draws=self.draws(),
            n_arms=n_arms,
            depth=self.max_depth,
            min_leaf=leaf * average,
            min_arm=(self.min_arm or max(2, leaf // 10)) * average,
            min_share=MIN_SHARE,
            n_tried=min(tried, n_features),
            n_codes=np.array(bins.n_codes, dtype=np.int64),
            categorical=bins.categorical,
        )


def grow_trees(
    rows: Rows, scales: Scales, plan: "Plan", *, n_trees: int, n_threads: int | None = None
) -> HonestTrees:
    """Grow trees side by side; `n_threads` changes the time only, never a number."""
    from uplift.models.forest_growing import grow_tree  # loads numba

    grown = list(
        side_by_side(
            lambda tree: grow_tree(tree, rows, scales, plan), range(n_trees), n_threads=n_threads
        )
    )
    return HonestTrees.joined(grown, n_features=rows.codes.shape[1])


def default_min_leaf(n_rows: int) -> int:
    """Units in a leaf, of those that choose the splits: 28 of 5,000, 126 of 100,000, 400 of 1 M."""
    return max(5, round(0.4 * math.sqrt(n_rows)))
