"""Slopes of the effect along features."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from uplift.datasets import simulate
from uplift.errors import DataError
from uplift.explanation.projection import AVERAGE, best_linear_projection, terms_of
from uplift.models.train import train


@pytest.fixture(scope="module")
def trial():
    sim = simulate(n_units=2500, n_arms=3, outcome="normal", seed=4, cluster_size=2)
    rng = np.random.default_rng(0)
    features = sim.trial.features[["x0", "x1", "x2"]].assign(
        channel=rng.choice(["web", "shop", "phone"], 2500, p=[0.5, 0.3, 0.2]),
        gap=np.where(rng.random(2500) < 0.2, np.nan, rng.random(2500)),
    )
    y = sim.trial.outcomes["outcome"] + 1.5 * (sim.trial.arm == 1) * features["x2"]
    return replace(sim.trial, features=features, outcomes={"outcome": y.to_numpy()})


@pytest.fixture(scope="module")
def suite(trial):
    return train(trial, ["s"], n_folds=2)


def test_slopes_are_those_of_statsmodels_on_the_same_scores(suite, trial):
    found = best_linear_projection(suite, trial, ["x2", "channel", "gap"])
    gap, channel = trial.features["gap"], trial.features["channel"]
    columns = np.column_stack(
        [
            trial.features["x2"],
            channel == "phone",
            channel == "shop",
            gap.fillna(gap.mean()),
            gap.isna(),
        ]
    ).astype(float)
    columns = np.column_stack([np.ones(len(columns)), columns - columns.mean(axis=0)])
    terms = [AVERAGE, "x2", "channel = phone", "channel = shop", "gap", "gap unknown"]
    for k, treatment in enumerate(trial.arms[1:]):
        other = sm.OLS(suite.scores[:, k], columns).fit(
            cov_type="cluster", cov_kwds={"groups": trial.cluster}
        )
        mine = [slope for slope in found.slopes if slope.treatment == treatment]
        assert [slope.term for slope in mine] == terms
        np.testing.assert_allclose([s.value for s in mine], other.params, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose([s.std_error for s in mine], other.bse, rtol=1e-10)
    assert found.errors == "robust, by cluster"


def test_the_average_customer_has_the_effect_of_the_campaign(suite, trial):
    found = best_linear_projection(suite, trial)
    for k, treatment in enumerate(trial.arms[1:]):
        mean = next(s for s in found.slopes if (s.treatment, s.term) == (treatment, AVERAGE))
        assert mean.value == pytest.approx(suite.scores[:, k].mean(), rel=1e-10)


def test_a_planted_slope_is_found_and_shown(suite, trial):
    found = best_linear_projection(suite, trial, ["x2", "gap"])
    slope = next(s for s in found.slopes if (s.treatment, s.term) == (trial.arms[1], "x2"))
    assert slope.ci[0] < 1.5 < slope.ci[1] or abs(slope.value - 1.5) < 4 * slope.std_error
    assert slope.p_value < 1e-6
    assert "x2" in str(found)
    assert "HC3" not in str(found)


def test_units_in_another_order_give_the_same_slopes(suite, trial):
    order = np.random.default_rng(0).permutation(trial.n_units)
    moved = replace(
        trial,
        units=trial.units[order],
        features=trial.features.iloc[order].reset_index(drop=True),
        arm=trial.arm[order],
        outcomes={"outcome": trial.outcomes["outcome"][order]},
        propensity=trial.propensity[order],
        cluster=trial.cluster[order],
    )
    ours, others = (best_linear_projection(suite, t, ["x2"]) for t in (trial, moved))
    for a, b in zip(ours.slopes, others.slopes, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-9)
        assert a.std_error == pytest.approx(b.std_error, rel=1e-9)


def test_unknown_features_and_sums_of_others_are_refused(suite, trial):
    with pytest.raises(DataError, match="x9") as caught:
        best_linear_projection(suite, trial, ["x9"])
    assert caught.value.code == "FEATURE_MISSING"
    doubled = replace(trial, features=trial.features.assign(again=2 * trial.features["x0"]))
    with pytest.raises(DataError) as caught:
        best_linear_projection(suite, doubled, ["x0", "again"])
    assert caught.value.code == "PROJECTION_COLLINEAR"


def test_a_number_known_for_nobody_else_is_left_out(trial):
    frame = trial.features.assign(flag=np.where(trial.features["x0"] > 0, 1.0, np.nan))
    names, columns = terms_of(frame[["flag", "x1"]])
    assert names == [AVERAGE, "flag unknown", "x1"]
    assert columns.shape == (2500, 3)
