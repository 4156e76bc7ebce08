"""The page on design shows what its commands print, line by line.

A command is a line that begins with `$`; what it prints follows. `...` stands for lines left out,
`…` for what differs by the machine.
"""

import re
import shlex
import sys
from pathlib import Path

import pytest

from uplift.cli import main

PAGE = Path("docs") / "design.md"
NEEDS_A_TABLE = "--history"


def commands(root) -> list[tuple[str, list[str]]]:
    """Every command of the page and the lines shown of what it prints."""
    found: list[tuple[str, list[str]]] = []
    text = (root / PAGE).read_text(encoding="utf-8")
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line != "...":
                found[-1][1].append(line)
    return found


def substituted(words: list[str], project) -> None:
    """`sed -i s/old/new/ FILE`, as the page changes a definition."""
    _, old, new, _ = words[2].split("/")
    file = project / words[3]
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def printed_by(words: list[str], monkeypatch, capsys) -> list[str]:
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr()
    return [line.rstrip() for line in (told.out + told.err).splitlines()]


def require_shown(shown: list[str], printed: list[str]) -> None:
    """Every shown line is printed, in the same order."""
    rest = iter(printed)
    for line in shown:
        pattern = ".*".join(map(re.escape, line.rstrip().split("…")))
        assert any(re.fullmatch(pattern, other) for other in rest), line


def walk(chosen, project, monkeypatch, capsys) -> None:
    monkeypatch.chdir(project)
    for command, shown in chosen:
        words = shlex.split(command)
        if words[0] == "sed":
            substituted(words, project)
        else:
            assert words[0] == "uplift"
            require_shown(shown, printed_by(words, monkeypatch, capsys))


def test_the_page_on_design_shows_what_its_commands_print(
    root, new_project, tmp_path, monkeypatch, capsys
):
    found = [one for one in commands(root) if NEEDS_A_TABLE not in one[0]]
    assert {command.split()[1] for command, _ in found} >= {"lint", "design", "seal", "amend"}
    walk(found, new_project(tmp_path), monkeypatch, capsys)


@pytest.mark.slow
def test_the_page_on_design_shows_what_its_commands_print_of_customers(
    root, new_project, tmp_path, monkeypatch, capsys
):
    from uplift.datasets import plasmode_campaign

    found = [one for one in commands(root) if "customers.parquet" in one[0]]
    assert len(found) == 2
    plasmode_campaign().customers.to_parquet(tmp_path / "customers.parquet")
    walk(found, new_project(tmp_path), monkeypatch, capsys)


@pytest.mark.slow
def test_the_page_on_design_shows_the_rehearsal_of_the_real_control(
    root, new_project, tmp_path, monkeypatch, capsys, hillstrom_file
):
    from uplift.datasets import hillstrom

    found = [one for one in commands(root) if "untouched.parquet" in one[0]]
    assert len(found) == 1
    real = hillstrom(hillstrom_file)
    table = real.customers.merge(real.outcomes, on="unit")
    control = (real.assigned["arm"] == "control").to_numpy()
    table[control].to_parquet(tmp_path / "untouched.parquet")
    walk(found, new_project(tmp_path), monkeypatch, capsys)


def test_a_line_that_is_not_printed_is_found_out():
    with pytest.raises(AssertionError):
        require_shown(["64,000 customers"], ["64,001 customers"])
    with pytest.raises(AssertionError):
        require_shown(["second", "first"], ["first", "second"])
