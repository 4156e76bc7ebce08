"""An old registry becomes a new one whole or not at all, and nothing of it is lost."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from uplift.checks import blocked_by
from uplift.errors import DataError
from uplift.registry.backup import restore
from uplift.registry.protection import VERSION_1, statements
from uplift.registry.registry import Registry
from uplift.registry.tables import SCHEMA_VERSION

ID = "hillstrom_email"
VERSION_1_FILE = Path(__file__).parent / "version_1.sql"
MIGRATE = "import sys; from uplift.registry.registry import Registry; "
MIGRATE += "Registry(sys.argv[1], database=sys.argv[2]).migrate()"


@pytest.fixture
def old(place, tmp_path):
    """A registry as the first schema wrote it."""
    (tmp_path / "file.txt").write_text("content")
    script = VERSION_1_FILE.read_text()
    with place.connect(around_triggers=place.kind == "postgresql") as connection:
        if place.kind == "sqlite":
            connection.execute("pragma foreign_keys = off")
            connection.executescript(script)
        else:
            for statement in as_postgresql(script):
                connection.execute(statement)
    return Registry(tmp_path, database=place.location)


def as_postgresql(script):
    """The same tables, rows and triggers in PostgreSQL's words; tables before their references."""
    plain = re.sub(r"^CREATE TRIGGER .*$|^BEGIN.*$|^COMMIT.*$|^--.*$", "", script, flags=re.M)
    plain = plain.replace(" STRICT", "")
    for column in ("seq",):
        plain = plain.replace(f"{column} INTEGER", f"{column} BIGINT")
    found = [part.strip() for part in re.split(r";\n(?=CREATE|INSERT|\n)", plain) if part.strip()]
    order = ["experiments", "audit", ""]
    tables = [part for part in found if part.startswith("CREATE TABLE")]
    tables.sort(key=lambda part: order.index(name_of(part) if name_of(part) in order else ""))
    rows = [part for part in found if part.startswith("INSERT")]
    rest = [part for part in found if part not in tables and part not in rows]
    return [*tables, *rest, *statements(VERSION_1, dialect="postgresql"), *rows]


def name_of(statement):
    return statement.split()[2]


def version_in(place):
    with place.connect() as connection:
        return connection.execute("select version from schema_version").fetchall()


def test_an_old_registry_can_be_read_without_being_changed(old, place):
    assert old.state(ID) == "decided"
    assert old.definition(ID).title.startswith("Men's")
    assert [one.change for one in old.amendments(ID)] == ["window 28 days"]
    assert not blocked_by(old.verify())
    assert version_in(place) == [(1,)]


def test_the_first_writer_migrates_an_old_registry(old, place):
    before = old.history().rows
    old.audit(ID, "note", who="ada")
    assert version_in(place) == [(SCHEMA_VERSION,)]
    assert old.history().rows[:-1] == before
    assert not blocked_by(old.verify())
    with place.connect() as connection:
        query = "select parent, objective, decision from experiments"
        (found,) = connection.execute(query).fetchall()
    assert found == (None, "grow_revenue_of_existing_customers", "retest")
    assert old.migrate() == SCHEMA_VERSION


def test_a_migrated_registry_has_the_schema_of_a_new_one(old, place, tmp_path):
    new = place.part("fresh")
    assert Registry(tmp_path, database=new.location).migrate() == 0
    assert schema_of(place) != schema_of(new)
    assert old.migrate() == 1
    assert schema_of(place) == schema_of(new)


def schema_of(place):
    """Columns, keys, indexes and triggers, without the way they were written."""
    with place.connect() as connection:
        if place.kind == "sqlite":
            query = "select name from sqlite_master where type = 'table' order by name"
            tables = [name for (name,) in connection.execute(query).fetchall()]
            about = ("table_info", "foreign_key_list", "index_list")
            parts = {  # without the number of each, which says in which order they were made
                f"{what} {name}": sorted(
                    str(row[1:]) for row in connection.execute(f"pragma {what}({name})")
                )
                for name in tables
                for what in about
            }
            query = "select name, sql from sqlite_master where type = 'trigger' order by name"
            return {**parts, "triggers": connection.execute(query).fetchall()}
        queries = {
            "columns": "select table_name, column_name, data_type, is_nullable, column_default "
            "from information_schema.columns where table_schema = current_schema()",
            "indexes": "select tablename, replace(indexdef, schemaname || '.', '') from pg_indexes "
            "where schemaname = current_schema()",
            "constraints": "select conrelid::regclass::text, pg_get_constraintdef(oid) "
            "from pg_constraint where connamespace = current_schema()::regnamespace",
            "triggers": "select replace(pg_get_triggerdef(t.oid), current_schema() || '.', '') "
            "from pg_trigger t join pg_class c on c.oid = tgrelid where not tgisinternal "
            "and c.relnamespace = current_schema()::regnamespace",
        }
        return {name: sorted(map(str, connection.execute(q))) for name, q in queries.items()}


def test_the_backup_of_an_old_registry_restores_into_a_new_one(old, tmp_path):
    old.backup(tmp_path / "backup.db")
    before = (tmp_path / "backup.db").read_bytes()
    restore(tmp_path / "backup.db", tmp_path / "restored.db")
    assert (tmp_path / "backup.db").read_bytes() == before
    copy = Registry(tmp_path, database=tmp_path / "restored.db")
    assert copy.history().rows == old.history().rows
    assert not blocked_by(copy.verify())
    assert copy.migrate() == SCHEMA_VERSION


@pytest.mark.slow_on("postgresql")
@pytest.mark.parametrize("point", ["begun", "half", "written", "committed"])
def test_killed_in_a_migration_the_schema_is_old_or_new(old, place, point):
    process = subprocess.run(
        [sys.executable, "-c", MIGRATE, str(old.root), place.location],
        env={**os.environ, "UPLIFT_FAIL_AT": f"migration:{point}"},
        check=False,
    )
    assert process.returncode == -9
    assert version_in(place) == [(SCHEMA_VERSION if point == "committed" else 1,)]
    assert old.state(ID) == "decided"
    assert not blocked_by(old.verify())
    assert old.migrate() == (SCHEMA_VERSION if point == "committed" else 1)
    assert not blocked_by(old.verify())


def test_an_old_registry_that_cannot_be_read_is_not_migrated(old, place):
    place.tamper("update audit set payload = 'x' where action = 'decide'")
    with pytest.raises(DataError, match="not migrated") as error:
        old.migrate()
    assert error.value.code == "REGISTRY_UNREADABLE"
    assert version_in(place) == [(1,)]


def test_the_old_rows_are_kept_as_the_old_program_wrote_them(old):
    text = VERSION_1_FILE.read_text()
    old.migrate()
    for row in old.history().rows:
        assert row.hash in text
        assert row.write_key is None
        assert json.dumps(row.payload)
