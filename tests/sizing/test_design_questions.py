"""Revenue, ratios, clusters, factors, days and ways to answer more agree with their oracles."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import uplift as up
from uplift.errors import DefinitionError
from uplift.experiment import experiment_from
from uplift.inference.factorial import interaction_contrast, main_effect_contrast
from uplift.inference.planned_looks import PlannedLooks
from uplift.sizing.factors import _contrasts
from uplift.sizing.plan import design
from uplift.strict_yaml import parse_yaml

TEXT = """
id: planned
title: Planned
kind: {kind}
owner: crm
objective: profit
hypothesis: It pays.
audience: {{description: Everyone}}
arms: {arms}
{more}
metrics:
  primary:
    metric: {{name: spend, version: 1, title: S, column: spend, owner: o, unit: EUR,
      window_days: 28, {metric}}}
    minimum_effect: 0.05
    {expected}
  {secondary}
schedule: {{starts_at: 2008-04-20T08:00:00, timezone: Europe/Paris, response_days: 28{schedule}}}
analysis: {{decision_rule: Scale what is proven., {analysis}}}
money: {{currency: EUR, value: spend, margin_rate: 0.5}}
"""
HALVES = "[{name: control, share: 1/2}, {name: email, share: 1/2, unit_cost: 0.1}]"
THREE = (
    "[{name: control, share: 1/5}, {name: email, share: 2/5, unit_cost: 0.1}, "
    "{name: post, share: 2/5, unit_cost: 0.1}]"
)
SECONDARY = (
    "secondary: [{metric: {name: visit, version: 1, title: V, column: visit, kind: proportion, "
    "owner: o, unit: share, window_days: 28}, expected_mean: 0.1}]"
)


def plan_of(**parts: str):
    usual = {"kind": "campaign_holdout", "arms": HALVES, "metric": "kind: mean", "expected": ""}
    blank = dict.fromkeys(("more", "secondary", "schedule", "analysis"), "")
    return experiment_from(parse_yaml(TEXT.format(**{**blank, **usual, **parts})))


def control_of(tenths: int):
    return f"[{{name: control, share: {tenths}/100}}, {{name: email, share: {100 - tenths}/100}}]"


def history_of(n: int = 6_000, seed: int = 1) -> pd.DataFrame:
    """One customer in a hundred buys; what was spent before explains a part."""
    rng = np.random.default_rng(seed)
    usual = rng.gamma(2, 1, n)
    spend = np.where(rng.random(n) < 0.02 * usual, rng.lognormal(4, 0.8, n), 0.0)
    return pd.DataFrame(
        {
            "unit": [f"u{i}" for i in range(n)],
            "spend": spend,
            "orders": (spend > 0) * rng.integers(1, 4, n),
            "loyalty_before": usual + rng.normal(0, 0.2, n),
            "household": [f"h{i // 3}" for i in range(n)],
        }
    )


def test_the_arithmetic_of_a_crm_campaign():
    """1 % buyers, baskets of 60 with deviation 90: 5 % more is 2.0 million per arm, or 0.62."""
    spend = "expected_mean: 0.6\n    expected_std_dev: 10.8"
    by_spend = design(plan_of(expected=spend), n_units=100_000).answers[0]
    assert (by_spend.baseline.std_dev / by_spend.baseline.mean) ** 2 == pytest.approx(324)
    assert by_spend.n_needed / 2 == pytest.approx(2.03e6, rel=0.01)
    buyers = plan_of(metric="kind: proportion", expected="expected_mean: 0.01")
    by_conversion = design(buyers, n_units=100_000).answers[0]
    variance = by_conversion.baseline.variance / by_conversion.baseline.mean**2
    assert variance == pytest.approx(99)
    assert by_conversion.n_needed / 2 == pytest.approx(0.62e6, rel=0.03)
    small = design(plan_of(expected=spend, arms=control_of(5)), n_units=1_000_000).answers[0]
    assert small.n_needed == pytest.approx(21e6, rel=0.03)


def test_false_alarms_of_a_small_control_are_those_of_simulated_tests_on_the_same_customers():
    """The two tails by expansion, against 4,000 t tests on resampled customers; one is far off."""
    history = history_of(20_000)
    plan = plan_of(arms=control_of(10))
    found = design(plan, history)
    row = found.revenue[0]
    rng = np.random.default_rng(5)
    spend = history["spend"].to_numpy()
    control = spend[rng.integers(0, 20_000, (4_000, 2_000))]
    arms = [(control.mean(1), control.var(1, ddof=1) / 2_000)]
    treated = [spend[rng.integers(0, 20_000, 18_000)] for _ in range(4_000)]
    arms.append(
        (np.array([a.mean() for a in treated]), np.array([a.var(ddof=1) for a in treated]) / 18_000)
    )
    t = (arms[1][0] - arms[0][0]) / np.sqrt(arms[0][1] + arms[1][1])
    bound = stats.norm.ppf(0.975)
    tolerance = 4 * np.sqrt(0.05 / 4_000)
    assert row.false_better == pytest.approx((t > bound).mean(), abs=tolerance)
    assert row.false_worse == pytest.approx((t < -bound).mean(), abs=tolerance)
    assert row.false_better > 1.2 * 0.025 > row.false_worse
    assert "OUTCOME_SKEWED" in {check.code for check in found.checks}
    large = design(plan, history, n_units=round(1.01 * row.n_honest))
    assert large.revenue[0].honest
    assert not row.honest


def test_more_buyers_show_in_conversion_first_and_larger_baskets_in_spend_only():
    row = design(plan_of(), history_of()).revenue[0]
    assert row.mde_conversion < row.mde_buyers < row.mde_baskets * 1.2
    assert row.n_normal == pytest.approx(355 * row.skewness**2)
    assert "rise shown by conversion" in design(plan_of(), history_of()).revenue_table().text()


def test_a_ratio_is_planned_with_the_spread_that_a_bootstrap_of_it_has():
    history = history_of()
    plan = plan_of(metric="kind: ratio, denominator: orders")
    baseline = design(plan, history).answers[0].baseline
    spend, orders = history["spend"].to_numpy(), history["orders"].to_numpy()
    rng = np.random.default_rng(3)
    rows = rng.integers(0, len(history), (1_500, len(history)))
    ratios = spend[rows].sum(1) / orders[rows].sum(1)
    assert baseline.mean == pytest.approx(spend.sum() / orders.sum())
    assert baseline.std_dev / np.sqrt(len(history)) == pytest.approx(ratios.std(), rel=0.08)
    assert baseline.source == "history: spend / orders"
    with pytest.raises(DefinitionError, match="'spend' and 'orders'"):
        design(plan, history.drop(columns="orders"))


def test_households_count_as_what_they_are_worth():
    rng = np.random.default_rng(2)
    history = history_of(3_000).assign(
        spend=rng.normal(50, 10, 3_000) + np.repeat(rng.normal(0, 10, 1_000), 3)
    )
    plan = design(plan_of(more="cluster: household"), history)
    answer = plan.answers[0]
    assert answer.baseline.clusters.correlation == pytest.approx(0.5, abs=0.05)
    assert answer.baseline.design_effect == pytest.approx(1 + 2 * 0.5, abs=0.1)
    assert answer.n_clusters == 1_000
    assert answer.n_effective == pytest.approx(1_500, rel=0.06)
    apart = design(plan_of(), history).answers[0]
    assert answer.mde / apart.mde == pytest.approx(np.sqrt(answer.baseline.design_effect), rel=0.01)
    few = design(plan_of(more="cluster: household"), history, n_units=60)
    assert "FEW_CLUSTERS" in {check.code for check in few.checks}
    assert few.answers[0].mde > answer.mde * np.sqrt(3_000 / 60)  # t quantiles of 20 clusters


FACTORIAL = {
    "kind": "factorial",
    "more": "factors: [{name: offer, levels: [none, voucher]}, {name: way, levels: [mail, call]}]",
    "arms": """
  - {name: control, share: 1/4, levels: {offer: none, way: mail}}
  - {name: v, share: 1/4, levels: {offer: voucher, way: mail}}
  - {name: c, share: 1/4, levels: {offer: none, way: call}}
  - {name: vc, share: 1/4, levels: {offer: voucher, way: call}}""",
    "expected": "expected_mean: 50\n    expected_std_dev: 40",
}


def test_an_interaction_takes_four_times_the_customers_of_a_main_effect():
    plan = design(plan_of(**FACTORIAL), n_units=40_000)
    offer, way, both = plan.factors
    assert [f.kind for f in plan.factors] == ["main", "main", "interaction"]
    assert both.n_needed == pytest.approx(4 * offer.n_needed, abs=4)
    assert both.mde == pytest.approx(2 * way.mde)
    assert plan.interaction_cost == pytest.approx(4)
    assert "offer: voucher × way: call" in plan.words()
    one = next(a for a in plan.answers if a.treatment == "v")
    assert offer.mde < one.mde  # margins use every customer
    names = {name: weights for name, _, weights in _contrasts(plan_of(**FACTORIAL))}
    np.testing.assert_allclose(names["offer: voucher"], main_effect_contrast())
    np.testing.assert_allclose(names["offer: voucher × way: call"], interaction_contrast())


def test_factors_pay_for_looks_like_everything_else():
    looked = {**FACTORIAL, "analysis": "looks_days: [7, 14, 28], spending: pocock"}
    once, often = (design(plan_of(**parts), n_units=40_000) for parts in (FACTORIAL, looked))
    looks = PlannedLooks((0.25, 0.5, 1.0), "group_sequential", "pocock")
    cost = looks.inflation(0.05 / 3, power=0.8)
    assert cost > 1.05
    for plain, dear in zip(once.factors, often.factors, strict=True):
        assert dear.n_needed / plain.n_needed == pytest.approx(cost, rel=1e-3)
        assert dear.power < plain.power


def test_simulated_cells_prove_an_interaction_as_often_as_planned():
    plan = plan_of(**FACTORIAL)
    n = design(plan, n_units=40_000).factors[2].n_needed
    cell = n // 4
    rng = np.random.default_rng(9)
    means = rng.normal([50, 50, 50, 52.5], 40 / np.sqrt(cell), (20_000, 4))  # 5 % of 50
    z = (means @ [1, -1, -1, 1]) / (40 * np.sqrt(4 / cell))
    proven = np.abs(z) > stats.norm.ppf(1 - 0.05 / 3 / 2)
    assert proven.mean() == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 20_000))


def test_a_trigger_takes_the_days_that_its_inflow_says():
    expected = "expected_mean: 50\n    expected_std_dev: 40"
    trigger = plan_of(kind="trigger", expected=expected, schedule=", ends_at: 2008-05-20")
    plan = design(trigger, inflow_per_day=100)
    assert plan.n_units == 2_966  # from eight on the first morning to midnight of the last day
    assert plan.timing.days == 30 + 28
    needed = plan.answers[0].n_needed
    assert plan.timing.days_for(needed) == np.ceil(needed / 100) + 28
    assert f"{plan.timing.days_for(needed)} days" in plan.words().replace(",", "")
    for broken in ({"inflow_per_day": -1}, {"inflow_per_day": 0}):
        with pytest.raises(DefinitionError) as error:
            design(trigger, n_units=1_000, **broken)
        assert error.value.code == "INFLOW_INVALID"
    with pytest.raises(DefinitionError, match="sent to a list"):
        design(plan_of(expected=expected), n_units=1_000, inflow_per_day=10)


LOOKS = "looks_days: [7, 14, 28], spending: pocock"


def regulars() -> pd.DataFrame:
    """Customers of whom most buy, and more where they were loyal before."""
    history = history_of()
    rng = np.random.default_rng(8)
    bought = history["loyalty_before"].clip(lower=0) * rng.lognormal(3, 0.3, len(history))
    return history.assign(spend=np.where(rng.random(len(history)) < 0.4, bought, 0.0))


@pytest.fixture(scope="module")
def rich_plan():
    """Three arms, two metrics and three looks on a history with a covariate."""
    plan = plan_of(arms=THREE, secondary=SECONDARY, analysis=LOOKS)
    return plan, design(plan, regulars())


@pytest.mark.parametrize(
    ("way", "parts", "options"),
    [
        ("one treatment", {"arms": "[{name: control, share: 1/5}, {name: email, share: 4/5}]"}, {}),
        ("one metric", {"secondary": ""}, {}),
        ("one look", {"analysis": "looks_days: [7, 14, 28], monitoring: fixed"}, {}),
        ("twice the customers", {}, {"n_units": 12_000}),
        ("covariate loyalty_before", {"metric": "covariate: loyalty_before"}, {}),
    ],
)
def test_each_way_shows_what_a_design_of_the_changed_plan_shows(rich_plan, way, parts, options):
    _, found = rich_plan
    usual = {
        "arms": THREE,
        "secondary": SECONDARY,
        "analysis": LOOKS,
    }
    changed = design(plan_of(**{**usual, **parts}), regulars(), **options)
    (said,) = [one for one in found.ways if one.name == way]
    assert said.mde_relative == pytest.approx(changed.hardest.mde_relative, rel=2e-3)
    assert said.gain == pytest.approx(1 - said.mde_relative / found.hardest.mde_relative)


def test_conversion_and_a_cap_show_what_designs_by_them_show(hillstrom_file):
    """Of the real e-mail test; history there explains nothing, and that is said."""
    table = pd.read_csv(hillstrom_file)
    table = table[table["segment"] == "No E-Mail"]
    table = table.assign(unit=[f"h{i}" for i in table.index])
    found = design(plan_of(arms=control_of(10)), table, n_units=64_000, covariates=["history"])
    ways = {way.name: way for way in found.ways}
    by_conversion = plan_of(arms=control_of(10), metric="kind: proportion").metrics.primary.metric
    buyers = table.assign(spend=(table["spend"] > 0).astype(int))
    buyers_plan = design(
        plan_of(arms=control_of(10), metric="kind: proportion"), buyers, n_units=64_000
    )
    assert by_conversion.kind == "proportion"
    assert ways["conversion instead of revenue"].mde_relative == pytest.approx(
        buyers_plan.hardest.mde_relative, rel=1e-9
    )
    reasons = {no.kind: no.why for no in found.no_ways}
    assert "explains 0.0 %" in reasons["covariate"]
    assert "Nothing is gained by a covariate (the best of history" in found.words()


def test_a_cap_is_offered_where_a_few_customers_make_the_spread(rich_plan):
    _, found = rich_plan
    (said,) = [one for one in found.ways if one.name.startswith("spend up to")]
    cap = float(said.name.split(" ")[-1])
    usual = {"arms": THREE, "secondary": SECONDARY, "analysis": LOOKS}
    changed = design(plan_of(**usual, metric=f"cap: {cap}"), regulars())
    assert said.mde_relative == pytest.approx(changed.hardest.mde_relative, rel=1e-9)
    assert changed.hardest.baseline.mean < found.hardest.baseline.mean


def test_ways_are_sorted_by_price_per_gain_and_priced_in_money(rich_plan):
    _, found = rich_plan
    prices = [way.price_per_gain for way in found.ways]
    assert prices == sorted(prices)
    free = [way.gain for way in found.ways if way.price == 0]
    assert free == sorted(free, reverse=True)
    (larger,) = [way for way in found.ways if way.name.startswith("a control of")]
    share = np.sqrt(2) / (np.sqrt(2) + 2)
    profit = max(arm.profit_sought for arm in found.arms[1:])
    assert larger.price == pytest.approx((share - 0.2) * 6_000 * max(profit, 0))
    assert sum(line[:2] in ("1.", "2.", "3.") for line in found.words().splitlines()) == 3


def test_a_column_from_after_the_send_is_no_covariate_unless_it_is_named(rich_plan):
    plan, _ = rich_plan
    leak = regulars().assign(revenue=lambda table: table["spend"] * 1.1)
    names = {way.name for way in design(plan, leak).ways}
    assert "covariate loyalty_before" in names
    named = {way.name for way in design(plan, leak, covariates=["revenue"]).ways}
    assert "covariate revenue" in named


@pytest.mark.parametrize(
    ("weeks", "saved"), [(4, 0.61), (13, 0.77), (26, 0.75)], ids=["4 weeks", "13", "26"]
)
def test_the_real_households_tell_what_their_past_saves(weeks, saved):
    from uplift.datasets import complete_journey

    purchases = complete_journey(["transactions"]).purchases
    history = pd.DataFrame({"unit": sorted(purchases["unit"].unique())})
    end = pd.Timestamp("2018-01-01", tz="UTC")
    for name, until in (("spend", end), ("before", end - pd.Timedelta(weeks=weeks))):
        inside = (purchases["occurred_at"] < until) & (
            purchases["occurred_at"] >= until - pd.Timedelta(weeks=weeks)
        )
        total = purchases[inside].groupby("unit")["amount"].sum()
        history[name] = history["unit"].map(total).fillna(0.0)
    plain = up.design(plan_of(), history).answers[0]
    adjusted = up.design(plan_of(metric="covariate: before"), history).answers[0]
    assert adjusted.baseline.variance_reduction == pytest.approx(saved, abs=0.012)
    if weeks == 13:
        assert plain.mde_relative == pytest.approx(0.131, abs=0.002)
        assert adjusted.mde_relative == pytest.approx(0.063, abs=0.001)


def test_a_longer_window_and_one_more_wave_show_what_designs_of_them_show():
    """Two windows before the campaign: their sum is the longer window, and also a second wave."""
    rng = np.random.default_rng(6)
    usual = rng.gamma(2, 20, 4_000)
    last, earlier = (usual * rng.lognormal(0, 0.7, 4_000) for _ in range(2))
    history = pd.DataFrame({"unit": [f"u{i}" for i in range(4_000)], "spend_28d_before": last})
    history["spend_56d_before"] = last + earlier
    plain = plan_of(metric="covariate: spend_28d_before")
    ways = {way.name: way for way in design(plain, history).ways}
    both = design(plan_of(), history.rename(columns={"spend_56d_before": "spend"})).answers[0]
    longer, wave = ways["a window of 56 days"], ways["one more wave"]
    assert longer.mde_relative == pytest.approx(both.mde_relative, rel=1e-9)
    assert wave.mde_relative == pytest.approx(both.mde_relative, rel=1e-9)
    assert (longer.extra_days, wave.extra_days) == (28, 28)
    found = design(plain, history)
    margin = 0.5 * 0.05 * earlier.mean()
    assert longer.price == pytest.approx(found.arms[0].n_units * margin, rel=1e-9)
    contacts = 0.1 * 2_000
    profit = max(found.arms[1].profit_sought, 0)
    assert wave.price == pytest.approx(contacts + 2_000 * profit)
