"""Strata, balance, influence and belief of an analysis: right, and the wrong way around not."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import uplift as up
from tests.analysis.test_questions import PLAN, campaign
from tests.plans import spend_plan
from uplift.errors import DefinitionError
from uplift.experiment import experiment_from
from uplift.strict_yaml import parse_yaml

AS_OF = "2017-08-01"
SHORT = PLAN.replace("segments: [region, age_group], covariates: [before]", "NOTHING")


def plan(analysis="", **replaced):
    text = SHORT.replace(", NOTHING", f", {analysis}" if analysis else "")
    for old, new in replaced.items():
        text = text.replace(old, new)
    return experiment_from(parse_yaml(text))


def by_region(n=4000, *, seed=0, effect=1.0):
    """Spend depends strongly on the region, and the arms have it in unlike shares by chance."""
    assigned, outcomes, customers, _ = campaign(n, seed=seed, effect=effect, delivery=1.0)
    level = customers["region"].map({"east": 0, "north": 10, "south": 20, "west": 30})
    rng = np.random.default_rng(seed + 1)
    spend = level + rng.normal(20, 3, n) + effect * (assigned["arm"] == "email")
    return assigned, outcomes.assign(spend=spend), customers


# --- strata --------------------------------------------------------------------------------------


def test_weighing_by_strata_takes_the_noise_between_them_out():
    assigned, outcomes, customers = by_region()
    capped = {"cap: 60": "cap: 600"}
    plain = up.analyse(plan(**capped), assigned, outcomes, customers, as_of=AS_OF)
    weighed = up.analyse(
        plan("strata: [region]", **capped), assigned, outcomes, customers, as_of=AS_OF
    )
    row, before = (r.effect("spend@1", "email") for r in (weighed, plain))
    assert row.method == "post-stratified"
    assert row.std_error < 0.4 * before.std_error
    cells = outcomes.merge(assigned, on="unit").merge(customers, on="unit")
    means = cells.pivot_table(index="region", columns="arm", values="spend")
    share = cells["region"].value_counts(normalize=True)
    assert row.effect == pytest.approx(((means["email"] - means["control"]) * share).sum())


def test_weighed_effects_cover_and_ignoring_the_strata_s_weights_does_not():
    covered, naive = [], []
    for seed in range(30):
        assigned, outcomes, customers = by_region(400, seed=seed)
        # the draw was unlike by region: three in four of the east, one in four of the west
        rng = np.random.default_rng(seed)
        share = customers["region"].map({"east": 0.75, "north": 0.5, "south": 0.5, "west": 0.25})
        arm = np.where(rng.random(len(share)) < share, "email", "control")
        outcomes["spend"] += (arm == "email") * 1.0 - (assigned["arm"] == "email") * 1.0
        assigned["arm"] = arm
        for found, analysis in ((covered, "strata: [region]"), (naive, "")):
            experiment = plan(analysis, **{"cap: 60": "cap: 600"})
            row = up.analyse(experiment, assigned, outcomes, customers, as_of=AS_OF).effects[0]
            found.append(row.ci[0] < 1.0 < row.ci[1])
    lowest = 0.95 - 3 * np.sqrt(0.05 * 0.95 / 30)
    assert np.mean(covered) > lowest
    assert np.mean(naive) < lowest - 0.3


# --- balance -------------------------------------------------------------------------------------


def test_arms_that_differ_before_the_send_have_no_verdict():
    assigned, outcomes, customers, _ = campaign()
    fine = up.analyse(plan(), assigned, outcomes, customers, as_of=AS_OF)
    assert next(check for check in fine.checks if check.name == "balance").passed
    customers["before"] += 2.0 * (assigned["arm"] == "email")
    report = up.analyse(plan(), assigned, outcomes, customers, as_of=AS_OF)
    failed = next(check for check in report.checks if check.name == "balance")
    assert (failed.passed, failed.code, failed.blocking) == (False, "BALANCE", True)
    assert report.decision.action == "none"


def test_a_metric_that_differed_before_the_test_is_pointed_out():
    own = {"owner: crm, cap: 60": "owner: crm, cap: 60, covariate: before"}
    assigned, outcomes, customers, _ = campaign()
    customers["before"] += 1.0 * (assigned["arm"] == "email")
    report = up.analyse(plan(**own), assigned, outcomes, customers, as_of=AS_OF)
    bias = next(check for check in report.checks if check.name == "pre_period_bias")
    assert not bias.passed
    assert "email" in bias.remedy


# --- influence -----------------------------------------------------------------------------------


def test_ten_customers_who_carry_the_effect_are_pointed_out():
    assigned, outcomes, customers, _ = campaign(effect=0.0, seed=1)
    uncapped = {", cap: 60": ""}
    treated = np.flatnonzero(assigned["arm"] == "email")[:10]
    outcomes.loc[treated, "spend"] = 3_000.0
    report = up.analyse(plan(**uncapped), assigned, outcomes, customers, as_of=AS_OF)
    row = next(r for r in report.influence if r.reading == "spend@1").influence
    assert row.proven
    assert not row.survives
    assert row.carried > 0.8
    left = np.setdiff1d(np.arange(len(outcomes)), treated)
    kept = outcomes.iloc[left].merge(assigned, on="unit")
    means = kept.groupby("arm")["spend"].mean()
    assert row.without.effect == pytest.approx(means["email"] - means["control"], rel=1e-6)
    assert "INFLUENCE" in {check.code for check in report.checks}


# --- belief --------------------------------------------------------------------------------------


def test_the_belief_stands_beside_the_test_and_a_prior_pulls_it():
    assigned, outcomes, customers, _ = campaign()
    flat = up.analyse(plan(), assigned, outcomes, customers, as_of=AS_OF).effects[0]
    assert flat.posterior.mean == pytest.approx(flat.effect)
    assert flat.posterior.chance_to_win == pytest.approx(
        stats.norm.cdf(flat.effect / flat.std_error)
    )
    prior = {
        "    minimum_effect: 0.1": "    minimum_effect: 0.1\n    prior: {mean: 0, std_dev: "
        "0.01, source: ten letters}"
    }
    pulled = up.analyse(plan(**prior), assigned, outcomes, customers, as_of=AS_OF).effects[0]
    tau = 0.01 * pulled.control_mean
    shrunk = pulled.effect * tau**2 / (tau**2 + pulled.std_error**2)
    assert pulled.posterior.mean == pytest.approx(shrunk)
    assert pulled.effect == flat.effect  # the test itself does not know the prior


# --- heavy tails ---------------------------------------------------------------------------------

HEAVY = spend_plan(
    arms=(
        "{name: control, share: 0.05}",
        "{name: email, share: 0.95, channel: email, unit_cost: 0.0}",
    ),
    expected={"expected_mean": 1, "expected_std_dev": 10, "minimum_effect": 0.1},
    secondary=(
        "{name: big_order, version: 1, title: Large order, column: spend, kind: quantile, "
        "quantile: 0.9, unit: EUR, window_days: 7, owner: crm}",
    ),
    margin_rate=1,
)


def heavy(seed, n=20_000, buyers=0.01):
    rng = np.random.default_rng(seed)
    units = [f"u{i}" for i in range(n)]
    arm = np.where(rng.random(n) < 0.05, "control", "email")
    assigned = pd.DataFrame({"unit": units, "arm": arm})
    spend = np.where(rng.random(n) < buyers, rng.lognormal(3.5, 1.2, n), 0.0)
    return assigned, pd.DataFrame({"unit": units, "spend": spend})


def test_a_small_control_of_a_heavy_tailed_metric_is_read_with_its_skewness():
    report = up.analyse(experiment_from(parse_yaml(HEAVY)), *heavy(0), as_of=AS_OF)
    assert report.effects[0].method == "skewness corrected"
    assert report.money.rows[0].method == "skewness corrected"
    assert "SKEWED_INTERVAL" in {check.code for check in report.checks}
    even = HEAVY.replace("share: 0.05", "share: 0.5").replace("share: 0.95", "share: 0.5")
    assigned, outcomes = heavy(0)
    assigned["arm"] = np.where(np.arange(len(assigned)) % 2, "control", "email")
    level = up.analyse(experiment_from(parse_yaml(even)), assigned, outcomes, as_of=AS_OF)
    assert level.effects[0].method == "Welch"  # equal arms: the skewness cancels


@pytest.mark.slow
def test_useless_campaigns_are_not_scaled_more_often_than_they_may_be():
    """The profit's lower bound is above 0 with 2.5 %; plain intervals do it many times as often."""
    scaled, plain = [], []
    for seed in range(600):
        report = up.analyse(experiment_from(parse_yaml(HEAVY)), *heavy(seed, 4000), as_of=AS_OF)
        scaled.append(report.decision.action == "scale")
        plain.append(report.effects[0].unadjusted.ci[0] > 0)
    band = 3 * np.sqrt(0.025 * 0.975 / 600)
    assert np.mean(scaled) < 0.025 + band
    assert np.mean(plain) > 0.025 + 2 * band


def test_a_quantile_below_the_mass_of_zeros_is_undefined_and_one_above_is_not():
    report = up.analyse(experiment_from(parse_yaml(HEAVY)), *heavy(0), as_of=AS_OF)
    row = report.effect("big_order@1", "email")
    assert (row.method, row.verdict) == ("quantile", "no information")
    assert np.isnan(row.effect)
    assert "QUANTILE_UNDEFINED" in {check.code for check in report.checks}
    assigned, outcomes = heavy(0, buyers=0.8)
    outcomes.loc[assigned["arm"] == "email", "spend"] *= 1.5
    found = up.analyse(experiment_from(parse_yaml(HEAVY)), assigned, outcomes, as_of=AS_OF)
    row = found.effect("big_order@1", "email")
    by_arm = outcomes.groupby(assigned["arm"])["spend"].quantile(0.9)
    assert row.effect == pytest.approx(by_arm["email"] - by_arm["control"], rel=0.02)
    assert row.verdict == "better"


def test_a_quantile_cannot_decide():
    text = HEAVY.replace(
        "owner: crm}\n    expected_mean",
        "owner: crm, kind: quantile, quantile: 0.5}\n    expected_mean",
    )
    with pytest.raises(DefinitionError) as refused:
        experiment_from(parse_yaml(text))
    assert refused.value.code == "METRIC_KIND"
