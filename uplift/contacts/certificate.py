"""What a plan says about itself: its proof, the price of each rule, the use of each channel."""

from dataclasses import dataclass

from uplift.checks import Check

ROUNDING = 1e-9  # prices below this are rounding
MEASURED_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Certificate:
    """How good the plan is, provably.

    bound         no plan that keeps the rules earns more, in currency
    gap           bound - expected profit, in currency
    relative_gap  of the bound
    n_core        units settled by the exact integer program
    checks        the rules, recounted from the plan by code that shares nothing with the optimiser
    """

    bound: float
    value: float
    gap: float
    relative_gap: float
    n_passes: int
    n_core: int
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class RulePrice:
    """What a rule costs at the margin.

    price  profit gained by one more unit of the limit (currency per currency of budget, or per
           contact); negative for a minimum: what each forced contact loses. Holds locally.
    """

    rule: str
    used: float
    limit: float
    price: float

    @property
    def binding(self) -> bool:
        """Whether the rule changes the plan."""
        return abs(self.price) > ROUNDING


@dataclass(frozen=True)
class ChannelUse:
    """What the plan asks of a channel; cost and profit in currency."""

    channel: str
    n_contacts: int
    cost: float
    expected_profit: float
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class Measured:
    """The plan's profit by the doubly robust scores of the trial: measured, not promised."""

    profit: float
    std_error: float
    ci: tuple[float, float]
