"""History cannot be rewritten unnoticed: the database refuses, and verification finds."""

import random
import sqlite3
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.registry.places import fill
from uplift.checks import blocked_by
from uplift.errors import DataError, StateError, UpliftError
from uplift.registry.tables import SCHEMA_VERSION, metadata
from uplift.registry.verification import verify, verify_content

ID = "hillstrom_email"
COLUMNS = ["from_state", "to_state", "action", "digest", "who", "why", "at", "payload"]


def codes(registry) -> set[str]:
    return {check.code for check in blocked_by(registry.verify())}


@contextmanager
def without_triggers(registry, place):
    """A connection that goes around the registry, and is never committed."""
    with registry._database.store.writer.connect() as connection:
        if place.kind == "sqlite":
            connection.exec_driver_sql("pragma defer_foreign_keys = on")
            query = "select name from sqlite_master where type = 'trigger'"
            for name in connection.exec_driver_sql(query).scalars().all():
                connection.exec_driver_sql(f"drop trigger {name}")
        else:
            connection.exec_driver_sql("set session_replication_role = replica")
        yield connection


def found_after(connection, root, statement):
    """The failed checks after a statement, which is taken back."""
    savepoint = connection.begin_nested()
    connection.exec_driver_sql(statement)
    found = {check.code: check.value for check in blocked_by(verify(connection, root))}
    savepoint.rollback()
    return found


def test_one_added_character_of_the_trail_is_found(sealed, place):
    sealed.audit(ID, "note", {"a": 1}, who="ada", why="because")
    with without_triggers(sealed, place) as connection:
        for column in [*COLUMNS, "previous_hash", "hash"]:
            edit = f"update audit set {column} = {column} || ' ' where seq = 2"
            assert found_after(connection, sealed.root, edit)["CHAIN_BROKEN"] == "row 2", column
    assert not blocked_by(sealed.verify())


def test_a_removed_or_moved_row_of_the_trail_is_found(sealed, place):
    sealed.audit(ID, "note", who="ada")
    sealed.audit(ID, "note", who="bob")
    with without_triggers(sealed, place) as connection:
        for statement in (
            "delete from audit where seq = 2",
            "delete from audit where seq = 4",  # the end of the trail
            "update audit set seq = 9 where seq = 3",
            "update audit_head set seq = 3",
            "delete from audit_head",
        ):
            assert "CHAIN_BROKEN" in found_after(connection, sealed.root, statement), statement


def test_nothing_is_written_after_a_trail_whose_end_is_lost(sealed, place):
    place.tamper("delete from audit_head")
    assert "CHAIN_BROKEN" in codes(sealed)
    with pytest.raises(DataError, match="end of its trail"):
        sealed.audit(ID, "note")


BESIDE_THE_TRAIL = (
    ("update experiments set state = 'read'", "DEFINITION_CHANGED"),
    ("update experiments set decision = 'scale'", "DEFINITION_CHANGED"),
    ("update experiments set digest = 'x'", "DEFINITION_CHANGED"),
    (
        "update experiments set definition = replace(definition, 'Men', 'Hen')",
        "DEFINITION_CHANGED",
    ),
    ("update amendments set change = 'harmless'", "AMENDMENT_CHANGED"),
    ("delete from amendments", "AMENDMENT_CHANGED"),
    ("update artefacts set sha256 = 'x'", "FILE_CHECKSUM"),
    ("update metrics set definition = '{}'", "METRIC_CHANGED"),
    ("delete from metrics", "CONTENTS_CHANGED"),
    ("delete from control_cohorts", "CONTENTS_CHANGED"),
    ("delete from cohort_members", "CONTENTS_CHANGED"),
    ("delete from export_lines", "CONTENTS_CHANGED"),
    ("update export_batches set status = 'planned'", "CONTENTS_CHANGED"),
    ("update leases set fencing = 1", "CONTENTS_CHANGED"),
    ("delete from contents where name = 'leases'", "CONTENTS_CHANGED"),
    (
        "insert into export_lines values ('hillstrom_email', 'w1', 'u9', 'email', 'b1')",
        "CONTENTS_CHANGED",
    ),
)


def test_a_change_beside_the_trail_is_found(sealed, place):
    (sealed.root / "file.txt").write_text("content")
    sealed.record(ID, "file", sealed.root / "file.txt")
    sealed.amend(ID, "window 28 days", why="late data")
    fill(sealed)
    assert not blocked_by(sealed.verify())
    with without_triggers(sealed, place) as connection:
        for statement, code in BESIDE_THE_TRAIL:
            found = found_after(connection, sealed.root, statement)
            assert set(found) == {code, "CONTENTS_CHANGED"}, statement


def test_a_changed_file_is_found(sealed):
    path = sealed.root / "file.txt"
    path.write_text("content")
    sealed.advance(ID, "assigned", artefacts={"file": path})
    path.write_text("Content")
    (failed,) = blocked_by(sealed.verify())
    assert (failed.name, failed.code) == (f"artefact {ID}/file", "FILE_CHECKSUM")
    path.unlink()
    assert blocked_by(sealed.verify())[0].value == "missing"


@pytest.mark.slow_on("postgresql")
@pytest.mark.parametrize("n_edits", [120, pytest.param(1_000, marks=pytest.mark.slow)])
def test_every_edited_byte_is_found(sealed, place, n_edits):
    (sealed.root / "file.txt").write_text("content")
    sealed.advance(ID, "assigned", artefacts={"file": sealed.root / "file.txt"})
    sealed.amend(ID, "window 28 days", why="späte Daten")
    fill(sealed)
    chance, missed = random.Random(7), []
    with without_triggers(sealed, place) as connection:
        assert not blocked_by(verify_content(connection))
        cells = list(_cells(connection, "rowid" if place.kind == "sqlite" else "ctid"))
        n_done = 0
        while n_done < n_edits:
            table, column, row, value = chance.choice(cells)
            sql, new = _edited(value, chance, any_byte=place.kind == "sqlite")
            savepoint = connection.begin_nested()
            try:
                connection.execute(
                    text(f"update {table} set {column} = {sql} where {row}"), {"new": new}
                )
            except IntegrityError:  # the number of another row
                savepoint.rollback()
                continue
            n_done += 1
            try:
                found = bool(blocked_by(verify_content(connection)))
            except DBAPIError:  # a byte that is no text: the registry calls itself unreadable
                found = True
            savepoint.rollback()
            if not found:
                missed.append((table, column, value, new))
        assert not blocked_by(verify_content(connection))  # each edit was taken back
    assert missed == []


def _cells(connection, address):
    """Every value that is stored, with the address of its row."""
    for table in metadata.sorted_tables:
        if table.name == "schema_version":
            continue  # an edited one is refused: see below
        query = text(f"select {address} as address, * from {table.name}")
        for row in connection.execute(query).mappings():
            for column in table.columns:
                if row[column.name] not in (None, ""):
                    where = f"{address} = '{row['address']}'"
                    yield table.name, column.name, where, row[column.name]


def _edited(value, chance, *, any_byte):
    """SQL and parameter of the value with one byte changed."""
    if isinstance(value, int):
        return ":new", value ^ (1 << chance.randrange(20))
    raw = bytearray(value.encode())
    place = chance.randrange(len(raw))
    if any_byte:
        raw[place] ^= chance.randrange(1, 256)
        return "cast(:new as text)", bytes(raw)
    place = next(i % len(raw) for i in range(place, place + len(raw)) if raw[i % len(raw)] < 128)
    raw[place] = chance.choice([c for c in range(32, 127) if c != raw[place]])
    return ":new", raw.decode()


@pytest.mark.parametrize(
    ("version", "code"), [(0, "REGISTRY_UNREADABLE"), (SCHEMA_VERSION + 1, "SCHEMA_NEWER")]
)
def test_an_older_program_refuses_a_newer_schema(sealed, place, experiment, version, code):
    place.tamper(f"update schema_version set version = {version}")
    for attempt in (
        lambda: sealed.state(ID),
        lambda: sealed.add(experiment),
        sealed.verify,
        sealed.migrate,
    ):
        with pytest.raises(UpliftError, match=f"schema {version}|found {version}") as error:
            attempt()
        assert error.value.code == code


REWRITING = (
    "update audit set who = 'eve'",
    "delete from audit",
    "update amendments set change = 'harmless'",
    "update experiments set definition = '{}'",
    "update experiments set objective = 'another'",
    "delete from experiments",
    "update metrics set definition = '{}'",
    "delete from metrics",
    "delete from cohort_members",
    "update cohort_members set unit = 'another'",
    "delete from control_cohorts",
    "update control_cohorts set cohort = '2'",
    "update control_cohorts set until_at = '2027'",
    "update export_lines set unit = 'other'",
    "delete from export_lines",
    "delete from export_batches",
    "update export_batches set fencing = 1",
    "update export_batches set wave = 'w2'",
    "update leases set fencing = 1",
    "update leases set holder = 'another'",
    "delete from leases",
)


def test_the_database_itself_refuses_to_rewrite_what_was_written(sealed, place):
    sealed.amend(ID, "window 28 days", why="late data")
    fill(sealed)
    for statement in REWRITING:
        with (
            pytest.raises((sqlite3.IntegrityError, psycopg.errors.IntegrityError)),
            place.connect() as connection,
        ):
            connection.execute(statement)
    assert not blocked_by(sealed.verify())


def test_neither_replacing_nor_emptying_goes_around_the_refusal(sealed, place):
    trick = "insert or replace into audit select * from audit"
    if place.kind == "postgresql":
        trick = "truncate audit, amendments"
    with (
        pytest.raises((sqlite3.IntegrityError, psycopg.errors.IntegrityError)),
        place.connect() as connection,
    ):
        connection.execute(trick)


def test_a_decision_is_taken_once_for_the_database_too(sealed, place):
    for state in ("assigned", "live", "maturing", "read"):
        sealed.advance(ID, state)
    sealed.decide(ID, "stop", "harm")
    with (
        pytest.raises((sqlite3.IntegrityError, psycopg.errors.IntegrityError)) as error,
        place.connect() as connection,
    ):
        connection.execute("update experiments set decision = 'scale'")
    assert "decision is taken once" in str(error.value)


def test_a_row_that_is_there_already_is_refused_with_a_code(sealed):
    fill(sealed)
    with pytest.raises(StateError) as error:
        fill(sealed)
    assert error.value.code == "ROW_REFUSED"
    assert not blocked_by(sealed.verify())
