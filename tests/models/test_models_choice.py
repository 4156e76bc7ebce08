"""Stacks and choices: weights from sums, honest about the fold they score."""

import numpy as np
import pytest
from scipy.optimize import nnls
from statsmodels.regression.linear_model import WLS

from uplift.datasets.simulation import simulate
from uplift.errors import DefinitionError
from uplift.models.blend import Blend
from uplift.models.choice import Sums, distances, evidence, non_negative, preferred, stacked
from uplift.models.train import train


@pytest.fixture(scope="module")
def made():
    """Two useful effects, one of pure noise and one copy; scores around the truth."""
    rng = np.random.default_rng(0)
    n = 6000
    truth = rng.standard_normal((n, 2))
    noise = rng.standard_normal(n)
    members = np.column_stack([2 * truth[:, 0], truth[:, 1], noise, 2 * truth[:, 0]])
    scores = truth.sum(axis=1) + 3 + 2 * rng.standard_normal(n)
    weight = rng.integers(1, 4, n).astype(np.float64)
    return members, scores, np.arange(n) % 5, weight


def test_weights_are_non_negative_least_squares_of_centred_rows(made):
    members, scores, fold, weight = made
    root = np.sqrt(weight)
    centred, left = members.copy(), scores.copy()
    for f in range(5):
        inside = fold == f
        centred[inside] -= np.average(members[inside], axis=0, weights=weight[inside])
        left[inside] -= np.average(scores[inside], weights=weight[inside])
    expected, _ = nnls(centred[:, :3] * root[:, None], left * root)
    sums = Sums.of(members[:, :3], scores, fold=fold, weight=weight)
    found, _ = sums.blend()
    np.testing.assert_allclose(found, expected, atol=1e-8)
    assert found == pytest.approx([0.5, 1, 0], abs=0.1)


def test_a_copy_of_a_member_changes_no_effect(made):
    members, scores, fold, weight = made
    three = [members[:, [m]] for m in range(3)]
    four = [members[:, [m]] for m in range(4)]
    scores = scores[:, None]
    without, with_copy = (
        stacked(some, scores, fold=fold, weight=weight).effects for some in (three, four)
    )
    np.testing.assert_allclose(with_copy, without, atol=1e-6)


def test_effects_that_do_not_differ_get_no_weight():
    products = np.zeros((2, 2))
    assert non_negative(products, np.zeros(2)).tolist() == [0, 0]


def test_the_mean_of_a_stack_is_the_mean_of_the_scores(made):
    members, scores, fold, weight = made
    made_of = stacked([members[:, [0]]], scores[:, None], fold=fold, weight=weight)
    whole = members[:, 0] * made_of.weights[0, 0] + made_of.offset[0]
    assert np.average(whole, weights=weight) == pytest.approx(np.average(scores, weights=weight))


def test_scores_of_a_fold_do_not_move_its_own_stacked_effects(made):
    members, scores, fold, weight = made
    changed = scores.copy()
    changed[fold == 2] *= -9
    parts = [members[:, [m]] for m in range(3)]
    before = stacked(parts, scores[:, None], fold=fold, weight=weight).effects
    after = stacked(parts, changed[:, None], fold=fold, weight=weight).effects
    np.testing.assert_array_equal(before[fold == 2], after[fold == 2])
    assert (before[fold == 1] != after[fold == 1]).any()


def choice_of(losses, *, proof=3.0):
    constant = np.zeros(1000)
    return preferred(losses, proof=proof, constant=constant, weight=None, cluster=None)


def test_evidence_is_the_z_of_a_robust_regression_within_folds(made):
    members, scores, fold, weight = made
    dummies = (fold[:, None] == np.arange(5)).astype(float)
    design = np.column_stack([members[:, 1], dummies])
    fit = WLS(scores, design, weights=weight).fit(cov_type="HC0")
    found = evidence(members[:, [1]], scores[:, None], fold=fold, weight=weight)
    assert found == pytest.approx(fit.tvalues[0], rel=1e-3)
    twice = evidence(2 * members[:, [1]], scores[:, None], fold=fold, weight=weight)
    assert twice == pytest.approx(found)
    assert evidence(np.ones((6000, 1)), scores[:, None], fold=fold) == 0


def test_evidence_by_cluster_of_copies_is_that_of_the_originals(made):
    members, scores, fold, _ = made
    cluster = np.tile(np.arange(6000), 2)
    copies = [np.concatenate([x, x]) for x in (members[:, [1]], scores[:, None], fold)]
    found = evidence(copies[0], copies[1], fold=copies[2], cluster=cluster)
    assert found == pytest.approx(evidence(members[:, [1]], scores[:, None], fold=fold))


def test_the_simplest_that_is_about_as_good_is_chosen():
    rng = np.random.default_rng(1)
    shared = rng.standard_normal(1000)
    best = shared - 1
    noise = rng.standard_normal(1000)
    noise -= noise.mean()
    close = best + 0.01 + noise  # worse by less than its standard error, .03
    worse = best + 0.3 + noise
    assert choice_of({"worse": worse, "close": close, "best": best}) == "close"
    assert choice_of({"worse": worse, "best": best}) == "best"


def test_nothing_is_chosen_without_proof_or_when_nothing_beats_the_constant():
    good = np.random.default_rng(2).standard_normal(1000) - 1
    assert choice_of({"good": good}) == "good"
    assert choice_of({"good": good}, proof=1.6) is None
    assert choice_of({"bad": good + 2}) is None
    assert choice_of({}) is None


def test_a_stack_is_about_as_good_as_its_best_member_and_predicts_like_its_parts():
    sim = simulate(n_units=4000, outcome="normal", effect=0.8, seed=4)
    suite = train(sim.trial, ("s", "t", "dr", "stack"), seed=1)
    truth = sim.true_effects
    error = {
        name: distances(candidate.effects, truth).mean()
        for name, candidate in suite.candidates.items()
        if candidate.loss is not None
    }
    assert error["stack"] < 1.15 * min(error[name] for name in ("s", "t", "dr"))
    assert error["stack"] < 0.6 * error["constant"]
    stack = suite.candidates["stack"].model
    assert isinstance(stack, Blend)
    X = sim.trial.features
    total = stack.offset_ + sum(
        weight * member.predict(X)
        for weight, member in zip(stack.weights_, stack.members_, strict=True)
    )
    np.testing.assert_allclose(stack.predict(X), total, rtol=0, atol=1e-12)
    assert suite.best.kind == "learner"


def test_a_stack_of_nothing_is_refused():
    trial = simulate(n_units=500, seed=1).trial
    with pytest.raises(DefinitionError) as caught:
        train(trial, ("stack",), n_folds=2)
    assert caught.value.code == "STACK_EMPTY"


@pytest.mark.slow  # forty trainings
def test_without_differences_one_effect_for_everyone_is_chosen_nine_times_in_ten():
    chosen = []
    for seed in range(40):
        trial = simulate(n_units=2000, outcome="normal", effect=0.0, seed=seed).trial
        chosen.append(train(trial, ("s", "t", "dr", "stack"), seed=seed).best.name)
    assert chosen.count("constant") >= 36
