"""All views together, their charts, and what cannot be seen through."""

from dataclasses import replace

import numpy as np
import pytest

from uplift.datasets import simulate
from uplift.errors import DataError
from uplift.explanation.drivers import effect_drivers
from uplift.explanation.explain import explain
from uplift.models.forest import CausalForest
from uplift.models.learners import TLearner
from uplift.models.train import train


@pytest.fixture(scope="module")
def trial():
    sim = simulate(n_units=1500, n_arms=3, outcome="normal", seed=3, n_features=3)
    rng = np.random.default_rng(3)
    features = sim.trial.features.assign(channel=rng.choice(["web", "shop"], 1500))
    y = sim.trial.outcomes["outcome"] + 2 * (sim.trial.arm == 1) * (features["channel"] == "web")
    return replace(sim.trial, features=features, outcomes={"outcome": y.to_numpy()})


@pytest.fixture(scope="module")
def suite(trial):
    small = TLearner(n_rounds=50)
    return train(trial, [("t", small), ("forest", CausalForest(n_trees=8))], n_folds=2)


def test_drivers_add_up_customer_by_customer_and_name_the_level(suite, trial):
    found = effect_drivers(suite, trial, "t", n_customers=200)
    table = found.customers
    names = list(suite.features)
    np.testing.assert_allclose(table["base"] + table[names].sum(axis=1), table["effect"], atol=1e-9)
    rows = [np.flatnonzero(trial.units == unit)[0] for unit in table["unit"][:200]]
    model = suite.candidates["t"].model
    np.testing.assert_allclose(
        model.predict(trial.features.iloc[rows])[:, 0], table["effect"][:200], atol=1e-9
    )
    first = found.drivers[0]
    assert (first.treatment, first.feature) == (trial.arms[1], "channel")
    assert first.direction == "larger for web"
    assert len(table) == 400
    assert "channel" in str(found)
    assert "customers" not in found.to_dict()


def test_everything_is_said_and_drawn_at_once(suite, trial):
    found = explain(suite, trial, "t")
    assert len(found.views()) == 4
    assert not found.notices
    for words in ("What drives", "loses without", "linear projection", "questions"):
        assert words in str(found)
    picture = found.plot().svg()
    for arm in trial.arms[1:]:  # a chart per treatment
        assert f"drives the effect of {arm} most" in picture
    assert found.to_json() == explain(suite, trial, "t").to_json()


def test_a_forest_is_explained_by_the_other_views_with_a_notice(suite, trial):
    found = explain(suite, trial, "forest")
    assert found.drivers is None
    assert found.importance is not None
    assert [notice.code for notice in found.notices] == ["EXPLANATION_PARTIAL"]
    assert "EXPLANATION_PARTIAL" in str(found)


def test_a_candidate_that_is_not_there_is_refused(suite, trial):
    for function in (explain, effect_drivers):
        with pytest.raises(DataError, match="magic") as caught:
            function(suite, trial, "magic")
        assert caught.value.code == "CANDIDATE_UNKNOWN"
