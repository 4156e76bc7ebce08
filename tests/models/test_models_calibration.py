"""Calibrated effects are means of scores, in the order of the promises."""

import numpy as np
import pytest

from uplift.datasets.simulation import simulate
from uplift.errors import DefinitionError
from uplift.models.calibration import Steps, calibrate, cross_calibrated
from uplift.models.store import load_model, save_model
from uplift.models.train import train


@pytest.fixture(scope="module")
def noisy():
    """Promises twice too large, with ties."""
    rng = np.random.default_rng(0)
    truth = np.round(rng.standard_normal(5000), 1)
    return 2 * truth, truth + 1 + rng.standard_normal(5000), rng.integers(1, 5, 5000).astype(float)


def pooled(promised, scores, weight):
    """Isotonic regression by pooling neighbours that are out of order: slow and plain."""
    blocks = []
    for value in np.unique(promised):
        inside = promised == value
        mass = weight[inside].sum()
        blocks.append([np.average(scores[inside], weights=weight[inside]), mass, [value]])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            mean, mass, values = blocks.pop()
            before = blocks[-1]
            total = before[1] + mass
            before[0] = (before[0] * before[1] + mean * mass) / total
            before[1], before[2] = total, before[2] + values
    return {value: mean for mean, _, values in blocks for value in values}


def test_steps_are_those_of_pooling_neighbours(noisy):
    promised, scores, weight = noisy
    expected = pooled(promised, scores, weight)
    found = Steps.fit(promised, scores, weight=weight)(promised)
    np.testing.assert_allclose(found, [expected[value] for value in promised], atol=1e-10)


def test_every_step_is_the_mean_score_of_its_units(noisy):
    promised, scores, weight = noisy
    found = Steps.fit(promised, scores, weight=weight)(promised)
    for value in np.unique(found):
        inside = found == value
        assert np.average(scores[inside], weights=weight[inside]) == pytest.approx(value)
    assert np.average(found, weights=weight) == pytest.approx(np.average(scores, weights=weight))


def test_promises_that_say_nothing_become_one_effect():
    rng = np.random.default_rng(1)
    promised = np.arange(1000.0)
    steps = Steps.fit(promised, -promised + rng.standard_normal(1000))
    assert len(steps.values) == 1
    np.testing.assert_array_equal(steps(np.array([-1e9, 1e9])), steps.values[[0, 0]])


def test_calibration_across_folds_has_the_mean_of_the_scores_and_shrinks_too_large_promises(noisy):
    promised, scores, weight = noisy
    fold = np.arange(5000) % 5
    found = cross_calibrated(promised[:, None], scores[:, None], fold=fold, weight=weight)[:, 0]
    expected = np.average(scores, weights=weight)
    assert np.average(found, weights=weight) == pytest.approx(expected, rel=1e-12)
    truth = promised / 2 + 1
    assert ((found - truth) ** 2).mean() < 0.1 * ((promised - truth) ** 2).mean()


def test_scores_of_a_fold_move_its_own_calibrated_effects_by_one_number_only(noisy):
    promised, scores, _ = noisy
    fold = np.arange(5000) % 5
    changed = np.where(fold == 3, scores * 7, scores)
    before, after = (
        cross_calibrated(promised[:, None], one[:, None], fold=fold)[fold == 3, 0]
        for one in (scores, changed)
    )
    assert np.ptp(after - before) < 1e-12


@pytest.fixture(scope="module")
def suite():
    sim = simulate(n_units=3000, n_arms=3, effect=(0.2, 0.3), seed=2)
    return train(sim.trial, ("s", "t"), n_folds=2), sim.trial


def test_a_calibrated_candidate_joins_the_suite_with_the_effect_of_the_campaign(suite, tmp_path):
    suite, trial = suite
    added = calibrate(suite, "t").candidates["t_calibrated"]
    np.testing.assert_allclose(added.effects.mean(axis=0), suite.scores.mean(axis=0), rtol=1e-12)
    again = load_model(tmp_path, save_model(added.model, tmp_path))
    X = trial.features
    np.testing.assert_array_equal(again.predict(X), added.model.predict(X))
    promised = suite.candidates["t"].model.predict(X)
    for k in range(2):
        order = np.argsort(promised[:, k])
        assert (np.diff(added.model.predict(X)[order, k]) >= 0).all()


def test_a_ranking_cannot_be_calibrated(suite):
    with pytest.raises(DefinitionError) as caught:
        calibrate(suite[0], "response")
    assert caught.value.code == "CALIBRATION_IMPOSSIBLE"
