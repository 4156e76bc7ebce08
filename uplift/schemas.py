"""JSON Schema of every kind of definition, generated from what checks them.

Editors complete keys, show what each means and mark mistakes while a definition is written.
"""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from uplift.contacts.policy import ContactPolicy
from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.metric_plan import PlannedMetric
from uplift.metrics import MetricFile
from uplift.objectives import ObjectiveFile
from uplift.table import to_plain

MODELS: dict[str, type[BaseModel]] = {
    "experiment": Experiment,
    "metrics": MetricFile,
    "objectives": ObjectiveFile,
    "contact_policy": ContactPolicy,
}
CITED = {"type": "string", "pattern": "^[a-z][a-z0-9_]*@[1-9][0-9]*$"}  # e.g. spend_28d@1
# not `format: date-time`, which asks for an offset: the schedule's time zone may stand for it
TIME = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$"
FROM_EXPERIMENT = ("currency", "channels")  # a policy in an experiment's folder may leave them out
KEY_LINE = re.compile(r"^([a-z_]+(?:, [a-z_]+)*) {2,}(\S.*)$")


class _Generator(GenerateJsonSchema):
    """pydantic's own, with times and defaults as they stand in YAML."""

    def datetime_schema(self, schema: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": TIME}

    def encode_default(self, dft: Any) -> Any:
        return to_plain(dft)


def schema_of(what: str) -> dict[str, Any]:
    """The schema (draft 2020-12) of a definition file. Errors: SCHEMA_UNKNOWN."""
    if what not in MODELS:
        raise DefinitionError(
            f"There is no schema {what!r}. Schemas: {', '.join(MODELS)}.", code="SCHEMA_UNKNOWN"
        )
    found = MODELS[what].model_json_schema(schema_generator=_Generator)
    parts = found.get("$defs", {})
    planned = parts.get(PlannedMetric.__name__)
    if planned is not None:  # a metric may be written out or cited by its key
        planned["properties"]["metric"] = {"anyOf": [planned["properties"]["metric"], CITED]}
    if what == "contact_policy":
        found["required"] = [key for key in found["required"] if key not in FROM_EXPERIMENT]
    for part in (found, *parts.values()):
        _explain(part)
    return {"$schema": _Generator.schema_dialect, **found}


def _explain(part: dict[str, Any]) -> None:
    """Move what a docstring says of each key to the key, where editors show it."""
    text = part.get("description", "")
    part["description"] = text.split("\n\n")[0].replace("\n", " ")
    meanings = dict(_meanings(text))
    for key, schema in part.get("properties", {}).items():
        schema.pop("title", None)  # the key again, in capitals
        if key in meanings and "$ref" not in schema:
            schema["description"] = meanings[key]


def _meanings(text: str) -> Iterator[tuple[str, str]]:
    """Keys and what they mean, from lines such as `margin  largest acceptable harm`."""
    keys: list[str] = []
    words: list[str] = []
    for line in [*text.splitlines(), ""]:
        found = KEY_LINE.match(line)
        if found is None and line.startswith(" ") and keys:
            words.append(line.strip())
            continue
        yield from ((key, " ".join(words)) for key in keys)
        keys = found.group(1).split(", ") if found else []
        words = [found.group(2)] if found else []
