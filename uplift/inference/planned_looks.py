"""The looks of a plan as bounds on one test's p-value, and Holm's method along them.

A test that may use the error alpha is proven at look k when its p-value is at or below level k of
the boundary that spends alpha. Several tests share the error by Holm's steps: with m of them not
yet proven, the next one may use alpha / m, now and at every later look. One look is Holm's method.
Source: Ye, Li, Liu & Yao (2013), Statistics in Medicine 32(7), for Holm's steps along looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.inference.always_valid import multipliers
from uplift.inference.group_sequential import Boundary, boundary_of, spending_boundary

Array = npt.NDArray[np.float64]
Monitoring = Literal["group_sequential", "always_valid", "fixed"]


@dataclass(frozen=True)
class PlannedLooks:
    """When a plan is read, and how its looks share the error.

    fractions   information at each look as a share of the planned, rising to 1
    monitoring  `fixed` reads once, at the end; the other two at every look
    spending    of group-sequential looks: a name of `group_sequential.SPENDINGS`
    """

    fractions: tuple[float, ...] = (1.0,)
    monitoring: Monitoring = "fixed"
    spending: str = "obrien_fleming"

    def boundary(self, alpha: float, *, sides: Literal[1, 2] = 2) -> Boundary:
        """Bounds of one test that may use the error alpha; of `fixed`, one at the end."""
        return _boundary(self, alpha, sides)

    def inflation(self, alpha: float, *, power: float, sides: Literal[1, 2] = 2) -> float:
        """Units of this plan over those of one that is read once, at equal error and power.

        (drift that is proven with `power` / (z_(1 - alpha / sides) + z_power))^2
        """
        if len(self.fractions) == 1 and self.monitoring != "always_valid":
            return 1.0
        once = float(stats.norm.isf(alpha / sides) + stats.norm.ppf(power))
        return (self.boundary(alpha, sides=sides).drift_for(power) / once) ** 2

    def levels(self, alpha: float) -> Array:
        """The p-value to get down to at each look. Returns (n_looks,)."""
        return self.boundary(alpha).alpha_at_look


def holm_at_looks(p_values: Sequence[Array], looks: PlannedLooks, *, alpha: float) -> list[int]:
    """The look, from 0, at which each test is first proven; -1 when it never is.

    p_values  per look, (n_tests,): two-sided, nan where no test was possible (it still counts)
    """
    n_tests = len(p_values[0])
    proven_at = [-1] * n_tests
    for look, at_look in enumerate(p_values):
        for i in np.argsort(at_look, kind="stable"):  # nan last
            if proven_at[i] >= 0:
                continue
            left = proven_at.count(-1)
            if not at_look[i] <= looks.levels(alpha / left)[look]:
                break
            proven_at[i] = look
    return proven_at


@lru_cache(maxsize=512)
def _boundary(looks: PlannedLooks, alpha: float, sides: Literal[1, 2]) -> Boundary:
    if looks.monitoring == "always_valid":
        z = multipliers(looks.fractions, tuning_n=1.0, alpha=alpha, sides=sides)
        return boundary_of(z, looks.fractions, sides=sides)
    fractions = looks.fractions if looks.monitoring == "group_sequential" else (1.0,)
    return spending_boundary(fractions, alpha=alpha, sides=sides, spending=looks.spending)
