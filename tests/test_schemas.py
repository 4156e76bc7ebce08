"""Editors check a definition while it is written, by a schema made of what checks it later."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from uplift.errors import DefinitionError
from uplift.schemas import DRAFT, MODELS, schema_of

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
    if what == "contact_policy":  # currency, channels and offers come from the experiment
        given = {"currency": "USD", "channels": {}, "offers": {}, **given}
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
