"""Revenue in two parts: who buys, and what a buyer spends.

    mean_k(x) = P(buys | x, arm k) * E[basket | buys, x, arm k]

Most customers spend nothing, and a few baskets are very large: one regression of spend is led by
them. The basket's model sees winsorised baskets, scaled back to their mean; no effect, score or
evaluation ever does. Means made this way only have to be good: the doubly robust scores take the
real outcome and stay unbiased.
Source: Duan, Manning, Morris & Newhouse (1983), Journal of Business & Economic Statistics 1(2).
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError
from uplift.models.feature_rows import FeatureRows
from uplift.suite import effect_scores

if TYPE_CHECKING:
    from uplift.models.crossfit import ArmModels

Array = npt.NDArray[np.float64]

ZERO_SHARE = 0.5  # above it an outcome is taken for "nothing, or an amount"
MIN_VALUES = 20  # amounts that differ: fewer are grades or counts
MIN_BUYERS = 100  # of all arms: fewer baskets teach no model
CAP_SHARE = 0.99  # of baskets that are left as they are; the others count as the largest of these


@dataclass(frozen=True, eq=False)
class TwoPartModels:
    """Mean outcome per arm as the chance to buy times the expected basket.

    buys    of 1[outcome > 0]
    basket  of winsorised baskets
    scale   mean basket over mean winsorised basket, so that the mean is that of real baskets
    """

    buys: "ArmModels"
    basket: "ArmModels"
    scale: float

    @property
    def n_arms(self) -> int:
        """How many arms, control included."""
        return self.buys.n_arms

    def mean(self, inputs: FeatureRows, *, arm: int) -> Array:
        """Mean outcome of each row under one arm, (n_rows,), unit of the outcome."""
        basket = np.maximum(self.basket.mean(inputs, arm=arm), 0) * self.scale
        return np.asarray(self.buys.mean(inputs, arm=arm) * basket, dtype=np.float64)

    def parts_of_means(self, inputs: FeatureRows) -> tuple[Array, Array]:
        """Chance to buy and expected basket of each row under every arm, (n_rows, n_arms) each."""
        basket = np.maximum(self.basket.means(inputs), 0) * self.scale
        return self.buys.means(inputs), basket

    def means(self, inputs: FeatureRows) -> Array:
        """Mean outcome of each row under every arm, (n_rows, n_arms), unit of the outcome."""
        buys, basket = self.parts_of_means(inputs)
        return buys * basket

    def effects(self, inputs: FeatureRows) -> Array:
        """Effect of each treatment, (n_rows, n_arms - 1), unit of the outcome."""
        return effect_scores(self.means(inputs))

    def without_corrections(self) -> "TwoPartModels":
        """The pooled forests alone."""
        return replace(
            self, buys=self.buys.without_corrections(), basket=self.basket.without_corrections()
        )


def effect_parts(buys: Array, basket: Array) -> Array:
    """Effects taken apart into more buyers and larger baskets, which add up to them exactly.

        conversion = (p_k - p_0) (m_k + m_0) / 2,  basket = (m_k - m_0) (p_k + p_0) / 2

    buys     (n_rows, n_arms)  chance to buy
    basket   (n_rows, n_arms)  expected basket of a buyer, unit of the outcome
    returns  (n_rows, n_arms - 1, 2)  conversion part, basket part, unit of the outcome
    """
    p, p0, m, m0 = buys[:, 1:], buys[:, [0]], basket[:, 1:], basket[:, [0]]
    return np.stack([(p - p0) * (m + m0) / 2, (m - m0) * (p + p0) / 2], axis=-1)


def is_two_part(outcome: Array) -> bool:
    """Whether an outcome is nothing for most and an amount for the others."""
    if not len(outcome) or outcome.min() < 0:
        return False
    amounts = outcome[outcome > 0]
    if len(amounts) < MIN_BUYERS or len(amounts) >= (1 - ZERO_SHARE) * len(outcome):
        return False
    return len(np.unique(amounts)) >= MIN_VALUES


def require_two_part(outcome: Array) -> None:
    """Refuse what has no two parts: OUTCOME_NOT_TWO_PART."""
    n_buyers = int((outcome > 0).sum())
    if outcome.min() >= 0 and n_buyers >= MIN_BUYERS:
        return
    raise DataError(
        f"outcome: two parts need amounts of 0 or more and {MIN_BUYERS} units above 0; found "
        f"{n_buyers} and a smallest value of {outcome.min():g}. Leave two_part out.",
        code="OUTCOME_NOT_TWO_PART",
    )


def winsorised(baskets: Array, weight: Array | None) -> tuple[Array, float]:
    """Baskets no larger than most, and what scales their mean back to that of the real ones.

    baskets  (n_buyers,), above 0
    """
    w = np.ones(len(baskets)) if weight is None else weight
    order = np.argsort(baskets, kind="stable")
    reached = np.searchsorted(np.cumsum(w[order]), CAP_SHARE * w.sum() * (1 - 1e-12))
    capped = np.minimum(baskets, baskets[order[min(reached, len(order) - 1)]])
    return capped, float((w @ baskets) / (w @ capped))
