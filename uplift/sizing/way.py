"""One way to answer more: what is changed, what it brings, what it costs, what is then not seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from uplift.sizing.baseline import Baseline
from uplift.sizing.comparison import Comparison
from uplift.sizing.money import ArmPlan
from uplift.sizing.proof import Proof

Kind = Literal[
    "covariate",
    "coarser metric",
    "longer window",
    "more waves",
    "larger control",
    "fewer arms",
    "fewer metrics",
    "fewer looks",
    "more customers",
]


@dataclass(frozen=True)
class Way:
    """One change of the plan and what it brings.

    mde_relative     smallest relative effect with the change
    gain             share by which that is smaller than without, 0 to 1
    n_equivalent     units of the unchanged plan that would show as much
    price            money, in the experiment's currency; None when the plan does not say what an
                     effect is worth
    extra_days       days longer
    words            what is changed, and what it does not answer
    """

    kind: Kind
    name: str
    mde_relative: float
    gain: float
    n_equivalent: int
    price: float | None
    extra_days: int
    words: str

    @property
    def price_per_gain(self) -> float | None:
        """Money per percent by which the smallest effect falls."""
        return None if self.price is None else self.price / (100 * self.gain)


@dataclass(frozen=True)
class NoWay:
    """A change that one would think of, and why it brings nothing here."""

    kind: Kind
    why: str


@dataclass(frozen=True)
class Plan:
    """What the ways are computed from.

    comparison  primary metric, hardest treatment
    arms        units and money of every arm
    history     eligible customers; None when there is none
    covariates  columns of history that may be taken as covariates
    """

    comparison: Comparison
    arms: Sequence[ArmPlan]
    history: pd.DataFrame | None
    covariates: Sequence[str]

    @property
    def mde_relative(self) -> float:
        """Smallest relative effect of the plan as it is."""
        return self.relative(self.comparison.proof)

    def relative(self, proof: Proof, mean: float | None = None) -> float:
        """Smallest relative effect that a test proves; nan where the mean is not above 0."""
        base = self.comparison.baseline.mean if mean is None else mean
        found = proof.at_control_variance().detectable(self.comparison.test_power)
        return found / base if base > 0 else math.nan

    def relative_with(self, baseline: Baseline) -> float:
        """The same, of another baseline of the metric."""
        variance = baseline.variance
        proof = replace(
            self.comparison.proof, control_variance=variance, treatment_variance=variance
        )
        return self.relative(proof, baseline.mean)

    @property
    def profit_per_unit(self) -> float | None:
        """Given up on a customer held out, if the best arm has the effect sought."""
        profits = [arm.profit_sought for arm in self.arms if arm.profit_sought is not None]
        return max(*profits, 0.0) if profits else None

    @property
    def contact_cost(self) -> float:
        """Of all arms, in the experiment's currency."""
        return sum(arm.contact_cost for arm in self.arms)

    def way(
        self,
        kind: Kind,
        name: str,
        mde_relative: float,
        words: str,
        *,
        price: float | None = 0.0,
        extra_days: int = 0,
    ) -> Way:
        """The change with its gain over the plan as it is; it may be below 0."""
        before = self.mde_relative
        gain = 1 - mde_relative / before if math.isfinite(mde_relative) else 0.0
        equivalent = self.comparison.n_units * (before / mde_relative) ** 2 if gain > 0 else 0
        return Way(kind, name, mde_relative, gain, round(equivalent), price, extra_days, words)
