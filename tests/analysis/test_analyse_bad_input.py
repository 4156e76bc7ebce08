"""Cases B14 to B30 of the catalogue of bad inputs, met through `analyse`."""

import numpy as np
import pandas as pd
import pytest

from uplift.analysis.analyse import analyse
from uplift.errors import DataError, DefinitionError


def codes(report):
    return {check.code for check in report.checks if not check.passed}


def of_arm(campaign, arm):
    return campaign.outcomes["unit"].isin(
        campaign.assigned.loc[campaign.assigned["arm"] == arm, "unit"]
    )


def outcome(column, value, rows=slice(0, 1)):
    def change(campaign):
        values = campaign.outcomes[column].astype(object if isinstance(value, str) else float)
        values.iloc[rows] = value
        campaign.outcomes[column] = values

    return change


def label(value):
    def change(campaign):
        campaign.assigned.loc[3, "arm"] = value

    return change


def only(arm, count):
    """Leave so many units of an arm."""

    def change(campaign):
        rows = campaign.assigned.index[campaign.assigned["arm"] == arm][count:]
        campaign.assigned = campaign.assigned.drop(index=rows)

    return change


def leaked(campaign):
    for i, arm in enumerate(["control", "email", "post", "phone"]):
        campaign.outcomes.loc[of_arm(campaign, arm), "spend"] = float(i)


def twice(campaign):
    campaign.outcomes = pd.concat([campaign.outcomes, campaign.outcomes.head(1)])


def in_two_arms(campaign):
    extra = campaign.assigned.head(1).assign(arm="phone")
    first = campaign.assigned.loc[0, "arm"]
    extra["arm"] = "phone" if first != "phone" else "post"
    campaign.assigned = pd.concat([campaign.assigned, extra])


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        pytest.param(outcome("spend", np.nan), "OUTCOME_MISSING", "missing='zero'", id="B14"),
        pytest.param(outcome("spend", np.inf), "OUTCOME_NOT_FINITE", "not finite", id="B15"),
        pytest.param(leaked, "OUTCOME_EQUALS_ARM", "function of the arm", id="B18"),
        pytest.param(outcome("bought", 2.0), "OUTCOME_NOT_BINARY", "found 2", id="B19"),
        pytest.param(outcome("spend", "12,50"), "OUTCOME_NOT_NUMERIC", "12,50", id="B20"),
        pytest.param(only("post", 0), "ARM_MISSING", "'post'.*25.0%", id="B26"),
        pytest.param(only("post", 1), "ARM_TOO_SMALL", "one unit", id="B27"),
        pytest.param(label(None), "ARM_NULL", "row 4", id="B28"),
        pytest.param(label("Email "), "ARM_UNKNOWN", "mean 'email'", id="B29"),
        pytest.param(twice, "ID_DUPLICATE", "one row per unit", id="B06"),
        pytest.param(in_two_arms, "ID_TWO_ARMS", "in two arms", id="B07"),
    ],
)
def test_what_cannot_be_analysed_is_refused_with_its_code(make_campaign, change, code, words):
    campaign = make_campaign(n_units=400)
    change(campaign)
    with pytest.raises(DataError, match=words) as caught:
        campaign.analyse()
    assert caught.value.code == code


def test_a_missing_outcome_counts_as_zero_or_is_left_out_when_that_is_said(make_campaign):
    campaign = make_campaign(n_units=400)
    outcome("spend", np.nan)(campaign)  # an empty cell
    campaign.outcomes = campaign.outcomes.iloc[:-3]  # rows that are not there
    zero = campaign.analyse(missing="zero")
    assert sum(zero.analysed.values()) == 400
    dropped = campaign.analyse(missing="drop")
    assert sum(dropped.analysed.values()) == 396
    assert sum(dropped.assigned.values()) == 400
    check = next(c for c in dropped.checks if c.code == "OUTCOME_ATTRITION")
    assert check.passed


def test_outcomes_missing_far_more_often_in_one_arm_withhold_the_decision(make_campaign):
    campaign = make_campaign(email=6.0)
    lost = np.flatnonzero(of_arm(campaign, "email").to_numpy())[:60]
    campaign.outcomes = campaign.outcomes.drop(index=campaign.outcomes.index[lost])
    report = campaign.analyse(missing="drop")
    assert "OUTCOME_ATTRITION" in codes(report)
    assert "SRM" not in codes(report)  # the assignment was as planned
    assert report.decision.action == "none"
    assert any("email 60 of 1,000" in words for words in report.decision.words)


def test_a_constant_outcome_says_nothing(make_campaign):
    campaign = make_campaign(n_units=400)
    campaign.outcomes["spend"] = 0.1  # not exact in binary: rounding is no variation
    report = campaign.analyse()
    row = report.effect("spend@1", "email")
    assert row.effect == 0
    assert np.isnan([*row.ci, row.p_value]).all()
    assert row.verdict == "no information"
    assert "NO_VARIATION" in codes(report)
    assert "not estimable" in report.table().text()


def test_a_constant_proportion_says_nothing_either(make_campaign):
    campaign = make_campaign(n_units=400)
    campaign.outcomes["bought"] = 0
    row = campaign.analyse().effect("buyer@1", "email")
    assert row.verdict == "no information"
    assert np.isnan(row.p_adjusted)


def test_a_large_offset_costs_no_digit_of_the_effect(make_campaign):
    campaign = make_campaign(n_units=4_000)
    campaign.customers = None
    rng = np.random.default_rng(1)
    campaign.outcomes["spend"] = 1e9 + rng.normal(0, 1e-3, 4_000)
    away = {
        arm: campaign.values(arm, "spend") - 1e9 for arm in ("control", "email")
    }  # exact, as both are near
    row = campaign.analyse().effect("spend@1", "email")
    assert row.effect == pytest.approx(away["email"].mean() - away["control"].mean(), rel=1e-6)
    expected = np.sqrt(sum(values.var(ddof=1) / len(values) for values in away.values()))
    assert row.std_error == pytest.approx(expected, rel=1e-6)


def test_one_customer_with_most_of_the_revenue_is_pointed_out(make_campaign):
    campaign = make_campaign(n_units=400)
    campaign.outcomes["spend"] = np.r_[600.0, np.full(399, 1.0) + np.arange(399) / 1e4]
    assert "OUTCOME_DOMINATED" in codes(campaign.analyse())


def test_returns_are_accepted_as_they_are(make_campaign):
    campaign = make_campaign(n_units=400)
    outcome("spend", -50.0)(campaign)
    assert campaign.analyse().valid


def test_an_arm_below_thirty_units_is_a_warning(make_campaign):
    report = make_campaign(n_units=80).analyse()
    assert "ARM_TOO_SMALL" in codes(report)
    assert report.valid
    assert report.effect("spend@1", "email").method == "Welch"  # too few to adjust


def test_a_split_of_52_to_48_of_100_000_is_refused_a_verdict(make_campaign):
    campaign = make_campaign(n_units=400)
    n, half = 100_000, 52_000
    rng = np.random.default_rng(1)
    unit = [f"c{i}" for i in range(n)]
    arm = np.r_[np.repeat("control", half), np.resize(["email", "post", "phone"], n - half)]
    outcomes = pd.DataFrame({"unit": unit, "spend": rng.normal(size=n), "redeemed": 0})
    for name in ("bought", "opted_out"):
        outcomes[name] = rng.integers(0, 2, n)
    report = analyse(campaign.experiment, pd.DataFrame({"unit": unit, "arm": arm}), outcomes)
    assert codes(report) >= {"SRM"}
    assert report.decision.action == "none"


def test_units_with_outcomes_but_no_assignment_are_never_control(make_campaign):
    campaign = make_campaign(n_units=400)
    before = campaign.analyse()
    stranger = campaign.outcomes.head(1).assign(unit="stranger", spend=1e6)
    campaign.outcomes = pd.concat([campaign.outcomes, stranger])
    after = campaign.analyse()
    assert "EXPOSED_UNASSIGNED" in codes(after)
    assert after.to_dict()["effects"] == before.to_dict()["effects"]


def test_a_cluster_in_two_arms_is_refused(make_campaign):
    campaign = make_campaign(n_units=400, changes=[("arms:", "cluster: household\narms:")])
    campaign.assigned["cluster"] = [f"h{i // 2}" for i in range(400)]
    with pytest.raises(DataError, match="more than one arm") as caught:
        campaign.analyse()
    assert caught.value.code == "CLUSTER_TWO_ARMS"


@pytest.mark.parametrize(
    ("value", "code"), [("many", "COVARIATE_NOT_NUMERIC"), (np.inf, "FEATURE_NOT_FINITE")]
)
def test_a_covariate_that_is_no_number_is_refused(make_campaign, value, code):
    campaign = make_campaign(n_units=400)
    campaign.customers["spend_before"] = value
    with pytest.raises(DataError, match="spend_before") as caught:
        campaign.analyse()
    assert caught.value.code == code


def test_customers_that_lack_a_unit_are_refused(make_campaign):
    campaign = make_campaign(n_units=400)
    campaign.customers = campaign.customers.iloc[1:]
    with pytest.raises(DataError, match="1 assigned unit") as caught:
        campaign.analyse()
    assert caught.value.code == "FEATURE_ROWS_MISSING"


def test_a_time_that_is_none_is_refused(make_campaign):
    with pytest.raises(DefinitionError, match="A date or a time such as"):
        make_campaign(n_units=400).analyse(as_of="yesterday")
