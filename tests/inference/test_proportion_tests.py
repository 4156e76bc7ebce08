import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportions_chisquare,
    proportions_ztest,
    test_proportions_2indep,
)

from uplift.errors import DataError, DefinitionError
from uplift.inference import proportion_tests as tests
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.proportion_tests import Events
from uplift.inference.proportions import score

test_proportions_2indep.__test__ = False  # an oracle, not a test


def moments(arm):
    return Moments.of({"y": np.arange(arm.n_units) < arm.events}, ["y"])


def draw(rng):
    n_t, n_c = rng.integers(20, 900, 2)
    return Events(int(rng.binomial(n_t, 0.1)) + 1, int(n_t)), Events(
        int(rng.binomial(n_c, 0.07)) + 1, int(n_c)
    )


STATSMODELS = {"two-sided": "two-sided", "greater": "larger", "less": "smaller"}


def of_two(t, c, method, alternative):
    counts = (t.events, t.n_units, c.events, c.n_units)
    options = {"method": method, "alternative": alternative, "return_results": False}
    return test_proportions_2indep(*counts, **options)[1]


def test_200_random_pairs_agree_with_scipy_and_statsmodels():
    rng = np.random.default_rng(1)
    for _ in range(200):
        t, c = draw(rng)
        table = [[t.events, c.events], [t.n_units - t.events, c.n_units - c.events]]
        counts, sizes = [t.events, c.events], [t.n_units, c.n_units]
        for side, other in STATSMODELS.items():
            found = tests.z_test(t, c, alternative=side)
            oracle = proportions_ztest(counts, sizes, alternative=other)[1]
            assert found == pytest.approx(oracle, abs=1e-10)
            found = tests.z_test(t, c, pooled=False, alternative=side)
            assert found == pytest.approx(of_two(t, c, "wald", other), abs=1e-10)
            found = tests.score_test(t, c, alternative=side)
            assert found == pytest.approx(of_two(t, c, "score", other), abs=1e-10)
            oracle = stats.fisher_exact(table, alternative=side).pvalue
            assert tests.fisher_test(t, c, alternative=side) == pytest.approx(oracle, abs=1e-10)
        chi = proportions_chisquare(counts, sizes)[1]
        assert tests.pearson_test(t, c) == pytest.approx(chi, abs=1e-10)
        yates = stats.chi2_contingency(table).pvalue
        assert tests.pearson_test(t, c, continuity_correction=True) == pytest.approx(yates)
        corrected = tests.z_test(t, c, continuity_correction=True)
        assert corrected == pytest.approx(yates, abs=1e-10)
        ratio = 2 * np.sum(
            np.array(table) * np.log(np.array(table) / stats.contingency.expected_freq(table))
        )
        assert tests.g_test(t, c) == pytest.approx(stats.chi2.sf(ratio, 1), abs=1e-10)


def test_the_relative_interval_of_the_score_is_statsmodels():
    rng = np.random.default_rng(2)
    for _ in range(60):
        t, c = draw(rng)
        oracle = confint_proportions_2indep(
            *(t.events, t.n_units, c.events, c.n_units), compare="ratio", method="score"
        )
        found = score(moments(t), moments(c), column="y").relative_ci
        np.testing.assert_allclose(np.array(found) + 1, oracle, rtol=1e-4)


def test_the_relative_interval_at_the_edges():
    none, some = moments(Events(0, 400)), moments(Events(4, 400))
    low, high = score(none, some, column="y").relative_ci
    assert low == -1
    assert -0.5 < high < 0.2
    assert np.isnan(score(some, none, column="y").relative_ci).all()  # no upper limit
    equal = score(some, some, column="y")
    assert equal.relative_ci[0] < 0 < equal.relative_ci[1]


def errors_of(test, *, p=0.35, n_t=9, n_c=7):
    """Exact chance that a test rejects at 5 % when both proportions are p."""
    a, b = range(n_t + 1), range(n_c + 1)
    chance = np.outer(stats.binom.pmf(a, n_t, p), stats.binom.pmf(b, n_c, p))
    rejects = [[test(Events(i, n_t), Events(j, n_c)) <= 0.05 for j in b] for i in a]
    return float(chance[np.array(rejects)].sum())


def test_exact_tests_keep_their_error_with_few_events_and_boschloo_is_sharper_than_fisher():
    fisher, boschloo = errors_of(tests.fisher_test), errors_of(tests.boschloo_test)
    assert fisher < boschloo <= 0.05
    plain = errors_of(lambda t, c: tests.z_test(t, c, pooled=False))
    assert plain > 0.05  # the normal approximation does not


def test_barnards_test_is_scipys_for_every_alternative():
    t, c = Events(7, 30), Events(2, 31)
    table = [[7, 2], [23, 29]]
    for side in tests.ALTERNATIVES:
        for pooled in (True, False):
            oracle = stats.barnard_exact(table, alternative=side, pooled=pooled).pvalue
            found = tests.barnard_test(t, c, alternative=side, pooled=pooled)
            assert found == pytest.approx(oracle, abs=1e-12)


def test_no_event_at_all_proves_nothing():
    none = Events(0, 50)
    assert tests.z_test(none, none) == 1.0
    assert np.isnan(tests.pearson_test(none, none))
    assert tests.fisher_test(none, none) == 1.0
    assert tests.z_test(Events(50, 50), none, pooled=False) == 0.0
    assert np.isnan(welch(moments(none), moments(none), column="y").p_value)


def test_what_is_no_count_or_too_large_is_refused():
    with pytest.raises(DataError, match="between 0 and the units, got 5 of 3"):
        Events(5, 3)
    with pytest.raises(DefinitionError, match="more than 1,000,000") as caught:
        tests.boschloo_test(Events(5, 3_000), Events(5, 3_000))
    assert caught.value.code == "EXACT_TOO_LARGE"
    with pytest.raises(DefinitionError, match="one of two-sided, greater, less"):
        tests.score_test(Events(1, 3), Events(1, 3), alternative="larger")
    with pytest.raises(DataError, match="not a proportion"):
        Events.of(Moments.of({"y": [0.5, 1.0]}, ["y"]), "y")
