"""Not everybody who was meant to get the campaign got it: the effect on those who were reached.

The effect of being assigned (intention to treat) stays the effect of the experiment: the arms were
drawn, delivery was not. From it and the delivery log follows the effect on those who are reached
because they were assigned (compliers). Comparing those who were reached, or who opened, with the
control is something else: they chose themselves, and the control has no such customers to set
against them.

What must hold: being assigned changes the outcome through delivery only (exclusion), and nobody is
reached because of being in the control (no defiers).
Source: Imbens & Angrist (1994), Econometrica 62(2); Anderson & Rubin (1949), Annals of Mathematical
Statistics 20(1), for the interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from uplift.errors import DataError
from uplift.inference.fieller import quotient_interval, quotient_variance
from uplift.inference.means import Estimate, welch
from uplift.inference.moments import Moments
from uplift.table import Column, Result, Table


@dataclass(frozen=True, repr=False)
class ComplierEffect(Result):
    """Effect on those who are reached if, and only if, they are assigned.

    assigned         intention to treat: the effect of being assigned, over everybody
    delivered        difference in the share delivered, which is the share of compliers
    effect           assigned / delivered, per complier, in the unit of the metric
    std_error        of it, by the delta method
    ci               by Fieller's theorem; (nan, nan) when so few were reached that any effect fits
    delta_ci         effect -+ t std_error, for comparison with other programs
    p_value          of no effect; the same hypothesis, and the same test, as that of `assigned`
    control_mean     of the compliers, had they not been reached
    relative_effect  effect / |control_mean|; nan when that is 0
    one_sided        nobody in the control was reached, so compliers are all who were reached
    """

    assigned: Estimate
    delivered: Estimate
    effect: float
    std_error: float
    ci: tuple[float, float]
    delta_ci: tuple[float, float]
    p_value: float
    control_mean: float
    relative_effect: float
    one_sided: bool

    def table(self) -> Table:
        """The effect of being assigned first, then that of being reached."""
        columns = (
            Column("effect"),
            Column("estimate", kind="signed"),
            Column("ci", kind="interval"),
            Column("p value", kind="p_value"),
        )
        reached = "of being reached" if self.one_sided else "of being reached because assigned"
        rows = [
            ("of being assigned", self.assigned.effect, self.assigned.ci, self.p_value),
            ("on delivery", self.delivered.effect, self.delivered.ci, self.delivered.p_value),
            (reached, self.effect, self.ci, self.p_value),
        ]
        return Table("Assigned and reached", columns, rows)


def complier_effect(
    treatment: Moments,
    control: Moments,
    *,
    outcome: str,
    delivered: str,
    confidence: float = 0.95,
) -> ComplierEffect:
    """Wald's ratio of the effect on the outcome to that on delivery.

        effect       = (mean(y)_t - mean(y)_c) / (mean(d)_t - mean(d)_c)
        control_mean = (mean(y (1 - d))_c - mean(y (1 - d))_t) / (mean(d)_t - mean(d)_c)

    The covariance of outcome and delivery must be among the moments.

    delivered  0 or 1 per unit: the contact arrived, whichever arm the unit is in
    """
    for arm in (treatment, control):
        require_delivery(arm, delivered)
    assigned = welch(treatment, control, column=outcome, confidence=confidence)
    reached = welch(treatment, control, column=delivered, confidence=confidence)
    joint = sum(arm.covariance(outcome, delivered) / arm.count for arm in (treatment, control))
    var_top, var_base = assigned.std_error**2, reached.std_error**2
    apart = reached.effect
    effect = assigned.effect / apart if apart != 0 else float("nan")
    variance = quotient_variance(
        assigned.effect, apart, var_top=var_top, var_base=var_base, covariance=joint
    )
    quantile = _quantile(assigned, reached, confidence)
    half = quantile * math.sqrt(variance)
    unreached = _unreached(control, outcome, delivered) - _unreached(treatment, outcome, delivered)
    mean = unreached / apart if apart != 0 else float("nan")
    return ComplierEffect(
        assigned=assigned,
        delivered=reached,
        effect=effect,
        std_error=math.sqrt(variance),
        ci=quotient_interval(
            assigned.effect,
            apart,
            var_top=var_top,
            var_base=var_base,
            covariance=joint,
            quantile=quantile,
        ),
        delta_ci=(effect - half, effect + half),
        p_value=assigned.p_value,
        control_mean=mean,
        relative_effect=effect / abs(mean) if mean else float("nan"),
        one_sided=control.mean_of(delivered) == 0,
    )


def covariances_for_delivery(
    outcomes: Sequence[str], delivered: str, delivered_outcomes: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """The covariances that the functions here need; `delivered_outcomes` pair with `outcomes`."""
    pairs = [(outcome, delivered) for outcome in (*outcomes, *delivered_outcomes)]
    return pairs + list(zip(outcomes, delivered_outcomes, strict=False))


def require_delivery(arm: Moments, delivered: str) -> None:
    """Refuse a delivery column that is not 0 or 1."""
    mean, count = arm.mean_of(delivered), arm.count
    spread = mean * (1 - mean) * count / max(count - 1, 1)
    if not np.isclose(arm.variance(delivered), spread, rtol=1e-6, atol=1e-12):
        raise DataError(
            f"Column {delivered!r} must be 0 or 1 for every unit: was the contact delivered? "
            "Recode it, with 0 for a unit that is not in the log.",
            code="OUTCOME_NOT_BINARY",
            column=delivered,
        )


def _unreached(arm: Moments, outcome: str, delivered: str) -> float:
    """Mean of outcome x (1 - delivered)."""
    together = arm.covariance(outcome, delivered) * (arm.count - 1) / arm.count
    return arm.mean_of(outcome) * (1 - arm.mean_of(delivered)) - together


def _quantile(assigned: Estimate, reached: Estimate, confidence: float) -> float:
    df = [one.df for one in (assigned, reached) if math.isfinite(one.df)]
    return float(stats.t.ppf(0.5 + confidence / 2, min(df) if df else math.inf))
