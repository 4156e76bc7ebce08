"""A design tells what can be answered, agrees with simulation, and prices the holdout."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower

from uplift.errors import DataError, DefinitionError
from uplift.experiment import experiment_from, load_experiment
from uplift.metrics import MetricCatalogue
from uplift.sizing.plan import design
from uplift.strict_yaml import parse_yaml

TEXT = """
id: email_test
title: E-mail
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {{description: Recent, where: [{{column: recency, at_most: 12}}]}}
arms:
  - {{name: control, share: {share}}}
  - {{name: email, share: {rest}, unit_cost: 0.1}}
metrics:
  primary:
    metric: {{name: {column}, version: 1, title: S, column: {column}, kind: {kind}, owner: o,
      unit: per customer, window_days: 14}}
    minimum_effect: 0.05
schedule: {{starts_at: 2008-03-20T08:00:00, timezone: Europe/Paris, response_days: 14}}
analysis: {{decision_rule: Scale what is proven.}}
money: {{currency: USD, value: spend, margin_rate: 0.5}}
"""


def holdout_test(share: int, *, column: str = "spend", kind: str = "mean"):
    """Two arms, with `share` percent of the customers in the control."""
    numbers = {"share": f"{share}/100", "rest": f"{100 - share}/100"}
    return experiment_from(parse_yaml(TEXT.format(**numbers, column=column, kind=kind)))


@pytest.fixture(scope="module")
def real_control(hillstrom_file):
    """Customers of the real test who got no e-mail."""
    table = pd.read_csv(hillstrom_file)
    table = table[table["segment"] == "No E-Mail"]
    return table.assign(unit=[f"h{i}" for i in table.index])


@pytest.mark.parametrize(
    ("share", "mde", "relative", "points"),
    [
        (50, 0.257, 0.39, 0.17),
        (10, 0.428, 0.66, 0.28),
        (5, 0.589, 0.90, 0.38),
        (1, 1.290, 1.98, 0.84),
    ],
)
def test_the_real_email_test_shows_what_a_holdout_of_64000_can_answer(
    real_control, share, mde, relative, points
):
    spend = design(holdout_test(share), real_control, n_units=64_000).answers[0]
    assert round(spend.mde, 3) == mde
    assert spend.mde_relative == pytest.approx(relative, abs=0.006)
    buyers = holdout_test(share, column="conversion", kind="proportion")
    answer = design(buyers, real_control, n_units=64_000).answers[0]
    assert round(100 * answer.mde, 2) == points


def test_a_tenth_of_64000_held_out_cannot_prove_five_percent_of_spend(real_control):
    plan = design(holdout_test(10), real_control, n_units=64_000)
    assert plan.answers[0].verdict == "cannot answer"
    assert "control (6,400): the smallest effect that can be shown is 0.4278" in plan.words()
    assert "65.5 % of the control's 0.6528. Cannot answer" in plan.words()
    assert [check.code for check in plan.checks] == [
        "UNDERPOWERED",
        "EFFECT_UNPAID",
        "OUTCOME_SKEWED",
    ]
    shares = {option.control_share: round(option.mde, 3) for option in plan.holdout_options}
    assert shares[0.5] == 0.257
    assert shares[0.05] == 0.589


def test_units_needed_give_the_wanted_power(real_control):
    first = design(holdout_test(20), real_control, n_units=64_000).answers[0]
    again = design(holdout_test(20), real_control, n_units=first.n_needed).answers[0]
    assert again.power == pytest.approx(0.8, abs=1e-3)
    assert again.mde < again.sought_effect  # which plans without skewness


def test_power_agrees_with_statsmodels(root):
    folder = root / "experiments"
    text = (folder / "hillstrom_email" / "experiment.yaml").read_text(encoding="utf-8")
    plain = parse_yaml(
        text.replace("    expected_buyers: 0.0057\n", "")
    )  # no skewness, one variance
    catalogue = MetricCatalogue.load(folder / "metrics.yaml")
    plan = design(experiment_from(plain, catalogue=catalogue), n_units=64_000)
    spend = plan.answers[0]
    assert (plan.n_tests, plan.confidence) == (6, pytest.approx(1 - 0.05 / 6))
    expected = NormalIndPower().power(
        effect_size=spend.sought_effect / 11.6, nobs1=21_333, alpha=0.05 / 6, ratio=1
    )
    assert spend.power == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kind", ["mean", "proportion"])
def test_simulated_experiments_are_proven_as_often_as_planned(kind):
    """Power of 80 % is what 4,000 simulated experiments find, within three standard errors."""
    rng = np.random.default_rng(17)
    base = 0.02 if kind == "proportion" else 10.0
    text = TEXT.format(share="1/5", rest="4/5", column="spend", kind=kind)
    text = text.replace("effect: 0.05", f"effect: 0.3\n    expected_mean: {base}")
    if kind == "mean":
        text = text.replace(f"mean: {base}", f"mean: {base}\n    expected_std_dev: 30")
    first = design(experiment_from(parse_yaml(text)), n_units=5_000).answers[0]
    answer = design(experiment_from(parse_yaml(text)), n_units=first.n_needed).answers[0]
    means, errors = [], []
    for n_units, mean in ((answer.n_control, base), (answer.n_treatment, base * 1.3)):
        if kind == "proportion":
            found = rng.binomial(n_units, mean, 4_000) / n_units
            variance = found * (1 - found)
        else:
            found = rng.normal(mean, 30 / np.sqrt(n_units), 4_000)
            variance = np.full(4_000, 900.0)
        means.append(found)
        errors.append(variance / n_units)
    z = (means[1] - means[0]) / np.sqrt(errors[0] + errors[1])
    assert (np.abs(z) > stats.norm.ppf(0.975)).mean() == pytest.approx(0.8, abs=0.02)


def test_more_treatments_and_metrics_share_one_error(root):
    voucher = load_experiment(root / "experiments" / "spring_voucher")
    history = spring_history()
    plan = design(voucher, history)
    assert plan.n_tests == 6
    assert {answer.role for answer in plan.answers} == {"primary", "secondary", "guardrail"}
    assert len(plan.answers) == 9


def spring_history(n_units: int = 6_000) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    usual = rng.lognormal(4, 1, n_units)
    before, earlier = (usual * rng.uniform(0.5, 1.5, n_units) for _ in range(2))
    return pd.DataFrame(
        {
            "unit": [f"c{i}" for i in range(n_units)],
            "n_baskets_182d": np.arange(n_units) % 6,
            "spend_28d_before": before,
            "spend_change_28d": before - earlier,
        }
    )


def test_only_eligible_customers_count_and_history_tells_what_the_covariate_saves(root):
    voucher = load_experiment(root / "experiments" / "spring_voucher")
    history = spring_history()
    plan = design(voucher, history)
    assert plan.n_units == 5_000
    assert plan.answers[0].baseline.variance_reduction > 0.5
    without = design(voucher, history.drop(columns="spend_change_28d"))
    ratio = plan.answers[0].mde / without.answers[0].mde
    assert ratio == pytest.approx(np.sqrt(1 - plan.answers[0].baseline.variance_reduction))


def test_a_guardrail_is_tested_on_one_side_against_its_margin(root):
    voucher = load_experiment(root / "experiments" / "spring_voucher")
    planned = voucher.metrics.guardrails[0]
    margin, mean = planned.margin, planned.expected_mean
    answer = design(voucher, spring_history(), n_units=80_000).answers[-1]
    assert (answer.role, answer.sought_effect) == ("guardrail", margin)
    error = np.sqrt(mean * (1 - mean) * 2 / 20_000)
    # a success metric and one guardrail must both pass, so each is planned with 90 %
    assert answer.wanted_power == pytest.approx(0.9)
    assert answer.mde == pytest.approx((stats.norm.ppf(0.95) + stats.norm.ppf(0.9)) * error)
    assert answer.power == pytest.approx(stats.norm.cdf(margin / error - stats.norm.ppf(0.95)))
    assert "ruled out" in answer.words()


def test_the_holdout_costs_the_profit_of_the_effect_sought(real_control):
    plan = design(holdout_test(10), real_control, n_units=64_000)
    mean = real_control["spend"].mean()
    assert plan.arms[1].contact_cost == pytest.approx(5_760)
    assert plan.arms[1].break_even == pytest.approx(0.2)
    assert plan.arms[1].profit_sought == pytest.approx(0.5 * 0.05 * mean - 0.1)
    assert plan.arms[1].profit_sought < 0
    assert plan.holdout_cost == 0  # a campaign that loses money costs nothing to hold back
    free = experiment_from(
        parse_yaml(
            TEXT.format(share="1/10", rest="9/10", column="spend", kind="mean").replace(
                "0.1}", "0}"
            )
        )
    )
    plan = design(free, real_control, n_units=64_000)
    assert plan.holdout_cost == pytest.approx(6_400 * 0.5 * 0.05 * mean)
    assert plan.answers[0].mde_money == pytest.approx(plan.answers[0].mde * 0.5)


def test_redemptions_and_clusters_that_nobody_planned_are_warned_of(root):
    voucher = load_experiment(root / "experiments" / "spring_voucher")
    plan = design(voucher, spring_history())
    assert "REDEMPTION_UNKNOWN" in {check.code for check in plan.checks}
    assert "(before redemptions)" in plan.words()
    text = TEXT.format(share="1/2", rest="1/2", column="spend", kind="mean")
    text = text.replace("title: E-mail", "title: E-mail\ncluster: household")
    text = text.replace(
        "effect: 0.05", "effect: 0.05\n    expected_mean: 1\n    expected_std_dev: 2"
    )
    codes = {
        check.code for check in design(experiment_from(parse_yaml(text)), n_units=9_000).checks
    }
    assert "CLUSTER_UNKNOWN" in codes


def test_a_metric_to_be_lowered_plans_with_the_lower_proportion():
    text = TEXT.format(share="1/2", rest="1/2", column="churned", kind="proportion")
    text = text.replace("effect: 0.05", "effect: 0.5\n    expected_mean: 0.8")
    with pytest.raises(DefinitionError, match="leaves the range") as error:
        design(experiment_from(parse_yaml(text)), n_units=1_000)
    assert error.value.code == "EFFECT_INVALID"
    lower = text.replace("kind: proportion", "kind: proportion, direction: down")
    answer = design(experiment_from(parse_yaml(lower)), n_units=1_000).answers[0]
    assert answer.sought_effect == pytest.approx(0.4)


def test_the_wanted_power_is_the_definitions_unless_another_is_asked_for():
    text = TEXT.format(share="1/2", rest="1/2", column="spend", kind="mean")
    text = text.replace("0.05\n", "0.05\n    expected_mean: 20\n    expected_std_dev: 40\n")
    stated = text.replace("analysis: {", "analysis: {power: 0.9, ")
    usual, asked = design(experiment_from(parse_yaml(text)), n_units=9_000), 0.9
    plans = [
        design(experiment_from(parse_yaml(stated)), n_units=9_000),
        design(experiment_from(parse_yaml(text)), n_units=9_000, power=asked),
    ]
    assert (usual.power, plans[0].power) == (0.8, asked)
    assert plans[0].answers == plans[1].answers
    ratio = (stats.norm.ppf(0.975) + stats.norm.ppf([0.9, 0.8])) ** 2
    needed = [plan.hardest.n_needed for plan in (plans[0], usual)]
    assert needed[0] / needed[1] == pytest.approx(ratio[0] / ratio[1], rel=1e-3)
    for power in (0.3, 1.0):
        with pytest.raises(DefinitionError, match=r"at least 0\.5 and below 1") as error:
            design(experiment_from(parse_yaml(text)), n_units=9_000, power=power)
        assert error.value.code == "PROBABILITY_INVALID"


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_history_that_never_varies_shows_no_spread_and_is_refused(real_control, value):
    with pytest.raises(DataError, match="for every eligible customer") as error:
        design(holdout_test(50), real_control.assign(spend=value))
    assert error.value.code == "BASELINE_INVALID"


def test_an_effect_that_does_not_pay_and_a_handful_of_buyers_are_warned_of(real_control):
    few = real_control.assign(spend=np.where(np.arange(len(real_control)) < 12, 50.0, 0.0))
    codes = {check.code: check for check in design(holdout_test(50), few).checks}
    assert codes["BASELINE_THIN"].value == 12
    assert "from an effect of 0.2000 on" in codes["EFFECT_UNPAID"].remedy


def test_a_plan_without_a_smallest_effect_gets_no_verdict(real_control):
    text = TEXT.format(share="1/2", rest="1/2", column="spend", kind="mean")
    plan = design(
        experiment_from(parse_yaml(text.replace("    minimum_effect: 0.05\n", ""))), real_control
    )
    assert plan.answers[0].verdict == "no effect stated"
    assert plan.holdout_cost is None
    assert not plan.checks
    assert "not known" in plan.words()


@pytest.mark.parametrize(
    ("history", "n_units", "error", "code"),
    [
        (None, None, DefinitionError, "DESIGN_UNITS"),
        (None, 64_000, DefinitionError, "BASELINE_MISSING"),
        ("real", 10, DefinitionError, "ARM_TOO_SMALL"),
        ("twice", None, DataError, "ID_DUPLICATE"),
        ("no recency", None, DataError, "AUDIENCE_COLUMN"),
    ],
)
def test_a_design_that_cannot_be_made_is_refused(real_control, history, n_units, error, code):
    tables = {
        None: None,
        "real": real_control,
        "twice": pd.concat([real_control, real_control]),
        "no recency": real_control.drop(columns="recency"),
    }
    with pytest.raises(error) as refused:
        design(holdout_test(10), tables[history], n_units=n_units)
    assert refused.value.code == code


def test_a_design_shows_itself_and_names_the_definition(real_control):
    experiment = holdout_test(10)
    plan = design(experiment, real_control, n_units=64_000)
    assert json.loads(plan.to_json())["digest"] == experiment.digest
    assert "cannot answer" in plan.table().text()
    assert "break-even effect" in plan.arms_table().text()
    assert "control share" in plan.holdout_table().text()
    assert plan.metrics()["mde_spend_v1_email"] == plan.answers[0].mde
