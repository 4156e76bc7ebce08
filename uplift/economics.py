"""Economics: what a contact costs and what a response is worth, so that effects become profit.

Profit is linear in outcomes, so the doubly robust scores of profit are the same linear combination
of the scores of the outcomes: nothing is estimated twice, and customer figures add up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from uplift.errors import DefinitionError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Economics:
    """Money per unit and arm, in one currency.

        profit = margin_rate * value - redemption_cost * redemption - contact_cost

    value_outcome       outcome in currency, e.g. spend
    redemption_outcome  outcome that counts redeemed vouchers; None when nothing is redeemed
    contact_cost        per arm, per assigned unit; an arm that is not named costs nothing
    redemption_cost     per arm, per redemption (also of customers who would have bought anyway)
    """

    currency: str
    value_outcome: str
    margin_rate: float = 1.0
    redemption_outcome: str | None = None
    contact_cost: Mapping[str, float] = field(default_factory=dict)
    redemption_cost: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind, costs in (("contact", self.contact_cost), ("redemption", self.redemption_cost)):
            for arm, cost in costs.items():
                if not (np.isfinite(cost) and cost >= 0):
                    raise DefinitionError(
                        f"Arm {arm!r}: {kind} cost must be 0 or more, got {cost}. "
                        f"Give it in {self.currency} per {kind}.",
                        code="COST_INVALID",
                    )
        if not (np.isfinite(self.margin_rate) and self.margin_rate >= 0):
            raise DefinitionError(
                f"Margin rate must be 0 or more, got {self.margin_rate}. "
                "Give the share of the value that stays as margin, e.g. 0.3.",
                code="MARGIN_INVALID",
            )

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Outcome columns that profit is made of."""
        return (self.value_outcome, *([self.redemption_outcome] if self.redemption_outcome else []))

    def contact_costs(self, arms: Sequence[str]) -> Array:
        """Contact cost per arm. Returns (n_arms,), in currency per unit."""
        return np.array([float(self.contact_cost.get(arm, 0.0)) for arm in arms])

    def redemption_costs(self, arms: Sequence[str]) -> Array:
        """Cost of one redemption per arm. Returns (n_arms,), in currency."""
        return np.array([float(self.redemption_cost.get(arm, 0.0)) for arm in arms])

    def profit(self, outcomes: Mapping[str, Array], arms: Sequence[str]) -> Array:
        """Profit of each unit under each arm.

            margin_rate * value - redemption_cost * redemption - contact_cost

        outcomes  by name, each (n_units, n_arms): doubly robust outcomes, predictions or truths
        returns   (n_units, n_arms), in currency
        """
        profit = self.margin_rate * outcomes[self.value_outcome] - self.contact_costs(arms)
        if self.redemption_outcome is not None:
            profit = profit - self.redemption_costs(arms) * outcomes[self.redemption_outcome]
        return np.asarray(profit, dtype=np.float64)
