import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from uplift.inference.multiplicity import holm


@pytest.mark.parametrize("seed", range(20))
def test_it_is_statsmodels_holm(seed):
    rng = np.random.default_rng(seed)
    p_values = rng.uniform(size=rng.integers(1, 12)) ** 2
    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1])


def test_published_cases_agree():
    found = holm([0.01, 0.04, 0.03, 0.005, 0.55, 0.6])
    np.testing.assert_allclose(found, [0.05, 0.12, 0.12, 0.03, 1, 1])


def test_a_test_that_was_not_possible_stays_open_and_still_counts():
    found = holm([0.02, np.nan, 0.5])
    np.testing.assert_allclose(found[[0, 2]], [0.06, 1.0])
    assert np.isnan(found[1])


def test_it_keeps_the_error_of_the_family_and_raw_p_values_do_not():
    rng = np.random.default_rng(1)
    p_values = rng.uniform(size=(2_000, 6))
    adjusted = np.array([holm(row).min() for row in p_values])
    assert np.mean(adjusted <= 0.05) == pytest.approx(0.05, abs=0.0146)
    assert np.mean(p_values.min(axis=1) <= 0.05) > 0.2


def test_no_test_gives_no_p_value():
    assert holm([]).size == 0
