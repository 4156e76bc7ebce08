"""What the whole programme earned, against the sum of what its campaigns are said to have earned.

The universal control, which no campaign touches, measures everything together: what campaigns take
from each other, what fatigue costs, what no single test sees. The sum of campaign effects is only
right if campaigns add up; the sum of the winners alone is too large even then (winner's curse). The
difference is the interaction residual.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.errors import DataError, DefinitionError
from uplift.inference.means import Estimate
from uplift.inference.shrinkage import checked_effects, shrink
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CampaignEffect:
    """One campaign's own test.

    effect, std_error  per unit assigned to the campaign, in the unit of the programme's metric
    reach              units assigned to its treatment / units of the programme; above 1 when units
                       are assigned more than once. The campaign's own control is not reached.
    """

    name: str
    effect: float
    std_error: float
    reach: float


@dataclass(frozen=True, repr=False)
class ProgrammeTotal(Result):
    """Per unit of the programme, so that all parts can be compared.

    measured         programme less universal control
    raw_sum          sum of reach x effect as measured by the campaigns' tests
    raw_sum_ci       of it
    shrunken_sum     the same with shrunken effects
    shrunken_sum_ci  of it
    residual         measured - shrunken_sum: below 0, campaigns take from each other
    residual_ci, residual_p_value  of it
    contributions    (n_campaigns,)  reach x shrunken effect
    """

    measured: Estimate
    campaigns: tuple[CampaignEffect, ...]
    raw_sum: float
    raw_sum_ci: tuple[float, float]
    shrunken_sum: float
    shrunken_sum_ci: tuple[float, float]
    residual: float
    residual_ci: tuple[float, float]
    residual_p_value: float
    contributions: Array = field(repr=False)

    def table(self) -> Table:
        """Campaigns, their sum, the measured total, and what is between them."""
        columns = (
            Column("part"),
            Column("as measured by tests", kind="signed"),
            Column("shrunken", kind="signed"),
            Column("ci", kind="interval"),
        )
        nothing = (float("nan"), float("nan"))
        rows: list[tuple[object, ...]] = [
            (one.name, one.reach * one.effect, float(part), nothing)
            for one, part in zip(self.campaigns, self.contributions, strict=True)
        ]
        rows += [
            ("sum of campaigns", self.raw_sum, self.shrunken_sum, self.shrunken_sum_ci),
            ("programme, by universal control", None, self.measured.effect, self.measured.ci),
            ("interaction residual", None, self.residual, self.residual_ci),
        ]
        return Table("Programme and campaigns, per unit", columns, rows)


def programme_total(
    measured: Estimate,
    campaigns: Sequence[CampaignEffect],
    *,
    confidence: float = 0.95,
) -> ProgrammeTotal:
    """The universal control's total beside the sum of shrunken campaign effects.

        residual   = measured - sum(reach x shrunken)
        variance   = std_error(measured)^2 + reach' covariance(shrunken - true) reach,
        on a t distribution with Satterthwaite's degrees of freedom, those of the sum being many

    All campaigns of the programme must be given, the failed ones too. The campaigns' tests and the
    universal control are taken as independent of each other: campaigns draw their own controls
    inside the programme, so that their differences do not move with its mean.

    measured  effect of the programme per unit, e.g. `welch` of programme against universal control
    """
    if not campaigns:
        raise DataError("There is no campaign to add up. Give one.", code="EMPTY_INPUT")
    reach = np.array([one.reach for one in campaigns], dtype=np.float64)
    if not (np.isfinite(reach).all() and (reach > 0).all()):
        raise DefinitionError(
            f"The reach of a campaign must be above 0, got {reach.tolist()}.", code="REACH_INVALID"
        )
    y, error = checked_effects(
        [one.effect for one in campaigns], [one.std_error for one in campaigns]
    )
    effects, covariance = y, np.diag(error**2)
    if len(y) > 1:
        found = shrink(y, error, confidence=confidence)
        effects, covariance = found.effects, found.covariance
    raw, shrunken = float(reach @ y), float(reach @ effects)
    raw_error = math.sqrt(float(reach**2 @ error**2))
    sum_error = math.sqrt(float(reach @ covariance @ reach))
    residual = measured.effect - shrunken
    error_of_residual = math.hypot(measured.std_error, sum_error)
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    share = measured.std_error / error_of_residual
    df = measured.df / share**4 if share > 0 else math.inf
    t = float(stats.t.ppf(0.5 + confidence / 2, df))
    return ProgrammeTotal(
        measured=measured,
        campaigns=tuple(campaigns),
        raw_sum=raw,
        raw_sum_ci=(raw - z * raw_error, raw + z * raw_error),
        shrunken_sum=shrunken,
        shrunken_sum_ci=(shrunken - z * sum_error, shrunken + z * sum_error),
        residual=residual,
        residual_ci=(residual - t * error_of_residual, residual + t * error_of_residual),
        residual_p_value=float(2 * stats.t.sf(abs(residual) / error_of_residual, df)),
        contributions=reach * effects,
    )
