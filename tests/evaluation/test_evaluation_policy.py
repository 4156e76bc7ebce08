"""Policy values, gains and the recommendation, on suites whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from uplift.economics import Economics
from uplift.evaluation.evidence import gather
from uplift.evaluation.policy import all_policies, policy_gain, policy_value, policy_worth
from uplift.evaluation.quality import evaluate

FREE = Economics(currency="EUR", value_outcome="spend")


def policies_of(made, economics=None):
    evidence = gather(made.suite, made.trial, economics)
    effects = {name: c.effects for name, c in made.suite.candidates.items()}
    policies = all_policies(list(made.suite.candidates.values()), effects, evidence)
    return {policy.name: policy for policy in policies}, evidence


def test_the_value_of_everyone_is_the_mean_of_that_arms_doubly_robust_profit(crossing):
    policies, evidence = policies_of(crossing)
    dr = crossing.suite.dr_outcomes
    profit = 0.4 * dr["spend"][:, 2] - 0.9 - 2.0 * dr["redeemed"][:, 2]
    mean = policy_value(policies["everyone:post"].choice, evidence)
    assert mean.value == pytest.approx(profit.mean(), abs=1e-12)
    assert mean.std_error == pytest.approx(profit.std(ddof=1) / np.sqrt(len(profit)), rel=1e-9)


def test_without_economics_the_value_is_in_the_outcome(crossing):
    trial = replace(crossing.trial, economics=None)
    evidence = gather(crossing.suite, trial)
    assert evidence.unit == "spend"
    everyone = policy_value(np.ones(trial.n_units, dtype=np.int64), evidence)
    assert everyone.value == pytest.approx(crossing.suite.dr_outcomes["spend"][:, 1].mean())


def test_a_gain_is_paired_and_antisymmetric(crossing):
    policies, evidence = policies_of(crossing)
    learner, nobody = policies["t"].choice, policies["nobody"].choice
    gain, loss = policy_gain(learner, nobody, evidence), policy_gain(nobody, learner, evidence)
    assert gain.value == pytest.approx(-loss.value)
    assert policy_gain(learner, learner, evidence).ci == (0, 0)
    difference = policy_worth(learner, evidence) - policy_worth(nobody, evidence)
    assert gain.value == pytest.approx(difference.mean())


def test_the_learners_policy_has_the_true_value_within_its_error(crossing):
    policies, evidence = policies_of(crossing)
    profit = 0.4 * crossing.effect - [0.1 + 0.6, 0.9 + 0.6]
    best = np.maximum(profit.max(axis=1), 0)
    gain = policy_gain(policies["t"].choice, policies["nobody"].choice, evidence)
    assert gain.value == pytest.approx(best.mean(), abs=4 * gain.std_error)


def test_a_learner_is_recommended_where_arms_cross(crossing):
    quality = evaluate(crossing.suite, crossing.trial, n_bootstrap=20)
    assert quality.recommended == "t"
    assert quality.targeting == "proven"
    assert all(check.passed for check in quality.gates("t"))


def test_the_best_blanket_arm_is_recommended_where_all_customers_are_alike(make):
    made = make(
        np.tile([3.0, 12.0], (6000, 1)), learner=np.random.default_rng(0).normal(size=(6000, 2))
    )
    quality = evaluate(made.suite, made.trial, n_bootstrap=20)
    assert quality.recommended == "everyone:post"
    assert quality.recommended_candidate == "constant"
    assert quality.targeting == "not proven"
    assert all(check.passed for check in quality.gates())


def test_nobody_is_recommended_where_costs_eat_the_effect(make):
    made = make(np.tile([0.5, 1.0], (6000, 1)))
    quality = evaluate(made.suite, made.trial, n_bootstrap=20)
    assert quality.recommended == "nobody"
    assert [check.passed for check in quality.gates()] == [False]


def test_a_rule_that_finds_the_harmed_is_recommended_at_a_sensible_depth(make):
    rng = np.random.default_rng(3)
    helped = rng.random(8000) < 0.4
    made = make(np.column_stack([np.where(helped, 8.0, -8.0), np.full(8000, -20.0)]))
    ranking = (helped + rng.normal(size=8000) * 0.1)[:, None] * np.ones(2)
    candidates = dict(made.suite.candidates)
    candidates["rule"] = replace(candidates["rule"], effects=ranking)
    del candidates["t"]
    suite = replace(made.suite, candidates=candidates)
    quality = evaluate(suite, made.trial, n_bootstrap=20)
    assert quality.recommended == "rule"
    assert quality.policy("rule").share_contacted == pytest.approx(helped.mean(), abs=0.06)


def test_pure_noise_is_recommended_rarely(make):
    zero = np.zeros((600, 2))
    chosen = []
    for seed in range(60):
        learner = np.random.default_rng(1000 + seed).normal(size=(600, 2))
        made = make(zero, seed=seed, economics=FREE, learner=learner)
        chosen.append(evaluate(made.suite, made.trial, n_bootstrap=2))
    assert sum(quality.targeting == "proven" for quality in chosen) <= 3
    assert sum(quality.recommended != "nobody" for quality in chosen) <= 4


def test_the_value_of_a_policy_chosen_in_sample_is_too_high_and_the_crossed_one_is_not(make):
    gains = {"in sample": [], "crossed": []}
    for seed in range(30):
        made = make(np.zeros((500, 2)), seed=seed, economics=FREE)
        evidence = gather(made.suite, made.trial)
        seen = np.where(made.suite.scores.max(axis=1) > 0, made.suite.scores.argmax(axis=1) + 1, 0)
        policies, _ = policies_of(made)
        nobody = policies["nobody"].choice
        gains["in sample"].append(policy_gain(seen, nobody, evidence).value)
        gains["crossed"].append(policy_gain(policies["constant"].choice, nobody, evidence).value)
    error = np.std(gains["crossed"], ddof=1) / np.sqrt(30)
    assert abs(np.mean(gains["crossed"])) < 4 * error
    assert np.mean(gains["in sample"]) > 20 * error


def test_clusters_widen_the_intervals_and_copies_bring_nothing(make):
    once = make(np.random.default_rng(0).normal(3, 3, size=(300, 2)))
    dr = {name: np.repeat(x, 3, axis=0) for name, x in once.suite.dr_outcomes.items()}
    thrice = make(np.zeros((900, 2)), cluster=np.repeat(np.arange(300), 3))
    suite = replace(thrice.suite, dr_outcomes=dr)
    plain = replace(thrice.trial, cluster=None)
    everyone = [
        evaluate(*pair, n_bootstrap=2).policy("everyone:post")
        for pair in ((once.suite, once.trial), (suite, thrice.trial), (suite, plain))
    ]
    assert [row.value for row in everyone] == pytest.approx([everyone[0].value] * 3)
    assert everyone[1].std_error == pytest.approx(everyone[0].std_error)
    assert everyone[2].std_error == pytest.approx(everyone[0].std_error / np.sqrt(3), rel=0.01)


def test_weights_of_one_change_nothing(make, crossing):
    weighted = replace(crossing.trial, weight=np.ones(crossing.trial.n_units))
    plain = evaluate(crossing.suite, crossing.trial, n_bootstrap=5)
    other = evaluate(crossing.suite, weighted, n_bootstrap=5)
    for row, twin in zip(plain.policies, other.policies, strict=True):
        assert row.value == pytest.approx(twin.value, rel=1e-12)
    for row, twin in zip(plain.rankings, other.rankings, strict=True):
        assert row.autoc == pytest.approx(twin.autoc, abs=1e-10)
        assert row.qini_ci == pytest.approx(twin.qini_ci, abs=1e-9)
