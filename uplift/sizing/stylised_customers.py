"""A stylised customer base whose effects differ, and one simulated test of what targeting brings.

    effect of unit i     average (1 + spread z_i),                z_i standard normal
    model's score        ranking z_i + sqrt(1 - ranking^2) e_i,   e_i standard normal
    predicted effect     average (1 + spread ranking score_i)     which is right on average

`spread` is the standard deviation of the individual effect over the average effect, `ranking` the
correlation of the model's score with the true effect. Units that did not train the model judge it
with the doubly robust scores of the plan's propensities:

    effects differ     slope of the scores' effect on the predicted effect is proven above 0
    targeting pays     profit of "contact where the predicted effect pays for the contact" is proven
                       above that of contacting everyone and above that of contacting nobody

each by the lower bound of its two-sided interval at the plan's confidence.
Source: Chernozhukov, Demirer, Duflo & Fernández-Val (2025), Econometrica 93(4), for the slope on
held-out units.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from uplift.inference.doubly_robust import aipw_outcomes, average

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Customers:
    """The stylised customer base, and what a contact brings.

    control, treatment  shares of all units
    usual               outcomes without a contact, to draw from
    average             effect, in the metric's unit
    worth, cost         money per unit of the effect, and per contact
    """

    control: float
    treatment: float
    usual: Array
    average: float
    spread: float
    ranking: float
    worth: float
    cost: float

    @property
    def gain(self) -> float:
        """True profit per unit of targeting over the best blanket action.

        E[max(m + q z, 0)] - max(m, 0) = m Phi(m / q) + q phi(m / q) - max(m, 0), where m is the
        profit of an average contact and q = worth ranking spread average
        """
        m = self.worth * self.average - self.cost
        q = abs(self.worth * self.ranking * self.spread * self.average)
        if q == 0:
            return 0.0
        kept = m * stats.norm.cdf(m / q) + q * stats.norm.pdf(m / q)
        return float(kept - max(m, 0.0))


def simulated_test(
    customers: Customers, n: int, rng: np.random.Generator, confidence: float
) -> tuple[bool, bool]:
    """One simulated test: whether effects differ, and whether targeting pays."""
    z = rng.standard_normal(n)
    noise = rng.standard_normal(n)
    score = customers.ranking * z + math.sqrt(1 - customers.ranking**2) * noise
    share = customers.treatment / (customers.control + customers.treatment)
    arm = (rng.random(n) < share).astype(np.int64)
    usual = customers.usual[rng.integers(0, len(customers.usual), n)]
    outcome = usual + arm * customers.average * (1 + customers.spread * z)
    middle = float(customers.usual.mean())
    outcomes = aipw_outcomes(
        outcome=outcome,
        arm=arm,
        propensity=np.broadcast_to([1 - share, share], (n, 2)),
        predicted=np.broadcast_to([middle, middle + customers.average], (n, 2)),
    )
    effect = outcomes[:, 1] - outcomes[:, 0]
    predicted = customers.average * (1 + customers.spread * customers.ranking * score)
    contacted = customers.worth * predicted > customers.cost
    profit = customers.worth * effect - customers.cost
    over_nobody = average(np.where(contacted, profit, 0.0), confidence=confidence)
    over_everyone = average(np.where(contacted, 0.0, -profit), confidence=confidence)
    pays = over_nobody.ci[0] > 0 and over_everyone.ci[0] > 0
    ranked = math.copysign(1.0, customers.average) * score  # by predicted effect
    return _slope_above_zero(effect, ranked, confidence), pays


def _slope_above_zero(effect: Array, score: Array, confidence: float) -> bool:
    """Whether the least-squares slope is proven positive, with an error that needs no model.

    slope = sum(x y) / sum(x^2),  std_error = sqrt(sum(x^2 residual^2)) / sum(x^2)
    """
    x, y = score - score.mean(), effect - effect.mean()
    squares = float(x @ x)
    slope = float(x @ y) / squares
    residual = x * (y - slope * x)
    std_error = math.sqrt(float(residual @ residual)) / squares
    return slope > float(stats.norm.ppf(0.5 + confidence / 2)) * std_error
