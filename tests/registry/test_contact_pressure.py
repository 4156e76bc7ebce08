"""Caps on contacts are compared with what all experiments send, not each with its own alone."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uplift.audience import may_meet
from uplift.errors import DefinitionError
from uplift.experiment import Audience, Experiment, load_experiment
from uplift.registry.overlap import overlaps_among
from uplift.registry.pressure import pressures_among
from uplift.registry.registry import Registry
from uplift.table import to_plain

VOUCHER = to_plain(load_experiment("experiments/spring_voucher"))
VOUCHER["audience"] = {"description": "All"}
ORIGIN = datetime(2017, 7, 3, tzinfo=UTC)


def experiment(id_, days, *, where=(), channel="email", kind="campaign_holdout", **assignment):
    """Waves on these days; `until` of a trigger is its second day."""
    starts = [(ORIGIN + timedelta(days=day)).isoformat() for day in days]
    schedule = {"starts_at": starts[0], "timezone": "UTC", "response_days": 28}
    if kind == "trigger":
        schedule["ends_at"] = starts[1]
    elif len(days) > 1:
        schedule["waves"] = [{"name": f"w{i}", "starts_at": at} for i, at in enumerate(starts)]
    arms = [
        {"name": "control", "share": "1/2"},
        {"name": "sent", "share": "1/2", "channel": channel, "unit_cost": 0.1},
    ]
    fields = {"id": id_, "kind": kind, "arms": arms, "schedule": schedule}
    audience = {"description": "Some", "where": list(where)}
    return Experiment(**{**VOUCHER, **fields, "audience": audience, "assignment": assignment})


def cap(n, days, channel=None):
    return [{"max_contacts": n, "window_days": days, "channel": channel}]


def layer(start, end):
    return {"name": "spring", "start": start, "end": end}


def promise(one):
    return SimpleNamespace(to_json=lambda: json.dumps({"digest": one.digest}))


def brute_force(plans, limit, window):
    """Most contacts of a customer in plan 0 on any day, over every set that it may be in."""
    worst = 0
    others = [plan for plan in plans[1:] if plan[1] is None or plan[1] != plans[0][1]]
    for chosen in itertools.product([False, True], repeat=len(others)):
        inside = [plan for plan, is_in in zip(others, chosen, strict=True) if is_in]
        layers = [name for _, name in inside if name]
        if len(layers) > len(set(layers)):
            continue  # parts of one layer: nobody is in both
        for day in range(61):
            span = range(day - window, day + 1)
            own = sum(d in span for d in plans[0][0])
            total = own + sum(d in span for days, _ in inside for d in days)
            worst = max(worst, total if own else 0)
    return worst if worst > limit else None


wave_days = st.lists(st.integers(0, 60), min_size=1, max_size=3, unique=True).map(sorted)
plans = st.lists(st.tuples(wave_days, st.sampled_from([None, "spring"])), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(plans, st.integers(1, 4), st.integers(1, 40))
def test_the_worst_moment_is_the_one_that_trying_everything_finds(plans, limit, window):
    runs = [
        experiment(
            f"e{i}",
            days,
            layer=layer(f"{i}/4", f"{i + 1}/4") if name else None,
            contact_caps=cap(limit, window) if i == 0 else (),
        )
        for i, (days, name) in enumerate(plans)
    ]
    found = pressures_among(runs)
    assert next((p.n_contacts for p in found), None) == brute_force(plans, limit, window)


def test_two_tests_that_keep_their_own_cap_exceed_it_together():
    first = experiment("first", [0], contact_caps=cap(1, 30))
    second = experiment("second", [10], contact_caps=cap(3, 30))
    found = overlaps_among([first, second])
    (pressure,) = found.pressures
    assert (pressure.experiment, pressure.others, pressure.n_contacts) == ("first", ("second",), 2)
    (check,) = found.checks
    assert (check.code, check.verdict, check.value, check.bound) == (
        "CONTACT_PRESSURE", "warning", 2, 1,
    )  # fmt: skip
    assert "first, second get up to 2 contacts in the 30 days until 2017-07-13" in str(found)


@pytest.mark.parametrize(
    ("second", "exceeded"),
    [
        (experiment("b", [30]), True),  # a contact exactly so many days before counts, as in a draw
        (experiment("b", [31]), False),
        (experiment("b", [10], channel="post"), True),
        (experiment("b", [0, 500], kind="trigger"), True),
        (experiment("b", [100, 500], kind="trigger"), False),
        (experiment("b", [10], kind="universal_control"), False),
        (experiment("b", [10], layer=layer("1/2", "1")), False),
        (experiment("b", [10], where=[{"column": "age", "at_least": 40}]), False),
        (experiment("b", [10], where=[{"column": "age", "at_least": 30}]), True),
    ],
)
def test_what_counts_against_a_cap_of_one_contact_in_thirty_days(second, exceeded):
    young = [{"column": "age", "at_most": 30}]
    first = experiment("a", [0], where=young, layer=layer("0", "1/2"), contact_caps=cap(1, 30))
    assert bool(pressures_among([first, second])) is exceeded


def test_a_cap_of_a_channel_counts_that_channel_alone():
    first = experiment("a", [0], contact_caps=cap(1, 30, "email"))
    assert pressures_among([first, experiment("b", [10])])
    assert not pressures_among([first, experiment("b", [10], channel="post")])


def test_audiences_meet_unless_a_rule_of_both_cannot_hold_at_once():
    def audience(*where):
        return Audience(description="Some", where=where)

    north = {"column": "region", "is_in": ("north", "east")}
    south = {"column": "region", "is_in": ("south",)}
    assert may_meet(audience(), audience(south))
    assert may_meet(audience(north), audience({"column": "age", "at_most": 3}))
    assert may_meet(audience(north), audience({"column": "region", "is_in": ("east",)}))
    assert not may_meet(audience(north), audience(south))


def test_sealing_writes_down_what_is_exceeded_and_refuses_a_cap_that_nobody_is_below(tmp_path):
    registry = Registry(tmp_path)
    first = experiment("first", [0], contact_caps=cap(1, 30))
    second = experiment("second", [10])
    for one in (first, second):
        registry.seal(one, promise(one))
    rows = {row.experiment: row for row in registry.history().rows if row.action == "seal"}
    assert rows["first"].payload["pressures"] == []
    assert [p["n_contacts"] for p in rows["second"].payload["pressures"]] == [2]
    nobody = experiment("nobody", [0], contact_caps=cap(0, 30))
    with pytest.raises(DefinitionError, match=r"write max_contacts: 1\.") as caught:
        registry.seal(nobody, promise(nobody))
    assert caught.value.code == "CAP_EXCLUDES_ALL"
    assert [one.id for one in registry.experiments().rows] == ["first", "second"]
