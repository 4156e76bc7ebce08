"""Killed, crowded, tampered with or full: the registry is whole, or says what is wrong."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest

from uplift.checks import blocked_by
from uplift.errors import DataError, DefinitionError, StateError
from uplift.experiment import load_experiment
from uplift.registry.database import FILE
from uplift.registry.registry import Registry

ID = "hillstrom_email"
POINTS = ("begun", "half", "written", "committed")
OPERATIONS = {"seal": "draft", "advance": "sealed", "decide": "read", "record": "sealed"}

# One process that forks a child for each fail point, so that the libraries are imported once.
KILLER = """
import json, os, shutil, sys
from pathlib import Path
from types import SimpleNamespace
from uplift.experiment import load_experiment
from uplift.registry.registry import Registry

folder, definition, points = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
experiment = load_experiment(definition)
promised = SimpleNamespace(to_json=lambda: json.dumps({"digest": experiment.digest}))

def prepare(root, step):
    registry = Registry(root)
    if step in ("add", "schema"):
        return registry
    registry.add(experiment)
    if step != "seal":
        registry.seal(experiment, promised)
    if step == "decide":
        for state in ("assigned", "live", "maturing", "read"):
            registry.advance(experiment.id, state)
    (root / "file.txt").write_text("content")
    return registry

def run(registry, step):
    files = {"file": registry.root / "file.txt"}
    {
        "add": lambda: registry.add(experiment),
        "schema": lambda: registry.add(experiment),
        "seal": lambda: registry.seal(experiment, promised),
        "advance": lambda: registry.advance(experiment.id, "assigned", artefacts=files),
        "decide": lambda: registry.decide(experiment.id, "stop", "harm"),
        "record": lambda: registry.record(experiment.id, "file", files["file"]),
    }[step]()

killed = {}
for point in points:
    root = folder / point.replace(":", "_")
    root.mkdir()
    registry = prepare(root, point.split(":")[0])
    child = os.fork()
    if child == 0:
        os.environ["UPLIFT_FAIL_AT"] = point
        run(registry, point.split(":")[0])
        os._exit(0)
    killed[point] = os.waitpid(child, 0)[1]
print(json.dumps(killed))
"""

WRITERS = """
import json, os, sys
from uplift.registry.registry import Registry

root, n_writers, n_writes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
children = []
for writer in range(n_writers):
    child = os.fork()
    if child == 0:
        failed = 1
        try:
            registry = Registry(root)
            registry.advance("hillstrom_email", "assigned", who=f"w{writer}")
            for i in range(n_writes):
                registry.audit("hillstrom_email", "note", {"i": i}, who=f"w{writer}")
            failed = 0
        finally:
            os._exit(failed)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def promise(experiment):
    """Stands for a design, so that no statistics are loaded here."""
    return SimpleNamespace(to_json=lambda: json.dumps({"digest": experiment.digest}))


@pytest.fixture(scope="module")
def experiment(root):
    return load_experiment(root / "experiments" / ID)


@pytest.fixture
def sealed(tmp_path, experiment):
    registry = Registry(tmp_path)
    registry.seal(experiment, promise(experiment), who="ada", why="agreed")
    return registry


@pytest.fixture(scope="module")
def killed(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    points = [f"{step}:{point}" for step in OPERATIONS for point in POINTS]
    points += ["add:begun", "add:written", "add:committed", "schema:written"]
    found = run(KILLER, folder, root / "experiments" / ID, json.dumps(points))
    assert set(json.loads(found).values()) == {9}, found  # every child died by SIGKILL
    return folder


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("step", OPERATIONS)
def test_killed_at_any_point_the_state_is_that_before_or_after_never_between(
    killed, experiment, step, point
):
    registry = Registry(killed / f"{step}_{point}")
    after = {"seal": "sealed", "advance": "assigned", "decide": "decided", "record": "sealed"}
    committed = point == "committed"
    assert registry.state(ID) == (after[step] if committed else OPERATIONS[step])
    last = registry.history(ID).rows[-1]
    assert (last.action == step) == committed
    assert not blocked_by(registry.verify())
    _repeat(registry, step, experiment)
    assert registry.state(ID) == after[step]
    assert [row.action for row in registry.history(ID).rows].count(step) == 1
    assert not blocked_by(registry.verify())


def _repeat(registry, step, experiment):
    files = {"file": registry.root / "file.txt"}
    {
        "seal": lambda: registry.seal(experiment, promise(experiment)),
        "advance": lambda: registry.advance(ID, "assigned", artefacts=files),
        "decide": lambda: registry.decide(ID, "stop", "harm"),
        "record": lambda: registry.record(ID, "file", files["file"]),
    }[step]()


@pytest.mark.parametrize("point", ["add_begun", "add_written", "add_committed", "schema_written"])
def test_killed_while_the_database_is_made_it_is_empty_or_whole(killed, experiment, point):
    registry = Registry(killed / point)
    assert len(registry.experiments().rows) == (point == "add_committed")
    assert registry.add(experiment).state == "draft"
    assert not blocked_by(registry.verify())


def test_eight_writers_lose_nothing_and_wait_without_an_error(sealed):
    run(WRITERS, sealed.root, 8, 50)
    rows = sealed.history(ID).rows
    notes = [(row.who, row.payload["i"]) for row in rows if row.action == "note"]
    assert sorted(notes) == sorted((f"w{w}", i) for w in range(8) for i in range(50))
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert [row.action for row in rows].count("advance") == 1  # eight asked for it
    assert not blocked_by(sealed.verify())


def test_eight_first_writers_make_one_database(tmp_path, root):
    script = WRITERS.replace(
        'registry.advance("hillstrom_email", "assigned", who=f"w{writer}")',
        "registry.add(experiment)",
    ).replace(
        "root, n_writers",
        "from uplift.experiment import load_experiment\n"
        "experiment = load_experiment(sys.argv[4])\nroot, n_writers",
    )
    run(script, tmp_path / "new", 8, 2, root / "experiments" / ID)
    rows = Registry(tmp_path / "new").history().rows
    assert [row.action for row in rows].count("add") == 1
    assert len(rows) == 17


def tamper(registry, *statements: str) -> None:
    """Change the database as somebody would who goes around the registry and its triggers."""
    with closing(sqlite3.connect(registry.root / FILE)) as connection, connection:
        triggers = connection.execute("select name from sqlite_master where type = 'trigger'")
        for (name,) in triggers.fetchall():
            connection.execute(f"drop trigger {name}")
        for statement in statements:
            connection.execute(statement)


COLUMNS = ["from_state", "to_state", "action", "digest", "who", "why", "at", "payload"]


@pytest.mark.parametrize("column", [*COLUMNS, "previous_hash", "hash"])
def test_one_edited_character_of_the_trail_is_found(sealed, column):
    sealed.audit(ID, "note", {"a": 1}, who="ada", why="because")
    tamper(sealed, f"update audit set {column} = {column} || ' ' where seq = 2")
    failed = {check.code: check.value for check in blocked_by(sealed.verify())}
    assert failed["CHAIN_BROKEN"] == "row 2"


@pytest.mark.parametrize(
    "statement",
    [
        "delete from audit where seq = 2",
        "delete from audit where seq = 4",  # the end of the trail
        "update audit set seq = 9 where seq = 3",
        "update audit_head set seq = 3",
    ],
)
def test_a_removed_or_moved_row_of_the_trail_is_found(sealed, statement):
    sealed.audit(ID, "note", who="ada")
    sealed.audit(ID, "note", who="bob")
    tamper(sealed, statement)
    assert "CHAIN_BROKEN" in {check.code for check in blocked_by(sealed.verify())}


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("update experiments set state = 'read'", "DEFINITION_CHANGED"),
        ("update experiments set digest = 'x'", "DEFINITION_CHANGED"),
        (
            "update experiments set definition = replace(definition, 'Men', 'Hen')",
            "DEFINITION_CHANGED",
        ),
        ("update amendments set change = 'harmless'", "AMENDMENT_CHANGED"),
        ("delete from amendments", "AMENDMENT_CHANGED"),
        ("update artefacts set sha256 = 'x'", "FILE_CHECKSUM"),
    ],
)
def test_a_change_beside_the_trail_is_found(sealed, statement, code):
    (sealed.root / "file.txt").write_text("content")
    sealed.record(ID, "file", sealed.root / "file.txt")
    sealed.amend(ID, "window 28 days", why="late data")
    assert not blocked_by(sealed.verify())
    tamper(sealed, statement)
    assert {check.code for check in blocked_by(sealed.verify())} == {code}


def test_a_changed_file_is_found(sealed):
    path = sealed.root / "file.txt"
    path.write_text("content")
    sealed.advance(ID, "assigned", artefacts={"file": path})
    path.write_text("Content")
    (failed,) = blocked_by(sealed.verify())
    assert (failed.name, failed.code) == (f"artefact {ID}/file", "FILE_CHECKSUM")
    path.unlink()
    assert blocked_by(sealed.verify())[0].value == "missing"


@pytest.mark.parametrize(
    "statement",
    [
        "update audit set who = 'eve'",
        "delete from audit",
        "insert or replace into audit select * from audit",
        "update experiments set definition = '{}'",
        "delete from experiments",
    ],
)
def test_the_database_itself_refuses_to_rewrite_what_was_written(sealed, statement):
    with closing(sqlite3.connect(sealed.root / FILE)) as connection:
        connection.execute("pragma recursive_triggers = on")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)


def test_the_tables_are_strict_and_in_write_ahead_mode(sealed):
    with closing(sqlite3.connect(sealed.root / FILE)) as connection:
        tables = connection.execute(
            "select name, strict from pragma_table_list where name in "
            "(select name from sqlite_master where type = 'table')"
        )
        found = dict(tables.fetchall())
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("insert into schema_version values ('two')")
    assert len(found) == 6
    assert set(found.values()) == {1}


def test_an_older_program_refuses_a_newer_schema(sealed, experiment):
    tamper(sealed, "update schema_version set version = 99")
    for attempt in (lambda: sealed.state(ID), lambda: sealed.add(experiment)):
        with pytest.raises(StateError, match="schema 99") as error:
            attempt()
        assert error.value.code == "SCHEMA_NEWER"


def test_a_file_that_is_no_database_is_refused(tmp_path, experiment):
    (tmp_path / FILE).write_text("no database " * 1_000)
    registry = Registry(tmp_path)
    for attempt in (registry.experiments, lambda: registry.add(experiment)):
        with pytest.raises(DataError, match="cannot be used") as error:
            attempt()
        assert error.value.code == "REGISTRY_UNREADABLE"


def test_a_writer_that_waits_in_vain_is_told_so(sealed, monkeypatch):
    monkeypatch.setattr("uplift.registry.database.BUSY_SECONDS", 0.1)
    impatient = Registry(sealed.root)
    with closing(sqlite3.connect(sealed.root / FILE, isolation_level=None)) as other:
        other.execute("begin immediate")
        assert impatient.state(ID) == "sealed"  # readers do not wait
        with pytest.raises(StateError, match="was in use") as error:
            impatient.advance(ID, "assigned")
        assert error.value.code == "REGISTRY_BUSY"
        other.execute("rollback")
    assert impatient.advance(ID, "assigned").state == "assigned"


def test_a_full_disk_is_a_typed_error_and_reading_goes_on(sealed, monkeypatch):
    from uplift.registry import database

    plain = database._configure

    def small(connection, record):
        plain(connection, record)
        pages = connection.execute("pragma page_count").fetchone()[0]
        connection.execute(f"pragma max_page_count = {pages}")

    monkeypatch.setattr(database, "_configure", small)
    registry = Registry(sealed.root)
    with pytest.raises(StateError, match="disk is full") as error:
        registry.audit(ID, "note", {"text": "x" * 100_000})
    assert error.value.code == "DISK_FULL"
    assert registry.state(ID) == "sealed"
    assert not blocked_by(sealed.verify())


def test_another_kind_of_database_is_refused_without_showing_its_password(tmp_path):
    with pytest.raises(DefinitionError) as error:
        Registry(tmp_path, database="postgresql://me:secret@host/db")
    assert error.value.code == "DATABASE_UNSUPPORTED"
    assert "secret" not in str(error.value)


def test_the_database_may_stand_elsewhere(tmp_path, experiment):
    address = f"sqlite:///{tmp_path / 'elsewhere' / 'my.db'}"
    Registry(tmp_path / "experiments", database=address).add(experiment)
    assert Registry(tmp_path / "experiments", database=address).state(ID) == "draft"
    assert (tmp_path / "elsewhere" / "my.db").exists()
