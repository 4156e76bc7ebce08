"""Suites built by hand, whose truth is known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from uplift.economics import Economics
from uplift.inference.doubly_robust import aipw_outcomes
from uplift.suite import Candidate, Suite
from uplift.trial import Trial

ARMS = ("control", "email", "post")
ECONOMICS = Economics(
    currency="EUR",
    value_outcome="spend",
    margin_rate=0.4,
    redemption_outcome="redeemed",
    contact_cost={"email": 0.1, "post": 0.9},
    redemption_cost={"email": 2.0, "post": 2.0},
)


class NoModel:
    """Stands for a model that production would use; predicts the first two features."""

    def predict(self, X):
        return np.asarray(X, dtype=np.float64)[:, :2]


@dataclass
class Made:
    """A trial, its suite and the truth behind them."""

    trial: Trial
    suite: Suite
    effect: np.ndarray  # (n_units, 2) true effects on spend


def oracle_suite(
    effect,
    *,
    seed=0,
    economics=ECONOMICS,
    noise=1.0,
    learner=None,
    weight=None,
    cluster=None,
    n_folds=5,
) -> Made:
    """Units with known effects; the learner predicts the truth unless its effects are given."""
    rng = np.random.default_rng(seed)
    n_units = len(effect)
    features = pd.DataFrame(rng.normal(size=(n_units, 2)), columns=["a", "b"])
    arm = rng.integers(0, 3, n_units)
    means = 5 + np.column_stack([np.zeros(n_units), effect])
    rows = np.arange(n_units)
    outcomes = {
        "spend": means[rows, arm] + rng.normal(size=n_units) * noise,
        "redeemed": ((rng.random(n_units) < 0.3) & (arm > 0)).astype(np.float64),
    }
    propensity = np.full((n_units, 3), 1 / 3)
    predicted = {
        "spend": np.full((n_units, 3), 5.0),
        "redeemed": np.tile([0.0, 0.3, 0.3], (n_units, 1)),
    }
    dr = {
        name: aipw_outcomes(
            outcome=outcomes[name], arm=arm, propensity=propensity, predicted=predicted[name]
        )
        for name in outcomes
    }
    fold = rng.permutation(n_units) % n_folds
    if cluster is not None:
        fold = cluster % n_folds
    shape = effect.shape
    candidates = [
        Candidate("constant", "baseline", "effect", np.zeros(shape), NoModel()),
        Candidate("random", "baseline", "ranking", rng.normal(size=shape), NoModel()),
        Candidate("rule", "baseline", "ranking", rng.normal(size=shape), NoModel()),
        Candidate("response", "baseline", "ranking", rng.normal(size=shape), NoModel()),
        Candidate("t", "learner", "effect", effect if learner is None else learner, NoModel()),
    ]
    units = np.array([f"u{i:06d}" for i in range(n_units)], dtype=object)
    trial = Trial(
        units=units,
        features=features,
        arms=ARMS,
        arm=arm,
        outcomes=outcomes,
        propensity=propensity,
        primary="spend",
        economics=economics,
        weight=weight,
        cluster=cluster,
    )
    suite = Suite(
        outcome="spend",
        arms=ARMS,
        features=("a", "b"),
        units=units,
        fold=fold,
        predicted=predicted,
        dr_outcomes=dr,
        candidates={candidate.name: candidate for candidate in candidates},
    )
    return Made(trial, suite, effect)


@pytest.fixture(scope="session")
def make() -> Callable[..., Made]:
    """Builds a suite from true effects."""
    return oracle_suite


@pytest.fixture(scope="session")
def crossing() -> Made:
    """Half the units are worth an e-mail and harmed by post, the other half the reverse."""
    side = np.random.default_rng(5).choice([-1.0, 1.0], 6000)
    return oracle_suite(np.column_stack([4 * side, -6 * side]), seed=1)
