"""Curves and areas against their definitions, brute force and scikit-uplift."""

import warnings

import numpy as np
import pytest

from uplift.errors import DataError
from uplift.evaluation.curves import (
    autoc,
    deciles,
    gain_curve,
    qini,
    rank_units,
    uplift_at,
    within_folds,
)
from uplift.evaluation.emulation import qini_as_scikit_uplift


def brute_force(scores, score):
    """Qini and AUTOC from TOC at every position, each score replaced by its tie-block mean."""
    shared = np.array([scores[score == value].mean() for value in score])
    ordered = shared[np.argsort(-score, kind="stable")]
    n = len(ordered)
    toc = [ordered[:i].mean() - scores.mean() for i in range(1, n + 1)]
    return sum(i / n * t for i, t in enumerate(toc, start=1)) / n, sum(toc) / n


@pytest.mark.parametrize("seed", range(40))
def test_areas_equal_brute_force_with_and_without_ties(seed):
    rng = np.random.default_rng(seed)
    for _ in range(10):
        n = int(rng.integers(1, 40))
        scores = rng.normal(size=n) * 10 ** rng.uniform(-3, 3)
        score = rng.normal(size=n) if rng.random() < 0.5 else rng.integers(0, 4, n).astype(float)
        ranking = rank_units(score)
        expected = brute_force(scores, score)
        scale = np.abs(scores).max()
        assert qini(scores, ranking) == pytest.approx(expected[0], abs=1e-12 * scale)
        assert autoc(scores, ranking) == pytest.approx(expected[1], abs=1e-12 * scale)


@pytest.mark.parametrize(
    ("sign", "expected"), [(1, (1 / 6, 1 / 2)), (-1, (-1 / 6, -1 / 2))], ids=["right", "reversed"]
)
def test_a_linear_effect_has_the_areas_of_the_theory(sign, expected):
    n = 200_000
    x = (np.arange(n) + 0.5) / n
    ranking = rank_units(sign * x)
    assert qini(2 * x, ranking) == pytest.approx(expected[0], abs=1e-6)
    assert autoc(2 * x, ranking) == pytest.approx(expected[1], abs=1e-4)
    assert uplift_at(2 * x, rank_units(x), share=0.5) == pytest.approx(1.5, abs=1e-6)


def test_a_normal_effect_has_the_areas_of_the_theory():
    from scipy.stats import norm

    n = 200_000
    effect = 3 * norm.ppf((np.arange(n) + 0.5) / n)
    ranking = rank_units(effect)
    assert autoc(effect, ranking) == pytest.approx(3 * 0.90320, rel=1e-3)
    assert qini(effect, ranking) == pytest.approx(3 * 0.28209, rel=1e-3)


def test_a_constant_ranking_scores_exactly_zero():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=997) * 1e6
    ranking = rank_units(np.full(997, 0.3))
    assert qini(scores, ranking) == 0
    assert autoc(scores, ranking) == 0
    fold = rng.permutation(997) % 5
    by_fold = rank_units(within_folds(fold * 0.7, fold))
    assert by_fold.is_constant
    assert qini(scores, by_fold) == 0


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(1)
    scores, score = rng.normal(size=500), rng.integers(0, 6, 500).astype(float)
    shuffled = rng.permutation(500)
    for area in (qini, autoc):
        assert area(scores, rank_units(score)) == pytest.approx(
            area(scores[shuffled], rank_units(score[shuffled])), abs=1e-13
        )


def test_rescaling_the_ranking_leaves_the_areas_and_rescaling_the_scores_scales_them():
    rng = np.random.default_rng(2)
    scores, score = rng.normal(size=300), rng.normal(size=300)
    ranking = rank_units(score)
    assert qini(scores, rank_units(np.exp(score))) == qini(scores, ranking)
    assert autoc(7 * scores + 3, ranking) == pytest.approx(7 * autoc(scores, ranking), abs=1e-12)


def test_a_weight_of_two_counts_as_two_equal_rows():
    rng = np.random.default_rng(3)
    scores, score = rng.normal(size=400), rng.integers(0, 50, 400).astype(float)
    times = rng.integers(1, 4, 400)
    twice, twice_score = np.repeat(scores, times), np.repeat(score, times)
    weight = times.astype(float)
    ranking, repeated = rank_units(score), rank_units(twice_score)
    assert qini(scores, ranking, weight=weight) == pytest.approx(qini(twice, repeated), abs=1e-12)
    assert autoc(scores, ranking, weight=weight) == pytest.approx(autoc(twice, repeated), abs=5e-3)
    assert autoc(scores, ranking, weight=np.full(400, 9.0)) == pytest.approx(
        autoc(scores, ranking), abs=1e-12
    )
    share = uplift_at(scores, ranking, share=0.37, weight=weight)
    assert share == pytest.approx(uplift_at(twice, repeated, share=0.37), abs=1e-12)


def test_the_gain_curve_ends_at_the_mean_effect_and_encloses_the_qini_area():
    rng = np.random.default_rng(4)
    scores = rng.normal(size=5000) + 0.2
    score = scores + rng.normal(size=5000)
    curve = gain_curve(scores, rank_units(score), n_points=1000)
    assert curve.gain[0] == 0
    assert curve.gain[-1] == pytest.approx(scores.mean(), abs=1e-12)
    area = np.trapezoid(curve.gain - curve.random, curve.share)
    assert area == pytest.approx(qini(scores, rank_units(score)), abs=1e-4)
    assert curve.toc[-1] == pytest.approx(0, abs=1e-12)


def test_uplift_at_the_whole_is_the_mean_and_a_block_on_the_border_counts_in_part():
    scores = np.array([10.0, 2.0, 4.0, 0.0])
    ranking = rank_units(np.array([9.0, 5.0, 5.0, 1.0]))
    assert uplift_at(scores, ranking, share=1) == pytest.approx(scores.mean())
    assert uplift_at(scores, ranking, share=0.5) == pytest.approx((10 + 3) / 2)
    with pytest.raises(DataError, match=r"share must be in \(0, 1\]"):
        uplift_at(scores, ranking, share=0)


def test_deciles_hold_every_unit_once_and_average_to_the_mean_effect():
    rng = np.random.default_rng(5)
    scores, score = rng.normal(size=1003), rng.normal(size=1003)
    rows = deciles(scores, rank_units(score), score)
    assert [row.decile for row in rows] == list(range(1, 11))
    assert sum(row.n_units for row in rows) == 1003
    total = sum(row.n_units * row.effect for row in rows)
    assert total / 1003 == pytest.approx(scores.mean(), abs=1e-12)
    promised = [row.predicted for row in rows]
    assert promised == sorted(promised, reverse=True)


def test_places_within_folds_ignore_the_level_of_each_folds_model():
    rng = np.random.default_rng(6)
    fold, score = rng.permutation(1000) % 4, rng.normal(size=1000)
    assert np.array_equal(within_folds(score, fold), within_folds(score + 100 * fold, fold))


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="first in row 3") as caught:
        rank_units(np.array([1.0, 2.0, np.nan]))
    assert caught.value.code == "SCORE_NOT_FINITE"


@pytest.mark.parametrize("negative_effect", [True, False])
def test_the_emulated_qini_equals_scikit_uplift_on_200_random_cases(negative_effect):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # stable_cumsum, inside sklift
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        from sklift.metrics import qini_auc_score

        rng = np.random.default_rng(11)
        for case in range(200):
            y, treatment = binary_trial(rng)
            n = len(y)
            score = rng.integers(0, 5, n).astype(float) if case % 2 else rng.normal(size=n)
            theirs = qini_auc_score(y, score, treatment, negative_effect=negative_effect)
            ours = qini_as_scikit_uplift(y, score, treatment, negative_effect=negative_effect)
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def binary_trial(rng):
    """Outcomes and arms with more responders among the treated, as scikit-uplift requires."""
    while True:
        n = int(rng.integers(30, 300))
        treatment = (rng.random(n) < rng.uniform(0.2, 0.8)).astype(int)
        y = (rng.random(n) < rng.uniform(0.1, 0.6) + 0.3 * treatment).astype(int)
        enough = 1 < treatment.sum() < n - 1 and 0 < y.sum() < n
        if enough and y[treatment == 1].mean() > y[treatment == 0].mean():
            return y, treatment


def test_the_emulated_qini_refuses_what_has_no_optimum_and_what_is_not_binary():
    treatment = np.array([1, 1, 0, 0])
    with pytest.raises(DataError, match="the optimum has no area"):
        qini_as_scikit_uplift(
            np.array([0, 0, 1, 1]), np.arange(4.0), treatment, negative_effect=False
        )
    with pytest.raises(DataError, match="outcome must be 0 or 1"):
        qini_as_scikit_uplift(np.array([0, 2, 1, 1]), np.arange(4.0), treatment)
