"""Bands of a continuous dose find a known curve, and refuse what cannot tell one."""

import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from uplift.errors import DataError, DefinitionError
from uplift.models.dose import DoseResponse
from uplift.models.forest import CausalForest
from uplift.models.learners import SLearner, TLearner

N = 6000


def curve(dose):
    """Each point of discount brings less than the one before."""
    return 2 * np.sqrt(dose / 20)


@pytest.fixture(scope="module")
def drawn():
    """Doses drawn from 0, 5, 10 and 20; the response is larger for some, by x0."""
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.standard_normal((N, 3)), columns=["x0", "x1", "x2"])
    dose = rng.choice([0.0, 5, 10, 20], N)
    strength = 1 + (X["x0"] > 0).to_numpy()
    y = X["x1"].to_numpy() + strength * curve(dose) + rng.standard_normal(N)
    return X, y, dose, strength


@pytest.fixture(scope="module")
def on_drawn(drawn):
    X, y, dose, _ = drawn
    model = DoseResponse(edges=[5, 10, 20], assignment="randomised", n_folds=2)
    return model.fit(X, y, dose)


def test_the_average_curve_is_the_true_one(drawn, on_drawn):
    found = on_drawn.average_curve()
    np.testing.assert_allclose(found.doses, [0, 5, 10, 20])
    assert (found.effects[0], *found.ci[0]) == (0, 0, 0)
    truth = drawn[3].mean() * curve(found.doses)
    assert (np.abs(found.effects - truth)[1:] < 4 * found.std_errors[1:]).all()
    assert found.n_units.sum() == N
    assert "Dose and response" in str(found.table())


def test_each_customer_has_a_curve_of_its_own(drawn, on_drawn):
    X, _, _, strength = drawn
    effects = on_drawn.predict(X)
    assert effects.shape == (N, 3)
    truth = strength[:, None] * curve(np.array([5, 10, 20]))
    assert np.corrcoef(effects.ravel(), truth.ravel())[0, 1] > 0.85
    between = on_drawn.predict_curve(X.head(50), [0, 5, 7.5, 20])
    np.testing.assert_allclose(between[:, 0], 0)
    np.testing.assert_allclose(between[:, [1, 3]], effects[:50, [0, 2]])
    np.testing.assert_allclose(between[:, 2], effects[:50, :2].mean(axis=1))


def targeted(seed, n=N):
    """Doses that go to those who spend anyway; the chance of each band is known."""
    rng = np.random.default_rng(seed)
    spender = rng.standard_normal(n)
    chance = special.softmax(np.outer(spender, [-0.7, 0.0, 0.7]), axis=1)
    band = (rng.random(n)[:, None] > chance.cumsum(axis=1)[:, :-1]).sum(axis=1)
    dose = np.array([0.0, 10, 20])[band]
    y = 2 * spender + 0.1 * dose + rng.standard_normal(n)
    return spender, chance, dose, y, rng.standard_normal((n, 2))


def test_propensities_by_design_remove_what_doses_were_chosen_by():
    """Doses taken for random are wrong on the same units: the check must be able to fail."""
    _, chance, dose, y, noise = targeted(2)
    model = DoseResponse(edges=[10, 20], assignment="randomised", n_folds=2)
    known = clone(model).fit(noise, y, dose, propensity=chance).average_curve()
    assert (np.abs(known.effects - [0, 1, 2])[1:] < 4 * known.std_errors[1:]).all()
    wrong = clone(model).fit(noise, y, dose).average_curve()
    assert (np.abs(wrong.effects - [0, 1, 2])[1:] > 4 * wrong.std_errors[1:]).all()


def test_propensities_are_estimated_where_somebody_chose_the_doses():
    spender, chance, dose, y, noise = targeted(3)
    X = np.column_stack([spender, noise])
    model = DoseResponse(edges=[10, 20], n_folds=2).fit(X, y, dose)
    found = model.average_curve()
    assert (np.abs(found.effects - [0, 1, 2])[1:] < 4 * found.std_errors[1:] + 0.05).all()
    raw = np.array([y[dose == d].mean() for d in (0, 10, 20)])
    assert (np.abs(raw - raw[0] - [0, 1, 2])[1:] > 0.5).all()
    estimated = model._design.propensity
    np.testing.assert_allclose(estimated.sum(axis=1), 1)
    assert np.corrcoef(estimated[:, 2], chance[:, 2])[0, 1] > 0.95
    assert (model.overlap_.share_without < 0.05).all()


def test_the_mean_dose_of_a_band_is_that_of_all_units():
    """Within a band too, larger doses went to spenders; the curve is at what all would get."""
    rng = np.random.default_rng(4)
    rich = rng.integers(0, 2, N)
    chance = np.where(rich[:, None] == 1, [0.2, 0.8], [0.8, 0.2])
    band = (rng.random(N) < chance[:, 1]).astype(int)
    dose = np.where(band == 1, np.where(rich == 1, 30.0, 10.0), 0.0)
    y = 0.1 * dose + rich + rng.standard_normal(N)
    X = rng.standard_normal((N, 2))
    model = DoseResponse(edges=[10], assignment="randomised", n_folds=2)
    found = model.fit(X, y, dose, propensity=chance).average_curve()
    assert found.doses[1] == pytest.approx(20, abs=0.5)
    assert found.effects[1] == pytest.approx(2, abs=4 * found.std_errors[1])


def test_units_without_a_dose_are_the_reference_and_others_are_cut_at_quantiles():
    rng = np.random.default_rng(5)
    dose = np.where(rng.random(900) < 1 / 3, 0.0, rng.uniform(1, 4, 900))
    X, y = rng.standard_normal((900, 2)), rng.standard_normal(900)
    model = DoseResponse(n_bands=4, assignment="randomised", n_folds=2).fit(X, y, dose)
    counts = model.average_curve().n_units
    assert counts[0] == (dose == 0).sum()
    assert np.ptp(counts[1:]) <= 2
    everyone = DoseResponse(n_bands=3, assignment="randomised", n_folds=2).fit(X, y, dose + 1)
    np.testing.assert_array_equal(everyone.edges_, [np.quantile(dose + 1, 2 / 3, method="higher")])
    tied = DoseResponse(n_bands=6, assignment="randomised", n_folds=2)
    tied.fit(X, y, np.where(dose > 0, np.ceil(dose / 2), 0))  # two doses that occur
    np.testing.assert_allclose(tied.doses_, [0, 1, 2])
    rare = DoseResponse(n_bands=3, assignment="randomised", n_folds=2)
    np.testing.assert_array_equal(rare.fit(X, y, np.where(dose > 3.2, 2, 1)).edges_, [2])


def test_a_monotone_curve_is_the_same_effects_in_order(drawn):
    X, _, dose, _ = drawn
    noise = np.random.default_rng(6).standard_normal(N)
    plain = DoseResponse(edges=[5, 10, 20], assignment="randomised", n_folds=2).fit(X, noise, dose)
    effects, average = plain.predict(X), plain.average_curve()
    for direction, sign in (("up", 1), ("down", -1)):
        model = plain.set_params(monotone=direction)
        assert (sign * np.diff(model.predict(X), axis=1) >= 0).all()
        np.testing.assert_allclose(np.sort(model.predict(X)), np.sort(effects))
        ordered = model.average_curve()
        assert (sign * np.diff(ordered.effects[1:]) >= 0).all()
        np.testing.assert_allclose(np.sort(ordered.ci[1:, 0]), np.sort(average.ci[1:, 0]))
        assert (ordered.ci[:, 0] <= ordered.effects).all()
        assert (ordered.ci[:, 1] >= ordered.effects).all()


@pytest.mark.parametrize(
    "learner", [SLearner(), TLearner(base=LinearRegression())], ids=["s", "linear t"]
)
def test_any_learner_learns_the_bands(drawn, learner):
    X, y, dose, _ = drawn
    model = DoseResponse(learner=learner, edges=[5, 10, 20], assignment="randomised", n_folds=2)
    effects = model.fit(X, y, dose).predict(X)
    np.testing.assert_allclose(effects.mean(axis=0), 1.5 * curve(np.array([5, 10, 20])), atol=0.25)
    assert not hasattr(learner, "encoder_")  # a clone learned


def test_intervals_per_customer_come_from_a_forest(drawn, on_drawn):
    X, y, dose, _ = drawn
    forest = CausalForest(n_trees=40, min_leaf=50)
    model = DoseResponse(learner=forest, edges=[10], assignment="randomised", n_folds=2)
    ends = model.fit(X, y, dose).predict_interval(X.head(20))
    assert ends.shape == (20, 1, 2)
    effects = model.predict(X.head(20))
    assert ((ends[..., 0] <= effects) & (effects <= ends[..., 1])).all()
    with pytest.raises(DefinitionError, match="CausalForest") as caught:
        on_drawn.predict_interval(X.head(20))
    assert caught.value.code == "INTERVAL_NOT_MODELLED"


def test_weights_and_clusters_count_in_the_curve(drawn):
    X, y, dose, strength = drawn
    weight = np.where(strength == 2, 3.0, 1.0)
    model = DoseResponse(edges=[5, 10, 20], assignment="randomised", n_folds=2)
    heavy = clone(model).fit(X, y, dose, sample_weight=weight, cluster=np.arange(N)).average_curve()
    expected = np.average(strength, weights=weight) * curve(np.array([5, 10, 20]))
    assert (np.abs(heavy.effects[1:] - expected) < 4 * heavy.std_errors[1:]).all()


@pytest.mark.parametrize(
    ("parameters", "spoil", "why"),
    [
        ({}, lambda dose: np.where(np.arange(N) == 3, np.nan, dose), "first in row 4"),
        ({}, lambda dose: np.where(np.arange(N) == 3, np.inf, dose), "infinite"),
        ({}, lambda dose: np.where(np.arange(N) == 3, -1.0, dose), "below 0"),
        ({}, lambda dose: np.array(["much"] * N), "numbers"),
        ({}, lambda dose: np.full(N, 5.0), "the same"),
        ({"edges": [10, 5]}, lambda dose: dose, "ascend"),
        ({"edges": []}, lambda dose: dose, "finite numbers"),
        ({"edges": [5, 100]}, lambda dose: dose, "from 100 has 0"),
        ({"edges": [0]}, lambda dose: dose, "the lowest dose has 0"),
        ({"n_bands": 1}, lambda dose: dose, "2 or more"),
    ],
)
def test_doses_and_bands_that_tell_nothing_are_refused(drawn, parameters, spoil, why):
    X, y, dose, _ = drawn
    with pytest.raises(DataError, match=why) as caught:
        DoseResponse(**parameters).fit(X, y, spoil(dose))
    assert caught.value.code == "DOSE_INVALID"


def test_doses_that_follow_from_the_features_are_refused(drawn):
    X, y, _, _ = drawn
    noisy = X["x0"] + 0.3 * np.random.default_rng(7).standard_normal(N)
    with pytest.raises(DataError, match="next to no chance") as caught:
        DoseResponse(n_bands=3, n_folds=2).fit(X, y, np.exp(noisy))
    assert caught.value.code == "OVERLAP_MISSING"


def test_what_was_not_seen_or_not_learned_is_not_answered(drawn, on_drawn):
    X = drawn[0].head(5)
    with pytest.raises(DataError, match="0 to 20") as caught:
        on_drawn.predict_curve(X, [10, 40])
    assert caught.value.code == "DOSE_INVALID"
    with pytest.raises(DefinitionError) as caught:
        on_drawn.average_curve(confidence=95)
    assert caught.value.code == "CONFIDENCE_INVALID"
    for wrong in ({"assignment": "chosen"}, {"monotone": True}):
        with pytest.raises(DefinitionError, match=next(iter(wrong))) as caught:
            DoseResponse(**wrong).fit(*drawn[:3])
        assert caught.value.code == "CHOICE_UNKNOWN"
    with pytest.raises(NotFittedError):
        DoseResponse().predict(X)
    assert clone(on_drawn).get_params()["edges"] == [5, 10, 20]
