"""Memberships of a universal control: whole rotations, kept for ever, found when changed."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest

from uplift.checks import blocked_by
from uplift.errors import UpliftError
from uplift.experiment import Experiment, load_experiment
from uplift.registry.members import stage_members, units_in
from uplift.registry.memberships import (
    NewCohort,
    control_units,
    draw_files,
    memberships,
    rotate,
)
from uplift.registry.registry import Registry

ID = "universal_control"
START = datetime(2024, 1, 1, 8, tzinfo=UTC)
QUARTER = timedelta(days=91)
ROTATION = {"cohorts": 2, "every_days": 91, "washout_days": 100}

KILLER = """
import json, os, sys
from datetime import datetime
from pathlib import Path
from uplift.registry.memberships import NewCohort, rotate
from uplift.registry.registry import Registry

folder, jobs = Path(sys.argv[1]), json.loads(sys.argv[2])
killed = {}
for point, location in jobs.items():
    child = os.fork()
    if child == 0:
        os.environ["UPLIFT_FAIL_AT"] = point
        new = NewCohort(3, ("u5", "u6"), folder / "three.txt")
        at = datetime.fromisoformat(sys.argv[3])
        rotate(Registry(folder, database=location), "universal_control", [new], release=1, at=at)
        os._exit(0)
    killed[point] = os.waitpid(child, 0)[1]
print(json.dumps(killed))
"""


AS_SCHEMA_2 = (
    "create table control_members (programme text not null, unit text not null, "
    "cohort text not null, from_at text not null, until_at text, "
    "primary key (programme, unit, cohort))",
    "insert into control_members select programme, unit, cohort, from_at, until_at "
    "from control_cohorts join cohort_members on control_cohorts.batch = cohort_members.batch",
    "drop table control_cohorts",
    "drop table cohort_members",
    "delete from contents where name in ('control_cohorts', 'cohort_members')",
    "update schema_version set version = 2",
)


@pytest.fixture(scope="module")
def programme(root):
    plain = load_experiment(root / "experiments" / ID)
    return Experiment(**{**plain.model_dump(), "rotation": ROTATION})


def cohort(registry, number: int, *units: str, text: str = "") -> NewCohort:
    file = registry.root / f"draw{number}{text}.txt"
    file.write_text(f"{number} {units} {text}")
    return NewCohort(number, units, file)


def begun(registry, programme) -> Registry:
    """A programme whose first two cohorts are held out."""
    design = SimpleNamespace(to_json=lambda: json.dumps({"digest": programme.digest}))
    registry.seal(programme, design, who="ada")
    first = [cohort(registry, 1, "u1", "u2"), cohort(registry, 2, "u3", "u4")]
    assert rotate(registry, ID, first, at=START, who="ada", why="start")
    return registry


@pytest.fixture
def control(registry, programme):
    return begun(registry, programme)


def held(registry, at) -> list[str]:
    return list(control_units(registry, ID, at)["unit"])


def test_a_rotation_ends_one_cohort_and_begins_another_and_nothing_is_forgotten(control):
    at = START + QUARTER
    assert rotate(control, ID, [cohort(control, 3, "u5", "u6")], release=1, at=at, who="bob")
    assert held(control, START) == ["u1", "u2", "u3", "u4"]
    assert held(control, at - timedelta(seconds=1)) == ["u1", "u2", "u3", "u4"]
    assert held(control, at) == ["u3", "u4", "u5", "u6"]
    known = memberships(control, ID)
    assert list(known["unit"]) == ["u1", "u2", "u3", "u4", "u5", "u6"]
    assert list(known["until_at"].dropna()) == [pd.Timestamp(at)] * 2
    row = control.history(ID).rows[-1]
    assert (row.action, row.who, row.payload["released"]) == ("rotate", "bob", 1)
    assert row.payload["cohorts"]["3"]["n_units"] == 2
    assert set(draw_files(control, ID)) == {1, 2, 3}
    assert not blocked_by(control.verify())


def test_the_same_rotation_twice_changes_nothing(control):
    at, new = START + QUARTER, cohort(control, 3, "u5", "u6")
    assert rotate(control, ID, [new], release=1, at=at)
    before, trail = memberships(control, ID), control.history(ID).rows
    assert not rotate(control, ID, [new], release=1, at=at)
    assert not rotate(control, ID, [new], release=1, at=at + timedelta(hours=1))  # a later re-run
    assert not rotate(
        control, ID, [cohort(control, 1, "u2", "u1"), cohort(control, 2, "u3", "u4")], at=START
    )
    pd.testing.assert_frame_equal(memberships(control, ID), before)
    assert control.history(ID).rows == trail


@pytest.mark.parametrize(
    ("number", "units", "release", "days", "code"),
    [
        (3, ("u3", "u9"), 1, 91, "MEMBER_WASHING"),  # held out
        (3, ("u1", "u9"), 1, 91, "MEMBER_WASHING"),  # let go at this very moment
        (3, ("u8", "u8"), 1, 91, "MEMBER_WASHING"),  # twice in the list
        (2, ("u8", "u9"), 1, 91, "COHORT_FROZEN"),
        (4, ("u8", "u9"), 1, 91, "COHORT_ORDER"),
        (3, (), 1, 91, "COHORT_ORDER"),
        (3, ("u8", "u9"), 2, 91, "COHORT_ORDER"),  # not the oldest
        (3, ("u8", "u9"), 7, 91, "COHORT_ORDER"),
        (3, ("u8", "u9"), 1, -1, "TIME_ORDER"),
        (3, ("u8", "u9"), 1, 90_000, "TIME_FUTURE"),
        (3, ("u8", "u 9 "), 1, 91, "ID_WHITESPACE"),
    ],
)
def test_what_would_break_the_rules_is_refused_whole(control, number, units, release, days, code):
    before, trail = memberships(control, ID), control.history(ID).rows
    new = cohort(control, number, *units, text="other")
    with pytest.raises(UpliftError) as caught:
        rotate(control, ID, [new], release=release, at=START + timedelta(days=days))
    assert caught.value.code == code
    pd.testing.assert_frame_equal(memberships(control, ID), before)
    assert control.history(ID).rows == trail
    assert not blocked_by(control.verify())


@pytest.mark.parametrize("words", [{"who": "a\udc80"}, {"why": "x\0"}])
def test_a_name_the_trail_cannot_hold_is_refused_before_members_are_staged(control, words):
    new = cohort(control, 3, "u8", "u9")
    with pytest.raises(UpliftError) as caught:
        rotate(control, ID, [new], release=1, at=START + QUARTER, **words)
    assert caught.value.code == "VALUE_RANGE"
    with control._database.read() as connection:
        assert units_in(connection, new.batch_in(ID)) == []


def test_a_former_member_may_come_back_after_wash_out_and_both_times_are_kept(control):
    rotate(control, ID, [cohort(control, 3, "u5", "u6")], release=1, at=START + QUARTER)
    again = cohort(control, 4, "u1", "u7")
    with pytest.raises(UpliftError, match="u1") as caught:
        rotate(control, ID, [again], release=2, at=START + QUARTER + timedelta(days=99))
    assert caught.value.code == "MEMBER_WASHING"
    assert rotate(control, ID, [again], release=2, at=START + QUARTER + timedelta(days=100))
    assert (memberships(control, ID)["unit"] == "u1").sum() == 2
    assert not blocked_by(control.verify())


def test_a_draft_or_a_control_without_rotation_is_refused(registry, programme):
    with pytest.raises(UpliftError) as caught:
        control_units(registry, ID, START)
    assert caught.value.code == "EXPERIMENT_UNKNOWN"
    registry.add(programme)
    with pytest.raises(UpliftError) as caught:
        rotate(registry, ID, [cohort(registry, 1, "u1")], at=START)
    assert caught.value.code == "STATE_ORDER"
    registry.add(Experiment(**{**programme.model_dump(), "rotation": None}))
    with pytest.raises(UpliftError) as caught:
        rotate(registry, ID, [cohort(registry, 1, "u1")], at=START)
    assert caught.value.code == "ROTATION_MISSING"


def test_before_the_first_rotation_nobody_can_be_excluded_by_mistake(control):
    with pytest.raises(UpliftError, match="uplift control rotate") as caught:
        control_units(control, ID, START - timedelta(days=1))
    assert caught.value.code == "CONTROL_EMPTY"


def test_a_household_is_held_out_whole_also_who_joined_it_later(registry, programme):
    by_household = Experiment(**{**programme.model_dump(), "cluster": "household"})
    control = begun(registry, by_household)
    customers = pd.DataFrame(
        {"unit": ["u1", "new", "u9", "gone"], "household": ["h1", "h1", "h9", "h8"]}
    )
    found = control_units(control, ID, START, customers=customers)
    assert list(found["unit"]) == ["new", "u1", "u2", "u3", "u4"]


@pytest.mark.parametrize(
    "statement",
    [
        "update control_cohorts set until_at = null where cohort = '1'",
        "update control_cohorts set until_at = '2030-01-01T00:00:00.000000+00:00'",
        "update control_cohorts set from_at = '2023-01-01T00:00:00.000000+00:00' "
        "where cohort = '2'",
        "update control_cohorts set batch = 'another' where cohort = '2'",
        "update cohort_members set unit = 'u0' where unit = 'u3'",
        "delete from cohort_members where unit = 'u1'",
        "delete from control_cohorts where cohort = '1'",
        "insert into cohort_members select batch, 'u7' from cohort_members where unit = 'u3'",
        "insert into control_cohorts values ('universal_control', '9', 'b', 0, '2024', null)",
    ],
)
def test_verification_finds_memberships_changed_outside_the_registry(control, place, statement):
    rotate(control, ID, [cohort(control, 3, "u5", "u6")], release=1, at=START + QUARTER)
    place.tamper(statement)
    codes = {check.code for check in blocked_by(control.verify())}
    assert codes == {"MEMBERS_CHANGED", "CONTENTS_CHANGED"}


def test_a_changed_draw_file_is_found(control):
    (control.root / "draw2.txt").write_text("another draw")
    assert {check.code for check in blocked_by(control.verify())} == {"FILE_CHECKSUM"}
    with pytest.raises(UpliftError) as caught:
        draw_files(control, ID)
    assert caught.value.code == "FILE_CHECKSUM"


@pytest.mark.slow_on("postgresql")
def test_killed_at_any_point_a_rotation_is_whole_or_has_not_happened(place, programme, tmp_path):
    points = [
        *(f"stage:{name}" for name in ("begun", "written", "committed")),
        *(f"rotate:{name}" for name in ("begun", "half", "written", "committed")),
    ]
    jobs = {}
    for point in points:
        part = place.part(point.replace(":", "_"))
        begun(Registry(tmp_path, database=part.location), programme)
        jobs[point] = part.location
    (tmp_path / "three.txt").write_text("three")
    at = START + QUARTER
    command = [sys.executable, "-c", KILLER, tmp_path, json.dumps(jobs), at.isoformat()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout).values()) == {9}
    for point, location in jobs.items():
        registry = Registry(tmp_path, database=location)
        happened = point == "rotate:committed"
        assert held(registry, at)[:1] == (["u3"] if happened else ["u1"])
        assert not blocked_by(registry.verify())
        new = NewCohort(3, ("u5", "u6"), tmp_path / "three.txt")
        assert rotate(registry, ID, [new], release=1, at=at) is not happened
        assert held(registry, at) == ["u3", "u4", "u5", "u6"]


def test_rotations_that_run_beside_each_other_happen_once(control, place):
    at, new = START + QUARTER, cohort(control, 3, "u5", "u6")
    with ThreadPoolExecutor(4) as pool:
        tried = [
            pool.submit(
                rotate, Registry(control.root, database=place.location), ID, [new], release=1, at=at
            )
            for _ in range(4)
        ]
    assert sorted(one.result() for one in tried) == [False, False, False, True]
    assert [row.action for row in control.history(ID).rows].count("rotate") == 2
    assert not blocked_by(control.verify())


def test_members_that_were_written_before_a_crash_hold_nobody_out(control):
    at, planned = START + QUARTER, cohort(control, 3, "u5", "u6", text="planned")
    stage_members(control, planned.batch_in(ID), ["u5"])  # and no further
    assert held(control, at) == ["u1", "u2", "u3", "u4"]
    assert not blocked_by(control.verify())
    other = cohort(control, 3, "u5", "u7")
    assert rotate(control, ID, [other], release=1, at=at)
    assert held(control, at) == ["u3", "u4", "u5", "u7"]
    assert not blocked_by(control.verify())


def test_members_are_written_in_short_transactions_and_a_half_written_batch_is_finished(
    control, monkeypatch
):
    monkeypatch.setattr("uplift.registry.members.STAGED_ROWS", 3)
    new = cohort(control, 3, *(f"n{i}" for i in range(10)))
    stage_members(control, new.batch_in(ID), new.units[4:8])
    assert rotate(control, ID, [new], release=1, at=START + QUARTER)
    assert held(control, START + QUARTER) == sorted([*new.units, "u3", "u4"])
    assert not blocked_by(control.verify())


def test_schema_2_kept_a_row_per_membership_and_all_of_them_are_taken_over(control, place):
    rotate(control, ID, [cohort(control, 3, "u5", "u6")], release=1, at=START + QUARTER)
    before = memberships(control, ID)
    place.tamper(*AS_SCHEMA_2)
    pd.testing.assert_frame_equal(memberships(control, ID), before)  # read without migrating
    assert control.migrate() == 2
    pd.testing.assert_frame_equal(memberships(control, ID), before)
    assert not blocked_by(control.verify())
    place.tamper(*AS_SCHEMA_2, "update control_members set until_at = '2030' where unit = 'u3'")
    with pytest.raises(UpliftError) as caught:
        control.migrate()
    assert caught.value.code == "REGISTRY_UNREADABLE"
