"""Simulated trials: the truth they promise is the truth they show."""

import numpy as np
import pytest

from uplift.datasets.simulation import simulate
from uplift.errors import DefinitionError

OUTCOMES = ["binary", "revenue", "normal"]


def naive_effects(trial):
    """Difference of means and its standard error, per treatment."""
    y, control = trial.outcomes["outcome"], trial.arm == 0
    for k in range(1, trial.n_arms):
        treated = trial.arm == k
        variance = y[treated].var(ddof=1) / treated.sum() + y[control].var(ddof=1) / control.sum()
        yield y[treated].mean() - y[control].mean(), np.sqrt(variance)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_randomised_means_differ_by_the_true_effect(outcome):
    simulated = simulate(outcome=outcome, n_units=40_000, n_arms=3, seed=1)
    truths = simulated.average_effects
    for (estimate, std_error), truth in zip(naive_effects(simulated.trial), truths, strict=True):
        assert estimate == pytest.approx(truth, abs=4 * std_error)


@pytest.mark.parametrize(("outcome", "effect"), [("binary", 0.05), ("revenue", 1), ("normal", 0.5)])
def test_the_average_effect_is_the_one_asked_for(outcome, effect):
    simulated = simulate(outcome=outcome, effect=effect, n_units=50_000, seed=2)
    spread = simulated.true_effects.std() / np.sqrt(50_000)
    assert simulated.average_effects[0] == pytest.approx(effect, abs=4 * spread)
    assert simulated.true_effects.std() == pytest.approx(effect, rel=0.02)  # heterogeneity 1


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_an_effect_of_zero_is_zero_for_every_unit(outcome):
    simulated = simulate(outcome=outcome, effect=0, n_arms=3, seed=3)
    assert not simulated.true_effects.any()
    assert (simulated.potential == simulated.potential[:, [0]]).all()


def test_without_heterogeneity_everybody_has_the_same_effect():
    simulated = simulate(outcome="normal", effect=(0.2, 0.4), n_arms=3, heterogeneity=0)
    np.testing.assert_allclose(simulated.true_effects, np.tile([0.2, 0.4], (10_000, 1)))


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_confounding_misleads_a_difference_of_means_but_not_the_true_propensities(outcome):
    simulated = simulate(outcome=outcome, propensity="confounded", n_units=60_000, seed=4)
    trial, truth = simulated.trial, simulated.average_effects[0]
    naive, naive_error = next(naive_effects(trial))
    assert abs(naive - truth) > 4 * naive_error
    y = trial.outcomes["outcome"]
    weighted = y * (
        (trial.arm == 1) / trial.propensity[:, 1] - (trial.arm == 0) / trial.propensity[:, 0]
    )
    std_error = weighted.std(ddof=1) / np.sqrt(trial.n_units)
    assert weighted.mean() == pytest.approx(truth, abs=4 * std_error)


def test_the_trial_shows_the_potential_outcome_of_the_arm_received():
    simulated = simulate(outcome="revenue", n_arms=4, n_units=500)
    trial = simulated.trial
    np.testing.assert_array_equal(
        trial.outcomes["outcome"], simulated.potential[np.arange(500), trial.arm]
    )


def test_revenue_is_mostly_zero_and_heavy_tailed():
    spend = simulate(outcome="revenue", n_units=50_000).potential[:, 0]
    assert (spend == 0).mean() > 0.7
    top = np.sort(spend)[-500:].sum() / spend.sum()
    assert top > 0.2  # one customer in a hundred holds a fifth of the money


def test_clusters_share_an_arm_and_their_outcomes_are_correlated():
    trial = simulate(outcome="normal", cluster_size=4, n_units=8_000, effect=0, seed=5).trial
    assert (np.ptp(trial.arm.reshape(-1, 4), axis=1) == 0).all()
    y = trial.outcomes["outcome"].reshape(-1, 4)
    inflation = y.mean(axis=1).var(ddof=1) / (y.var(ddof=1) / 4)
    assert inflation > 1.3  # design effect of a mean, 1 without clusters
    alone = simulate(outcome="normal", n_units=8_000, effect=0, seed=5).trial
    y = alone.outcomes["outcome"].reshape(-1, 4)
    assert y.mean(axis=1).var(ddof=1) / (y.var(ddof=1) / 4) == pytest.approx(1, abs=0.1)


def test_arms_get_their_shares():
    trial = simulate(n_arms=3, shares=(0.2, 0.3, 0.5), n_units=20_000).trial
    observed = np.bincount(trial.arm) / 20_000
    np.testing.assert_allclose(observed, [0.2, 0.3, 0.5], atol=4 * np.sqrt(0.25 / 20_000))


def test_a_seed_gives_the_same_trial_again_and_another_seed_another():
    first, again, other = (simulate(n_units=300, seed=seed) for seed in (6, 6, 7))
    np.testing.assert_array_equal(first.potential, again.potential)
    np.testing.assert_array_equal(first.trial.arm, again.trial.arm)
    assert not np.array_equal(first.trial.features, other.trial.features)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"n_arms": 1}, "ARM_MISSING"),
        ({"shares": (0.5, 0.6)}, "WEIGHTS_INVALID"),
        ({"effect": (0.1, 0.2)}, "LENGTH_MISMATCH"),
        ({"outcome": "clicks"}, "CHOICE_UNKNOWN"),
        ({"n_features": 2}, "SIZE_INVALID"),
    ],
)
def test_a_simulation_that_makes_no_sense_is_refused(arguments, code):
    with pytest.raises(DefinitionError) as refusal:
        simulate(**arguments)
    assert refusal.value.code == code


def test_a_simulated_trial_shows_itself():
    shown = str(simulate(n_units=300))
    assert "Simulated" in shown
    assert "treatment_1" in shown
    assert list(simulate(n_units=300).to_dict()) == ["average_effects"]
