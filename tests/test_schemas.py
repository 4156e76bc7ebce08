"""Editors check a definition while it is written, by a schema made of what checks it later."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from uplift.errors import DefinitionError
from uplift.schemas import MODELS, schema_of

DRAFT = "https://json-schema.org/draft/2020-12/schema"

SHIPPED = {
    "experiment": "experiments/spring_voucher/experiment.yaml",
    "metrics": "experiments/metrics.yaml",
    "objectives": "experiments/objectives.yaml",
    "contact_policy": "experiments/spring_voucher/contact_policy.yaml",
}


def plain(path):
    """A definition as an editor sees it: dates are text."""
    return json.loads(json.dumps(yaml.safe_load(Path(path).read_text()), default=str))


@pytest.mark.parametrize("what", MODELS)
def test_the_shipped_definitions_are_valid_by_their_schema(what):
    schema = schema_of(what)
    assert schema["$schema"] == DRAFT
    jsonschema.Draft202012Validator.check_schema(schema)
    given = plain(SHIPPED[what])
    jsonschema.Draft202012Validator(schema).validate(given)


def test_an_unknown_key_and_a_metric_without_a_version_are_marked():
    given = plain(SHIPPED["experiment"])
    validator = jsonschema.Draft202012Validator(schema_of("experiment"))
    assert list(validator.iter_errors({**given, "arm": []}))
    given["metrics"]["primary"]["metric"] = "spend_28d"
    assert list(validator.iter_errors(given))


def test_an_unknown_schema_is_refused_with_the_known_ones():
    with pytest.raises(DefinitionError, match="experiment, metrics") as caught:
        schema_of("arm")
    assert caught.value.code == "SCHEMA_UNKNOWN"


def marks(**fields):
    """How many mistakes an editor marks in the shipped experiment with other fields."""
    validator = jsonschema.Draft202012Validator(schema_of("experiment"))
    return len(list(validator.iter_errors({**plain(SHIPPED["experiment"]), **fields})))


def test_shares_are_numbers_or_fractions_and_times_need_no_zone():
    arms = [{"name": "control", "share": "1/3"}, {"name": "email", "share": 2 / 3}]
    assert marks(arms=arms) == 0
    assert marks(arms=[{**arms[0], "share": [1]}, arms[1]]) == 1
    schedule = {"timezone": "UTC", "response_days": 28}
    for good in ("2017-07-03T08:00:00", "2017-07-03 08:00", "2017-07-03", "2017-07-03T08:00:00Z"):
        assert marks(schedule={**schedule, "starts_at": good}) == 0
    assert marks(schedule={**schedule, "starts_at": "soon"}) == 1


def test_names_that_the_loader_refuses_are_marked():
    assert marks(id="Spring Voucher") == 1
    assert marks(assignment={"salt": "../etc"}) >= 1


def test_keys_are_explained_where_editors_show_it():
    parts = schema_of("experiment")["$defs"]
    planned = parts["PlannedMetric"]["properties"]
    assert planned["minimum_effect"]["description"].startswith("smallest relative effect")
    assert planned["expected_std_dev"]["description"].startswith("assumed at design")
    monitoring = parts["AnalysisPlan"]["properties"]["monitoring"]["description"]
    assert monitoring.endswith("`fixed`: one look at the end")
    assert parts["AssignmentPlan"]["properties"]["exposure_share"]["default"] == "1"
