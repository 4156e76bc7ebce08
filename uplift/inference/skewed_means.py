"""Intervals of a mean that few customers make: skewness corrected, for a small control.

With a control of 2,000 (5 % of units), 1 % buyers and lognormal baskets, Welch's interval at 95 %
calls a useless campaign "better" 11 times in 100 instead of 2.5: when the control happens to have
few large orders, its mean and its standard error are both too small. Three
remedies, simplest first:

- equal arms: the skewness cancels, take Welch;
- `own_shape`: Hall's transformation with each arm's own variance and third moment; it halves the
  excess (to 5 in 100), because a small control does not know its own skewness, and for the same
  reason it spoils two equal arms of 2,000 (5 in 100 on either side);
- `common_shape`: variance and third moment of all units together, which a large treatment arm knows
  well. Both tails hold (about 2 in 100), as long as the campaign does not change the spread of the
  outcome much: it assumes what a sharp "no effect" implies, and a treatment that takes a fifth of
  the variance away brings the tail to about 3.5 in 100.

`check_skewness` says when Welch is not to be
trusted.
Source: Johnson (1978), JASA 73(363); Hall (1992), JRSS B 54(1).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from scipy import optimize, stats

from uplift.checks import Check
from uplift.errors import DataError
from uplift.inference.means import ArmMean, Estimate, contrast
from uplift.inference.moments import Moments
from uplift.inference.skewness import Shape, Tails, tails_of_t_test

LARGEST_TAIL_ERROR = 0.1  # of the nominal one-sided error: 2.5 % may become 2.25 to 2.75 %
LARGEST_SKEWNESS = 3.0  # of a difference; of more the corrections make too much (see `bounded`)
SKEWED_CODE = "SKEWED_INTERVAL"


@dataclass(frozen=True, kw_only=True)
class SkewedArm:
    """Units of an arm and the shape of its outcome.

    shape  with mean, variance (divisor n - 1) and third central moment (`skewness.Shape`)
    """

    n_units: float
    shape: Shape

    def __post_init__(self) -> None:
        if self.n_units < 2 or not math.isfinite(self.shape.third):
            raise DataError(
                f"A skewness correction needs 2 units and a third moment, got {self.n_units:g} "
                f"and {self.shape.third}.",
                code="ARM_TOO_SMALL",
            )

    @classmethod
    def of(cls, moments: Moments, column: str, *, third: float) -> "SkewedArm":
        """From moments and the third central moment, the mean of (y - mean)^3."""
        shape = Shape(mean=moments.mean_of(column), variance=moments.variance(column), third=third)
        return cls(n_units=moments.count, shape=shape)

    def plus(self, amount: float) -> "SkewedArm":
        """The arm when every unit has an exactly known amount more."""
        return replace(self, shape=replace(self.shape, mean=self.shape.mean + amount))


def own_shape(treatment: SkewedArm, control: SkewedArm, *, confidence: float = 0.95) -> Estimate:
    """Difference of means with Hall's interval, each arm by its own moments.

        T = (difference - d) / sqrt(v),  v = s_t^2 / n_t + s_c^2 / n_c
        k = (third_t / n_t^2 - third_c / n_c^2) / v^1.5
        g(T) = T + k T^2 / 3 + k / 6 + k^2 T^3 / 27

    d is in the interval when |g(T)| is below the t quantile of Welch's degrees of freedom. g rises
    everywhere, so the interval has no gap.
    """
    shapes = (treatment.shape, control.shape)
    return _estimate(treatment, control, shapes, hall_studentised, confidence, df=None)


def common_shape(treatment: SkewedArm, control: SkewedArm, *, confidence: float = 0.95) -> Estimate:
    """Difference of means with the variance and third moment of all units, and Hall's correction.

        T = (difference - d) / sqrt(v),  v = s^2 (1 / n_t + 1 / n_c)
        k = third (1 / n_t^2 - 1 / n_c^2) / v^1.5
        g(T) = T - k (T^2 - 1) / 6 + k^2 T^3 / 108

    s^2 and third are about each arm's own mean, weighted by units. For a control much smaller than
    the treatment, and effects that leave the spread of the outcome alike (see above).
    """
    shape = pooled_shape(treatment, control)
    df = treatment.n_units + control.n_units - 2
    return _estimate(treatment, control, (shape, shape), hall_normalised, confidence, df)


def check_skewness(
    treatment: SkewedArm,
    control: SkewedArm,
    *,
    confidence: float = 0.95,
    tolerance: float = LARGEST_TAIL_ERROR,
) -> Check:
    """Does Welch's interval err as often as it says on each side, with these arms?

    Predicted without an effect by `skewness.tails_of_t_test`, from the shape of all units together
    (a small control underrates its own skewness). `value` is the worse one-sided error; where the
    prediction itself is beyond its range, the check fails.
    """
    pooled = pooled_shape(treatment, control)
    nominal = (1 - confidence) / 2
    if not pooled.variance > 0:
        return Check("skewness", True, value=nominal, bound=nominal * (1 + tolerance))
    tails = tails_of_t_test(
        0.0,
        control=pooled,
        n_control=control.n_units,
        n_treatment=treatment.n_units,
        confidence=confidence,
    )
    apart = max(abs(tails.upper - nominal), abs(tails.lower - nominal))
    return Check(
        "skewness",
        passed=tails.trusted and apart <= tolerance * nominal,
        value=max(tails.upper, tails.lower),
        bound=nominal * (1 + tolerance),
        remedy=_remedy(tails, nominal),
        code=SKEWED_CODE,
        blocking=False,
    )


def pooled_shape(treatment: SkewedArm, control: SkewedArm) -> Shape:
    """Variance and third moment of all units about their own arm's mean; the control's mean."""
    n = treatment.n_units + control.n_units
    weighted = [(arm.n_units / n, arm.shape) for arm in (treatment, control)]
    return Shape(
        mean=control.shape.mean,
        variance=sum(weight * shape.variance for weight, shape in weighted),
        third=sum(weight * shape.third for weight, shape in weighted),
    )


def bounded(skewness: float) -> float:
    """The skewness of a difference that is corrected for, at most 3 either way.

    With 30 to 100 units of rare spend it may be 5 or 15. Hall's expansion is then far from where it
    holds: uncapped, it moves a difference of 0 by k / 6 and so calls it proven. Capped, the
    interval is too wide and errs on no side.
    """
    return max(-LARGEST_SKEWNESS, min(LARGEST_SKEWNESS, skewness))


def hall_studentised(t: float, k: float) -> float:
    """Hall's transformation of a statistic with an estimated error, of skewness k; it rises."""
    return t + k * t**2 / 3 + k / 6 + k**2 * t**3 / 27


def hall_normalised(t: float, k: float) -> float:
    """The same for a statistic whose error is known, or nearly so; it rises too."""
    return t - k * (t**2 - 1) / 6 + k**2 * t**3 / 108


Transform = Callable[[float, float], float]


def _estimate(
    treatment: SkewedArm,
    control: SkewedArm,
    shapes: tuple[Shape, Shape],
    transform: Transform,
    confidence: float,
    df: float | None,
) -> Estimate:
    """Effect, corrected interval and p-value; everything else as a difference of means has it."""
    arms = [
        ArmMean(
            value=arm.shape.mean,
            rest=0.0,
            variance=shape.variance / arm.n_units,
            df=arm.n_units - 1,
            n_units=arm.n_units,
        )
        for arm, shape in zip((treatment, control), shapes, strict=True)
    ]
    plain = contrast(arms[0], arms[1], confidence=confidence)
    if not plain.std_error > 0:
        return plain
    freedom = plain.df if df is None else df
    bound = float(stats.t.ppf(0.5 + confidence / 2, freedom))
    scores = _Scores(treatment, control, shapes, transform)
    corrected = scores.of_difference(0.0)
    ends = [
        _where(scores.of_difference, level, plain.effect, plain.std_error)
        for level in (bound, -bound)
    ]
    return replace(
        plain,
        ci=(ends[0], ends[1]),
        p_value=float(2 * stats.t.sf(abs(corrected), freedom)),
        df=freedom,
        relative_ci=scores.relative_ci(bound),
    )


@dataclass(frozen=True)
class _Scores:
    """Corrected statistics of hypothetical differences and ratios; both fall as these rise."""

    treatment: SkewedArm
    control: SkewedArm
    shapes: tuple[Shape, Shape]
    transform: Transform

    def of_difference(self, difference: float) -> float:
        return self._score(1.0, difference)

    def of_ratio(self, ratio: float) -> float:
        return self._score(ratio, 0.0)

    def _score(self, ratio: float, difference: float) -> float:
        """Of mean_t - ratio mean_c = difference."""
        (t, c), n_t, n_c = self.shapes, self.treatment.n_units, self.control.n_units
        variance = t.variance / n_t + ratio**2 * c.variance / n_c
        third = t.third / n_t**2 - ratio**3 * c.third / n_c**2
        apart = self.treatment.shape.mean - ratio * self.control.shape.mean - difference
        return self.transform(apart / math.sqrt(variance), bounded(third / variance**1.5))

    def relative_ci(self, bound: float) -> tuple[float, float]:
        """Ratios that are not rejected, less 1; (nan, nan) when they have no limit.

        Where a few customers make everything, the ratio that was observed may itself be rejected.
        """
        nan = (math.nan, math.nan)
        top, base = self.treatment.shape.mean, self.control.shape.mean
        if not (top > 0 and base > 0):
            return nan
        ratio = top / base
        far = 1e6 * ratio
        if self.of_ratio(far) > -bound or self.of_ratio(0.0) < -bound:
            return nan
        high = float(optimize.brentq(lambda r: self.of_ratio(r) + bound, 0.0, far, xtol=1e-12))
        if self.of_ratio(0.0) < bound:  # not even a mean of 0 is excluded
            return -1.0, high - 1
        low = float(optimize.brentq(lambda r: self.of_ratio(r) - bound, 0.0, far, xtol=1e-12))
        return low - 1, high - 1


def _where(score: Callable[[float], float], level: float, centre: float, error: float) -> float:
    """The difference at which the falling score equals the level."""
    width = 4 * error
    while score(centre - width) < level or score(centre + width) > level:
        width *= 2
    return float(
        optimize.brentq(
            lambda d: score(d) - level, centre - width, centre + width, xtol=1e-14 * width
        )
    )


def _remedy(tails: Tails, nominal: float) -> str:
    sides = (
        f"Without an effect the plain interval would say 'better' {tails.upper:.1%} and 'worse' "
        f"{tails.lower:.1%} of the time instead of {nominal:.1%} each"
    )
    doubt = "" if tails.trusted else " (roughly: the outcome is too skewed for a sharp prediction)"
    return (
        f"{sides}{doubt}. A few large values make the mean. Read the skewness-corrected interval, "
        "cap the metric in the next plan, or make the smaller arm larger."
    )
