"""Baselines say what is simplest to say, and nothing more."""

import numpy as np
import pandas as pd
import pytest

from uplift.datasets.simulation import simulate
from uplift.errors import DefinitionError
from uplift.models.baselines import ConstantEffect, RandomBaseline, ResponseModel, RuleBaseline


@pytest.fixture(scope="module")
def trial():
    return simulate(n_units=4000, n_arms=3, outcome="normal", seed=1).trial


def fitted(model, trial):
    return model.fit(trial.features, trial.outcomes["outcome"], trial.arm)


def test_a_random_ranking_knows_nothing_and_repeats_itself(trial):
    model = fitted(RandomBaseline(seed=4), trial)
    first = model.predict(trial.features)
    assert first.shape == (4000, 2)
    np.testing.assert_array_equal(first, model.predict(trial.features))
    assert abs(np.corrcoef(first[:, 0], trial.outcomes["outcome"])[0, 1]) < 4 / np.sqrt(4000)
    other = fitted(RandomBaseline(seed=5), trial).predict(trial.features)
    assert (first != other).all()


def test_the_constant_effect_is_one_number_per_treatment_near_the_truth():
    sim = simulate(n_units=2000, n_arms=3, outcome="normal", effect=(0.5, 1.0), seed=2)
    effects = fitted(ConstantEffect(), sim.trial).predict(sim.trial.features)
    assert len(np.unique(effects, axis=0)) == 1
    np.testing.assert_allclose(effects[0], sim.average_effects, atol=0.2)


def test_a_response_model_ranks_by_what_is_bought_under_treatment():
    sim = simulate(n_units=3000, outcome="normal", seed=3)
    scores = fitted(ResponseModel(), sim.trial).predict(sim.trial.features)[:, 0]
    assert np.corrcoef(scores, sim.expected[:, 1])[0, 1] > 0.8


def customers(n=1000):
    rng = np.random.default_rng(6)
    return pd.DataFrame(
        {
            "recency_days": rng.integers(0, 100, n).astype(float),
            "baskets_90d": rng.poisson(3, n).astype(float),
            "spend_90d": rng.exponential(50, n),
            "age": rng.normal(40, 10, n),
        }
    )


def test_the_rule_reads_recency_frequency_and_spend_by_their_names():
    X = customers()
    arm = np.arange(1000) % 2
    model = RuleBaseline().fit(X, np.random.default_rng(0).random(1000), arm)
    expected = (
        X["recency_days"].rank(pct=True, ascending=False)
        + X["baskets_90d"].rank(pct=True)
        + X["spend_90d"].rank(pct=True)
    ) / 3
    found = model.predict(X)[:, 0]
    assert np.corrcoef(found, expected)[0, 1] > 0.999
    assert found.min() >= 0
    assert found.max() <= 1


def test_the_rule_may_be_told_its_columns():
    X = customers()
    arm = np.arange(1000) % 2
    y = np.random.default_rng(0).random(1000)
    found = RuleBaseline(spend="age").fit(X.drop(columns="spend_90d"), y, arm)
    assert found.predict(X.assign(age=99.0)).mean() > found.predict(X.assign(age=1.0)).mean()
    with pytest.raises(DefinitionError, match="nothing_like_it") as caught:
        RuleBaseline(spend="nothing_like_it").fit(X, y, arm)
    assert caught.value.code == "FEATURE_MISSING"


def test_without_such_columns_the_rule_is_the_strongest_feature():
    rng = np.random.default_rng(7)
    X = pd.DataFrame({"height": rng.random(1000), "debts": rng.random(1000)})
    y = -3 * X["debts"].to_numpy() + rng.random(1000)
    found = RuleBaseline().fit(X, y, np.arange(1000) % 2).predict(X)[:, 0]
    assert np.corrcoef(found, -X["debts"])[0, 1] > 0.999


def test_a_missing_figure_counts_as_the_lowest():
    X = customers()
    arm = np.arange(1000) % 2
    model = RuleBaseline().fit(X, np.random.default_rng(0).random(1000), arm)
    known, unknown = X.head(1), X.head(1).assign(spend_90d=np.nan)
    assert model.predict(unknown)[0, 0] < model.predict(known)[0, 0]
