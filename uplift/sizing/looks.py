"""How large an effect each look of a plan would show."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from uplift.inference.planned_looks import PlannedLooks


@dataclass(frozen=True)
class Look:
    """One reading of one comparison, as planned.

    fraction        of the planned information that is in by then
    z               bound on the estimate over its standard error
    effect_shown    smallest estimate that would be called proven, in the metric's unit
    effect_needed   true effect that is proven by then with the wanted power
    stops_by        probability of having proven the sought effect by then; None if none is sought
    """

    day: int
    fraction: float
    z: float
    effect_shown: float
    effect_needed: float | None
    stops_by: float | None


def look_table(
    looks: PlannedLooks,
    days: tuple[int, ...],
    *,
    alpha: float,
    sides: Literal[1, 2],
    std_error: float,
    power: float,
    sought: float | None,
) -> Iterator[Look]:
    """Every look of one comparison; `std_error` is that of the effect at the end."""
    boundary = looks.boundary(alpha, sides=sides)
    stopped = None
    if sought and std_error > 0:
        stopped = np.cumsum(boundary.crossing([sought / std_error])[0])
    for i, (day, fraction, z) in enumerate(
        zip(days, boundary.fractions.tolist(), boundary.z.tolist(), strict=True)
    ):
        until = replace(looks, fractions=looks.fractions[: i + 1])
        yield Look(
            day=day,
            fraction=fraction,
            z=z,
            effect_shown=z * std_error / math.sqrt(fraction),
            effect_needed=_needed(until, z, alpha, sides, std_error, power),
            stops_by=None if stopped is None else float(stopped[i]),
        )


def _needed(
    until: PlannedLooks,
    z: float,
    alpha: float,
    sides: Literal[1, 2],
    std_error: float,
    power: float,
) -> float | None:
    """The true effect proven by the last of these looks with `power`; None if none can stop."""
    boundary = until.boundary(alpha, sides=sides)
    if boundary.spent[-1] >= power or z >= 8:  # a bound of 8 cannot stop
        return None
    return boundary.drift_for(power) * std_error
