"""Tests where the normal approximation has not arrived: rare events, and skewed revenue.

A share is read by its score where an arm has fewer than `RARE_EVENTS` events, so it is planned by
the score there. Revenue that most customers do not spend is read by the t test, which is then
skewed, so it is planned with its skewness.
"""

import math
from dataclasses import dataclass

from scipy import optimize

from uplift.inference.margin_score import (
    detectable_margin_score,
    power_of_margin_score,
    required_units_margin_score,
)
from uplift.inference.power_score import exact_power_of_score, required_units_score
from uplift.inference.proportions import RARE_EVENTS
from uplift.inference.skewness import Tails, skewed_units, tails_of_t_test
from uplift.inference.two_part import Path, TwoPart, simulated_tails, two_part_detectable
from uplift.sizing.one_test import Counts, DifferenceTest, MarginTest, Shares

N_DRAWS = 4_000  # of simulated tails; fewer where arms have many buyers
MOST_BASKETS = 20_000_000  # drawn in all
FEWEST_DRAWS = 200
FEWEST_UNITS = 2.0  # of an arm; below, it has no spread
SEED = 1
SEARCHED = 4.0  # times the plain rise, up to which the skewness-aware one is looked for


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


@dataclass(frozen=True)
class RevenueTest:
    """Spend that is 0 for most customers: Welch's t test with the skewness it then has.

    The effect comes from more buyers with usual baskets, as that on a share comes from more events,
    so the treatment has a variance and a skewness of its own. By expansion where that holds, else
    by drawing whole experiments from a fixed seed. Skewness takes power away, or adds some on the
    side on which the test also cries wolf; what it adds is not counted.

    part    buyers and baskets of the control
    rises   whether the effect sought is a rise
    factor  what covariate and clusters make of the variance
    usual   the test without skewness, with the variance of so many more buyers
    """

    part: TwoPart
    rises: bool
    factor: float
    usual: DifferenceTest

    @property
    def confidence(self) -> float:
        """Two-sided."""
        return self.usual.confidence

    def power(self, effect: float, counts: Counts) -> float:
        """On the side of the effect, and never more than without skewness."""
        tails = self.tails(self._relative(effect), counts)
        skewed = tails.upper if self.rises else tails.lower
        return min(skewed, self.usual.power(effect, counts))

    def units(self, effect: float, shares: Shares, power: float) -> float:
        """From which on the test finds it with `power`; by expansion."""
        relative = self._relative(effect)
        units = skewed_units(
            relative * self.part.whole.mean,
            control=self.part.whole,
            treatment=self._treated(relative, "buyers").whole,
            control_share=shares[0],
            treatment_share=shares[1],
            confidence=self.confidence,
            power=power,
        )
        return max(units * self.factor, self.usual.units(effect, shares, power))

    def tails(self, relative: float, counts: Counts, path: Path = "buyers") -> Tails:
        """How often it says better and worse when spend per customer changes by `relative`.

        `trusted` where they come from the expansion; drawn otherwise.
        """
        tails = self._expanded(relative, counts, path)
        if tails.trusted:
            return tails
        n_control, n_treatment = self._worth(counts)
        treated = self._treated(relative, path)
        baskets = max(n_control * self.part.buyer_share, n_treatment * treated.buyer_share, 1.0)
        drawn = simulated_tails(
            control=self.part,
            treatment=treated,
            n_control=round(n_control),
            n_treatment=round(n_treatment),
            confidence=self.confidence,
            n_draws=max(min(N_DRAWS, round(MOST_BASKETS / baskets)), FEWEST_DRAWS),
            seed=SEED,
        )
        return Tails(upper=drawn.upper, lower=drawn.lower, trusted=False)

    def smallest_rise(self, counts: Counts, power: float, path: Path) -> float:
        """Relative rise per customer that is proven with `power` when it comes along one path.

        Never less than the formula without skewness gives, and that where the expansion does not
        hold; nan when none is proven.
        """
        n_control, n_treatment = self._worth(counts)
        plain = two_part_detectable(
            control=self.part,
            n_control=n_control,
            n_treatment=n_treatment,
            path=path,
            test="spend",
            confidence=self.confidence,
            power=power,
        )
        most = (1 / self.part.buyer_share - 1) * (1 - 1e-9)
        low, high = plain, min(plain * SEARCHED, most)

        def excess(relative: float) -> float:
            return self._expanded(relative, counts, path).upper - power

        if math.isnan(plain) or not self._expanded(plain, counts, path).trusted:
            return plain
        if excess(low) >= 0 or excess(high) < 0:
            return plain
        return float(optimize.brentq(excess, low, high, xtol=1e-10))

    def _expanded(self, relative: float, counts: Counts, path: Path) -> Tails:
        treated = self._treated(relative, path)
        n_control, n_treatment = self._worth(counts)
        return tails_of_t_test(
            treated.whole.mean - self.part.whole.mean,
            control=self.part.whole,
            treatment=treated.whole,
            n_control=n_control,
            n_treatment=n_treatment,
            confidence=self.confidence,
        )

    def _worth(self, counts: Counts) -> Counts:
        """Units of a plain test that these are worth."""
        n_control, n_treatment = (max(n / self.factor, FEWEST_UNITS) for n in counts)
        return n_control, n_treatment

    def _relative(self, effect: float) -> float:
        change = effect / self.part.whole.mean
        return change if self.rises else -change

    def _treated(self, relative: float, path: Path) -> TwoPart:
        return (
            with_more_buyers(self.part, relative)
            if path == "buyers"
            else self.part.changed(relative, path)
        )


def with_more_buyers(part: TwoPart, relative: float) -> TwoPart:
    """Spend per customer changed by more or fewer buyers; by baskets where that is impossible."""
    possible = 0 < part.buyer_share * (1 + relative) <= 1
    return part.changed(relative, "buyers" if possible else "basket")


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
