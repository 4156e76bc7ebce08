"""Tables of leaf sets give LightGBM's own predictions, or leave the forest to LightGBM."""

import numpy as np
import pytest

from uplift.models import leaf_tables
from uplift.models.boosting import Boosting, Forest, Lesson, bin_features, grow, plain_raw
from uplift.models.feature_rows import FeatureRows

N = 4000


def make(seed, n=N):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4))
    x[:, 1] = rng.integers(0, 30, n)  # a category
    x[:, 2] = np.round(x[:, 2], 1)
    x[rng.random((n, 4)) < [0, 0.1, 0.2, 0]] = np.nan
    return x


@pytest.fixture(scope="module")
def table():
    arm = np.random.default_rng(0).integers(0, 3, N)
    return bin_features(make(0), categorical=[1], arm=arm, n_arms=3)


def target_of(table):
    x = table.inputs.numbers
    odd = np.nan_to_num(x[:, 1]) % 3 == 1
    noise = np.random.default_rng(1).standard_normal(N)
    return np.nan_to_num(x[:, 2], nan=1.5) + odd * table.arm + np.sin(3 * x[:, 0]) + 0.1 * noise


def grown(table, *, rounds=70, leaves=31, sees_arm=True, **but):
    size = Boosting(rounds, 0.1, num_leaves=leaves, min_data_in_leaf=5, search=False)
    lesson = Lesson(np.arange(N), target_of(table), sees_arm=sees_arm, **but)
    return grow(table, lesson, size)


def by_lightgbm(forest, inputs):
    codes = inputs.codes(forest.bins)
    arms = range(forest.n_arms)
    return np.stack([plain_raw(forest.booster, codes, arm=a, n_arms=forest.n_arms) for a in arms])


@pytest.mark.parametrize("leaves", [2, 7, 31, 32])
@pytest.mark.parametrize("rounds", [1, 64, 70])
def test_sums_are_lightgbms_bit_for_bit(table, leaves, rounds):
    forest = grown(table, rounds=rounds, leaves=leaves)
    new = FeatureRows.of(make(9, 500))
    assert forest.tables is not None
    for inputs in (table.inputs, new):
        expected = by_lightgbm(forest, inputs)
        np.testing.assert_array_equal(forest.raw_by_arm(inputs), expected)
        np.testing.assert_array_equal(forest.raw(inputs, arm=2), expected[2])


def test_splits_on_the_arm_on_categories_and_on_missing_values_were_there(table):
    trees = leaf_tables.read_trees(grown(table).text())
    features = np.concatenate([tree.feature for tree in trees])
    decisions = np.concatenate([tree.decision for tree in trees])
    assert set(range(6)) <= set(features.tolist())
    assert (decisions & leaf_tables.CATEGORY).any()
    defaults = decisions[features == 2] & leaf_tables.DEFAULT_LEFT
    assert 0 < np.count_nonzero(defaults) < len(defaults)  # missing goes both ways


def test_a_table_that_sends_missing_values_the_other_way_would_be_found(table, monkeypatch):
    forest = grown(table)
    sums = forest.raw(table.inputs)
    right = leaf_tables.Tree.goes_left

    def wrong(self, node):
        left = right(self, node).copy()
        left[0] = ~left[0]
        return left

    monkeypatch.setattr(leaf_tables.Tree, "goes_left", wrong)
    again = Forest.from_text(forest.text(), forest.bins)
    assert np.abs(again.raw(table.inputs) - sums).max() > 0.01


def test_sums_of_the_first_rounds_are_those_of_a_shorter_forest(table):
    forest = grown(table, rounds=150, sees_arm=False)
    codes = table.inputs.codes(table.bins)
    stops = [0, 10, 64, 65, 100, 150]
    found = forest.tables.raw_at(codes, rounds=stops)
    for stop, sums in zip(stops[1:], found[1:], strict=True):
        shorter = plain_raw(forest.booster, codes, arm=0, n_arms=3, count=stop)
        np.testing.assert_array_equal(sums, shorter)
    assert not found[0].any()


def test_a_start_and_weights_leave_the_tables_right(table):
    rng = np.random.default_rng(5)
    forest = grown(table, start=rng.standard_normal(N), weight=rng.random(N))
    expected = by_lightgbm(forest, table.inputs)
    np.testing.assert_array_equal(forest.raw_by_arm(table.inputs), expected)


def test_trees_of_more_leaves_are_left_to_lightgbm(table):
    forest = grown(table, leaves=33)
    assert forest.tables is None
    expected = by_lightgbm(forest, table.inputs)
    np.testing.assert_array_equal(forest.raw_by_arm(table.inputs), expected)


def test_tables_too_large_are_left_to_lightgbm(table, monkeypatch):
    with_tables = grown(table).raw(table.inputs)
    monkeypatch.setattr(leaf_tables, "LARGEST", 1000)
    forest = grown(table)
    assert forest.tables is None
    np.testing.assert_array_equal(forest.raw(table.inputs), with_tables)


def test_wide_data_are_scored(monkeypatch):
    rng = np.random.default_rng(2)
    wide = rng.standard_normal((300, 400))
    arm = np.arange(300) % 2
    table = bin_features(wide, categorical=(), arm=arm, n_arms=2)
    size = Boosting(80, 0.1, num_leaves=8, min_data_in_leaf=5, search=False)
    forest = grow(table, Lesson(np.arange(300), wide @ rng.standard_normal(400)), size)
    expected = by_lightgbm(forest, table.inputs)
    np.testing.assert_array_equal(forest.raw_by_arm(table.inputs), expected)


def test_a_forest_without_a_split_is_its_mean(table):
    size = Boosting(3, 0.1, num_leaves=4, min_data_in_leaf=N, search=False)
    forest = grow(table, Lesson(np.arange(N), target_of(table)), size)
    expected = by_lightgbm(forest, table.inputs)
    np.testing.assert_array_equal(forest.raw_by_arm(table.inputs), expected)


def test_a_part_of_the_rows_has_the_sums_of_that_part(table):
    forest = grown(table)
    chosen = np.array([3, 3999, 17])
    whole = forest.raw_by_arm(table.inputs)
    np.testing.assert_array_equal(forest.raw_by_arm(table.inputs[chosen]), whole[:, chosen])
    assert forest.raw(table.inputs[np.arange(0)]).shape == (0,)
