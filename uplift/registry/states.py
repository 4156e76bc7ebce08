"""The states of an experiment: one line, walked forwards only."""

from uplift.errors import DefinitionError, StateError

STATES = ("draft", "sealed", "assigned", "live", "maturing", "read", "decided", "archived")
DECISIONS = {
    "scale": "send it to everyone it is proven for",
    "fix": "the test itself was faulty: repair and run again",
    "stop": "it does harm or cannot pay",
    "retest": "not proven; worth another test",
}


def position(state: str) -> int:
    """How far along the line a state is, from 0."""
    if state not in STATES:
        raise DefinitionError(
            f"There is no state {state!r}. States: {' → '.join(STATES)}.", code="STATE_UNKNOWN"
        )
    return STATES.index(state)


def require_next(experiment: str, *, current: str, to: str) -> None:
    """Refuse a transition that skips a state or goes back."""
    if position(to) != position(current) + 1:
        after = STATES[min(position(current) + 1, len(STATES) - 1)]
        raise StateError(
            f"{experiment} is {current}, so it cannot become {to}. The next state is {after}.",
            code="STATE_ORDER",
        )


def require_decision(action: str) -> None:
    """Refuse a decision that is not one of the known ones."""
    if action not in DECISIONS:
        known = "; ".join(f"{name} ({meaning})" for name, meaning in DECISIONS.items())
        raise DefinitionError(
            f"{action!r} is not a decision. Record one of: {known}.", code="DECISION_UNKNOWN"
        )
