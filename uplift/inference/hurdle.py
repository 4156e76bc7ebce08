"""Revenue in two steps: did more customers buy, or did buyers spend more?

Spend per customer is the share of buyers times the basket of a buyer, so a difference of spend
splits into the two without a remainder. Customers who buy only because of the campaign change the
mean basket too: the split says where the money shows, not what one buyer would have spent
otherwise.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.errors import DataError
from uplift.inference.means import Estimate, welch
from uplift.inference.moments import Moments
from uplift.inference.proportions import equal_tailed_score
from uplift.inference.ratios import ratio
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]

FEWEST_BUYERS = 2  # of an arm, for the error of a basket


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the effect on spend per customer, in its unit.

    share  of the whole effect; may be below 0 or above 1 when the parts pull apart, nan when the
           whole is 0
    """

    effect: float
    std_error: float
    ci: tuple[float, float]
    p_value: float
    share: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Hurdle(Result):
    """The effect on spend per customer, split.

    spend        the whole: difference of spend per customer (Welch)
    buyers       part that comes with more (or fewer) buyers, valued at the mean of both baskets
    baskets      part that comes with larger baskets, at the mean of both shares of buyers
    interaction  (p_t - p_c)(m_t - m_c): half of it is in each part
    share        difference of the shares of buyers, by the equal-tailed score interval
    basket       difference of spend per buyer, by the delta method
    """

    spend: Estimate
    buyers: Part
    baskets: Part
    interaction: float
    share: Estimate
    basket: Estimate

    def table(self) -> Table:
        """The whole and its parts."""
        columns = (
            Column("part"),
            Column("effect", kind="signed"),
            Column("ci", kind="interval"),
            Column("share of the effect", kind="share"),
        )
        rows = [
            ("more buyers", self.buyers.effect, self.buyers.ci, self.buyers.share),
            ("larger baskets", self.baskets.effect, self.baskets.ci, self.baskets.share),
            ("together", self.spend.effect, self.spend.ci, 1.0),
        ]
        return Table("Spend per customer", columns, rows)


def hurdle(
    treatment: Moments,
    control: Moments,
    *,
    spend: str,
    buyer: str,
    confidence: float = 0.95,
) -> Hurdle:
    """Split the difference of spend per customer, without a remainder.

        spend_a = p_a m_a,  p_a the share of buyers, m_a spend per buyer
        buyers  = (p_t - p_c) (m_t + m_c) / 2
        baskets = (m_t - m_c) (p_t + p_c) / 2,   and buyers + baskets = spend_t - spend_c

    Errors by the delta method from the two means of each arm, on Satterthwaite's degrees of
    freedom.

    spend  column of spend, 0 for who did not buy
    buyer  column of 1 where spend is not 0, else 0 (`buyer_column`). Their co-moment need not have
           been collected: with such a column it follows from the means
    Errors: BUYERS_TOO_FEW when an arm has fewer than 2 buyers, and what `welch`
    and `equal_tailed_score` refuse.
    """
    whole = welch(treatment, control, column=spend, confidence=confidence)
    share = equal_tailed_score(treatment, control, column=buyer, confidence=confidence)
    arms = [_Arm.of(arm, spend, buyer) for arm in (treatment, control)]
    gradients = _gradients(*arms)
    buyers = (arms[0].share - arms[1].share) * (arms[0].basket + arms[1].basket) / 2
    return Hurdle(
        spend=whole,
        buyers=_part(buyers, gradients[0], arms, whole.effect, confidence),
        baskets=_part(whole.effect - buyers, gradients[1], arms, whole.effect, confidence),
        interaction=(arms[0].share - arms[1].share) * (arms[0].basket - arms[1].basket),
        share=share,
        basket=ratio(
            _with_comoment(treatment, spend, buyer),
            _with_comoment(control, spend, buyer),
            numerator=spend,
            denominator=buyer,
            confidence=confidence,
        ),
    )


def buyer_column(spend: Any) -> Array:
    """1 where spend is not 0, else 0. (n_units,)."""
    return np.where(np.asarray(spend, dtype=np.float64) != 0, 1.0, 0.0)


@dataclass(frozen=True, eq=False)
class _Arm:
    """Spend per customer, share of buyers, and the covariance matrix of both as means."""

    spend: float
    share: float
    covariance: Array
    df: float

    @classmethod
    def of(cls, arm: Moments, spend: str, buyer: str) -> "_Arm":
        mean, share, n = arm.mean_of(spend), arm.mean_of(buyer), arm.count
        if share * n < FEWEST_BUYERS - 0.5:
            raise DataError(
                f"An arm has {share * n:.0f} buyer(s) among {n:g} units; at least {FEWEST_BUYERS} "
                "are needed to tell buyers from baskets. Read spend and conversion as they are.",
                code="BUYERS_TOO_FEW",
                column=buyer,
                count=round(share * n),
            )
        cross = _covariance(arm, spend, buyer)
        matrix = np.array([[arm.variance(spend), cross], [cross, arm.variance(buyer)]])
        return cls(mean, share, matrix / n, n - 1)

    @property
    def basket(self) -> float:
        """Spend per buyer."""
        return self.spend / self.share


def _covariance(arm: Moments, spend: str, buyer: str) -> float:
    """Of spend and having bought: spend is 0 without it, so E[spend buyer] = E[spend]."""
    n = arm.count
    return arm.mean_of(spend) * (1 - arm.mean_of(buyer)) * n / (n - 1)


def _with_comoment(arm: Moments, spend: str, buyer: str) -> Moments:
    """Moments of the two columns with their co-moment."""
    columns, count = (spend, buyer), arm.count
    cross = _covariance(arm, spend, buyer)
    variances = (arm.variance(spend), cross, arm.variance(buyer))
    i = [arm.index(name) for name in columns]
    return Moments(
        columns,
        ((0, 0), (0, 1), (1, 1)),
        count,
        arm.mean[i],
        np.array(variances) * (count - 1),
        arm.rest[i],
    )


def _gradients(treatment: _Arm, control: _Arm) -> tuple[list[Array], list[Array]]:
    """Of both parts, by (spend, share) of the treatment and of the control.

    With m = spend / p: buyers = (p_t - p_c) (y_t / p_t + y_c / p_c) / 2, and baskets is the rest.
    """
    apart = treatment.share - control.share
    middle = (treatment.basket + control.basket) / 2
    of_treatment = np.array(
        [apart / (2 * treatment.share), middle - apart * treatment.basket / (2 * treatment.share)]
    )
    of_control = np.array(
        [apart / (2 * control.share), -middle - apart * control.basket / (2 * control.share)]
    )
    whole = (np.array([1.0, 0.0]), np.array([-1.0, 0.0]))
    buyers = [of_treatment, of_control]
    return buyers, [all_of - part for all_of, part in zip(whole, buyers, strict=True)]


def _part(
    effect: float, gradients: list[Array], arms: list[_Arm], whole: float, confidence: float
) -> Part:
    parts = np.array(
        [float(g @ arm.covariance @ g) for g, arm in zip(gradients, arms, strict=True)]
    )
    variance = float(parts.sum())
    nan = math.nan
    if not variance > 0:
        return Part(effect=effect, std_error=0.0, ci=(nan, nan), p_value=nan, share=nan)
    error = math.sqrt(variance)
    df = float(1 / np.sum((parts / variance) ** 2 / np.array([arm.df for arm in arms])))
    half = float(stats.t.ppf(0.5 + confidence / 2, df)) * error
    return Part(
        effect=effect,
        std_error=error,
        ci=(effect - half, effect + half),
        p_value=float(2 * stats.t.sf(abs(effect) / error, df)),
        share=effect / whole if whole != 0 else nan,
    )
