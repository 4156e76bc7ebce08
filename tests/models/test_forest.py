"""The causal forest as a learner: what it finds, what moves it and what it refuses."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from uplift.datasets import simulate
from uplift.errors import DataError, DefinitionError, StateError
from uplift.models.crossfit import Design
from uplift.models.forest import CausalForest
from uplift.models.forest_mean import ArmMeans
from uplift.models.forest_order import order_of_rows
from uplift.models.store import load_model, save_model
from uplift.models.train import train

FOREST = CausalForest(n_trees=80, min_leaf=15)


@pytest.fixture(scope="module")
def strong():
    """Clear effects that differ much between units."""
    return simulate(n_units=4000, outcome="normal", effect=1.0, seed=1)


@pytest.fixture(scope="module")
def new():
    return simulate(n_units=4000, outcome="normal", effect=1.0, seed=2)


@pytest.fixture(scope="module")
def on_strong(strong):
    return fitted(FOREST, strong)


def fitted(model, sim, **given):
    trial = sim.trial
    return clone(model).fit(trial.features, trial.outcomes["outcome"], trial.arm, **given)


def test_a_forest_finds_who_is_moved_more(on_strong, new):
    effects = on_strong.predict(new.trial.features)
    assert effects.shape == (4000, 1)
    assert np.corrcoef(effects[:, 0], new.true_effects[:, 0])[0, 1] > 0.7
    assert effects.mean() == pytest.approx(1.0, abs=0.2)


def test_several_arms_get_a_column_each_and_intervals_of_their_own():
    sim = simulate(n_units=6000, outcome="normal", n_arms=3, effect=(0.5, 1.5), seed=3)
    model = fitted(FOREST, sim)
    effects = model.predict(sim.trial.features)
    assert effects.shape == (6000, 2)
    for k in range(2):
        assert np.corrcoef(effects[:, k], sim.true_effects[:, k])[0, 1] > 0.6
    interval = model.predict_interval(sim.trial.features.head(50))
    assert interval.shape == (50, 2, 2)
    np.testing.assert_allclose(interval.mean(axis=2), effects[:50], atol=1e-12)


def test_shuffled_rows_change_no_bit(strong, on_strong, new):
    trial, order = strong.trial, np.random.default_rng(0).permutation(4000)
    y, X = trial.outcomes["outcome"], trial.features
    shuffled = clone(FOREST).fit(X.iloc[order].reset_index(drop=True), y[order], trial.arm[order])
    assert shuffled.trees_.to_bytes() == on_strong.trees_.to_bytes()
    assert shuffled.bins_.to_dict() == on_strong.bins_.to_dict()
    test = new.trial.features.head(500)
    np.testing.assert_array_equal(shuffled.predict(test), on_strong.predict(test))
    np.testing.assert_array_equal(shuffled.predict_interval(test), on_strong.predict_interval(test))
    np.testing.assert_array_equal(
        shuffled.out_of_bag_effects(), on_strong.out_of_bag_effects()[order]
    )


def test_rows_that_tie_have_one_order_too():
    rng = np.random.default_rng(0)
    encoded = rng.integers(0, 2, (300, 2)).astype(float)
    encoded[:30, 0] = np.nan
    encoded[30:40, 1] = -0.0
    outcome, arm = rng.integers(0, 2, 300).astype(float), rng.integers(0, 2, 300)
    shuffle = rng.permutation(300)

    def table(at):
        order = order_of_rows(encoded[at], Design(arm[at], np.full((300, 2), 0.5)), outcome[at])
        return np.column_stack([encoded[at], outcome[at], arm[at]])[order]

    np.testing.assert_array_equal(table(np.arange(300)), table(shuffle))


def test_a_shifted_outcome_leaves_the_effects(strong, on_strong):
    trial = strong.trial
    y, X = trial.outcomes["outcome"], trial.features
    shifted = clone(FOREST).fit(X, y + 5, trial.arm).predict(X)
    assert np.corrcoef(shifted[:, 0], on_strong.predict(X)[:, 0])[0, 1] > 0.99
    np.testing.assert_allclose(shifted.mean(), on_strong.predict(X).mean(), atol=0.01)


def test_swapped_arms_turn_the_effects_round(strong, on_strong):
    trial = strong.trial
    y, X = trial.outcomes["outcome"], trial.features
    swapped = clone(FOREST).fit(X, y, 1 - trial.arm).predict(X)
    assert np.corrcoef(swapped[:, 0], on_strong.predict(X)[:, 0])[0, 1] < -0.95


def test_no_heterogeneity_gives_nearly_one_effect_and_intervals_that_say_so():
    rng = np.random.default_rng(4)
    X, arm = rng.standard_normal((6000, 5)), rng.integers(0, 2, 6000)
    y = X[:, 0] + 0.5 * arm + rng.standard_normal(6000)
    model = clone(FOREST).set_params(n_trees=200).fit(X, y, arm)
    test = rng.standard_normal((500, 5))
    assert model.predict(test).std() < 0.15
    inside = np.abs(model.predict(test)[:, 0] - 0.5) < 1.96 * model.std_errors(test)[:, 0]
    assert inside.mean() > 0.85


def test_categories_and_missing_values_are_used_as_they_are():
    rng = np.random.default_rng(4)
    n = 6000
    channel = rng.choice(["web", "shop", "phone"], n)
    income = np.where(rng.random(n) < 0.3, np.nan, rng.standard_normal(n))
    truth = np.where(channel == "web", 2.0, 0.0) + np.isnan(income)
    arm = rng.integers(0, 2, n)
    X = pd.DataFrame({"channel": channel, "income": income})
    model = clone(FOREST).fit(X, arm * truth + rng.standard_normal(n), arm)
    assert np.corrcoef(model.predict(X)[:, 0], truth)[0, 1] > 0.95
    unseen = model.predict(X.assign(channel="radio"))
    np.testing.assert_array_equal(unseen, model.predict(X.assign(channel=None)))


def test_levels_in_no_order_are_told_apart():
    rng = np.random.default_rng(5)
    n = 8000
    level = rng.integers(0, 40, n)
    moved = rng.permutation(40) < 20
    arm = rng.integers(0, 2, n)
    y = arm * np.where(moved[level], 2.0, 0.0) + rng.standard_normal(n)
    X = pd.DataFrame({"shop": np.char.add("s", level.astype(str)), "other": rng.random(n)})
    effects = clone(FOREST).fit(X, y, arm).predict(X)[:, 0]
    assert np.corrcoef(effects, moved[level])[0, 1] > 0.95


def test_weights_decide_whose_effect_is_learned():
    rng = np.random.default_rng(5)
    n = 6000
    kind, arm = rng.integers(0, 2, n), rng.integers(0, 2, n)
    y = arm * np.where(kind == 1, 3.0, -1.0) + 0.5 * rng.standard_normal(n)
    X = rng.standard_normal((n, 2))  # the kind cannot be seen, so its mixture is learned
    plain = clone(FOREST).fit(X, y, arm).predict(X).mean()
    heavy = clone(FOREST).fit(X, y, arm, sample_weight=np.where(kind == 1, 9.0, 1.0))
    assert plain == pytest.approx(1.0, abs=0.2)
    assert heavy.predict(X).mean() == pytest.approx(2.6, abs=0.3)


def test_units_of_no_weight_have_no_say():
    rng = np.random.default_rng(6)
    X, arm = rng.standard_normal((3000, 3)), rng.integers(0, 2, 3000)
    y, weight = arm + rng.standard_normal(3000), np.ones(3000)
    weight[:1000], y[:1000] = 0, y[:1000] + 50 * arm[:1000]
    effects = clone(FOREST).fit(X, y, arm, sample_weight=weight).predict(X)
    assert effects.mean() == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("known", [True, False])
def test_known_propensities_remove_the_bias_of_a_confounded_treatment(known):
    """Without them the same units are biased: the check must be able to fail."""
    rng = np.random.default_rng(7)
    n = 8000
    X = rng.standard_normal((n, 3))
    treated = 1 / (1 + np.exp(-1.5 * X[:, 0]))
    arm = (rng.random(n) < treated).astype(int)
    y = 2 * X[:, 0] ** 2 + 2 * X[:, 0] + arm + rng.standard_normal(n)
    model = CausalForest(n_trees=40, max_depth=0, mean_as_feature=False)
    effect = model.fit(X, y, arm, propensity=treated if known else None).predict(X).mean()
    assert (abs(effect - 1) < 0.15) == known


def test_heavy_tails_keep_their_sums():
    rng = np.random.default_rng(8)
    n = 20_000
    X, arm = rng.standard_normal((n, 3)), rng.integers(0, 2, n)
    y = np.exp(3 * rng.standard_normal(n)) * (rng.random(n) < 0.05) + arm
    y[0] = 1e7
    model = CausalForest(n_trees=8, max_depth=0, mean_as_feature=False, n_folds=2, seed=1)
    large = model.fit(X, y * 2.0**40, arm).predict(X[:1])
    assert np.isfinite(large).all()
    small = clone(model).fit(X, y, arm).predict(X[:1])
    np.testing.assert_allclose(large / 2.0**40, small, rtol=1e-4)


def test_a_sum_beyond_all_numbers_is_refused():
    X, arm = np.random.default_rng(0).standard_normal((400, 2)), np.arange(400) % 2
    y = np.random.default_rng(1).standard_normal(400) * 1e36
    with pytest.raises(DataError, match="larger unit") as caught:
        clone(FOREST).fit(X, y, arm)
    assert caught.value.code == "OUTCOME_TOO_LARGE"


def test_large_clusters_stay_whole_and_widen_the_error():
    rng = np.random.default_rng(9)
    cluster = np.concatenate([np.repeat(np.arange(40), 100), np.repeat(np.arange(40, 1040), 2)])
    n = len(cluster)
    X, arm = rng.standard_normal((n, 3)), rng.integers(0, 2, 1040)[cluster]
    y = arm + rng.standard_normal(1040)[cluster] + 0.3 * rng.standard_normal(n)
    model = clone(FOREST).set_params(n_trees=200, min_leaf=50)
    alone = clone(model).fit(X, y, arm)
    whole = clone(model).fit(X, y, arm, cluster=cluster)
    test = rng.standard_normal((200, 3))
    assert whole.std_errors(test).mean() > 1.5 * alone.std_errors(test).mean()
    relabelled = clone(model).fit(X, y, arm, cluster=np.char.add("c", cluster.astype(str)))
    assert relabelled.predict(test).shape == (200, 1)


def test_out_of_bag_effects_do_not_know_their_own_outcome():
    """On pure noise, what saw a unit goes with the unit's own score, and nothing else does."""
    rng = np.random.default_rng(10)
    n = 4000
    X, arm, y = rng.standard_normal((n, 5)), rng.integers(0, 2, n), rng.standard_normal(n)
    model = CausalForest(n_trees=80, min_leaf=5, mean_as_feature=False).fit(X, y, arm)
    score = (2 * arm - 1) * 2 * y
    honest = np.corrcoef(model.out_of_bag_effects()[:, 0], score)[0, 1]
    seen = np.corrcoef(model.predict(X)[:, 0], score)[0, 1]
    assert abs(honest) < 4 / np.sqrt(n)
    assert seen > 6 / np.sqrt(n)


def test_effects_of_the_training_units_come_in_their_order(strong, on_strong):
    effects = on_strong.out_of_bag_effects()
    assert effects.shape == (4000, 1)
    assert np.corrcoef(effects[:, 0], on_strong.predict(strong.trial.features)[:, 0])[0, 1] > 0.9


def test_arrays_frames_and_columns_in_another_order_give_the_same_effects(strong, on_strong):
    X = strong.trial.features.head(300)
    expected = on_strong.predict(X)
    np.testing.assert_array_equal(on_strong.predict(X[X.columns[::-1]].assign(later=1)), expected)
    array = clone(FOREST).fit(
        strong.trial.features.to_numpy(), strong.trial.outcomes["outcome"], strong.trial.arm
    )
    np.testing.assert_array_equal(array.predict(X.to_numpy()), expected)
    assert on_strong.predict(X.iloc[:0]).shape == (0, 1)
    with pytest.raises(DataError, match="x3"):
        on_strong.predict(X.drop(columns="x3"))


def test_an_interval_does_not_depend_on_who_is_asked_beside(on_strong, new):
    X = new.trial.features.head(40)
    together = on_strong.predict_interval(X)
    alone = np.concatenate([on_strong.predict_interval(X.iloc[[i]]) for i in range(40)])
    np.testing.assert_array_equal(together, alone)
    wide = on_strong.predict_interval(X, confidence=0.99)
    assert ((wide[..., 0] < together[..., 0]) & (wide[..., 1] > together[..., 1])).all()


def test_a_clone_keeps_its_parameters_and_nothing_else():
    copy = clone(FOREST.set_params(seed=0))
    assert copy.get_params() == FOREST.get_params()
    for ask in (copy.predict, copy.predict_interval):
        with pytest.raises(NotFittedError):
            ask(np.zeros((2, 8)))
    with pytest.raises(NotFittedError):
        copy.out_of_bag_effects()


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_trees": 10},
        {"n_trees": 0},
        {"max_depth": 31},
        {"min_leaf": 0},
        {"n_bins": 256},
        {"sample_share": 0.6},
        {"sample_share": 1.1, "trees_per_bag": 1},
        {"max_features": 0},
        {"seed": -1},
    ],
)
def test_what_no_forest_can_be_is_refused(wrong):
    with pytest.raises(DefinitionError, match=next(iter(wrong))) as caught:
        clone(FOREST).set_params(**wrong).fit(np.zeros((4, 1)), [0, 1, 0, 1], [0, 1, 0, 1])
    assert caught.value.code == "FOREST_INVALID"


def test_intervals_need_bags_and_a_confidence(strong):
    model = fitted(CausalForest(n_trees=5, trees_per_bag=1, min_leaf=50), strong)
    with pytest.raises(DefinitionError, match="trees_per_bag") as caught:
        model.predict_interval(strong.trial.features.head(3))
    assert caught.value.code == "FOREST_INVALID"
    with pytest.raises(DefinitionError) as caught:
        model.predict_interval(strong.trial.features.head(3), confidence=95)
    assert caught.value.code == "CONFIDENCE_INVALID"


# ---- in a suite ----


@pytest.fixture(scope="module")
def trial():
    sim = simulate(n_units=3000, n_arms=3, outcome="normal", effect=(1.0, 0.5), seed=1)
    features = sim.trial.features.assign(
        channel=np.random.default_rng(1).choice(["web", "shop"], 3000)
    )
    return replace(sim.trial, features=features)


@pytest.fixture(scope="module")
def suite(trial):
    return train(trial, ["s", "forest"], n_folds=2)


def test_a_forest_in_a_suite_takes_the_means_of_the_shared_cross_fit(suite, trial):
    candidate = suite.candidates["forest"]
    assert isinstance(candidate.model.mean_, ArmMeans)
    assert candidate.loss < 0  # better than one effect for everyone
    again = train(trial, ["forest", "t"], n_folds=2, n_threads=1).candidates["forest"]
    np.testing.assert_array_equal(again.effects, candidate.effects)


def test_a_stored_forest_gives_the_same_bits(suite, trial, tmp_path, on_strong, strong):
    cases = [
        (suite.candidates["forest"].model, trial.features.head(200)),
        (on_strong, strong.trial.features.head(200)),
    ]
    for i, (model, X) in enumerate(cases):
        again = load_model(tmp_path / str(i), save_model(model, tmp_path / str(i)))
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        np.testing.assert_array_equal(again.predict_interval(X), model.predict_interval(X))
        with pytest.raises(StateError, match="does not hold"):
            again.out_of_bag_effects()
