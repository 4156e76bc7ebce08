"""Segments, delivery and funnel of an analysis, against plain computation; wrong ones fail."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

import uplift as up
from tests.plans import share_of, spend_plan
from uplift.errors import DataError, DefinitionError
from uplift.experiment import experiment_from
from uplift.strict_yaml import parse_yaml

PLAN = spend_plan(
    metric="cap: 60",
    secondary=(
        share_of("opened", "Opened", "opened", "delivery: true"),
        share_of("buyer", "Buyers", "bought"),
    ),
    funnel="[opened@1, buyer@1, spend@1]",
    analysis="looks_days: [7], segments: [region, age_group], covariates: [before]",
)
ORACLE = {"hochberg": "simes-hochberg", "bonferroni": "bonferroni", "benjamini_hochberg": "fdr_bh"}
REGIONS = ("east", "north", "south", "west")


def experiment():
    return experiment_from(parse_yaml(PLAN))


def campaign(n=8000, *, seed=0, effect=2.0, only=None, delivery=0.8, leak=0.0):
    """Units of four regions; the e-mail works on those it reaches, or in one region only."""
    rng = np.random.default_rng(seed)
    units = [f"u{i:05d}" for i in range(n)]
    region = rng.choice(REGIONS, n)
    before = rng.gamma(2, 5, n)
    customers = pd.DataFrame({"unit": units, "region": region, "before": before})
    customers["age_group"] = np.where(rng.random(n) < 0.5, "young", "old")
    treated = rng.random(n) < 0.5
    reached = np.where(treated, rng.random(n) < delivery, rng.random(n) < leak)
    works = np.ones(n, dtype=bool) if only is None else region == only
    spend = before + rng.gamma(2, 3, n) + effect * (reached & works)
    assigned = pd.DataFrame({"unit": units, "arm": np.where(treated, "email", "control")})
    outcomes = pd.DataFrame({"unit": units, "spend": spend, "bought": (spend > 12).astype(int)})
    outcomes["opened"] = (reached & (rng.random(n) < 0.4) & treated).astype(int)
    contacts = pd.DataFrame({"unit": np.array(units)[treated | reached]})
    contacts["status"] = np.where(reached[treated | reached], "delivered", "bounced")
    return assigned, outcomes, customers, contacts


def read(**options):
    assigned, outcomes, customers, contacts = campaign(**options)
    return up.analyse(
        experiment(), assigned, outcomes, customers, contacts=contacts, as_of="2017-08-01"
    )


# --- segments ------------------------------------------------------------------------------------


def segment_rows(report, by, reading="spend@1"):
    found = next(s for s in report.segments if (s.by, s.reading) == (by, reading))
    return {one.segment: one for one in found.effects.segments}, found.effects


def test_the_segment_with_an_effect_is_found_and_the_others_are_not():
    rows, effects = segment_rows(read(only="north", effect=4.0, n=20_000), "region")
    assert [name for name, one in rows.items() if one.ci[0] > 0] == ["north"]
    assert effects.differ
    alike, _ = segment_rows(read(effect=0.0), "region")
    assert all(one.ci[0] < 0 < one.ci[1] for one in alike.values())


def test_a_segment_is_read_from_its_own_units_alone():
    assigned, outcomes, customers, _ = campaign()
    report = read()
    rows, effects = segment_rows(report, "region")
    mine = customers["region"] == "east"
    alone = up.analyse(
        experiment(), assigned[mine], outcomes[mine], customers, as_of="2017-08-01"
    ).effect("spend@1", "email")
    assert rows["east"].effect == pytest.approx(alone.effect, rel=1e-12)
    assert rows["east"].std_error == pytest.approx(alone.std_error, rel=1e-12)
    assert effects.each > effects.confidence > 0.95  # two columns, two readings each


def test_profit_by_segment_adds_up_to_the_profit_of_the_campaign_without_adjustment():
    definition = PLAN.replace("covariates: [before]", "covariates: []")
    assigned, outcomes, customers, _ = campaign()
    report = up.analyse(
        experiment_from(parse_yaml(definition)), assigned, outcomes, customers, as_of="2017-08-01"
    )
    rows, _ = segment_rows(report, "region", "profit")
    arm = assigned.merge(customers, on="unit").assign(spend=outcomes["spend"])
    plain = {
        region: 0.3
        * (part[part.arm == "email"].spend.mean() - part[part.arm == "control"].spend.mean())
        - 0.05
        for region, part in arm.groupby("region")
    }
    assert {k: v.effect for k, v in rows.items()} == pytest.approx(plain, rel=1e-9)


def test_a_segment_without_control_has_its_reason_and_no_number():
    assigned, outcomes, customers, _ = campaign()
    west = (customers["region"] == "west") & (assigned["arm"] == "control")
    customers.loc[west, "region"] = "east"
    report = up.analyse(experiment(), assigned, outcomes, customers, as_of="2017-08-01")
    rows, _ = segment_rows(report, "region")
    assert rows["west"].reason == "no unit in the control"
    assert np.isnan(rows["west"].effect)
    codes = {check.code: check for check in report.checks if not check.passed}
    assert "SEGMENT_NOT_ESTIMABLE" in codes
    assert not report.valid  # a segment that decides the arm is a broken randomisation
    assert codes["SRM"].name == "sample_ratio by region"


def test_a_declared_segment_must_be_a_column():
    assigned, outcomes, customers, _ = campaign()
    with pytest.raises(DataError, match="region") as refused:
        up.analyse(experiment(), assigned, outcomes, customers.drop(columns="region"))
    assert refused.value.code == "COLUMN_MISSING"


# --- delivery ------------------------------------------------------------------------------------


def test_the_effect_on_those_reached_is_the_effect_of_being_assigned_over_the_share_reached():
    report = read(n=40_000, delivery=0.8)
    control, email = report.delivery
    assert (control.sent, control.delivered) == (0, 0)
    assert email.complier.effect == pytest.approx(2.0, abs=3 * email.complier.std_error)
    assert email.complier.assigned.effect == pytest.approx(
        email.complier.effect * email.delivered / email.assigned, rel=1e-6
    )
    assert email.leak is None


def test_comparing_openers_with_the_control_is_wrong_and_refused():
    assigned, outcomes, customers, _ = campaign(n=40_000, effect=0.0)
    heavy = outcomes["spend"] > outcomes["spend"].quantile(0.7)
    outcomes["opened"] = ((assigned["arm"] == "email") & heavy).astype(int)
    openers = outcomes["opened"].to_numpy() == 1
    naive = (
        outcomes["spend"][openers].mean()
        - outcomes["spend"][(assigned["arm"] == "control").to_numpy()].mean()
    )
    assert naive > 3  # an effect where there is none
    with pytest.raises(DataError, match="chose themselves") as refused:
        up.analyse(experiment(), assigned, outcomes, customers, among="opened")
    assert refused.value.code == "POST_TREATMENT_FILTER"


def test_a_contacted_holdout_is_seen_and_bounded():
    report = read(n=40_000, delivery=0.9, leak=0.05)
    check = next(check for check in report.checks if check.code == "CONTAMINATION")
    assert not check.passed
    assert check.value == pytest.approx(0.05, abs=0.006)
    leak = report.delivery[1].leak
    truth = 2.0 * 0.9  # of assignment against a holdout that nobody reaches
    assert leak.bounds[0] <= truth <= leak.bounds[1]
    assert leak.assigned.effect < leak.if_alike
    assert leak.if_alike_ci[0] < truth < leak.if_alike_ci[1]


def test_contacts_of_strangers_are_refused_and_those_of_other_campaigns_left_out():
    assigned, outcomes, customers, contacts = campaign()
    stranger = pd.DataFrame({"unit": ["nobody"], "status": ["sent"]})
    more = pd.concat([contacts, stranger], ignore_index=True)
    with pytest.raises(DataError) as refused:
        up.analyse(experiment(), assigned, outcomes, customers, contacts=more)
    assert (refused.value.code, refused.value.count) == ("EXPOSED_UNASSIGNED", 1)
    more["campaign"] = ["voucher"] * len(contacts) + ["summer"]
    up.analyse(experiment(), assigned, outcomes, customers, contacts=more)


# --- funnel --------------------------------------------------------------------------------------


def test_the_funnel_is_one_family_and_what_only_the_treated_can_do_is_not_tested():
    report = read()
    rows = {(row.stage, row.arm): row for row in report.funnel.rows}
    assert rows[("opened@1", "control")].mean == 0
    assert rows[("opened@1", "email")].verdict == "only the treated"
    assert np.isnan(rows[("opened@1", "email")].p_adjusted)
    assert report.family == ("spend@1 by email", "buyer@1 by email")
    spend = rows[("spend@1", "email")]
    assert spend.from_before == pytest.approx(spend.mean / rows[("buyer@1", "email")].mean)
    assert spend.p_adjusted == report.effect("spend@1", "email").p_adjusted


def test_a_funnel_names_planned_metrics_only():
    with pytest.raises(DefinitionError) as refused:
        experiment_from(parse_yaml(PLAN.replace("opened@1, buyer", "clicked@1, buyer")))
    assert refused.value.code == "METRIC_UNKNOWN"


# --- caps and corrections ------------------------------------------------------------------------


def test_a_capped_metric_shows_the_uncapped_beside_and_never_instead():
    row = read().effect("spend@1", "email")
    assert row.uncapped.treatment_mean > row.treatment_mean
    assert "not capped" in str(read())


@pytest.mark.parametrize("name", ["hochberg", "bonferroni", "benjamini_hochberg"])
def test_the_plan_names_the_correction(name):
    plan = experiment_from(parse_yaml(PLAN.replace("segments:", f"correction: {name}, segments:")))
    assigned, outcomes, customers, _ = campaign(effect=0.2)
    report = up.analyse(plan, assigned, outcomes, customers, as_of="2017-08-01")
    rows = [report.effect(key, "email") for key in ("spend@1", "buyer@1")]
    expected = multipletests([r.p_value for r in rows], method=ORACLE[name])[1]
    assert [r.p_adjusted for r in rows] == pytest.approx(list(expected))


# --- buyers and baskets --------------------------------------------------------------------------


def test_the_effect_on_spend_is_buyers_and_baskets_without_a_remainder():
    assigned, outcomes, customers, _ = campaign(n=20_000)
    rng = np.random.default_rng(4)
    outcomes["spend"] *= rng.random(len(outcomes)) < 0.3
    report = up.analyse(experiment(), assigned, outcomes, customers, as_of="2017-08-01")
    (split,) = report.spend
    parts = split.parts
    assert parts.buyers.effect + parts.baskets.effect == pytest.approx(parts.spend.effect)
    assert parts.spend.effect == pytest.approx(report.effect("spend@1", "email").unadjusted.effect)


def test_a_metric_that_everybody_has_is_not_split():
    assert read().spend == ()
