"""Noncentral t, relative effects, score test, rules over several tests."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower

from uplift.errors import DefinitionError
from uplift.inference import noninferiority, power_rules, power_score, power_t, relative_power
from uplift.inference import power as planner

ARMS = {"n_control": 12.0, "n_treatment": 30.0}


@pytest.mark.parametrize(
    ("alternative", "theirs"),
    [("two-sided", "two-sided"), ("greater", "larger"), ("less", "smaller")],
)
def test_equal_arms_by_the_noncentral_t_are_statsmodels(alternative, theirs):
    sign = -1 if alternative == "less" else 1
    found = power_t.power_mean_nct(
        sign * 0.7, n_control=15, n_treatment=15, control_variance=1, alternative=alternative
    )
    oracle = TTestIndPower().power(sign * 0.7, 15, 0.05, alternative=theirs)
    assert found == pytest.approx(oracle, abs=1e-8)


def test_units_effect_and_power_by_the_noncentral_t_are_one_equation():
    common = {"control_variance": 2.0, "treatment_variance": 5.0, "alternative": "less"}
    n = power_t.required_units_nct(-0.9, ratio=3.0, power=0.9, **common)
    arms = {"n_control": n / 4, "n_treatment": 3 * n / 4}
    assert power_t.power_mean_nct(-0.9, **arms, **common) >= 0.9
    fewer = {"n_control": (n - 1) / 4, "n_treatment": 3 * (n - 1) / 4}
    assert power_t.power_mean_nct(-0.9, **fewer, **common) < 0.9
    effect = power_t.detectable_effect_nct(**arms, power=0.9, **common)
    assert -0.9 <= effect < -0.85


def test_few_units_are_seen_by_the_t_and_not_by_the_normal():
    rng = np.random.default_rng(1)
    c = rng.normal(0, 1, (20_000, 5))
    t = rng.normal(2.0, 1, (20_000, 5))
    seen = np.mean(stats.ttest_ind(t, c, axis=1, equal_var=True).pvalue < 0.05)
    arms = {"n_control": 5, "n_treatment": 5}
    found = power_t.power_mean_nct(2.0, **arms, control_variance=1)
    assert found == pytest.approx(seen, abs=0.01)
    normal = planner.power_of(2.0, **arms, control_variance=1)
    assert abs(normal - seen) > 0.05


def test_a_relative_effect_is_planned_with_the_error_of_the_control_mean():
    arms = {"control_mean": -2.0, "n_control": 400, "n_treatment": 900, "control_variance": 9.0}
    rise = relative_power.detectable_relative(**arms)
    assert relative_power.power_of_relative(rise, **arms) == pytest.approx(0.8, abs=1e-3)
    shares = {"control_share": 4 / 13, "treatment_share": 9 / 13}
    n = relative_power.required_units_relative(
        rise, control_mean=-2.0, **shares, control_variance=9.0
    )
    assert n == pytest.approx(1_300, rel=1e-9)
    rng = np.random.default_rng(2)
    c = rng.normal(-2.0, 3 / np.sqrt(400), 20_000)
    t = rng.normal(-2.0 + 2 * rise, 3 / np.sqrt(900), 20_000)
    seen = np.std((t - c) / np.abs(c))
    error = relative_power.relative_std_error(rise, **arms)
    assert error == pytest.approx(seen, rel=0.05)
    uncertain = {**arms, "n_control": 4}
    assert relative_power.detectable_relative(**uncertain) == np.inf


def test_units_still_to_come_reach_the_power():
    now = {"std_error": 0.5, "n_units": 1_000}
    share = relative_power.additional_share_needed(0.8, **now)
    error = 0.5 / np.sqrt(1 + share)
    found = stats.norm.sf(1.959964 - 0.8 / error) + stats.norm.cdf(-1.959964 - 0.8 / error)
    assert found == pytest.approx(0.8, abs=1e-6)
    assert relative_power.additional_share_needed(5.0, **now) == 0
    assert relative_power.additional_share_needed(0.8, **now, n_goals=3) > share
    assert relative_power.additional_share_needed(0.8, **now, tuning_n=5_000) > share


def test_rare_events_have_the_power_the_exact_sum_says():
    arms = {"n_control": 300, "n_treatment": 5_700}
    exact = power_score.exact_power_of_score(0.01, 0.02, **arms)
    rng = np.random.default_rng(3)
    x_c, x_t = rng.binomial(300, 0.01, 40_000), rng.binomial(5_700, 0.03, 40_000)
    pooled = (x_c + x_t) / 6_000
    error = np.sqrt(pooled * (1 - pooled) * (1 / 300 + 1 / 5_700) * 6_000 / 5_999)
    seen = np.mean(np.abs(x_t / 5_700 - x_c / 300) > 1.959964 * error)
    assert exact == pytest.approx(seen, abs=3 * np.sqrt(0.25 / 40_000))
    assert abs(planner.power_of_proportion(0.01, 0.02, **arms) - seen) > 0.05


def test_the_score_tests_plan_is_one_equation_and_near_the_exact_one():
    arms = {"n_control": 4_000, "n_treatment": 16_000}
    rise = power_score.detectable_score(0.02, **arms)
    n = power_score.required_units_score(0.02, rise, control_share=0.2, treatment_share=0.8)
    assert n == pytest.approx(20_000, rel=1e-3)
    exact = power_score.exact_power_of_score(0.02, rise, **arms)
    assert exact == pytest.approx(0.8, abs=0.02)
    alarms = power_score.exact_power_of_score(0.02, 0.0, **arms)
    assert alarms == pytest.approx(0.05, abs=0.005)


def rule(**changes):
    kept = {"name": "spend", "mean": 5.0, "variance": 40.0, "effect": 0.3}
    return power_rules.PlannedTest(**{**kept, **changes})


def test_one_metric_and_one_arm_is_the_plain_plan():
    units = power_rules.required_units_of_rule([rule()], weights=[1, 3])
    plain = planner.required_units(
        0.3, control_share=0.25, treatment_share=0.75, control_variance=40.0
    )
    assert units[0] == pytest.approx(plain, rel=1e-9)


def test_the_rule_as_a_whole_has_the_power_when_all_its_parts_are_true():
    tests = [rule(), rule(name="a", effect=0.3, guardrail=True), rule(name="b", guardrail=True)]
    n = power_rules.required_units_of_rule(tests, weights=[1, 1], power=0.8)
    rng = np.random.default_rng(4)
    held = []
    for test, units in zip(tests, n, strict=True):
        shift = abs(test.effect) / np.sqrt(4 * test.variance / units)
        bound = stats.norm.isf(0.05 if test.guardrail else 0.025)
        held.append(rng.normal(shift, 1, 20_000) > bound)
    assert np.mean(np.all(held, axis=0)) >= 0.8  # independent: more than the bound
    alone = power_rules.required_units_of_rule(tests[:1], weights=[1, 1], power=0.8)[0]
    assert n[0] > alone  # guardrails cost power
    worst = power_rules.power_of_rule(tests, n_units=float(n.max()), weights=[1, 1])
    assert np.all(worst >= 1 - 0.2 / 3 - 1e-9)


def test_success_metrics_and_arms_share_the_error():
    assert power_rules.error_per_test(0.05, n_success=2, n_treatments=3) == pytest.approx(0.05 / 6)
    one = power_rules.required_units_of_rule([rule()], weights=[1, 1, 1])[0]
    two = power_rules.required_units_of_rule([rule(), rule(name="b")], weights=[1, 1, 1])[0]
    assert two > one


def test_weights_are_best_between_the_metrics_own():
    tests = [rule(proportion=True, mean=0.1, variance=0.09, effect=0.05), rule(effect=0.6)]
    weights, units = power_rules.rule_weights(tests, n_treatments=2, control_advantage=2**0.5)
    for moved in (0.9, 1.1):
        other = [weights[0] * moved, *weights[1:]]
        assert power_rules.required_units_of_rule(tests, weights=other).max() >= units - 1e-6


def test_shares_are_best_for_the_money():
    costs = {"control_cost": 4.0, "treatment_costs": [1.0, 1.0]}
    shares = np.array(power_rules.best_shares(treatment_variances=[1.0, 1.0], **costs))

    def variance_for_one_coin(weights):
        units = weights / (weights @ [4.0, 1.0, 1.0])
        return 2 / units[0] + 1 / units[1] + 1 / units[2]

    best = variance_for_one_coin(shares)
    rng = np.random.default_rng(5)
    for _ in range(50):
        assert variance_for_one_coin(shares * rng.uniform(0.7, 1.4, 3)) >= best - 1e-9
    assert power_rules.best_shares() == (0.5, 0.5)


def test_noninferiority_is_one_equation():
    arms = {"n_control": 500.0, "n_treatment": 1_500.0, "variance": 7.0, "confidence": 0.975}
    margin = noninferiority.detectable_margin(**arms, true_effect=0.1)
    found = noninferiority.power_of_noninferiority(margin, **arms, true_effect=0.1)
    assert found == pytest.approx(0.8, abs=1e-9)
    n = noninferiority.required_units_noninferiority(
        margin,
        control_share=0.25,
        treatment_share=0.75,
        variance=7.0,
        confidence=0.975,
        true_effect=0.1,
    )
    assert n == pytest.approx(2_000, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (
            lambda: power_t.power_mean_nct(1, n_control=1, n_treatment=9, control_variance=1),
            "ARM_TOO_SMALL",
        ),
        (
            lambda: power_t.required_units_nct(1, control_variance=1, alternative="less"),
            "EFFECT_INVALID",
        ),
        (
            lambda: power_t.power_mean_nct(1, **ARMS, control_variance=1, alternative="up"),
            "ALTERNATIVE_INVALID",
        ),
        (lambda: power_t.power_mean_nct(1, **ARMS, control_variance=0), "VARIANCE_INVALID"),
        (
            lambda: power_t.detectable_effect_nct(**ARMS, control_variance=1, power=0.01),
            "PROBABILITY_INVALID",
        ),
        (
            lambda: relative_power.relative_std_error(
                0.1, control_mean=0, **ARMS, control_variance=1
            ),
            "RATIO_UNDEFINED",
        ),
        (lambda: rule(effect=0.0), "EFFECT_INVALID"),
        (lambda: power_rules.required_units_of_rule([rule()], weights=[1]), "WEIGHTS_INVALID"),
        (lambda: power_rules.best_shares(control_cost=0), "COST_INVALID"),
        (
            lambda: noninferiority.required_units_noninferiority(
                -1, control_share=0.5, treatment_share=0.5, variance=1
            ),
            "MARGIN_INVALID",
        ),
        (
            lambda: noninferiority.required_units_noninferiority(
                1, control_share=0.5, treatment_share=0.5, variance=1, true_effect=-2
            ),
            "EFFECT_INVALID",
        ),
        (
            lambda: power_score.power_of_score(0.9, 0.2, n_control=9, n_treatment=9),
            "PROPORTION_INVALID",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(call, code):
    with pytest.raises(DefinitionError) as caught:
        call()
    assert caught.value.code == code
