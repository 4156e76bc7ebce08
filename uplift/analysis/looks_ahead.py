"""The looks of the plan that are still to come, with the bound that each will have."""

from dataclasses import dataclass, replace
from datetime import datetime

from uplift.analysis.looks import NOT_THE_SAME, LookRule, day_of
from uplift.experiment import Experiment
from uplift.looks import information, look_days


@dataclass(frozen=True)
class LookAhead:
    """A look to come.

    day       after the launch
    fraction  information that will be in by then, if the plan holds
    bound     what |z| of a single test must reach then, if nothing is stopped before
    """

    day: int
    fraction: float
    bound: float


def looks_ahead(
    experiment: Experiment, rule: LookRule, *, as_of: datetime
) -> tuple[LookAhead, ...]:
    """The planned looks after `as_of`, whose bounds follow from the looks that count so far."""
    if rule.stage == "final":
        return ()
    alpha = 1 - experiment.analysis.confidence
    taken = rule.fractions if rule.stage == "look" else rule.fractions[:-1]
    found: list[LookAhead] = []
    for day in look_days(experiment):
        fraction = information(experiment, day)
        if day <= day_of(experiment, as_of) or fraction <= (taken or (0.0,))[-1] + NOT_THE_SAME:
            continue
        taken = (*taken, fraction)
        then = replace(rule, stage="look", fractions=taken, information=fraction * rule.tuned_at)
        found.append(LookAhead(day, fraction, then.bound(alpha)))
    return tuple(found)
