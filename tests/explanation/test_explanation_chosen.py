"""Why a candidate was chosen: the reason given is the one the training acted on."""

import pytest

import uplift as up
from uplift.datasets import simulate
from uplift.models.choice import PROOF

LEARNERS = [
    ("small", up.SLearner(n_rounds=20)),
    ("t", up.TLearner(n_rounds=40)),
    ("large", up.TLearner(n_rounds=200)),
]


def told(*, heterogeneity, seed, cluster_size=1):
    trial = simulate(
        n_units=2000,
        n_arms=3,
        outcome="normal",
        heterogeneity=heterogeneity,
        cluster_size=cluster_size,
        seed=seed,
    ).trial
    suite = up.train(trial, [*LEARNERS, "stack"], n_folds=2)
    return suite, up.explain_choice(suite, trial)


@pytest.mark.parametrize(
    ("heterogeneity", "seed", "cluster_size"), [(0, 1, 1), (1, 1, 1), (1, 2, 4), (0.3, 3, 1)]
)
def test_the_choice_told_is_the_choice_made(heterogeneity, seed, cluster_size):
    suite, choice = told(heterogeneity=heterogeneity, seed=seed, cluster_size=cluster_size)
    assert choice.chosen == suite.preferred == suite.best.name
    assert f"Why {suite.preferred}" in str(choice)
    title = "is proven" if suite.preferred == "constant" else f"{suite.preferred} is chosen"
    assert title in suite.plot().svg()


def test_without_heterogeneity_the_missing_proof_is_the_reason():
    _, choice = told(heterogeneity=0, seed=1)
    assert choice.proof < PROOF
    assert choice.chosen == "constant"
    assert "Not proven" in choice.words


def test_the_chosen_is_the_first_about_as_good_as_the_best():
    suite, choice = told(heterogeneity=1, seed=1)
    learners = [d for d in choice.distances if d.candidate != "constant"]
    first = next(d for d in learners if d.about_as_good)
    assert choice.chosen == first.candidate
    best = next(d for d in learners if d.candidate == choice.best)
    assert (best.behind, best.std_error) == (0, 0)
    for distance in learners:  # differences of losses are differences of distances
        gap = suite.candidates[distance.candidate].loss - suite.candidates[choice.best].loss
        assert distance.behind == pytest.approx(gap, abs=1e-9)
    assert "lowest loss" in choice.words
