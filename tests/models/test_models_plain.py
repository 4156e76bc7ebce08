"""Learners on any scikit-learn estimator: answers known on paper, habits kept, faults named."""

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from uplift.datasets.simulation import simulate
from uplift.errors import DataError, DefinitionError, StateError
from uplift.inference.doubly_robust import aipw_outcomes
from uplift.models.crossfit import Design, assign_folds
from uplift.models.learners import SLearner, TLearner, XLearner
from uplift.models.plain import weight_keyword
from uplift.models.score_learners import DRLearner, RLearner, TransformedOutcome
from uplift.models.store import load_suite, save_model, save_suite
from uplift.models.train import train
from uplift.suite import effect_scores

LINEAR, CONSTANT = LinearRegression(), DummyRegressor()
LEARNERS = [
    SLearner(base=LINEAR),
    TLearner(base=LINEAR),
    XLearner(base=LINEAR),
    DRLearner(base=LINEAR, n_folds=2),
    RLearner(base=LINEAR, n_folds=2),
    TransformedOutcome(base=LINEAR),
]
names = pytest.mark.parametrize("learner", LEARNERS, ids=lambda model: type(model).__name__)
foldless = pytest.mark.parametrize(
    "learner",
    [one for one in LEARNERS if not isinstance(one, DRLearner | RLearner)],
    ids=lambda model: type(model).__name__,
)


@pytest.fixture(scope="module")
def trial():
    """Three arms of unequal shares."""
    shares = (0.5, 0.3, 0.2)
    return simulate(
        n_units=1200, n_arms=3, outcome="normal", shares=shares, effect=(0.5, 1.0), seed=1
    ).trial


@pytest.fixture(scope="module")
def uneven():
    """Two arms, propensities that differ by unit."""
    return simulate(n_units=1200, outcome="normal", propensity="confounded", seed=2).trial


def fitted(learner, trial, **but):
    y = trial.outcomes["outcome"]
    given = {"propensity": trial.propensity} | but
    return clone(learner).fit(trial.features, y, trial.arm, **given)


def with_ones(X):
    return np.column_stack([np.ones(len(X)), X])


def least_squares(X, target, weight=None):
    root = np.ones(len(X)) if weight is None else np.sqrt(weight)
    return np.linalg.lstsq(with_ones(X) * root[:, None], target * root, rcond=None)[0]


def out_of_fold(trial, *, n_folds, seed=0):
    """Linear mean outcomes per arm by the other folds, from normal equations."""
    X, y, arm = trial.features.to_numpy(), trial.outcomes["outcome"], trial.arm
    design = Design(arm, trial.propensity)
    fold = assign_folds(design, n_folds=n_folds, seed=seed)
    predicted = np.empty_like(trial.propensity)
    for f in range(n_folds):
        for k in range(predicted.shape[1]):
            rows = (fold != f) & (arm == k)
            weight = None if design.fit_weight is None else design.fit_weight[rows]
            slope = least_squares(X[rows], y[rows], weight)
            predicted[fold == f, k] = with_ones(X[fold == f]) @ slope
    return predicted


# ---- answers known on paper ----


@pytest.mark.parametrize("weighted", [False, True])
def test_a_linear_x_learner_is_a_linear_t_learner(trial, uneven, weighted):
    for one in (trial, uneven):
        weight = np.random.default_rng(3).random(1200) if weighted else None
        x = fitted(XLearner(base=LINEAR), one, sample_weight=weight).predict(one.features)
        t = fitted(TLearner(base=LINEAR), one, sample_weight=weight).predict(one.features)
        np.testing.assert_allclose(x, t, rtol=0, atol=1e-10)


def test_a_linear_t_learner_is_least_squares_of_each_arm(trial):
    X, y = trial.features.to_numpy(), trial.outcomes["outcome"]
    slopes = [least_squares(X[trial.arm == k], y[trial.arm == k]) for k in range(3)]
    expected = np.column_stack([with_ones(X) @ (slopes[k] - slopes[0]) for k in (1, 2)])
    found = fitted(TLearner(base=LINEAR), trial).predict(trial.features)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_a_linear_s_learner_is_the_coefficient_of_the_arm(trial):
    X = np.column_stack([trial.features, trial.arm == 1, trial.arm == 2])
    slope = least_squares(X, trial.outcomes["outcome"])
    found = fitted(SLearner(base=LINEAR), trial).predict(trial.features)
    np.testing.assert_allclose(found, np.tile(slope[-2:], (1200, 1)), atol=1e-10)


def residuals(trial, *, n_folds):
    predicted = out_of_fold(trial, n_folds=n_folds)
    left = trial.outcomes["outcome"] - (trial.propensity * predicted).sum(axis=1)
    arms = np.arange(1, trial.propensity.shape[1])
    return left, (arms == trial.arm[:, None]) - trial.propensity[:, 1:]


def test_a_constant_r_learner_is_least_squares_of_the_residuals(trial, uneven):
    for one in (trial, uneven):
        left, surprise = residuals(one, n_folds=2)
        expected = np.linalg.lstsq(surprise, left, rcond=None)[0]
        model = RLearner(base=LINEAR, effect_base=CONSTANT, n_folds=2)
        found = fitted(model, one).predict(one.features)
        np.testing.assert_allclose(found, np.tile(expected, (1200, 1)), atol=1e-8)


def test_a_linear_r_learner_is_least_squares_of_all_treatments_together(trial):
    left, surprise = residuals(trial, n_folds=2)
    X = with_ones(trial.features.to_numpy())
    joint = np.hstack([surprise[:, [k]] * X for k in range(2)])
    slope = np.linalg.lstsq(joint, left, rcond=None)[0].reshape(2, -1)
    found = fitted(RLearner(base=LINEAR, n_folds=2), trial).predict(trial.features)
    np.testing.assert_allclose(found, X @ slope.T, atol=1e-4)
    alone = [least_squares(X[:, 1:], left / s, s**2) for s in surprise.T]  # the wrong variant
    assert np.abs(X @ np.array(alone).T - X @ slope.T).max() > 0.1


def test_a_dr_learner_of_the_intercept_alone_is_the_aipw_effect(trial, uneven):
    for one in (trial, uneven):
        scores = effect_scores(
            aipw_outcomes(
                outcome=one.outcomes["outcome"],
                arm=one.arm,
                propensity=one.propensity,
                predicted=out_of_fold(one, n_folds=3),
            )
        )
        model = DRLearner(base=LINEAR, effect_base=CONSTANT, n_folds=3)
        found = fitted(model, one).predict(one.features)
        np.testing.assert_allclose(found, np.tile(scores.mean(axis=0), (1200, 1)), atol=1e-10)
        line = fitted(DRLearner(base=LINEAR, n_folds=3), one).predict(one.features)
        slopes = [least_squares(one.features.to_numpy(), column) for column in scores.T]
        best = with_ones(one.features.to_numpy()) @ np.array(slopes).T
        np.testing.assert_allclose(line, best, atol=1e-8)  # best linear projection of the scores


@foldless
def test_permuted_rows_give_the_same(learner, uneven):
    order = np.random.default_rng(4).permutation(1200)
    first = fitted(learner, uneven).predict(uneven.features)
    again = clone(learner).fit(
        uneven.features.iloc[order],
        uneven.outcomes["outcome"][order],
        uneven.arm[order],
        propensity=uneven.propensity[order],
    )
    np.testing.assert_allclose(again.predict(uneven.features), first, atol=1e-9)


@names
def test_duplicated_rows_count_as_doubled_weights(learner, uneven):
    """Copies stay in one cluster, so that folds are those of the weighted units."""
    twice = np.where(np.arange(1200) % 3 == 0, 2, 1)
    rows = np.repeat(np.arange(1200), twice)
    y, X = uneven.outcomes["outcome"], uneven.features
    units = np.arange(1200)
    propensity = np.full((1200, 2), 0.5)  # shares by rows and by weight agree
    by_weight = clone(learner).fit(
        X, y, uneven.arm, propensity=propensity, sample_weight=twice.astype(float), cluster=units
    )
    by_rows = clone(learner).fit(
        X.iloc[rows], y[rows], uneven.arm[rows], propensity=propensity[rows], cluster=units[rows]
    )
    np.testing.assert_allclose(by_weight.predict(X), by_rows.predict(X), atol=1e-9)


@names
def test_a_shift_of_the_outcome_leaves_the_effects(learner, uneven):
    before = fitted(learner, uneven).predict(uneven.features)
    y = uneven.outcomes["outcome"] + 100
    after = clone(learner).fit(uneven.features, y, uneven.arm, propensity=uneven.propensity)
    np.testing.assert_allclose(after.predict(uneven.features), before, atol=1e-8)


@names
def test_swapped_arms_flip_the_sign(learner, uneven):
    """Folds are drawn arm by arm, so those of the cross-fitted learners move."""
    X, y = uneven.features, uneven.outcomes["outcome"]
    there = fitted(learner, uneven).predict(X)
    back = clone(learner).fit(X, y, 1 - uneven.arm, propensity=uneven.propensity[:, ::-1])
    drawn = isinstance(learner, DRLearner | RLearner)
    np.testing.assert_allclose(back.predict(X), -there, atol=0.2 if drawn else 1e-9)


@names
def test_effects_between_treatments_are_differences_whatever_the_control(learner, trial):
    """Arm 2 against arm 1, read off and learned with arm 1 as the control."""
    X, y = trial.features, trial.outcomes["outcome"]
    effects = fitted(learner, trial).predict(X)
    moved = np.array([1, 0, 2])  # arm 1 becomes the control
    other = clone(learner).fit(X, y, moved[trial.arm], propensity=trial.propensity[:, [1, 0, 2]])
    tolerance = 0.35 if isinstance(learner, DRLearner | RLearner) else 1e-9  # other folds
    found = other.predict(X)[:, 1]
    np.testing.assert_allclose(found, effects[:, 1] - effects[:, 0], atol=tolerance)


def test_known_propensities_remove_a_confounders_bias():
    """And without them the same learner is biased: the check must be able to fail."""
    rng = np.random.default_rng(6)
    n = 6000
    rich = rng.integers(0, 2, n)
    chance = np.where(rich == 1, 0.8, 0.2)
    arm = (rng.random(n) < chance).astype(np.int64)
    y = 2 * rich + 0.1 * arm + rng.standard_normal(n)
    X = pd.DataFrame({"noise": rng.standard_normal(n)})  # rich is not among the features
    for learner in LEARNERS:
        known = clone(learner).fit(X, y, arm, propensity=chance).predict(X).mean()
        unknown = clone(learner).fit(X, y, arm).predict(X).mean()
        assert known == pytest.approx(0.1, abs=0.15)
        assert unknown > 1


def test_shares_of_clusters_and_folds_are_those_of_the_fast_path(trial):
    fast = DRLearner(n_folds=2, seed=4, n_rounds=1, min_data_in_leaf=1200)
    plain = DRLearner(base=HistGradientBoostingRegressor(max_iter=5), effect_base=CONSTANT)
    effects = [
        fitted(model, trial).predict(trial.features)[0]
        for model in (fast, plain.set_params(n_folds=2, seed=4))
    ]
    np.testing.assert_allclose(effects[0], effects[1], atol=0.05)  # of nuisances alone


@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
@pytest.mark.parametrize(
    "learner",
    [SLearner, TLearner, XLearner, DRLearner, RLearner, TransformedOutcome],
    ids=lambda kind: kind.__name__,
)
def test_the_fast_path_finds_what_the_plain_one_finds(learner):
    """Two implementations of one learner on boosted trees of about the same size."""
    sim = simulate(n_units=4000, outcome="normal", effect=1.0, seed=1)
    trees = lgb.LGBMRegressor(
        n_estimators=60,
        learning_rate=0.08,
        num_leaves=6,
        min_child_samples=100,
        n_jobs=1,
        verbosity=-1,
    )
    plain = fitted(learner(base=trees), sim.trial).predict(sim.trial.features)[:, 0]
    fast = fitted(learner(), sim.trial).predict(sim.trial.features)[:, 0]
    assert np.corrcoef(plain, fast)[0, 1] > 0.8
    assert np.corrcoef(plain, sim.true_effects[:, 0])[0, 1] > 0.7


# ---- kinds of estimators ----


def binary(n=1500, *, n_arms=2, seed=5):
    return simulate(n_units=n, n_arms=n_arms, effect=0.2, seed=seed).trial


def test_a_classifier_models_a_0_1_outcome_by_its_probabilities():
    trial = binary()
    means = fitted(TLearner(base=LogisticRegression()), trial).predict_outcomes(trial.features)
    y = trial.outcomes["outcome"]
    for k in range(2):
        rows = trial.arm == k
        own = LogisticRegression().fit(trial.features.to_numpy()[rows], y[rows])
        expected = own.predict_proba(trial.features.to_numpy())[:, 1]
        np.testing.assert_allclose(means[:, k], expected, atol=1e-9)


def test_a_classifier_of_outcomes_needs_a_regressor_of_effects():
    trial = binary()
    for learner in (XLearner, DRLearner, RLearner):
        with pytest.raises(DefinitionError, match="effect_base a regressor") as caught:
            fitted(learner(base=LogisticRegression()), trial)
        assert caught.value.code == "BASE_INVALID"
        both = learner(base=LogisticRegression(), effect_base=Ridge())
        assert fitted(both, trial).predict(trial.features).mean() == pytest.approx(0.2, abs=0.1)


def test_an_arm_in_which_nobody_bought_has_a_mean_of_nothing():
    trial = binary()
    y = trial.outcomes["outcome"] * trial.arm
    model = TLearner(base=LogisticRegression()).fit(trial.features, y, trial.arm)
    assert (model.predict_outcomes(trial.features)[:, 0] == 0).all()


@pytest.mark.parametrize(
    ("base", "outcome", "why"),
    [
        (LogisticRegression(), "normal", "needs a regressor"),
        (RidgeClassifier(), "binary", "predict_proba"),
        (Ridge, "normal", "not Ridge"),
        ("ridge", "normal", "not str"),
        (StandardScaler(), "normal", "not StandardScaler"),
    ],
    ids=["amounts", "no probabilities", "class", "text", "no predict"],
)
def test_what_can_be_no_base_is_refused(base, outcome, why):
    trial = simulate(n_units=300, outcome=outcome, seed=1).trial
    learner = TLearner().set_params(base=base)
    with pytest.raises(DefinitionError, match=why) as caught:
        learner.fit(trial.features, trial.outcomes["outcome"], trial.arm)
    assert caught.value.code == "BASE_INVALID"


def test_sizes_of_forests_beside_a_base_are_refused(trial):
    with pytest.raises(DefinitionError, match="n_rounds") as caught:
        fitted(TLearner(base=LINEAR, n_rounds=50), trial)
    assert caught.value.code == "BASE_INVALID"


def test_weights_reach_the_last_step_and_are_never_lost(trial):
    weight = np.random.default_rng(7).random(1200)
    line = fitted(TLearner(base=LINEAR), trial, sample_weight=weight).predict(trial.features)
    piped = make_pipeline(SimpleImputer(), LinearRegression())
    inside = fitted(TLearner(base=piped), trial, sample_weight=weight).predict(trial.features)
    np.testing.assert_allclose(inside, line, atol=1e-9)
    neighbours = KNeighborsRegressor(20)
    assert fitted(TLearner(base=neighbours), trial).predict(trial.features).shape == (1200, 2)
    for lost in (neighbours, make_pipeline(StandardScaler(), neighbours)):
        with pytest.raises(DefinitionError, match="sample_weight") as caught:
            fitted(TLearner(base=lost), trial, sample_weight=weight)
        assert caught.value.code == "WEIGHT_UNSUPPORTED"


def test_propensities_that_differ_need_an_estimator_that_weighs_units(uneven):
    with pytest.raises(DefinitionError, match="propensities that differ") as caught:
        fitted(TLearner(base=KNeighborsRegressor()), uneven)
    assert caught.value.code == "WEIGHT_UNSUPPORTED"


def test_weights_are_asked_of_what_a_wrapper_clones():
    search = GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [1, 10]})
    assert weight_keyword(search) == "ridge__sample_weight"
    assert weight_keyword(make_pipeline(search)) == "gridsearchcv__ridge__sample_weight"
    assert weight_keyword(GridSearchCV(KNeighborsRegressor(), {})) is None


# ---- missing values and categories ----


def uneven_features(n=3000):
    rng = np.random.default_rng(4)
    channel = rng.choice(["phone", "shop", "web"], n)
    income = np.where(rng.random(n) < 0.3, np.nan, rng.standard_normal(n))
    truth = np.where(channel == "shop", 2.0, 0.0) + np.isnan(income)
    arm = rng.integers(0, 2, n)
    X = pd.DataFrame({"channel": channel, "income": income})
    return X, arm * truth + rng.standard_normal(n), arm, truth


@pytest.mark.parametrize(
    "learner", [TLearner, XLearner, DRLearner, RLearner], ids=lambda kind: kind.__name__
)
def test_a_pipeline_by_position_encodes_levels_and_missing_values(learner):
    X, y, arm, truth = uneven_features()
    columns = ColumnTransformer(
        [("levels", OneHotEncoder(), [0]), ("numbers", SimpleImputer(add_indicator=True), [1])]
    )
    model = learner(base=make_pipeline(columns, LinearRegression())).fit(X, y, arm)
    assert np.corrcoef(model.predict(X)[:, 0], truth)[0, 1] > 0.98


def test_an_estimator_that_knows_missing_values_needs_no_imputer():
    X, y, arm, truth = uneven_features()
    trees = HistGradientBoostingRegressor(max_iter=10, learning_rate=0.5, categorical_features=[0])
    assert np.corrcoef(TLearner(base=trees).fit(X, y, arm).predict(X)[:, 0], truth)[0, 1] > 0.9


def test_missing_values_that_an_estimator_cannot_take_are_named_at_fit_and_at_scoring():
    X, y, arm, _ = uneven_features()
    with pytest.raises(DataError, match="SimpleImputer") as caught:
        TLearner(base=LINEAR).fit(X, y, arm)
    assert caught.value.code == "BASE_NEEDS_VALUES"
    assert caught.value.count == X["income"][arm == 0].isna().sum()
    whole = X.fillna({"income": 0.0})
    model = TLearner(base=LINEAR).fit(whole, y, arm)
    with pytest.raises(DataError, match="imputer") as caught:
        model.predict(X)
    assert caught.value.code == "BASE_NEEDS_VALUES"


class Broken(Ridge):
    def predict(self, X):
        return np.full(len(X), np.inf)


def test_predictions_that_are_not_finite_are_refused(trial):
    with pytest.raises(DataError, match="Broken") as caught:
        fitted(TLearner(base=Broken()), trial).predict(trial.features)
    assert caught.value.code == "SCORE_NOT_FINITE"


# ---- scikit-learn's habits, suites and files ----


@names
def test_parameters_of_the_base_are_reached_and_cloned(learner, trial):
    model = clone(learner).set_params(base=Ridge(alpha=2.0))
    assert model.get_params()["base__alpha"] == 2.0
    model.set_params(base__alpha=1e9)
    copy = clone(model)
    assert copy.base is not model.base
    assert copy.base.alpha == 1e9
    flat = fitted(copy, trial)
    assert np.ptp(flat.predict(trial.features), axis=0).max() < 1e-3
    assert not hasattr(copy.base, "coef_")  # never fitted itself


def test_a_fit_without_a_base_forgets_the_base(trial):
    model = fitted(TLearner(base=LINEAR), trial)
    model.set_params(base=None)
    again = fitted(TLearner(), trial).predict(trial.features)
    y = trial.outcomes["outcome"]
    model.fit(trial.features, y, trial.arm, propensity=trial.propensity)
    np.testing.assert_array_equal(model.predict(trial.features), again)


def test_a_model_on_a_base_is_not_stored(trial, tmp_path):
    for learner in LEARNERS:
        with pytest.raises(StateError, match="LinearRegression") as caught:
            save_model(fitted(learner, trial), tmp_path / "model")
        assert caught.value.code == "MODEL_NOT_STORED"
        assert not (tmp_path / "model").exists()


def test_learners_on_a_base_enter_a_suite_on_its_folds_and_scores(trial, tmp_path):
    entrants = [("line", TLearner(base=LINEAR)), ("blp", DRLearner(base=LINEAR)), "s", "stack"]
    suite = train(trial, entrants, n_folds=2, seed=3)
    X, y = trial.features.to_numpy(), trial.outcomes["outcome"]
    for f in range(2):
        inside, outside = suite.fold != f, suite.fold == f
        blp = [least_squares(X[inside], column) for column in suite.scores[inside].T]
        np.testing.assert_allclose(
            suite.candidates["blp"].effects[outside],
            with_ones(X[outside]) @ np.array(blp).T,
            atol=1e-8,
        )
        by_arm = [
            least_squares(X[inside & (trial.arm == k)], y[inside & (trial.arm == k)])
            for k in range(3)
        ]
        expected = with_ones(X[outside]) @ np.array([by_arm[k] - by_arm[0] for k in (1, 2)]).T
        np.testing.assert_allclose(suite.candidates["line"].effects[outside], expected, atol=1e-8)
    new = suite.candidates["line"].model.predict(trial.features)
    np.testing.assert_allclose(new, fitted(TLearner(base=LINEAR), trial).predict(trial.features))
    again = load_suite(tmp_path, save_suite(suite, tmp_path))
    line = again.candidates["line"]
    np.testing.assert_array_equal(line.effects, suite.candidates["line"].effects)
    with pytest.raises(StateError) as caught:
        line.model.predict(trial.features)
    assert caught.value.code == "MODEL_NOT_STORED"


def test_a_boosted_classifier_is_a_base_too():
    trial = binary(n_arms=3)
    base = HistGradientBoostingClassifier(max_iter=5)
    model = SLearner(base=base)
    effects = fitted(model, trial).predict(trial.features)
    assert effects.shape == (1500, 2)
    assert np.abs(effects).max() < 1
