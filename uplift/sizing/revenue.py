"""Revenue that most customers do not spend: what skewness does to the plan, buyers beside baskets.

The t test of a mean that is 99 % zeros errs more often on one side than on the other, the more so
the smaller the control; and the same rise of revenue is seen by the test of conversion or only by
the test of spend, depending on whether it comes from more buyers or from larger baskets.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from uplift.inference.power import bernoulli_variance
from uplift.inference.skewness import Shape, units_for_honest_tails, units_for_normality
from uplift.inference.two_part import two_part_detectable
from uplift.sizing.answers import Answer
from uplift.sizing.comparison import Comparison
from uplift.sizing.one_test import Counts
from uplift.sizing.rare_tests import RevenueTest

TOLERANCE = 0.2  # of a tail's error: 2.5 % may be 2 to 3 %


@dataclass(frozen=True)
class Revenue:
    """One treatment's test of a mostly-zero metric; relative effects are rises per customer.

    n_normal        units of the smaller arm from which its own mean is nearly normal (a rule of
                    thumb: 355 skewness^2)
    n_honest        units of the whole experiment from which each tail's error is within a fifth of
                    what it says
    nominal         error that each tail should make
    false_better, false_worse  error that each tail makes at the planned size, without any effect
    simulated       whether those were simulated, because no expansion holds at this size
    mde_conversion  smallest rise proven by the test of conversion, if it comes from more buyers
    mde_buyers      the same by the test of spend
    mde_baskets     the same if baskets grow; conversion does not see it
    Each with the spread (and skewness) that the treatment then has; nan when no rise is proven.
    """

    metric: str
    treatment: str
    buyer_share: float
    basket_mean: float
    skewness: float
    n_normal: float
    n_honest: float
    nominal: float
    false_better: float
    false_worse: float
    simulated: bool
    mde_conversion: float
    mde_buyers: float
    mde_baskets: float

    @property
    def false_alarms(self) -> float:
        """Error of both tails together."""
        return self.false_better + self.false_worse

    @property
    def honest(self) -> bool:
        """Whether each tail errs within a fifth of what it says."""
        worst = max(abs(tail - self.nominal) for tail in (self.false_better, self.false_worse))
        return worst <= TOLERANCE * self.nominal


def revenue_rows(comparisons: Sequence[Comparison], answers: Sequence[Answer]) -> Iterator[Revenue]:
    """Of every comparison whose metric is 0 for most customers; guardrails are left out."""
    for comparison, answer in zip(comparisons, answers, strict=True):
        test, shape = comparison.revenue_test, comparison.baseline.shape
        if test is not None and shape is not None and not comparison.guards:
            yield _row(comparison, answer, test, shape)


def conversion_rise(comparison: Comparison) -> float:
    """Smallest relative rise that the test of conversion proves, at the usual spread of both arms.

    Beside `Answer.mde_relative` of the same comparison, which is stated in the same way.
    """
    part = comparison.baseline.two_part
    if part is None:
        return math.nan
    variance = bernoulli_variance(part.buyer_share) * comparison.baseline.design_effect
    proof = replace(comparison.proof, control_variance=variance).at_control_variance()
    return proof.detectable(comparison.test_power) / part.buyer_share


def _conversion(comparison: Comparison, test: RevenueTest, counts: Counts) -> float:
    """A covariate of spend does not adjust conversion; clusters count."""
    design_effect = comparison.baseline.design_effect
    return two_part_detectable(
        control=test.part,
        n_control=counts[0] / design_effect,
        n_treatment=counts[1] / design_effect,
        path="buyers",
        test="conversion",
        confidence=test.confidence,
        power=comparison.test_power,
    )


def _row(comparison: Comparison, answer: Answer, test: RevenueTest, shape: Shape) -> Revenue:
    proof, power = comparison.proof, comparison.test_power
    looks = proof.inflation(power)
    counts = (answer.n_control / looks, answer.n_treatment / looks)
    tails = test.tails(0.0, (answer.n_control, answer.n_treatment))
    return Revenue(
        metric=answer.metric,
        treatment=answer.treatment,
        buyer_share=test.part.buyer_share,
        basket_mean=test.part.basket.mean,
        skewness=shape.skewness,
        n_normal=units_for_normality(shape.skewness),
        n_honest=units_for_honest_tails(
            control=shape,
            control_share=proof.shares[0],
            treatment_share=proof.shares[1],
            confidence=proof.confidence,
            tolerance=TOLERANCE,
        ),
        nominal=(1 - proof.confidence) / 2,
        false_better=tails.upper,
        false_worse=tails.lower,
        simulated=not tails.trusted,
        mde_conversion=_conversion(comparison, test, counts),
        mde_buyers=test.smallest_rise(counts, power, "buyers"),
        mde_baskets=test.smallest_rise(counts, power, "basket"),
    )
