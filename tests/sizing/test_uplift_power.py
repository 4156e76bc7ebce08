"""Power of uplift questions agrees with a plain simulation; without differences it is error."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from uplift.errors import DefinitionError
from uplift.experiment import experiment_from
from uplift.sizing.targeting import uplift_power
from uplift.strict_yaml import parse_yaml

TEXT = """
id: uplift_test
title: Uplift
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays for some.
audience: {{description: Everyone}}
arms:
  - {{name: control, share: 1/4}}
  - {{name: email, share: 1/2, unit_cost: {cost}}}
  - {{name: post, share: 1/4, unit_cost: 1}}
metrics:
  primary:
    metric: {{name: spend, version: 1, title: S, column: spend, owner: o, unit: EUR,
      window_days: 28, {kind}}}
    minimum_effect: 0.1
    expected_mean: 50
    expected_std_dev: 40
schedule: {{starts_at: 2008-03-20T08:00:00, timezone: Europe/Paris, response_days: 28}}
analysis: {{decision_rule: Scale what is proven.}}
money: {{currency: EUR, value: spend, margin_rate: 0.5}}
"""


def uplift_test(cost: float = 2.0, kind: str = "kind: mean"):
    return experiment_from(parse_yaml(TEXT.format(cost=cost, kind=kind)))


def plainly(n_units: int, *, spread: float, ranking: float, cost: float, n_tests: int, seed: int):
    """Every customer of every arm, one regression and two t tests per simulated experiment."""
    rng = np.random.default_rng(seed)
    differ = pays = 0
    for _ in range(n_tests):
        arm = rng.choice(["control", "email", "post"], n_units, p=[0.25, 0.5, 0.25])
        true_rank = rng.normal(size=n_units)
        score = ranking * true_rank + np.sqrt(1 - ranking**2) * rng.normal(size=n_units)
        effect = 5.0 + 5.0 * spread * true_rank
        spend = rng.normal(50, 40, n_units) + np.where(arm == "email", effect, 0)
        judged = (rng.random(n_units) < 0.5) & (arm != "post")
        email = (arm[judged] == "email").astype(float)
        own = np.where(email == 1, 55.0, 50.0)
        signal = 5.0 + (email / (2 / 3) - (1 - email) / (1 / 3)) * (spend[judged] - own)
        fit = sm.OLS(signal, sm.add_constant(score[judged])).fit(cov_type="HC0")
        differ += fit.tvalues[1] > 1.96
        chosen = 0.5 * (5.0 + 5.0 * spread * ranking * score[judged]) > cost
        profit = 0.5 * signal - cost
        nobody, everyone = np.where(chosen, profit, 0), np.where(chosen, profit, 0) - profit
        pays += all(stats.ttest_1samp(gain, 0).statistic > 1.96 for gain in (nobody, everyone))
    return differ / n_tests, pays / n_tests


def test_both_powers_agree_with_a_plain_simulation():
    """Within four standard errors of the difference of two simulations."""
    n = 24_000
    found = uplift_power(
        uplift_test(), n_units=n, spread=1.5, ranking=0.5, n_simulations=400, seed=2
    )
    row = found.rows[0]
    plain = plainly(n, spread=1.5, ranking=0.5, cost=2.0, n_tests=150, seed=8)
    for ours, theirs in zip((row.differ, row.pays), plain, strict=True):
        assert 0.1 < ours < 0.99
        error = np.sqrt(ours * (1 - ours) * (1 / 400 + 1 / 150))
        assert ours == pytest.approx(theirs, abs=4 * error)
    assert row.n_held_out == 9_000


def test_without_different_effects_only_the_error_is_left():
    found = uplift_power(uplift_test(), n_units=4_000, spread=0, n_simulations=2_000)
    assert found.rows[0].differ == pytest.approx(0.025, abs=4 * np.sqrt(0.025 * 0.975 / 2_000))
    assert (found.rows[0].pays, found.gain) == (0, 0)
    blind = uplift_power(uplift_test(), n_units=4_000, ranking=0, n_simulations=500)
    assert blind.rows[0].differ < 0.06


def test_fewer_complaints_are_proven_to_differ_as_well_as_more_spend():
    """The sign of what is good changes nothing: only the ranking by the effect counts."""
    up, down = (
        uplift_power(
            uplift_test(kind=f"direction: {direction}"),
            n_units=24_000,
            spread=1.5,
            ranking=0.5,
            n_simulations=100,
            seed=2,
        ).rows[0]
        for direction in ("up", "down")
    )
    assert down.differ == pytest.approx(up.differ, abs=4 * np.sqrt(2 * 0.25 / 100))
    assert down.differ > 0.5


def test_more_customers_and_a_better_model_prove_more():
    found = uplift_power(
        uplift_test(), n_units=8_000, spread=1.5, ranking=0.5, multiples=(1, 4), n_simulations=100
    )
    assert found.rows[1].differ > found.rows[0].differ
    assert found.rows[1].pays > found.rows[0].pays
    better = uplift_power(uplift_test(), n_units=8_000, spread=1.5, ranking=0.8, n_simulations=200)
    assert better.rows[0].differ > found.rows[0].differ
    assert better.gain > found.gain


def test_the_true_gain_is_that_of_a_million_customers():
    found = uplift_power(uplift_test(), n_units=4_000, spread=1.2, ranking=0.6, n_simulations=1)
    rng = np.random.default_rng(3)
    z = rng.normal(size=1_000_000)
    score = 0.6 * z + 0.8 * rng.normal(size=1_000_000)
    profit = 0.5 * 5 * (1 + 1.2 * z) - 2
    chosen = 0.5 * 5 * (1 + 1.2 * 0.6 * score) > 2
    gains = np.where(chosen, profit, 0) - profit  # everyone is the best blanket action here
    assert found.gain == pytest.approx(gains.mean(), abs=4 * gains.std() / 1_000)


def test_outcomes_come_from_history_and_what_its_covariate_explains_is_taken_out():
    rng = np.random.default_rng(1)
    spend = rng.gamma(2, 25, 3_000)
    table = pd.DataFrame({"unit": [f"u{i}" for i in range(3_000)], "spend": spend})
    table["before"] = spend * rng.uniform(0.9, 1.1, 3_000)
    plain = uplift_power(uplift_test(), table, n_units=9_000, n_simulations=150)
    adjusted = uplift_power(
        uplift_test(kind="covariate: before"), table, n_units=9_000, n_simulations=150
    )
    assert adjusted.rows[0].differ > plain.rows[0].differ + 0.1
    assert "Assumed" in plain.words()
    assert "effects differ" in plain.table().text()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "DESIGN_UNITS"),
        ({"n_units": 9_000, "ranking": 1.2}, "ASSUMPTION_INVALID"),
        ({"n_units": 100}, "ARM_TOO_SMALL"),
        ({"n_units": 9_000, "treatment": "fax"}, "ARM_UNKNOWN"),
        ({"n_units": 9_000, "effect": 0.0}, "EFFECT_INVALID"),
    ],
)
def test_what_cannot_be_simulated_is_refused(options, code):
    with pytest.raises(DefinitionError) as error:
        uplift_power(uplift_test(), **options)
    assert error.value.code == code
