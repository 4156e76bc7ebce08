"""Killed, crowded or full: nobody is lost, nobody is sent to twice, no half list has a name."""

import json
import os
import resource
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.export.conftest import AT, ID, Project, make_project
from tests.registry.places import KINDS, Place, sqlite_place
from uplift.checks import blocked_by
from uplift.errors import StateError
from uplift.export import folder as folders
from uplift.export.folder import STAGING
from uplift.export.job import ExportOptions
from uplift.registry.exports import export_ledger, take_lease
from uplift.registry.registry import Registry

BEFORE = ("export:begun", "export:before_temp", "export:in_temp", "export:staged", "export:written")
AFTER = (
    "export:committed",
    "publish:begun",
    "export:before_rename",
    "export:after_rename",
    "publish:written",
    "publish:committed",
)

# One process that forks a child for each run, so that the libraries are imported once.
RUNNER = """
import json, os, sys
from pathlib import Path
import pandas as pd
from uplift.experiment import load_experiment
from uplift.export.export import export_wave, export_withdrawals
from uplift.registry import failing
from uplift.registry.registry import Registry

def run(root, database, point, delta):
    root = Path(root)
    folder = root / "experiments" / "voucher"
    if point:
        os.environ["UPLIFT_FAIL_AT"] = point
    given = (load_experiment(folder), pd.read_parquet(folder / "assignment.parquet"))
    where = dict(registry=Registry(root / "experiments", database=database), folder=folder)
    step = export_withdrawals if delta else export_wave
    name = "late.csv" if delta else "suppression.csv"
    step(*given, suppression=root / name, as_of="2026-03-01T09:00:00+00:00", **where)
    return next(failing._passed) - 1 if point else 1

def start(job):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(writer, str(run(*job)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    return child, reader

def end(child, reader):
    os.waitpid(child, 0)
    return int(os.read(reader, 10) or 0)  # 0: it was killed

for line in sys.stdin:
    jobs, together = json.loads(line)
    if together:
        ends = [end(*started) for started in [start(job) for job in jobs]]
    else:
        ends = [end(*start(job)) for job in jobs]
    print(json.dumps(ends), flush=True)
"""


@pytest.fixture(scope="module")
def run():
    """Runs exports, one after the other or all together; gives the points each has passed.

    0 where it was killed
    """
    command = [sys.executable, "-c", RUNNER]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:

        def ask(jobs, *, together=False) -> list[int]:
            process.stdin.write(json.dumps([jobs, together]) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


class Places:
    """Projects that are alike, each with a database of its own."""

    def __init__(self, root: Path, whole: Place) -> None:
        self.root, self.whole = root, whole

    def make(self, name: str):
        place = self.whole.part(name)
        project = make_project(self.root / name, database=place.location)
        project.suppression(project.of_arm("post")[:3])
        project.suppression(project.of_arm("post")[:5], name="late.csv")
        return project

    def copies(self, project, names):
        """The project, several times; a server's database cannot be copied, so it is made anew."""
        if self.whole.kind != "sqlite":
            return {name: self.make(name) for name in names}
        return {name: self.copy(project, name) for name in names}

    def copy(self, project, name: str):
        place = self.whole.part(name)
        shutil.copytree(project.root, self.root / name)
        shutil.copy(project.database, place.location)
        return Project(self.root / name, project.assigned, project.experiment, place.location)


@pytest.fixture(params=[KINDS[0], pytest.param(KINDS[1], marks=pytest.mark.slow)])
def places(request, tmp_path):
    if request.param == "sqlite":
        return Places(tmp_path, sqlite_place(tmp_path))
    return Places(tmp_path, Place(request.param, request.getfixturevalue("postgres_url")))


def job(project, point="", *, delta=False):
    return [str(project.root), project.database, point, delta]


def lines_in(project) -> list[tuple[str, str]]:
    """Every ledger row: wave and unit."""
    with export_ledger(project.registry, ID, step="look") as ledger:
        lists = [batch for batch in ledger.batches() if "-delta-" not in batch.channel]
        return [(batch.wave, unit) for batch in lists for unit in ledger.units_of(batch)]


def is_whole(project, wanted):
    """The files, rows and states of a run that nothing disturbed."""
    assert project.files() == wanted
    sent = [("first", u) for u in project.units_of("email") | project.units_of("post")]
    assert sorted(lines_in(project)) == sorted(sent)
    assert project.registry.state(ID) == "live"
    actions = [row.action for row in project.registry.history(ID).rows]
    assert actions.count("export") == 1
    assert not blocked_by(project.registry.verify())


def names_in(project) -> set[str]:
    return {name for name in project.files() if STAGING not in name}


def test_killed_at_any_point_the_next_run_ends_as_if_nothing_had_been(places, run):
    whole = places.make("whole")
    names = {point.replace(":", "_"): point for point in (*BEFORE, *AFTER)}
    killed = {names[name]: made for name, made in places.copies(whole, names).items()}
    run([job(whole)])
    wanted = whole.files()
    assert not any(run([job(project, point) for point, project in killed.items()]))
    for point, project in killed.items():
        committed = point in AFTER
        assert bool(lines_in(project)) == committed
        assert project.registry.state(ID) == ("live" if committed else "assigned")
        # a name only after the commit, and then the whole folder at once
        assert names_in(project) in (set(), names_in(whole), {n for n in wanted if "email" in n})
        assert committed or not names_in(project)
    assert all(run([job(project) for project in killed.values()]))
    for project in killed.values():
        is_whole(project, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("delta", [False, True], ids=["list", "delta"])
def test_killed_at_every_write_sync_rename_and_commit_nobody_is_lost_or_doubled(places, run, delta):
    start, counted = places.make("start"), places.make("counted")
    if delta:
        run([job(start), job(counted)])
    (n_points,) = run([job(counted, "#0", delta=delta)])
    assert n_points > 20
    points = [f"#{number}" for number in range(1, n_points + 1)]
    killed = list(places.copies(start, [f"at_{at[1:]}" for at in points]).values())
    if delta and places.whole.kind != "sqlite":
        run([job(project) for project in killed])
    ends = run([job(p, at, delta=delta) for p, at in zip(killed, points, strict=True)])
    assert not any(ends)
    assert all(run([job(project, delta=delta) for project in killed]))
    for project in killed:
        is_whole(project, counted.files())


def test_after_a_kill_a_fresher_opt_out_is_not_on_the_list(tmp_path, run):
    places = Places(tmp_path, sqlite_place(tmp_path))
    project = places.make("killed")
    assert run([job(project, "export:staged")]) == [0]
    (torn,) = {name.split("/")[1] for name in project.files()}
    assert torn.startswith(STAGING)
    unit = project.of_arm("email_10")[0]
    project.export(project.suppression([unit]))
    assert unit not in project.units_of("email")
    assert not [name for name in project.files() if STAGING in name]  # what was left is gone


def test_two_operators_at_once_make_one_batch(places, run):
    project, alone = places.make("shared"), places.make("alone")
    run([job(alone)])
    assert all(run([job(project)] * 4, together=True))
    is_whole(project, alone.files())


def test_each_file_and_folder_is_synced_before_the_ledger_commits_and_it_has_a_name(
    project, monkeypatch
):
    seen: list[tuple[str, str]] = []

    def path_of(descriptor):
        return str(Path(f"/proc/self/fd/{descriptor}").readlink()).rsplit("/voucher/", 1)[-1]

    monkeypatch.setattr(os, "fsync", lambda fd: seen.append(("sync", path_of(fd))))
    monkeypatch.setattr(folders, "fail_point", lambda name: seen.append(("point", name)))
    plain = Path.rename
    monkeypatch.setattr(
        Path, "rename", lambda path, to: (seen.append(("rename", path.name)), plain(path, to))
    )
    report = project.export(project.suppression([]), options=ExportOptions(channel="post"))
    staging = f"export/first/{STAGING}{report.lists[0].batch}"
    renamed = seen.index(("rename", f"{STAGING}{report.lists[0].batch}"))
    names = ("post.csv", "units.csv", "verify_export.py", "manifest.json")
    for path in (*(f"{staging}/{name}" for name in names), staging, "export/first", "export"):
        assert ("sync", path) in seen[:renamed]
    assert seen[renamed:].count(("sync", "export/first")) == 1


def test_a_full_disk_leaves_no_part_of_a_list(project):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    plain = folders._write

    def small(path, content):
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
        try:
            plain(path, content)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    folders._write = small
    try:
        with pytest.raises(StateError, match="Nothing was exported") as error:
            project.export(project.suppression([]))
    finally:
        folders._write = plain
    assert error.value.code == "DISK_FULL"
    assert project.files() == {}
    assert project.registry.state(ID) == "assigned"
    project.export(project.suppression([]))


class Clock:
    """A clock that tests move."""

    def __init__(self):
        self.now = datetime.fromisoformat(AT)

    def __call__(self):
        return self.now


@pytest.fixture
def clock(project):
    found = Clock()
    project.registry = Registry(
        project.root / "experiments", database=project.database, clock=found
    )
    return found


def test_a_scheduler_that_slept_through_its_lease_is_refused(project, clock):
    slept = take_lease(project.registry, ID, "first", holder="one", seconds=60)
    with pytest.raises(StateError, match="leased by one") as held:
        take_lease(project.registry, ID, "first", holder="two")
    assert held.value.code == "LEASE_HELD"
    with pytest.raises(StateError, match="leased by one"):
        project.export(project.suppression([]))
    clock.now += timedelta(seconds=61)
    awake = take_lease(project.registry, ID, "first", holder="two", seconds=60)
    assert awake.fencing == slept.fencing + 1
    done = project.export(project.suppression([]), options=ExportOptions(lease=awake))
    for suppression in (project.suppression([]), project.suppression(["x"])):
        with pytest.raises(StateError, match="taken over") as stale:
            project.export(suppression, options=ExportOptions(lease=slept))
        assert stale.value.code == "LEASE_STALE"
    same = project.export(project.suppression([]))  # an operator, who has none
    assert [one.batch for one in same.lists] == [one.batch for one in done.lists]
    assert not blocked_by(project.registry.verify())


def test_a_stale_holder_that_comes_first_writes_nothing(project, clock):
    slept = take_lease(project.registry, ID, "first", holder="one", seconds=1)
    clock.now += timedelta(seconds=2)
    take_lease(project.registry, ID, "first", holder="two", seconds=60)
    with pytest.raises(StateError, match="taken over"):
        project.export(project.suppression([]), options=ExportOptions(lease=slept))
    assert project.files() == {}


def test_a_lease_asked_for_again_is_renewed_and_survives_a_clock_set_back(project, clock):
    first = take_lease(project.registry, ID, "first", holder="one", seconds=60)
    clock.now += timedelta(seconds=30)
    again = take_lease(project.registry, ID, "first", holder="one", seconds=60)
    assert again.fencing == first.fencing
    assert again.expires_at > first.expires_at
    clock.now -= timedelta(hours=1)
    with pytest.raises(StateError, match="leased by one"):
        take_lease(project.registry, ID, "first", holder="two")
    assert clock.now.tzinfo == UTC
