"""A new project begins with files that load, pass lint and can be sealed."""

import json
from datetime import date
from pathlib import Path

import jsonschema
import pytest
import yaml

from uplift.campaign import Campaign
from uplift.checks import blocked_by
from uplift.errors import DefinitionError
from uplift.experiment import load_experiment
from uplift.lint import lint
from uplift.project import EXAMPLE, new_project

TODAY = date(2026, 3, 4)  # a Wednesday


@pytest.fixture
def project(tmp_path):
    return new_project(tmp_path, today=TODAY)


def test_the_example_passes_lint_and_is_sealed(project):
    folder = project.root / "experiments"
    assert not blocked_by(lint(folder, n_units=200_000).checks)
    campaign = Campaign(folder / EXAMPLE)
    campaign.design(n_units=200_000)
    campaign.seal()
    assert campaign.registry.state(EXAMPLE) == "sealed"


def test_the_example_starts_on_a_monday_four_weeks_later(project):
    launch = load_experiment(project.root / "experiments" / EXAMPLE).schedule.starts_at
    assert (launch.weekday(), (launch.date() - TODAY).days) == (0, 33)


def test_every_definition_names_the_schema_that_it_satisfies(project):
    for file in project.root.rglob("*.yaml"):
        first, *_ = text = file.read_text().splitlines()
        assert first.startswith("# yaml-language-server: $schema=")
        schema = yaml.safe_load((file.parent / first.partition("=")[2]).read_text())
        given = json.loads(json.dumps(yaml.safe_load("\n".join(text)), default=str))
        jsonschema.Draft202012Validator(schema).validate(given)


def test_what_is_there_is_kept(project):
    file = project.root / "experiments" / "metrics.yaml"
    file.write_text(file.read_text() + "# ours\n")
    schema = project.root / "experiments" / "schemas" / "metrics.schema.json"
    schema.write_text("{}")
    again = new_project(project.root, today=TODAY)
    assert file.read_text().endswith("# ours\n")
    assert again.wrote == (schema,)
    assert file in again.kept


def test_a_name_that_is_a_path_is_refused(tmp_path):
    with pytest.raises(DefinitionError) as caught:
        new_project(tmp_path, example="../etc")
    assert caught.value.code == "NAME_INVALID"
    assert not list(Path(tmp_path).iterdir())
