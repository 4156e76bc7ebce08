"""Where the tests find what is not part of the project."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.postgres_server import PostgresMissing, PostgresServer, running_postgres

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data beside the checkout; without it the test is skipped, except in CI."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have the reference data at {folder}")
        pytest.skip(f"reference data are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def hillstrom_file(shared: Path) -> Path:
    """The real e-mail test, as published."""
    return shared / "data" / "hillstrom.csv.gz"


@pytest.fixture(scope="session")
def new_project(root: Path) -> Callable[[Path], Path]:
    """Make a folder a project of its own: the definitions that are shipped, and nothing else."""

    def make(folder: Path) -> Path:
        for file in sorted((root / "experiments").rglob("*.yaml")):
            copy = folder / file.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        return folder

    return make


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL, started when the first test asks and stopped when the last has run."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(running_postgres())
        except PostgresMissing as missing:
            if os.environ.get("CI") == "true":
                pytest.fail(f"CI must have PostgreSQL. {missing}")
            pytest.skip(str(missing))
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the test's own."""
    with postgres_server.fresh_database() as url:
        yield url
