"""Data that are read once for all tests of this folder."""

import pytest

from uplift.datasets.complete_journey import complete_journey


@pytest.fixture(scope="session")
def journey():
    """The tables that the default reads."""
    return complete_journey()
