"""Revenue that most customers do not spend: what skewness does to the plan, buyers beside baskets.

The t test of a mean that is 99 % zeros errs more often on one side than on the other, the more so
the smaller the control; and the same rise of revenue is seen by the test of conversion or only by
the test of spend, depending on whether it comes from more buyers or from larger baskets.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from uplift.inference.skewness import (
    Shape,
    Tails,
    tails_of_t_test,
    units_for_honest_tails,
    units_for_normality,
)
from uplift.inference.two_part import TwoPart, simulated_tails, two_part_detectable
from uplift.sizing.answers import GUARDRAIL, Answer, Comparison
from uplift.sizing.baseline import Baseline

TOLERANCE = 0.2  # of a tail's error: 2.5 % may be 2 to 3 %
N_DRAWS = 4_000
SEED = 1


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
    mde_baskets     smallest rise proven by the test of spend, if baskets grow; conversion does not
                    see it
    Each is nan when no rise is proven.
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
        baseline = comparison.baseline
        if baseline.two_part is None or baseline.shape is None or comparison.role == GUARDRAIL:
            continue
        yield _row(comparison, answer, baseline.two_part, baseline.shape)


def relative_detectable(comparison: Comparison, part: TwoPart, path: str, test: str) -> float:
    """Smallest relative rise that one test proves when it comes along one path, looks included."""
    proof = comparison.proof
    n_control, n_treatment = proof.counts
    looks = proof.inflation(comparison.test_power)
    factor = _factor(comparison.baseline) if test == "spend" else comparison.baseline.design_effect
    return two_part_detectable(
        control=part,
        n_control=n_control / (factor * looks),
        n_treatment=n_treatment / (factor * looks),
        path=path,  # type: ignore[arg-type]
        test=test,  # type: ignore[arg-type]
        confidence=proof.confidence,
        power=comparison.test_power,
    )


def _row(comparison: Comparison, answer: Answer, part: TwoPart, shape: Shape) -> Revenue:
    proof = comparison.proof
    shares = {"control_share": proof.shares[0], "treatment_share": proof.shares[1]}
    tails = tails_of_t_test(
        0.0,
        control=shape,
        n_control=answer.n_control,
        n_treatment=answer.n_treatment,
        confidence=proof.confidence,
    )
    trusted = tails.trusted
    if not trusted:
        tails = _simulated(part, answer, proof.confidence)
    return Revenue(
        metric=answer.metric,
        treatment=answer.treatment,
        buyer_share=part.buyer_share,
        basket_mean=part.basket.mean,
        skewness=shape.skewness,
        n_normal=units_for_normality(shape.skewness),
        n_honest=units_for_honest_tails(
            control=shape, **shares, confidence=proof.confidence, tolerance=TOLERANCE
        ),
        nominal=(1 - proof.confidence) / 2,
        false_better=tails.upper,
        false_worse=tails.lower,
        simulated=not trusted,
        mde_conversion=relative_detectable(comparison, part, "buyers", "conversion"),
        mde_buyers=relative_detectable(comparison, part, "buyers", "spend"),
        mde_baskets=relative_detectable(comparison, part, "basket", "spend"),
    )


def _simulated(part: TwoPart, answer: Answer, confidence: float) -> Tails:
    return simulated_tails(
        control=part,
        treatment=part,
        n_control=answer.n_control,
        n_treatment=answer.n_treatment,
        confidence=confidence,
        n_draws=N_DRAWS,
        seed=SEED,
    )


def _factor(baseline: Baseline) -> float:
    return baseline.factor if math.isfinite(baseline.factor) and baseline.factor > 0 else 1.0
