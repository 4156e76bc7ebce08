"""The tests by which a comparison may be read once, each with its power and the units it takes.

Which one it is follows from the plan and the metric, as it does in the analysis: a difference of
means, a margin, whole clusters; `rare_tests` has those of rare events and of skewed revenue.
Effects are absolute and above 0, in the metric's unit.
"""

from dataclasses import dataclass
from typing import Protocol

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
from uplift.inference.power import detectable_effect, power_of, required_units

Counts = tuple[float, float]  # of control and treatment
Shares = tuple[float, float]  # the same, of all units of the experiment


class OneTest(Protocol):
    """What is asked of each of them."""

    def power(self, effect: float, counts: Counts) -> float:
        """Probability of proving the effect (of a guardrail: its margin, without harm)."""
        ...

    def units(self, effect: float, shares: Shares, power: float) -> float:
        """Units of the whole experiment that prove it with `power`."""
        ...


class Detecting(OneTest, Protocol):
    """A test whose smallest effect has a formula."""

    def detectable(self, counts: Counts, power: float) -> float:
        """Smallest effect (of a guardrail: margin) that is proven with `power`."""
        ...


@dataclass(frozen=True)
class DifferenceTest:
    """Two means differ (Welch, or adjusted); variances are per unit, under the effect sought."""

    control_variance: float
    treatment_variance: float
    confidence: float

    def power(self, effect: float, counts: Counts) -> float:
        """On either side."""
        return power_of(
            effect,
            n_control=counts[0],
            n_treatment=counts[1],
            control_variance=self.control_variance,
            treatment_variance=self.treatment_variance,
            confidence=self.confidence,
        )

    def units(self, effect: float, shares: Shares, power: float) -> float:
        """(z_confidence + z_power)^2 (v_c / share_c + v_t / share_t) / effect^2."""
        return required_units(
            effect,
            control_share=shares[0],
            treatment_share=shares[1],
            control_variance=self.control_variance,
            treatment_variance=self.treatment_variance,
            confidence=self.confidence,
            power=power,
        )

    def detectable(self, counts: Counts, power: float) -> float:
        """(z_confidence + z_power) sqrt(v_c / n_c + v_t / n_t)."""
        return detectable_effect(
            n_control=counts[0],
            n_treatment=counts[1],
            control_variance=self.control_variance,
            treatment_variance=self.treatment_variance,
            confidence=self.confidence,
            power=power,
        )


@dataclass(frozen=True)
class MarginTest:
    """A guardrail is not harmed by its margin or more; one-sided at `1 - alpha`."""

    variance: float
    alpha: float

    def power(self, effect: float, counts: Counts) -> float:
        """That the margin is kept, if there is no harm."""
        if self.variance == 0:
            return 1.0
        return power_of_noninferiority(
            effect,
            n_control=counts[0],
            n_treatment=counts[1],
            variance=self.variance,
            confidence=1 - self.alpha,
        )

    def units(self, effect: float, shares: Shares, power: float) -> float:
        """(z_(1 - alpha) + z_power)^2 variance (1 / share_c + 1 / share_t) / margin^2."""
        return required_units_noninferiority(
            effect,
            control_share=shares[0],
            treatment_share=shares[1],
            variance=self.variance,
            confidence=1 - self.alpha,
            power=power,
        )

    def detectable(self, counts: Counts, power: float) -> float:
        """The smallest margin that is shown to be kept."""
        return detectable_margin(
            n_control=counts[0],
            n_treatment=counts[1],
            variance=self.variance,
            confidence=1 - self.alpha,
            power=power,
        )


@dataclass(frozen=True)
class ClusterTest:
    """Whole clusters are drawn, so their number limits what is known of the error (t quantiles).

    variances  per unit, the design effect counted in
    mean_size  members of a cluster
    """

    control_variance: float
    treatment_variance: float
    confidence: float
    mean_size: float

    def power(self, effect: float, counts: Counts) -> float:
        """With clusters - 2 degrees of freedom."""
        return power_of_clusters(
            effect,
            control_clusters=counts[0] / self.mean_size,
            treatment_clusters=counts[1] / self.mean_size,
            variance=self._pooled(counts),
            effect_of_design=1.0,
            mean_size=self.mean_size,
            confidence=self.confidence,
        )

    def units(self, effect: float, shares: Shares, power: float) -> float:
        """Members of as many clusters as are needed."""
        clusters = required_clusters(
            effect,
            variance=self._pooled(shares),
            effect_of_design=1.0,
            mean_size=self.mean_size,
            control_share=shares[0],
            treatment_share=shares[1],
            confidence=self.confidence,
            power=power,
        )
        return clusters * self.mean_size

    def detectable(self, counts: Counts, power: float) -> float:
        """Smallest effect per member."""
        return detectable_effect_of_clusters(
            control_clusters=counts[0] / self.mean_size,
            treatment_clusters=counts[1] / self.mean_size,
            variance=self._pooled(counts),
            effect_of_design=1.0,
            mean_size=self.mean_size,
            confidence=self.confidence,
            power=power,
        )

    def _pooled(self, sizes: tuple[float, float]) -> float:
        """The one variance that gives both arms together the error they have."""
        control, treatment = sizes
        error = self.control_variance / control + self.treatment_variance / treatment
        return error / (1 / control + 1 / treatment)
