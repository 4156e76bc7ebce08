"""What a policy loses without a feature: much without one that matters, nothing without noise."""

from dataclasses import replace

import numpy as np
import pytest

from uplift.datasets import simulate
from uplift.errors import DataError, StateError
from uplift.evaluation.evidence import gather
from uplift.explanation.importance import importance_of, policy_importance
from uplift.models.refitting import fold_models
from uplift.models.score_learners import DRLearner
from uplift.models.train import train

DEEP = {"n_rounds": 150, "num_leaves": 16, "min_data_in_leaf": 20, "learning_rate": 0.2}


def planted(seed, n_units=3000):
    """Effect +1 or -1 by x0, nothing else; `noise` says nothing."""
    sim = simulate(n_units=n_units, outcome="normal", effect=0.0, seed=seed, n_features=3)
    rng = np.random.default_rng(seed)
    features = sim.trial.features.assign(noise=rng.standard_normal(n_units))
    y = sim.trial.outcomes["outcome"] + sim.trial.arm * np.sign(features["x0"]).to_numpy()
    return replace(sim.trial, features=features, outcomes={"outcome": y})


@pytest.fixture(scope="module")
def trial():
    return planted(0)


@pytest.fixture(scope="module")
def suite(trial):
    return train(trial, ["t", "dr", "stack"], n_folds=3)


@pytest.mark.parametrize("name", ["t", "dr", "stack", "constant"])
def test_models_made_again_give_the_suites_own_out_of_fold_effects(suite, trial, name):
    models = fold_models(
        suite.candidates[name].model, trial, outcome="outcome", fold=suite.fold.astype(np.int64)
    )
    effects = np.empty_like(suite.scores)
    for f, model in enumerate(models):
        inside = np.flatnonzero(suite.fold == f)
        effects[inside] = model.predict(trial.features.iloc[inside])
    known = suite.candidates[name].effects
    if name in ("t", "constant"):
        np.testing.assert_allclose(effects, known, rtol=0, atol=1e-12)
    else:  # rounds and weights of all folds, where the suite chose them on the others
        assert np.corrcoef(effects[:, 0], known[:, 0])[0, 1] > 0.99


def test_the_feature_that_matters_comes_first_and_noise_costs_nothing(suite, trial):
    found = policy_importance(suite, trial, "t", n_repeats=3)
    first = found.losses[0]
    assert first.feature == "x0"
    assert first.ci[0] > 0.2  # half of the customers lose 1 when the sign is drawn by lot
    noise = next(loss for loss in found.losses if loss.feature == "noise")
    assert abs(noise.value) < 3 * max(noise.std_error, 1e-12)
    assert noise.value < first.value / 20
    assert found.policy_value > 0
    assert "x0" in str(found)


def noise_of(trial, *, honest):
    """Loss without the noise, by a learner that takes everything for a signal."""
    suite = train(trial, [("deep", DRLearner(**DEEP))], n_folds=2)
    everyone = DRLearner(**DEEP).fit(trial.features, trial.outcomes["outcome"], trial.arm)
    models = (everyone, everyone)  # each knows the customers it scores
    if honest:
        fold = suite.fold.astype(np.int64)
        models = fold_models(everyone, trial, outcome="outcome", fold=fold)
    evidence = gather(suite, trial)
    words = {"names": ["noise"], "n_repeats": 2, "seed": 0}
    found = importance_of(models, suite.candidates["deep"], evidence, trial.features, **words)
    return found.losses[0]


def test_noise_costs_nothing_out_of_fold_and_would_seem_precious_in_sample():
    trial = planted(7, n_units=1200)
    honest, flattered = (noise_of(trial, honest=honest) for honest in (True, False))
    assert abs(honest.value) < 3 * honest.std_error
    assert flattered.value > 3 * flattered.std_error


def test_unknown_names_and_models_of_others_are_refused(suite, trial):
    for words, code in [
        ({"candidate": "magic"}, "CANDIDATE_UNKNOWN"),
        ({"candidate": "t", "features": ["x9"]}, "FEATURE_MISSING"),
    ]:
        with pytest.raises(DataError) as caught:
            policy_importance(suite, trial, **words)
        assert caught.value.code == code
    with pytest.raises(StateError) as caught:
        fold_models(object(), trial, outcome="outcome", fold=suite.fold)
    assert caught.value.code == "MODEL_NOT_STORED"
