"""A shock on everybody is the market; one on the treated only is the campaign."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

import uplift as up
from tests.plans import spend_plan
from uplift.errors import DataError, DefinitionError, StateError
from uplift.event_times import days_between
from uplift.experiment import experiment_from
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.strict_yaml import parse_yaml

PLAN = spend_plan(
    id="weekly",
    title="Weekly letter",
    arms=("{name: control, share: 0.5}", "{name: letter, share: 0.5, unit_cost: 0.5}"),
    expected={},
    schedule="{starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 56}",
)
LAUNCH = datetime(2017, 7, 3, 6, tzinfo=UTC)
SHOCK, END = LAUNCH + timedelta(days=35), LAUNCH + timedelta(days=56)


def world(rng, n=1_500, *, on_all=1.0, on_treated=1.0, effect=0.2):
    """Eight weeks of spend; in the last three a shock multiplies that of all, or of the treated."""
    assigned = pd.DataFrame(
        {
            "unit": [f"c{i}" for i in range(n)],
            "arm": rng.permutation(np.resize(["control", "letter"], n)),
        }
    )
    treated = (assigned["arm"] == "letter").to_numpy()[:, None]
    late = (np.arange(8) >= 5)[None, :]
    factor = (
        (1 + effect * treated) * np.where(late, on_all, 1) * np.where(late & treated, on_treated, 1)
    )
    spend = rng.gamma(4, 5, n)[:, None] * rng.gamma(4, 0.25, (n, 8)) * factor
    row, week = np.nonzero(rng.random((n, 8)) < 0.6)
    when = LAUNCH + pd.to_timedelta(7 * (week + rng.random(len(week))), unit="D")
    events = {"unit": assigned["unit"].to_numpy()[row], "occurred_at": when}
    return assigned, pd.DataFrame(events | {"spend": spend[row, week]})


def read(assigned, events, **options):
    plan = experiment_from(parse_yaml(PLAN))
    return up.market_shock(plan, assigned, events, **{"since": SHOCK, "as_of": END} | options)


@pytest.mark.parametrize(
    ("moved", "shock"),
    [
        ("market", {"on_all": 0.8}),
        ("campaign", {"on_treated": 1 / 1.2}),
        ("both", {"on_all": 0.8, "on_treated": 1 / 1.2}),
        ("neither", {}),
    ],
)
def test_what_moved_is_named(moved, shock):
    rng = np.random.default_rng(1)
    found, blamed = [], []
    for _ in range(20):
        assigned, events = world(rng, **shock)
        found.append(read(assigned, events).rows[0].reading.moved)
        late = events["occurred_at"] >= SHOCK  # the wrong reading: the treated, before and after
        rates = events.assign(late=late).groupby(["unit", "late"])["spend"].sum().unstack()
        own = rates[rates.index.isin(assigned.loc[assigned["arm"] == "letter", "unit"])].fillna(0.0)
        gap = own[True] / 21 - own[False] / 35
        blamed.append(abs(gap.mean()) > 1.96 * gap.std() / np.sqrt(len(gap)))
    assert found.count(moved) >= 17
    if moved == "market":
        assert np.mean(blamed) > 0.9  # without a control, the campaign is to blame


def test_rates_are_per_customer_and_day_on_either_side():
    rng = np.random.default_rng(2)
    assigned, events = world(rng, on_all=0.7)
    row = read(assigned, events).rows[0]
    late = events["occurred_at"] >= SHOCK
    own = events["unit"].map(assigned.set_index("unit")["arm"]) == "control"
    n = int((assigned["arm"] == "control").sum())
    assert row.reading.market.before == pytest.approx(events["spend"][own & ~late].sum() / n / 35)
    assert row.reading.market.after == pytest.approx(events["spend"][own & late].sum() / n / 21)
    assert (row.before, row.after) == ((0.0, 35.0), (35.0, 56.0))


def test_means_that_are_not_positive_are_read_absolutely():
    rng = np.random.default_rng(3)
    assigned, events = world(rng, on_all=0.5)
    refunds = events.assign(spend=events["spend"] - 40.0)
    row = read(assigned, refunds).rows[0]
    assert row.reading.scale == "absolute"
    wide = refunds.assign(late=refunds["occurred_at"] >= SHOCK)
    wide = wide.groupby(["unit", "late"])["spend"].sum().unstack().fillna(0.0)
    frame = assigned.join(wide, on="unit").fillna(0.0)
    frame["gap"] = frame[True] / 21 - frame[False] / 35
    arms = [Moments.of(frame[frame["arm"] == arm], ["gap"]) for arm in ("letter", "control")]
    oracle = welch(*arms, column="gap")
    assert row.reading.campaign.change == pytest.approx(oracle.effect)
    assert row.reading.campaign.ci == pytest.approx(oracle.ci, rel=1e-3)


def test_the_report_says_it_in_words():
    rng = np.random.default_rng(4)
    report = read(*world(rng, on_all=0.7))
    assert "the market moved, by -" in report.words[0]
    assert "control (market)" in str(report)
    gone = read(*world(rng, on_treated=0.6))
    assert "the campaign moved: letter against control changed by -" in gone.words[0]


@pytest.mark.parametrize("since", [LAUNCH, END, "2017-06-01"])
def test_a_moment_without_days_on_both_sides_is_refused(since):
    with pytest.raises(StateError) as caught:
        read(*world(np.random.default_rng(5), n=40), since=since)
    assert caught.value.code == "TIME_WINDOW"


def test_a_trigger_and_a_table_without_times_are_refused():
    assigned, events = world(np.random.default_rng(6), n=40)
    plan = experiment_from(parse_yaml(PLAN.replace("campaign_holdout", "trigger")))
    with pytest.raises(DefinitionError) as caught:
        up.market_shock(plan, assigned, events, since=SHOCK, as_of=END)
    assert caught.value.code == "KIND_MISMATCH"
    numbered = events.drop(columns="occurred_at").assign(period=1)
    with pytest.raises(DataError) as caught:
        read(assigned, numbered)
    assert caught.value.code == "COLUMN_MISSING"


def test_days_are_counted_in_the_zone_when_there_is_no_hour():
    zone = "Europe/Paris"
    start = pd.Series(pd.Timestamp("2017-10-20T08:00", tz=zone), index=range(3))
    days = pd.Series(pd.to_datetime(["2017-10-20", "2017-11-03", None])).dt.tz_localize(zone)
    assert days_between(start, days)[:2].tolist() == [0.0, 14.0]  # the clock changed between
    assert np.isnan(days_between(start, days)[2])
    hours = days + pd.Timedelta(hours=8)
    assert days_between(start, hours)[1] == pytest.approx(14 + 1 / 24)
