"""Published cases of other programs, each reached through a public function with its arguments."""

import json
import math

import numpy as np
import pytest

from uplift.inference import (
    always_valid,
    group_sequential,
    power,
    power_rules,
    power_t,
    relative_power,
    sample_ratio,
    uniform_boundaries,
)
from uplift.inference import sample_ratio_sequential as daily


@pytest.fixture(scope="module")
def cases(shared):
    found = json.loads((shared / "vectors" / "experimentation.json").read_text())["cases"]
    by_category = {}
    for case in found:
        by_category.setdefault(case["category"], []).append(case)
    return by_category


def aggregates(arm):
    """Mean and variance (proportions with divisor n) from count, sum and sum of squares."""
    n, total, squares = arm["n"], arm["sum"], arm["sum_squares"]
    if total == squares:
        return n, total / n, total / n * (1 - total / n)
    return n, total / n, (squares - total**2 / n) / (n - 1)


def relative(inputs, widened=1.0):
    """Arguments of the functions on relative effects; variances of both arms are the control's."""
    mean = inputs.get("mean", inputs.get("conversion_rate"))
    n = inputs.get("total_users") or inputs["users_per_week"] * inputs["weeks"]
    return {
        "control_mean": mean,
        "n_control": n / inputs["n_variations"],
        "n_treatment": n / inputs["n_variations"],
        "control_variance": inputs.get("variance", mean * (1 - mean)),
        "confidence": 1 - inputs["alpha"],
        "inflation": widened,
    }


def widening(inputs, tuning_n):
    n = inputs.get("total_users") or inputs["users_per_week"] * inputs["weeks"]
    both = 2 * n / inputs["n_variations"]
    return always_valid.inflation(both, tuning_n=tuning_n, alpha=inputs["alpha"])


def check_relative(case, expected, widened):
    inputs, arms = case["inputs"], relative(case["inputs"], widened=widened)
    target = inputs.get("power", inputs.get("target_power", 0.8))
    if "power" in expected:
        found = relative_power.power_of_relative(inputs["effect_rel"], **arms)
        assert found == pytest.approx(expected["power"], abs=1e-5), case["id"]
    if "mde_rel" in expected:
        found = relative_power.detectable_relative(**arms, power=target)
        assert found == pytest.approx(expected["mde_rel"], abs=1e-5), case["id"]


def test_relative_power_with_and_without_peeking(cases):
    for case in cases["power.weekly"]:
        check_relative(case, case["expected"], 1.0)
        wide = widening(case["inputs"], 5_000)
        check_relative(case, case["expected"]["sequential_5000"], wide)
    for case in cases["power.sequential"]:
        check_relative(case, case["expected"], widening(case["inputs"], case["inputs"]["tuning_n"]))


def test_power_of_means(cases):
    for case in cases["power.mean"]:
        inputs = case["inputs"]
        if "n_variations" in inputs:
            check_relative(case, case["expected"], 1.0)
            continue
        found = power.power_of(
            inputs["mde_abs"],
            n_control=inputs["n1"],
            n_treatment=inputs["n2"],
            control_variance=inputs["variance"],
            confidence=1 - inputs["alpha"],
        )
        assert found == pytest.approx(case["expected"]["power"], abs=case["tolerance"])


def test_power_by_the_noncentral_t(cases):
    for case in cases["power.mean_nct"]:
        inputs, expected = case["inputs"], case["expected"]
        mean = inputs["sample"]["mean"][inputs["column"]]
        common = {
            "control_variance": inputs["sample"]["var"][inputs["column"]],
            "confidence": 1 - inputs["alpha"],
            "alternative": inputs["alternative"],
        }
        ratio, n = inputs["ratio"], inputs.get("n", 0)
        arms = {"n_control": n / (1 + ratio), "n_treatment": n * ratio / (1 + ratio)}
        effect = inputs.get("effect", mean * inputs.get("effect_rel", 0.0))
        if "n" in expected:
            found = power_t.required_units_nct(effect, ratio=ratio, power=inputs["power"], **common)
            assert found == expected["n"]
        if "effect" in expected:
            found = power_t.detectable_effect_nct(**arms, power=inputs["power"], **common)
            assert found == pytest.approx(expected["effect"], abs=1e-6)
            assert found / mean == pytest.approx(expected["effect_rel"], abs=1e-6)
        if "power" in expected:
            found = power_t.power_mean_nct(effect, **arms, **common)
            assert found == pytest.approx(expected["power"], abs=1e-6)


def test_sample_sizes(cases):
    for case in cases["power.sample_size"]:
        inputs = case["inputs"]
        variance = inputs.get("variance", inputs.get("p", 0) * (1 - inputs.get("p", 0)))
        found = power_rules.required_units_of_arms(
            inputs["mde_abs"],
            variance=variance,
            weights=[1.0] * inputs["groups"],
            confidence=1 - inputs["alpha"],
            power=inputs["power"],
            all_treatments=False,
        )
        assert found == pytest.approx(case["expected"]["total_n"], rel=0.005), case["id"]


def planned_tests(metrics):
    tests = []
    for metric in metrics:
        relative_effect = metric.get("mde_rel", metric.get("nim_rel"))
        down = metric["preference"] == "decrease" and "mde_rel" in metric
        tests.append(
            power_rules.PlannedTest(
                name=metric["name"],
                mean=metric["avg"],
                variance=metric["var"],
                effect=metric["avg"] * relative_effect * (-1 if down else 1),
                guardrail="nim_rel" in metric,
                proportion=metric["binary"],
                one_sided=metric["preference"] is not None,
            )
        )
    return tests


def test_sizes_of_the_decision_rule(cases):
    for case in cases["power.sample_size_decision_rule"]:
        inputs, tests = case["inputs"], planned_tests(case["inputs"]["metrics"])
        errors = {"alpha": inputs["alpha"], "power": inputs["power"]}
        found = power_rules.required_units_of_rule(tests, weights=inputs["weights"], **errors)
        assert found == pytest.approx(case["expected"]["required_n"], rel=1e-3), case["id"]
        n_treatments = len(inputs["weights"]) - 1
        _, units = power_rules.rule_weights(tests, n_treatments=n_treatments, **errors)
        assert units == pytest.approx(case["expected"]["optimal_weights_n"], rel=1e-3), case["id"]


def test_powered_effects(cases):
    for case in cases["power.powered_effect"]:
        inputs, expected = case["inputs"], case["expected"]
        n_c, mean, variance = aggregates(inputs["control"])
        n_t = inputs["treatment"]["n"]
        errors = {"confidence": 1 - inputs["alpha"], "power": inputs["power"]}
        found = power.detectable_effect(
            n_control=n_c, n_treatment=n_t, control_variance=variance, **errors
        )
        assert found == pytest.approx(expected["powered_effect"], abs=1e-3), case["id"]
        units = power.required_units(
            inputs["mde_rel"] * mean,
            control_share=n_c / (n_c + n_t),
            treatment_share=n_t / (n_c + n_t),
            control_variance=variance,
            **errors,
        )
        assert units == pytest.approx(expected["required_n"], abs=100), case["id"]


def test_units_still_to_come(cases):
    for case in cases["power.mid_experiment"]:
        inputs = case["inputs"]
        (n_c, mean_c, v_c), (n_t, mean_t, v_t) = map(
            aggregates, (inputs["control"], inputs["treatment"])
        )
        error = relative_power.relative_std_error(
            (mean_t - mean_c) / mean_c,
            control_mean=mean_c,
            n_control=n_c,
            n_treatment=n_t,
            control_variance=v_c,
            treatment_variance=v_t,
        )
        found = relative_power.additional_share_needed(
            inputs["target_mde"],
            std_error=error,
            n_units=n_c + n_t,
            confidence=1 - inputs["alpha"],
            power=inputs["target_power"],
            tuning_n=inputs.get("tuning_n"),
        )
        assert found == pytest.approx(case["expected"]["scaling_factor"], rel=2e-3), case["id"]


def test_group_sequential_bounds(cases):
    for case in cases["sequential.group_sequential"]:
        inputs, expected = case["inputs"], case["expected"]
        if "cumulative_n" in inputs:
            t = group_sequential.information_fractions(
                inputs["cumulative_n"], planned=inputs["planned_n"]
            )
        else:
            t = np.array(inputs["information_fractions"])
        name = inputs["spending"]
        spending = "power_family"
        if name.startswith("obf: "):
            spending = group_sequential.obrien_fleming(2)
        elif name.startswith("obf on total"):
            spending = group_sequential.obrien_fleming(1)
        elif name.startswith("pocock"):
            spending = "pocock"
        found = group_sequential.spending_boundary(
            t,
            alpha=inputs["alpha"],
            sides=inputs["sides"],
            spending=spending,
            smallest_spend=1e-7 if spending == "power_family" else 0.0,
        )
        if "adjusted_alpha" in expected:
            assert found.alpha_at_look == pytest.approx(expected["adjusted_alpha"], abs=1e-4)
            continue
        assert found.z == pytest.approx(expected["z_bounds"], abs=case["tolerance"]), case["id"]
        if case["derived"]:  # accurate ones
            assert found.z == pytest.approx(expected["z_bounds"], abs=2e-5), case["id"]
        else:  # the other program's search is coarse early on, not later
            assert found.z[20:] == pytest.approx(expected["z_bounds"][20:], abs=0.003)


def test_always_valid_multipliers(cases):
    for case in cases["sequential.asymptotic_cs_multiplier"]:
        inputs = case["inputs"]
        found = always_valid.multiplier(
            inputs["n_total"], tuning_n=inputs["tuning_n"], alpha=inputs["alpha"]
        )
        assert found == pytest.approx(case["expected"]["halfwidth_over_se"], abs=1e-9)


def test_always_valid_intervals(cases):
    plain = [c for c in cases["sequential.asymptotic_cs"] if "sum" in c["inputs"]["control"]]
    assert len(plain) >= 4
    for case in plain:
        inputs = case["inputs"]
        (n_c, mean_c, v_c), (n_t, mean_t, v_t) = map(
            aggregates, (inputs["control"], inputs["treatment"])
        )
        if inputs["difference"] == "relative":
            estimate = (mean_t - mean_c) / mean_c
            error = relative_power.relative_std_error(
                estimate,
                control_mean=mean_c,
                n_control=n_c,
                n_treatment=n_t,
                control_variance=v_c,
                treatment_variance=v_t,
            )
        else:
            estimate, error = mean_t - mean_c, math.sqrt(v_c / n_c + v_t / n_t)
        side = inputs.get("alternative", "two-sided")
        tuning = {"tuning_n": inputs["tuning_n"]}
        wide = error * always_valid.multiplier(
            n_c + n_t, **tuning, alpha=inputs["alpha"], sides=2 if side == "two-sided" else 1
        )
        low, high = case["expected"]["ci"]
        if low is not None:
            assert estimate - wide == pytest.approx(low, abs=1e-5), case["id"]
        if high is not None:
            assert estimate + wide == pytest.approx(high, abs=1e-5), case["id"]
        z = estimate / error
        if side == "two-sided":
            p = always_valid.always_valid_p_value(z, n_c + n_t, **tuning, alpha=inputs["alpha"])
        else:
            towards = z if side == "greater" else -z
            p = always_valid.always_valid_p_value_one_sided(towards, n_c + n_t, **tuning)
        assert p == pytest.approx(case["expected"]["p_value"], abs=1e-5), case["id"]


def test_uniform_boundaries(cases):
    for case in cases["sequential.confseq"]:
        inputs = dict(case["inputs"])
        name = inputs.pop("fn")
        if name.endswith("normal_mixture_best_rho"):
            found = uniform_boundaries.best_rho(
                inputs["v_opt"],
                alpha=inputs["alpha_opt"],
                one_sided=name.startswith("one_sided"),
            )
        else:
            first = [
                inputs.pop(key)
                for key in ("s", "quantile_p", "v", "t")
                if key in inputs and not (key == "s" and "stitching" in name)
            ]
            found = getattr(uniform_boundaries, name)(*first, **inputs)
        assert found == pytest.approx(case["expected"], abs=2e-5), case["id"]


def test_sample_ratio_by_chi_squared_and_binomial(cases):
    for case in cases["srm.chi2"]:
        found = sample_ratio.chi_squared_p_value(*case["inputs"].values())
        assert found == pytest.approx(case["expected"], abs=case["tolerance"] or 1e-9), case["id"]
    for case in cases["srm.binomial"]:
        inputs = case["inputs"]
        found = sample_ratio.binomial_p_value(
            inputs["control"],
            inputs["treatment"],
            ratio=inputs["ratio"],
            exact=inputs["method"] == "binom",
            continuity_correction=bool(inputs["continuity_correction"]),
        )
        assert found == pytest.approx(case["expected"], abs=case["tolerance"]), case["id"]


def test_sample_ratio_day_after_day(cases):
    for case in cases["srm.sequential_dirichlet"]:
        inputs, expected = case["inputs"], case["expected"]
        if "counts_sequence" not in inputs:
            pair = (inputs["log_marginal_m1"], inputs["log_marginal_m0"])
            assert daily.bayes_factor(*pair) == float(expected["bayes_factor"])
            assert daily.posterior_mismatch(*pair) == expected["posterior_probability"]
            continue
        found = daily.sequential_ratio(
            inputs["counts_sequence"],
            shares=inputs["null_probabilities"],
            prior=inputs["dirichlet_alpha"],
        )
        last = (found.log_alternative[-1], found.log_design[-1], found.log_bayes_factor[-1])
        wanted = [expected[key] for key in ("log_marginal_m1", "log_marginal_m0")]
        assert last[:2] == pytest.approx(wanted, abs=1e-6), case["id"]
        assert last[2] == pytest.approx(expected["log_bayes_factor"], abs=1e-6), case["id"]
