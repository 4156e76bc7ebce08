"""Commands run in the process of the test, and what stands in a project."""

import functools
import hashlib
import io
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
import typer

from uplift.cli import main

GROUPS = ("control", "registry")  # commands of several words
one_command = functools.cache(typer.main.get_command)  # else made anew for each run: half its time


def run(*words) -> tuple[int, str, str]:
    """Run a command line; gives exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["uplift", *map(str, words)])
        patch.setattr(typer.main, "get_command", one_command)
        with pytest.raises(SystemExit) as stop:
            main()
    return int(stop.value.code or 0), out.getvalue(), err.getvalue()


def done(*words) -> str:
    code, out, err = run(*words)
    assert code == 0, (words, err)
    return out


def in_project(words, project) -> tuple:
    """A command's words with the project's folder as an option before its arguments."""
    n = 2 if words[0] in GROUPS else 1
    return (*words[:n], "--root", project, *words[n:])


def contents(project) -> dict[str, str]:
    """Every file of a project and the digest of its bytes."""
    return {
        str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(project.rglob("*"))
        if path.is_file()
    }
