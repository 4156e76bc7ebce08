"""One planned test: which effect it proves with which power, with how many units.

The normal approximation of `inference.power`, with what the plan makes of it: several looks
(`planned_looks`), whole clusters drawn (t quantiles of few clusters), guardrails tested on one
side. Effects are absolute, in the metric's unit.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from uplift.inference.clusters import (
    detectable_effect_of_clusters,
    power_of_clusters,
    required_clusters,
)
from uplift.inference.noninferiority import (
    detectable_margin,
    power_of_noninferiority,
    required_units_noninferiority,
)
from uplift.inference.planned_looks import PlannedLooks
from uplift.inference.power import detectable_effect, power_of, required_units

ONE_LOOK = PlannedLooks()
FEWEST_CLUSTERS = 3  # in both arms together, below which there is no error


@dataclass(frozen=True)
class Proof:
    """A treatment against the control.

    control_variance, treatment_variance  per unit, clusters counted in
    shares        of control and treatment, of all units
    n_units       of the whole experiment
    alpha         error this test may make: one-sided of a guardrail, else two-sided
    cluster_size  mean members of a drawn cluster; None where units are drawn, or sizes not known
    """

    control_variance: float
    treatment_variance: float
    shares: tuple[float, float]
    n_units: float
    alpha: float
    sides: Literal[1, 2] = 2
    looks: PlannedLooks = ONE_LOOK
    cluster_size: float | None = None

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
        """The test when nothing is changed: both arms have the control's variance."""
        return replace(self, treatment_variance=self.control_variance)

    def detectable(self, power: float) -> float:
        """Smallest effect (of a guardrail: margin) that is proven with `power`."""
        n_control, n_treatment = self.counts
        if self._few_clusters:
            return detectable_effect_of_clusters(
                **self._clusters(), confidence=self.confidence, power=power
            )
        if self.sides == 1:
            plain = detectable_margin(
                n_control=n_control,
                n_treatment=n_treatment,
                variance=self.control_variance,
                confidence=1 - self.alpha,
                power=power,
            )
        else:
            plain = detectable_effect(
                n_control=n_control,
                n_treatment=n_treatment,
                control_variance=self.control_variance,
                treatment_variance=self.treatment_variance,
                confidence=self.confidence,
                power=power,
            )
        return plain * math.sqrt(self.inflation(power))

    def power(self, effect: float) -> float:
        """Probability of proving a true `effect` (of a guardrail: its margin, without harm)."""
        n_control, n_treatment = self.counts
        if self.looks.boundary(self.alpha, sides=self.sides).z.size > 1 or self._always_valid:
            drift = effect / self.std_error if self.std_error > 0 else math.inf
            boundary = self.looks.boundary(self.alpha, sides=self.sides)
            return boundary.power(drift) if math.isfinite(drift) else 1.0
        if self._few_clusters:
            return power_of_clusters(effect, **self._clusters(), confidence=self.confidence)
        if self.sides == 1:
            if self.control_variance == 0:
                return 1.0
            return power_of_noninferiority(
                effect,
                n_control=n_control,
                n_treatment=n_treatment,
                variance=self.control_variance,
                confidence=1 - self.alpha,
            )
        return power_of(
            effect,
            n_control=n_control,
            n_treatment=n_treatment,
            control_variance=self.control_variance,
            treatment_variance=self.treatment_variance,
            confidence=self.confidence,
        )

    def units_needed(self, effect: float, power: float) -> int:
        """Units of the whole experiment that prove `effect` with `power`."""
        control_share, treatment_share = self.shares
        if self._few_clusters and self.cluster_size is not None:
            clusters = required_clusters(
                effect,
                variance=self._pooled(*self.shares),
                effect_of_design=1.0,
                mean_size=self.cluster_size,
                control_share=control_share,
                treatment_share=treatment_share,
                confidence=self.confidence,
                power=power,
            )
            return math.ceil(clusters * self.cluster_size)
        if self.sides == 1:
            needed = required_units_noninferiority(
                effect,
                control_share=control_share,
                treatment_share=treatment_share,
                variance=self.control_variance,
                confidence=1 - self.alpha,
                power=power,
            )
        else:
            needed = required_units(
                effect,
                control_share=control_share,
                treatment_share=treatment_share,
                control_variance=self.control_variance,
                treatment_variance=self.treatment_variance,
                confidence=self.confidence,
                power=power,
            )
        return math.ceil(needed * self.inflation(power))

    def inflation(self, power: float) -> float:
        """Units of the plan's looks over those of one look."""
        return self.looks.inflation(self.alpha, power=power, sides=self.sides)

    @property
    def _always_valid(self) -> bool:
        return self.looks.monitoring == "always_valid"

    @property
    def _few_clusters(self) -> bool:
        """Clusters are drawn and read once, so their number limits what is known of the error."""
        one_look = len(self.looks.fractions) == 1 and not self._always_valid
        if self.cluster_size is None or not one_look or self.control_variance == 0:
            return False
        return sum(self.counts) / self.cluster_size >= FEWEST_CLUSTERS

    def _clusters(self) -> dict[str, float]:
        size = self.cluster_size or 1.0
        n_control, n_treatment = self.counts
        return {
            "control_clusters": n_control / size,
            "treatment_clusters": n_treatment / size,
            "variance": self._pooled(n_control, n_treatment),
            "effect_of_design": 1.0,  # the variances hold it already
            "mean_size": size,
        }

    def _pooled(self, control: float, treatment: float) -> float:
        """The one variance that gives both arms together the error they have."""
        error = self.control_variance / control + self.treatment_variance / treatment
        return error / (1 / control + 1 / treatment)
