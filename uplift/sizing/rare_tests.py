"""Shares whose events are rare: read by their score there, so planned by the score.

Where an arm has fewer than `RARE_EVENTS` events the normal approximation has not arrived.
"""

from dataclasses import dataclass

from uplift.inference.margin_score import (
    detectable_margin_score,
    power_of_margin_score,
    required_units_margin_score,
)
from uplift.inference.power_score import exact_power_of_score, required_units_score
from uplift.inference.proportions import RARE_EVENTS
from uplift.sizing.one_test import Counts, DifferenceTest, MarginTest, Shares


@dataclass(frozen=True)
class ShareTest:
    """A share differs: read by its score where an arm has fewer than `RARE_EVENTS` events.

    mean   of the control
    rises  whether the effect sought is a rise
    usual  the test where events are not rare
    """

    mean: float
    rises: bool
    usual: DifferenceTest

    def power(self, effect: float, counts: Counts) -> float:
        """Exact where events are rare."""
        after = self._after(effect)
        if not _rare(self.mean, after, counts):
            return self.usual.power(effect, counts)
        return exact_power_of_score(
            self.mean,
            after - self.mean,
            n_control=round(counts[0]),
            n_treatment=round(counts[1]),
            confidence=self.usual.confidence,
            equal_tailed=True,
        )

    def units(self, effect: float, shares: Shares, power: float) -> float:
        """By the score where events would still be rare, else by the usual test."""
        after = self._after(effect)
        by_score = required_units_score(
            self.mean,
            after - self.mean,
            control_share=shares[0],
            treatment_share=shares[1],
            confidence=self.usual.confidence,
            power=power,
        )
        plain = self.usual.units(effect, shares, power)
        return _not_rarer(by_score, plain, (self.mean, after), shares)

    def _after(self, effect: float) -> float:
        return self.mean + effect if self.rises else self.mean - effect


@dataclass(frozen=True)
class ShareMarginTest:
    """A guardrail that is a share: by its score interval where events are rare.

    mean   of the harm: of opt-outs, or of customers who do not buy any more
    """

    mean: float
    usual: MarginTest

    def power(self, effect: float, counts: Counts) -> float:
        """That the margin is kept, if there is no harm; exact where events are rare."""
        if not _rare(self.mean, self.mean, counts):
            return self.usual.power(effect, counts)
        return power_of_margin_score(
            self.mean,
            effect,
            n_control=round(counts[0]),
            n_treatment=round(counts[1]),
            confidence=1 - self.usual.alpha,
            equal_tailed=True,
        )

    def units(self, effect: float, shares: Shares, power: float) -> float:
        """By the score where events would still be rare, else by the usual test."""
        by_score = required_units_margin_score(
            self.mean,
            effect,
            control_share=shares[0],
            treatment_share=shares[1],
            confidence=1 - self.usual.alpha,
            power=power,
        )
        plain = self.usual.units(effect, shares, power)
        return _not_rarer(by_score, plain, (self.mean, self.mean), shares)

    def detectable(self, counts: Counts, power: float) -> float:
        """The smallest margin that is shown to be kept."""
        if not _rare(self.mean, self.mean, counts):
            return self.usual.detectable(counts, power)
        return detectable_margin_score(
            self.mean,
            n_control=counts[0],
            n_treatment=counts[1],
            confidence=1 - self.usual.alpha,
            power=power,
        )


def _rare(control: float, treatment: float, counts: Counts) -> bool:
    """Whether an arm is expected to have fewer than `RARE_EVENTS` events, or others."""
    means = ((control, counts[0]), (treatment, counts[1]))
    return min(n * min(mean, 1 - mean) for mean, n in means) < RARE_EVENTS


def _not_rarer(by_score: float, plain: float, means: Shares, shares: Shares) -> float:
    """Units by the score, if events are rare with them; else plainly, and enough not to be rare."""
    if _rare(*means, (by_score * shares[0], by_score * shares[1])):
        return by_score
    rarest = min(share * min(mean, 1 - mean) for mean, share in zip(means, shares, strict=True))
    return max(plain, RARE_EVENTS / rarest) if rarest > 0 else by_score
