"""When a replay's tests are proven: by the bounds of the planned looks, alone and as a family."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift.analysis.looks import LookRule
from uplift.inference.planned_looks import PlannedLooks, family_at_looks, shares_of_error
from uplift.rehearsal.script import Script

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


ROUNDING = 1e-9  # so that a p-value at an error stays below it whatever it is multiplied with


@dataclass(frozen=True)
class LastLook(LookRule):
    """The rule of the last planned look, with p-values that are right where they decide.

    Those of `LookRule` are searched for, which takes too long a thousand times. Here a p-value is
    the smallest error that a rank of the family may use and whose bound is reached, else 1; it is
    at most such an error exactly when the searched one is.

    reached  by error, the plain p-value that reaches its bound at this look
    """

    reached: tuple[tuple[float, float], ...] = ()

    def p_value(self, p_value: float, *, test: str, gain: bool = True) -> float:
        """One of the errors, or 1."""
        if np.isnan(p_value):
            return p_value
        reached = (error for error, level in self.reached if p_value <= level)
        return min(reached, default=1.0) * (1 - ROUNDING)


def last_look(script: Script) -> LookRule:
    """The rule of the final reading; looks before it only take their part of the error."""
    looks = script.looks
    if script.peek or (len(looks.fractions) == 1 and looks.monitoring != "always_valid"):
        return LookRule()
    reader = script.read_as
    errors = script.alpha * shares_of_error(len(reader.treatments), reader.analysis.correction)
    levels = [float(looks.levels(error)[-1]) for error in errors]
    return LastLook(
        fractions=looks.fractions,
        monitoring=looks.monitoring,
        spending=looks.spending,
        alpha=script.alpha,
        reached=tuple(zip(errors.tolist(), levels, strict=True)),
    )


def alone_at(script: Script, p_values: list[Array]) -> IntArray:
    """The look at which each test would be proven if it were the only one; -1 for never."""
    levels = np.array(_levels(script, script.alpha))[:, None]
    proven = np.stack(p_values) <= levels
    return np.where(proven.any(axis=0), proven.argmax(axis=0), -1)


def family_at(script: Script, p_values: list[Array]) -> list[int]:
    """The look at which the family's correction first calls each test proven; -1 for never."""
    method = script.read_as.analysis.correction
    if script.peek:
        first = [-1] * len(p_values[0])
        for look, p in enumerate(p_values):
            found = family_at_looks([p], PlannedLooks(), alpha=script.alpha, method=method)
            for i in np.flatnonzero(np.array(found) == 0):
                first[i] = look if first[i] < 0 else first[i]
        return first
    whole = [np.full(len(p_values[0]), np.nan) for _ in range(_n_looks(script))]
    for place, p in zip(script.places, p_values, strict=True):
        whole[place] = p
    return family_at_looks(whole, script.looks, alpha=script.alpha, method=method)


def _levels(script: Script, alpha: float) -> list[float]:
    """What a single test's p-value must get down to at each look that is replayed."""
    if script.peek:
        return [alpha] * len(script.places)
    levels = script.looks.levels(alpha)
    return [float(levels[place]) for place in script.places]


def _n_looks(script: Script) -> int:
    return len(script.looks.levels(script.alpha))
