import numpy as np
import pytest
from scipy import stats

from uplift.errors import DataError, DefinitionError
from uplift.inference import skewness, two_part
from uplift.inference.power import required_units
from uplift.inference.skewness import Shape, tails_of_t_test
from uplift.inference.two_part import TwoPart

SPEND = TwoPart.lognormal(buyer_share=0.02, mean=60.0, std=40.0)


def test_the_whole_is_that_of_drawn_customers():
    rng = np.random.default_rng(1)
    spread = np.log1p((40 / 60) ** 2)
    baskets = rng.lognormal(np.log(60) - spread / 2, np.sqrt(spread), 3_000_000)
    spend = np.where(rng.random(3_000_000) < 0.02, baskets, 0.0)
    seen, whole = Shape.of(spend), SPEND.whole
    assert whole.mean == pytest.approx(seen.mean, rel=0.02)
    assert whole.variance == pytest.approx(seen.variance, rel=0.03)
    assert whole.skewness == pytest.approx(seen.skewness, rel=0.05)
    again = TwoPart.of(spend).whole  # the same moments by another road
    assert again.variance == pytest.approx(seen.variance, rel=1e-5)
    assert again.third == pytest.approx(seen.third, rel=1e-5)
    assert again.fourth == pytest.approx(seen.fourth, rel=1e-5)


def test_the_rule_is_355_squared_skewnesses():
    assert skewness.units_for_normality(17.0) == pytest.approx(355 * 289)
    assert Shape.of([1.0, 2.0, 3.0]).skewness == 0


def test_one_arm_against_a_sure_one_is_halls_expansion():
    """Hall (1992), section 2.6: the studentised mean of a skewed sample."""
    n, skew, kurtosis = 400, 1.5, 4.0
    sample = Shape(mean=0.0, variance=1.0, third=skew, fourth=kurtosis + 3)
    sure = Shape(mean=0.0, variance=1e-12)
    found = tails_of_t_test(0.0, control=sure, treatment=sample, n_control=1e9, n_treatment=n)
    c = stats.t.ppf(0.975, n - 1)
    for x, tail in ((c, found.upper), (-c, 1 - found.lower)):
        third = skew / np.sqrt(n) * (2 * x**2 + 1) / 6
        second = kurtosis / 12 * (x**2 - 3) - skew**2 / 18 * (x**4 + 2 * x**2 - 3)
        second = x * (second - (x**2 + 1) / 4) / n
        law = stats.norm.cdf(x) + stats.norm.pdf(x) * (third + second)
        assert tail == pytest.approx(1 - law, abs=2e-5)


@pytest.mark.parametrize(("n_control", "n_treatment"), [(2_000, 38_000), (5_000, 20_000)])
def test_a_small_control_with_skewed_revenue_errs_as_the_expansion_says(n_control, n_treatment):
    arms = {"n_control": n_control, "n_treatment": n_treatment}
    seen = two_part.simulated_tails(control=SPEND, treatment=SPEND, **arms, n_draws=20_000, seed=2)
    found = tails_of_t_test(0.0, control=SPEND.whole, **arms)
    assert found.trusted
    for side in ("upper", "lower"):
        rate = getattr(seen, side)
        error = 3 * np.sqrt(rate * (1 - rate) / 20_000)
        assert getattr(found, side) == pytest.approx(rate, abs=error + 0.001)
        assert abs(0.025 - rate) > error + 0.001  # the plain normal fails the same check
    assert seen.upper > 1.5 * seen.lower


@pytest.mark.parametrize("relative_effect", [0.45, -0.4])
def test_its_power_is_that_of_simulated_experiments(relative_effect):
    treated = SPEND.changed(relative_effect, "buyers")
    arms = {"n_control": 3_000, "n_treatment": 57_000}
    seen = two_part.simulated_tails(
        control=SPEND, treatment=treated, **arms, n_draws=10_000, seed=3
    )
    effect = treated.whole.mean - SPEND.whole.mean
    found = tails_of_t_test(effect, control=SPEND.whole, treatment=treated.whole, **arms)
    side = "upper" if effect > 0 else "lower"
    assert getattr(found, side) == pytest.approx(getattr(seen, side), abs=0.015)
    variance = SPEND.whole.variance / 3_000 + treated.whole.variance / 57_000
    plain = stats.norm.sf(1.959964 - abs(effect) / np.sqrt(variance))
    assert abs(plain - getattr(seen, side)) > 0.015


def test_shapes_beyond_the_expansion_are_not_trusted():
    wild = TwoPart.lognormal(buyer_share=0.01, mean=60.0, std=90.0)
    found = tails_of_t_test(0.0, control=wild.whole, n_control=2_000, n_treatment=38_000)
    assert not found.trusted
    assert 0 <= found.lower < 0.025 < found.upper <= 1


def test_without_skewness_it_is_the_plain_plan():
    flat = Shape(mean=5.0, variance=9.0, third=0.0, fourth=3 * 81.0)
    shares = {"control_share": 0.5, "treatment_share": 0.5}
    aware = skewness.skewed_units(0.1, control=flat, **shares)
    assert aware == pytest.approx(required_units(0.1, **shares, control_variance=9.0), rel=1e-3)
    tails = tails_of_t_test(0.0, control=flat, n_control=50, n_treatment=60)
    assert tails.both == pytest.approx(0.05, abs=3e-4)


def test_honest_tails_need_about_355_squared_skewnesses_of_a_small_control():
    units = skewness.units_for_honest_tails(
        control=SPEND.whole, control_share=0.05, treatment_share=0.95, tolerance=0.18
    )
    assert 0.05 * units == pytest.approx(
        skewness.units_for_normality(SPEND.whole.skewness), rel=0.25
    )
    equal = skewness.units_for_honest_tails(
        control=SPEND.whole, control_share=0.5, treatment_share=0.5, tolerance=0.18
    )
    assert equal < 0.05 * units


def test_more_buyers_are_seen_by_conversion_and_larger_baskets_by_spend_only():
    arms = {"n_control": 20_000, "n_treatment": 60_000}
    buyers, basket, both = two_part.two_part_power(0.2, control=SPEND, **arms)
    assert buyers.conversion > buyers.spend > 0.3
    assert basket.conversion == pytest.approx(0.05)
    assert basket.spend > 0.3
    assert basket.conversion < both.conversion < buyers.conversion
    for test, path in (("conversion", "buyers"), ("spend", "basket"), ("spend", "both")):
        rise = two_part.two_part_detectable(control=SPEND, **arms, path=path, test=test)
        rows = two_part.two_part_power(rise, control=SPEND, **arms)
        row = next(row for row in rows if row.path == path)
        assert getattr(row, test) == pytest.approx(0.8, abs=1e-6)
    never = two_part.two_part_detectable(control=SPEND, **arms, path="basket", test="conversion")
    assert np.isnan(never)


@pytest.mark.parametrize("path", two_part.PATHS)
def test_a_change_raises_spend_by_what_it_says(path):
    assert SPEND.changed(0.3, path).whole.mean == pytest.approx(1.3 * SPEND.whole.mean)


@pytest.mark.parametrize(
    ("call", "kind", "code"),
    [
        (lambda: Shape.of([1.0, np.nan]), DataError, "OUTCOME_MISSING"),
        (lambda: TwoPart.of([0.0, 0.0, 5.0]), DataError, "ARM_TOO_SMALL"),
        (lambda: SPEND.changed(60.0, "buyers"), DefinitionError, "PROPORTION_INVALID"),
        (lambda: SPEND.changed(0.1, "luck"), DefinitionError, "PATH_INVALID"),
        (
            lambda: tails_of_t_test(0, control=SPEND.whole, n_control=1, n_treatment=9),
            DefinitionError,
            "ARM_TOO_SMALL",
        ),
        (
            lambda: skewness.skewed_units(
                0, control=SPEND.whole, control_share=0.5, treatment_share=0.5
            ),
            DefinitionError,
            "EFFECT_INVALID",
        ),
    ],
)
def test_what_cannot_be_described_is_refused(call, kind, code):
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code == code
