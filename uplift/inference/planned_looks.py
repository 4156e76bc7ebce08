"""The looks of a plan as bounds on one test's p-value, and a family's correction along them.

A test that may use the error alpha is proven at look k when its p-value is at or below level k of
the boundary that spends alpha. Several tests share the error by the plan's correction of p-values
that hold over the looks; with one look that is the correction itself.
Source: Ye, Li, Liu & Yao (2013), Statistics in Medicine 32(7), for Holm's steps along looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.inference.always_valid import mixture_variance, multiplier_of_mixture, multipliers
from uplift.inference.group_sequential import Boundary, boundary_of, spending_boundary
from uplift.inference.multiplicity import harmonic

Array = npt.NDArray[np.float64]
STEP_UP = ("hochberg", "benjamini_hochberg", "benjamini_yekutieli")  # from the largest p-value down
Monitoring = Literal["group_sequential", "always_valid", "fixed"]


@dataclass(frozen=True)
class PlannedLooks:
    """When a plan is read, and how its looks share the error.

    fractions   information at each look as a share of the planned, rising to 1
    monitoring  `fixed` reads once, at the end; the other two at every look
    spending    of group-sequential looks: a name of `group_sequential.SPENDINGS`
    tuned_for   error for which always-valid readings are tuned, one for all tests of a family; the
                test's own when not given
    """

    fractions: tuple[float, ...] = (1.0,)
    monitoring: Monitoring = "fixed"
    spending: str = "obrien_fleming"
    tuned_for: float | None = None

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


def family_at_looks(
    p_values: Sequence[Array], looks: PlannedLooks, *, alpha: float, method: str = "holm"
) -> list[int]:
    """The look, from 0, at which each test of a family is first proven; -1 when it never is.

    What `multiplicity.adjust` makes of each test's smallest p-value until then, each as one that
    holds over the looks: it is at most a exactly when a look has reached the bounds that spend a.

    p_values  per look, (n_tests,): two-sided, nan where no test was possible (it still counts)
    method    holm, hochberg, bonferroni, benjamini_hochberg or benjamini_yekutieli
    """
    n_tests = len(p_values[0])
    shares = alpha * shares_of_error(n_tests, method)
    reached = np.zeros((n_tests, n_tests), dtype=bool)  # error of each rank × test, until now
    levels = np.stack([looks.levels(share) for share in shares])
    proven_at = np.full(n_tests, -1)
    for look, p in enumerate(p_values):
        reached |= p[None, :] <= levels[:, look, None]
        enough = reached.sum(axis=1) >= np.arange(1, n_tests + 1)
        ranks = np.flatnonzero(enough if method in STEP_UP else np.logical_and.accumulate(enough))
        if method == "bonferroni":
            ranks = np.flatnonzero(reached.any(axis=1))
        if len(ranks):
            proven_at[reached[ranks[-1]] & (proven_at < 0)] = look
    return [int(look) for look in proven_at]


def shares_of_error(n_tests: int, method: str) -> Array:
    """Share of the error that the test of each rank may use, the smallest p-value first."""
    rank = np.arange(1.0, n_tests + 1)
    if method == "bonferroni":
        return np.full(n_tests, 1 / n_tests)
    if method == "benjamini_hochberg":
        return rank / n_tests
    if method == "benjamini_yekutieli":
        return rank / n_tests / harmonic(n_tests)
    return 1 / (n_tests - rank + 1)


@lru_cache(maxsize=512)
def _boundary(looks: PlannedLooks, alpha: float, sides: Literal[1, 2]) -> Boundary:
    if looks.monitoring == "always_valid" and looks.tuned_for is not None and sides == 2:
        mixture = mixture_variance(1.0, alpha=looks.tuned_for)
        found = [multiplier_of_mixture(n, mixture=mixture, alpha=alpha) for n in looks.fractions]
        return boundary_of(np.array(found), looks.fractions, sides=sides)
    if looks.monitoring == "always_valid":
        z = multipliers(looks.fractions, tuning_n=1.0, alpha=alpha, sides=sides)
        return boundary_of(z, looks.fractions, sides=sides)
    fractions = looks.fractions if looks.monitoring == "group_sequential" else (1.0,)
    return spending_boundary(fractions, alpha=alpha, sides=sides, spending=looks.spending)
