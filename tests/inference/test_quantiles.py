import numpy as np
import pytest
from scipy import stats

from uplift.errors import DataError, DefinitionError
from uplift.inference.quantiles import (
    cluster_factor,
    quantile_difference,
    quantile_of,
    quantile_of_bounds,
    quantile_ranks,
)

BAND_500 = 0.0293


def bootstrap_error(values, level, rng, clusters=None):
    """Standard deviation of the quantile over 600 resamples of units."""
    if clusters is None:
        draws = rng.choice(values, (600, len(values)))
        return np.quantile(draws, level, axis=1, method="inverted_cdf").std()
    groups = [values[clusters == unit] for unit in np.unique(clusters)]
    found = []
    for _ in range(600):
        chosen = rng.integers(len(groups), size=len(groups))
        drawn = np.concatenate([groups[i] for i in chosen])
        found.append(np.quantile(drawn, level, method="inverted_cdf"))
    return np.std(found)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_its_error_is_that_of_the_bootstrap_and_of_the_density(level):
    rng = np.random.default_rng(1)
    values = rng.exponential(size=20_000)
    found = quantile_of(values, level=level)
    assert found.value == np.quantile(values, level, method="inverted_cdf")
    exact = np.sqrt(level * (1 - level) / 20_000) / stats.expon.pdf(stats.expon.ppf(level))
    assert found.std_error == pytest.approx(exact, rel=0.15)
    small = values[:2_000]
    boot = bootstrap_error(small, level, rng)
    assert quantile_of(small, level=level).std_error == pytest.approx(boot, rel=0.35)


def orders(rng, n_units):
    """Values of units with 1 to 8 orders each, alike within a unit, and whose they are."""
    size = rng.integers(1, 9, n_units)
    unit = np.repeat(np.arange(n_units), size)
    return rng.exponential(size=n_units)[unit] * rng.lognormal(0, 0.3, len(unit)), unit


def test_values_of_one_unit_count_for_less_as_in_the_bootstrap_of_units():
    rng = np.random.default_rng(2)
    values, unit = orders(rng, 1_500)
    plain, clustered = (quantile_of(values, level=0.5, clusters=c) for c in (None, unit))
    assert clustered.cluster_factor > 2  # the right way round: alike values tell less
    assert clustered.std_error > 1.4 * plain.std_error
    boot = bootstrap_error(values, 0.5, rng, unit)
    assert clustered.std_error == pytest.approx(boot, rel=0.2)
    assert quantile_of(values, level=0.5, clusters=np.arange(len(values))).cluster_factor == (
        pytest.approx(1.0, rel=1e-3)
    )


def test_the_factor_is_the_clustered_variance_of_a_share():
    below = np.array([1, 1, 1, 0, 0, 1, 0, 0, 0, 0])
    unit = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 3])
    share, count = 0.4, np.array([3, 2, 2, 3])
    residual = np.array([3, 0, 1, 0]) - share * count
    by_unit = np.sum(residual**2) * 4 / 3 / 10**2
    assert cluster_factor(below, unit) == pytest.approx(by_unit / (share * 0.6 / 10))


def covered(level, n, *, clustered=False, seed=3, forget=False):
    rng = np.random.default_rng(seed)
    truth = 0.2 * stats.expon.ppf(level) if not clustered else 0.0
    hits = []
    for _ in range(500):
        arms = []
        for scale in (1.2 if not clustered else 1.0, 1.0):
            if clustered:
                values, unit = orders(rng, n)
                arms.append(quantile_of(values, level=level, clusters=None if forget else unit))
            else:
                arms.append(quantile_of(scale * rng.exponential(size=n), level=level))
        found = quantile_difference(*arms)
        hits.append(found.ci[0] <= truth <= found.ci[1])
    return np.mean(hits)


def test_the_interval_of_a_difference_covers():
    assert covered(0.5, 400) == pytest.approx(0.95, abs=BAND_500)
    assert covered(0.9, 800) == pytest.approx(0.95, abs=BAND_500)


def test_with_clusters_it_covers_and_one_that_forgets_them_does_not():
    assert covered(0.5, 200, clustered=True) == pytest.approx(0.95, abs=BAND_500)
    assert covered(0.5, 200, clustered=True, forget=True) < 0.95 - BAND_500


def test_a_quantile_within_the_mass_at_zero_is_undefined_and_not_zero_without_width():
    rng = np.random.default_rng(4)
    spend = np.where(rng.uniform(size=5_000) < 0.02, rng.exponential(50, 5_000), 0.0)
    median = quantile_of(spend, level=0.5)
    assert not median.defined
    assert median.value == 0
    assert np.isnan(median.std_error)
    assert "equal 0" in median.why_undefined
    found = quantile_difference(median, median)
    assert np.isnan([found.effect, found.std_error, *found.ci, found.p_value]).all()
    assert found.control_mean == 0
    assert quantile_of(spend[spend > 0], level=0.5).defined
    high = quantile_of(spend, level=0.995)
    assert high.defined
    assert "undefined" not in str(high)
    assert "not estimable" in str(median)


def test_too_few_values_for_a_level_are_undefined():
    values = np.arange(379.0)
    assert not quantile_of(values, level=0.99).defined
    assert "too few" in quantile_of(values, level=0.99).why_undefined
    assert quantile_of(np.arange(1_200.0), level=0.99).defined
    assert quantile_ranks(379, level=0.99) is None
    assert not quantile_of([], level=0.5).defined


def test_ranks_and_their_values_give_the_same_as_the_rows():
    rng = np.random.default_rng(5)
    values = np.sort(rng.normal(size=900))
    low, middle, high = quantile_ranks(900, level=0.75)
    found = quantile_of_bounds(
        values[middle - 1], lower=values[low - 1], upper=values[high - 1], level=0.75, n_values=900
    )
    assert found == quantile_of(values, level=0.75)
    z = stats.norm.ppf(0.975)
    assert high - low == pytest.approx(2 * z * np.sqrt(900 * 0.75 * 0.25), abs=3)


def test_a_shift_shifts_and_a_scale_scales():
    rng = np.random.default_rng(6)
    t, c = rng.normal(10, 1, 300), rng.normal(9, 2, 500)
    base = quantile_difference(quantile_of(t, level=0.5), quantile_of(c, level=0.5))
    moved = quantile_difference(quantile_of(3 * t, level=0.5), quantile_of(3 * c, level=0.5))
    assert moved.ci == pytest.approx(tuple(3 * end for end in base.ci))
    assert moved.relative_ci == pytest.approx(base.relative_ci)
    assert base.relative_effect == pytest.approx(base.effect / base.control_mean)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(DataError, match="1 are not"):
        quantile_of([1.0, np.nan], level=0.5)
    with pytest.raises(DefinitionError, match="between 0 and 1"):
        quantile_ranks(100, level=1.0)
    with pytest.raises(DataError, match="one cluster per value"):
        quantile_of(np.arange(100.0), level=0.5, clusters=np.arange(9))
    with pytest.raises(DefinitionError, match="different levels"):
        quantile_difference(*(quantile_of(np.arange(100.0), level=q) for q in (0.4, 0.5)))
