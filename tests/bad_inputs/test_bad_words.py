"""Every command, walked over: no word brings it down, and every file that it reads has a door."""

import inspect
import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer
from typer.models import OptionInfo

from tests.bad_inputs.commands import contents, run
from tests.bad_inputs.doors import CONTROL, DOORS, SLOW_DOORS
from tests.bad_inputs.test_bad_doors import CODE
from uplift.cli import app

WORST = {
    str: [
        "",
        " ",
        "a\nb",
        "x" * 5_000,
        "../../etc/passwd",
        "x'; DROP TABLE t;--",
        "<script>alert(1)</script>",
        "nan",
        "-1",
        "1e999",
        "9999-12-31T23:59:59",
        "0001-01-01",
        "2017-03-26T02:30",
        "a\udc80",
        "=1+1",
        "{}",
        "1,2,x",
        ",",
    ],
    int: ["-1", "0", "1", str(2**63), str(-(2**70)), "1.5", "many"],
    float: ["-1", "0", "nan", "inf", "1e308", "-1e308", "many"],
}
NO_TABLES = {  # files that are no tables of customers, or are written
    ("init", "root"),
    ("do-not-contact", "file"),
    ("control members", "units"),
    ("registry backup", "file"),
    ("registry restore", "file"),
}
RIGHT = {("demo", "seed", "0"), ("demo", "seed", "1")}  # nothing wrong: the whole road, minutes
GIVEN = {  # words of arguments that must be there
    "name": "voucher",
    "campaign": "voucher",
    "parent": "voucher",
    "unit": "c000001",
    "new": "next_one",
    "change": "a day late",
    "why": "rain",
    "action": "stop",
    "words": "It does not pay.",
    "since": "2017-07-07",
    "history": "{customers}",
    "customers": "{customers}",
    "outcomes": "{outcomes}",
    "assigned": "{assigned}",
    "log": "{contacts}",
    "file": "{list}",
}
FILE = "THE-FILE"
ALSO = {"simulate": ("--replays=5", "--jobs=1"), "design": ("--n-units=1000",)}


@dataclass(frozen=True)
class Parameter:
    """An argument or option of a command, as its function declares it.

    option  its flag; "" of an argument
    """

    name: str
    kind: type
    option: str
    required: bool


def leaves(group: typer.Typer, before: str = "") -> Iterator[tuple[str, list[Parameter]]]:
    """Every command by the words that call it, and its parameters."""
    for info in group.registered_commands:
        name = info.name or info.callback.__name__.replace("_", "-")
        yield f"{before}{name}", list(parameters_of(info.callback))
    for info in group.registered_groups:
        yield from leaves(info.typer_instance, f"{info.typer_instance.info.name} ")


def parameters_of(function) -> Iterator[Parameter]:
    defaults = inspect.signature(function).parameters
    for name, hint in get_type_hints(function, include_extras=True).items():
        if name == "return":
            continue
        declared, info = get_args(hint)[:2]
        kinds = {str, int, float, bool, Path} & {declared, *flat(declared)}
        flag = next(iter(info.param_decls or ()), f"--{name.replace('_', '-')}")
        option = flag if isinstance(info, OptionInfo) else ""
        required = defaults[name].default is inspect.Parameter.empty
        yield Parameter(name, kinds.pop(), option, required)


def flat(hint) -> Iterator[Any]:
    """The types that a union or a list is of."""
    for part in get_args(hint):
        yield part
        yield from flat(part)


COMMANDS = dict(sorted(leaves(app)))


def test_every_command_is_walked():
    assert len(COMMANDS) >= 40
    assert {"control total", "registry verify", "do-not-contact", "demo"} <= set(COMMANDS)


def test_every_file_that_a_command_reads_has_its_door():
    """A new command that reads a table must get a door, or a reason here."""
    doors = [" ".join(map(str, door.words(FILE))) for door in (*DOORS, *SLOW_DOORS) if door.words]
    assert not [
        (name, parameter.name)
        for name, parameters in COMMANDS.items()
        for parameter in parameters
        if parameter.kind is Path
        and parameter.name != "root"
        and (name, parameter.name) not in NO_TABLES
        and not any(is_door(words, name, parameter) for words in doors)
    ]


def is_door(words: str, name: str, parameter: Parameter) -> bool:
    if not words.startswith(f"{name} "):
        return False
    if parameter.option:
        return f"{parameter.option} {FILE}" in words
    return FILE in words and not re.search(f"--[a-z-]+ {FILE}", words)


def called(name: str, stages, project: Path, given: dict[str, str]) -> list[str]:
    """The command with the words given, and what else it needs."""
    needed = {one.name: stages.told([GIVEN[one.name]])[0] for one in COMMANDS[name] if one.required}
    if name.startswith("control"):
        needed["name"] = CONTROL
    needed["root"] = str(project)
    options, arguments = list(ALSO.get(name, ())), []
    for parameter in COMMANDS[name]:
        word = given.get(parameter.name, needed.get(parameter.name))
        if word is None:
            continue
        if parameter.option:
            options.append(f"{parameter.option}={word}")
        else:
            arguments.append(word)
    return [*name.split(), *options, "--", *arguments]


def tries(name: str) -> Iterator[tuple[str, str]]:
    """Each option and argument with each of the worst words."""
    for parameter in COMMANDS[name]:
        for word in WORST.get(parameter.kind, ()):
            if (name, parameter.name, word) not in RIGHT:
                yield parameter.name, word


def walk(name: str, found, stages, folder: Path) -> None:
    source = stages.of("rotated")
    project, before = folder / "walked", contents(source)
    for option, word in found:
        if not project.exists():
            shutil.copytree(source, project)
        code, out, err = run(*called(name, stages, project, {option: word}))
        assert code in (0, 1, 2), (option, word)
        assert "Traceback" not in out + err, (option, word)
        if code != 2:
            shutil.rmtree(project)
            continue
        assert CODE.match(err) or "Usage" in err, (option, word, err)
        assert contents(project) == before, (option, word)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_word_brings_a_command_down(name, stages, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a database is made where it is told, also here
    found = list(tries(name))
    walk(name, random.Random(name).sample(found, min(1, len(found))), stages, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_word_of_all_brings_a_command_down(name, stages, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    walk(name, tries(name), stages, tmp_path)
