"""What a definition must hold before it is sealed: everything that is later asked of it.

A draft may be incomplete; a promise may not. All that is missing is named at once.
"""

from collections.abc import Iterator

from uplift.errors import DefinitionError
from uplift.experiment import Experiment


def require_complete(experiment: Experiment) -> None:
    """Refuse to seal a definition that leaves out what its reading will need.

    Errors: SEAL_INCOMPLETE, naming every missing part and what to write.
    """
    missing = list(missing_parts(experiment))
    if missing:
        raise DefinitionError(
            f"{experiment.id} cannot be sealed, because its definition is not complete:\n"
            + "\n".join(f"- {part}" for part in missing),
            code="SEAL_INCOMPLETE",
            count=len(missing),
        )


def missing_parts(experiment: Experiment) -> Iterator[str]:
    """Each part that is not there, as its key and what to write."""
    primary = experiment.metrics.primary
    if not experiment.audience.description.strip():
        yield "audience.description: say who is meant, e.g. Customers of the last twelve months."
    if primary.minimum_effect is None:
        yield (
            "metrics.primary.minimum_effect: the smallest relative effect worth acting on, "
            "e.g. 0.05."
        )
    if (
        not experiment.metrics.guardrails
        and not (experiment.metrics.no_guardrails_because or "").strip()
    ):
        yield (
            "metrics.guardrails: what must not be harmed, each with its margin; or "
            "no_guardrails_because, with the reason."
        )
    free = [arm.name for arm in experiment.treatments if arm.unit_cost is None]
    if free:
        yield f"arms {', '.join(free)}: unit_cost, the cost of one contact; 0 if it costs nothing."
    yield from _missing_looks(experiment)
    if not experiment.analysis.decision_rule.strip():
        yield "analysis.decision_rule: what will be done on which result."


def _missing_looks(experiment: Experiment) -> Iterator[str]:
    looks, window = experiment.analysis.looks_days, experiment.primary.window_days
    if not looks:
        yield f"analysis.looks_days: the days at which it is read, e.g. [{window}]."
    elif looks[-1] < window:
        yield (
            f"analysis.looks_days: the last look, on day {looks[-1]}, is before the primary "
            f"metric's window of {window} days has closed."
        )
