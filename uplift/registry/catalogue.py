"""The metrics that sealed experiments use: a key means one definition, for ever.

Two experiments that cite `spend_14d@2` read the same number on the same rows, because the registry
refuses the second definition of a key.
"""

import hashlib
import json
from collections.abc import Iterable

from sqlalchemy import Connection, select

from uplift.errors import DefinitionError
from uplift.metrics import Metric
from uplift.registry.contents import find_row, insert_rows
from uplift.registry.tables import metrics
from uplift.table import canonical_json


def require_same_metrics(connection: Connection, used: Iterable[Metric]) -> None:
    """Refuse a metric whose key a sealed experiment uses with another definition.

    Errors: METRIC_CHANGED, naming what differs.
    """
    for metric in used:
        row = find_row(connection, metrics, {"key": metric.key})
        if row is not None and row["digest"] != _digest(metric):
            raise DefinitionError(
                f"Metric {metric.key} was sealed by {row['first_experiment']} with another "
                f"{' and '.join(_changed(metric, row['definition']))}. A changed definition needs "
                f"a new version: call it {metric.name}@{metric.version + 1}.",
                code="METRIC_CHANGED",
                column=metric.column,
            )


def keep_metrics(
    connection: Connection, used: Iterable[Metric], *, experiment_id: str, at: str
) -> None:
    """Remember the metrics of an experiment that is being sealed; known ones stay as they are."""
    require_same_metrics(connection, used := tuple(used))
    known = {row.key for row in connection.execute(select(metrics.c.key))}
    new = {metric.key: metric for metric in used if metric.key not in known}
    rows = [
        {
            "key": key,
            "digest": _digest(metric),
            "definition": _definition(metric),
            "first_experiment": experiment_id,
            "at": at,
        }
        for key, metric in new.items()
    ]
    insert_rows(connection, metrics, rows)


def sealed_metrics(connection: Connection) -> tuple[Metric, ...]:
    """Every metric that a sealed experiment uses, by key."""
    rows = connection.execute(select(metrics.c.definition).order_by(metrics.c.key))
    return tuple(Metric(**json.loads(row.definition)) for row in rows)


def _definition(metric: Metric) -> str:
    return canonical_json(metric.model_dump(exclude_defaults=True))


def _digest(metric: Metric) -> str:
    return hashlib.sha256(_definition(metric).encode()).hexdigest()


def _changed(metric: Metric, definition: str) -> list[str]:
    """Names of what differs between a metric and a stored definition."""
    before = Metric(**json.loads(definition))
    return [name for name in Metric.model_fields if getattr(metric, name) != getattr(before, name)]
