import numpy as np
import pytest
import statsmodels.api as sm

from uplift.errors import DataError
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.ratios import adjusted_ratio, covariance_of_ratios, ratio
from uplift.inference.regression_adjustment import covariances_for, lin

BAND_500 = 0.029


def households(rng, n):
    """Spend and size of n households; members of a large household spend more, and alike."""
    size = rng.integers(1, 6, n)
    common = rng.normal(0, 2, n)
    spend = size * (5 + size + common) + rng.normal(0, 1, n) * np.sqrt(size)
    return {"y": spend, "units": size.astype(float)}


def moments(data):
    return Moments.of(data, ["y", "units"], [("y", "units")])


def test_it_is_the_clustered_regression_of_units():
    rng = np.random.default_rng(1)
    t, c = households(rng, 1_500), households(rng, 1_500)
    found = ratio(moments(t), moments(c), numerator="y", denominator="units")
    size = np.r_[t["units"], c["units"]].astype(int)
    cluster = np.repeat(np.arange(len(size)), size)
    arm = np.repeat(np.r_[np.ones(1_500), np.zeros(1_500)], size)
    per_unit = np.repeat(np.r_[t["y"], c["y"]] / size, size)
    oracle = sm.OLS(per_unit, sm.add_constant(arm)).fit(
        cov_type="cluster", cov_kwds={"groups": cluster}
    )
    assert found.effect == pytest.approx(oracle.params[1], rel=1e-9)
    assert found.std_error == pytest.approx(oracle.bse[1], rel=1e-3)
    assert found.n_treatment == t["units"].sum()


def test_a_constant_denominator_gives_the_difference_of_means():
    rng = np.random.default_rng(2)
    t, c = ({"y": rng.exponential(size=n), "units": np.ones(n)} for n in (80, 120))
    found = ratio(moments(t), moments(c), numerator="y", denominator="units")
    plain = welch(moments(t), moments(c), column="y")
    assert found.effect == pytest.approx(plain.effect)
    assert found.ci == pytest.approx(plain.ci)


def test_its_interval_covers_and_one_by_unit_does_not():
    rng = np.random.default_rng(3)
    by_cluster, by_unit = [], []
    for _ in range(500):
        t, c = households(rng, 150), households(rng, 150)
        low, high = ratio(moments(t), moments(c), numerator="y", denominator="units").ci
        by_cluster.append(low <= 0 <= high)
        rows = [np.repeat(d["y"] / d["units"], d["units"].astype(int)) for d in (t, c)]
        low, high = welch(*(Moments.of({"y": r}, ["y"]) for r in rows), column="y").ci
        by_unit.append(low <= 0 <= high)
    assert np.mean(by_cluster) == pytest.approx(0.95, abs=BAND_500)
    assert np.mean(by_unit) < 0.95 - BAND_500


def test_a_denominator_of_zero_is_refused():
    nothing = moments({"y": [1.0, 2.0], "units": [0.0, 0.0]})
    with pytest.raises(DataError, match="there is no ratio"):
        ratio(nothing, nothing, numerator="y", denominator="units")


def test_the_covariance_of_two_ratios_is_that_of_their_linearised_values():
    rng = np.random.default_rng(4)
    data = dict(zip("abcd", rng.gamma(3, size=(4, 500)) + rng.gamma(2, size=500), strict=True))
    pairs = [(x, y) for x in "abcd" for y in "abcd" if x < y]
    m = Moments.of(data, "abcd", pairs)

    def linear(top, base):
        value = data[top].mean() / data[base].mean()
        return (data[top] - value * data[base]) / data[base].mean()

    oracle = np.cov(linear("a", "b"), linear("c", "d"))
    found = covariance_of_ratios(m, first=("a", "b"), second=("c", "d"))
    assert found == pytest.approx(oracle[0, 1], rel=1e-10)
    twice = covariance_of_ratios(m, first=("a", "b"), second=("a", "b"))
    assert twice == pytest.approx(oracle[0, 0], rel=1e-10)


def visits(rng, n, *, effect=0.0):
    """Orders and sessions of customers, with those of the time before."""
    rate, eager = rng.gamma(4, size=n), rng.beta(2, 5, n)
    before = rng.poisson(3 * rate) + 1.0
    sessions = rng.poisson(3 * rate) + 1.0
    return {
        "y": rng.binomial(sessions.astype(int), eager * (1 + effect)).astype(float),
        "z": sessions,
        "y0": rng.binomial(before.astype(int), eager).astype(float),
        "z0": before,
    }


NAMES = ("y", "z", "y0", "z0")
ALL_PAIRS = [(a, b) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]]


def visit_moments(data):
    return Moments.of(data, NAMES, ALL_PAIRS)


def adjusted(t, c, **options):
    names = {"numerator": "y", "denominator": "z", "covariates": ["y0", "z0"]}
    return adjusted_ratio(t, c, **names, **options)


def test_an_adjusted_ratio_is_lin_on_its_linearised_values():
    rng = np.random.default_rng(5)
    t, c = visits(rng, 300, effect=0.2), visits(rng, 900)
    found = adjusted(visit_moments(t), visit_moments(c))
    arms = []
    for data in (t, c):
        value = data["y"].sum() / data["z"].sum()
        linear = value + (data["y"] - value * data["z"]) / data["z"].mean()
        arms.append({"e": linear, "y0": data["y0"], "z0": data["z0"]})
    pairs = [*covariances_for(["e"], ["y0", "z0"])]
    oracle = lin(
        *(Moments.of(arm, ["e", "y0", "z0"], pairs) for arm in arms),
        column="e",
        covariates=["y0", "z0"],
    )
    assert found.effect == pytest.approx(oracle.effect, rel=1e-9)
    assert found.ci == pytest.approx(oracle.ci, rel=1e-9)
    plain = ratio(visit_moments(t), visit_moments(c), numerator="y", denominator="z")
    assert found.std_error < 0.8 * plain.std_error
    without = adjusted_ratio(
        visit_moments(t), visit_moments(c), numerator="y", denominator="z", covariates=[]
    )
    assert without.ci == pytest.approx(plain.ci, rel=1e-9)


def test_an_adjusted_ratio_covers_and_one_that_treats_sessions_as_independent_does_not():
    rng = np.random.default_rng(6)
    right, wrong = [], []
    for _ in range(500):
        t, c = visits(rng, 100), visits(rng, 200)
        low, high = adjusted(visit_moments(t), visit_moments(c)).ci
        right.append(low <= 0 <= high)
        shares = [data["y"].sum() / data["z"].sum() for data in (t, c)]
        error = np.sqrt(
            sum(p * (1 - p) / d["z"].sum() for p, d in zip(shares, (t, c), strict=True))
        )
        wrong.append(abs(shares[0] - shares[1]) <= 1.96 * error)
    assert np.mean(right) == pytest.approx(0.95, abs=BAND_500)
    assert np.mean(wrong) < 0.95 - BAND_500
