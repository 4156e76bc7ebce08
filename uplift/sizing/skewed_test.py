"""The test of a mean that few customers make, as the analysis will read it.

Spend that is 0 for most customers makes Welch's test err on one side when the control is small; the
analysis then reads a corrected interval, which errs as it says and proves less. So the plan takes
whichever of the two the expected shapes call for.
"""

import math
from dataclasses import dataclass, replace

from scipy import optimize

from uplift.inference.skewed_power import needs_correction, tails_of_corrected_test
from uplift.inference.skewness import Shape, Tails, tails_of_t_test
from uplift.inference.two_part import Path, TwoPart, two_part_detectable
from uplift.sizing.one_test import Counts, DifferenceTest, Shares

FEWEST_UNITS = 2.0  # of an arm; below, it has no spread
STEP = 0.5  # of the search for units, in their logarithm
MOST_STEPS = 40
SEARCHED = 8.0  # times the rise without skewness, up to which the smallest one is looked for


@dataclass(frozen=True)
class SkewedTest:
    """A difference of means with the skewness that both arms have.

    Where most customers have no value, the effect comes from more buyers with usual baskets, as
    that on a share comes from more events; so the treatment has a variance and a skewness of its
    own. Skewness takes power away, or adds some on the side on which an uncorrected test also cries
    wolf; what it adds is not counted.

    shape     of the control
    part      its buyers and baskets, where most have no value
    rises     whether the effect sought is a rise
    factor    what covariate and clusters make of the variance; a corrected interval is read without
              a covariate
    corrects  whether the analysis corrects for skewness, which it does not where clusters are drawn
    usual     the test without skewness
    """

    shape: Shape
    part: TwoPart | None
    rises: bool
    factor: float
    corrects: bool
    usual: DifferenceTest

    @property
    def confidence(self) -> float:
        """Two-sided."""
        return self.usual.confidence

    def power(self, effect: float, counts: Counts) -> float:
        """On the side of the effect, and never more than without skewness."""
        tails = self.tails(self._treated(effect if self.rises else -effect), counts)
        return min(tails.upper if self.rises else tails.lower, self.usual.power(effect, counts))

    def units(self, effect: float, shares: Shares, power: float) -> float:
        """From which on the test finds it with `power`; at least those without skewness."""
        plain = self.usual.units(effect, shares, power)

        def excess(log_factor: float) -> float:
            n = plain * math.exp(log_factor)
            return self.power(effect, (n * shares[0], n * shares[1])) - power

        if excess(0.0) >= 0:
            return plain
        top = STEP
        while excess(top) < 0 and top < STEP * MOST_STEPS:
            top += STEP
        if excess(top) < 0:
            return math.inf
        return plain * math.exp(optimize.brentq(excess, top - STEP, top, xtol=1e-9))

    def smallest_rise(self, counts: Counts, power: float, path: Path) -> float:
        """Relative rise per customer that is proven with `power` when it comes along one path.

        Never less than without skewness; nan when none is proven, or most customers have a value.
        """
        part = self.part
        if part is None:
            return math.nan
        n_control, n_treatment = self._worth(counts)
        plain = two_part_detectable(
            control=part,
            n_control=n_control,
            n_treatment=n_treatment,
            path=path,
            test="spend",
            confidence=self.confidence,
            power=power,
        )

        def excess(relative: float) -> float:
            return self.tails(part.changed(relative, path).whole, counts).upper - power

        if math.isnan(plain) or excess(plain) >= 0:
            return plain
        high = min(plain * SEARCHED, (1 / part.buyer_share - 1) * (1 - 1e-9))
        return (
            float(optimize.brentq(excess, plain, high, xtol=1e-9)) if excess(high) > 0 else math.nan
        )

    def tails(self, treated: Shape, counts: Counts) -> Tails:
        """How often the test that is read says better and worse, when the treatment looks so."""
        if self.corrected(counts, treated):
            n_control, n_treatment = (max(n, FEWEST_UNITS) for n in counts)
            return tails_of_corrected_test(
                control=self.shape,
                treatment=treated,
                n_control=n_control,
                n_treatment=n_treatment,
                confidence=self.confidence,
            )
        return self.plain_tails(treated, counts)

    def plain_tails(self, treated: Shape, counts: Counts) -> Tails:
        """The same of Welch's test, by expansion."""
        n_control, n_treatment = self._worth(counts)
        return tails_of_t_test(
            treated.mean - self.shape.mean,
            control=self.shape,
            treatment=treated,
            n_control=n_control,
            n_treatment=n_treatment,
            confidence=self.confidence,
        )

    def corrected(self, counts: Counts, treated: Shape | None = None) -> bool:
        """Whether the interval is read corrected for skewness."""
        n_control, n_treatment = (max(n, FEWEST_UNITS) for n in counts)
        return self.corrects and needs_correction(
            control=self.shape,
            treatment=treated or self.shape,
            n_control=n_control,
            n_treatment=n_treatment,
            confidence=self.confidence,
        )

    def _worth(self, counts: Counts) -> Counts:
        """Units without covariate and clusters that these are worth."""
        n_control, n_treatment = (max(n / self.factor, FEWEST_UNITS) for n in counts)
        return n_control, n_treatment

    def _treated(self, change: float) -> Shape:
        if self.part is None:
            return replace(self.shape, mean=self.shape.mean + change)
        return with_more_buyers(self.part, change / self.shape.mean).whole


def with_more_buyers(part: TwoPart, relative: float) -> TwoPart:
    """Spend per customer changed by more or fewer buyers; by baskets where that is impossible."""
    possible = 0 < part.buyer_share * (1 + relative) <= 1
    return part.changed(relative, "buyers" if possible else "basket")
