"""Looks: error is shared along the plan, whatever the moment; peeking must fail the same check."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import uplift as up
from tests.plans import spend_plan
from uplift.analysis.look_record import looks_from, looks_text, with_look
from uplift.analysis.looks import LookRule, look_rule
from uplift.errors import StateError
from uplift.experiment import experiment_from
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.looks import information
from uplift.strict_yaml import parse_yaml

TRIGGER = spend_plan(
    id="welcome",
    kind="trigger",
    schedule="{starts_at: 2017-07-03T08:00:00, ends_at: 2017-08-02T08:00:00, "
    "timezone: Europe/Paris, response_days: 7}",
    analysis="looks_days: [17, 27, 37], MONITORING",
)
LAUNCH = pd.Timestamp("2017-07-03T08:00", tz="Europe/Paris")


def trigger(monitoring="group_sequential"):
    text = TRIGGER.replace("MONITORING", f"monitoring: {monitoring}")
    return experiment_from(parse_yaml(text))


def customers(n=3000, *, effect=0.0, seed=0):
    """Units that come in evenly over 30 days, and what they spend within 7 days."""
    rng = np.random.default_rng(seed)
    arm = np.where(rng.random(n) < 0.5, "email", "control")
    entered = LAUNCH + pd.to_timedelta(np.sort(rng.uniform(0, 30, n)), unit="D")
    assigned = pd.DataFrame({"unit": [f"u{i:05d}" for i in range(n)], "arm": arm})
    assigned["assigned_at"] = entered.tz_convert("UTC")
    spend = rng.gamma(4, 2.5, n) + effect * (arm == "email")
    return assigned, pd.DataFrame({"unit": assigned["unit"], "spend": spend})


def day(number):
    return (LAUNCH + timedelta(days=number)).to_pydatetime()


# --- the rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        ("sticky", [10 / 28, (14 + 4) / 28, 1]),
        ("redrawn", [0, 14 / 28, 1]),  # what is read of waves drawn anew is their closed windows
    ],
)
def test_the_information_of_waves_is_that_of_what_is_read(draw, expected):
    plan = spend_plan(
        schedule="{starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 14, "
        "waves: [{name: a, starts_at: 2017-07-03T08:00:00}, "
        f"{{name: b, starts_at: 2017-07-17T08:00:00, draw: {draw}}}]}}",
        analysis="looks_days: [10, 18]",
    )
    experiment = experiment_from(parse_yaml(plan))
    assert [information(experiment, day) for day in (10, 18, 28)] == pytest.approx(expected)


def test_five_equal_looks_have_the_published_obrien_fleming_bounds():
    bounds = [
        LookRule("look", tuple((i + 1) / 5 for i in range(k)), "group_sequential").bound(0.05)
        for k in range(1, 6)
    ]
    assert bounds == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=5e-4)


@pytest.mark.parametrize("monitoring", ["group_sequential", "always_valid"])
def test_a_p_value_is_at_most_alpha_exactly_where_the_bound_is_reached(monitoring):
    rng = np.random.default_rng(3)
    for _ in range(60):
        fractions = tuple(np.sort(rng.uniform(0.05, 1, rng.integers(1, 5))))
        rule = LookRule("look", fractions, monitoring, information=fractions[-1])
        alpha = float(rng.uniform(0.001, 0.2))
        bound = rule.bound(alpha)
        for z in (bound - 1e-4, bound + 1e-4):
            p = rule.p_value(float(2 * stats.norm.sf(z)), test="a")
            assert (p <= alpha) == (z >= bound), (fractions, alpha, z)
        assert stats.norm.isf((1 - rule.confidence(1 - alpha)) / 2) == pytest.approx(
            bound, rel=1e-4
        )


def test_one_reading_shares_nothing():
    rule = LookRule()
    assert rule.p_value(0.0321, test="a") == 0.0321
    assert rule.confidence(0.95) == 0.95
    assert rule.p_value(0.0321, test="a") != LookRule(
        "look", (0.5, 1.0), "group_sequential"
    ).p_value(0.0321, test="a")


def false_alarms(rule_at, *, n_looks=5, reps=2000):
    """Share of null paths of z that are called proven at any of equally spaced looks."""
    rng = np.random.default_rng(11)
    steps = rng.normal(size=(reps, n_looks))
    z = np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, n_looks + 1))
    bounds = np.array([rule_at(k).bound(0.05) for k in range(1, n_looks + 1)])
    return float((np.abs(z) >= bounds).any(axis=1).mean())


def test_looks_keep_the_error_and_peeking_does_not():
    def spending(k):
        return LookRule("look", tuple((i + 1) / 5 for i in range(k)), "group_sequential")

    def any_time(k):
        return LookRule("look", (k / 5,), "always_valid", information=k / 5)

    band = 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert abs(false_alarms(spending) - 0.05) < band
    assert false_alarms(any_time) < 0.05 + band
    assert false_alarms(lambda k: LookRule()) > 0.05 + 3 * band  # the wrong variant


# --- when an experiment is read ------------------------------------------------------------------


def rule_on(number, experiment=None, **options):
    given = {"n_mature": 0, "planned_units": None, "earlier": None} | options
    return look_rule(experiment or trigger(), as_of=day(number), **given)


def test_looks_that_are_not_told_of_are_taken_to_have_been():
    experiment = trigger()
    rule = rule_on(27)
    assert rule.stage == "look"
    assert rule.fractions == (information(experiment, 17), information(experiment, 27))
    assert rule_on(27, earlier=()).fractions == (information(experiment, 27),)


def test_between_looks_the_band_holds_at_any_time_and_nothing_is_decided():
    assert rule_on(20).stage == "between looks"
    assert rule_on(20).always_valid
    assert rule_on(37).stage == "final"
    assert rule_on(17, trigger("fixed")).stage == "between looks"


def test_information_is_counted_against_the_units_of_the_design():
    rule = rule_on(17, n_mature=400, planned_units=1600, earlier=())
    assert rule.fractions == (0.25,)
    over = rule_on(17, n_mature=2000, planned_units=1600, earlier=())
    assert over.fractions == (1.0,)  # more came than planned: all information is in


# --- the analysis --------------------------------------------------------------------------------


def test_a_trigger_is_read_on_the_units_that_are_through():
    assigned, outcomes = customers(effect=0.0)
    early = assigned["assigned_at"] <= pd.Timestamp(day(17)) - timedelta(days=7)
    report = up.analyse(trigger(), assigned, outcomes[early.to_numpy()], as_of=day(17))
    assert sum(report.analysed.values()) == early.sum()
    assert not report.provisional
    assert report.look is not None
    assert report.look.number == 1
    assert [check.code for check in report.checks if check.code == "WINDOW_OPEN"]
    assert report.decision.action == "none"
    assert "look 1" in report.decision.words[0]


def test_a_strong_effect_is_scaled_at_the_first_look_and_stays_proven():
    assigned, outcomes = customers(effect=4.0)
    first = up.analyse(trigger(), assigned, outcomes, as_of=day(17), earlier=())
    assert (first.decision.action, first.decision.arm) == ("scale", "email")
    weak = np.random.default_rng(5).gamma(4, 2.5, len(outcomes)) + 0.5 * (
        assigned["arm"] == "email"
    )
    flat = outcomes.assign(spend=weak)
    second = up.analyse(trigger(), assigned, flat, as_of=day(27), earlier=(first.look,))
    key = "spend@1"
    assert second.effect(key, "email").p_value == first.effect(key, "email").p_value
    assert second.look.tests["spend@1 by email"].bound < first.look.tests["spend@1 by email"].bound


def test_a_gain_that_was_proven_does_not_prove_a_loss_at_the_next_look():
    assigned, outcomes = customers(effect=4.0)
    first = up.analyse(trigger(), assigned, outcomes, as_of=day(17), earlier=())
    treated = outcomes["unit"].isin(assigned.loc[assigned["arm"] == "email", "unit"])
    turned = outcomes.assign(spend=outcomes["spend"] - 4.05 * treated)
    second = up.analyse(trigger(), assigned, turned, as_of=day(27), earlier=(first.look,))
    row = second.effect("spend@1", "email")
    assert first.effect("spend@1", "email").verdict == "better"
    assert (row.effect < 0, row.verdict) == (True, "not proven")
    assert row.p_value > 0.05


@pytest.mark.parametrize("units", [40, 3000])  # few: a t interval; both at a look, so still wider
def test_a_prior_has_the_error_of_the_estimate_not_of_its_interval(units):
    assigned, outcomes = customers(n=units, effect=1.0)
    report = up.analyse(trigger(), assigned, outcomes, as_of=day(27), earlier=())
    entered = pd.to_datetime(assigned["assigned_at"]) <= pd.Timestamp(day(20))
    rows = assigned[entered].merge(outcomes, on="unit")
    treated, control = (rows.loc[rows["arm"] == arm, "spend"] for arm in ("email", "control"))
    log_variance = sum(arm.var(ddof=1) / len(arm) / arm.mean() ** 2 for arm in (treated, control))
    plain = treated.mean() / control.mean() * np.sqrt(log_variance)
    effect, error = report.relative_effects()["spend@1"]
    assert effect == pytest.approx(treated.mean() / control.mean() - 1, rel=1e-9)
    assert error == pytest.approx(plain, rel=1e-9)
    low, high = report.effect("spend@1", "email").relative_ci
    assert (high - low) / (2 * 1.96) > 1.2 * plain  # what the width would have said


def test_intervals_are_wider_at_a_look_than_in_a_plan_read_once():
    assigned, outcomes = customers(effect=1.0)
    shared = up.analyse(trigger(), assigned, outcomes, as_of=day(27))
    alone = up.analyse(trigger("fixed"), assigned, outcomes, as_of=day(37))
    width = {
        name: np.diff(r.effect("spend@1", "email").ci)[0]
        for name, r in (("shared", shared), ("alone", alone))
    }
    assert width["shared"] > 1.1 * width["alone"]
    assert shared.effect("spend@1", "email").p_value > alone.effect("spend@1", "email").p_value


def test_a_look_cannot_come_after_a_later_one():
    assigned, outcomes = customers()
    later = up.analyse(trigger(), assigned, outcomes, as_of=day(27), earlier=()).look
    with pytest.raises(StateError) as refused:
        up.analyse(trigger(), assigned, outcomes, as_of=day(17), earlier=(later,))
    assert refused.value.code == "LOOK_ORDER"


def test_looks_survive_their_file():
    assigned, outcomes = customers(effect=1.0)
    first = up.analyse(trigger(), assigned, outcomes, as_of=day(17), earlier=()).look
    second = up.analyse(trigger(), assigned, outcomes, as_of=day(27), earlier=(first,)).look
    looks = with_look((first,), second)
    assert looks_from(looks_text(looks)) == looks
    again = replace(second, fraction=0.9)
    assert with_look(looks, again) == (first, again)  # the same day is not spent twice


def test_units_of_a_trigger_may_be_counted_every_day():
    assigned, outcomes = customers(n=20_000)
    keep = (assigned["arm"] == "control") | (np.random.default_rng(2).random(len(assigned)) < 0.9)
    torn = assigned[keep].reset_index(drop=True)
    report = up.analyse(trigger(), torn, outcomes, as_of=day(37))
    ratio = next(check for check in report.checks if check.name == "sample_ratio")
    assert not ratio.passed
    fine = up.analyse(trigger(), assigned, outcomes, as_of=day(37))
    assert next(check for check in fine.checks if check.name == "sample_ratio").passed


def test_the_looks_ahead_have_the_bounds_that_they_then_turn_out_to_have():
    experiment = trigger()
    assigned, outcomes = customers()
    first = up.analyse(experiment, assigned, outcomes, as_of=day(17), earlier=())
    assert [look.day for look in first.ahead] == [27, 37]
    assert first.ahead[-1].fraction == 1.0
    second = rule_on(27, experiment, earlier=(first.look,))
    assert first.ahead[0].bound == pytest.approx(second.bound(0.05), rel=1e-9)
    whole = LookRule("look", (first.look.fraction, first.ahead[0].fraction, 1.0),
                     "group_sequential")  # fmt: skip
    assert first.ahead[1].bound == pytest.approx(whole.bound(0.05), rel=1e-9)
    assert up.analyse(experiment, assigned, outcomes, as_of=day(37)).ahead == ()


def test_between_looks_the_looks_ahead_are_those_of_the_plan():
    assigned, outcomes = customers()
    for monitoring, bound in (("fixed", 1.96), ("group_sequential", None), ("always_valid", None)):
        report = up.analyse(trigger(monitoring), assigned, outcomes, as_of=day(10), earlier=())
        assert report.ahead[-1].fraction == 1.0
        assert [look.bound for look in report.ahead][-1] >= 1.959
        if bound:
            assert [round(look.bound, 2) for look in report.ahead] == [bound]


def test_a_reading_with_hardly_any_information_has_an_interval_all_the_same():
    rule = LookRule("between looks", (0.01,), "group_sequential", information=0.007)
    bound = rule.bound(0.05)
    assert bound > 9
    assert 0.95 < rule.confidence(0.95) < 1
    rng = np.random.default_rng(4)
    arms = [Moments.of({"y": rng.normal(20, 2, 500)}, ["y"]) for _ in range(2)]
    read = welch(*arms, column="y", confidence=rule.confidence(0.95))
    held = rule.holding(read, wanted=0.95)
    assert held.ci[1] - held.effect > bound * held.std_error  # a t interval, so a little wider
    assert held.ci[1] - held.effect < 1.1 * bound * held.std_error
    assert read.ci[1] - read.effect < 8.5 * held.std_error  # what a level in floating point can
    log_error = held.relative_std_error / (1 + held.relative_effect)
    high = (1 + held.relative_effect) * np.exp(bound * log_error) - 1
    assert held.relative_ci[1] == pytest.approx(high, rel=0.1)
    assigned, outcomes = customers()
    assert up.analyse(trigger(), assigned, outcomes, as_of=day(3), earlier=()).provisional
