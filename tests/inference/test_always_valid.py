import numpy as np
import pytest
from scipy import stats

from uplift.inference import always_valid as av
from uplift.inference import uniform_boundaries as curves
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.regression_adjustment import covariances_for, lin


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


def test_the_t_mixture_is_alpha_at_its_multiplier_and_near_the_normal_one_with_many_units():
    for n, df in ((60, 55.5), (400, 390), (20_000, 19_000)):
        wide = av.t_multiplier(n, df=df, tuning_n=500, alpha=0.03)
        assert av.t_p_value(wide, n, df=df, tuning_n=500, alpha=0.03) == pytest.approx(0.03)
        assert wide > av.multiplier(n, tuning_n=500, alpha=0.03)
    many = {"tuning_n": 20_000, "alpha": 0.05}
    assert av.t_multiplier(20_000, df=1e7, **many) == pytest.approx(
        av.multiplier(20_000, **many), rel=1e-4
    )
    z_p = av.always_valid_p_value(3.2, 20_000, **many)
    assert av.t_p_value(3.2, 20_000, df=1e8, **many) == pytest.approx(z_p, rel=1e-4)
    assert av.t_multiplier(4, df=2, tuning_n=5_000) == np.inf
    assert av.t_p_value(50.0, 4, df=2, tuning_n=5_000) > 0.05


def test_the_t_mixture_is_the_integral_over_a_normal_prior_of_the_effect():
    # the Bayes factor of t by numerical integration over the prior, sigma^2 unknown
    n, df, g = 40.0, 38.0, av.mixture_variance(200, alpha=0.05)
    t = 2.9
    ncp = np.linspace(-60, 60, 40_001)
    weight = stats.norm.pdf(ncp, scale=np.sqrt(n / g))
    factor = np.trapezoid(stats.nct.pdf(t, df, ncp) * weight, ncp) / stats.t.pdf(t, df)
    assert av.t_p_value(t, n, df=df, tuning_n=200) == pytest.approx(1 / factor, rel=1e-6)


LOOKS = np.unique(np.geomspace(20, 800, 9).astype(int))


def ever_rejected(rng, reading):
    """Whether any look along one stream of units without an effect rejects, adjusted by x."""
    x, arm = rng.normal(size=800), np.arange(800) % 4 == 0
    y = 2 * x + rng.exponential(size=800)
    for n in LOOKS:
        data = {"y": y[:n], "x": x[:n]}
        arms = (
            Moments.of({k: v[rows] for k, v in data.items()}, ["y", "x"], covariances_for("y", "x"))
            for rows in (arm[:n], ~arm[:n])
        )
        t, c = arms

        def read(level, t=t, c=c):
            return lin(t, c, column="y", covariates=["x"], confidence=level)

        if reading(read).p_value < 0.05:
            return True
    return False


def test_adjusted_means_may_be_read_at_every_look_and_plain_intervals_may_not():
    rng = np.random.default_rng(3)
    band = 3 * np.sqrt(0.05 * 0.95 / 80)
    valid = [
        ever_rejected(rng, lambda read: av.always_valid_reading(read, tuning_n=400))
        for _ in range(80)
    ]
    assert np.mean(valid) <= 0.05 + band
    naive = [ever_rejected(rng, lambda read: read(0.95)) for _ in range(80)]
    assert np.mean(naive) > 0.05 + band


def test_a_reading_widens_both_intervals_and_keeps_the_effect():
    rng = np.random.default_rng(4)
    t, c = (Moments.of({"y": rng.normal(5, 1, n)}, ["y"]) for n in (300, 200))

    def read(level):
        return welch(t, c, column="y", confidence=level)

    fixed, valid = read(0.95), av.always_valid_reading(read, tuning_n=500)
    assert valid.effect == fixed.effect
    wide = av.t_multiplier(500, df=fixed.df, tuning_n=500)
    assert valid.ci[1] - valid.effect == pytest.approx(wide * fixed.std_error)
    assert valid.relative_ci[0] < fixed.relative_ci[0]
    assert valid.relative_ci[1] > fixed.relative_ci[1]
    few = (Moments.of({"y": rng.normal(5, 1, 2)}, ["y"]) for _ in range(2))
    a, b = few
    early = av.always_valid_reading(
        lambda level: welch(a, b, column="y", confidence=level), tuning_n=500
    )
    assert early.ci == (-np.inf, np.inf)
    assert np.isnan(early.relative_ci).all()
