"""JSON Schema of every kind of definition, generated from what checks them."""

from typing import Any

from pydantic import BaseModel

from uplift.contacts.policy import ContactPolicy
from uplift.errors import DefinitionError
from uplift.experiment import Experiment, PlannedMetric
from uplift.metrics import MetricFile
from uplift.objectives import ObjectiveFile

DRAFT = "https://json-schema.org/draft/2020-12/schema"
MODELS: dict[str, type[BaseModel]] = {
    "experiment": Experiment,
    "metrics": MetricFile,
    "objectives": ObjectiveFile,
    "contact_policy": ContactPolicy,
}
CITED = {"type": "string", "pattern": "^[a-z][a-z0-9_]*@[1-9][0-9]*$"}  # e.g. spend_28d@1


def schema_of(what: str) -> dict[str, Any]:
    """The schema (draft 2020-12) of a definition file. Errors: SCHEMA_UNKNOWN."""
    if what not in MODELS:
        raise DefinitionError(
            f"There is no schema {what!r}. Schemas: {', '.join(MODELS)}.", code="SCHEMA_UNKNOWN"
        )
    found = MODELS[what].model_json_schema()
    planned = found.get("$defs", {}).get(PlannedMetric.__name__)
    if planned is not None:  # a metric may be written out or cited by its key
        planned["properties"]["metric"] = {"anyOf": [planned["properties"]["metric"], CITED]}
    return {"$schema": DRAFT, **found}
