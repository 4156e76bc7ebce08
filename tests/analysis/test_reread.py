"""A kept holdout read again: bands that hold together, purchases brought forward, refusals."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

import uplift as up
from tests.plans import spend_plan
from uplift.analysis.reread_periods import period_ends
from uplift.analysis.reread_record import rereads_from, rereads_text, with_rereads
from uplift.errors import DataError, DefinitionError, StateError
from uplift.experiment import experiment_from
from uplift.inference.means import welch
from uplift.inference.moments import Moments
from uplift.inference.ratios import ratio
from uplift.strict_yaml import parse_yaml
from uplift.table import to_plain

PLAN = spend_plan(
    arms=(
        "{name: control, share: 0.5}",
        "{name: email, share: 0.5, unit_cost: 0.4, redemption_cost: 2.0}",
    ),
    days=28,
    expected={},
    schedule="{starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 28}",
    analysis="reread_days: [28, 84]",
    margin_rate=0.5,
    money="redemption: redeemed",
)
LAUNCH = datetime(2017, 7, 3, 6, tzinfo=UTC)
N_WEEKS = 12
PULLED = (3.0,) * 4 + (-2.0,) * 8  # more a week, then less
R = 40
BAND = 3 * np.sqrt(0.05 * 0.95 / R)


def experiment(*changes):
    text = PLAN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return experiment_from(parse_yaml(text))


def assignment(n, rng, arms=("control", "email")):
    arm = rng.permutation(np.resize(arms, n))
    return pd.DataFrame({"unit": [f"c{i}" for i in range(n)], "arm": arm})


def purchases(assigned, rng, *, gain=(0.0,) * N_WEEKS, base=20.0, leave=0.1):
    """A purchase in some weeks of each customer; a tenth leaves for good after week 6.

    The treated spend `gain[w]` more on average in week w: only in weeks in which they buy.
    """
    n, often = len(assigned), 0.5
    buys = rng.random((n, N_WEEKS)) < often
    stays = rng.random(n) >= leave
    buys[~stays, 6:] = False
    treated = (assigned["arm"] != "control").to_numpy()
    level = rng.gamma(4, base / 4, n)[:, None] * rng.gamma(8, 1 / 8, (n, N_WEEKS))
    spend = level + np.outer(treated, np.asarray(gain) / often)
    row, week = np.nonzero(buys)
    day = 7 * week + 7 * rng.random(len(week))
    return pd.DataFrame(
        {
            "unit": assigned["unit"].to_numpy()[row],
            "occurred_at": pd.to_datetime(LAUNCH + pd.to_timedelta(day, unit="D")),
            "spend": spend[row, week],
            "redeemed": (treated[row] & (week == 0)).astype(int),
        }
    )


def at(day):
    return LAUNCH + timedelta(days=float(day))


@pytest.fixture(scope="module")
def pulled():
    rng = np.random.default_rng(5)
    assigned = assignment(3_000, rng)
    return assigned, purchases(assigned, rng, gain=PULLED)


def test_a_four_week_win_that_is_paid_back_is_flagged_and_twelve_weeks_are_covered():
    rng = np.random.default_rng(1)
    truth = sum(PULLED[:6]) + 0.9 * sum(PULLED[6:])
    flagged, covered, of_four_weeks = [], [], []
    for _ in range(R):
        assigned = assignment(1_200, rng)
        events = purchases(assigned, rng, gain=PULLED)
        report = up.reread(experiment(), assigned, events, as_of=at(84))
        flagged.append(report.flagged == ("email",))
        low, high = report.row("email", 84).metric.band
        covered.append(low <= truth <= high)
        low, high = report.row("email", 28).metric.band
        of_four_weeks.append(low <= truth <= high)
    assert np.mean(flagged) > 0.8
    assert np.mean(covered) >= 0.95 - BAND
    assert np.mean(of_four_weeks) < 0.5  # four weeks taken for the truth


@pytest.mark.parametrize("gain", [(0.0,) * 12, (1.5,) * 4 + (0.0,) * 8])
def test_without_a_later_loss_nothing_is_flagged_and_all_bands_hold_together(gain):
    rng = np.random.default_rng(2)
    plan = experiment(("[28, 84]", "[14, 28, 56, 84]"))
    so_far = np.cumsum([g * (0.9 if w >= 6 else 1.0) for w, g in enumerate(gain)])
    truth = {day: so_far[day // 7 - 1] for day in (14, 28, 56, 84)}
    flagged, together, alone = [], [], []
    for _ in range(R):
        assigned = assignment(400, rng)
        events = purchases(assigned, rng, gain=gain)
        report = up.reread(plan, assigned, events, as_of=at(90))
        flagged.append(bool(report.flagged))
        read = [(row.metric, truth[row.day]) for row in report.rows]
        together.append(all(one.band[0] <= t <= one.band[1] for one, t in read))
        alone.append(all(abs(one.estimate.effect - t) < one.estimate.std_error for one, t in read))
    assert np.mean(flagged) <= 0.05 + BAND
    assert np.mean(together) >= 0.95 - BAND
    assert np.mean(alone) < 0.95 - BAND  # one standard error for each is no band


def test_numbers_are_those_of_the_sums_by_customer_and_the_contact_is_paid_once(pulled):
    assigned, events = pulled
    report = up.reread(experiment(), assigned, events, as_of=at(84))
    for day in (28, 84):
        upto = events[events["occurred_at"] < at(day)].assign(n=1.0)
        sums = upto.groupby("unit")[["spend", "redeemed"]].sum()
        frame = assigned.join(sums, on="unit").fillna(0.0)
        cost = np.where(frame["arm"] == "email", 2.0, 0.0)
        frame["profit"] = 0.5 * frame["spend"] - cost * frame["redeemed"]
        frame["profit"] -= np.where(frame["arm"] == "email", 0.4, 0.0)
        parts = [frame[frame["arm"] == arm] for arm in ("email", "control")]
        for name, reading in (
            ("spend", report.row("email", day).metric),
            ("profit", report.row("email", day).profit),
        ):
            oracle = welch(*(Moments.of(part, [name]) for part in parts), column=name)
            assert reading.estimate.effect == pytest.approx(oracle.effect)
            assert reading.estimate.std_error == pytest.approx(oracle.std_error)
            width = reading.band[1] - reading.band[0]
            assert width > 1.1 * (oracle.ci[1] - oracle.ci[0])
    assert report.counts == {"control": 1_500, "email": 1_500}  # also who bought nothing, or left


def test_a_published_band_does_not_change_when_the_next_day_is_read(pulled):
    assigned, events = pulled
    first = up.reread(experiment(), assigned, events, as_of=at(30))
    later = up.reread(experiment(), assigned, events, as_of=at(84))
    assert first.days == (28,)
    assert first.pull_forward == {}
    for before, after in zip(
        [*first.rows, *first.curve], [*later.rows[:1], *later.curve], strict=False
    ):
        assert to_plain(before) == to_plain(after)
    assert "The next re-read is at day 84" in first.words[-1]


def test_a_table_by_period_reads_as_the_responses_do(pulled):
    assigned, events = pulled
    plan = experiment(("[28, 84]", "[30, 84]"))
    periods = up.reread_periods(plan)
    assert [row.to_day for row in periods.rows] == list(period_ends((30, 84)))
    starts = [np.datetime64(row.starts_at.replace(tzinfo=None)) for row in periods.rows]
    when = events["occurred_at"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    numbered = events.assign(period=np.searchsorted(np.array(starts), when, side="right"))
    table = numbered.groupby(["unit", "period"], as_index=False)[["spend", "redeemed"]].sum()
    both = [up.reread(plan, assigned, frame, as_of=at(84)) for frame in (events, table)]
    for first, second in zip(both[0].rows, both[1].rows, strict=True):
        assert first.metric.estimate.effect == pytest.approx(second.metric.estimate.effect)
        assert first.profit.band == pytest.approx(second.profit.band)
    with pytest.raises(DataError, match="repeat a unit and period") as caught:
        up.reread(plan, assigned, pd.concat([table, table]), as_of=at(84))
    assert caught.value.code == "ID_DUPLICATE"
    with pytest.raises(DataError) as caught:
        up.reread(plan, assigned, table.assign(period=table["period"] - 1), as_of=at(84))
    assert caught.value.code == "PERIOD_UNKNOWN"


def test_days_without_an_hour_are_days_of_the_zone_across_a_clock_change():
    plan = experiment(("2017-07-03T08:00:00", "2017-10-20T08:00:00"), ("[28, 84]", "[14]"))
    assigned = pd.DataFrame({"unit": list("abcd"), "arm": ["control", "email", "control", "email"]})
    days = ["2017-10-20", "2017-10-26", "2017-10-27", "2017-11-02", "2017-11-03", "2017-10-19"]
    events = pd.DataFrame({"occurred_at": days, "unit": list("bbbbbb"), "redeemed": 0})
    events["spend"] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    report = up.reread(plan, assigned, events, as_of="2017-11-20")
    effects = [row.metric.estimate.effect for row in report.curve]
    assert effects == [1.5, 7.5]  # the day before the launch and day 14 are in neither week


def test_households_are_read_by_household():
    rng = np.random.default_rng(7)
    plan = experiment(("metrics:\n", "cluster: household\nmetrics:\n"))
    size = rng.integers(1, 5, 400)
    home = np.repeat(np.arange(400), size)
    arm = rng.permutation(np.resize(["control", "email"], 400))[home]
    assigned = pd.DataFrame(
        {"unit": [f"c{i}" for i in range(len(home))], "arm": arm, "cluster": home.astype(str)}
    )
    events = purchases(assigned, rng, gain=PULLED)
    shared = pd.Series(rng.gamma(1, 1, 400))[home].to_numpy()  # members of a home are alike
    events["spend"] *= shared[events["unit"].str[1:].astype(int)]
    report = up.reread(plan, assigned, events, as_of=at(84))
    total = events.groupby("unit")["spend"].sum()
    frame = assigned.assign(spend=assigned["unit"].map(total).fillna(0.0), n=1.0)
    homes = frame.groupby(["arm", "cluster"])[["spend", "n"]].sum()
    arms = [
        Moments.of(homes.loc[a], ["spend", "n"], [("spend", "n")]) for a in ("email", "control")
    ]
    oracle = ratio(*arms, numerator="spend", denominator="n")
    found = report.row("email", 84).metric.estimate
    assert found.effect == pytest.approx(oracle.effect)
    assert found.std_error == pytest.approx(oracle.std_error)
    naive = welch(
        *(Moments.of(frame[frame["arm"] == a], ["spend"]) for a in ("email", "control")),
        column="spend",
    )
    assert found.std_error > 1.1 * naive.std_error
    torn = assigned.assign(cluster=np.resize(["h1", "h2", "h3"], len(assigned)))
    with pytest.raises(DataError) as caught:
        up.reread(plan, torn, events, as_of=at(84))
    assert caught.value.code == "CLUSTER_TWO_ARMS"


def test_a_share_is_of_customers_who_ever_did_and_a_ratio_leaves_the_profit(pulled):
    assigned, events = pulled
    events = events.assign(bought=1)
    share = experiment(
        ("column: spend, unit", "column: bought, kind: proportion, unit"),
        ("name: spend", "name: buyer"),
    )
    report = up.reread(share, assigned, events, as_of=at(84))
    ever = assigned["unit"].isin(events["unit"]).groupby(assigned["arm"]).mean()
    found = report.row("email", 84).metric.estimate
    assert found.effect == pytest.approx(ever["email"] - ever["control"])
    assert found.treatment_mean == pytest.approx(ever["email"])
    with pytest.raises(DataError) as caught:
        up.reread(share, assigned, events.assign(bought=2), as_of=at(84))
    assert caught.value.code == "OUTCOME_NOT_BINARY"
    basket = experiment(
        ("column: spend, unit", "column: spend, kind: ratio, denominator: visits, unit")
    )
    report = up.reread(basket, assigned, events, as_of=at(84))
    assert report.row("email", 84).metric is None
    assert report.flagged == ("email",)  # by the profit
    assert "METRIC_NOT_ADDITIVE" in str(report)


def test_a_trigger_counts_from_each_units_own_day():
    rng = np.random.default_rng(8)
    plan = experiment(
        ("kind: campaign_holdout", "kind: trigger"),
        ("response_days: 28", "response_days: 28, ends_at: 2017-08-01T08:00:00"),
        ("[28, 84]", "[7, 14]"),
    )
    assigned = assignment(300, rng)
    joins = rng.integers(0, 28, 300)
    assigned["assigned_at"] = pd.to_datetime(LAUNCH + pd.to_timedelta(joins, unit="D"))
    events = purchases(assigned, rng, gain=(2.0,) * 12)
    shift = pd.Series(joins, index=assigned["unit"])[events["unit"]].to_numpy()
    moved = events.assign(occurred_at=events["occurred_at"] + pd.to_timedelta(shift, unit="D"))
    found = up.reread(plan, assigned, moved, as_of=at(60)).row("email", 14).metric
    same = (
        up.reread(experiment(("[28, 84]", "[7, 14]")), assigned, events, as_of=at(60))
        .row("email", 14)
        .metric
    )
    assert found.estimate.effect == pytest.approx(same.estimate.effect)
    with pytest.raises(StateError, match="day 14 is over for all units on") as caught:
        up.reread(plan, assigned, moved, days=[14], as_of=at(joins.max() + 13))
    assert caught.value.code == "REREAD_EARLY"


def test_several_treatments_share_the_error(pulled):
    rng = np.random.default_rng(9)
    plan = experiment(
        ("share: 0.5}", "share: 0.5}\n  - {name: post, share: 0.25, unit_cost: 0.9}"),
        ("name: email, share: 0.5", "name: email, share: 0.25"),
    )
    assigned = assignment(2_000, rng, ("control", "email", "control", "post"))
    events = purchases(assigned, rng)
    report = up.reread(plan, assigned, events, as_of=at(84))
    assert [(row.day, row.treatment) for row in report.rows] == [
        (28, "post"),
        (28, "email"),
        (84, "post"),
        (84, "email"),
    ]
    reading = report.row("post", 84).metric
    half = (reading.band[1] - reading.band[0]) / 2
    assert half / reading.estimate.std_error == pytest.approx(2.49, abs=0.01)  # 0.95^(1/4)
    assert reading.estimate.control_mean == report.row("email", 84).metric.estimate.control_mean


@pytest.mark.parametrize(
    ("changes", "options", "error", "code"),
    [
        ((), {"as_of": at(27)}, StateError, "REREAD_EARLY"),
        ((), {"as_of": at(83), "days": [84]}, StateError, "REREAD_EARLY"),
        ((), {"as_of": at(84), "days": [30]}, DefinitionError, "REREAD_UNPLANNED"),
        ([(", reread_days: [28, 84]", "")], {"as_of": at(84)}, DefinitionError, "REREAD_UNPLANNED"),
    ],
)
def test_days_that_are_not_over_or_not_planned_are_refused(pulled, changes, options, error, code):
    with pytest.raises(error) as caught:
        up.reread(experiment(*changes), *pulled, **options)
    assert caught.value.code == code


def test_without_a_plan_the_days_given_are_the_family_and_a_warning_stays(pulled):
    plan = experiment((", reread_days: [28, 84]", ""))
    report = up.reread(plan, *pulled, days=[28, 84], as_of=at(84))
    planned = up.reread(experiment(), *pulled, as_of=at(84))
    assert to_plain(report.rows) == to_plain(planned.rows)
    assert "REREAD_UNPLANNED" in str(report)


def test_a_table_that_ends_too_early_is_no_loss(pulled):
    assigned, events = pulled
    short = events[events["occurred_at"] < at(60)]
    with pytest.raises(DataError, match="between day 63 and day 70") as caught:
        up.reread(experiment(), assigned, short, as_of=at(84))
    assert caught.value.code == "PERIOD_EMPTY"
    with pytest.raises(DataError) as caught:
        up.reread(experiment(), assigned, events.drop(columns="occurred_at"), as_of=at(84))
    assert caught.value.code == "COLUMN_MISSING"
    with pytest.raises(DataError) as caught:
        up.reread(experiment(), assigned, events.assign(spend="12,50"), as_of=at(84))
    assert caught.value.code == "OUTCOME_NOT_NUMERIC"
    gone = events.assign(occurred_at=events["occurred_at"].where(events.index > 3))
    with pytest.raises(DataError) as caught:
        up.reread(experiment(), assigned, gone, as_of=at(84))
    assert caught.value.code == "TIME_INVALID"


@pytest.mark.parametrize(("kept", "code"), [(0, "ARM_MISSING"), (1, "ARM_TOO_SMALL")])
def test_an_arm_without_units_is_refused_by_name(pulled, kept, code):
    assigned, events = pulled
    treated = assigned[assigned["arm"] == "email"]
    some = pd.concat([assigned[assigned["arm"] == "control"], treated[:kept]])
    with pytest.raises(DataError, match="arm 'email' has") as caught:
        up.reread(experiment(), some, events, as_of=at(84))
    assert caught.value.code == code


def test_a_table_without_rows_is_refused_and_never_read_as_nothing(pulled):
    assigned, events = pulled
    for tables in ((assigned[:0], events), (assigned, events[:0])):
        with pytest.raises(DataError, match="there are no rows") as caught:
            up.reread(experiment(), *tables, as_of=at(84))
        assert caught.value.code == "EMPTY_INPUT"


def test_where_nobody_buys_nothing_is_estimable_and_nothing_fails(pulled):
    assigned, events = pulled
    report = up.reread(experiment(), assigned, events.assign(spend=0.0, redeemed=0), as_of=at(84))
    assert "not estimable" in str(report)
    assert not any(row.metric.proven for row in report.rows)
    assert report.market[0].reading.moved == "neither"
    assert "NaN" not in report.to_json()


def test_waves_drawn_anew_have_no_kept_holdout(pulled):
    plan = experiment(
        (
            "response_days: 28}",
            "response_days: 28, waves: [{name: one, starts_at: 2017-07-03T08:00:00}, "
            "{name: two, starts_at: 2017-08-03T08:00:00, draw: redrawn}]}",
        )
    )
    with pytest.raises(DefinitionError, match="nobody is kept held out") as caught:
        up.reread(plan, *pulled, as_of=at(84))
    assert caught.value.code == "KIND_MISMATCH"


def test_a_torn_sample_withholds_the_verdict_not_the_numbers(pulled):
    assigned, events = pulled
    fewer = assigned[(assigned["arm"] == "control") | (np.arange(len(assigned)) % 4 > 0)]
    report = up.reread(experiment(), fewer, events, as_of=at(84))
    assert report.words[0].startswith("No verdict")
    assert "failed SRM" in str(report)
    assert "warning EXPOSED_UNASSIGNED" in str(report)


def test_the_words_say_what_is_proven_and_what_comes_next(pulled):
    report = up.reread(experiment(), *pulled, as_of=at(84))
    text = "\n".join(report.words)
    assert "Purchases were brought forward by email" in text
    assert "84 days after the launch email has brought" in text
    assert "proven to be less than without it" in text
    assert "last planned re-read" in report.words[-1]
    assert "warning PULL_FORWARD" in str(report)
    plain = json.loads(report.to_json())
    assert plain["pull_forward"]["email"]["early"]["effect"] > 0


def test_a_recorded_day_stays_and_a_changed_one_is_pointed_out(pulled):
    assigned, events = pulled
    first = up.reread(experiment(), assigned, events, as_of=at(30))
    lines, checks = with_rereads((), first)
    assert [line["day"] for line in lines] == [28]
    assert checks == ()
    text = rereads_text(lines)
    assert rereads_from(text) == tuple(json.loads(line) for line in text.splitlines())
    later = up.reread(experiment(), assigned, events, as_of=at(84))
    both, checks = with_rereads(rereads_from(text), later)
    assert [line["day"] for line in both] == [28, 84]
    assert (both[0], checks) == (lines[0], ())
    assert both[1]["flagged"] == ["email"]
    returned = events.assign(spend=events["spend"] * np.where(events.index % 50 == 0, -1, 1))
    again = up.reread(experiment(), assigned, returned, as_of=at(84))
    kept, checks = with_rereads(both, again)
    assert kept == both
    assert {check.code for check in checks} == {"REREAD_CHANGED"}
