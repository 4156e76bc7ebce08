"""One metric of one treatment against the control: what the plan makes of its test.

Tests are two-sided, guardrails one-sided against their margin. The error allowed to the whole
family (treatments × primary and secondary metrics) is divided equally among its tests, which is the
first and hardest step of the corrections there are; later steps only prove more. A treatment is
scaled when a success metric is proven and every guardrail holds, so each test is planned with the
power 1 - (1 - power) / (guardrails + 1).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from uplift.arms import Arm
from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.inference.multiplicity import harmonic
from uplift.inference.power import bernoulli_variance
from uplift.inference.power_rules import error_per_test, power_per_test
from uplift.inference.two_part import TwoPart
from uplift.looks import look_days, planned_looks
from uplift.metric_plan import PlannedMetric
from uplift.sizing.answers import GUARDRAIL, Answer, HoldoutOption
from uplift.sizing.baseline import Baseline
from uplift.sizing.looks import Look, look_table
from uplift.sizing.one_test import DifferenceTest, MarginTest, OneTest
from uplift.sizing.proof import Proof
from uplift.sizing.rare_tests import ShareMarginTest, ShareTest
from uplift.sizing.skewed_test import SkewedTest, with_more_buyers

LEAST_POWER = 0.5  # with less, a real effect is rather missed than found
HOLDOUT_SHARES = (0.5, 0.2, 0.1, 0.05, 0.01)  # control shares worth comparing


@dataclass(frozen=True)
class Comparison:
    """One metric of one treatment against the control, with `n_units` in the whole experiment.

    wanted_power  of the design as a whole
    """

    experiment: Experiment
    role: str
    planned: PlannedMetric
    baseline: Baseline
    arm: Arm
    n_units: int
    wanted_power: float

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of control and treatment."""
        return float(self.experiment.arms[0].share), float(self.arm.share)

    @property
    def counts(self) -> tuple[int, int]:
        """Expected units in control and treatment."""
        n_control, n_treatment = (round(self.n_units * share) for share in self.shares)
        return n_control, n_treatment

    @property
    def guards(self) -> bool:
        """Whether the metric is a guardrail."""
        return self.role == GUARDRAIL

    @property
    def rises(self) -> bool:
        """Whether the effect sought is a rise."""
        return self.planned.metric.direction == "up"

    @property
    def sought(self) -> float | None:
        """The effect worth acting on, or the margin, in the metric's unit."""
        if self.guards:
            return self.planned.margin
        if self.planned.minimum_effect is None or self.baseline.mean == 0:
            return None
        return self.planned.minimum_effect * abs(self.baseline.mean)

    @property
    def alpha(self) -> float:
        """Error of this test: one-sided of a guardrail, else two-sided."""
        if self.guards:
            return 1 - self.experiment.analysis.confidence
        return 1 - one_test_confidence(self.experiment)

    @property
    def treated_variance(self) -> float:
        """Variance per unit under the effect sought.

        Of a proportion that of the mean it then has; of revenue that most customers do not spend
        that of so many more buyers; otherwise that of the control.
        """
        before, sought = self.baseline, self.sought
        if self.guards or not sought:
            return before.variance
        change = sought if self.rises else -sought
        if self.planned.metric.kind == "proportion":
            self._refuse_impossible(before.mean + change)
            return bernoulli_variance(before.mean + change) * before.factor
        part = self._two_part
        if part is None:
            return before.variance
        treated = with_more_buyers(part, change / part.whole.mean)
        return before.variance * treated.whole.variance / part.whole.variance

    @property
    def skewed_test(self) -> SkewedTest | None:
        """The test of a mean whose shape is known; None of any other metric."""
        shape = self.baseline.shape
        if shape is None or shape.mean <= 0:
            return None
        return SkewedTest(
            shape=shape,
            part=self._two_part,
            rises=self.rises,
            factor=self.baseline.factor if self.baseline.factor > 0 else 1.0,
            corrects=self.experiment.cluster is None,
            usual=self._usual,
        )

    @cached_property
    def proof(self) -> Proof:
        """The test, with the variances under the effect that is sought."""
        clusters = self.baseline.clusters
        return Proof(
            control_variance=self.baseline.variance,
            treatment_variance=self.treated_variance,
            shares=self.shares,
            n_units=self.n_units,
            alpha=self.alpha,
            sides=1 if self.guards else 2,
            looks=planned_looks(self.experiment),
            cluster_size=None if clusters is None else clusters.mean_size,
            rarely=self._rarely(),
        )

    @property
    def test_power(self) -> float:
        """Power of this test so that the whole rule has the wanted one."""
        return power_per_test(
            self.wanted_power, n_guardrails=len(self.experiment.metrics.guardrails)
        )

    def answer(self) -> Answer:
        """The answer this comparison can give."""
        n_control, n_treatment = self.counts
        power, sought = self.test_power, self.sought
        mde = self.proof.at_control_variance().detectable(power)
        money = self.experiment.money
        is_value = self.planned.metric.column == money.value
        clusters = self.baseline.clusters
        drawn = n_control + n_treatment
        return Answer(
            metric=self.planned.metric.key,
            kind=self.planned.metric.kind,
            role=self.role,
            treatment=self.arm.name,
            unit=self.planned.metric.unit,
            baseline=self.baseline,
            n_control=n_control,
            n_treatment=n_treatment,
            mde=mde,
            mde_relative=mde / self.baseline.mean if self.baseline.mean > 0 else None,
            mde_money=mde * money.margin_rate if is_value else None,
            sought_effect=sought,
            power=self.proof.power(sought) if sought else None,
            n_needed=self.proof.units_needed(sought, power) if sought else None,
            wanted_power=power,
            inflation=self.proof.inflation(power),
            n_clusters=None if clusters is None else round(drawn / clusters.mean_size),
            n_effective=None if clusters is None else round(drawn / self.baseline.design_effect),
            looks=self._looks(),
        )

    @property
    def _two_part(self) -> TwoPart | None:
        part = self.baseline.two_part
        return None if part is None or part.basket.mean <= 0 else part

    @property
    def _usual(self) -> DifferenceTest:
        return DifferenceTest(self.baseline.variance, self.treated_variance, 1 - self.alpha)

    def _rarely(self) -> OneTest | None:
        """The test by which rare events or skewed means are read; None where it is the usual."""
        if self.experiment.cluster is not None:  # totals of clusters are read
            return None
        mean, variance = self.baseline.mean, self.baseline.variance
        if self.planned.metric.kind == "proportion" and self.guards:
            harm = 1 - mean if self.rises else mean
            return ShareMarginTest(harm, MarginTest(variance, self.alpha))
        if self.planned.metric.kind == "proportion":
            return ShareTest(mean, self.rises, self._usual)
        return None if self.guards else self.skewed_test

    def _looks(self) -> tuple[Look, ...]:
        return tuple(
            look_table(
                self.proof.looks,
                look_days(self.experiment),
                alpha=self.proof.alpha,
                sides=self.proof.sides,
                std_error=self.proof.at_control_variance().std_error,
                power=self.test_power,
                sought=self.sought,
            )
        )

    def _refuse_impossible(self, mean: float) -> None:
        if not 0 <= mean <= 1:
            raise DefinitionError(
                f"{self.planned.metric.key}: a minimum_effect of {self.planned.minimum_effect:g} "
                f"on a baseline of {self.baseline.mean:g} leaves the range 0 to 1. "
                "State a smaller one.",
                code="EFFECT_INVALID",
            )


def wanted_power(experiment: Experiment, power: float | None = None) -> float:
    """What is asked of the design as a whole; the definition's when not given.

    Errors: PROBABILITY_INVALID.
    """
    if power is None:
        return experiment.analysis.power
    if not LEAST_POWER <= power < 1:
        raise DefinitionError(
            f"The wanted power must be at least {LEAST_POWER:g} and below 1, got {power}. Usual: "
            "0.8.",
            code="PROBABILITY_INVALID",
        )
    return power


def planned_for(planned: PlannedMetric) -> bool:
    """Whether a plan can say anything: not of quantiles, nor of what only the treated can have."""
    return planned.metric.kind != "quantile" and not planned.metric.delivery


def n_success(experiment: Experiment) -> int:
    """Primary and secondary metrics that are tested; deliveries are only shown."""
    return 1 + sum(not planned.metric.delivery for planned in experiment.metrics.secondary)


def n_tests(experiment: Experiment) -> int:
    """Size of the family that shares one error: treatments × tested metrics."""
    return len(experiment.treatments) * n_success(experiment)


def one_test_confidence(experiment: Experiment) -> float:
    """Confidence of one test when the family's error is divided equally.

    The correction of Benjamini and Yekutieli divides it by 1 + 1/2 + … + 1/n_tests once more.
    """
    alpha = error_per_test(
        1 - experiment.analysis.confidence,
        n_success=n_success(experiment),
        n_treatments=len(experiment.treatments),
    )
    if experiment.analysis.correction == "benjamini_yekutieli":
        alpha /= harmonic(n_tests(experiment))
    return 1 - alpha


def holdout_options(
    experiment: Experiment, baseline: Baseline, *, n_units: int, power: float
) -> Iterator[HoldoutOption]:
    """The primary metric under other control shares, treatments keeping their proportions."""
    planned = experiment.metrics.primary
    smallest = min(experiment.treatments, key=lambda arm: arm.share)
    comparison = Comparison(experiment, "primary", planned, baseline, smallest, n_units, power)
    part = float(smallest.share / (1 - experiment.arms[0].share))
    for share in HOLDOUT_SHARES:
        proof = replace(comparison.proof.at_control_variance(), shares=(share, (1 - share) * part))
        if min(proof.counts) >= 2:
            mde = proof.detectable(comparison.test_power)
            relative = mde / baseline.mean if baseline.mean > 0 else None
            yield HoldoutOption(share, proof.counts[0], mde, relative)
