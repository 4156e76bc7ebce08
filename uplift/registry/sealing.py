"""What a definition must hold before it is sealed: all that is later asked of it, and somebody.

A draft may be incomplete; a promise may not. All that is missing is named at once.
"""

from collections.abc import Iterator

from uplift.checks import Check
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


def require_reachable(experiment: Experiment) -> None:
    """Refuse a definition by which nobody can be drawn. Errors: CAP_EXCLUDES_ALL."""
    check = check_caps(experiment)
    if not check.passed:
        raise DefinitionError(f"{experiment.id}: {check.remedy}", code=check.code)


def check_caps(experiment: Experiment) -> Check:
    """Whether contact caps let anybody in: a customer is out at a cap, not beyond it."""
    shut = [cap for cap in experiment.assignment.contact_caps if cap.max_contacts == 0]
    days = ", ".join(str(cap.window_days) for cap in shut)
    return Check(
        "contact caps",
        passed=not shut,
        value=0 if shut else len(experiment.assignment.contact_caps),
        remedy="A cap of 0 contacts keeps everybody out, the control too: who has had as many as "
        "the cap is not drawn. For customers without a contact in the "
        f"{days} days before, write max_contacts: 1.",
        code="CAP_EXCLUDES_ALL",
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
