"""Intervals of a forest cover what they say, and a variance cut off at zero does not.

Smooth effects, where smoothing costs little: of 95 % intervals, 92 to 97 in 100 must cover the
forest's own mean over data sets, and at least 90 the truth. Units are fixed, data sets are drawn.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from uplift.models.feature_rows import FeatureRows
from uplift.models.forest import CausalForest
from uplift.models.forest_errors import Uncertainty, raw_variance
from uplift.models.forest_reading import read_trees

pytestmark = pytest.mark.slow

N_DATA_SETS, N_UNITS, N_TEST = 20, 5000, 300
Z = 1.959964
DETAILED = CausalForest(n_trees=1000, min_leaf=5, max_depth=14, max_features=100)


@dataclass(frozen=True, eq=False)
class Readings:
    """Per data set and test unit: effect, standard error, and the variance as it is estimated."""

    effect: np.ndarray
    std_error: np.ndarray
    raw: np.ndarray
    truth: np.ndarray

    def covers(self, centre, std_error):
        return float(np.mean(np.abs(self.effect - centre) < Z * std_error))


def gentle(x):
    return 0.5 + 0.5 * x[:, 0] + 0.5 * np.sin(2 * x[:, 1])


def steep(x):
    return np.prod(1 + 1 / (1 + np.exp(-20 * (x[:, :2] - 1 / 3))), axis=1)


def drawn(effect, n, seed):
    """Uniform features, half treated, a mean that bends, unit noise."""
    rng = np.random.default_rng(seed)
    x, arm = rng.random((n, 6)), rng.integers(0, 2, n)
    mean = x[:, 2] + 2 * np.maximum(x[:, 3] - 0.5, 0)
    return x, arm, mean + (arm - 0.5) * effect(x) + rng.standard_normal(n)


@pytest.fixture(scope="module", params=[gentle, steep], ids=lambda effect: effect.__name__)
def readings(request):
    test = np.random.default_rng(999).random((N_TEST, 6))
    effects, errors, raw = [], [], []
    for seed in range(N_DATA_SETS):
        x, arm, y = drawn(request.param, N_UNITS, seed)
        model = DETAILED.set_params(seed=seed).fit(x, y, arm, propensity=0.5)
        effects.append(model.predict(test)[:, 0])
        errors.append(model.std_errors(test)[:, 0])
        mean = model.mean_.mean(FeatureRows.of(test))
        codes = model.bins_.encode([*test.T, mean], n_rows=N_TEST)
        spread = read_trees(model.trees_, codes, model._growth().draws(), spread=True).spread
        raw.append(raw_variance(spread, per_bag=model.trees_per_bag)[:, 0])
    return Readings(np.array(effects), np.array(errors), np.array(raw), request.param(test))


def test_intervals_cover_the_forests_own_mean_and_the_truth(readings):
    own = readings.covers(readings.effect.mean(axis=0), readings.std_error)
    truth = readings.covers(readings.truth, readings.std_error)
    assert 0.92 <= own <= 0.97
    assert truth >= 0.90


def test_the_same_check_refuses_a_variance_cut_off_at_zero(readings):
    clamped = np.sqrt(np.maximum(readings.raw, 0))
    own = readings.covers(readings.effect.mean(axis=0), clamped)
    assert own < 0.90


def test_the_raw_variance_is_right_on_average(readings):
    """Its mean over units and data sets is the variance of effects over data sets."""
    found = readings.effect.var(axis=0, ddof=1).mean()
    assert readings.raw.mean() == pytest.approx(found, rel=0.2)


def test_variances_that_differ_are_kept_and_noise_is_not():
    rng = np.random.default_rng(1)
    per_bag, n_bags, n_rows = 4, 100, 4000

    def spread_of(variance):
        """What bags of trees without chance inside a bag would show."""
        between = variance * rng.chisquare(n_bags, n_rows) / n_bags
        return np.stack([between, np.zeros(n_rows), np.full(n_rows, n_bags)], axis=1)[:, None]

    same = Uncertainty.fit(spread_of(np.ones(n_rows)), per_bag=per_bag, n_bags=n_bags)
    differ = Uncertainty.fit(
        spread_of(rng.choice([0.5, 1.5], n_rows)), per_bag=per_bag, n_bags=n_bags
    )
    assert same.kept[0] < 0.15
    assert differ.kept[0] > 0.85
    assert same.mean[0] == pytest.approx(1, abs=0.02)
