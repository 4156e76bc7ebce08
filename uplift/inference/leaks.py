"""Customers of the holdout who were contacted all the same: what a clean holdout would have shown.

The measured effect compares being assigned with not being assigned; a leak into the control pulls
it towards 0. Nothing in the data says how the customers in the leak would have done without the
contact, so there are bounds, and a number only if they respond as the others do.

What must hold: being assigned changes the outcome through delivery only (exclusion), and nobody is
reached because of being in the control (no defiers), so that those in the leak would have been
reached in the treatment as well.
Source: Imbens & Angrist (1994), Econometrica 62(2); Imbens & Manski (2004), Econometrica 72(6), for
the interval of bounds.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from uplift.checks import Check
from uplift.inference.compliance import require_delivery
from uplift.inference.means import Estimate, contrast, welch
from uplift.inference.moments import Moments
from uplift.inference.periods import PeriodMeans
from uplift.table import Column, Result, Table

LEAK_ALARM_SHARE = 0.01  # of the control reached: from here on somebody must look for the cause


@dataclass(frozen=True, repr=False)
class LeakBounds(Result):
    """What a holdout that nobody had leaked into would have shown.

    assigned         the effect as measured; leaks pull it towards 0 when reached customers respond
    leak_share       of the control that was reached all the same
    delivered_share  of the treatment
    if_alike         if those in the leak respond as the compliers do:
                     assigned x delivered_share / (delivered_share - leak_share)
    if_alike_ci      of it, by the delta method
    bounds           whatever those in the leak respond, within the limits given; -inf or inf where
                     no limit was given
    ci               covers the effect of the clean holdout, wherever in the bounds it lies
    """

    assigned: Estimate
    leak_share: float
    delivered_share: float
    if_alike: float
    if_alike_ci: tuple[float, float]
    bounds: tuple[float, float]
    ci: tuple[float, float]

    @property
    def bias(self) -> tuple[float, float]:
        """By how much the measured effect can be off, lowest and highest."""
        low, high = self.bounds
        return self.assigned.effect - high, self.assigned.effect - low

    def table(self) -> Table:
        """The measured effect, the one if all respond alike, and the bounds."""
        columns = (
            Column("effect"),
            Column("estimate", kind="signed"),
            Column("ci", kind="interval"),
        )
        low, high = self.bounds
        rows = [
            ("as measured", self.assigned.effect, self.assigned.ci),
            ("without the leak, if all respond alike", self.if_alike, self.if_alike_ci),
            ("without the leak, at least", low, self.ci),
            ("without the leak, at most", high, self.ci),
        ]
        note = f"{self.leak_share:.2%} of the control and {self.delivered_share:.1%} were reached."
        return Table("Leak into the control", columns, rows, note=note)


def leak_bounds(
    treatment: Moments,
    control: Moments,
    *,
    outcome: str,
    delivered: str,
    delivered_outcome: str,
    lowest: float | None = None,
    highest: float | None = None,
    harmless: bool = False,
    confidence: float = 0.95,
) -> LeakBounds:
    """Bounds on the effect of being assigned against a control that nobody has reached.

        clean effect = assigned + mean(y d)_c - leak_share x (mean of those in the leak, had they
                       not been reached),  a mean that lies in [lowest, highest]

    delivered_outcome  column outcome x delivered; its covariances with both must be declared
    lowest, highest    limits of the outcome per unit (0 for spend, 0 and 1 for a proportion)
    harmless           being reached does not lower anybody's outcome: the effect is then at least
                       the measured one, without a `highest`
    """
    for arm in (treatment, control):
        require_delivery(arm, delivered)
    assigned = welch(treatment, control, column=outcome, confidence=confidence)

    def clean(unreached_mean: float) -> Estimate:
        without = PeriodMeans.of_panel(control, [outcome, delivered_outcome, delivered])
        kept = PeriodMeans.of_panel(treatment, [outcome]).total(np.ones(1))
        weights = np.array([1.0, -1.0, unreached_mean])
        return contrast(kept, without.total(weights), confidence=confidence)

    most = clean(lowest) if lowest is not None else None
    least = clean(highest) if highest is not None else None
    if harmless:
        least = assigned
    alike, alike_ci = _if_alike(
        assigned, treatment, control, outcome=outcome, delivered=delivered, confidence=confidence
    )
    return LeakBounds(
        assigned=assigned,
        leak_share=control.mean_of(delivered),
        delivered_share=treatment.mean_of(delivered),
        if_alike=alike,
        if_alike_ci=alike_ci,
        bounds=(
            -math.inf if least is None else least.effect,
            math.inf if most is None else most.effect,
        ),
        ci=bounds_interval(least, most, confidence=confidence),
    )


def bounds_interval(
    low: Estimate | None, high: Estimate | None, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of a number that is only known to lie between two estimated bounds.

        low - c std_error(low),  high + c std_error(high),
        Phi(c + (high - low) / max std_error) - Phi(-c) = confidence

    Where the bounds are far apart c is 1.64 (one side can be missed), where they meet 1.96.
    None stands for no bound.
    """
    c = float(stats.norm.ppf(confidence))
    if low is not None and high is not None:
        widest = max(low.std_error, high.std_error)
        gap = max(high.effect - low.effect, 0.0) / widest if widest > 0 else math.inf

        def excess(x: float) -> float:
            return float(stats.norm.cdf(x + gap) - stats.norm.cdf(-x)) - confidence

        both_sides = float(stats.norm.ppf(0.5 + confidence / 2))
        c = float(optimize.brentq(excess, c - 1e-6, both_sides + 1e-6, xtol=1e-12))
    lower = -math.inf if low is None else low.effect - c * low.std_error
    upper = math.inf if high is None else high.effect + c * high.std_error
    return lower, upper


def check_contamination(reached: int, *, n_control: int) -> Check:
    """Whether customers of the control are in the log of sent contacts.

    A warning, because the effect of being assigned stays what it is; above 1 % somebody must act.
    """
    share = reached / n_control if n_control else 0.0
    alarm = share > LEAK_ALARM_SHARE
    remedy = (
        f"{reached:,} of {n_control:,} in the control were contacted. The effect of being assigned "
        "is kept and is smaller than without the leak; read it beside the bounds."
    )
    if alarm:
        remedy += " Find out how they were reached: a second id, another sender, a late list."
    return Check(
        "contamination",
        passed=reached == 0,
        value=share,
        bound=LEAK_ALARM_SHARE,
        remedy=remedy,
        code="CONTAMINATION",
        blocking=False,
    )


def _if_alike(
    assigned: Estimate,
    treatment: Moments,
    control: Moments,
    *,
    outcome: str,
    delivered: str,
    confidence: float,
) -> tuple[float, tuple[float, float]]:
    """Effect x p / (p - q), with shares p and q delivered, and its delta-method interval."""
    p, q = treatment.mean_of(delivered), control.mean_of(delivered)
    if not p > q:
        return float("nan"), (float("nan"), float("nan"))
    slope = np.array([p / (p - q), -assigned.effect * q / (p - q) ** 2])  # by assigned and p
    other = np.array([-p / (p - q), assigned.effect * p / (p - q) ** 2])  # by the control's mean, q
    variance = 0.0
    for arm, gradient in ((treatment, slope), (control, other)):
        spread = arm.covariance_matrix([outcome, delivered]) / arm.count
        variance += float(gradient @ spread @ gradient)
    value = assigned.effect * p / (p - q)
    half = float(stats.t.ppf(0.5 + confidence / 2, assigned.df)) * math.sqrt(variance)
    return value, (value - half, value + half)
