"""Answers that are known without a model: what each learner must give on paper."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from uplift.datasets.simulation import simulate
from uplift.errors import DataError, StateError
from uplift.inference.doubly_robust import aipw_outcomes
from uplift.models.boosting import Boosting, JointLesson, bin_features, grow_jointly
from uplift.models.class_transformation import ClassTransformation
from uplift.models.forest import CausalForest
from uplift.models.learners import SLearner, TLearner, XLearner
from uplift.models.score_learners import DRLearner, RLearner, TransformedOutcome, constant_effect
from uplift.models.train import train

LEARNERS = [
    SLearner(),
    TLearner(),
    XLearner(),
    DRLearner(n_folds=2),
    RLearner(n_folds=2),
    TransformedOutcome(),
    ClassTransformation(),
]
names = pytest.mark.parametrize("learner", LEARNERS, ids=lambda model: type(model).__name__)
FLAT = {"n_rounds": 1, "min_data_in_leaf": 10**6}  # no split: one effect for everyone


@pytest.fixture(scope="module")
def sim():
    return simulate(n_units=3000, n_arms=3, shares=(0.5, 0.3, 0.2), effect=(0.2, 0.4), seed=1)


def fitted(learner, trial, **but):
    y = trial.outcomes["outcome"]
    given = {"propensity": trial.propensity, "sample_weight": trial.weight} | but
    return clone(learner).fit(trial.features, y, trial.arm, **given)


def test_a_transformed_outcome_that_cannot_split_is_the_weighted_difference(sim):
    trial = sim.trial
    y = trial.outcomes["outcome"]
    nothing = np.full((trial.n_units, 3), y.mean())
    scores = aipw_outcomes(outcome=y, arm=trial.arm, propensity=trial.propensity, predicted=nothing)
    expected = (scores[:, 1:] - scores[:, [0]]).mean(axis=0)
    found = fitted(TransformedOutcome(**FLAT), trial).predict(trial.features)
    np.testing.assert_allclose(found, np.tile(expected, (trial.n_units, 1)), rtol=1e-6)


def test_an_r_learner_that_cannot_split_is_least_squares_of_the_residuals(sim):
    suite = train(sim.trial, [("flat", RLearner(**FLAT))], n_folds=2)
    trial, predicted = sim.trial, suite.predicted["outcome"]
    residual = trial.outcomes["outcome"] - (trial.propensity * predicted).sum(axis=1)
    surprise = (np.arange(1, 3) == trial.arm[:, None]) - trial.propensity[:, 1:]
    expected = np.linalg.lstsq(surprise, residual, rcond=None)[0]
    found = suite.candidates["flat"].model.predict(trial.features)
    np.testing.assert_allclose(found, np.tile(expected, (trial.n_units, 1)), rtol=1e-6)


def test_least_squares_of_two_arms_is_the_weighted_mean_of_the_r_targets():
    rng = np.random.default_rng(0)
    surprise = rng.random(500) - 0.5
    residual = 2 * surprise + rng.standard_normal(500)
    weight = rng.random(500)
    expected = np.average(residual / surprise, weights=weight * surprise**2)
    np.testing.assert_allclose(constant_effect(residual, surprise[:, None], weight), [expected])


def test_joint_forests_of_orthogonal_factors_are_those_grown_alone():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((4000, 3))
    arm = rng.integers(0, 3, 4000)
    factors = np.column_stack([arm == 1, arm == 2]).astype(np.float64)  # never both at once
    target = (factors * np.column_stack([x[:, 0], 2 * x[:, 1]])).sum(axis=1)
    table = bin_features(x, categorical=(), arm=arm, n_arms=3)
    size = Boosting(60, 0.1, num_leaves=8, min_data_in_leaf=20, search=False)
    rows = np.arange(4000)
    both = grow_jointly(table, JointLesson(rows, target, factors), size)
    for k in range(2):
        alone = JointLesson(rows, target * factors[:, k], factors[:, [k]])
        (forest,) = grow_jointly(table, alone, size)
        np.testing.assert_array_equal(both[k].raw(table.inputs), forest.raw(table.inputs))


def test_joint_forests_share_what_correlated_factors_explain():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((6000, 2))
    arm = rng.integers(0, 3, 6000)
    factors = (np.arange(1, 3) == arm[:, None]) - 1 / 3
    truth = np.column_stack([x[:, 0], -x[:, 1]])
    target = (factors * truth).sum(axis=1) + 0.1 * rng.standard_normal(6000)
    table = bin_features(x, categorical=(), arm=arm, n_arms=3)
    size = Boosting(300, 0.1, num_leaves=8, min_data_in_leaf=20)
    found = grow_jointly(table, JointLesson(np.arange(6000), target, factors), size)
    for k, forest in enumerate(found):
        assert np.corrcoef(forest.raw(table.inputs), truth[:, k])[0, 1] > 0.95


@pytest.mark.parametrize(
    "learner",
    [one for one in LEARNERS if not hasattr(one, "n_folds") or isinstance(one, TransformedOutcome)],
    ids=lambda model: type(model).__name__,
)
def test_the_order_of_units_makes_no_difference_where_nothing_is_drawn(learner, sim):
    """Fifty rounds are not searched for; folds, of the others, are drawn by place."""
    trial = sim.trial
    order = np.random.default_rng(2).permutation(trial.n_units)
    model = clone(learner).set_params(n_rounds=50, min_data_in_leaf=100)
    y, X = trial.outcomes["outcome"], trial.features
    first = clone(model).fit(X, y, trial.arm, propensity=trial.propensity)
    again = clone(model).fit(
        X.iloc[order], y[order], trial.arm[order], propensity=trial.propensity[order]
    )
    if isinstance(learner, SLearner | TransformedOutcome | ClassTransformation):
        difference = np.abs(again.predict(X) - first.predict(X))
        assert np.quantile(difference, 0.99) < 1e-5  # a tie between splits may fall otherwise
    else:  # their pooled forest does search, on rows drawn by place
        together = np.corrcoef(again.predict(X)[:, 0], first.predict(X)[:, 0])[0, 1]
        assert together > 0.8


@names
def test_rows_that_are_there_twice_count_as_a_weight_of_two(learner, sim):
    """Without drawn rows (fixed rounds) and with the same leaves by weight."""
    trial, size = sim.trial, {"n_rounds": 40, "learning_rate": 0.1, "num_leaves": 4}
    model = clone(learner).set_params(**size, min_data_in_leaf=200)
    y, X = trial.outcomes["outcome"], trial.features
    heavy = clone(model).fit(
        X, y, trial.arm, propensity=trial.propensity, sample_weight=np.full(len(y), 2.0)
    )
    plain = clone(model).fit(X, y, trial.arm, propensity=trial.propensity)
    difference = np.abs(heavy.predict(X) - plain.predict(X)).max()
    assert difference < 1e-4  # every weight doubled is no weight at all


def test_duplicated_units_equal_doubled_weights_in_one_effect_for_everyone():
    trial = simulate(n_units=400, outcome="normal", seed=3).trial
    twice = np.where(np.arange(400) < 100, 2, 1)
    rows = np.repeat(np.arange(400), twice)
    y, X = trial.outcomes["outcome"], trial.features
    model = TransformedOutcome(**FLAT)
    by_weight = clone(model).fit(
        X, y, trial.arm, propensity=trial.propensity, sample_weight=twice.astype(float)
    )
    by_rows = clone(model).fit(
        X.iloc[rows], y[rows], trial.arm[rows], propensity=trial.propensity[rows]
    )
    np.testing.assert_allclose(by_weight.predict(X), by_rows.predict(X), rtol=1e-6)


@names
def test_swapped_arms_turn_one_effect_for_everyone_round(learner):
    trial = simulate(n_units=2000, seed=5).trial
    flat = clone(learner).set_params(**FLAT)
    y, X = trial.outcomes["outcome"], trial.features
    there = clone(flat).fit(X, y, trial.arm).predict(X)
    back = clone(flat).fit(X, y, 1 - trial.arm).predict(X)
    assert np.abs(there + back).max() < 0.01


@names
def test_propensities_that_differ_by_row_keep_the_average_right(learner):
    noisy = isinstance(learner, TransformedOutcome | ClassTransformation)  # no outcome model
    tolerance = 0.12 if noisy else 0.06
    rng = np.random.default_rng(6)
    n = 8000
    rich = rng.integers(0, 2, n)
    chance = np.where(rich == 1, 0.8, 0.2)  # the rich are mailed, and buy anyway
    arm = (rng.random(n) < chance).astype(np.int64)
    y = (rng.random(n) < 0.2 + 0.4 * rich + 0.1 * arm).astype(np.float64)
    X = pd.DataFrame({"noise": rng.standard_normal(n)})  # rich is not among the features
    effects = clone(learner).fit(X, y, arm, propensity=chance).predict(X)
    naive = y[arm == 1].mean() - y[arm == 0].mean()
    assert naive > 0.25
    assert effects.mean() == pytest.approx(0.1, abs=tolerance)


def test_effects_between_treatments_are_differences_of_effects(sim):
    for learner in (SLearner(), TLearner()):
        model = fitted(learner, sim.trial)
        means = model.predict_outcomes(sim.trial.features)
        effects = model.predict(sim.trial.features)
        np.testing.assert_array_equal(effects, means[:, 1:] - means[:, [0]])
        between = means[:, 2] - means[:, 1]
        np.testing.assert_allclose(between, effects[:, 1] - effects[:, 0], rtol=0, atol=1e-12)


def test_outcomes_under_each_arm_are_probabilities_of_all_arms(sim):
    means = fitted(TLearner(), sim.trial).predict_outcomes(sim.trial.features)
    assert means.shape == (3000, 3)
    assert 0 < means.min() < means.max() < 1
    observed = [sim.trial.outcomes["outcome"][sim.trial.arm == k].mean() for k in range(3)]
    np.testing.assert_allclose(means.mean(axis=0), observed, atol=0.03)


@pytest.mark.parametrize("learner", LEARNERS[2:], ids=lambda model: type(model).__name__)
def test_a_learner_of_effects_says_that_it_has_no_outcomes(learner, sim):
    model = fitted(clone(learner).set_params(n_rounds=5), sim.trial)
    with pytest.raises(StateError, match="S- or") as caught:
        model.predict_outcomes(sim.trial.features.head(3))
    assert caught.value.code == "OUTCOMES_NOT_MODELLED"


def test_class_transformation_finds_who_is_moved_at_any_share():
    sim = simulate(n_units=20_000, shares=(0.2, 0.8), effect=0.15, seed=7)
    effects = fitted(ClassTransformation(), sim.trial).predict(sim.trial.features)[:, 0]
    assert effects.mean() == pytest.approx(0.15, abs=0.02)
    assert np.corrcoef(effects, sim.true_effects[:, 0])[0, 1] > 0.5


def test_class_transformation_refuses_amounts():
    trial = simulate(n_units=500, outcome="normal", seed=8).trial
    with pytest.raises(DataError) as caught:
        fitted(ClassTransformation(), trial)
    assert caught.value.code == "OUTCOME_NOT_BINARY"


# ---- what changes nothing, for every learner: to what its draws of rows move it ----

FOREST = CausalForest(n_trees=80, min_leaf=15, n_folds=2)
ALL = [*(one for one in LEARNERS if not isinstance(one, ClassTransformation)), FOREST]
all_names = pytest.mark.parametrize("learner", ALL, ids=lambda model: type(model).__name__)
CLOSE = 0.9  # correlation of two fits that differ by which rows said how many rounds, or folds


@pytest.fixture(scope="module")
def clear():
    """Three arms, effects that differ clearly between units; few values, so bins stay."""
    sim = simulate(n_units=2000, n_arms=3, outcome="normal", effect=(1.0, 2.0), seed=11)
    X = sim.trial.features[["x0", "x1", "x2", "x3"]].round(1)
    return X, sim.trial.outcomes["outcome"], sim.trial.arm, sim.trial.propensity


@pytest.fixture(scope="module")
def on_clear(clear):
    return {type(one): of_rows(one, clear, np.arange(2000)) for one in ALL}


def of_rows(learner, clear, rows, **given):
    """Effects of all units by a learner of some rows."""
    X, y, arm, propensity = clear
    model = clone(learner)
    if "n_rounds" in model.get_params():
        model.set_params(n_rounds=50)
    model.fit(X.iloc[rows], y[rows], arm[rows], propensity=propensity[rows], **given)
    return model.predict(X)


def assert_alike(found, expected, *, close=CLOSE, atol=0.12):
    for one, other in zip(found.T, expected.T, strict=True):
        assert np.corrcoef(one, other)[0, 1] > close
    np.testing.assert_allclose(found.mean(axis=0), expected.mean(axis=0), atol=atol)


@all_names
def test_permuted_rows_give_the_same_learner(learner, clear, on_clear):
    found = of_rows(learner, clear, np.random.default_rng(3).permutation(2000))
    if learner is FOREST:
        np.testing.assert_array_equal(found, on_clear[CausalForest])
    assert_alike(found, on_clear[type(learner)])


@all_names
def test_duplicated_rows_count_as_doubled_weights_in_every_learner(learner, clear):
    """Copies are one cluster, so that they are drawn as one; a third of the units has them."""
    X, y, arm, _ = clear
    light = X["x0"].to_numpy() < 0
    y = y + 2 * arm * light  # weights move the effects: without them the check fails
    twice = np.where(light, 3, 1)
    rows = np.repeat(np.arange(2000), twice)
    shares = np.tile(np.bincount(arm, weights=twice) / twice.sum(), (2000, 1))
    changed = (X[["x2", "x3"]], y, arm, shares)  # who is light is not among the features
    units = np.arange(2000)
    by_weight = of_rows(learner, changed, units, sample_weight=twice.astype(float), cluster=units)
    by_rows = of_rows(learner, changed, rows, cluster=rows)
    lost = of_rows(learner, changed, units, cluster=units)
    atol = 0.2
    np.testing.assert_allclose(by_weight.mean(axis=0), by_rows.mean(axis=0), atol=atol)
    assert np.abs(lost.mean(axis=0) - by_rows.mean(axis=0)).max() > 3 * atol


@pytest.mark.parametrize("learner", ALL[1:], ids=lambda model: type(model).__name__)
def test_effects_between_treatments_are_those_learned_with_another_control(
    learner, clear, on_clear
):
    """Fifty rounds hold effects back a little, and from another control other ones.

    Most of all in an S-learner, which knows the control as the arm without a column: it is left
    out here, and its effects are exact differences of its own outcomes (see above).
    """
    X, y, arm, propensity = clear
    effects = on_clear[type(learner)]
    moved = np.array([1, 0, 2])  # arm 1 becomes the control
    other = of_rows(learner, (X, y, moved[arm], propensity[:, [1, 0, 2]]), np.arange(2000))
    expected = np.column_stack([-effects[:, 0], effects[:, 1] - effects[:, 0]])
    assert_alike(other, expected, close=0.8, atol=0.25)
