"""Where the tests find what is not part of the project."""

import os
from pathlib import Path

import pytest

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
