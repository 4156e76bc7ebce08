"""The fixed order: nobody who must not be contacted is drawn, whatever lists are given."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.assignment.definitions import WAVES, define
from uplift.assignment.assign import assign, assign_from
from uplift.assignment.hashing import draw_salt, hash_units, slots
from uplift.assignment.order import Lists
from uplift.assignment.report import assignment_report
from uplift.errors import DataError, DefinitionError

N = 60
UNITS = [f"c{i:03d}" for i in range(N)]
TABLE = pd.DataFrame(
    {
        "unit": UNITS,
        "recency": np.arange(N) * 2,
        "region": ["north", "south", "east"] * (N // 3),
        "age": np.arange(N) % 17 + 0.5,
        "household": [f"h{i // 2:03d}" for i in range(N)],
    }
)
FULL = (
    "layer: {name: mail, start: 1/4, end: 1}, exposure_share: 3/4, "
    "contact_caps: [{max_contacts: 2, window_days: 7}, "
    "{max_contacts: 1, window_days: 30, channel: post}]"
)
METHODS = [
    "method: hash",
    "method: stratified, strata: [region]",
    "method: rerandomised, balance: [age], acceptance: 0.9",
    "method: matched, balance: [age]",
]
subsets = st.sets(st.sampled_from(UNITS))
contacts = st.lists(
    st.tuples(st.sampled_from(UNITS), st.integers(-40, 5), st.sampled_from(["post", "email"])),
    max_size=120,
)


def units(chosen):
    return pd.DataFrame({"unit": pd.Series(sorted(chosen), dtype="str")})


def contact_table(rows):
    launch = pd.Timestamp("2017-07-03T06:00:00Z")
    return pd.DataFrame(
        {
            "unit": pd.Series([unit for unit, _, _ in rows], dtype="str"),
            "sent_at": pd.Series(
                [launch + pd.Timedelta(days=day) for _, day, _ in rows],
                dtype="datetime64[us, UTC]",
            ),
            "channel": pd.Series([channel for _, _, channel in rows], dtype="str"),
        }
    )


def capped(rows):
    """By a plain loop: who is at one of the two caps."""
    found = set()
    for unit in UNITS:
        week = [d for u, d, _ in rows if u == unit and -7 <= d < 0]
        month = [d for u, d, c in rows if u == unit and -30 <= d < 0 and c == "post"]
        if len(week) >= 2 or len(month) >= 1:
            found.add(unit)
    return found


@pytest.mark.parametrize("method", METHODS)
@given(excluded=subsets, suppressed=subsets, rows=contacts, seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_nobody_who_must_not_be_contacted_is_drawn(method, excluded, suppressed, rows, seed):
    experiment = define(f"{method}, {FULL}")
    lists = Lists(
        excluded=units(excluded), suppressed=units(suppressed), contacts=contact_table(rows)
    )
    customers = TABLE.sample(frac=1, random_state=seed)
    made = assign_from(experiment, customers, lists)
    eligible = set(TABLE.loc[TABLE["recency"] <= 100, "unit"])
    place = slots(hash_units(UNITS, salt="mail:layer:1"))
    layer = {unit for unit, at in zip(UNITS, place, strict=True) if at >= 0.25}
    share = slots(hash_units(UNITS, salt=draw_salt(experiment, "eligibility")))
    exposed = {unit for unit, at in zip(UNITS, share, strict=True) if at < 0.75}
    left = [set(UNITS)]
    for kept in (eligible, set(UNITS) - suppressed, set(UNITS) - excluded, layer,
                 set(UNITS) - capped(rows), exposed):  # fmt: skip
        left.append(left[-1] & kept)
    assert set(made.table["unit"]) == left[-1]
    assert [step.n_units for step in made.steps] == [*map(len, left), len(left[-1])]
    assert [step.name for step in made.steps] == [
        "customers", "eligible", "not suppressed", "not excluded", "in the layer",
        "below the caps", "exposed", "assigned",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(made.table, assign_from(experiment, TABLE, lists).table)


@given(others=subsets, excluded=subsets)
@settings(max_examples=30, deadline=None)
def test_an_unrelated_customer_changes_nobody_s_arm(others, excluded):
    experiment = define()
    some = TABLE[~TABLE["unit"].isin(others)]
    before = assign(experiment, some, excluded=units(excluded)).set_index("unit")["arm"]
    after = assign(experiment, TABLE, excluded=units(excluded)).set_index("unit")["arm"]
    assert (after[before.index] == before).all()


def test_every_step_is_logged_even_those_nobody_asked_for():
    report = assignment_report(define(), assign_from(define(), TABLE), TABLE)
    asked = {step.name: step.asked for step in report.steps}
    assert asked["eligible"]
    assert not asked["below the caps"]
    assert "below the caps" in report.steps_table().text()
    assert "below the caps" not in report.table().text()


def test_a_control_that_the_definition_excludes_must_be_given():
    experiment = define("excludes: [universal]")
    with pytest.raises(DataError, match="universal") as error:
        assign(experiment, TABLE)
    assert error.value.code == "EXCLUDED_MISSING"
    assert len(assign(experiment, TABLE, excluded=units([]))) == 51


def test_contacts_must_be_given_with_their_times_when_they_are_capped():
    experiment = define("contact_caps: [{max_contacts: 1, window_days: 7}]")
    with pytest.raises(DataError, match="an empty one") as error:
        assign(experiment, TABLE)
    assert error.value.code == "CONTACTS_MISSING"
    bad = contact_table([("c001", -1, "post"), ("c002", -1, "post")])
    for value, code in ((pd.NaT, "TIME_INVALID"), ("yesterday", "TIME_INVALID")):
        bad["sent_at"] = bad["sent_at"].astype(object)
        bad.loc[1, "sent_at"] = value
        with pytest.raises(DataError) as error:
            assign(experiment, TABLE, contacts=bad)
        assert error.value.code == code
    with pytest.raises(DataError) as error:
        assign(experiment, TABLE, contacts=bad.drop(columns="sent_at"))
    assert error.value.code == "COLUMN_MISSING"


def test_times_without_a_zone_are_the_schedule_s_and_bounced_contacts_do_not_count():
    experiment = define("contact_caps: [{max_contacts: 1, window_days: 1}]")
    sent = pd.DataFrame(
        {
            "unit": ["c000", "c001", "c002"],
            "sent_at": ["2017-07-02T07:59:00", "2017-07-02T08:00:00", "2017-07-03T07:00:00"],
            "status": ["sent", "sent", "bounced"],
        }
    )
    assigned = set(assign(experiment, TABLE, contacts=sent)["unit"])
    assert {"c000", "c001", "c002"} - assigned == {"c001"}  # 8:00 a day before is inside


def test_one_suppressed_member_leaves_the_rest_of_the_household_in():
    experiment = define(cluster="household")
    all_in = assign(experiment, TABLE).set_index("unit")["arm"]
    one_out = assign(experiment, TABLE, suppressed=units({"c000"})).set_index("unit")["arm"]
    pd.testing.assert_series_equal(one_out, all_in.drop("c000"))


def test_disjoint_parts_of_a_layer_share_no_unit_and_together_take_everybody():
    parts = ["0, end: 1/3", "1/3, end: 1/2", "1/2, end: 1"]
    taken = [
        set(assign(define(f"layer: {{name: mail, start: {part}}}", id=f"e{i}"), TABLE)["unit"])
        for i, part in enumerate(parts)
    ]
    assert sum(map(len, taken)) == len(set.union(*taken)) == 51


def test_experiments_without_a_layer_overlap_with_independent_arms():
    many = pd.DataFrame({"unit": [f"u{i}" for i in range(20_000)], "recency": 1})
    first, second = (assign(define(id=name), many)["arm"] for name in ("one", "two"))
    assert stats.chi2_contingency(pd.crosstab(first, second)).pvalue > 1e-4
    same = assign(define("salt: one", id="three"), many)["arm"]  # a wrong variant: one salt
    assert stats.chi2_contingency(pd.crosstab(first, same)).pvalue < 1e-100


@pytest.mark.parametrize("method", METHODS)
def test_a_ramp_up_adds_units_and_moves_none(method):
    experiment = define(f"{method}, exposure_share: 1/4")
    first = assign_from(experiment, TABLE)
    earlier = None if "hash" in method else first.table
    later = assign_from(experiment, TABLE, Lists(earlier=earlier), exposure_share="3/4")
    arms, before = (made.table.set_index("unit")["arm"] for made in (later, first))
    assert set(before.index) < set(arms.index)
    pd.testing.assert_series_equal(arms[before.index], before)
    assert later.exposure_share == Fraction(3, 4)
    if earlier is not None:
        assert later.n_kept == len(before)


@pytest.mark.parametrize(("share", "code"), [("1/8", "RAMP_DOWN"), (0, "WEIGHTS_INVALID"),
                                             (1.5, "WEIGHTS_INVALID"), ("x", "WEIGHTS_INVALID"),
                                             (float("nan"), "WEIGHTS_INVALID")])  # fmt: skip
def test_an_exposure_share_only_grows(share, code):
    with pytest.raises(DefinitionError) as error:
        assign(define("exposure_share: 1/4"), TABLE, exposure_share=share)
    assert error.value.code == code


def test_a_sticky_wave_keeps_every_arm_and_a_redrawn_one_draws_anew():
    many = pd.DataFrame({"unit": [f"u{i}" for i in range(5_000)], "recency": 1})
    experiment = define(waves=WAVES)
    first, second, third = (
        assign(experiment, many, wave=wave) for wave in ("wave_1", "wave_2", "wave_3")
    )
    pd.testing.assert_series_equal(first["arm"], second["arm"])
    assert stats.chi2_contingency(pd.crosstab(first["arm"], third["arm"])).pvalue > 1e-4
    assert second["assigned_at"].iloc[0] == pd.Timestamp("2017-08-03T06:00:00Z")
    with pytest.raises(DefinitionError, match="no wave 'wave_9'") as error:
        assign(experiment, many, wave="wave_9")
    assert error.value.code == "WAVE_UNKNOWN"


@pytest.mark.parametrize("method", METHODS)
def test_a_unit_new_in_the_second_wave_is_drawn_by_the_same_rule(method):
    experiment = define(method, waves=WAVES)
    first = assign(experiment, TABLE.iloc[:30])
    second = assign_from(experiment, TABLE, Lists(earlier=first), wave="wave_2")
    arms = second.table.set_index("unit")["arm"]
    pd.testing.assert_series_equal(arms[first["unit"]], first.set_index("unit")["arm"])
    assert second.n_kept == 30
    assert len(arms) == 51
    if "hash" in method:
        assert (second.table["arm"] == assign(experiment, TABLE)["arm"]).all()
    else:
        new = second.table[~second.table["unit"].isin(first["unit"])]
        assert abs((new["arm"] == "control").sum() - 21 / 3) < 2
        with pytest.raises(DataError, match="wave_2") as error:
            assign(experiment, TABLE, wave="wave_2")
        assert error.value.code == "EARLIER_MISSING"


def test_a_redrawn_wave_s_arms_are_not_those_of_the_next_sticky_one():
    waves = WAVES + "\n    - {name: wave_4, starts_at: 2017-10-03T08:00:00}"
    experiment = define(METHODS[1], waves=waves)
    first = assign(experiment, TABLE)
    third = assign_from(experiment, TABLE, Lists(earlier=first), wave="wave_3").table
    assert (third["arm"] != first["arm"]).any()
    both = pd.concat([first, third])
    fourth = assign_from(experiment, TABLE, Lists(earlier=both), wave="wave_4").table
    pd.testing.assert_series_equal(fourth["arm"], first["arm"])


def test_a_new_member_joins_the_arm_of_the_household():
    experiment = define(METHODS[1], cluster="household", waves=WAVES)
    first = assign(experiment, TABLE.iloc[::2])
    second = assign_from(experiment, TABLE, Lists(earlier=first), wave="wave_2").table
    assert (second.groupby("cluster")["arm"].nunique() == 1).all()
    merged = second.merge(first, on="cluster", suffixes=("", "_first"))
    assert (merged["arm"] == merged["arm_first"]).all()


def test_caps_in_a_second_wave_keep_out_control_and_treatment_alike():
    """The first wave's control was not contacted, but counts as if it had been."""
    caps = "contact_caps: [{max_contacts: 1, window_days: 60}]"
    experiment = define(caps, waves=WAVES)
    first = assign(experiment, TABLE.iloc[:20], contacts=contact_table([]))
    treated = first[first["arm"] != "control"]
    sent = treated[["unit"]].assign(
        sent_at="2017-07-03T08:05:00", channel="email", campaign="spring"
    )
    lists = Lists(contacts=sent, earlier=first)
    second = assign_from(experiment, TABLE, lists, wave="wave_2").table
    assert not set(second["unit"]) & set(first["unit"])
    naive = assign(experiment, TABLE, contacts=sent.drop(columns="campaign"), wave="wave_2")
    kept = first[first["unit"].isin(naive["unit"])]
    assert set(kept["arm"]) == {"control"}  # the wrong variant: only treatments are kept out
    with pytest.raises(DataError, match="campaign") as error:
        assign_from(
            experiment, TABLE, Lists(contacts=sent.drop(columns="campaign"), earlier=first),
            wave="wave_2",
        )  # fmt: skip
    assert error.value.code == "COLUMN_MISSING"
