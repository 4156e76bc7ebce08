"""Did the market move, or did the campaign get weaker?

The control shows what happens without the campaign. When an effect changes from earlier periods to
later ones, the control says whether everybody changed (market), and the difference between the
arms whether the campaign did. Both are tested, and the two share one error.

The market usually multiplies: a quarter less demand makes a quarter less spend and a quarter less
absolute effect, and the campaign is as good as before. So changes are relative unless asked
otherwise. Season, price and competition all count as the market.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.errors import DataError, DefinitionError
from uplift.inference.multiplicity import holm
from uplift.inference.periods import PeriodMeans, require_same_periods
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]
Scale = Literal["relative", "absolute"]
Cause = Literal["market", "campaign", "both", "neither"]


@dataclass(frozen=True)
class Change:
    """One quantity before and after.

    before, after     mean of the control per unit and period; or the effect, on the relative scale
                      divided by the control's mean
    change            after - before; on the relative scale the ratio less 1, for the effect that of
                      the arms' ratios: (1 + after) / (1 + before) - 1
    ci, p_value       of the change, as if it were the only one
    adjusted_p_value  of the two changes together, by Holm
    """

    before: float
    after: float
    change: float
    ci: tuple[float, float]
    p_value: float
    adjusted_p_value: float


@dataclass(frozen=True, repr=False)
class MarketReading(Result):
    """Which of the two moved.

    market    the control's change
    campaign  the effect's change
    moved     `market`, `campaign`, `both`, or `neither` is proven to have moved
    """

    market: Change
    campaign: Change
    scale: Scale
    confidence: float

    @property
    def moved(self) -> Cause:
        """What is proven to have moved."""
        alpha = 1 - self.confidence
        market = self.market.adjusted_p_value < alpha
        campaign = self.campaign.adjusted_p_value < alpha
        if market and campaign:
            return "both"
        if market:
            return "market"
        return "campaign" if campaign else "neither"

    def table(self) -> Table:
        """One row for the market, one for the campaign."""
        columns = (
            Column("what"),
            Column("before", kind="number"),
            Column("after", kind="number"),
            Column("change", kind="signed"),
            Column("ci", kind="interval"),
            Column("p value", kind="p_value"),
        )
        rows = [
            (name, one.before, one.after, one.change, one.ci, one.adjusted_p_value)
            for name, one in (("control (market)", self.market), ("effect", self.campaign))
        ]
        return Table(
            "Market or campaign", columns, rows, note=f"Proven to have moved: {self.moved}."
        )


def market_or_campaign(
    treatment: PeriodMeans,
    control: PeriodMeans,
    *,
    n_after: int = 1,
    scale: Scale = "relative",
    confidence: float = 0.95,
) -> MarketReading:
    """The last `n_after` periods against all before them, in the control and in the effect.

        absolute  control:  c_after - c_before
                  effect:   (t_after - c_after) - (t_before - c_before)
        relative  control:  c_after / c_before - 1
                  effect:   (t_after / c_after) / (t_before / c_before) - 1

    with means over the periods of each side, and errors by the delta method on the log scale.
    Choose the periods before looking: the largest of many changes is not tested by this.
    """
    require_same_periods(treatment, control)
    n = len(control.periods)
    if not 0 < n_after < n:
        raise DefinitionError(
            f"n_after must leave periods on both sides of {n}, got {n_after}.",
            code="WINDOW_INVALID",
        )
    if scale not in ("relative", "absolute"):
        raise DefinitionError(
            f"The scale is 'relative' or 'absolute', not {scale!r}.", code="SCALE_INVALID"
        )
    sides = np.zeros((2, n))
    sides[0, : n - n_after], sides[1, n - n_after :] = 1 / (n - n_after), 1 / n_after
    arms = [_Side.of(arm, sides, scale) for arm in (control, treatment)]
    market, campaign = _change(arms[:1], scale, confidence), _change(arms, scale, confidence)
    adjusted = holm([market.p_value, campaign.p_value])
    return MarketReading(
        market=replace(market, adjusted_p_value=float(adjusted[0])),
        campaign=replace(campaign, adjusted_p_value=float(adjusted[1])),
        scale=scale,
        confidence=confidence,
    )


@dataclass(frozen=True)
class _Side:
    """An arm before and after, with the variance and df of its change (of logs, if relative)."""

    before: float
    after: float
    change: float
    variance: float
    df: float

    @classmethod
    def of(cls, arm: PeriodMeans, sides: Array, scale: Scale) -> "_Side":
        before, after = (float(side @ (arm.mean + arm.rest)) for side in sides)
        if scale == "absolute":
            change = arm.total(sides[1] - sides[0])
            return cls(before, after, change.value + change.rest, change.variance, change.df)
        if not (before > 0 and after > 0):
            raise DataError(
                f"A relative change needs means above 0, got {before:.4g} before and {after:.4g} "
                "after. Ask for the absolute scale.",
                code="SCALE_INVALID",
            )
        relative = arm.total(sides[1] / after - sides[0] / before)
        return cls(before, after, math.log(after / before), relative.variance, relative.df)


def _change(arms: list[_Side], scale: Scale, confidence: float) -> Change:
    """The change of the control alone, or of the treatment beside it."""
    first, last = arms[0], arms[-1]
    effect = len(arms) == 2
    change = last.change - (first.change if effect else 0.0)
    variance = sum(arm.variance for arm in arms)
    nothing = float("nan")
    ci, p_value = (nothing, nothing), nothing
    if variance > 0:
        df = 1 / sum((arm.variance / variance) ** 2 / arm.df for arm in arms)
        error = math.sqrt(variance)
        half = float(stats.t.ppf(0.5 + confidence / 2, df)) * error
        ci = (change - half, change + half)
        p_value = float(2 * stats.t.sf(abs(change) / error, df))
    before, after = last.before, last.after
    if effect:
        before, after = before - first.before, after - first.after
    if scale == "relative":
        change, ci = math.expm1(change), (math.expm1(ci[0]), math.expm1(ci[1]))
        if effect:
            before, after = before / first.before, after / first.after
    return Change(before, after, change, ci, p_value, p_value)
