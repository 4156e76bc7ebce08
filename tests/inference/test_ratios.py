import numpy as np
import pytest
import statsmodels.api as sm

from uplift.errors import DataError
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.ratios import ratio

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
