"""Learners find known effects, agree with plain implementations and keep scikit-learn's habits."""

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import KFold, cross_val_predict

from uplift.datasets.simulation import simulate
from uplift.errors import DataError
from uplift.models.baselines import ConstantEffect
from uplift.models.learners import SLearner, TLearner, XLearner
from uplift.models.score_learners import DRLearner, RLearner, TransformedOutcome

LEARNERS = [
    SLearner(),
    TLearner(),
    XLearner(),
    DRLearner(n_folds=3),
    RLearner(n_folds=3),
    TransformedOutcome(),
]
names = pytest.mark.parametrize("learner", LEARNERS, ids=lambda model: type(model).__name__)


@pytest.fixture(scope="module")
def strong():
    """Clear effects that differ much between units."""
    return simulate(n_units=4000, outcome="normal", effect=1.0, seed=1)


@pytest.fixture(scope="module")
def new():
    return simulate(n_units=4000, outcome="normal", effect=1.0, seed=2)


@pytest.fixture(scope="module")
def on_strong(strong):
    """Each learner fitted on the clear effects, once."""
    return {type(learner): fitted(learner, strong) for learner in LEARNERS}


def fitted(learner, sim):
    trial = sim.trial
    return clone(learner).fit(trial.features, trial.outcomes["outcome"], trial.arm)


@names
def test_a_learner_finds_who_is_moved_more(learner, on_strong, new):
    effects = on_strong[type(learner)].predict(new.trial.features)
    assert effects.shape == (4000, 1)
    assert np.corrcoef(effects[:, 0], new.true_effects[:, 0])[0, 1] > 0.7
    assert effects.mean() == pytest.approx(1.0, abs=0.2)


@names
def test_several_arms_get_a_column_each(learner):
    sim = simulate(n_units=6000, outcome="normal", n_arms=3, effect=(0.5, 1.5), seed=3)
    effects = fitted(learner, sim).predict(sim.trial.features)
    assert effects.shape == (6000, 2)
    for k in range(2):
        assert np.corrcoef(effects[:, k], sim.true_effects[:, k])[0, 1] > 0.6


@names
def test_an_unfitted_clone_keeps_its_parameters_and_nothing_else(learner):
    changed = clone(learner).set_params(n_rounds=7, num_leaves=5)
    copy = clone(changed)
    assert copy.get_params() == changed.get_params()
    assert copy.get_params()["n_rounds"] == 7
    with pytest.raises(NotFittedError):
        copy.predict(np.zeros((2, 8)))


@names
def test_arrays_and_frames_give_the_same_effects(learner, strong, on_strong):
    trial = strong.trial
    y, X = trial.outcomes["outcome"], trial.features
    frame = on_strong[type(learner)].predict(X)
    array = clone(learner).fit(X.to_numpy(), y, trial.arm).predict(X.to_numpy())
    np.testing.assert_array_equal(frame, array)


@names
def test_order_of_columns_does_not_move_an_effect(learner, strong, on_strong):
    model = on_strong[type(learner)]
    X = strong.trial.features.head(500)
    shuffled = X[X.columns[::-1]].assign(unknown="later")
    np.testing.assert_array_equal(model.predict(X), model.predict(shuffled))


@names
def test_fitting_changes_no_argument(learner):
    trial = simulate(n_units=500, seed=9).trial
    X, model = trial.features.copy(), clone(learner)
    before = model.get_params()
    model.fit(X, trial.outcomes["outcome"], trial.arm)
    assert model.get_params() == before
    pd.testing.assert_frame_equal(X, trial.features)


@names
def test_a_shifted_outcome_leaves_the_effects(learner, strong, on_strong):
    trial = strong.trial
    y, X = trial.outcomes["outcome"], trial.features
    shifted = clone(learner).fit(X, y + 5, trial.arm).predict(X)
    np.testing.assert_allclose(shifted, on_strong[type(learner)].predict(X), atol=1e-3)


@names
def test_swapped_arms_turn_the_effects_round(learner, strong, on_strong):
    trial = strong.trial
    y, X = trial.outcomes["outcome"], trial.features
    swapped = clone(learner).fit(X, y, 1 - trial.arm).predict(X)
    effects = on_strong[type(learner)].predict(X)
    assert np.corrcoef(swapped[:, 0], effects[:, 0])[0, 1] < -0.95


@names
def test_categories_and_missing_values_are_used_as_they_are(learner):
    rng = np.random.default_rng(4)
    n = 6000
    channel = rng.choice(["web", "shop", "phone"], n)
    income = np.where(rng.random(n) < 0.3, np.nan, rng.standard_normal(n))
    truth = np.where(channel == "web", 2.0, 0.0) + np.isnan(income)
    arm = rng.integers(0, 2, n)
    y = arm * truth + rng.standard_normal(n)
    X = pd.DataFrame({"channel": channel, "income": income})
    effects = clone(learner).fit(X, y, arm).predict(X)[:, 0]
    assert np.corrcoef(effects, truth)[0, 1] > 0.9


@names
def test_weights_decide_whose_effect_is_learned(learner):
    rng = np.random.default_rng(5)
    n = 6000
    kind, arm = rng.integers(0, 2, n), rng.integers(0, 2, n)
    y = arm * np.where(kind == 1, 3.0, -1.0) + 0.5 * rng.standard_normal(n)
    X = rng.standard_normal((n, 2))  # the kind cannot be seen, so its mixture is learned
    plain = clone(learner).fit(X, y, arm).predict(X).mean()
    heavy = clone(learner).fit(X, y, arm, sample_weight=np.where(kind == 1, 9.0, 1.0))
    assert plain == pytest.approx(1.0, abs=0.2)
    assert heavy.predict(X).mean() == pytest.approx(2.6, abs=0.3)


def regressor():
    return lgb.LGBMRegressor(
        n_estimators=100, learning_rate=0.05, min_child_samples=100, n_jobs=1, verbosity=-1
    )


def independent(name, sim):
    """Textbook learners from plain LightGBM regressors on arrays."""
    X, arm = sim.trial.features.to_numpy(), sim.trial.arm
    y = sim.trial.outcomes["outcome"]
    means = [regressor().fit(X[arm == k], y[arm == k]) for k in (0, 1)]
    if name == "s":
        model = regressor().fit(np.column_stack([X, arm]), y)
        return lambda x: (
            model.predict(np.column_stack([x, np.ones(len(x))]))
            - model.predict(np.column_stack([x, np.zeros(len(x))]))
        )
    if name == "t":
        return lambda x: means[1].predict(x) - means[0].predict(x)
    if name == "x":
        treated = regressor().fit(X[arm == 1], y[arm == 1] - means[0].predict(X[arm == 1]))
        control = regressor().fit(X[arm == 0], means[1].predict(X[arm == 0]) - y[arm == 0])
        return lambda x: (treated.predict(x) + control.predict(x)) / 2
    if name == "o":
        return regressor().fit(X, np.where(arm == 1, y, -y) / 0.5).predict
    folds = KFold(5, shuffle=True, random_state=0)
    if name == "r":
        left = y - cross_val_predict(regressor(), X, y, cv=folds)
        return regressor().fit(X, left / (arm - 0.5)).predict
    held_out = []
    for k in (0, 1):
        mean = cross_val_predict(regressor(), X, np.where(arm == k, y, 0) / 0.5, cv=folds)
        held_out.append(mean + (arm == k) / 0.5 * (y - mean))
    return regressor().fit(X, held_out[1] - held_out[0]).predict


@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
@pytest.mark.parametrize(("name", "learner"), list(zip("stxdro", LEARNERS, strict=True)))
def test_a_learner_agrees_with_a_plain_implementation(name, learner, strong, on_strong, new):
    X = new.trial.features
    expected = independent(name, strong)(X.to_numpy())
    found = on_strong[type(learner)].predict(X)[:, 0]
    assert np.corrcoef(found, expected)[0, 1] > 0.75


def test_a_dr_learner_that_cannot_split_gives_the_aipw_effect(strong):
    trial = strong.trial
    y, X = trial.outcomes["outcome"], trial.features
    flat = DRLearner(min_data_in_leaf=trial.n_units, n_rounds=1, seed=3).fit(X, y, trial.arm)
    constant = ConstantEffect(seed=3).fit(X, y, trial.arm)
    np.testing.assert_allclose(flat.predict(X)[:, 0], constant.effect_[0], rtol=1e-6)


def test_the_x_learner_trusts_the_side_with_more_units():
    sim = simulate(n_units=6000, outcome="normal", shares=(0.8, 0.2), seed=6)
    model = XLearner().fit(
        sim.trial.features,
        sim.trial.outcomes["outcome"],
        sim.trial.arm,
        propensity=sim.trial.propensity,
    )
    np.testing.assert_allclose(model.control_share_, [0.2])  # weight of the side fitted on controls


def test_known_propensities_remove_the_bias_of_a_confounded_treatment():
    sim = simulate(n_units=6000, outcome="normal", propensity="confounded", seed=7)
    trial = sim.trial
    y, X = trial.outcomes["outcome"], trial.features
    truth = sim.average_effects[0]
    naive = y[trial.arm == 1].mean() - y[trial.arm == 0].mean()
    known = ConstantEffect().fit(X, y, trial.arm, propensity=trial.propensity).effect_[0]
    assert abs(naive - truth) > 0.15
    assert abs(known - truth) < 0.1


def test_propensity_of_the_treatment_alone_will_do_for_two_arms(strong):
    trial = strong.trial
    y, X = trial.outcomes["outcome"], trial.features
    short = XLearner().fit(X, y, trial.arm, propensity=trial.propensity[:, 1]).predict(X)
    full = XLearner().fit(X, y, trial.arm, propensity=trial.propensity).predict(X)
    np.testing.assert_array_equal(short, full)


def test_no_rows_to_score_give_no_effects(strong, on_strong):
    model = on_strong[TLearner]
    assert model.predict(strong.trial.features.iloc[:0]).shape == (0, 1)


def test_a_missing_column_is_refused_by_name(strong, on_strong):
    model = on_strong[SLearner]
    with pytest.raises(DataError, match="x3") as caught:
        model.predict(strong.trial.features.drop(columns="x3"))
    assert caught.value.code == "FEATURE_MISSING"
