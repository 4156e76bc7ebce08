import numpy as np
import pytest
from scipy import stats

from uplift.inference import always_valid as av
from uplift.inference import uniform_boundaries as curves


def test_the_interval_is_the_normal_mixture_of_the_general_curve():
    for n in (200.0, 5_000.0, 80_000.0):
        wide = av.multiplier(n, tuning_n=5_000, alpha=0.1)
        curve = curves.normal_mixture_bound(n, alpha=0.1, v_opt=5_000, alpha_opt=0.1)
        assert wide == pytest.approx(curve / np.sqrt(n), rel=1e-12)


def test_the_p_value_is_alpha_at_the_multiplier():
    for n in (100, 20_000):
        z = av.multiplier(n, tuning_n=8_000, alpha=0.02)
        assert av.always_valid_p_value(z, n, tuning_n=8_000, alpha=0.02) == pytest.approx(0.02)
        one = av.multiplier(n, tuning_n=8_000, alpha=0.02, sides=1)
        p = av.always_valid_p_value_one_sided(one, n, tuning_n=8_000)
        assert p == pytest.approx(0.02, abs=1e-8)
    assert av.always_valid_p_value_one_sided(-1.0, 100, tuning_n=8_000) == 0.4999
    assert av.always_valid_p_value_one_sided(40.0, 100, tuning_n=8_000) == 1e-5


def test_it_may_be_read_every_day_and_the_fixed_interval_may_not():
    rng = np.random.default_rng(1)
    n = 100.0 * np.arange(1, 401)
    z = np.cumsum(rng.normal(0, 10, (2_000, 400)), axis=1) / np.sqrt(n)
    wide = av.multipliers(n, tuning_n=20_000)
    assert np.mean((np.abs(z) > wide).any(axis=1)) <= 0.05
    assert np.mean((np.abs(z) > 1.96).any(axis=1)) > 0.3
    one = av.multipliers(n, tuning_n=20_000, sides=1)
    assert np.mean((z > one).any(axis=1)) <= 0.05
    assert np.all(one < wide)


def test_the_tuning_is_best_where_it_says():
    tunings = np.geomspace(1_000, 100_000, 401)
    found = [av.multiplier(10_000, tuning_n=tuning) for tuning in tunings]
    assert tunings[int(np.argmin(found))] == pytest.approx(10_000, rel=0.05)


def test_power_at_the_end_and_the_units_for_it():
    factor = av.units_inflation(power=0.8)
    drift = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * np.sqrt(factor)
    found = av.power_at_end(drift, std_error=1.0, n_units=7_000, tuning_n=7_000)
    assert found == pytest.approx(0.8, abs=1e-6)
    assert av.inflation(7_000, tuning_n=7_000) == pytest.approx(
        av.multiplier(7_000, tuning_n=7_000) / stats.norm.ppf(0.975)
    )


def crossings(draw, bound, times, n=2_000, seed=2):
    """How often a sum of centred increments ever passes its curve."""
    rng = np.random.default_rng(seed)
    total = np.cumsum(draw(rng, (n, len(times))), axis=1)
    return np.mean((total >= np.array([bound(v) for v in times])).any(axis=1))


def test_curves_are_crossed_at_most_as_often_as_they_say():
    v = np.arange(1.0, 301.0)
    scale = {"v_opt": 50.0}
    shapes = [
        (
            lambda r, s: r.exponential(1, s) - 1,
            lambda x: curves.gamma_exponential_mixture_bound(x, c=1.0, **scale),
        ),
        (
            lambda r, s: r.poisson(1, s) - 1.0,
            lambda x: curves.gamma_poisson_mixture_bound(x, c=1.0, **scale),
        ),
        (
            lambda r, s: np.where(r.random(s) < 0.5, 1.0, -1.0),
            lambda x: curves.beta_binomial_mixture_bound(x, g=1, h=1, one_sided=True, **scale),
        ),
        (
            lambda r, s: r.normal(0, 1, s),
            lambda x: curves.normal_mixture_bound(x, one_sided=True, **scale),
        ),
        (lambda r, s: r.normal(0, 1, s), lambda x: curves.poly_stitching_bound(x, v_min=10.0)),
    ]
    for draw, bound in shapes:
        assert crossings(draw, bound, v) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2_000)
    # a curve for normal sums is crossed too often by skewed ones, early on above all
    skewed = crossings(
        lambda r, s: r.exponential(1, s) - 1,
        lambda x: curves.normal_mixture_bound(x, one_sided=True, v_opt=5.0),
        v,
    )
    assert skewed > 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2_000)


def test_curves_refuse_a_tuning_that_cannot_be():
    with pytest.raises(Exception, match="v_opt must be above 0"):
        curves.best_rho(0)
    with pytest.raises(Exception, match="eta must be above 1"):
        curves.poly_stitching_bound(10, v_min=1, eta=1)
