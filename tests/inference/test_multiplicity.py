import gc
import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from uplift.errors import DataError, DefinitionError
from uplift.inference import multiplicity
from uplift.inference.multiplicity import (
    adjust,
    benjamini_hochberg,
    benjamini_yekutieli,
    bonferroni,
    hochberg,
    hochberg_sidak,
    holm,
)

STATSMODELS = {
    "bonferroni": "bonferroni",
    "sidak": "sidak",
    "holm": "holm",
    "holm_sidak": "holm-sidak",
    "hochberg": "simes-hochberg",
    "benjamini_hochberg": "fdr_bh",
    "benjamini_yekutieli": "fdr_by",
}


def test_200_random_families_agree_with_statsmodels(monkeypatch):
    monkeypatch.setattr(gc, "collect", lambda: 0)  # statsmodels collects garbage at every call
    rng = np.random.default_rng(1)
    for _ in range(200):
        p_values = rng.uniform(size=rng.integers(1, 15)) ** rng.integers(1, 5)
        if rng.uniform() < 0.3:
            p_values[rng.integers(len(p_values))] = rng.choice([0.0, 1.0, p_values[0]])
        for name, other in STATSMODELS.items():
            with np.errstate(divide="ignore"):  # statsmodels' logarithm of 1 - 1
                oracle = multipletests(p_values, method=other)[1]
            np.testing.assert_allclose(adjust(p_values, method=name), oracle, atol=1e-10)


def closed(p_values, critical):
    """Smallest alpha at which the closed test rejects: every set around a test must reject."""
    n = len(p_values)
    adjusted = np.zeros(n)
    for size in range(1, n + 1):
        for chosen in itertools.combinations(range(n), size):
            worst = critical(np.sort(p_values[list(chosen)]))
            adjusted[list(chosen)] = np.maximum(adjusted[list(chosen)], worst)
    return adjusted


def test_hochberg_is_never_sharper_than_the_closed_test_of_simes_and_holm_is_that_of_bonferroni():
    rng = np.random.default_rng(2)
    for _ in range(50):
        p_values = rng.uniform(size=4) ** 2
        simes = closed(p_values, lambda p: np.min(len(p) / np.arange(1, len(p) + 1) * p))
        assert np.all(hochberg(p_values) >= simes - 1e-12)
        np.testing.assert_allclose(
            holm(p_values), closed(p_values, lambda p: min(1.0, len(p) * p[0])), atol=1e-12
        )


def test_a_published_family_with_sidaks_constants_step_up():
    found = hochberg_sidak([0.005, 0.06, 0.007, 0.04, 0.01, 0.03])
    wanted = [0.0296274906437343, 0.06, 0.0345134180118071, 0.06, 0.03940399, 0.06]
    np.testing.assert_allclose(found, wanted, atol=1e-9)


@pytest.mark.parametrize("name", list(multiplicity.METHODS))
def test_a_test_that_was_not_possible_stays_open_and_still_counts(name):
    found = adjust([0.02, np.nan, 0.5], method=name)
    as_if_proven_nothing = adjust([0.02, 1.0, 0.5], method=name)
    np.testing.assert_allclose(found[[0, 2]], as_if_proven_nothing[[0, 2]])
    assert np.isnan(found[1])
    assert adjust([], method=name).size == 0


def test_it_keeps_the_error_of_the_family_and_raw_p_values_do_not():
    rng = np.random.default_rng(1)
    p_values = rng.uniform(size=(2_000, 6))
    adjusted = np.array([holm(row).min() for row in p_values])
    assert np.mean(adjusted <= 0.05) == pytest.approx(0.05, abs=0.0146)
    assert np.mean(p_values.min(axis=1) <= 0.05) > 0.2


def test_two_tests_step_up_with_sidaks_constants_err_more_than_promised():
    # P(any rejection) of two independent tests, by areas of the unit square
    c = 1 - np.sqrt(0.95)
    assert 0.05**2 + 2 * c * 0.95 == pytest.approx(0.0506, abs=5e-5)
    corner = hochberg_sidak([c - 1e-9, 0.9])
    assert corner[0] <= 0.05
    assert hochberg([c - 1e-9, 0.9])[0] > 0.05


def false_share(method, rng):
    """Share of false rejections among all, with 10 of 20 tests without an effect."""
    z = rng.normal(size=20) + np.r_[np.zeros(10), np.full(10, 3.0)]
    rejected = method(2 * stats.norm.sf(abs(z))) <= 0.1
    return rejected[:10].sum() / max(rejected.sum(), 1)


def test_false_discoveries_keep_their_share_and_raw_p_values_do_not():
    band = 3 * 0.13 / np.sqrt(1_000)
    rng = np.random.default_rng(3)
    shares = [false_share(benjamini_hochberg, rng) for _ in range(1_000)]
    assert np.mean(shares) <= 0.05 + band  # q times the share of tests without an effect
    assert np.mean([false_share(benjamini_yekutieli, rng) for _ in range(300)]) <= 0.05
    assert np.mean([false_share(np.asarray, rng) for _ in range(300)]) > 0.05 + band


def test_what_is_no_p_value_or_no_method_is_refused():
    with pytest.raises(DataError, match=r"between 0 and 1, got 1\.2 in place 2"):
        bonferroni([0.1, 1.2])
    with pytest.raises(DefinitionError, match="no adjustment 'tukey'"):
        adjust([0.1], method="tukey")
