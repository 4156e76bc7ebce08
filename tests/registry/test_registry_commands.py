"""`uplift registry`: verify, backup, restore, migrate."""

import json
import sys

import pytest

from uplift.cli import main
from uplift.cli.registry import registry_app
from uplift.registry.registry import Registry

ID = "hillstrom_email"
COMMANDS = [command.callback.__name__ for command in registry_app.registered_commands]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command of the group; gives exit code, standard output, standard error."""

    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["uplift", "registry", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_registry_has_help_with_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"uplift registry {command}" in out


def test_an_edited_byte_is_told_with_exit_1_and_an_unreadable_file_with_2(run, sealed, place):
    where = ("--root", sealed.root, "--database", place.location)
    code, out, _ = run("verify", *where)
    assert (code, "audit_chain" in out) == (0, True)
    place.tamper("update audit set why = 'another' where seq = 1")
    code, out, _ = run("verify", *where, "--json")
    failed = [check for check in json.loads(out)["checks"] if not check["passed"]]
    assert code == 1
    assert {check["code"] for check in failed} == {"CHAIN_BROKEN", "CONTENTS_CHANGED"}
    place.tamper("update schema_version set version = 99")
    code, out, err = run("verify", *where)
    assert (code, out) == (2, "")
    assert err.startswith("SCHEMA_NEWER: ")


def test_a_registry_is_backed_up_and_restored_by_command(run, sealed, place, tmp_path):
    file, other = tmp_path / "monday.db", tmp_path / "other"
    where = ("--root", sealed.root, "--database", place.location)
    code, out, _ = run("backup", file, *where)
    assert (code, f"wrote {file}" in out, out.splitlines()[0]) == (0, True, "Backup")
    code, out, _ = run("restore", file, "--root", other, "--json")
    assert (code, json.loads(out)["n_changes"]) == (0, 2)
    assert Registry(other / "experiments").state(ID) == "sealed"
    code, out, _ = run("restore", file, "--root", tmp_path / "again")
    assert (code, out.splitlines()[0]) == (0, "Registry restored from")
    code, _, err = run("restore", file, "--root", other)
    assert (code, err.split(":")[0]) == (2, "REGISTRY_NOT_EMPTY")
    assert run("backup", file, *where)[0] == 2


def test_a_new_registry_gets_the_newest_schema_by_command(run, place, tmp_path):
    where = ("--root", tmp_path, "--database", place.location)
    assert run("migrate", *where)[1] == "schema 0 → 3\n"
    code, out, _ = run("migrate", *where, "--json")
    assert (code, json.loads(out)) == (0, {"schema_before": 3, "schema": 3})
