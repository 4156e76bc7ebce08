import numpy as np
import pytest
from scipy import stats

from uplift.errors import DataError, DefinitionError
from uplift.inference import simultaneous as family
from uplift.inference.multiplicity import benjamini_hochberg, holm

BAND_2000 = 0.0146


def equicorrelated(n, rho):
    return np.full((n, n), rho) + (1 - rho) * np.eye(n)


def test_published_quantiles_of_the_largest_t():
    # Dunnett (1964), Biometrics 20, two-sided 5 %, equal arms: 2 and 5 arms against one control
    assert family.max_t_quantile(equicorrelated(2, 0.5), df=20) == pytest.approx(2.38, abs=6e-3)
    assert family.max_t_quantile(equicorrelated(5, 0.5), df=60) == pytest.approx(2.58, abs=6e-3)


@pytest.mark.parametrize("df", [7.0, 30.5, np.inf])
def test_it_is_scipys_joint_distribution(df):
    rng = np.random.default_rng(1)
    loadings = rng.normal(size=(4, 3))
    covariance = loadings @ loadings.T + np.eye(4)
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    c = family.max_t_quantile(correlation, confidence=0.9, df=df)
    upper = np.full(4, c)
    if np.isinf(df):
        inside = stats.multivariate_normal.cdf(upper, cov=correlation, lower_limit=-upper, rng=1)
    else:
        inside = stats.multivariate_t.cdf(
            upper, shape=correlation, df=df, lower_limit=-upper, random_state=1
        )
    assert inside == pytest.approx(0.9, abs=1e-3)
    sizes = family.max_t_p_values([c, 0.0, 1.0, 20.0], correlation=correlation, df=df)
    assert sizes[0] == pytest.approx(0.1, abs=1e-3)
    assert sizes[1] == pytest.approx(1.0)


def test_independent_estimates_give_sidak_and_equal_ones_a_single_test():
    sidak = stats.norm.ppf(0.5 + 0.95 ** (1 / 6) / 2)
    assert family.max_t_quantile(np.eye(6)) == pytest.approx(sidak, abs=2e-3)
    assert family.max_t_quantile(np.ones((6, 6)), df=9) == pytest.approx(stats.t.ppf(0.975, 9))
    assert family.max_t_quantile([[1.0]]) == pytest.approx(stats.norm.ppf(0.975))
    tiny = family.max_t_p_values([9.0, 0.1], correlation=np.eye(2))[0]
    assert tiny == pytest.approx(4 * stats.norm.sf(9.0))


def covered(intervals, *, seed, rho=0.6, n_tests=8):
    """How often all intervals hold together, around correlated normal estimates of nothing."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(equicorrelated(n_tests, rho))
    effects = rng.normal(size=(2_000, n_tests)) @ root.T
    low, high = intervals(np.zeros(n_tests)).T  # the same around every draw
    return np.mean(np.all((effects + low <= 0) & (effects + high >= 0), axis=1))


def test_all_hold_together_and_single_intervals_do_not():
    error, known = np.ones(8), equicorrelated(8, 0.6)

    def max_t(row):
        return family.max_t_intervals(row, error, correlation=known)

    assert covered(max_t, seed=2) == pytest.approx(0.95, abs=BAND_2000)
    for method in (family.sidak_intervals, family.bonferroni_intervals):
        assert covered(lambda row, m=method: m(row, error), seed=3) >= 0.95 - BAND_2000
    single = family.sidak_intervals
    naive = covered(lambda row: np.repeat(single([0.0], [1.0]), 8, axis=0), seed=4)
    assert naive < 0.95 - BAND_2000


def test_sidak_is_never_wider_than_bonferroni_and_a_hole_in_the_family_counts():
    wide = family.bonferroni_intervals([1.0, np.nan, 2.0], [1.0, np.nan, 2.0], df=[9.0, 9.0, 4.0])
    narrow = family.sidak_intervals([1.0, np.nan, 2.0], [1.0, np.nan, 2.0], df=[9.0, 9.0, 4.0])
    assert np.all(np.diff(narrow)[[0, 2]] < np.diff(wide)[[0, 2]])
    assert np.isnan(wide[1]).all()
    half = stats.t.isf(0.05 / 6, 4.0) * 2.0
    np.testing.assert_allclose(wide[2], [2 - half, 2 + half])


def test_intervals_of_the_selected_miss_at_most_their_share_and_plain_ones_miss_more():
    rng = np.random.default_rng(5)
    truth = np.r_[np.zeros(15), np.full(5, 2.0)]
    missed, naive = [], []
    for _ in range(1_000):
        z = truth + rng.normal(size=20)
        p = 2 * stats.norm.sf(abs(z))
        found = family.selected_intervals(z, np.ones(20), p_values=p, q=0.1)
        chosen = benjamini_hochberg(p) <= 0.1
        assert np.array_equal(~np.isnan(found[:, 0]), chosen)
        assert not np.any((found[chosen, 0] < 0) & (found[chosen, 1] > 0))
        wrong = (found[chosen, 0] > truth[chosen]) | (found[chosen, 1] < truth[chosen])
        missed.append(wrong.sum() / max(chosen.sum(), 1))
        plain = abs(z - truth)[chosen] > stats.norm.ppf(0.95)
        naive.append(plain.sum() / max(chosen.sum(), 1))
    band = 3 * np.std(missed) / np.sqrt(1_000)
    assert np.mean(missed) <= 0.1 + band
    assert np.mean(naive) > 0.1 + band


def test_selection_under_any_dependence_is_wider():
    p = [1e-5, 2e-4, 0.6]
    plain = family.selected_intervals([4.4, 3.7, 0.5], np.ones(3), p_values=p)
    careful = family.selected_intervals([4.4, 3.7, 0.5], np.ones(3), p_values=p, any_dependence=1)
    assert np.all(np.diff(careful)[:2] > np.diff(plain)[:2])
    assert np.isnan(careful[2]).all()


def test_bounds_of_holm_reject_what_holm_rejects_and_hold_together():
    rng = np.random.default_rng(6)
    truth = np.array([-1e-9, -1e-9, 0.5, 2.5])  # a proof of "above 0" is wrong for two
    held = []
    for _ in range(2_000):
        z = truth + rng.normal(size=4)
        bounds = family.holm_bounds(z, np.ones(4))[:, 0]
        rejected = holm(stats.norm.sf(z)) <= 0.05
        assert np.array_equal(bounds >= 0, rejected)
        held.append(np.all(bounds <= truth))
    assert np.mean(held) >= 0.95 - BAND_2000
    assert np.mean(held) < 0.98  # and not by being wide


def test_bounds_to_the_other_side_are_mirrored_and_say_more_when_all_are_proven():
    up = family.holm_bounds([3.0, 4.0], [1.0, 1.0], null=0.5, df=50)
    down = family.holm_bounds([-3.0, -4.0], [1.0, 1.0], null=-0.5, df=50, side="less")
    np.testing.assert_allclose(up, -down[:, ::-1])
    assert np.all(np.isinf(up[:, 1]))
    np.testing.assert_allclose(up[:, 0], [3 - stats.t.isf(0.025, 50), 4 - stats.t.isf(0.025, 50)])
    one_open = family.holm_bounds([4.0, 0.1, np.nan], [1.0, 1.0, np.nan])
    assert one_open[0, 0] == 0.0
    assert np.isnan(one_open[2]).all()


def test_what_cannot_be_a_family_is_refused():
    with pytest.raises(DefinitionError, match="correlation matrix") as caught:
        family.max_t_quantile([[1.0, 0.9], [0.2, 1.0]])
    assert caught.value.code == "CORRELATION_INVALID"
    with pytest.raises(DefinitionError, match="negative variance"):
        family.max_t_quantile([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(DataError, match="one standard error"):
        family.sidak_intervals([1.0, 2.0], [1.0])
    with pytest.raises(DefinitionError, match="between 0 and 1"):
        family.sidak_intervals([1.0], [1.0], confidence=95)
