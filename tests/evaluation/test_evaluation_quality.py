"""The evaluation as a whole: joins, refusals, gates, tables, determinism."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from uplift.checks import warning
from uplift.errors import DataError
from uplift.evaluation.held_out import evaluate_model
from uplift.evaluation.quality import evaluate
from uplift.evaluation.roi import roi
from uplift.trial import Trial


@pytest.fixture(scope="module")
def quality(crossing):
    return evaluate(crossing.suite, crossing.trial, seed=3, n_bootstrap=30)


def with_effects(made, effects):
    candidates = dict(made.suite.candidates)
    candidates["t"] = replace(candidates["t"], effects=effects)
    return replace(made.suite, candidates=candidates)


def shuffled(trial, seed=0):
    rows = np.random.default_rng(seed).permutation(trial.n_units)
    return replace(
        trial,
        units=trial.units[rows],
        features=trial.features.iloc[rows].reset_index(drop=True),
        arm=trial.arm[rows],
        outcomes={name: values[rows] for name, values in trial.outcomes.items()},
        propensity=trial.propensity[rows],
    )


def test_the_true_ranking_is_proven_and_the_random_one_is_not(quality):
    assert quality.ranking("t", "email").verdict == "proven"
    assert quality.ranking("random", "email").verdict == "not proven"
    assert quality.ranking("constant", "email").verdict == "no ranking"
    assert quality.ranking("constant", "email").qini == 0
    assert quality.ranking_verdict("email") == "proven"
    row = quality.ranking("t", "email")
    assert row.qini_ci[0] < row.qini < row.qini_ci[1]
    assert row.uplift_at_30 > 3


def test_true_effects_have_a_calibration_slope_of_one(quality):
    slopes = [row for row in quality.calibrations if row.candidate == "t"]
    assert [row.arm for row in slopes] == ["email", "post", "all arms"]
    for row in slopes:
        assert row.ci[0] < 1 < row.ci[1]


def test_the_same_seed_gives_the_same_bits(crossing, quality):
    again = evaluate(crossing.suite, crossing.trial, seed=3, n_bootstrap=30)
    assert again.to_json() == quality.to_json()


def test_units_are_joined_by_id_and_never_by_position(crossing, quality):
    other = evaluate(crossing.suite, shuffled(crossing.trial), seed=3, n_bootstrap=30)
    assert other.to_json() == quality.to_json()


def test_every_policy_is_compared_with_each_simpler_one_and_no_other(quality):
    pairs = {(gain.policy, gain.over) for gain in quality.gains}
    assert ("t", "response") in pairs
    assert ("rule", "everyone:email") in pairs
    assert ("everyone:post", "nobody") in pairs
    assert not any(over == "t" for _, over in pairs)


def test_gates_say_what_failed_with_value_bound_and_remedy(crossing):
    noise = np.random.default_rng(8).normal(size=crossing.effect.shape)
    quality = evaluate(with_effects(crossing, noise), crossing.trial, n_bootstrap=10)
    failed = {check.name: check for check in quality.gates("t") if not check.passed}
    assert {"calibration slope", "ranking"} <= set(failed)
    assert failed["calibration slope"].value < 0
    assert "do not target by it" in failed["ranking"].remedy
    with pytest.raises(DataError, match="There is no candidate 'z'"):
        quality.gates("z")


def test_the_gates_of_the_constant_effect_ask_only_for_a_gain_over_nobody(quality):
    assert [check.name for check in quality.gates("constant")] == ["gain over nobody"]


def test_a_candidate_that_only_ranks_is_not_promoted(quality):
    gates = {check.name: check for check in quality.gates("response")}
    assert not gates["acts as it was judged"].passed
    assert "train a learner of effects" in gates["acts as it was judged"].remedy


def test_metrics_are_flat_and_finite_and_json_holds_no_nan(quality):
    metrics = quality.metrics()
    assert metrics["policy_value.everyone.email"] == quality.policy("everyone:email").value
    assert metrics["targeting_proven"] == 1
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())
    assert json.loads(quality.to_json())["recommended"] == "t"


def test_tables_show_the_recommendation_and_the_definition(quality):
    assert "Recommended: t; targeting proven" in quality.table().text()
    assert "(1/n) sum (i/n) TOC(i/n)" in quality.rankings_table().text()
    assert len(quality.gains_table().rows) == len(quality.gains)
    assert "not estimable" in quality.calibration_table().text()
    assert "<table" in quality._repr_html_()


def test_curves_and_deciles_come_with_every_ranking(quality):
    curve = quality.curves["t", "email"]
    assert len(curve.share) == 101
    assert (curve.gain_low[1:-1] < curve.gain[1:-1]).all()
    assert sum(part.n_units for part in quality.deciles["t", "email"]) == quality.n_units


def test_a_score_that_is_not_finite_is_refused(crossing):
    effects = crossing.effect.copy()
    effects[7, 1] = np.nan
    with pytest.raises(DataError, match="candidate 't': effects must be finite") as caught:
        evaluate(with_effects(crossing, effects), crossing.trial)
    assert caught.value.code == "SCORE_NOT_FINITE"
    assert caught.value.rows == (8,)


def test_all_scores_equal_is_accepted_with_a_note_and_scores_zero(crossing):
    tied = with_effects(crossing, np.full(crossing.effect.shape, 0.2))
    quality = evaluate(tied, crossing.trial, n_bootstrap=5)
    assert quality.ranking("t", "post").qini == 0
    assert quality.ranking("t", "post").autoc == 0
    assert "SCORE_TIED" in [check.code for check in quality.checks]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda m: (with_effects(m, m.effect[:-1]), m.trial), "LENGTH_MISMATCH"),
        (lambda m: (replace(m.suite, units=m.suite.units[:-1]), m.trial), "LENGTH_MISMATCH"),
        (lambda m: (replace(m.suite, arms=("control", "post", "email")), m.trial), "ARM_UNKNOWN"),
        (lambda m: (replace(m.suite, fold=np.zeros(6000, dtype=int)), m.trial), "EVAL_OVERLAP"),
        (
            lambda m: (
                replace(m.suite, dr_outcomes={"spend": m.suite.dr_outcomes["spend"]}),
                m.trial,
            ),
            "COLUMN_MISSING",
        ),
    ],
    ids=["effects too short", "units too few", "arms in other order", "one fold", "no redemption"],
)
def test_a_suite_that_does_not_fit_its_trial_is_refused(crossing, change, code):
    with pytest.raises(DataError) as caught:
        evaluate(*change(crossing))
    assert caught.value.code == code


def test_warnings_of_the_training_are_shown_with_every_result(crossing):
    note = warning("FEATURE_EMPTY", value="b", remedy="b is left out.")
    suite = replace(crossing.suite, notices=(note,))
    assert note in evaluate(suite, crossing.trial, n_bootstrap=2).checks
    assert note in roi(suite.candidates["t"], crossing.trial).checks


def test_units_of_another_trial_are_refused(crossing):
    units = crossing.trial.units.copy()
    units[3] = "somebody-else"
    with pytest.raises(DataError, match="1 unit"):
        evaluate(crossing.suite, replace(crossing.trial, units=units))


class SecondFeature:
    """Predicts the effect of the only treatment from the feature x."""

    def predict(self, X):
        return np.asarray(X[["x"]], dtype=np.float64)


@pytest.fixture(scope="module")
def fresh_trial():
    rng = np.random.default_rng(0)
    n_units = 4000
    x, arm = rng.normal(size=n_units), rng.integers(0, 2, n_units)
    return Trial(
        units=np.array([f"new{i}" for i in range(n_units)], dtype=object),
        features=pd.DataFrame({"x": x}),
        arms=("control", "email"),
        arm=arm,
        outcomes={"spend": arm * x + rng.normal(size=n_units)},
        propensity=np.full((n_units, 2), 0.5),
        primary="spend",
    )


def test_a_model_is_judged_on_units_it_has_not_seen(fresh_trial):
    quality = evaluate_model(SecondFeature(), fresh_trial, trained_on=["old1", "old2"])
    assert quality.ranking("model", "email").verdict == "proven"
    assert quality.recommended == "model"


def test_a_model_is_not_judged_on_units_it_learned_from(fresh_trial):
    with pytest.raises(DataError, match="learned from 2 of the 4000 units") as caught:
        evaluate_model(SecondFeature(), fresh_trial, trained_on=["new1", "new2", "old"])
    assert caught.value.code == "EVAL_OVERLAP"
