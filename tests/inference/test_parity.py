"""Laws and independent oracles of the parity modes; their published cases are elsewhere."""

import itertools
import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.proportion import proportions_ztest
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from uplift.errors import DataError, DefinitionError
from uplift.inference.moments import Moments
from uplift.inference.parity import confseq, growthbook, spotify, statsig, tea_tasting
from uplift.inference.parity import growthbook_readings as readings
from uplift.inference.parity import tea_tasting_counts as counts
from uplift.inference.parity.aggregates import moments_of_sums, moments_of_variances
from uplift.inference.parity.growthbook_quantiles import QuantileBounds, quantile_effect
from uplift.inference.parity.growthbook_strata import (
    Metric,
    poststratified_effect,
    viable_cells,
)
from uplift.inference.proportion_tests import Events
from uplift.inference.uniform_boundaries import (
    beta_binomial_log_mixture,
    empirical_process_lil_bound,
)

NAMES = ("y", "z", "y0", "z0")
PAIRS = list(itertools.combinations(NAMES, 2))


def rows(rng, n, *, sign=1.0):
    level = rng.gamma(3, size=n)
    z, z0 = rng.poisson(2 * level) + 1.0, rng.poisson(2 * level) + 1.0
    y0, y = (sign * (level * k + rng.exponential(size=n)) for k in (z0, z))
    return np.stack([y, z, y0, z0], axis=1)


def moments(data):
    return Moments.of(dict(zip(NAMES, data.T, strict=True)), NAMES, PAIRS)


def numeric_error(function, t, c):
    """Delta-method error of a function of both arms' means, by small steps."""
    means, variance = [t.mean(axis=0), c.mean(axis=0)], 0.0
    for arm, data in enumerate((t, c)):
        gradient = []
        for j in range(data.shape[1]):
            step = 1e-6 * abs(means[arm][j])
            ends = []
            for sign in (1, -1):
                moved = [m.copy() for m in means]
                moved[arm][j] += sign * step
                ends.append(function(*moved))
            gradient.append((ends[0] - ends[1]) / (2 * step))
        gradient = np.array(gradient)
        variance += gradient @ np.cov(data.T) @ gradient / len(data)
    return math.sqrt(variance)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("difference", ["absolute", "relative"])
def test_growthbooks_errors_are_the_delta_method_also_below_zero(sign, difference):
    rng = np.random.default_rng(1)
    t, c = rows(rng, 300, sign=sign), rows(rng, 200, sign=sign)
    arms, theta = (moments(t), moments(c)), 0.4

    def effect(of_arm, plain):
        def function(m_t, m_c):
            apart = of_arm(m_t) - of_arm(m_c)
            return apart / abs(plain(m_c)) if difference == "relative" else apart

        return function

    def ratio(m):
        return m[0] / m[1]

    def adjusted_ratio(m):
        return m[0] / m[1] - theta * m[2] / m[3]

    options = {"difference": difference}
    names = {"numerator": "y", "denominator": "z"}
    before = {"numerator_before": "y0", "denominator_before": "z0"}
    found = growthbook.mean_effect(*arms, column="y", **options)
    oracle = effect(lambda m: m[0], lambda m: m[0])
    assert found.effect == pytest.approx(oracle(t.mean(axis=0), c.mean(axis=0)))
    assert found.std_error == pytest.approx(numeric_error(oracle, t, c), rel=1e-6)
    found = growthbook.ratio_effect(*arms, **names, **options)
    oracle = numeric_error(effect(ratio, ratio), t, c)
    assert found.std_error == pytest.approx(oracle, rel=1e-6)
    found = growthbook.cuped_ratio_effect(*arms, **names, **before, theta=theta, **options)
    oracle = numeric_error(effect(adjusted_ratio, ratio), t, c)
    assert found.std_error == pytest.approx(oracle, rel=1e-6)
    found = growthbook.cuped_effect(*arms, column="y", covariate="y0", theta=theta, **options)
    # relative: the program weighs the control's noise by the unadjusted ratio of means
    pull = t[:, 0].mean() / c[:, 0].mean() if difference == "relative" else 1.0
    noise = (t[:, 0] - theta * t[:, 2]).var(ddof=1) / 300
    noise += (pull * c[:, 0] - theta * c[:, 2]).var(ddof=1) / 200
    scale = abs(c[:, 0].mean()) if difference == "relative" else 1.0
    assert found.std_error == pytest.approx(math.sqrt(noise) / scale, rel=1e-9)


def test_growthbooks_theta_is_the_regression_over_both_arms_and_falls_away_without_variation():
    rng = np.random.default_rng(2)
    t, c = rows(rng, 90), rows(rng, 60)
    both = np.vstack([t, c])
    slope = sm.OLS(both[:, 0], sm.add_constant(both[:, 2])).fit().params[1]
    arms = (moments(t), moments(c))
    assert growthbook.pooled_theta(*arms, "y", "y0") == pytest.approx(slope, rel=1e-9)
    flat = [rows(rng, 50) for _ in range(2)]
    for data in flat:
        data[:, 2] = 0.0
    arms = [moments(data) for data in flat]
    plain = growthbook.mean_effect(*arms, column="y")
    assert growthbook.cuped_effect(*arms, column="y", covariate="y0").std_error == plain.std_error
    names = {"numerator": "y", "denominator": "z"}
    without = growthbook.cuped_ratio_effect(
        *arms, **names, numerator_before="y0", denominator_before="y0"
    )
    assert without.std_error == growthbook.ratio_effect(*arms, **names).std_error


def test_growthbooks_readings_are_welch_and_agree_with_their_bounds():
    rng = np.random.default_rng(3)
    t, c = rng.normal(1.3, 1, 90), rng.normal(1, 2, 60)
    arms = [Moments.of({"y": y}, ["y"]) for y in (t, c)]
    effect = growthbook.mean_effect(*arms, column="y", difference="absolute")
    for side in ("two-sided", "greater", "less"):
        oracle = stats.ttest_ind(t, c, equal_var=False, alternative=side)
        found = readings.t_test(effect, alternative=side, confidence=0.9)
        assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-9)
        low, high = oracle.confidence_interval(0.9)
        assert found.ci == pytest.approx((low, high), rel=1e-9)
        wide = readings.sequential_test(effect, alternative=side, tuning_n=150, confidence=0.9)
        assert wide.ci[0] <= found.ci[0]
        assert wide.ci[1] >= found.ci[1]
    with pytest.raises(DefinitionError, match=r"above 0\.5"):
        readings.sequential_test(effect, alternative="less", confidence=0.4)
    with pytest.raises(DefinitionError, match="one of two-sided"):
        readings.t_test(effect, alternative="larger")
    strong = growthbook.Effect(9.0, 0.1, 50.0, 500.0, 1.0, "absolute")
    assert readings.sequential_test(strong, alternative="greater").p_value == 1e-5
    assert readings.sequential_test(strong, alternative="less").p_value == 0.4999


def test_growthbook_refuses_what_has_no_error_where_it_would_answer_zero():
    flat = Moments.of({"y": np.ones(9), "z": np.zeros(9)}, ["y", "z"], [("y", "z")])
    with pytest.raises(DataError, match="does not vary"):
        growthbook.mean_effect(flat, flat, column="y")
    with pytest.raises(DataError, match="mean of 'z' is 0"):
        growthbook.ratio_effect(flat, flat, numerator="y", denominator="z")
    zero = Moments.of({"y": [1.0, -1.0]}, ["y"])
    with pytest.raises(DataError, match="no relative effect"):
        growthbook.mean_effect(zero, zero, column="y")
    few = QuantileBounds(n_units=300, level=0.99, value=3.0, lower=2.0, upper=4.0)
    with pytest.raises(DataError, match="too few"):
        quantile_effect(few, few)


def test_growthbooks_clustered_quantile_grows_with_the_cluster_factor():
    below = Moments.of(
        {"below": [3.0, 0, 1, 0, 2, 4], "events": [3.0, 2, 2, 3, 4, 4]},
        ["below", "events"],
        [("below", "events")],
    )
    options = {"n_units": 2_000, "level": 0.5, "value": 3.0, "lower": 2.9, "upper": 3.1}
    plain, clustered = QuantileBounds(**options), QuantileBounds(**options, clusters=below)
    share = 10 / 18
    residual = np.array([3.0, 0, 1, 0, 2, 4]) - share * np.array([3.0, 2, 2, 3, 4, 4])
    factor = residual.var(ddof=1) / 6 / 9 / (0.25 / 2_000)
    assert clustered.variance == pytest.approx(plain.variance * factor, rel=1e-9)
    half = QuantileBounds(**options, n_star=1_000)
    assert half.variance == pytest.approx(plain.variance / 2)


def test_growthbooks_strata_merge_and_one_alone_is_plain():
    rng = np.random.default_rng(4)
    cells = [(moments(rows(rng, n)), moments(rows(rng, n + 9))) for n in (40, 90)]
    single = (moments(rows(rng, 1)), moments(rows(rng, 5)))
    for metric in (
        Metric(columns=("y",)),
        Metric(columns=("y",), before=("y0",)),
        Metric(columns=("y", "z")),
        Metric(columns=("y", "z"), before=("y0", "z0")),
    ):
        kept = viable_cells([single, *cells], metric)
        assert [t.count + c.count for t, c in kept] == [189 + 6, 89]
        alone = poststratified_effect([single, cells[0]], metric)
        merged = (cells[0][0] + single[0], cells[0][1] + single[1])
        assert alone == poststratified_effect([merged], metric)
        assert poststratified_effect(cells, metric).std_error > 0
    with pytest.raises(DefinitionError, match="each with none or all"):
        Metric(columns=("y", "z"), before=("y0",))


@pytest.mark.parametrize("equal_var", [True, False])
def test_tea_tasting_is_scipys_t_test_and_a_normal_when_asked(equal_var):
    rng = np.random.default_rng(5)
    t, c = rng.gamma(3, size=70), rng.gamma(2, size=40)
    arms = [Moments.of({"y": y}, ["y"]) for y in (t, c)]
    for side in ("two-sided", "greater", "less"):
        options = tea_tasting.Options(alternative=side, equal_var=equal_var, confidence=0.9)
        found = tea_tasting.mean_test(*arms, column="y", options=options)
        oracle = stats.ttest_ind(t, c, equal_var=equal_var, alternative=side)
        assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-9)
        assert found.statistic == pytest.approx(oracle.statistic, rel=1e-9)
        assert found.ci == pytest.approx(tuple(oracle.confidence_interval(0.9)), rel=1e-9)
    normal = tea_tasting.Options(use_t=False, equal_var=equal_var)
    found = tea_tasting.mean_test(*arms, column="y", options=normal)
    usevar = "pooled" if equal_var else "unequal"
    oracle = CompareMeans(DescrStatsW(t), DescrStatsW(c)).ztest_ind(usevar=usevar)
    assert found.p_value == pytest.approx(oracle[1], rel=1e-9)
    with pytest.raises(DefinitionError, match="one of two-sided"):
        tea_tasting.Options(alternative="larger")


def test_tea_tastings_cuped_is_the_regression_over_both_arms():
    rng = np.random.default_rng(6)
    t, c = rows(rng, 120), rows(rng, 80)
    both = np.vstack([t, c])
    slope = sm.OLS(both[:, 0], sm.add_constant(both[:, 2])).fit().params[1]
    residual = both[:, 0] - slope * (both[:, 2] - both[:, 2].mean())
    oracle = stats.ttest_ind(residual[:120], residual[120:], equal_var=False)
    found = tea_tasting.mean_test(moments(t), moments(c), column="y", covariate="y0")
    assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-9)
    assert found.control == pytest.approx(residual[120:].mean())
    names = {"numerator": "y", "denominator": "z"}
    plain = tea_tasting.ratio_test(moments(t), moments(c), **names)
    assert plain.effect == pytest.approx(
        t[:, 0].sum() / t[:, 1].sum() - c[:, 0].sum() / c[:, 1].sum()
    )


def test_tea_tastings_proportions_by_other_means():
    t, c = Events(60, 700), Events(40, 650)
    found = counts.proportion_test(t, c, continuity_correction=False)  # many units: "norm"
    assert found.p_value == pytest.approx(proportions_ztest([60, 40], [700, 650])[1], rel=1e-9)
    assert (found.ci[0] > 0) == (found.p_value < 0.05)
    few = counts.proportion_test(Events(6, 70), Events(4, 65))
    assert (
        few.p_value
        == counts.proportion_test(Events(6, 70), Events(4, 65), method="barnard").p_value
    )
    assert np.isnan(few.ci).all()
    for side in ("greater", "less"):
        one = counts.proportion_test(t, c, alternative=side, confidence=0.975)
        two = counts.proportion_test(t, c)
        end = 0 if side == "greater" else 1
        assert one.ci[end] == pytest.approx(two.ci[end])
        assert one.relative_ci[end] == pytest.approx(two.relative_ci[end])
    with pytest.raises(DefinitionError, match="two-sided test"):
        counts.proportion_test(t, c, method="pearson", alternative="less")
    with pytest.raises(DefinitionError, match="no method 'wald'"):
        counts.proportion_test(t, c, method="wald")


def test_the_rank_test_counts_pairs():
    rng = np.random.default_rng(7)
    t, c = rng.integers(0, 9, 30), rng.integers(0, 7, 40)
    above = np.mean((t[:, None] > c) + 0.5 * (t[:, None] == c))
    found = counts.rank_test(t, c)
    assert found.treatment == pytest.approx(above)
    assert found.effect == pytest.approx(2 * above - 1)
    assert counts.rank_test(t, c, alternative="less").p_value > 0.5
    with pytest.raises(DataError, match="finite values"):
        counts.rank_test([1.0, np.nan], c)


SIDES = {"two-sided": "two-sided", "larger": "greater", "smaller": "less"}


def test_confidences_tests_are_statsmodels():
    rng = np.random.default_rng(8)
    t, c = rng.gamma(3, size=70), rng.gamma(2.8, size=40)
    arms = [Moments.of({"y": y}, ["y"]) for y in (t, c)]
    compare = CompareMeans(DescrStatsW(t), DescrStatsW(c))
    for side, scipys in SIDES.items():
        found = spotify.z_test(*arms, column="y", alternative=side, null=-0.2)
        oracle = compare.ztest_ind(alternative=side, usevar="unequal", value=-0.2)
        assert found.p_value == pytest.approx(oracle[1], rel=1e-9)
        ends = compare.zconfint_diff(alternative=side, usevar="unequal")
        assert found.ci == pytest.approx(ends, rel=1e-9)
        found = spotify.t_test(*arms, column="y", alternative=side)
        oracle = stats.ttest_ind(t, c, equal_var=False, alternative=scipys)
        assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-9)
    binary = [Moments.of({"y": np.arange(50) < k}, ["y"]) for k in (20, 12)]
    wald = spotify.chi_squared_test(Events(20, 50), Events(12, 50))
    assert spotify.z_test(*binary, column="y").ci == pytest.approx(wald.ci)
    with pytest.raises(DefinitionError, match="larger"):
        spotify.z_test(*arms, column="y", alternative="greater")


def test_confidences_regression_has_one_slope_from_all_arms():
    rng = np.random.default_rng(9)
    t, c, other = rows(rng, 120), rows(rng, 80), rows(rng, 100)
    everyone = np.vstack([t, c, other])
    slope = sm.OLS(everyone[:, 0], sm.add_constant(everyone[:, 2:])).fit().params[1:]
    found = spotify.z_test(
        moments(t), moments(c), column="y", covariates=["y0", "z0"], others=[moments(other)]
    )
    a, b = (data[:, 0] - data[:, 2:] @ slope for data in (t, c))
    assert found.difference == pytest.approx(a.mean() - b.mean(), rel=1e-9)
    oracle = np.sqrt(a.var(ddof=1) / 120 + b.var(ddof=1) / 80)
    assert found.std_error == pytest.approx(
        oracle, rel=0.02
    )  # divisors n and n - 1 are mixed there
    doubled = np.column_stack([t, t[:, 2]])[:, [0, 1, 2, 4]]
    singular = moments(doubled)
    plain = spotify.z_test(singular, singular, column="y")
    same = spotify.z_test(singular, singular, column="y", covariates=["y0", "z0"])
    assert same.std_error == plain.std_error


def test_a_relative_interval_that_ignores_the_controls_noise_does_not_cover():
    rng = np.random.default_rng(10)
    right, wrong = [], []
    for _ in range(500):
        arms = [Moments.of({"y": rng.gamma(1.0, size=n)}, ["y"]) for n in (400, 40)]
        found = spotify.z_test(*arms, column="y").relative_to(arms[1].mean_of("y"))
        truth = 0.0
        wrong.append(found.ci[0] <= truth <= found.ci[1])
        treated = Moments.of({"y": 3 * rng.gamma(1.0, size=400)}, ["y"])  # +200 %
        too_narrow = spotify.z_test(treated, arms[1], column="y").relative_to(arms[1].mean_of("y"))
        log = tea_tasting.mean_test(treated, arms[1], column="y").relative_ci
        right.append((log[0] <= 2 <= log[1], too_narrow.ci[0] <= 2 <= too_narrow.ci[1]))
    covers, narrow = np.mean(right, axis=0)
    assert covers == pytest.approx(0.95, abs=0.03)
    assert narrow < 0.92


def test_statsigs_boundary_does_not_move_with_the_units():
    few = statsig.critical_value(n_treatment=100, n_control=900)
    many = statsig.critical_value(n_treatment=1e6, n_control=9e6)
    assert few == pytest.approx(many, rel=1e-12)
    assert statsig.critical_value(n_treatment=9, n_control=1) == pytest.approx(few)
    with pytest.raises(DefinitionError, match="above 0"):
        statsig.critical_value(n_treatment=0, n_control=1)


def test_a_share_is_inside_at_every_size_and_not_in_the_plain_interval():
    rng = np.random.default_rng(11)
    looks = np.unique(np.geomspace(10, 1_000, 8).astype(int))
    paths = np.cumsum(rng.uniform(size=(60, 1_000)) < 0.1, axis=1)[:, looks - 1]
    held, plain = [], []
    for path in paths:
        ends = [
            confseq.bernoulli_interval(k, n, t_opt=100) for k, n in zip(path, looks, strict=True)
        ]
        held.append(all(low <= 0.1 <= high for low, high in ends))
        p = path / looks
        plain.append(np.all(abs(p - 0.1) <= 1.96 * np.sqrt(p * (1 - p) / looks)))
    assert np.mean(held) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 60)
    assert np.mean(plain) < 0.8
    with pytest.raises(DataError, match="between 0 and the units"):
        confseq.bernoulli_interval(3, 2, t_opt=10)


def test_the_p_value_of_quantiles_is_the_least_evidence_over_every_common_value():
    rng = np.random.default_rng(12)
    first, second = rng.integers(0, 30, 40).astype(float), rng.integers(6, 36, 50).astype(float)
    p, t_opt = 0.7, 60

    def evidence(arm, x):  # over every share that x may be said to have below it
        shares = np.linspace((arm < x).mean(), (arm <= x).mean(), 400)
        v = p * (1 - p)
        return min(
            beta_binomial_log_mixture(
                (s - p) * len(arm), v * len(arm), v_opt=v * t_opt, g=p, h=1 - p
            )
            for s in shares
        )

    points = np.arange(-1, 37)
    least = min(evidence(first, x) + evidence(second, x) for x in points)
    found = confseq.quantile_ab_p_value(first, second, quantile_p=p, t_opt=t_opt)
    assert found == pytest.approx(min(1.0, math.exp(-least)), rel=1e-4)
    assert confseq.quantile_ab_p_value(first, first, quantile_p=p, t_opt=t_opt) == 1.0
    with pytest.raises(DataError, match="need values"):
        confseq.quantile_ab_p_value([], first, quantile_p=p, t_opt=t_opt)


def test_a_whole_distribution_stays_within_its_bound():
    assert empirical_process_lil_bound(1_000, t_min=100) == pytest.approx(0.0820477, abs=1e-6)
    assert empirical_process_lil_bound(99, t_min=100) == math.inf
    rng = np.random.default_rng(13)
    worst = []
    for _ in range(40):
        values = rng.uniform(size=1_500)
        worst.append(
            max(
                stats.kstest(values[:n], "uniform").statistic
                / empirical_process_lil_bound(n, t_min=50)
                for n in (50, 100, 300, 700, 1_500)
            )
        )
    assert np.mean(np.array(worst) > 1) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)
    with pytest.raises(DefinitionError, match=r"above 0\.7071"):
        empirical_process_lil_bound(100, t_min=10, a=0.5)


def test_aggregates_give_the_moments_of_the_rows():
    data = rows(np.random.default_rng(14), 60)
    whole = moments(data)
    columns = dict(zip(NAMES, data.T, strict=True))
    of_sums = moments_of_sums(
        60,
        sums={k: v.sum() for k, v in columns.items()},
        squares={k: (v**2).sum() for k, v in columns.items()},
        products={(b, a): (columns[a] * columns[b]).sum() for a, b in PAIRS},  # either order
    )
    of_variances = moments_of_variances(
        60,
        means={k: v.mean() for k, v in columns.items()},
        variances={k: v.var(ddof=1) for k, v in columns.items()},
        covariances={(a, b): np.cov(columns[a], columns[b])[0, 1] for a, b in PAIRS},
    )
    for found in (of_sums, of_variances):
        np.testing.assert_allclose(
            found.covariance_matrix(NAMES), whole.covariance_matrix(NAMES), rtol=1e-9
        )
        assert found.pairs == whole.pairs
