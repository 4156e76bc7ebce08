import numpy as np
import pytest
import statsmodels.api as sm

from uplift.errors import DataError
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.parity.growthbook_strata import Metric, poststratified_effect
from uplift.inference.poststratification import poststratified, poststratified_ratio, viable_strata
from uplift.inference.ratios import ratio
from uplift.inference.regression_adjustment import covariances_for, lin

BAND_600 = 0.0267
LEVELS = np.array([0.0, 3.0, 10.0])  # of the outcome by stratum


def moments(y, x=None):
    data = {"y": y, "z": np.ones(len(y)), "x": np.zeros(len(y)) if x is None else x}
    pairs = [*covariances_for(["y", "z"], ["x"]), ("y", "z")]
    return Moments.of(data, ["y", "z", "x"], pairs)


def draw(rng, n, *, effect=0.0, share=0.3, fixed=False, slope=0.0):
    """Strata of (treatment, control) with different levels; `fixed` draws exact shares."""
    stratum = np.arange(n) % 3 if fixed else rng.choice(3, n, p=[0.5, 0.3, 0.2])
    treated = np.zeros(n, dtype=bool)
    for k in range(3):
        rows = np.flatnonzero(stratum == k)
        size = round(share * len(rows)) if fixed else rng.binomial(len(rows), share)
        treated[rng.choice(rows, size, replace=False)] = True
    x = rng.normal(size=n)
    y = LEVELS[stratum] * (1 + effect * treated) + slope * x + rng.normal(size=n)
    return [
        tuple(
            moments(y[(stratum == k) & arm], x[(stratum == k) & arm]) for arm in (treated, ~treated)
        )
        for k in range(3)
    ]


def merged(strata):
    return sum((t for t, _ in strata[1:]), strata[0][0]), sum(
        (c for _, c in strata[1:]), strata[0][1]
    )


def formula(strata):
    """Effect and variance by the matrices of the docstring."""
    alphas, omegas, units = [], [], []
    for t, c in strata:
        v_t, v_c = t.variance("y") / t.count, c.variance("y") / c.count
        alphas.append([c.mean_of("y"), t.mean_of("y") - c.mean_of("y")])
        n = t.count + c.count
        omegas.append(n * np.array([[v_c, -v_c], [-v_c, v_c + v_t]]))
        units.append(n)
    a, n = np.array(alphas).T, sum(units)
    nu = np.array(units) / n
    v = a @ (np.diag(nu) - np.outer(nu, nu)) @ a.T + np.tensordot(nu, np.array(omegas), 1)
    return (a @ nu)[1], np.sqrt(v[1, 1] / n)


@pytest.mark.parametrize("seed", range(10))
def test_it_is_the_formula_and_the_other_programs(seed):
    strata = draw(np.random.default_rng(seed), 300, effect=0.4)
    found = poststratified(strata, column="y")
    assert (found.effect, found.std_error) == pytest.approx(formula(strata), rel=1e-10)
    other = poststratified_effect(strata, Metric(columns=("y",)), difference="absolute")
    assert found.std_error == pytest.approx(other.std_error, rel=1e-10)
    relative = poststratified_effect(strata, Metric(columns=("y",)), difference="relative")
    assert found.relative_effect == pytest.approx(relative.effect, rel=1e-10)
    ratio_of = poststratified_ratio(strata, numerator="y", denominator="z")  # z is 1
    assert ratio_of.ci == pytest.approx(found.ci, rel=1e-9)


def test_fixed_sizes_are_the_regression_on_strata_of_a_stratified_draw():
    strata = draw(np.random.default_rng(1), 900, effect=0.4, fixed=True)
    found = poststratified(strata, column="y", sizes="fixed")
    variance = sum(
        ((t.count + c.count) / 900) ** 2 * (t.variance("y") / t.count + c.variance("y") / c.count)
        for t, c in strata
    )
    assert found.std_error == pytest.approx(np.sqrt(variance), rel=1e-12)
    assert found.std_error < poststratified(strata, column="y").std_error


def test_a_covariate_adjusts_within_each_stratum():
    rng = np.random.default_rng(2)
    strata = draw(rng, 600, effect=0.1, slope=2.0)
    found = poststratified(strata, column="y", covariates=["x"], sizes="fixed")
    units = np.array([t.count + c.count for t, c in strata])
    cells = [lin(t, c, column="y", covariates=["x"]) for t, c in strata]
    effect = units @ np.array([cell.effect for cell in cells]) / units.sum()
    error = np.sqrt((units / units.sum()) ** 2 @ np.array([cell.std_error**2 for cell in cells]))
    assert found.effect == pytest.approx(effect, rel=1e-10)
    assert found.std_error == pytest.approx(error, rel=1e-10)
    assert found.std_error < 0.6 * poststratified(strata, column="y", sizes="fixed").std_error


def test_one_stratum_is_the_plain_estimate():
    rng = np.random.default_rng(3)
    t, c = (moments(rng.exponential(size=n), rng.normal(size=n)) for n in (60, 150))
    for found, plain in (
        (poststratified([(t, c)], column="y"), welch(t, c, column="y")),
        (
            poststratified([(t, c)], column="y", covariates=["x"]),
            lin(t, c, column="y", covariates=["x"]),
        ),
        (
            poststratified_ratio([(t, c)], numerator="y", denominator="z"),
            ratio(t, c, numerator="y", denominator="z"),
        ),
    ):
        assert found.ci == pytest.approx(plain.ci, rel=1e-10)
        assert found.relative_ci == pytest.approx(plain.relative_ci, rel=1e-10)


def test_a_stratum_without_an_estimate_goes_to_the_largest():
    rng = np.random.default_rng(4)
    large, small = draw(rng, 400)[:2]
    alone = (moments(np.array([1.0])), moments(rng.normal(size=9)))
    flat = (moments(np.zeros(20)), moments(np.zeros(30)))
    empty = (moments(np.zeros(0)), moments(rng.normal(size=5)))
    kept = viable_strata([alone, small, large, flat, empty], columns=("y",))
    assert len(kept) == 2
    assert kept[0][0].count == large[0].count + 1 + 20
    assert kept[0][1].count == large[1].count + 9 + 30 + 5
    total = sum(t.count + c.count for t, c in kept)
    whole = poststratified([alone, small, large, flat, empty], column="y")
    assert whole.n_control + whole.n_treatment == total
    with pytest.raises(DataError, match="no stratum"):
        viable_strata([], columns=("y",))


def test_with_more_arms_the_control_has_one_mean_in_every_comparison():
    rng = np.random.default_rng(10)
    two, other = draw(rng, 400), draw(rng, 300, effect=0.2)
    everyone = [sum(arm.count for arm in (*a, b[0])) for a, b in zip(two, other, strict=True)]
    first = poststratified(two, column="y", population=everyone)
    strata = [(b[0], a[1]) for a, b in zip(two, other, strict=True)]
    second = poststratified(strata, column="y", population=everyone)
    assert first.control_mean == pytest.approx(second.control_mean, rel=1e-12)
    assert first.control_mean != pytest.approx(poststratified(two, column="y").control_mean)
    with pytest.raises(DataError, match="3 strata needs units above 0"):
        poststratified(two, column="y", population=[1, 2])


def test_a_large_offset_does_not_matter():
    def with_offset(by):
        return poststratified(
            [
                tuple(
                    moments(np.random.default_rng(seed + k).normal(k + by, 1, 50))
                    for seed in (0, 9)
                )
                for k in (1, 2, 3)
            ],
            column="y",
        )

    assert with_offset(1e9).effect == pytest.approx(with_offset(0.0).effect, rel=1e-6)
    assert with_offset(1e9).std_error == pytest.approx(with_offset(0.0).std_error, rel=1e-6)


def coverage(estimates, *, seed, fixed=False, effect=1.0, n=300):
    """How often each estimate's interval holds the effect, and how often its relative one does."""
    rng = np.random.default_rng(seed)
    shares = np.full(3, 1 / 3) if fixed else np.array([0.5, 0.3, 0.2])
    hits = []
    for _ in range(600):
        strata = draw(rng, n, effect=effect, fixed=fixed)
        found = [estimate(strata) for estimate in estimates]
        hits.append(
            [f.ci[0] <= effect * shares @ LEVELS <= f.ci[1] for f in found]
            + [f.relative_ci[0] <= effect <= f.relative_ci[1] for f in found]
        )
    return np.mean(hits, axis=0)


def test_its_intervals_cover_and_those_that_forget_the_sizes_do_not():
    def honest(strata):
        return poststratified(strata, column="y")

    def careless(strata):
        return poststratified(strata, column="y", sizes="fixed")

    # effects grow with the stratum's level, so the strata's sizes are noise of the effect
    right, wrong, relative, _ = coverage([honest, careless], seed=5)
    assert right == pytest.approx(0.95, abs=BAND_600)
    assert relative == pytest.approx(0.95, abs=BAND_600)
    assert wrong < 0.95 - BAND_600


def test_fixed_sizes_cover_in_a_stratified_draw_and_the_plain_difference_is_far_too_wide():
    def stratified(strata):
        return poststratified(strata, column="y", sizes="fixed")

    def plain(strata):
        return welch(*merged(strata), column="y")

    right, wide, relative, _ = coverage([stratified, plain], seed=8, fixed=True)
    assert right == pytest.approx(0.95, abs=BAND_600)
    assert relative == pytest.approx(0.95, abs=BAND_600)
    assert wide > 0.95 + BAND_600


def test_the_effect_is_that_of_the_saturated_regression():
    strata = draw(np.random.default_rng(9), 300, effect=0.2)
    rows = []
    for k, (t, c) in enumerate(strata):  # the moments of a stratum as two points with its spread
        for arm, m in ((1, t), (0, c)):
            half = np.sqrt(m.variance("y") * (m.count - 1) / m.count)
            for value in (m.mean_of("y") - half, m.mean_of("y") + half):
                rows.append((k, arm, value, m.count / 2))
    k, arm, y, weight = np.array(rows).T
    shares = np.array([t.count + c.count for t, c in strata]) / 300
    centred = np.stack([(k == j) - shares[j] for j in (1, 2)], axis=1)
    design = np.column_stack([np.ones(len(y)), arm, centred, centred * arm[:, None]])
    fit = sm.WLS(y, design, weights=weight).fit()
    assert poststratified(strata, column="y").effect == pytest.approx(fit.params[1], rel=1e-9)
