"""From one test to the next: a child experiment starts from its parent's definition and result."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from uplift.errors import DefinitionError, StateError
from uplift.experiment import Experiment, PlannedMetric, Prior
from uplift.registry.contents import find_row
from uplift.registry.states import position
from uplift.registry.tables import experiments
from uplift.table import to_plain

Payload = Mapping[str, Any]
Effects = Mapping[str, tuple[float, float]]  # metric key → relative effect and its standard error


def require_parent(connection: Connection, experiment: Experiment) -> None:
    """Refuse an experiment whose parent is not registered, or is itself.

    A parent is registered before its children and never changes afterwards, so lineages have no
    cycles. Errors: PARENT_UNKNOWN.
    """
    parent = experiment.parent
    if parent is None:
        return
    if parent == experiment.id or find_row(connection, experiments, {"id": parent}) is None:
        raise DefinitionError(
            f"{experiment.id}: its parent {parent!r} is not another experiment of this registry. "
            "Register the parent first, or leave it out.",
            code="PARENT_UNKNOWN",
        )


def child_of(
    parent: Experiment, new_id: str, *, state: str, decision: str | None, effects: Effects
) -> Experiment:
    """A draft that goes on where a decided experiment ended.

    Arms, audience, metrics and plan are the parent's, to be edited; each metric whose effect was
    read gets a prior with the effect's mean and standard error.

    effects  relative effects as the parent read them, of its best arm
    Errors: STATE_ORDER (the parent is not decided), NAME_INVALID, PARENT_UNKNOWN (its own child).
    """
    if position(state) < position("decided"):
        raise StateError(
            f"{parent.id} is {state}: a child goes on from a decision. Run `uplift analyse` and "
            "record the decision first.",
            code="STATE_ORDER",
        )
    if new_id == parent.id:
        raise DefinitionError(f"A child of {parent.id} needs another id.", code="PARENT_UNKNOWN")
    source = f"{parent.id} ({decision})"
    metrics = parent.metrics.model_copy(
        update={
            "primary": _with_prior(parent.metrics.primary, effects, source),
            "secondary": tuple(_with_prior(m, effects, source) for m in parent.metrics.secondary),
        }
    )
    fields = {**to_plain(parent), "id": new_id, "parent": parent.id, "metrics": to_plain(metrics)}
    return Experiment(**fields)


def _with_prior(planned: PlannedMetric, effects: Effects, source: str) -> PlannedMetric:
    found = effects.get(planned.metric.key)
    if found is None or not found[1] > 0:
        return planned
    prior = Prior(mean=found[0], std_dev=found[1], source=source)
    return planned.model_copy(update={"prior": prior})
