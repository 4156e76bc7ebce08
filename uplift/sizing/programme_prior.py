"""What is believed of the contact programme, and what it is worth to measure it before deciding.

theta, the profit per unit and period that the programme adds, has a normal prior with mean m and
standard deviation tau. The programme is kept when the estimate is positive (rule `estimate`) or
when the estimate and the prior together are (rule `posterior`). With v^2 = tau^2 + sigma^2, where
sigma is the estimate's standard error,

    E[max(theta, 0)] = m Phi(m / tau) + tau phi(m / tau)
    estimate:   E[theta * kept] = m Phi(m / v) + tau^2 / v phi(m / v)
    posterior:  E[theta * kept] = m Phi(m / q) + q phi(m / q),  q = tau^2 / v

Source: Raiffa & Schlaifer (1961), "Applied Statistical Decision Theory", chapter 5.
"""

import math
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from uplift.errors import DefinitionError

Rule = Literal["estimate", "posterior"]


@dataclass(frozen=True)
class ProgrammePrior:
    """What is believed of the profit the programme adds, per unit and period, contact costs paid.

    mean, std_dev  in the experiment's currency
    source         where it comes from, in words
    """

    mean: float
    std_dev: float
    source: str = "given"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and 0 < self.std_dev < math.inf):
            raise DefinitionError(
                f"A prior needs a mean and a standard deviation above 0, got {self.mean} and "
                f"{self.std_dev}. Give what the programme may add in profit per customer and "
                "period, e.g. 0.40 give or take 0.30.",
                code="PRIOR_INVALID",
            )

    @property
    def best_value(self) -> float:
        """E[max(theta, 0)]: per unit and period, if the truth were known."""
        return _kept(self.mean, self.std_dev)

    def value(self, std_error: float, *, rule: Rule = "estimate") -> float:
        """E[theta * kept] per unit and period, when theta is estimated with this error."""
        total = math.hypot(self.std_dev, std_error)
        if rule == "posterior":
            return _kept(self.mean, self.std_dev**2 / total)
        z = self.mean / total
        return float(self.mean * stats.norm.cdf(z) + self.std_dev**2 / total * stats.norm.pdf(z))


def _kept(mean: float, spread: float) -> float:
    """E[max(X, 0)] of a normal X."""
    z = mean / spread
    return float(mean * stats.norm.cdf(z) + spread * stats.norm.pdf(z))
