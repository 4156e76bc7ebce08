"""Revenue as buying times basket: when, how well, and never at the cost of an unbiased score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from uplift.datasets.simulation import simulate
from uplift.errors import DataError, DefinitionError, StateError
from uplift.inference.doubly_robust import aipw_outcomes, average
from uplift.models.boosting import bin_features
from uplift.models.contributions import contributions_of
from uplift.models.crossfit import Design, assign_folds, cross_fit
from uplift.models.learners import SLearner, TLearner, XLearner, arm_models_from
from uplift.models.score_learners import DRLearner, RLearner
from uplift.models.store import load_suite, save_suite
from uplift.models.train import train
from uplift.models.two_part import TwoPartModels, effect_parts, is_two_part, winsorised
from uplift.suite import effect_scores


@pytest.fixture(scope="module")
def sim():
    """A fifth buys; the effect is on who buys, and baskets are log-normal."""
    return simulate(n_units=8000, outcome="revenue", effect=1.0, seed=1)


@pytest.fixture(scope="module")
def t_learner(sim):
    return fitted(TLearner(), sim.trial)


def fitted(model, trial):
    y = trial.outcomes["outcome"]
    return model.fit(trial.features, y, trial.arm, propensity=trial.propensity)


@given(
    st.lists(st.tuples(*[st.floats(0, 1)] * 3, *[st.floats(0, 1e6)] * 3), min_size=1, max_size=20)
)
def test_the_parts_of_an_effect_add_up_to_it(rows):
    numbers = np.array(rows)
    buys, basket = numbers[:, :3], numbers[:, 3:]
    parts = effect_parts(buys, basket)
    assert parts.shape == (len(rows), 2, 2)
    whole = effect_scores(buys * basket)
    np.testing.assert_allclose(parts.sum(axis=-1), whole, rtol=0, atol=1e-9 * (1 + basket.max()))


def test_a_part_that_does_not_change_is_nothing():
    buys, basket = np.array([[0.1, 0.2], [0.1, 0.1]]), np.array([[30.0, 30.0], [30.0, 40.0]])
    np.testing.assert_allclose(effect_parts(buys, basket)[:, 0], [[3.0, 0.0], [0.0, 1.0]])


def test_an_outcome_of_mostly_nothing_and_many_amounts_has_two_parts():
    rng = np.random.default_rng(0)
    spend = np.where(rng.random(2000) < 0.2, rng.lognormal(3, 1, 2000), 0.0)
    assert is_two_part(spend)
    assert not is_two_part((spend > 0).astype(float))  # a conversion
    assert not is_two_part(np.ceil(spend / spend.max() * 5))  # a count
    assert not is_two_part(np.where(spend > 0, spend, 1.0))  # nobody spends nothing
    assert not is_two_part(np.where(rng.random(2000) < 0.2, 0.0, spend + 1))  # most buy
    assert not is_two_part(spend - 1)  # losses
    assert not is_two_part(spend[:200])  # too few baskets
    assert not is_two_part(np.empty(0))


def test_winsorised_baskets_keep_their_mean_and_copies_count_as_weights():
    baskets = np.random.default_rng(1).lognormal(3, 1.5, 500)
    capped, scale = winsorised(baskets, None)
    assert capped.max() == np.sort(baskets)[494]  # the 495th of 500
    assert scale * capped.mean() == pytest.approx(baskets.mean())
    twice = np.where(np.arange(500) % 3 == 0, 2, 1)
    by_rows, scale_by_rows = winsorised(np.repeat(baskets, twice), None)
    by_weight, scale_by_weight = winsorised(baskets, twice.astype(float))
    np.testing.assert_array_equal(np.repeat(by_weight, twice), by_rows)
    assert scale_by_weight == pytest.approx(scale_by_rows)


@pytest.mark.parametrize("learner", [SLearner, TLearner], ids=lambda kind: kind.__name__)
def test_two_parts_find_who_is_moved_better_than_one(learner, sim, t_learner):
    found = {}
    for two_part in (None, False):
        model = t_learner if learner is TLearner and two_part is None else learner()
        if model is not t_learner:
            fitted(model.set_params(two_part=two_part), sim.trial)
        effects = model.predict(sim.trial.features)[:, 0]
        found[two_part] = np.corrcoef(effects, sim.true_effects[:, 0])[0, 1]
    assert found[None] > found[False] + 0.05


def test_means_are_those_of_real_baskets(sim, t_learner):
    y, arm = sim.trial.outcomes["outcome"], sim.trial.arm
    means = t_learner.predict_outcomes(sim.trial.features).mean(axis=0)
    observed = [y[arm == k].mean() for k in range(2)]
    errors = [y[arm == k].std() / np.sqrt((arm == k).sum()) for k in range(2)]
    assert (np.abs(means - observed) < 3 * np.array(errors)).all()


def test_the_parts_of_a_learner_add_up_and_say_where_an_effect_comes_from(sim, t_learner):
    X = sim.trial.features
    parts = t_learner.predict_parts(X)
    np.testing.assert_allclose(parts.sum(axis=-1), t_learner.predict(X), rtol=0, atol=1e-12)
    conversion, basket = parts.mean(axis=(0, 1))
    assert conversion == pytest.approx(1.0, abs=0.5)
    assert conversion > 2 * abs(basket)  # only who buys was changed
    rng = np.random.default_rng(2)
    arm = rng.integers(0, 2, 8000)
    y = np.where(rng.random(8000) < 0.3, (20 + 10 * arm) * rng.lognormal(-0.1, 0.4, 8000), 0)
    conversion, basket = TLearner().fit(X, y, arm).predict_parts(X).mean(axis=(0, 1))
    assert basket == pytest.approx(3.0, abs=0.5)
    assert basket > 5 * abs(conversion)


def test_every_learner_of_outcomes_takes_two_parts_or_one(sim):
    small = simulate(n_units=2000, outcome="revenue", effect=1.0, seed=3).trial
    for learner in (XLearner(), DRLearner(n_folds=2), RLearner(n_folds=2)):
        two = fitted(learner, small).predict(small.features)
        one = fitted(learner.set_params(two_part=False), small).predict(small.features)
        assert np.isfinite(two).all()
        assert (two != one).any()


def test_an_arm_in_which_hardly_anybody_buys_borrows_the_baskets_of_the_others():
    trial = simulate(n_units=2000, outcome="revenue", n_arms=3, effect=0.0, seed=4).trial
    y = np.where(trial.arm == 2, 0.0, trial.outcomes["outcome"])
    y[np.flatnonzero(trial.arm == 2)[0]] = 12.5
    model = TLearner().fit(trial.features, y, trial.arm)
    assert isinstance(model.models_, TwoPartModels)
    assert model.models_.basket.corrections == ()
    means = model.predict_outcomes(trial.features).mean(axis=0)
    assert means[2] < 0.1 * means[0]


def test_what_has_no_two_parts_is_refused(sim):
    X, arm, y = sim.trial.features, sim.trial.arm, sim.trial.outcomes["outcome"]
    for wrong in (y - 1, np.where(np.arange(8000) < 50, y, 0)):
        with pytest.raises(DataError, match="two_part") as caught:
            TLearner(two_part=True).fit(X, wrong, arm)
        assert caught.value.code == "OUTCOME_NOT_TWO_PART"
    with pytest.raises(DefinitionError, match="two_part") as caught:
        TLearner(base=LinearRegression(), two_part=True).fit(X, y, arm)
    assert caught.value.code == "BASE_INVALID"
    for model in (TLearner(two_part=False, n_rounds=5), TLearner(base=LinearRegression())):
        with pytest.raises(StateError, match="one part") as caught:
            model.fit(X, y, arm).predict_parts(X)
        assert caught.value.code == "OUTCOME_NOT_TWO_PART"


def test_a_suite_models_revenue_in_two_parts_and_scores_the_real_outcome(tmp_path):
    trial = simulate(n_units=2000, outcome="revenue", effect=1.0, seed=5).trial
    suite = train(trial, ["s", "t", "dr", "forest", ("one", TLearner(two_part=False))],
                  n_folds=2)  # fmt: skip
    np.testing.assert_array_equal(
        suite.dr_outcomes["outcome"],
        aipw_outcomes(
            outcome=trial.outcomes["outcome"],
            arm=trial.arm,
            propensity=trial.propensity,
            predicted=suite.predicted["outcome"],
        ),
    )
    assert isinstance(suite.candidates["t"].model.models_, TwoPartModels)
    assert not isinstance(suite.candidates["one"].model.models_, TwoPartModels)
    parts = suite.candidates["t"].model.predict_parts(trial.features.head(9))
    again = load_suite(tmp_path, save_suite(suite, tmp_path))
    for name in ("s", "t", "dr", "forest", "one", "response"):
        X = trial.features.head(200)
        np.testing.assert_array_equal(
            again.candidates[name].model.predict(X), suite.candidates[name].model.predict(X)
        )
    np.testing.assert_array_equal(
        again.candidates["t"].model.predict_parts(trial.features.head(9)), parts
    )


@pytest.mark.parametrize("scale", [-1.0, 0.5, float("nan"), float("inf")])
def test_a_stored_scale_that_cannot_be_is_refused(t_learner, scale):
    constants, forests = t_learner.parts()
    with pytest.raises(ValueError, match="parts"):
        arm_models_from({**constants, "scale": scale}, forests)


def test_contributions_of_features_add_up_to_the_effect_of_two_parts(sim, t_learner):
    X = sim.trial.features.head(300)
    found = contributions_of(t_learner, X)
    np.testing.assert_allclose(found.effects, t_learner.predict(X), atol=1e-8)
    on_base = TLearner(base=LinearRegression())
    with pytest.raises(StateError) as caught:
        contributions_of(fitted(on_base, sim.trial), X)
    assert caught.value.code == "CONTRIBUTIONS_UNKNOWN"


# ---- never biased ----


def spenders(seed, n=4000):
    """One trial without an effect on the mean: treated baskets are rarer and larger, or smaller."""
    rng = np.random.default_rng(seed)
    X, arm = rng.standard_normal((n, 3)), rng.integers(0, 2, n)
    spread = np.where(arm == 1, 1.1, 0.4)
    basket = 30 * np.exp(0.3 * X[:, 1] + spread * rng.standard_normal(n) - spread**2 / 2)
    buys = rng.random(n) < 0.2 + 0.1 * (X[:, 0] > 0)
    return X, arm, np.where(buys, basket, 0.0)


def z_of_null(seed, *, winsorise_scores):
    X, arm, y = spenders(seed)
    design = Design(arm, np.full((len(arm), 2), 0.5))
    table = bin_features(X, categorical=(), arm=arm, n_arms=2)
    fold = assign_folds(design, n_folds=2, seed=seed)
    fit = cross_fit(table, design, {"spend": y}, fold=fold)
    assert isinstance(fit.arm_models["spend"][0], TwoPartModels)
    measured = y
    if winsorise_scores:
        measured = y.copy()
        measured[y > 0] = winsorised(y[y > 0], None)[0]
    scores = aipw_outcomes(
        outcome=measured, arm=arm, propensity=design.propensity, predicted=fit.predicted["spend"]
    )
    mean = average(effect_scores(scores)[:, 0])
    return mean.value / mean.std_error


@pytest.mark.slow
def test_scores_from_two_parts_are_unbiased_and_winsorised_scores_are_not():
    """Without an effect on the mean, and with one on the spread of baskets, which a cap shows."""
    seeds = range(150)
    z = np.array([z_of_null(seed, winsorise_scores=False) for seed in seeds])
    wrong = np.array([z_of_null(seed, winsorise_scores=True) for seed in seeds])
    bound = 3.5 / np.sqrt(len(z))
    assert abs(z.mean()) < bound + 0.15  # skewed baskets bend z by about this much
    assert (np.abs(z) < 1.96).mean() > 0.90
    assert abs(wrong.mean()) > bound + 0.15
