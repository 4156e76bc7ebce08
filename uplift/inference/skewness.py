"""Skewed outcomes: what a t test of a mean really does when the normal has not arrived yet.

Spend per customer is 99 % zeros and a few large orders. With a small control arm the t statistic
is skewed: it errs far more often on one side than on the other. An Edgeworth expansion of the
studentised difference, for arms of unequal size, tells how often.
Source: Hall (1992), "The Bootstrap and Edgeworth Expansion", chapter 2; Kohavi, Deng, Longbotham &
Xu (2014), "Seven Rules of Thumb for Web Site Experimenters", KDD, rule 7.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial import hermite_e
from scipy import optimize, stats

from uplift.errors import DataError, DefinitionError

Array = npt.NDArray[np.float64]

UNITS_PER_SQUARED_SKEWNESS = 355.0  # Kohavi et al. (2014): one-sided errors of 2.5 % within 0.45 pt

LARGEST_SKEW = 0.4  # of the difference: beyond, simulated tails leave the expansion by a point
LARGEST_KURTOSIS = 0.5


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Mean, variance and central moments of an outcome per unit.

    third   mean of (y - mean)^3
    fourth  mean of (y - mean)^4; nan when it is not known, and then the kurtosis is not used
    """

    mean: float
    variance: float
    third: float = 0.0
    fourth: float = math.nan

    @classmethod
    def of(cls, values: Any) -> "Shape":
        """The shape of measured values, (n_units,)."""
        y = np.asarray(values, dtype=np.float64)
        if len(y) < 2 or not np.all(np.isfinite(y)):
            raise DataError(
                f"The shape needs at least 2 finite values, got {len(y)}, of which "
                f"{int(np.sum(~np.isfinite(y)))} are not finite.",
                code="OUTCOME_MISSING",
            )
        centred = y - y.mean()
        return cls(
            mean=float(y.mean()),
            variance=float(centred.var(ddof=1)),
            third=float(np.mean(centred**3)),
            fourth=float(np.mean(centred**4)),
        )

    @property
    def skewness(self) -> float:
        """Third central moment / variance^1.5; 0 of a constant."""
        return self.third / self.variance**1.5 if self.variance > 0 else 0.0

    @property
    def excess_kurtosis(self) -> float:
        """Fourth central moment / variance^2 - 3; nan when it is not known."""
        return self.fourth / self.variance**2 - 3 if self.variance > 0 else 0.0

    def scaled(self, factor: float) -> "Shape":
        """The shape of factor * y."""
        return Shape(
            mean=factor * self.mean,
            variance=factor**2 * self.variance,
            third=factor**3 * self.third,
            fourth=factor**4 * self.fourth,
        )


@dataclass(frozen=True, kw_only=True)
class Tails:
    """Probability that a test says "better" and that it says "worse".

    trusted  the expansion is within about a point of simulations (half a point for false alarms);
             otherwise it only says which way the test errs: simulate
    """

    upper: float
    lower: float
    trusted: bool = True

    @property
    def both(self) -> float:
        """Probability that it says either."""
        return self.upper + self.lower


def units_for_normality(skewness: float) -> float:
    """Units of an arm from which the normal approximation of its mean may be trusted.

    355 skewness^2: for a difference of two equal arms the skewness largely cancels, so this is
    for the smaller arm of an unequal split, and for the control's own mean.
    """
    return UNITS_PER_SQUARED_SKEWNESS * skewness**2


def tails_of_t_test(
    effect: float,
    *,
    control: Shape,
    n_control: float,
    n_treatment: float,
    treatment: Shape | None = None,
    confidence: float = 0.95,
) -> Tails:
    """What Welch's t test says, how often, when the true effect is `effect`.

    With d the difference, v its variance, s the estimate of v and c the t quantile, "better" is
    d - c sqrt(s) > 0. To second order in 1 / sqrt(n), with

        k3 = sum of +-third / n^2 / v^1.5,  k4 = sum of fourth cumulants / n^3 / v^2,
        a  = sum of variance^2 / (n^2 (n - 1)) / v^2  (1 / Welch's degrees of freedom),

    that margin, in units of sqrt(v), has

        mean  effect / sqrt(v) - c (1 - (k4 + 2 a) / 8)
        variance  1 - c k3 + c^2 (k4 + 2 a) / 4
        third cumulant  k3 - 3 c k4 / 2 + 3 c k3^2 / 4

    and an Edgeworth expansion around the normal gives its sign. When there is no effect both
    tails are false alarms, (1 - confidence) / 2 each if the outcome were normal.
    """
    cumulants = _cumulants(control, treatment or control, n_control, n_treatment)
    shift = effect / cumulants.std_error
    c = float(stats.t.ppf(0.5 + confidence / 2, 1 / cumulants.spread))
    upper = _beyond(c, shift, cumulants.third, cumulants)
    lower = _beyond(c, -shift, -cumulants.third, cumulants)
    trusted = abs(cumulants.third) <= LARGEST_SKEW and abs(cumulants.fourth) <= LARGEST_KURTOSIS
    return Tails(upper=upper, lower=lower, trusted=trusted)


def skewed_units(
    effect: float,
    *,
    control: Shape,
    control_share: float,
    treatment_share: float,
    treatment: Shape | None = None,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Units of the whole experiment from which on the t test finds `effect` with `power`.

    As `power.required_units`, with the power of `tails_of_t_test` on the side of the effect.
    """
    if not (math.isfinite(effect) and effect != 0):
        raise DefinitionError(
            f"The effect to detect must be a number other than 0, got {effect}.",
            code="EFFECT_INVALID",
        )
    treated = treatment or control
    z = stats.norm.ppf(0.5 + confidence / 2) + stats.norm.ppf(power)
    variance = control.variance / control_share + treated.variance / treatment_share
    plain = z**2 * variance / effect**2

    def shortfall(log_factor: float) -> float:
        n = plain * math.exp(log_factor)
        tails = tails_of_t_test(
            effect,
            control=control,
            treatment=treated,
            n_control=max(control_share * n, 2.5),
            n_treatment=max(treatment_share * n, 2.5),
            confidence=confidence,
        )
        return (tails.upper if effect > 0 else tails.lower) - power

    # power can only be trusted where it rises with the units: search down from ample
    top = 2.5
    while shortfall(top) < 0:
        top += 1.0
    steps = np.linspace(top, -1.5, 41)
    reached = [step for step in steps if shortfall(step) >= 0]
    if len(reached) == len(steps):
        return float(plain * math.exp(steps[-1]))
    first_miss = next(step for step in steps if shortfall(step) < 0)
    above = first_miss + (steps[0] - steps[1])
    return float(plain * math.exp(optimize.brentq(shortfall, first_miss, above, xtol=1e-10)))


def units_for_honest_tails(
    *,
    control: Shape,
    control_share: float,
    treatment_share: float,
    confidence: float = 0.95,
    tolerance: float = 0.2,
) -> float:
    """Units of the whole experiment from which on each tail errs as often as it says.

    Both false-alarm tails lie within `tolerance` (relative) of (1 - confidence) / 2, by
    `tails_of_t_test` without an effect. Equal arms need few; a control of 5 % needs the most.
    """
    nominal = (1 - confidence) / 2

    def excess(log_units: float) -> float:
        n = math.exp(log_units)
        tails = tails_of_t_test(
            0.0,
            control=control,
            n_control=max(control_share * n, 2.5),
            n_treatment=max(treatment_share * n, 2.5),
            confidence=confidence,
        )
        return max(abs(tails.upper - nominal), abs(tails.lower - nominal)) - tolerance * nominal

    grid = np.linspace(math.log(20), math.log(1e13), 200)
    outside = [log_units for log_units in grid if excess(log_units) > 0]
    if not outside:
        return 20.0
    last = outside[-1]
    return math.exp(optimize.brentq(excess, last, last + (grid[1] - grid[0]), xtol=1e-10))


@dataclass(frozen=True)
class _Cumulants:
    """Of the difference of means, in units of its standard error."""

    std_error: float
    third: float
    fourth: float
    spread: float  # 1 / Welch's degrees of freedom


def _cumulants(
    control: Shape, treatment: Shape, n_control: float, n_treatment: float
) -> _Cumulants:
    if not (n_control > 1 and n_treatment > 1):
        raise DefinitionError(
            f"A t test needs more than 1 unit in each arm, got {n_control} and {n_treatment}.",
            code="ARM_TOO_SMALL",
        )
    variance = control.variance / n_control + treatment.variance / n_treatment
    if not variance > 0:
        raise DefinitionError(
            f"A variance must be above 0, got {control.variance} and {treatment.variance}.",
            code="VARIANCE_INVALID",
        )
    third = treatment.third / n_treatment**2 - control.third / n_control**2
    fourth = sum(
        (shape.fourth - 3 * shape.variance**2) / n**3 if math.isfinite(shape.fourth) else 0.0
        for shape, n in ((control, n_control), (treatment, n_treatment))
    )
    spread = control.variance**2 / (n_control**2 * (n_control - 1))
    spread += treatment.variance**2 / (n_treatment**2 * (n_treatment - 1))
    return _Cumulants(
        std_error=math.sqrt(variance),
        third=third / variance**1.5,
        fourth=fourth / variance**2,
        spread=spread / variance**2,
    )


def _beyond(c: float, shift: float, k3: float, cumulants: _Cumulants) -> float:
    """P(W + shift - c sqrt(s / v) > 0), by the expansion `tails_of_t_test` states.

    The expansion is asymptotic: where its second term is larger than its first, the first alone is
    nearer to the truth. A tail that would fall below 0 falls by the same rate instead.
    """
    y, k4, wobble = c - shift, cumulants.fourth, cumulants.fourth + 2 * cumulants.spread
    base, density = float(stats.norm.sf(y)), float(stats.norm.pdf(y))
    he = np.ravel(hermite_e.hermevander(y, 5))
    first = -c * k3 / 2 * he[1] + k3 / 6 * he[2]
    second = c * wobble / 8 + c**2 * wobble / 8 * he[1]
    second += (-1.5 * c * k4 + 0.75 * c * k3**2) / 6 * he[2]
    second += (k4 / 24 + c**2 * k3**2 / 8) * he[3] - c * k3**2 / 12 * he[4] + k3**2 / 72 * he[5]
    change = density * float(first + second if abs(second) <= abs(first) else first)
    if k3 == 0 or abs(first) < 1e-9:
        change = density * float(second)
    return _kept_inside(base, change)


def _kept_inside(base: float, change: float) -> float:
    """A probability `base + change`, bent so that it approaches 0 or 1 and never passes it."""
    if change < 0:
        room = base / 2
        if -change <= room or room == 0:
            return max(base + change, 0.0)
        return room * math.exp((change + room) / room)
    room = (1 - base) / 2
    if change <= room or room == 0:
        return min(base + change, 1.0)
    return 1 - room * math.exp((room - change) / room)
