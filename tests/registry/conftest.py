"""Every test of the registry runs on both engines."""

import json
from types import SimpleNamespace

import pytest

from tests.registry.places import KINDS, Place, sqlite_place
from uplift.experiment import load_experiment
from uplift.registry.registry import Registry

ID = "hillstrom_email"


def pytest_generate_tests(metafunc):
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", KINDS, scope="module")


@pytest.hookimpl(tryfirst=True)  # before slow tests are left out
def pytest_collection_modifyitems(items):
    """`slow_on("postgresql")` puts a test of one engine into the slow tier."""
    for item in items:
        marker = item.get_closest_marker("slow_on")
        kind = getattr(item, "callspec", None) and item.callspec.params.get("kind")
        if marker and kind in marker.args:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def experiment(root):
    return load_experiment(root / "experiments" / ID)


@pytest.fixture(scope="module")
def promised(experiment):
    """Stands for a design, so that no statistics are loaded here."""
    return SimpleNamespace(to_json=lambda: json.dumps({"digest": experiment.digest}))


@pytest.fixture(scope="module")
def postgres_url_of_module(postgres_server):
    """One database for the tests of a module, which make schemas of their own in it."""
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture
def place(kind, tmp_path, request):
    """An empty database."""
    if kind == "sqlite":
        return sqlite_place(tmp_path)
    return Place(kind, request.getfixturevalue("postgres_url"))


@pytest.fixture
def registry(place, tmp_path):
    return Registry(tmp_path, database=place.location)


@pytest.fixture
def sealed(registry, experiment, promised):
    registry.seal(experiment, promised, who="ada", why="agreed")
    return registry
