"""One planned comparison: which effect it proves with which power, with how many units.

A test of `one_test` or `rare_tests`, with what the plan makes of it: shares, the error that is left
to it, and several looks (`planned_looks`). Effects are absolute, in the metric's unit.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from uplift.inference.planned_looks import PlannedLooks
from uplift.sizing.one_test import (
    ClusterTest,
    Detecting,
    DifferenceTest,
    MarginTest,
    OneTest,
)
from uplift.sizing.rare_tests import ShareMarginTest

ONE_LOOK = PlannedLooks()
FEWEST_CLUSTERS = 3  # in both arms together, below which there is no error


@dataclass(frozen=True)
class Proof:
    """A treatment against the control.

    control_variance, treatment_variance  per unit, covariate and clusters counted in
    shares        of control and treatment, of all units
    n_units       of the whole experiment
    alpha         error this test may make: one-sided of a guardrail, else two-sided
    cluster_size  mean members of a drawn cluster; None where units are drawn, or sizes not known
    rarely        the test in place of the plain one where events are rare or revenue is skewed;
                  with several looks the plain one plans all of them
    """

    control_variance: float
    treatment_variance: float
    shares: tuple[float, float]
    n_units: float
    alpha: float
    sides: Literal[1, 2] = 2
    looks: PlannedLooks = ONE_LOOK
    cluster_size: float | None = None
    rarely: OneTest | None = None

    @property
    def counts(self) -> tuple[int, int]:
        """Expected units in control and treatment."""
        return round(self.n_units * self.shares[0]), round(self.n_units * self.shares[1])

    @property
    def std_error(self) -> float:
        """Of the effect at the end."""
        n_control, n_treatment = self.counts
        return math.sqrt(self.control_variance / n_control + self.treatment_variance / n_treatment)

    @property
    def confidence(self) -> float:
        """Of a two-sided interval with the same bound."""
        return 1 - 2 * self.alpha / self.sides

    def at_control_variance(self) -> "Proof":
        """The plain test when nothing is changed: both arms have the control's variance."""
        rarely = self.rarely if self.sides == 1 else None
        return replace(self, treatment_variance=self.control_variance, rarely=rarely)

    def detectable(self, power: float) -> float:
        """Smallest effect (of a guardrail: margin) that is proven with `power`, plainly."""
        test: Detecting = self._plain
        if isinstance(self.rarely, ShareMarginTest):
            test = self.rarely
        return test.detectable(self.counts, power) * math.sqrt(self.inflation(power))

    def power(self, effect: float) -> float:
        """Probability of proving a true `effect` (of a guardrail: its margin, without harm)."""
        if self._one_look:
            return self._test.power(effect, self.counts)
        if self.std_error == 0:
            return 1.0
        return self.looks.boundary(self.alpha, sides=self.sides).power(effect / self.std_error)

    def units_needed(self, effect: float, power: float) -> int:
        """Units of the whole experiment that prove `effect` with `power`."""
        return math.ceil(self._test.units(effect, self.shares, power) * self.inflation(power))

    def inflation(self, power: float) -> float:
        """Units of the plan's looks over those of one look."""
        return self.looks.inflation(self.alpha, power=power, sides=self.sides)

    @property
    def _one_look(self) -> bool:
        return len(self.looks.fractions) == 1 and self.looks.monitoring != "always_valid"

    @property
    def _test(self) -> OneTest:
        return self.rarely if self.rarely is not None and self._one_look else self._plain

    @property
    def _plain(self) -> Detecting:
        variances = (self.control_variance, self.treatment_variance)
        size = self.cluster_size or math.inf
        enough = sum(self.counts) / size >= FEWEST_CLUSTERS and self.control_variance > 0
        if enough and self._one_look:
            return ClusterTest(*variances, self.confidence, size)
        if self.sides == 1:
            return MarginTest(self.control_variance, self.alpha)
        return DifferenceTest(*variances, self.confidence)
