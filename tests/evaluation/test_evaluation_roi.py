"""Return per customer: it adds up, it agrees with scoring, and it refuses what has no worth."""

import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uplift.economics import Economics
from uplift.errors import DataError, DefinitionError
from uplift.evaluation.ledger import in_cents
from uplift.evaluation.roi import roi
from uplift.evaluation.scoring_rules import apply_rules

COLUMNS = [
    "unit", "arm", "effect", "effect_low", "effect_high", "cost", "margin", "profit", "roi",
    "dr_score", "observed_arm",
]  # fmt: skip


@pytest.fixture(scope="module")
def made(make):
    rng = np.random.default_rng(4)
    effect = np.column_stack([rng.normal(3, 3, 6000), rng.normal(5, 4, 6000)])
    return make(effect, seed=2, learner=effect * 1.4 + rng.normal(size=effect.shape))


@pytest.fixture(scope="module")
def result(made):
    return roi(made.suite.candidates["t"], made.trial, suite=made.suite)


def profit_scores(made, k):
    dr = made.suite.dr_outcomes
    cost = [0.0, 0.1, 0.9]
    worth = [0.4 * dr["spend"][:, j] - cost[j] for j in (0, k)]
    return worth[1] - 2.0 * dr["redeemed"][:, k] - worth[0]


def test_one_row_per_unit_and_treatment_with_the_columns_of_the_contract(made, result):
    assert list(result.customers.columns) == COLUMNS
    assert len(result.customers) == 2 * made.trial.n_units
    assert not result.customers.duplicated(["unit", "arm"]).any()
    observed = result.customers.drop_duplicates("unit").set_index("unit")["observed_arm"]
    expected = np.array(made.trial.arms)[made.trial.arm]
    assert (observed.loc[made.trial.units].to_numpy() == expected).all()


@pytest.mark.parametrize("arm", ["email", "post"])
def test_scores_effects_and_profits_average_to_the_doubly_robust_effect(made, result, arm):
    k = made.trial.arms.index(arm)
    rows = result.customers[result.customers["arm"] == arm]
    assert rows["dr_score"].mean() == pytest.approx(profit_scores(made, k).mean(), abs=1e-9)
    assert rows["profit"].mean() == pytest.approx(profit_scores(made, k).mean(), abs=1e-9)
    assert rows["effect"].mean() == pytest.approx(made.suite.scores[:, k - 1].mean(), abs=1e-9)
    total = result.total(arm)
    assert total.profit == pytest.approx(rows["dr_score"].sum(), abs=1e-6)
    assert total.margin - total.cost == pytest.approx(total.profit, abs=1e-6)


def test_a_total_has_the_true_profit_within_its_error(made, result):
    true = (0.4 * made.effect[:, 1] - 0.9 - 0.3 * 2.0).sum()
    total = result.total("post")
    assert total.profit == pytest.approx(true, abs=4 * total.std_error)
    assert total.ci[0] < total.profit < total.ci[1]


def test_the_total_of_any_filter_is_the_sum_of_its_scores_and_parts_add_up(made, result):
    half = made.trial.units[::2]
    rest = made.trial.units[1::2]
    rows = result.customers[result.customers["arm"] == "email"].set_index("unit")["dr_score"]
    first, second = result.segment(half, "email"), result.segment(rest, "email")
    assert first.profit == pytest.approx(rows.loc[half].sum(), abs=1e-6)
    assert first.profit + second.profit == pytest.approx(result.total("email").profit, abs=1e-6)
    with pytest.raises(DataError, match="No unit of the segment"):
        result.segment(["nobody-here"], "email")


def test_effects_that_promise_too_much_are_shrunk_to_the_measured_slope(made, result):
    rules = result.scoring_rules()
    assert 0.5 < rules["by_arm"]["email"]["slope"] < 0.8  # promised 1.4 times the truth, and noise
    noise = replace(
        made.suite.candidates["t"], effects=np.random.default_rng(0).normal(size=(6000, 2)) * 50
    )
    flat = roi(noise, made.trial, suite=made.suite)
    assert flat.customers.groupby("arm")["effect"].std().max() < 1


def test_intervals_are_of_groups_of_like_prediction_and_cover_their_true_means(made, result):
    rows = result.customers[result.customers["arm"] == "email"].reset_index(drop=True)
    truth = made.effect[:, 0]
    groups = rows.groupby(["effect_low", "effect_high"]).indices
    assert 8 <= len(groups) <= 20
    inside = [low <= truth[unit].mean() <= high for (low, high), unit in groups.items()]
    assert np.mean(inside) >= 0.75


def test_scoring_new_customers_by_stored_rules_gives_the_same_bits(made, result):
    stored = json.loads(json.dumps(result.scoring_rules()))
    advice = apply_rules(made.suite.candidates["t"].effects, stored)
    for name in ("effect", "effect_low", "effect_high", "cost", "margin", "profit"):
        assert np.array_equal(getattr(advice, name).ravel(), result.customers[name].to_numpy())
    shuffled = np.random.default_rng(0).permutation(6000)
    other = apply_rules(made.suite.candidates["t"].effects[shuffled], stored)
    assert np.array_equal(other.profit, advice.profit[shuffled])


def test_the_recommended_arm_has_the_highest_profit_or_is_control_when_none_is_positive(result):
    raw = np.array([[100.0, 0.0], [0.0, 100.0], [-100.0, -100.0]])
    advice = apply_rules(raw, result.scoring_rules())
    assert advice.recommended.tolist() == [1, 2, 0]
    assert apply_rules(np.empty((0, 2)), result.scoring_rules()).recommended.shape == (0,)


@pytest.mark.parametrize(
    ("effects", "code"),
    [
        (np.zeros((3, 1)), "LENGTH_MISMATCH"),
        (np.zeros(3), "LENGTH_MISMATCH"),
        (np.array([[0.0, np.inf]]), "SCORE_NOT_FINITE"),
    ],
    ids=["too few arms", "one dimension", "infinite"],
)
def test_raw_effects_that_do_not_fit_the_rules_are_refused(result, effects, code):
    with pytest.raises(DataError) as caught:
        apply_rules(effects, result.scoring_rules())
    assert caught.value.code == code


def test_rules_of_another_format_are_refused(result):
    with pytest.raises(DataError, match="format 99"):
        apply_rules(np.zeros((1, 2)), result.scoring_rules() | {"format": 99})


def test_costs_hold_contacts_and_redemptions_also_of_those_who_would_have_bought(made, result):
    rows = result.customers[result.customers["arm"] == "email"]
    redeemed = made.suite.dr_outcomes["redeemed"][:, 1].mean()
    assert rows["cost"].mean() == pytest.approx(0.1 + 2.0 * redeemed, abs=1e-9)
    assert (rows["cost"] >= 0.1).all()


def test_the_constant_effect_gives_everyone_the_same_return(made):
    constant = roi(made.suite.candidates["constant"], made.trial, suite=made.suite)
    assert (constant.customers.groupby("arm")["profit"].nunique() == 1).all()


def test_without_any_cost_the_return_on_cost_does_not_exist_and_a_notice_says_so(made):
    free = Economics(currency="EUR", value_outcome="spend")
    result = roi(made.suite.candidates["t"], made.trial, free, suite=made.suite)
    assert result.customers["roi"].isna().all()
    assert [check.code for check in result.checks] == ["COST_ZERO"]


def test_a_negative_or_missing_cost_is_refused():
    for cost in (-1.0, float("nan")):
        with pytest.raises(DefinitionError, match="contact cost must be 0 or more") as caught:
            Economics(currency="EUR", value_outcome="spend", contact_cost={"email": cost})
        assert caught.value.code == "COST_INVALID"


@pytest.mark.parametrize(
    ("own", "given", "code"),
    [
        (None, None, "ECONOMICS_MISSING"),
        ("EUR", Economics(currency="USD", value_outcome="spend"), "UNIT_MISMATCH"),
        ("EUR", Economics(currency="EUR", value_outcome="visits"), "OUTCOME_MISMATCH"),
        (
            "EUR",
            Economics(currency="EUR", value_outcome="spend", contact_cost={"fax": 1.0}),
            "ARM_UNKNOWN",
        ),
    ],
    ids=["no economics", "another currency", "another outcome", "cost of no arm"],
)
def test_returns_without_matching_worth_are_refused(made, own, given, code):
    trial = made.trial if own else replace(made.trial, economics=None)
    with pytest.raises(DataError) as caught:
        roi(made.suite.candidates["t"], trial, given, suite=made.suite)
    assert caught.value.code == code


def test_the_ledger_of_every_arm_adds_up_to_the_cent(result):
    for total in result.totals:
        line = {name: Decimal(str(amount)) for name, amount in total.ledger.items()}
        costs = line["contact_cost"] + line["redemption_cost"]
        assert line["margin"] - costs == line["profit"]
        assert abs(float(line["profit"]) - total.profit) <= 0.005 + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e7, 1e7, allow_nan=False), min_size=1, max_size=12))
def test_rounded_lines_add_up_to_the_rounded_sum(amounts):
    lines = in_cents(amounts)
    total = sum((Decimal(repr(a)) for a in amounts), Decimal(0)).quantize(Decimal("0.01"))
    assert sum((Decimal(repr(a)) for a in lines), Decimal(0)) == total
    assert all(abs(a - b) < 0.01 + 1e-9 for a, b in zip(amounts, lines, strict=True))


def test_the_result_shows_itself_and_its_metrics_are_finite(result):
    assert "Incremental profit by arm" in str(result)
    assert result.metrics()["profit_total.post"] == result.total("post").profit
    assert "customers" not in json.loads(result.to_json())
    assert result.to_pandas().equals(result.customers)
    with pytest.raises(DataError, match="no treatment arm 'fax'"):
        result.total("fax")


def test_clusters_stand_in_the_table_where_they_were_randomised_and_only_there(made, result, make):
    cluster = np.arange(600) // 3
    clustered = make(np.ones((600, 2)), cluster=cluster)
    table = roi(clustered.suite.candidates["t"], clustered.trial).customers
    assert (table["cluster"].to_numpy() == np.repeat(cluster, 2)).all()
    assert "cluster" not in result.customers
