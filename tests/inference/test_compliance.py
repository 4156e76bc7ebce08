import numpy as np
import pytest
from scipy import stats
from statsmodels.sandbox.regression.gmm import IV2SLS

from uplift.errors import DataError
from uplift.inference.compliance import complier_effect, covariances_for_delivery
from uplift.inference.leaks import (
    bounds_interval,
    check_contamination,
    leak_bounds,
)
from uplift.inference.means import welch
from uplift.inference.moments import Moments

R = 500
BAND = 3 * np.sqrt(0.05 * 0.95 / R)
COLUMNS = ["y", "d", "yd"]


def population(rng, n, *, assigned, always=0.0, never=0.2, effect=2.0, always_effect=2.0):
    """Outcomes of an arm: those who are always, never, or only if assigned reached differ."""
    u = rng.random(n)
    is_always, is_never = u < always, u >= 1 - never
    reached = is_always | (~is_never if assigned else np.zeros(n, dtype=bool))
    base = rng.normal(10, 3, n) + 3 * is_always - 4 * is_never
    gain = np.where(is_always, always_effect, effect)
    y = base + gain * reached
    return {"y": y, "d": reached.astype(float), "yd": y * reached}


def moments(data):
    return Moments.of(data, COLUMNS, covariances_for_delivery(["y"], "d", ["yd"]))


def arms(rng, n=800, **options):
    return (moments(population(rng, n, assigned=flag, **options)) for flag in (True, False))


@pytest.mark.parametrize("always", [0.0, 0.1])
def test_it_is_two_stage_least_squares(always):
    rng = np.random.default_rng(1)
    t, c = (population(rng, 2_000, assigned=flag, always=always) for flag in (True, False))
    found = complier_effect(moments(t), moments(c), outcome="y", delivered="d")
    arm = np.r_[np.ones(2_000), np.zeros(2_000)]
    one = np.ones(4_000)
    d = np.r_[t["d"], c["d"]]
    oracle = IV2SLS(
        np.r_[t["y"], c["y"]], np.column_stack([one, d]), np.column_stack([one, arm])
    ).fit()
    assert found.effect == pytest.approx(oracle.params[1], rel=1e-9)
    assert found.std_error == pytest.approx(oracle.bse[1], rel=0.02)
    assert found.one_sided is (always == 0.0)
    assert found.assigned.effect == pytest.approx(welch(moments(t), moments(c), column="y").effect)


@pytest.mark.parametrize("always", [0.0, 0.1])
def test_assigned_and_reached_effects_both_cover_and_those_who_were_reached_do_not(always):
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(R):
        t, c = arms(rng, always=always)
        found = complier_effect(t, c, outcome="y", delivered="d")
        compliers = 1 - 0.2 - always
        reached_only = t.mean_of("yd") / t.mean_of("d") - c.mean_of("y")
        inside.append(
            (
                found.assigned.ci[0] <= 2.0 * compliers <= found.assigned.ci[1],
                found.ci[0] <= 2.0 <= found.ci[1],
                found.delta_ci[0] <= 2.0 <= found.delta_ci[1],
                abs(reached_only - 2.0) <= found.std_error * 1.96,
            )
        )
    assigned, fieller, delta, reached = np.mean(inside, axis=0)
    assert assigned == pytest.approx(0.95, abs=BAND)
    assert fieller == pytest.approx(0.95, abs=BAND)
    assert delta == pytest.approx(0.95, abs=BAND)
    assert reached < 0.5


def test_when_hardly_anybody_is_reached_only_the_fieller_interval_stays_honest():
    rng = np.random.default_rng(3)
    fieller, delta = [], []
    for _ in range(2 * R):
        t, c = arms(rng, n=60, always=0.45, never=0.45)  # 10 % compliers: nearly no information
        found = complier_effect(t, c, outcome="y", delivered="d")
        fieller.append(np.isnan(found.ci[0]) or found.ci[0] <= 2.0 <= found.ci[1])
        delta.append(found.delta_ci[0] <= 2.0 <= found.delta_ci[1])
    assert np.mean(fieller) >= 0.95 - BAND / np.sqrt(2)
    assert np.mean(delta) < 0.95 - BAND / np.sqrt(2)


def test_the_compliers_are_told_what_they_would_have_done():
    rng = np.random.default_rng(4)
    t, c = arms(rng, n=200_000, always=0.1)
    found = complier_effect(t, c, outcome="y", delivered="d")
    assert found.control_mean == pytest.approx(10.0, abs=0.05)
    assert found.relative_effect == pytest.approx(0.2, abs=0.005)


def test_the_effect_of_being_reached_is_proven_exactly_when_that_of_being_assigned_is():
    rng = np.random.default_rng(5)
    for _ in range(50):
        found = complier_effect(*arms(rng, n=100, effect=0.7), outcome="y", delivered="d")
        low, high = found.ci
        assert (low > 0 or high < 0) == (found.p_value < 0.05)
    assert "of being reached" in found.table().text()


def test_bounds_cover_what_a_clean_holdout_would_have_shown_and_the_measured_effect_does_not():
    rng = np.random.default_rng(6)
    clean = 0.77 * 2.0 + 0.03 * 6.0  # all who can be reached; those in the leak respond thrice
    inside, measured = [], []
    for _ in range(R):
        t, c = arms(rng, n=4_000, always=0.03, always_effect=6.0)
        found = leak_bounds(
            t, c, outcome="y", delivered="d", delivered_outcome="yd", lowest=0.0, highest=30.0
        )
        inside.append(found.ci[0] <= clean <= found.ci[1])
        assert found.bounds[0] < found.if_alike < found.bounds[1]
        measured.append(found.assigned.ci[0] <= clean <= found.assigned.ci[1])
    assert np.mean(inside) >= 0.95 - BAND
    assert np.mean(measured) < 0.95 - BAND


def test_if_those_in_the_leak_respond_alike_the_number_covers_and_the_measured_does_not():
    rng = np.random.default_rng(7)
    alike, measured = [], []
    for _ in range(R):
        found = leak_bounds(
            *arms(rng, n=4_000, always=0.1), outcome="y", delivered="d", delivered_outcome="yd"
        )
        alike.append(found.if_alike_ci[0] <= 1.6 <= found.if_alike_ci[1])
        measured.append(found.assigned.ci[0] <= 1.6 <= found.assigned.ci[1])
    assert np.mean(alike) == pytest.approx(0.95, abs=BAND)
    assert np.mean(measured) < 0.5


def test_a_harmless_contact_makes_the_measured_effect_the_lower_bound():
    rng = np.random.default_rng(8)
    t, c = arms(rng, n=3_000, always=0.05)
    options = {"outcome": "y", "delivered": "d", "delivered_outcome": "yd"}
    open_ended = leak_bounds(t, c, **options)
    assert open_ended.bounds == (-np.inf, np.inf)
    spend = leak_bounds(t, c, **options, lowest=0.0, harmless=True)
    assert spend.bounds[0] == spend.assigned.effect
    assert spend.bounds[1] == pytest.approx(spend.assigned.effect + c.mean_of("yd"))
    assert spend.bias == pytest.approx((-c.mean_of("yd"), 0.0))
    assert "at most" in spend.table().text()
    assert spend.to_dict()["leak_share"] == pytest.approx(0.05, abs=0.02)


def test_without_a_leak_the_bounds_are_the_measured_effect():
    rng = np.random.default_rng(9)
    t, c = arms(rng)
    found = leak_bounds(
        t, c, outcome="y", delivered="d", delivered_outcome="yd", lowest=0.0, highest=30.0
    )
    assert found.bounds == pytest.approx((found.assigned.effect,) * 2)
    assert found.if_alike == pytest.approx(found.assigned.effect)
    half = (found.ci[1] - found.ci[0]) / 2
    assert half / found.assigned.std_error == pytest.approx(stats.norm.ppf(0.975), rel=1e-6)


def test_far_apart_bounds_need_only_one_side():
    rng = np.random.default_rng(10)
    t, c = arms(rng)
    near = welch(t, c, column="y")
    low, _ = bounds_interval(near, None)
    assert (near.effect - low) / near.std_error == pytest.approx(stats.norm.ppf(0.95))


def test_a_contaminated_control_is_a_warning_and_above_one_percent_somebody_must_act():
    assert check_contamination(0, n_control=1_000).passed
    few, many = check_contamination(3, n_control=1_000), check_contamination(30, n_control=1_000)
    assert (few.verdict, few.code, few.value) == ("warning", "CONTAMINATION", 0.003)
    assert not few.blocking
    assert "Find out" in many.remedy
    assert "Find out" not in few.remedy


def test_a_delivery_that_is_not_yes_or_no_is_refused():
    rng = np.random.default_rng(11)
    data = population(rng, 50, assigned=True)
    data["d"] = data["d"] * 2
    with pytest.raises(DataError, match="0 or 1") as caught:
        complier_effect(moments(data), moments(data), outcome="y", delivered="d")
    assert caught.value.code == "OUTCOME_NOT_BINARY"


def test_nobody_reached_is_not_estimable():
    rng = np.random.default_rng(12)
    t, c = arms(rng, never=1.0)
    found = complier_effect(t, c, outcome="y", delivered="d")
    assert np.isnan([found.effect, *found.ci, found.control_mean]).all()
    assert np.isfinite(found.assigned.ci).all()
