import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from uplift.errors import DataError, DefinitionError
from uplift.inference.means import welch, widened
from uplift.inference.moments import Moments

BAND_1000 = 0.0207  # three standard errors of a 5 % rate over 1,000 repetitions


def moments(values):
    return Moments.of({"y": np.asarray(values, dtype=float)}, ["y"])


def from_summary(count, mean, variance):
    """Moments of any sample with this mean and variance."""
    return Moments(
        ("y",), ((0, 0),), count, np.array([mean]), np.array([variance * (count - 1)]), np.zeros(1)
    )


def random_case(seed):
    rng = np.random.default_rng(seed)
    n_t, n_c = rng.integers(2, 400, 2)
    draw = [rng.normal, rng.exponential, rng.lognormal][seed % 3]
    return draw(size=n_t) * rng.uniform(0.1, 9), draw(size=n_c) * rng.uniform(0.1, 9)


@pytest.mark.parametrize("block", range(4))
def test_welch_is_that_of_scipy_and_statsmodels_on_200_random_cases(block):
    for seed in range(50 * block, 50 * block + 50):
        t, c = random_case(seed)
        found = welch(moments(t), moments(c), column="y", confidence=0.9)
        oracle = stats.ttest_ind(t, c, equal_var=False)
        assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-10, abs=1e-300)
        assert found.df == pytest.approx(oracle.df, rel=1e-10)
        interval = oracle.confidence_interval(0.9)
        np.testing.assert_allclose(found.ci, (interval.low, interval.high), rtol=1e-10, atol=1e-12)
        other = CompareMeans(DescrStatsW(t), DescrStatsW(c))
        assert found.std_error == pytest.approx(other.std_meandiff_separatevar, rel=1e-10)
        np.testing.assert_allclose(
            found.ci, other.tconfint_diff(alpha=0.1, usevar="unequal"), rtol=1e-9, atol=1e-10
        )


def test_a_shifted_outcome_leaves_the_effect_and_a_scaled_one_scales_it():
    t, c = random_case(7)
    base = welch(moments(t), moments(c), column="y")
    shifted = welch(moments(t + 5), moments(c + 5), column="y")
    scaled = welch(moments(1000 * t), moments(1000 * c), column="y")
    assert shifted.effect == pytest.approx(base.effect)
    assert shifted.p_value == pytest.approx(base.p_value)
    assert scaled.std_error == pytest.approx(1000 * base.std_error)
    np.testing.assert_allclose(scaled.relative_ci, base.relative_ci)


def test_swapped_arms_turn_the_effect_round():
    t, c = random_case(8)
    one = welch(moments(t), moments(c), column="y")
    other = welch(moments(c), moments(t), column="y")
    assert one.effect == -other.effect
    np.testing.assert_allclose(one.ci, (-other.ci[1], -other.ci[0]))
    assert one.p_value == pytest.approx(other.p_value)


def test_without_any_variation_the_effect_is_zero_and_its_interval_not_estimable():
    found = welch(moments([3, 3, 3]), moments([3, 3]), column="y")
    assert found.effect == 0
    assert np.isnan([*found.ci, found.p_value, *found.relative_ci]).all()
    assert "not estimable" in found.table().text()


def test_an_arm_of_one_unit_is_refused():
    with pytest.raises(DataError, match="at least 2") as caught:
        welch(moments([1.0]), moments([1.0, 2.0]), column="y")
    assert caught.value.code == "ARM_TOO_SMALL"
    with pytest.raises(DefinitionError, match="between 0 and 1"):
        welch(moments([1.0, 2.0]), moments([1.0, 2.0]), column="y", confidence=95)


def test_the_relative_interval_is_asymmetric_and_never_below_minus_one():
    # published case: 53 against 47 users, orders per user, interval on the log scale
    control = from_summary(53, 0.5660377358490566, 0.7888243831640053)
    treatment = from_summary(47, 0.3829787234042553, 0.5023126734505092)
    found = welch(treatment, control, column="y")
    assert found.p_value == pytest.approx(0.2551230546709908, abs=1e-9)
    assert found.relative_effect == pytest.approx(-0.32340425531914896)
    expected = (-0.6593351111187646, 0.34378920945924096)
    np.testing.assert_allclose(found.relative_ci, expected, atol=1e-8)
    assert found.relative_ci[0] > -1


def test_a_negative_baseline_keeps_the_direction_of_a_gain():
    rng = np.random.default_rng(1)
    t, c = rng.normal(-1, 1, 500), rng.normal(-2, 1, 500)
    found = welch(moments(t), moments(c), column="y")
    assert found.effect > 0
    assert found.relative_effect > 0
    assert 0 < found.relative_ci[0] < found.relative_effect < found.relative_ci[1]


def test_a_baseline_that_may_be_zero_has_no_relative_interval():
    rng = np.random.default_rng(2)
    found = welch(moments(rng.normal(1, 1, 50)), moments(rng.normal(0, 1, 50)), column="y")
    assert np.isnan(found.relative_ci).all()
    assert np.isfinite(found.ci).all()


def test_the_relative_interval_covers_the_true_ratio():
    rng = np.random.default_rng(4)
    hits = []
    for _ in range(1000):
        t, c = rng.exponential(1.2, 200), rng.exponential(1.0, 150)
        low, high = welch(moments(t), moments(c), column="y").relative_ci
        hits.append(low <= 0.2 <= high)
    assert np.mean(hits) == pytest.approx(0.95, abs=BAND_1000)


def false_alarms(p_value_of, seed=11, repetitions=1000):
    """Share of p-values below 5 % with no effect, nine to one and unequal variances."""
    rng = np.random.default_rng(seed)
    p_values = [p_value_of(rng.normal(0, 3, 50), rng.normal(0, 1, 450)) for _ in range(repetitions)]
    return np.mean(np.array(p_values) < 0.05)


def test_no_effect_is_found_in_five_of_a_hundred_experiments_at_nine_to_one():
    rate = false_alarms(lambda t, c: welch(moments(t), moments(c), column="y").p_value)
    assert rate == pytest.approx(0.05, abs=BAND_1000)


def test_a_pooled_variance_fails_the_same_check():
    rate = false_alarms(lambda t, c: stats.ttest_ind(t, c, equal_var=True).pvalue)
    assert rate > 0.05 + BAND_1000


@pytest.mark.parametrize(("top", "base"), [(12.0, 10.0), (-3.0, 10.0), (-8.0, -10.0), (0.0, -10.0)])
def test_the_relative_error_is_that_of_a_ratio_whatever_the_signs(top, base):
    rng = np.random.default_rng(31)
    treated, control = rng.normal(top, 8, 300), rng.normal(base, 5, 900)
    found = welch(Moments.of({"y": treated}, ["y"]), Moments.of({"y": control}, ["y"]), column="y")
    m_t, m_c = treated.mean(), control.mean()
    v_t, v_c = treated.var(ddof=1) / 300, control.var(ddof=1) / 900
    assert found.relative_std_error == pytest.approx(
        np.sqrt(v_t / m_c**2 + v_c * m_t**2 / m_c**4), rel=1e-12
    )
    drawn = (rng.normal(m_t, np.sqrt(v_t), 40_000), rng.normal(m_c, np.sqrt(v_c), 40_000))
    assert found.relative_std_error == pytest.approx(
        np.std((drawn[0] - drawn[1]) / np.abs(drawn[1])), rel=0.03
    )


def test_the_relative_error_knows_nothing_of_the_confidence_nor_of_a_mean_that_may_be_zero():
    rng = np.random.default_rng(32)
    treated, control = (Moments.of({"y": rng.normal(5, 3, 12)}, ["y"]) for _ in range(2))
    wide, narrow = (welch(treated, control, column="y", confidence=c) for c in (0.999, 0.8))
    assert wide.relative_std_error == narrow.relative_std_error
    assert np.diff(wide.relative_ci) > 2 * np.diff(narrow.relative_ci)
    nothing = Moments.of({"y": rng.normal(0, 3, 12)}, ["y"])
    assert np.isnan(welch(treated, nothing, column="y").relative_std_error)


def test_a_widened_interval_is_that_of_more_standard_errors():
    rng = np.random.default_rng(33)
    treated, control = (Moments.of({"y": rng.normal(5, 3, 400)}, ["y"]) for _ in range(2))
    near = welch(treated, control, column="y", confidence=0.9)
    far = welch(treated, control, column="y", confidence=0.99)
    factor = stats.t.ppf(0.995, near.df) / stats.t.ppf(0.95, near.df)
    found = widened(near, factor)
    assert found.ci == pytest.approx(far.ci, rel=1e-9)
    assert found.relative_ci == pytest.approx(far.relative_ci, rel=1e-4)  # other df of the log


def test_a_treatment_mean_next_to_zero_has_a_finite_relative_interval():
    rng = np.random.default_rng(34)
    noise = rng.normal(0, 1, 50)
    treated = Moments.of({"y": noise - noise.mean() + 1e-6}, ["y"])
    control = Moments.of({"y": rng.normal(5, 1, 50)}, ["y"])
    low, high = welch(treated, control, column="y").relative_ci
    assert -1.2 < low < -1 < high < -0.8
