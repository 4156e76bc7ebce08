import numpy as np
import pytest
from scipy import stats

from uplift.errors import DataError, DefinitionError
from uplift.inference.sample_ratio import binomial_p_value
from uplift.inference.sample_ratio_sequential import (
    check_sample_ratio_so_far,
    posterior_mismatch,
    sequential_ratio,
)

SHARES = (0.9, 0.1)


def test_batches_are_scipys_laws():
    counts = np.array([[18, 3, 2], [40, 5, 11]])
    shares, prior = np.array([0.7, 0.1, 0.2]), np.array([7.0, 1.0, 2.0])
    found = sequential_ratio(counts, shares=shares, prior=prior)
    design = sum(stats.multinomial.logpmf(row, row.sum(), shares) for row in counts)
    assert found.log_design[-1] == pytest.approx(design)
    first = stats.dirichlet_multinomial.logpmf(counts[0], prior, counts[0].sum())
    second = stats.dirichlet_multinomial.logpmf(counts[1], prior + counts[0], counts[1].sum())
    assert found.log_alternative[-1] == pytest.approx(first + second)


def test_how_the_units_are_cut_into_batches_does_not_matter():
    rng = np.random.default_rng(1)
    counts = rng.multinomial(1_000, SHARES, size=8)
    daily = sequential_ratio(counts, shares=SHARES).log_bayes_factor[-1]
    once = sequential_ratio(counts.sum(axis=0), shares=SHARES).log_bayes_factor[-1]
    assert daily == pytest.approx(once, abs=1e-8)


def test_daily_checks_raise_the_alarm_as_rarely_as_they_say_and_daily_chi_squared_does_not():
    rng = np.random.default_rng(2)
    counts = rng.multinomial(200, SHARES, size=(600, 60))
    p = np.array([sequential_ratio(c, shares=SHARES).p_values[-1] for c in counts])
    bound = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)
    assert np.mean(p < 0.05) <= bound
    so_far = counts.cumsum(axis=1)
    expected = so_far.sum(axis=2, keepdims=True) * np.array(SHARES)
    peeked = stats.chisquare(so_far, expected, axis=2).pvalue.min(axis=1)
    assert np.mean(peeked < 0.05) > bound


def test_a_broken_split_is_found_while_it_runs():
    batches = [{"control": 130, "email": 870}] * 40
    check = check_sample_ratio_so_far(batches, shares={"email": 0.9, "control": 0.1, "later": 0.0})
    assert not check.passed
    assert "control 5,200 of 4,000 expected" in check.remedy
    fine = check_sample_ratio_so_far(
        [{"control": 100, "email": 900}], shares={"email": 9, "control": 1}
    )
    assert fine.passed
    assert fine.value == 1.0


def test_the_p_value_never_rises_and_the_posterior_follows():
    counts = [[100, 0], [90, 10], [90, 10]]
    found = sequential_ratio(counts, shares=SHARES)
    assert np.all(np.diff(found.p_values) <= 0)
    assert posterior_mismatch(0.0, 0.0, prior_probability=0.2) == pytest.approx(0.2)


def test_the_exact_test_of_two_arms_is_scipys_and_holds_its_error_when_units_are_few():
    assert binomial_p_value(3, 9, ratio=2.0) == stats.binomtest(9, 12, 2 / 3).pvalue
    assert binomial_p_value(0, 0) == 1
    laws = stats.binom.pmf(np.arange(11), 10, 0.1)
    exact = np.array([binomial_p_value(10 - k, k, ratio=1 / 9) for k in range(11)])
    assert laws[exact < 0.05].sum() <= 0.05
    normal = np.array(
        [
            binomial_p_value(10 - k, k, ratio=1 / 9, exact=False, continuity_correction=False)
            for k in range(11)
        ]
    )
    assert laws[normal < 0.05].sum() > 0.05


def test_counts_and_priors_that_cannot_be_are_refused():
    with pytest.raises(DataError, match="for each of 2 arms") as caught:
        sequential_ratio([[1, 2, 3]], shares=SHARES)
    assert caught.value.code == "COUNTS_INVALID"
    with pytest.raises(DefinitionError, match="above 0 for every arm"):
        sequential_ratio([[1, 2]], shares=SHARES, prior=[1, 0])
    with pytest.raises(DataError, match="No arm") as caught:
        check_sample_ratio_so_far([], shares={"a": 1.0})
    assert caught.value.code == "EMPTY_INPUT"
