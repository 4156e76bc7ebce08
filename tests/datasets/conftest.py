"""Data that are read once for all tests of this folder."""

import pytest

from uplift.datasets.journey import complete_journey
from uplift.datasets.plasmode import plasmode_campaign


@pytest.fixture(scope="session")
def journey():
    """The tables that the default reads."""
    return complete_journey()


@pytest.fixture(scope="session")
def campaign():
    """A plasmode campaign of 6,000 customers."""
    return plasmode_campaign(6_000, seed=7)
