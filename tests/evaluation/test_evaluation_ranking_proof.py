"""Is a ranking proven? Size and power of the test, coverage of the intervals, the naive variant."""

import numpy as np
import pytest
from scipy.stats import rankdata

from uplift.evaluation.calibration import slope_of
from uplift.evaluation.curves import qini, qini_weights, rank_units, within_folds
from uplift.evaluation.heterogeneity import fold_dependence, no_ranking_p_value
from uplift.evaluation.resampling import half_sample_errors

N_FOLDS = 5


def linear(X, y, at):
    with_one = np.column_stack([np.ones(len(X)), X])
    beta = np.linalg.lstsq(with_one, y, rcond=None)[0]
    return np.column_stack([np.ones(len(at)), at]) @ beta


def boosted(X, y, at):
    import lightgbm

    options = {"num_leaves": 8, "learning_rate": 0.1, "verbosity": -1, "num_threads": 1}
    return lightgbm.train(options, lightgbm.Dataset(X, y), 30).predict(at)


def cross_fitted(seed, *, slope, fit=linear, n_units=600, n_features=5):
    """Scores, out-of-fold effects of a T-learner, and folds; the effect is 0.3 + slope * x."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_units, n_features))
    arm = rng.integers(0, 2, n_units)
    y = X[:, 0] + rng.normal(size=n_units) + arm * (0.3 + slope * X[:, 1])
    fold = rng.permutation(n_units) % N_FOLDS
    means = np.empty((n_units, 2))
    for number in range(N_FOLDS):
        for k in (0, 1):
            known = (fold != number) & (arm == k)
            means[fold == number, k] = fit(X[known], y[known], X[fold == number])
    effects = means[:, 1] - means[:, 0]
    residual = (y - means[np.arange(n_units), arm]) / 0.5
    return effects + np.where(arm == 1, residual, -residual), effects, fold


def p_value(scores, effects, fold, *, dependence):
    weights = qini_weights(rank_units(within_folds(effects, fold)))
    return no_ranking_p_value(scores, weights, fold=fold, dependence=dependence)


def test_without_heterogeneity_a_trained_ranking_is_proven_5_percent_of_the_time_at_most():
    drawn = [cross_fitted(seed, slope=0) for seed in range(800)]
    valid = np.mean([p_value(*d, dependence=fold_dependence(N_FOLDS)) < 0.05 for d in drawn])
    naive = np.mean([p_value(*d, dependence=1.0) < 0.05 for d in drawn])
    error = np.sqrt(0.05 * 0.95 / len(drawn))
    assert valid < 0.05 + 2 * error
    assert naive > 0.05 + 5 * error  # treating folds as independent must fail


@pytest.mark.slow
def test_without_heterogeneity_boosted_trees_are_proven_5_percent_of_the_time_at_most():
    drawn = [cross_fitted(seed, slope=0, fit=boosted, n_units=1000) for seed in range(300)]
    valid = np.mean([p_value(*d, dependence=fold_dependence(N_FOLDS)) < 0.05 for d in drawn])
    assert valid < 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(drawn))


def test_an_in_sample_ranking_of_noise_looks_proven_and_must_not_be_used():
    proven = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scores, X = rng.normal(size=400), rng.normal(size=(400, 20))
        fold = np.zeros(400, dtype=np.int64)
        proven += p_value(scores, linear(X, scores, X), fold, dependence=1.0) < 0.05
    assert proven > 35


def test_planted_heterogeneity_is_found():
    found = [
        p_value(*cross_fitted(seed, slope=0.5), dependence=fold_dependence(N_FOLDS)) < 0.05
        for seed in range(40)
    ]
    assert np.mean(found) > 0.9


def test_a_ranking_from_elsewhere_is_tested_at_its_nominal_level():
    rng = np.random.default_rng(0)
    fold = np.zeros(300, dtype=np.int64)
    rejected = [
        p_value(rng.normal(size=300), rng.normal(size=300), fold, dependence=fold_dependence(1))
        < 0.05
        for _ in range(1500)
    ]
    assert np.mean(rejected) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 1500))


def test_the_closed_form_null_error_of_the_qini_area_is_the_one_of_the_theory():
    rng = np.random.default_rng(1)
    areas = [qini(rng.normal(size=400) * 5, rank_units(rng.normal(size=400))) for _ in range(2000)]
    expected = 5 * np.sqrt(1 / 12 / 400)
    assert np.std(areas) == pytest.approx(expected, rel=4 / np.sqrt(2 * 2000))


@pytest.mark.parametrize("kind", ["distinct", "tied", "weighted"])
def test_half_sample_intervals_cover_the_true_area(kind):
    covered = 0
    n_units, n_trials = 400, 300
    for seed in range(n_trials):
        rng = np.random.default_rng(seed)
        x = rng.random(n_units)
        scores = 2 * x + rng.normal(size=n_units)
        weight = rng.exponential(size=n_units) + 0.5 if kind == "weighted" else None
        score = np.floor(x * 4) if kind == "tied" else x
        truth = (1 - 1 / 16) / 6 if kind == "tied" else 1 / 6  # E over four equal steps
        ranking = rank_units(score)
        spread = half_sample_errors(
            {"x": (ranking, scores)}, weight=weight, n_bootstrap=60, seed=seed
        )["x"]
        covered += abs(qini(scores, ranking, weight=weight) - truth) < 1.96 * spread.qini
    band = 3 * np.sqrt(0.95 * 0.05 / n_trials)
    assert covered / n_trials == pytest.approx(0.945, abs=band + 0.005)


def test_copies_of_a_cluster_bring_no_precision():
    rng = np.random.default_rng(2)
    scores, score = rng.normal(size=500), rng.normal(size=500)
    cluster = np.tile(np.arange(500), 3)
    once = half_sample_errors({"x": (rank_units(score), scores)}, seed=1)["x"]
    thrice = {"x": (rank_units(np.tile(score, 3)), np.tile(scores, 3))}
    clustered = half_sample_errors(thrice, cluster=cluster, seed=1)["x"]
    naive = half_sample_errors(thrice, seed=1)["x"]
    assert clustered.qini == pytest.approx(once.qini, rel=1e-6)
    assert naive.qini < 0.7 * clustered.qini


def test_draws_are_shared_and_repeat_for_a_seed():
    rng = np.random.default_rng(3)
    ranked = {k: (rank_units(rng.normal(size=200)), rng.normal(size=200)) for k in "ab"}
    both = half_sample_errors(ranked, seed=9, n_bootstrap=20)
    alone = half_sample_errors({"b": ranked["b"]}, seed=9, n_bootstrap=20)
    assert both["b"].qini == alone["b"].qini
    assert both["b"].qini != half_sample_errors(ranked, seed=8, n_bootstrap=20)["b"].qini


def test_the_calibration_slope_equals_statsmodels_with_robust_errors():
    import statsmodels.api as sm

    rng = np.random.default_rng(4)
    effects = rng.normal(size=800)
    scores = 0.4 * effects + rng.normal(size=800) * (1 + effects**2)
    fold = np.zeros(800, dtype=np.int64)
    ours = slope_of(scores[:, None], effects[:, None], fold=fold)
    theirs = sm.OLS(scores, sm.add_constant(effects)).fit(cov_type="HC0")
    assert ours.value == pytest.approx(theirs.params[1], rel=1e-10)
    assert ours.std_error == pytest.approx(theirs.bse[1], rel=1e-10)


@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_the_calibration_interval_covers_a_slope_of_0_and_of_1(truth):
    covered = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        effects, fold = rng.normal(size=(300, 2)), rng.integers(0, 5, 300)
        scores = truth * effects + rng.normal(size=(300, 2)) * 2
        low, high = slope_of(scores, effects, fold=fold).ci
        covered += low <= truth <= high
    assert covered / 400 == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 400))


def test_constant_effects_have_no_slope():
    rng = np.random.default_rng(5)
    fold = rng.integers(0, 5, 300)
    slope = slope_of(rng.normal(size=(300, 1)), np.full((300, 1), 0.1) + fold[:, None], fold=fold)
    assert np.isnan(slope.value)


def test_places_equal_the_ranks_of_scipy():
    score = np.random.default_rng(6).integers(0, 9, 100).astype(float)
    places = within_folds(score, np.zeros(100, dtype=np.int64))
    assert places == pytest.approx((rankdata(score) - 0.5) / 100)
