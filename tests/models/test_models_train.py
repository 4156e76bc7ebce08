"""A suite is honest: candidates are out of fold, share one cross-fit and are measured alike."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklift.models import ClassTransformation, SoloModel, TwoModels

from uplift.datasets import simulate
from uplift.economics import Economics
from uplift.errors import DataError, DefinitionError
from uplift.evaluation.heterogeneity import fold_means
from uplift.inference.doubly_robust import average
from uplift.models.learners import TLearner
from uplift.models.train import train

BASELINES = ["constant", "random", "response", "rule"]


@pytest.fixture(scope="module")
def sim():
    return simulate(n_units=4000, n_arms=3, outcome="normal", effect=(0.5, 1.0), seed=1)


@pytest.fixture(scope="module")
def suite(sim):
    return train(sim.trial, seed=7, n_folds=3)


def test_a_suite_holds_the_learners_asked_for_and_every_baseline(suite, sim):
    assert list(suite.candidates) == ["s", "t", "x", "r", "dr", "stack", *BASELINES]
    assert [c.kind for c in suite.candidates.values()] == ["learner"] * 6 + ["baseline"] * 4
    ranking = [name for name, c in suite.candidates.items() if c.predicts == "ranking"]
    assert ranking == ["random", "response", "rule"]
    assert suite.features == tuple(sim.trial.features.columns)
    assert suite.units is sim.trial.units
    assert set(np.unique(suite.fold)) == {0, 1, 2}


def test_every_candidate_has_an_effect_per_unit_and_treatment(suite):
    for candidate in suite.candidates.values():
        assert candidate.effects.shape == (4000, 2)
        assert np.isfinite(candidate.effects).all()
        assert candidate.seconds > 0


def test_losses_are_squared_distances_to_the_scores_less_those_of_a_constant(suite):
    scores, constant = suite.scores, suite.candidates["constant"]
    assert (constant.loss, constant.loss_std_error) == (0.0, 0.0)
    for name in ("s", "t", "x", "dr"):
        candidate = suite.candidates[name]
        per_unit = ((scores - candidate.effects) ** 2).sum(axis=1)
        per_unit -= ((scores - constant.effects) ** 2).sum(axis=1)
        assert candidate.loss == pytest.approx(per_unit.mean(), abs=1e-12)
        assert candidate.loss_std_error == pytest.approx(per_unit.std(ddof=1) / np.sqrt(4000))
    assert suite.candidates["response"].loss is None


def test_learners_beat_a_constant_effect_where_effects_differ(suite, sim):
    assert suite.best.kind == "learner"
    for name in ("s", "t", "x", "dr"):
        effects = suite.candidates[name].effects
        for k in range(2):
            assert np.corrcoef(effects[:, k], sim.true_effects[:, k])[0, 1] > 0.5


def test_the_constant_effect_of_a_fold_is_the_mean_score_of_the_others(suite):
    for f in range(3):
        expected = suite.scores[suite.fold != f].mean(axis=0)
        found = suite.candidates["constant"].effects[suite.fold == f]
        np.testing.assert_allclose(found, np.tile(expected, (len(found), 1)), rtol=1e-12)


def test_final_models_rank_new_customers(suite):
    new = simulate(n_units=2000, n_arms=3, outcome="normal", effect=(0.5, 1.0), seed=2)
    effects = suite.candidates["dr"].model.predict(new.trial.features)
    assert np.corrcoef(effects[:, 0], new.true_effects[:, 0])[0, 1] > 0.5


def test_results_do_not_depend_on_the_number_of_threads():
    trial = simulate(n_units=1500, n_arms=3, seed=1).trial
    alone = train(trial, ("t", "x", "dr"), seed=7, n_folds=2, n_threads=1)
    together = train(trial, ("t", "x", "dr"), seed=7, n_folds=2, n_threads=2)
    for name, candidate in alone.candidates.items():
        np.testing.assert_array_equal(candidate.effects, together.candidates[name].effects)
        X = trial.features.head(50)
        other = together.candidates[name].model.predict(X)
        np.testing.assert_array_equal(candidate.model.predict(X), other)


def slope_z(effects, scores, fold):
    """Slope within folds: a fold's mean is against the others' mean, which is no ranking."""
    centred = effects - fold_means(effects, fold=fold)
    if np.abs(centred).max() < 1e-12:
        return 0.0  # one effect for everyone: no differences are claimed
    residual = scores - fold_means(scores, fold=fold)
    return float(centred @ residual / np.sqrt(((centred * residual) ** 2).sum()))


def test_out_of_fold_effects_of_pure_noise_know_nothing_and_in_sample_ones_pretend_to():
    out_of_fold, in_sample = [], []
    for seed in range(4):
        trial = simulate(n_units=1500, outcome="normal", effect=0.0, seed=seed).trial
        noise = np.random.default_rng(seed).standard_normal(1500)
        suite = train(replace(trial, outcomes={"outcome": noise}), ("t", "x", "dr"), seed=seed)
        for name in ("t", "x", "dr"):
            candidate = suite.candidates[name]
            out_of_fold.append(slope_z(candidate.effects[:, 0], suite.scores[:, 0], suite.fold))
            fitted = candidate.model.predict(trial.features)[:, 0]
            in_sample.append(slope_z(fitted, suite.scores[:, 0], suite.fold))
    assert abs(np.mean(out_of_fold)) < 1.5  # twelve dependent draws of about N(0, 1.2)
    assert np.mean(in_sample) > 5


def test_a_units_own_outcome_does_not_move_its_arm_model_effects():
    trial = simulate(n_units=1500, outcome="normal", seed=1).trial
    before = train(trial, ("s", "t", "x"), seed=7, n_folds=2)
    left_out = before.fold == 1
    changed = trial.outcomes["outcome"].copy()
    changed[left_out] += 1000
    after = train(replace(trial, outcomes={"outcome": changed}), ("s", "t", "x"), seed=7, n_folds=2)
    for name in ("s", "t", "x"):
        np.testing.assert_array_equal(
            before.candidates[name].effects[left_out], after.candidates[name].effects[left_out]
        )


def test_outcomes_that_profit_is_made_of_are_cross_fitted_too(sim):
    rng = np.random.default_rng(3)
    outcomes = dict(sim.trial.outcomes) | {
        "spend": rng.exponential(10, 4000),
        "redeemed": rng.integers(0, 2, 4000).astype(float),
        "other": rng.random(4000),
    }
    economics = Economics(currency="EUR", value_outcome="spend", redemption_outcome="redeemed")
    trial = replace(sim.trial, outcomes=outcomes, economics=economics)
    suite = train(trial, (), n_folds=2)
    assert list(suite.dr_outcomes) == ["outcome", "spend", "redeemed"]
    by_spend = train(trial, (), outcome="spend", n_folds=2)
    assert by_spend.outcome == "spend"
    np.testing.assert_array_equal(by_spend.dr_outcomes["spend"], suite.dr_outcomes["spend"])


def test_clusters_stay_in_one_fold_and_widen_the_errors():
    trial = simulate(n_units=3000, outcome="normal", cluster_size=3, seed=4).trial
    suite = train(trial, ("t",), n_folds=3)
    folds = pd.Series(suite.fold).groupby(trial.cluster).nunique()
    assert (folds == 1).all()
    clustered = average(suite.scores[:, 0], cluster=trial.cluster).std_error
    assert clustered > average(suite.scores[:, 0]).std_error


def test_weights_count_in_every_candidate_and_in_the_loss(sim):
    weight = np.where(np.arange(4000) % 2, 2.0, 1.0)
    suite = train(replace(sim.trial, weight=weight), (), n_folds=2)
    for f in range(2):
        inside = suite.fold != f
        expected = np.average(suite.scores[inside], axis=0, weights=weight[inside])
        found = suite.candidates["constant"].effects[suite.fold == f][0]
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def binary_trial(n_arms=2):
    return simulate(n_units=1500, n_arms=n_arms, effect=0.2, seed=5).trial


def foreign():
    estimator = LogisticRegression(max_iter=1000)
    return {
        "solo": SoloModel(estimator),
        "two": TwoModels(LogisticRegression(), LogisticRegression()),
        "class": ClassTransformation(estimator),
    }


@pytest.mark.parametrize("name", ["solo", "two", "class"])
def test_models_of_scikit_uplift_enter_and_are_fitted_out_of_fold(name):
    trial, model = binary_trial(), foreign()[name]
    suite = train(trial, [(name, model), "t"], n_folds=3, seed=2)
    candidate = suite.candidates[name]
    assert (candidate.kind, candidate.predicts) == ("learner", "effect")
    assert not hasattr(model, "trmnt_preds_") or model.trmnt_preds_ is None  # never fitted itself
    expected = np.empty(1500)
    for f in range(3):
        inside, outside = suite.fold != f, suite.fold == f
        X = trial.features
        plain = foreign()[name].fit(
            X[inside].reset_index(drop=True),
            pd.Series(trial.outcomes["outcome"][inside]),
            pd.Series(trial.arm[inside]),
        )
        expected[outside] = plain.predict(X[outside].reset_index(drop=True))
    np.testing.assert_allclose(candidate.effects[:, 0], expected, rtol=1e-9)


def test_a_model_of_one_treatment_gets_a_clone_for_each_arm():
    trial = binary_trial(n_arms=3)
    suite = train(trial, [("two", foreign()["two"])], n_folds=2)
    candidate = suite.candidates["two"]
    assert candidate.effects.shape == (1500, 2)
    assert len(candidate.model.models_) == 2
    assert candidate.model.predict(trial.features).shape == (1500, 2)


def test_an_own_estimator_with_other_parameters_enters_by_name(sim):
    small = TLearner(n_rounds=3)
    suite = train(sim.trial, [("small", small), "t"], n_folds=2)
    assert suite.candidates["small"].model.n_rounds == 3
    assert not hasattr(small, "encoder_")
    assert (suite.candidates["small"].effects != suite.candidates["t"].effects).any()


class WithoutWeights:
    def fit(self, X, y, treatment):
        return self

    def predict(self, X):
        return np.full(len(X), np.nan)


def test_a_foreign_model_whose_effects_are_not_finite_is_refused():
    with pytest.raises(DataError) as caught:
        train(binary_trial(), [("broken", WithoutWeights())], n_folds=2)
    assert caught.value.code == "SCORE_NOT_FINITE"


def test_a_foreign_model_that_would_lose_the_weights_is_refused():
    trial = replace(binary_trial(), weight=np.ones(1500))
    with pytest.raises(DefinitionError) as caught:
        train(trial, [("plain", WithoutWeights())], n_folds=2)
    assert caught.value.code == "WEIGHT_UNSUPPORTED"


@pytest.mark.parametrize(
    ("learners", "code"),
    [
        (["tt"], "LEARNER_UNKNOWN"),
        (["t", "t"], "LEARNER_DUPLICATE"),
        ([("random", TLearner())], "LEARNER_DUPLICATE"),
        ([("text", "not a model at all")], "LEARNER_UNKNOWN"),
    ],
)
def test_learners_that_cannot_enter_are_refused(sim, learners, code):
    with pytest.raises(DefinitionError) as caught:
        train(sim.trial, learners)
    assert caught.value.code == code


def bad_trials(trial):
    n = trial.n_units
    return {
        "FEATURE_DATETIME": trial.features.assign(
            last=pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n), unit="h")
        ),
        "FEATURE_NOT_FINITE": trial.features.assign(ratio=np.where(np.arange(n) == 3, np.inf, 1.0)),
        "FEATURE_MIXED": trial.features.assign(
            code=pd.Series([1, "1", None] * (n // 3) + ["x"] * (n % 3), dtype=object)
        ),
        "LEAK_TREATMENT": trial.features.assign(sent=trial.arm),
        "LEAK_OUTCOME": trial.features.assign(result=trial.outcomes["outcome"]),
        "FEATURE_NONE": pd.DataFrame(index=range(n)),
        "FEATURE_DUPLICATE": pd.concat([trial.features, trial.features[["x1"]]], axis=1),
    }


@pytest.mark.parametrize(
    "code",
    [
        "FEATURE_DATETIME",
        "FEATURE_NOT_FINITE",
        "FEATURE_MIXED",
        "LEAK_TREATMENT",
        "LEAK_OUTCOME",
        "FEATURE_NONE",
        "FEATURE_DUPLICATE",
    ],
)
def test_features_that_must_not_train_are_refused_with_their_code(sim, code):
    with pytest.raises(DataError) as caught:
        train(replace(sim.trial, features=bad_trials(sim.trial)[code]))
    assert caught.value.code == code


def test_a_constant_feature_is_left_out_and_the_suite_says_so(sim):
    suite = train(
        replace(sim.trial, features=sim.trial.features.assign(country="DE")), (), n_folds=2
    )
    assert "country" not in suite.features
    assert [notice.code for notice in suite.notices] == ["FEATURE_EMPTY"]


def test_bad_weights_and_an_unknown_outcome_are_refused(sim):
    weight = np.where(np.arange(4000) == 3, -1.0, 1.0)
    with pytest.raises(DataError) as caught:
        train(replace(sim.trial, weight=weight))
    assert caught.value.code == "WEIGHT_INVALID"
    with pytest.raises(DataError, match="nothing_like_it") as caught:
        train(sim.trial, outcome="nothing_like_it")
    assert caught.value.code == "COLUMN_MISSING"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_units", "n_features", "n_arms"), [(64_000, 8, 3), (20_000, 20, 4)], ids=["3 arms", "4 arms"]
)
def test_a_whole_suite_is_trained_in_fifteen_seconds_of_two_processors(n_units, n_features, n_arms):
    trial = simulate(n_units=n_units, n_features=n_features, n_arms=n_arms, seed=6).trial
    rng = np.random.default_rng(6)
    spend, redeemed = rng.exponential(9, n_units), (rng.random(n_units) < 0.1).astype(float)
    outcomes = dict(trial.outcomes) | {"spend": spend, "redeemed": redeemed}
    economics = Economics(currency="EUR", value_outcome="spend", redemption_outcome="redeemed")
    start = time.process_time()
    train(replace(trial, outcomes=outcomes, economics=economics))
    assert time.process_time() - start < 30
