"""The search finds what trying every tree finds."""

from itertools import product

import numpy as np
import pytest

from uplift.explanation.tree_search import Binned, Leaf, Split, arms_of, best_tree


def drawn(seed, *, n_units=60, n_arms=3):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, n, n_units) for n in (4, 3, 5)]).astype(np.uint8)
    return Binned(codes, np.array([False, True, False]), rng.standard_normal((n_units, n_arms)))


def worth_of(node, units):
    arms = arms_of(node, units.codes, units.categorical)
    return units.worth[np.arange(len(arms)), arms].sum()


def all_splits(units):
    for f, codes in enumerate(units.codes):
        for code in range(int(codes.max()) + 1):
            yield f, code, (codes == code if units.categorical[f] else codes <= code)


def by_brute_force(units, inside, depth, min_leaf):
    """The worth of the best tree on some units, by trying every one."""
    best = units.worth[inside].sum(axis=0).max() if inside.sum() >= min_leaf else -np.inf
    if depth:
        for _, _, left in all_splits(units):
            sides = (inside & left, inside & ~left)
            if min(side.sum() for side in sides) >= min_leaf:
                found = sum(by_brute_force(units, s, depth - 1, min_leaf) for s in sides)
                best = max(best, found)
    return best


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("depth", "min_leaf"), [(0, 1), (1, 1), (2, 1), (2, 7)])
def test_no_tree_of_two_levels_is_worth_more(seed, depth, min_leaf):
    units = drawn(seed, n_arms=2 + seed % 2)
    everyone = np.ones(units.codes.shape[1], dtype=bool)
    node = best_tree(units, depth=depth, min_leaf=min_leaf)
    assert worth_of(node, units) == pytest.approx(
        by_brute_force(units, everyone, depth, min_leaf), abs=1e-9
    )


@pytest.mark.parametrize("seed", range(4))
def test_three_levels_are_between_the_best_of_two_and_of_three(seed):
    units = drawn(seed)
    everyone = np.ones(units.codes.shape[1], dtype=bool)
    two, three = (worth_of(best_tree(units, depth=d, min_leaf=1), units) for d in (2, 3))
    assert two <= three <= by_brute_force(units, everyone, 3, 1) + 1e-9


def test_a_greedy_search_would_miss_what_two_splits_find_together():
    """Worth is an exclusive or: no first split alone gains anything."""
    cells = np.array(list(product([1, 2], [1, 2]))).repeat(25, axis=0)
    sign = np.where(cells[:, 0] == cells[:, 1], 1.0, -1.0)
    units = Binned(
        cells.T.astype(np.uint8), np.array([False, False]), np.column_stack([0 * sign, sign])
    )
    assert best_tree(units, depth=1, min_leaf=1) == Leaf(0)
    assert worth_of(best_tree(units, depth=2, min_leaf=1), units) == 50


def test_leaves_are_as_large_as_asked_for():
    units = drawn(3, n_units=200)
    node = best_tree(units, depth=3, min_leaf=30)

    def sizes(node, inside):
        if isinstance(node, Leaf):
            return [int(inside.sum())]
        codes = units.codes[node.feature]
        left = codes == node.code if units.categorical[node.feature] else codes <= node.code
        return sizes(node.left, inside & left) + sizes(node.right, inside & ~left)

    found = sizes(node, np.ones(200, dtype=bool))
    assert len(found) > 1
    assert min(found) >= 30


def test_splits_that_change_nothing_are_left_out():
    units = drawn(0)
    better = units.worth.copy()
    better[:, 1] = better.max(axis=1) + 1
    assert best_tree(Binned(units.codes, units.categorical, better), depth=3, min_leaf=1) == Leaf(1)
    assert isinstance(best_tree(units, depth=2, min_leaf=1), Split)
