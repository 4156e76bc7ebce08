"""Nobody helps to predict himself, and the scores' mean is the AIPW effect."""

import numpy as np
import pytest
from scipy import stats

from uplift.datasets.simulation import simulate
from uplift.errors import DataError, DefinitionError
from uplift.inference.doubly_robust import average
from uplift.models.boosting import bin_features
from uplift.models.crossfit import Design, assign_folds, cross_fit
from uplift.models.train import train
from uplift.suite import effect_scores
from uplift.trial import Trial


def cross_fitted(trial: Trial, *, outcome=None, n_folds=5, seed=0):
    design = Design(trial.arm, trial.propensity, trial.weight, trial.cluster)
    features = trial.features.to_numpy(np.float64)
    table = bin_features(features, categorical=(), arm=trial.arm, n_arms=trial.n_arms)
    fold = assign_folds(design, n_folds=n_folds, seed=seed)
    y = trial.outcomes["outcome"] if outcome is None else outcome
    return cross_fit(table, design, {"outcome": y}, fold=fold)


def test_folds_spread_every_arm_evenly():
    trial = simulate(n_units=1003, n_arms=3, shares=(0.5, 0.3, 0.2), seed=1).trial
    fold = assign_folds(Design(trial.arm, trial.propensity), n_folds=5, seed=2)
    counts = np.array([np.bincount(fold[trial.arm == k], minlength=5) for k in range(3)])
    assert (np.ptp(counts, axis=1) <= 1).all()


def test_folds_keep_clusters_whole():
    trial = simulate(n_units=3000, cluster_size=3, seed=1).trial
    design = Design(trial.arm, trial.propensity, cluster=trial.cluster)
    fold = assign_folds(design, n_folds=5, seed=2)
    assert all(len(set(fold[trial.cluster == c])) == 1 for c in range(0, 1000, 50))
    assert np.bincount(fold).min() > 500


def test_another_seed_draws_other_folds_and_the_same_seed_the_same():
    trial = simulate(n_units=500, seed=1).trial
    design = Design(trial.arm, trial.propensity)
    first = assign_folds(design, n_folds=5, seed=2)
    np.testing.assert_array_equal(first, assign_folds(design, n_folds=5, seed=2))
    assert (first != assign_folds(design, n_folds=5, seed=3)).any()


def test_a_units_own_outcome_does_not_move_its_prediction():
    trial = simulate(n_units=2000, outcome="normal", seed=3).trial
    before = cross_fitted(trial)
    changed = trial.outcomes["outcome"].copy()
    left_out = before.fold == 2
    changed[left_out] = 1e6
    after = cross_fitted(trial, outcome=changed)
    np.testing.assert_array_equal(
        before.predicted["outcome"][left_out], after.predicted["outcome"][left_out]
    )


def test_the_mean_of_the_scores_is_the_aipw_effect():
    trial = simulate(n_units=1500, n_arms=3, shares=(0.5, 0.3, 0.2), seed=4).trial
    fitted = cross_fitted(trial)
    y, mean = trial.outcomes["outcome"], fitted.predicted["outcome"]
    effect = []
    for k in (1, 2):
        total = 0.0
        for i in range(trial.n_units):
            total += mean[i, k] - mean[i, 0]
            if trial.arm[i] == k:
                total += (y[i] - mean[i, k]) / trial.propensity[i, k]
            if trial.arm[i] == 0:
                total -= (y[i] - mean[i, 0]) / trial.propensity[i, 0]
        effect.append(total / trial.n_units)
    scores = effect_scores(fitted.dr_outcomes["outcome"])
    np.testing.assert_allclose(scores.mean(axis=0), effect, rtol=0, atol=1e-9)


@pytest.mark.parametrize("outcome", ["binary", "revenue", "normal"])
def test_scores_find_the_average_effect_under_confounded_but_known_propensities(outcome):
    sim = simulate(n_units=3000, outcome=outcome, propensity="confounded", seed=5)
    scores = effect_scores(cross_fitted(sim.trial).dr_outcomes["outcome"])[:, 0]
    found = average(scores)
    assert abs(found.value - sim.average_effects[0]) < 4 * found.std_error


def test_predicted_outcomes_make_the_scores_sharper_than_weighting_alone():
    trial = simulate(n_units=4000, outcome="normal", seed=6).trial
    fitted = cross_fitted(trial)
    adjusted = average(effect_scores(fitted.dr_outcomes["outcome"])[:, 0]).std_error
    y, arm = trial.outcomes["outcome"], trial.arm
    plain = stats.ttest_ind(y[arm == 1], y[arm == 0], equal_var=False)
    welch = (y[arm == 1].mean() - y[arm == 0].mean()) / plain.statistic
    assert adjusted < 0.97 * welch


def test_binary_outcomes_are_predicted_as_probabilities():
    trial = simulate(n_units=3000, n_arms=3, seed=7).trial
    mean = cross_fitted(trial).predicted["outcome"]
    assert mean.min() > 0
    assert mean.max() < 1
    for k in range(3):
        observed = trial.outcomes["outcome"][trial.arm == k].mean()
        assert mean[trial.arm == k, k].mean() == pytest.approx(observed, abs=0.03)


def test_a_small_arm_stays_close_to_the_others():
    sim = simulate(n_units=6000, n_arms=3, shares=(0.49, 0.49, 0.02), effect=0.0, seed=8)
    mean = cross_fitted(sim.trial).predicted["outcome"]
    error = mean - sim.expected
    assert np.sqrt((error[:, 2] ** 2).mean()) < 2 * np.sqrt((error[:, 0] ** 2).mean())


def test_several_outcomes_share_the_folds_and_do_not_touch_each_other():
    trial = simulate(n_units=2000, seed=9).trial
    design = Design(trial.arm, trial.propensity)
    table = bin_features(
        trial.features.to_numpy(np.float64), categorical=(), arm=trial.arm, n_arms=2
    )
    fold = assign_folds(design, n_folds=3, seed=0)
    y = trial.outcomes["outcome"]
    both = cross_fit(table, design, {"a": y, "b": 20 * y + 1}, fold=fold)
    alone = cross_fit(table, design, {"a": y}, fold=fold)
    np.testing.assert_array_equal(both.predicted["a"], alone.predicted["a"])


def test_too_few_units_for_the_folds_are_refused():
    trial = simulate(n_units=30, seed=1).trial
    arm = np.zeros(30, dtype=np.int64)
    arm[:4] = 1
    with pytest.raises(DataError, match="5 folds need") as caught:
        assign_folds(Design(arm, trial.propensity), n_folds=5, seed=0)
    assert caught.value.code == "ARM_TOO_SMALL"
    with pytest.raises(DefinitionError):
        assign_folds(Design(arm, trial.propensity), n_folds=1, seed=0)


HILLSTROM_VISIT = [(0.07659, 0.00339), (0.04523, 0.00323)]  # Welch: effect, standard error


@pytest.mark.slow  # the same trial is trained fast in tests/evaluation
def test_hillstrom_scores_agree_with_the_plain_effects_and_are_sharper(hillstrom_file):
    import pandas as pd

    data = pd.read_csv(hillstrom_file)
    segments = ["No E-Mail", "Mens E-Mail", "Womens E-Mail"]
    trial = Trial(
        units=np.array([f"c{i}" for i in range(len(data))], dtype=object),
        features=data[["recency", "history", "mens", "womens", "zip_code", "newbie", "channel"]],
        arms=("no_email", "mens", "womens"),
        arm=data["segment"].map(segments.index).to_numpy(np.int64),
        outcomes={"visit": data["visit"].to_numpy(np.float64)},
        propensity=np.full((len(data), 3), 1 / 3),
        primary="visit",
    )
    suite = train(trial, learners=(), n_folds=2)
    for k, (effect, std_error) in enumerate(HILLSTROM_VISIT):
        found = average(suite.scores[:, k])
        assert abs(found.value - effect) < std_error
        assert found.std_error < std_error
