"""Doubly robust scores: exact identities, and right when either part is right."""

import numpy as np
import pytest

from uplift.errors import DataError
from uplift.inference.doubly_robust import aipw_outcomes, average
from uplift.suite import effect_scores

N_UNITS = 20_000
EFFECT = 1.5


def world(seed: int):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N_UNITS)
    chance = 1 / (1 + np.exp(-x))
    arm = (rng.random(N_UNITS) < chance).astype(np.int64)
    outcome = 2 * x + EFFECT * arm + rng.normal(size=N_UNITS)
    propensity = np.column_stack([1 - chance, chance])
    means = np.column_stack([2 * x, 2 * x + EFFECT])
    return arm, outcome, propensity, means


def estimate(outcome, arm, propensity, predicted):
    scores = aipw_outcomes(outcome=outcome, arm=arm, propensity=propensity, predicted=predicted)
    return average(effect_scores(scores)[:, 0])


def test_the_effect_is_found_even_when_the_outcome_model_is_wrong():
    arm, outcome, propensity, means = world(1)
    found = estimate(outcome, arm, propensity, means[:, ::-1] ** 2)
    assert found.value == pytest.approx(EFFECT, abs=4 * found.std_error)


def test_the_effect_is_found_even_when_the_propensities_are_wrong():
    arm, outcome, propensity, means = world(2)
    found = estimate(outcome, arm, np.full_like(propensity, 0.5), means)
    assert found.value == pytest.approx(EFFECT, abs=4 * found.std_error)


def test_with_both_wrong_the_effect_is_missed():
    arm, outcome, propensity, means = world(3)
    found = estimate(outcome, arm, np.full_like(propensity, 0.5), np.zeros_like(means))
    assert abs(found.value - EFFECT) > 10 * found.std_error


def test_without_predictions_it_is_inverse_propensity_weighting():
    arm, outcome, propensity, means = world(4)
    found = estimate(outcome, arm, propensity, np.zeros_like(means))
    weighted = arm * outcome / propensity[:, 1] - (1 - arm) * outcome / propensity[:, 0]
    assert found.value == pytest.approx(weighted.mean(), rel=1e-12)


def test_arm_means_and_arm_shares_give_the_difference_in_means():
    arm, outcome, _, _ = world(5)
    means = np.array([outcome[arm == 0].mean(), outcome[arm == 1].mean()])
    shares = np.array([np.mean(arm == 0), np.mean(arm == 1)])
    tile = np.ones((N_UNITS, 1))
    found = estimate(outcome, arm, tile * shares, tile * means)
    assert found.value == pytest.approx(means[1] - means[0], rel=1e-12)


def test_a_weight_of_two_is_a_row_twice():
    scores = np.random.default_rng(6).normal(size=50)
    weight = np.where(np.arange(50) < 10, 2.0, 1.0)
    twice = np.concatenate([scores, scores[:10]])
    assert average(scores, weight=weight).value == pytest.approx(twice.mean(), rel=1e-12)


def test_clusters_widen_the_error_of_scores_that_move_together():
    rng = np.random.default_rng(7)
    cluster = np.repeat(np.arange(200), 5)
    scores = np.repeat(rng.normal(size=200), 5)
    plain, clustered = average(scores), average(scores, cluster=cluster)
    assert clustered.std_error == pytest.approx(plain.std_error * np.sqrt(5), rel=0.01)


def test_only_clusters_that_occur_count_whatever_their_codes():
    scores = np.arange(6.0)
    codes = np.array([0, 0, 1, 1, 2, 2])
    assert average(scores, cluster=10 * codes + 3) == average(scores, cluster=codes)


@pytest.mark.parametrize(
    ("scores", "cluster"), [(np.ones(1), None), (np.arange(4.0), np.zeros(4, dtype=np.int64))]
)
def test_one_unit_or_one_cluster_has_no_error_rather_than_none(scores, cluster):
    found = average(scores, cluster=cluster)
    assert np.isnan([found.std_error, *found.ci, found.p_value]).all()


def test_a_propensity_of_zero_is_refused():
    with pytest.raises(DataError) as error:
        estimate(
            np.zeros(2), np.array([0, 1]), np.array([[1.0, 0.0], [0.5, 0.5]]), np.zeros((2, 2))
        )
    assert error.value.code == "PROPENSITY_BOUND"
