"""From one test to the next: a child experiment starts from its parent's definition and result."""

import math
import textwrap
from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection

from uplift.errors import DefinitionError, StateError
from uplift.experiment import Experiment
from uplift.metric_plan import PlannedMetric, Prior
from uplift.metrics import MetricCatalogue
from uplift.registry.contents import find_row
from uplift.registry.states import position
from uplift.registry.tables import experiments
from uplift.schedule import Schedule
from uplift.table import to_plain

Payload = Mapping[str, Any]
SCALED_HOLDOUT = Fraction(1, 10)  # of the customers, so that a scaled effect is still measured
NEXT = {  # what to think of before a child is sealed, by the parent's decision
    "scale": "The best arm goes to all but a small holdout. Does the effect last? Check with "
    "`uplift design` that the holdout can still show it.",
    "fix": "The plan is the same. Repair what made the last test faulty before it runs again.",
    "stop": "The arms are those that were stopped. Change what is offered, to whom, or by which "
    "channel.",
    "retest": "The plan is the same. Take more customers, a longer window, a less noisy metric or "
    "a covariate, so that it can answer this time.",
}
Effects = Mapping[str, tuple[float, float]]  # metric key → relative effect and its standard error


def require_parent(connection: Connection, experiment: Experiment) -> None:
    """Refuse an experiment whose parent is not registered, or descends from it.

    Errors: PARENT_UNKNOWN, PARENT_CYCLE.
    """
    above, parent = [experiment.id], experiment.parent
    while parent is not None:
        row = find_row(connection, experiments, {"id": parent})
        if parent in above:
            raise DefinitionError(
                f"{experiment.id}: it would be its own ancestor ({' → '.join([*above, parent])}). "
                "Give it another parent, or none.",
                code="PARENT_CYCLE",
            )
        if row is None:
            raise DefinitionError(
                f"{experiment.id}: its parent {parent!r} is not an experiment of this registry. "
                "Register the parent first, or leave it out.",
                code="PARENT_UNKNOWN",
            )
        above.append(parent)
        parent = row["parent"]


def child_of(
    parent: Experiment,
    new_id: str,
    *,
    state: str,
    decision: str | None,
    effects: Effects,
    best_arm: str | None = None,
    priors: Mapping[str, Prior] | None = None,
) -> Experiment:
    """A draft that goes on where a decided experiment ended, to be edited (see `NEXT`).

    Definition and plan are the parent's, some weeks later, so that its windows have closed. Each
    metric whose effect was read gets a prior with the effect's mean and standard error. After the
    decision to scale, only the best arm is left, beside a control of at most a tenth.

    effects  relative effects as the parent read them, of its best arm
    priors   by metric key, what all past experiments say where there are enough of them (see
             `priors_of`); such a metric gets this prior instead
    Errors: STATE_ORDER (the parent is not decided), NAME_INVALID, PARENT_CYCLE (its own child).
    """
    if position(state) < position("decided"):
        raise StateError(
            f"{parent.id} is {state}: a child goes on from a decision. Run `uplift analyse` and "
            f"`uplift decide {parent.id} ACTION WHY` first.",
            code="STATE_ORDER",
        )
    if new_id == parent.id:
        raise DefinitionError(f"A child of {parent.id} needs another id.", code="PARENT_CYCLE")
    source = f"{parent.id} ({decision})"
    learned = {**_priors(effects, source), **(priors or {})}
    metrics = parent.metrics.model_copy(
        update={
            "primary": _with_prior(parent.metrics.primary, learned),
            "secondary": tuple(_with_prior(m, learned) for m in parent.metrics.secondary),
        }
    )
    fields = to_plain(parent.model_dump(exclude_defaults=True))
    fields |= {"id": new_id, "parent": parent.id, "metrics": to_plain(metrics)}
    fields["schedule"] = _later(parent.schedule)
    if decision == "scale" and best_arm in parent.arm_names and not parent.factors:
        fields["arms"] = _scaled(parent, best_arm)
    return Experiment(**fields)


def child_text(child: Experiment, decision: str, catalogue: MetricCatalogue | None) -> str:
    """A child's definition file: what its parent's decision asks for, and metrics by their keys."""
    head = f"Goes on from {child.parent}, whose decision was: {decision}. {NEXT.get(decision, '')}"
    schedule = "Its schedule begins when the parent's windows have closed; set the real start."
    comment = textwrap.wrap(f"{head} {schedule}", 97)
    return "".join(f"# {line}\n" for line in comment) + child.to_yaml(catalogue=catalogue)


def _scaled(parent: Experiment, best_arm: str | None) -> list[dict[str, Any]]:
    """The best arm for all but a holdout that is no larger than before."""
    control, *treatments = parent.arms
    holdout = min(control.share, SCALED_HOLDOUT)
    best = next(arm for arm in treatments if arm.name == best_arm)
    shares = ((control, holdout), (best, 1 - holdout))
    return [
        to_plain(arm.model_copy(update={"share": share}).model_dump(exclude_defaults=True))
        for arm, share in shares
    ]


def _later(schedule: Schedule) -> dict[str, Any]:
    """The schedule by as many whole weeks later as its windows take: same weekday, same hour."""
    span = schedule.closes_at - schedule.launch_at
    shift = timedelta(weeks=math.ceil(span / timedelta(weeks=1)))
    fields = schedule.model_dump(exclude_defaults=True)
    for part in (fields, *fields.get("waves", ())):
        for name in ("starts_at", "ends_at"):
            if part.get(name) is not None:
                part[name] = part[name] + shift
    return fields


def _priors(effects: Effects, source: str) -> dict[str, Prior]:
    """The parent's own effects as priors, where they have an error."""
    return {
        key: Prior(mean=mean, std_dev=error, source=source)
        for key, (mean, error) in effects.items()
        if error > 0
    }


def _with_prior(planned: PlannedMetric, priors: Mapping[str, Prior]) -> PlannedMetric:
    prior = priors.get(planned.metric.key)
    return planned if prior is None else planned.model_copy(update={"prior": prior})
