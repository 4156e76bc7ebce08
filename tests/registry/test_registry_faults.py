"""Killed, crowded or full: the registry is whole, or says what is wrong."""

import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing

import pytest

from tests.registry.places import Place, sqlite_place
from uplift.checks import blocked_by
from uplift.errors import DataError, DefinitionError, MissingExtra, StateError
from uplift.registry import engines
from uplift.registry.contents import insert_rows, update_row
from uplift.registry.database import FILE
from uplift.registry.registry import Registry
from uplift.registry.rows import entry_of
from uplift.registry.tables import experiments, leases, metadata

ID = "hillstrom_email"
POINTS = ("begun", "half", "written", "committed")
OPERATIONS = {"seal": "draft", "advance": "sealed", "decide": "read", "record": "sealed"}
MAKING = ("add:begun", "add:written", "add:committed", "schema:written")

# One process that forks a child for each fail point, so that the libraries are imported once.
KILLER = """
import json, os, sys
from pathlib import Path
from types import SimpleNamespace
from uplift.experiment import load_experiment
from uplift.registry.registry import Registry

folder, definition, places = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
experiment = load_experiment(definition)
promised = SimpleNamespace(to_json=lambda: json.dumps({"digest": experiment.digest}))

def prepare(location, step):
    registry = Registry(folder, database=location)
    if step in ("add", "schema"):
        return registry
    registry.add(experiment)
    if step != "seal":
        registry.seal(experiment, promised)
    if step == "decide":
        for state in ("assigned", "live", "maturing", "read"):
            registry.advance(experiment.id, state)
    return registry

def run(registry, step):
    files = {"file": folder / "file.txt"}
    {
        "add": lambda: registry.add(experiment),
        "schema": lambda: registry.add(experiment),
        "seal": lambda: registry.seal(experiment, promised),
        "advance": lambda: registry.advance(experiment.id, "assigned", artefacts=files),
        "decide": lambda: registry.decide(experiment.id, "stop", "harm"),
        "record": lambda: registry.record(experiment.id, "file", files["file"]),
    }[step]()

killed = {}
(folder / "file.txt").write_text("content")
for point, location in places.items():
    registry = prepare(location, point.split(":")[0])
    child = os.fork()
    if child == 0:
        os.environ["UPLIFT_FAIL_AT"] = point
        run(registry, point.split(":")[0])
        os._exit(0)
    killed[point] = os.waitpid(child, 0)[1]
print(json.dumps(killed))
"""

# Each write reads a number, adds one and writes it back with an audit row: a lost update shows.
WRITERS = """
import os, sys
from uplift.experiment import load_experiment
from uplift.registry.contents import find_row, update_row
from uplift.registry.registry import Registry
from uplift.registry.rows import entry_of
from uplift.registry.tables import leases

folder, location, definition, n_writers, n_writes = *sys.argv[1:4], *map(int, sys.argv[4:])
experiment, key = load_experiment(definition), {"name": "counter"}

def count(registry, who):
    with registry._database.write("count") as connection:
        before = find_row(connection, leases, key)["fencing"]
        update_row(connection, leases, key, {"fencing": before + 1, "holder": who})
        entry = entry_of(connection, experiment.id)
        registry._append(connection, entry, "count", {"version": before + 1}, who=who, why="")

children = []
for writer in range(n_writers):
    child = os.fork()
    if child == 0:
        failed = 1
        try:
            registry = Registry(folder, database=location)
            registry.add(experiment)
            registry.advance(experiment.id, "assigned", who=f"w{writer}")
            for _ in range(n_writes):
                count(registry, f"w{writer}")
            failed = 0
        finally:
            os._exit(failed)
    children.append(child)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def killed(kind, root, tmp_path_factory, request):
    """A database per point at which a process was killed, and the folder of their files."""
    folder = tmp_path_factory.mktemp("killed")
    if kind == "sqlite":
        whole = sqlite_place(folder)
    else:
        whole = Place(kind, request.getfixturevalue("postgres_url_of_module"))
    points = [*(f"{step}:{point}" for step in OPERATIONS for point in POINTS), *MAKING]
    places = {point: whole.part(point.replace(":", "_")) for point in points}
    locations = {point: place.location for point, place in places.items()}
    found = run(KILLER, folder, root / "experiments" / ID, json.dumps(locations))
    assert set(json.loads(found).values()) == {9}, found  # every child died by SIGKILL
    return {point: Registry(folder, database=location) for point, location in locations.items()}


@pytest.mark.slow_on("postgresql")
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("step", OPERATIONS)
def test_killed_at_any_point_the_state_is_that_before_or_after_never_between(
    killed, experiment, promised, step, point
):
    registry = killed[f"{step}:{point}"]
    after = {"seal": "sealed", "advance": "assigned", "decide": "decided", "record": "sealed"}
    committed = point == "committed"
    assert registry.state(ID) == (after[step] if committed else OPERATIONS[step])
    last = registry.history(ID).rows[-1]
    assert (last.action == step) == committed
    assert not blocked_by(registry.verify())
    _repeat(registry, step, experiment, promised)
    assert registry.state(ID) == after[step]
    assert [row.action for row in registry.history(ID).rows].count(step) == 1
    assert not blocked_by(registry.verify())


def _repeat(registry, step, experiment, promised):
    files = {"file": registry.root / "file.txt"}
    {
        "seal": lambda: registry.seal(experiment, promised),
        "advance": lambda: registry.advance(ID, "assigned", artefacts=files),
        "decide": lambda: registry.decide(ID, "stop", "harm"),
        "record": lambda: registry.record(ID, "file", files["file"]),
    }[step]()


@pytest.mark.parametrize("point", MAKING)
def test_killed_while_the_database_is_made_it_is_empty_or_whole(killed, experiment, point):
    registry = killed[point]
    assert len(registry.experiments().rows) == (point == "add:committed")
    assert registry.add(experiment).state == "draft"
    assert not blocked_by(registry.verify())


@pytest.mark.slow_on("postgresql")
@pytest.mark.parametrize("n_writes", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_eight_writers_lose_no_update_and_wait_without_an_error(sealed, place, root, n_writes):
    _lease(sealed)
    run(WRITERS, sealed.root, place.location, root / "experiments" / ID, 8, n_writes)
    rows = sealed.history(ID).rows
    versions = [row.payload["version"] for row in rows if row.action == "count"]
    assert versions == list(range(1, 8 * n_writes + 1))
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert [row.action for row in rows].count("advance") == 1  # eight asked for it
    assert not blocked_by(sealed.verify())


def _lease(registry):
    row = {"name": "counter", "holder": "", "fencing": 0, "expires_at": ""}
    with registry._database.write("lease") as connection:
        insert_rows(connection, leases, [row])


@pytest.mark.slow_on("postgresql")
def test_eight_first_writers_make_one_database(place, tmp_path, root):
    script = WRITERS.replace(
        'registry.advance(experiment.id, "assigned", who=f"w{writer}")', "pass"
    )
    script = script.replace(
        'count(registry, f"w{writer}")', 'registry.audit(experiment.id, "note")'
    )
    run(script, tmp_path, place.location, root / "experiments" / ID, 8, 2)
    rows = Registry(tmp_path, database=place.location).history().rows
    assert [row.action for row in rows].count("add") == 1
    assert len(rows) == 17


def test_a_deferred_transaction_fails_at_once_where_ours_waits(tmp_path, experiment):
    place = sqlite_place(tmp_path)
    registry = Registry(tmp_path, database=place.location)
    registry.add(experiment)
    with closing(sqlite3.connect(place.location, isolation_level=None, timeout=5)) as other:
        other.execute("begin")  # what is not to be done: read first, lock when writing
        other.execute("select * from experiments").fetchall()
        registry.audit(ID, "note")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("insert into leases values ('x', 'x', 1, 'x')")
        other.execute("rollback")
    with ThreadPoolExecutor(1) as pool:
        with registry._database.write("first") as connection:
            assert entry_of(connection, ID).state == "draft"  # read, then write: nobody is between
            second = pool.submit(registry.audit, ID, "second")
            assert not wait([second], timeout=0.3).done
            update_row(connection, experiments, {"id": ID}, {"objective": "another"})
        assert second.result().action == "second"


def test_a_writer_that_waits_in_vain_is_told_so(sealed, place, monkeypatch):
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.1)
    impatient = Registry(sealed.root, database=place.location)
    with sealed._database.write("long"):
        assert impatient.state(ID) == "sealed"  # readers do not wait
        with pytest.raises(StateError, match="in use for too long") as error:
            impatient.advance(ID, "assigned")
        assert error.value.code == "REGISTRY_BUSY"
    assert impatient.advance(ID, "assigned").state == "assigned"


def test_a_reader_sees_one_state_whatever_is_written_meanwhile(sealed):
    with sealed._database.read() as connection:
        assert entry_of(connection, ID).state == "sealed"
        sealed.advance(ID, "assigned")
        assert entry_of(connection, ID).state == "sealed"
    assert sealed.state(ID) == "assigned"


def test_a_full_disk_is_a_typed_error_and_reading_goes_on(tmp_path, experiment, monkeypatch):
    place, plain = sqlite_place(tmp_path), engines._configure
    Registry(tmp_path, database=place.location).add(experiment)

    def small(connection, record):
        plain(connection, record)
        pages = connection.execute("pragma page_count").fetchone()[0]
        connection.execute(f"pragma max_page_count = {pages}")

    monkeypatch.setattr(engines, "_configure", small)
    registry = Registry(tmp_path, database=place.location)
    with pytest.raises(StateError, match="disk is full") as error:
        registry.audit(ID, "note", {"text": "x" * 100_000})
    assert error.value.code == "DISK_FULL"
    assert registry.state(ID) == "draft"
    assert not blocked_by(registry.verify())


def test_a_file_that_is_no_database_is_refused(tmp_path, experiment):
    (tmp_path / FILE).write_text("no database " * 1_000)
    registry = Registry(tmp_path)
    for attempt in (registry.experiments, lambda: registry.add(experiment)):
        with pytest.raises(DataError, match="cannot be used") as error:
            attempt()
        assert error.value.code == "REGISTRY_UNREADABLE"


@pytest.mark.parametrize("kind_of_mount", ["nfs4", "cifs", "fuse.sshfs", "ext4"])
def test_write_ahead_mode_is_refused_on_a_network_file_system(tmp_path, kind_of_mount):
    mounts = tmp_path / "mounts"
    inside = str(tmp_path.resolve()).replace(" ", "\\040")
    mounts.write_text(f"root / ext4 rw 0 0\nserver:/x {inside} {kind_of_mount} rw 0 0\n")
    if kind_of_mount == "ext4":
        engines.require_local(tmp_path / "experiments", mounts=mounts)
        return
    with pytest.raises(StateError, match="local disk") as error:
        engines.require_local(tmp_path / "experiments", mounts=mounts)
    assert error.value.code == "NETWORK_FILE_SYSTEM"
    engines.require_local(tmp_path.parent, mounts=mounts)


def test_the_sqlite_tables_are_strict_and_in_write_ahead_mode(tmp_path, experiment):
    place = sqlite_place(tmp_path)
    Registry(tmp_path, database=place.location).add(experiment)
    with place.connect() as connection:
        found = dict(
            connection.execute(
                "select name, strict from pragma_table_list where name in "
                "(select name from sqlite_master where type = 'table')"
            ).fetchall()
        )
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("insert into schema_version values ('two')")
    assert set(found) == set(metadata.tables)
    assert set(found.values()) == {1}


@pytest.mark.parametrize("address", ["mysql://me:secret@host/db", "postgresql://me:secret@:x/db"])
def test_another_kind_of_database_is_refused_without_showing_its_password(tmp_path, address):
    with pytest.raises(DefinitionError) as error:
        Registry(tmp_path, database=address)
    assert error.value.code == "DATABASE_UNSUPPORTED"
    assert "secret" not in str(error.value)


def test_postgresql_without_its_driver_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"uplift-road\[postgres\]") as error:
        Registry(tmp_path, database="postgresql://me@host/db")
    assert error.value.code == "EXTRA_MISSING"


def test_the_database_may_stand_elsewhere(tmp_path, experiment):
    address = f"sqlite:///{tmp_path / 'elsewhere' / 'my.db'}"
    Registry(tmp_path / "experiments", database=address).add(experiment)
    assert Registry(tmp_path / "experiments", database=address).state(ID) == "draft"
    assert (tmp_path / "elsewhere" / "my.db").exists()
