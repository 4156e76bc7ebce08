"""A simulated year: the programme's total, the sum of its campaigns, and what is between them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from uplift.adding_up.add_up import add_up
from uplift.adding_up.campaigns import SentCampaign
from uplift.adding_up.held_out_spans import equal_weights
from uplift.adding_up.spans import Responses, Span, measured
from uplift.errors import DataError, DefinitionError
from uplift.experiment import experiment_from
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.ratios import ratio
from uplift.registry.past import ArmEffect
from uplift.strict_yaml import parse_yaml

PLAN = """
id: universal_control
title: The programme
kind: universal_control
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: Everyone}
arms:
  - {name: control, share: 0.2}
  - {name: programme, share: 0.8}
metrics:
  primary:
    metric: {name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 28,
             owner: crm}
  secondary:
    - metric: {name: buyer, version: 1, title: Buyers, column: bought, kind: proportion,
               unit: share, window_days: 28, owner: crm}
  no_guardrails_because: A test of the total.
schedule: {starts_at: 2016-01-01T00:00:00, timezone: UTC, response_days: 364}
analysis: {decision_rule: Keep it while it pays.}
money: {currency: EUR, value: spend, margin_rate: 0.5}
"""
CONTROL = experiment_from(parse_yaml(PLAN))
START = datetime(2016, 1, 1, tzinfo=UTC)
MONTHS, DAYS = 13, 28
N, SENT = 1_600, 11
R = 40
BAND = 3 * np.sqrt(0.05 * 0.95 / R)


def at(month):
    return START + timedelta(days=DAYS * month)


def year(rng, *, worth=0.0, payback=0.0):
    """Thirteen months: a campaign in each of the first eleven, on a random part of the programme.

    worth    mean effect of a campaign on those who got it
    payback  share of a campaign's effect that is lost in the month after its window, where its own
             test does not look: campaigns take from each other's months
    """
    unit = np.array([f"c{i}" for i in range(N)])
    held = rng.permutation(N) < 0.2 * N
    gain = rng.normal(worth, 0.4, SENT)
    spend = rng.gamma(2, 2, (N, MONTHS))
    groups, reach = [], []
    for month in range(SENT):
        drawn = ~held & (rng.random(N) < rng.uniform(0.4, 0.9))
        treated = drawn & (rng.random(N) < 0.75)
        spend[treated, month] += gain[month]
        spend[treated, month + 1] -= payback * gain[month]
        groups.append((treated, drawn & ~treated))
        reach.append(treated[~held].mean())
    campaigns = tuple(
        campaign(f"month_{i:02}", at(i), unit, *groups[i], spend[:, i]) for i in range(SENT)
    )
    table = pd.DataFrame(
        {
            "unit": np.repeat(unit, MONTHS),
            "occurred_at": np.tile([at(m + 0.5) for m in range(MONTHS)], N),
            "spend": spend.ravel(),
        }
    )
    arms = pd.DataFrame({"unit": unit, "cluster": unit, "arm": np.where(held, "control", "all")})
    truth = float(gain @ np.array(reach)) * (1 - payback)
    return (Span(START, at(MONTHS), (equal_weights(arms),)),), table, campaigns, truth


def campaign(name, launch_at, unit, treated, control, spend):
    """A campaign as its own test reads it."""
    t, c = (Moments.of({"y": spend[part]}, ["y"]) for part in (treated, control))
    found = welch(t, c, column="y")
    arm = ArmEffect("letter", found.effect, found.std_error, (np.nan, np.nan), t.count, c.count)
    sends = {"letter": pd.Series(1, index=unit[treated])}
    return SentCampaign(name, launch_at, sends, (arm,), {"letter": 0.1})


def test_campaigns_that_add_up_leave_no_residual_and_the_sum_of_winners_is_too_large():
    rng = np.random.default_rng(1)
    residual, total, winners, raw = [], [], [], []
    for _ in range(R):
        spans, table, campaigns, truth = year(rng)
        report = add_up(CONTROL, spans, table, campaigns)
        low, high = report.total.residual_ci
        residual.append(low <= 0 <= high)
        low, high = report.measured.ci
        total.append(low <= truth <= high)
        winners.append(report.winners_sum - truth)
        raw.append(report.total.shrunken_sum - truth)
    assert np.mean(residual) >= 0.95 - BAND
    assert np.mean(total) >= 0.95 - BAND
    error = np.std(winners) / np.sqrt(R)
    assert np.mean(winners) > 6 * error
    assert abs(np.mean(raw)) < 3.5 * np.std(raw) / np.sqrt(R)


def test_campaigns_that_take_from_each_other_show_a_negative_residual():
    rng = np.random.default_rng(2)
    found, covered, sums = [], [], []
    for _ in range(R // 2):
        spans, table, campaigns, truth = year(rng, worth=0.8, payback=0.8)
        report = add_up(CONTROL, spans, table, campaigns)
        found.append(report.total.residual_ci[1] < 0)
        covered.append(report.measured.ci[0] <= truth <= report.measured.ci[1])
        low, high = report.total.shrunken_sum_ci
        sums.append(low <= truth <= high)
    assert np.mean(found) > 0.8
    assert np.mean(covered) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / (R // 2))
    assert np.mean(sums) < 0.2  # the campaigns' own tests do not see it


@pytest.fixture(scope="module")
def one():
    return year(np.random.default_rng(3), worth=0.4)


def test_one_span_of_equal_weights_is_welch_of_sums(one):
    spans, table, _, _ = one
    found = measured(spans, Responses.of(table, spans, column="spend", zone="UTC"))
    part = spans[0].parts[0]
    total = part["unit"].map(table.groupby("unit")["spend"].sum())
    arms = [
        Moments.of({"y": total[part["arm"] == arm].to_numpy()}, ["y"])
        for arm in ("programme", "control")
    ]
    oracle = welch(*arms, column="y")
    assert found.estimate.effect == pytest.approx(oracle.effect)
    assert found.estimate.std_error == pytest.approx(oracle.std_error)
    assert found.estimate.ci == pytest.approx(oracle.ci, rel=1e-2)
    assert (found.n_held, found.n_programme) == (320, 1_280)


def test_a_year_cut_into_quarters_is_the_same_year(one):
    spans, table, _, _ = one
    parts, edges = spans[0].parts, [at(m) for m in (0, 3, 6, 10, 13)]
    cut = tuple(Span(a, b, parts) for a, b in pairwise(edges))
    both = [
        measured(found, Responses.of(table, found, column="spend", zone="UTC")).estimate
        for found in (spans, cut)
    ]
    assert both[0].effect == pytest.approx(both[1].effect)
    assert both[0].std_error == pytest.approx(both[1].std_error)  # the same customers in all


def test_households_give_the_error_of_the_total():
    rng = np.random.default_rng(4)
    home = np.repeat(np.arange(300), rng.integers(1, 5, 300))
    level = rng.gamma(1, 10, 300)[home]
    unit = np.array([f"c{i}" for i in range(len(home))])
    held = (np.arange(300) % 5 == 0)[home]
    table = pd.DataFrame({"unit": unit, "occurred_at": at(0.5), "spend": level})
    arms = pd.DataFrame(
        {"unit": unit, "cluster": home.astype(str), "arm": np.where(held, "control", "all")}
    )
    spans = (Span(START, at(1), (equal_weights(arms),)),)
    found = measured(spans, Responses.of(table, spans, column="spend", zone="UTC")).estimate
    homes = pd.DataFrame({"spend": level, "n": 1.0}).groupby([held, home]).sum()
    arms = [Moments.of(homes.loc[arm], ["spend", "n"], [("spend", "n")]) for arm in (False, True)]
    oracle = ratio(*arms, numerator="spend", denominator="n")
    assert found.effect == pytest.approx(oracle.effect)
    assert found.std_error == pytest.approx(oracle.std_error)


def test_weights_and_cohorts_are_averaged(one):
    spans, table, _, _ = one
    part = spans[0].parts[0]
    rng = np.random.default_rng(5)
    heavy = part.assign(weight=part["weight"] * rng.uniform(0.5, 2, len(part)))
    heavy["weight"] /= heavy.groupby("arm")["weight"].transform("sum")
    responses = Responses.of(table, spans, column="spend", zone="UTC")
    effects = []
    for parts in ((part,), (heavy,), (part, heavy)):
        span = (Span(START, at(MONTHS), parts),)
        effects.append(measured(span, responses).estimate.effect)
    assert effects[2] == pytest.approx((effects[0] + effects[1]) / 2)
    total = heavy["unit"].map(responses.totals[0])
    means = (heavy["weight"] * total).groupby(heavy["arm"]).sum()
    assert effects[1] == pytest.approx(means["programme"] - means["control"])


def test_the_report_says_total_sum_residual_profit_and_winners(one):
    spans, table, campaigns, _ = one
    report = add_up(CONTROL, spans, table, campaigns)
    text = " ".join(report.words)
    assert "320 customers held out" in text
    assert "Its 11 campaigns add up to" in text
    assert "that read as gains beyond chance would claim" in text
    value, ci = report.profit
    reach = sum(one.reach for one in report.total.campaigns)
    assert report.cost == pytest.approx(0.1 * reach)
    assert value == pytest.approx(0.5 * report.measured.effect - 0.1 * reach)
    assert ci[0] < value < ci[1]
    assert "interaction residual" in str(report)
    first = campaigns[0]
    expected = len(first.sends["letter"]) / 1_280
    assert report.total.campaigns[0].reach == pytest.approx(expected)


def test_a_held_out_customer_who_was_sent_something_is_pointed_out(one):
    spans, table, campaigns, _ = one
    held = spans[0].units("control")[:7]
    more = pd.concat([campaigns[0].sends["letter"], pd.Series(1, index=held)])
    leaky = SentCampaign("leaky", START, {"letter": more}, campaigns[0].arms)
    report = add_up(CONTROL, spans, table, [leaky, *campaigns[1:]])
    assert "warning CONTROL_EXPOSED (7)" in str(report)


def test_what_does_not_add_up_is_refused(one):
    spans, table, campaigns, _ = one
    with pytest.raises(DefinitionError) as caught:
        add_up(CONTROL, spans, table, campaigns, metric="buyer@1")
    assert caught.value.code == "METRIC_KIND"
    with pytest.raises(DefinitionError) as caught:
        add_up(CONTROL, spans, table, campaigns, metric="visits@1")
    assert caught.value.code == "METRIC_UNKNOWN"
    with pytest.raises(DataError) as caught:
        add_up(CONTROL, spans, table, [])
    assert caught.value.code == "CAMPAIGNS_MISSING"
    gone = (table["occurred_at"] > at(5)) & (table["occurred_at"] < at(7))
    with pytest.raises(DataError, match=r"2016-05-.. and 2016-07-") as caught:
        add_up(CONTROL, spans, table[~gone], campaigns)
    assert caught.value.code == "PERIOD_EMPTY"
    with pytest.raises(DataError) as caught:
        add_up(CONTROL, spans, table.assign(spend="9,50"), campaigns)
    assert caught.value.code == "OUTCOME_NOT_NUMERIC"
