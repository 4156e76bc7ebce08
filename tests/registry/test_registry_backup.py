"""A backup of a registry in use holds everything that was acknowledged, and restores anywhere."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tests.registry.places import KINDS, Place, fill, sqlite_place
from uplift.checks import blocked_by
from uplift.errors import DataError, StateError
from uplift.registry.backup import restore
from uplift.registry.registry import Registry
from uplift.registry.tables import metadata

ID = "hillstrom_email"
BACKUP = "import sys; from uplift.registry.registry import Registry; "
BACKUP += "Registry(sys.argv[1], database=sys.argv[2]).backup(sys.argv[3])"
RESTORE = "import sys; from uplift.registry.backup import restore; restore(*sys.argv[1:])"


def killed_at(point, script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, "UPLIFT_FAIL_AT": point}, check=False)
    assert done.returncode == -9


def content(registry):
    with registry._database.read() as connection:
        return {
            table.name: sorted(map(str, connection.execute(table.select())))
            for table in metadata.sorted_tables
        }


@pytest.fixture
def full(sealed):
    sealed.amend(ID, "window 28 days", why="late data")
    fill(sealed)
    return sealed


@pytest.mark.parametrize("to", KINDS)
def test_a_backup_restores_every_row_into_either_engine(full, to, tmp_path, postgres_url_of_module):
    done = full.backup(tmp_path / "kept" / "monday.db")
    assert done.head == full.history().rows[-1].hash
    assert str(done.n_changes) in str(done)
    target = sqlite_place(tmp_path / "elsewhere")
    if to == "postgresql":
        target = Place(to, postgres_url_of_module).part(f"restored_{full.root.name[-6:]}")
    copy = Registry(full.root, database=target.location)
    assert restore(tmp_path / "kept" / "monday.db", target.location).head == done.head
    assert content(copy) == content(full)
    assert not blocked_by(copy.verify())
    copy.advance(ID, "assigned")  # it is a registry like any other
    assert not blocked_by(copy.verify())


def test_a_copied_file_loses_what_a_backup_keeps(tmp_path, experiment, promised):
    place = sqlite_place(tmp_path)
    registry = Registry(tmp_path, database=place.location)
    registry.seal(experiment, promised)
    with closing(sqlite3.connect(place.location)) as holder:  # keeps the log from being folded in
        holder.execute("select * from audit").fetchall()
        registry.advance(ID, "assigned")
        shutil.copy(place.location, tmp_path / "copy.db")
        registry.backup(tmp_path / "backup.db")
    assert registry.state(ID) == "assigned"
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        tables = copy.execute("select count(*) from sqlite_master").fetchone()
        lost = tables == (0,) or copy.execute("select state from experiments").fetchone()
        assert lost != ("assigned",)
    restore(tmp_path / "backup.db", tmp_path / "restored.db")
    assert Registry(tmp_path, database=tmp_path / "restored.db").state(ID) == "assigned"
    assert not list(tmp_path.glob("backup.db-*"))  # one file, without a log


def test_a_backup_is_taken_while_others_write(sealed, place, tmp_path):
    with sealed._database.write("long") as connection:
        connection.exec_driver_sql("update leases set holder = holder")
        sealed.backup(tmp_path / "backup.db")
    sealed.advance(ID, "assigned")
    restore(tmp_path / "backup.db", tmp_path / "restored.db")
    assert Registry(tmp_path, database=tmp_path / "restored.db").state(ID) == "sealed"


def test_a_registry_is_never_restored_over(full, place, tmp_path):
    full.backup(tmp_path / "backup.db")
    before = content(full)
    with pytest.raises(StateError, match="empty") as error:
        restore(tmp_path / "backup.db", place.location)
    assert error.value.code == "REGISTRY_NOT_EMPTY"
    assert content(full) == before
    with pytest.raises(StateError) as error:
        full.backup(tmp_path / "backup.db")
    assert error.value.code == "BACKUP_EXISTS"


@pytest.mark.parametrize(
    "statement",
    [
        "update audit set why = 'no reason' where seq = 1",
        "update experiments set definition = '{}'",
        "delete from export_lines",
    ],
)
def test_a_damaged_backup_is_not_restored(full, place, tmp_path, statement):
    full.backup(tmp_path / "registry-backup.db")
    damaged = Place("sqlite", str(tmp_path / "registry-backup.db"))
    damaged.tamper(statement)
    target = place.part("restored")
    with pytest.raises(DataError, match="does not verify") as error:
        restore(damaged.location, target.location)
    assert error.value.code == "BACKUP_DAMAGED"
    assert Registry(tmp_path, database=target.location).experiments().rows == ()


def test_a_damaged_registry_is_not_backed_up(full, place, tmp_path):
    place.tamper("update audit set why = 'no reason' where seq = 1")
    with pytest.raises(DataError) as error:
        full.backup(tmp_path / "backup.db")
    assert error.value.code == "BACKUP_DAMAGED"
    assert not (tmp_path / "backup.db").exists()


def test_what_is_no_backup_is_refused(registry, tmp_path):
    with pytest.raises(StateError) as empty:
        registry.backup(tmp_path / "backup.db")
    assert empty.value.code == "REGISTRY_EMPTY"
    with pytest.raises(DataError) as missing:
        restore(tmp_path / "nowhere.db", tmp_path / "restored.db")
    assert missing.value.code == "BACKUP_MISSING"
    (tmp_path / "text.db").write_text("no database " * 1_000)
    with pytest.raises(DataError) as text:
        restore(tmp_path / "text.db", tmp_path / "restored.db")
    assert text.value.code == "REGISTRY_UNREADABLE"
    assert not (tmp_path / "restored.db").exists()


@pytest.mark.slow_on("postgresql")
def test_killed_in_a_backup_or_a_restoration_it_is_there_whole_or_not_at_all(full, place, tmp_path):
    file, target = tmp_path / "backup.db", place.part("restored")
    killed_at("backup:written", BACKUP, full.root, place.location, file)
    assert not file.exists()
    full.backup(file)
    copy = Registry(full.root, database=target.location)
    killed_at("restore:half", RESTORE, file, target.location)
    assert copy.experiments().rows == ()
    killed_at("restore:committed", RESTORE, file, target.location)
    assert content(copy) == content(full)
