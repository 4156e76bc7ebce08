"""Forests grown on rows of one shared binned table keep clear of LightGBM's traps."""

import inspect

import lightgbm as lgb
import numpy as np
import pytest

from uplift.errors import DefinitionError
from uplift.models.boosting import (
    FEWEST,
    Boosting,
    Forest,
    Lesson,
    bin_features,
    grow,
    in_chunks,
    side_by_side,
    sizes_for,
)
from uplift.models.feature_rows import FeatureRows

SIZE = Boosting(n_rounds=20, learning_rate=0.1, num_leaves=8, min_data_in_leaf=20)
NO_SPLIT = Boosting(n_rounds=1, learning_rate=1.0, num_leaves=2, min_data_in_leaf=10_000)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((4000, 3))
    arm = rng.integers(0, 3, 4000)
    target = features[:, 0] + 0.5 * arm + 0.1 * rng.standard_normal(4000)
    return bin_features(features, categorical=(), arm=arm, n_arms=3), arm, target


def codes_with_arms(table, arm):
    """What LightGBM is given, as a plain matrix of numbers."""
    codes = table.inputs.codes(table.bins).T.astype(np.float64)
    columns = [np.where(arm == k, 2.0, 1.0) for k in range(1, table.n_arms)]
    return np.column_stack([np.where(codes == 0, np.nan, codes), *columns])


def test_a_subset_learns_the_target_it_was_given_and_not_the_parents(data):
    table, _, target = data
    rows = np.arange(0, 4000, 2)
    up = grow(table, Lesson(rows, target[rows]), SIZE).raw(table.inputs)
    down = grow(table, Lesson(rows, -target[rows]), SIZE).raw(table.inputs)
    assert np.corrcoef(up, target)[0, 1] > 0.8
    np.testing.assert_allclose(up, -down, atol=1e-6)


def test_the_trap_is_still_there_a_label_set_before_construction_is_ignored(data):
    table, _, target = data
    subset = table.dataset.subset(np.arange(100))
    subset.set_label(target[:100].astype(np.float32))
    subset.construct()
    assert not subset.get_field("label").any()


@pytest.mark.filterwarnings("ignore:Overriding the parameters:UserWarning")  # that is the point
def test_a_forest_on_a_subset_is_the_forest_of_those_rows_alone(data):
    table, arm, target = data
    rows = np.flatnonzero(target > 0)
    params = table.dataset.params | {"num_leaves": 8, "min_data_in_leaf": 20, "num_threads": 1}
    label = target[rows].astype(np.float32)
    given = codes_with_arms(table, arm)
    alone = lgb.Dataset(given[rows], label, reference=table.dataset, params=params)
    expected = lgb.train(params | {"learning_rate": 0.1}, alone, 20).predict(given)
    found = grow(table, Lesson(rows, target[rows], sees_arm=True), SIZE).raw_by_arm(table.inputs)
    np.testing.assert_array_equal(found[arm, np.arange(4000)], expected)


def test_weights_reach_the_forest(data):
    table, _, target = data
    rows = np.arange(2000)
    weight = np.where(rows < 1000, 3.0, 0.5)
    root = grow(table, Lesson(rows, target[rows], weight=weight), NO_SPLIT).raw(
        table.inputs[np.arange(5)]
    )
    np.testing.assert_allclose(root, np.average(target[rows], weights=weight), rtol=1e-6)


def test_a_forest_that_starts_at_the_truth_has_nothing_to_add(data):
    table, _, target = data
    rows = np.arange(4000)
    start = target.astype(np.float32).astype(np.float64)
    added = grow(table, Lesson(rows, target, start=start), SIZE).raw(table.inputs)
    np.testing.assert_allclose(added, 0, atol=1e-6)


def test_hidden_arm_columns_are_never_split_on_and_visible_ones_are(data):
    table, _, target = data
    rows = np.arange(4000)
    hidden = grow(table, Lesson(rows, target), SIZE).booster.feature_importance()
    seen = grow(table, Lesson(rows, target, sees_arm=True), SIZE).booster.feature_importance()
    assert hidden[table.n_features :].sum() == 0
    assert (seen[table.n_features :] > 0).all()


def test_a_clear_signal_gets_more_rounds_than_noise(data):
    table, _, target = data
    size = SIZE.but({"n_rounds": 300, "learning_rate": 0.02})
    rows = np.arange(4000)
    noise = np.random.default_rng(2).standard_normal(4000)
    clear = grow(table, Lesson(rows, target), size).booster.num_trees()
    assert grow(table, Lesson(rows, noise), size).booster.num_trees() == FEWEST < clear <= 300


def test_fits_side_by_side_equal_fits_in_turn(data):
    table, arm, target = data
    rows = [np.flatnonzero(arm != k) for k in range(3)] * 2

    def work(part):
        return grow(table, Lesson(part, target[part]), SIZE).raw(table.inputs)

    together = list(side_by_side(work, rows, n_threads=2))
    alone = list(side_by_side(work, rows, n_threads=1))
    np.testing.assert_array_equal(together, alone)


def test_a_forest_read_from_its_text_predicts_the_same_bits(data):
    table, _, target = data
    forest = grow(table, Lesson(np.arange(4000), target, sees_arm=True), SIZE)
    again = Forest.from_text(forest.text(), table.bins)
    np.testing.assert_array_equal(again.raw(table.inputs), forest.raw(table.inputs))


def test_an_outcome_of_one_class_is_modelled_without_trees(data):
    table, _, _ = data
    forest = grow(table, Lesson(np.arange(4000), np.zeros(4000), objective="binary"), SIZE)
    assert (1 / (1 + np.exp(-forest.raw(table.inputs))) < 1e-9).all()


def test_chunks_do_not_change_a_score():
    numbers = np.random.default_rng(0).random((40_000, 2))
    found = in_chunks(lambda rows: rows.numbers.sum(axis=1), FeatureRows.of(numbers))
    np.testing.assert_array_equal(found, numbers.sum(axis=1))


@pytest.mark.parametrize(
    "wrong", [{"n_rounds": 0}, {"num_leaves": 1}, {"min_data_in_leaf": 0}, {"learning_rate": 0.0}]
)
def test_a_forest_of_no_size_is_refused(wrong):
    with pytest.raises(DefinitionError) as caught:
        SIZE.but(wrong)
    assert caught.value.code == "BOOSTING_INVALID"


@pytest.mark.parametrize("n_units", [20, 300, 5_000, 60_000, 400_000, 10_000_000])
def test_every_number_of_units_has_a_size(n_units):
    sizes = sizes_for(n_units)
    for size in (sizes.pooled, sizes.effect):
        assert 1 <= size.min_data_in_leaf <= max(5, n_units // 8)
    assert sizes.arm.min_data_in_leaf >= 100  # an arm with fewer stays as the pooled model sees it


def test_every_call_sets_the_same_number_of_threads(data, monkeypatch):
    """LightGBM's number of threads is the whole process's.

    A subset that sets the table's own while other forests grow crashed the process.
    """
    table, _, target = data
    asked = []
    subset = lgb.Dataset.subset

    def recorded(self, rows, params=None):
        asked.append((self.params if params is None else params)["num_threads"])
        return subset(self, rows, params)

    monkeypatch.setattr(lgb.Dataset, "subset", recorded)
    grow(table, Lesson(np.arange(3000), target[:3000]), SIZE)
    assert set(asked) == {1}


def test_a_smaller_leaf_than_at_binning_time_is_obeyed(data):
    """`feature_pre_filter` would have dropped what cannot fill a leaf of the binning's size."""
    _, arm, _ = data
    rare = (np.arange(4000) % 400 == 0).astype(np.float64)  # 10 units, less than LightGBM's 20
    table = bin_features(np.column_stack([rare, rare * 0]), categorical=(), arm=arm, n_arms=3)
    lesson = Lesson(np.arange(4000), 5 * rare)
    small, large = SIZE.but({"min_data_in_leaf": 5}), SIZE.but({"min_data_in_leaf": 50})
    assert grow(table, lesson, small).raw(table.inputs)[rare == 1].mean() > 4
    assert grow(table, lesson, large).raw(table.inputs)[rare == 1].mean() < 1


def test_bundles_that_corrupt_memory_are_off_in_every_call(data, monkeypatch):
    """LightGBM 4.7.0 corrupts memory when subsets meet bundled columns and an arm column."""
    table, arm, target = data
    asked = []
    for name in ("Dataset", "Booster"):
        original = getattr(lgb, name)
        start = original.__init__

        def recorded(self, *args, start=start, name=name, **kwargs):
            given = inspect.signature(start).bind(self, *args, **kwargs).arguments["params"]
            asked.append((name, given["enable_bundle"], given["deterministic"]))
            start(self, *args, **kwargs)

        monkeypatch.setattr(original, "__init__", recorded)
    bin_features(table.inputs.numbers, categorical=(), arm=arm, n_arms=3)
    grow(table, Lesson(np.arange(3000), target[:3000], sees_arm=True), SIZE)
    assert {name for name, *_ in asked} == {"Dataset", "Booster"}
    assert {tuple(found) for _, *found in asked} == {(False, True)}


def test_labels_of_one_fit_do_not_reach_another_that_is_under_way(data, monkeypatch):
    """A label set under a live Booster would redirect it: every fit has a Dataset of its own."""
    table, _, target = data
    rows = np.arange(4000)
    alone = grow(table, Lesson(rows, target), SIZE).raw(table.inputs)
    update = lgb.Booster.update
    other = []

    def interrupted(self, *args, **kwargs):
        if not other:
            other.append(None)
            grow(table, Lesson(rows, -target), SIZE)
        return update(self, *args, **kwargs)

    monkeypatch.setattr(lgb.Booster, "update", interrupted)
    np.testing.assert_array_equal(grow(table, Lesson(rows, target), SIZE).raw(table.inputs), alone)


def test_rounds_that_are_not_searched_for_are_all_grown(data):
    table, _, _ = data
    noise = np.random.default_rng(2).standard_normal(4000)
    size = Boosting(70, learning_rate=0.05, num_leaves=4, min_data_in_leaf=100, search=False)
    assert grow(table, Lesson(np.arange(4000), noise), size).booster.num_trees() == 70
