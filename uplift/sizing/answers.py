"""What one comparison can answer: one metric of one treatment against the control.

Tests are two-sided, guardrails one-sided against their margin. The error allowed to the whole
family (treatments × primary and secondary metrics) is divided equally among its tests, which is
Holm's first and hardest step; so the power stated here is never too high. A treatment is scaled
when a success metric is proven and every guardrail holds, so each test is planned with the power
1 - (1 - power) / (guardrails + 1).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from uplift.errors import DefinitionError
from uplift.experiment import Arm, Experiment, PlannedMetric
from uplift.inference.power import bernoulli_variance
from uplift.inference.power_rules import error_per_test, power_per_test
from uplift.looks import look_days, planned_looks
from uplift.sizing.baseline import Baseline
from uplift.sizing.looks import Look, look_table
from uplift.sizing.proof import Proof
from uplift.table import format_value

HOLDOUT_SHARES = (0.5, 0.2, 0.1, 0.05, 0.01)  # control shares worth comparing
GUARDRAIL = "guardrail"


@dataclass(frozen=True)
class Answer:
    """What the experiment will show of one metric and treatment; effects in the metric's unit.

    mde             smallest effect proven with the wanted power, at the baseline's spread in both
                    arms (of a guardrail: the smallest margin that can be shown to be kept)
    mde_money       mde of the value outcome as margin per unit; None for other metrics
    sought_effect   smallest effect worth acting on (of a guardrail: its margin); None if not stated
    power           probability of proving the sought effect (of a guardrail: of proving that the
                    margin is kept when there is no harm)
    n_needed        units of the whole experiment that would give the wanted power
    wanted_power    of this test, so that the whole rule has the power wanted of the design
    inflation       units that the plan's looks cost, over those of one look
    n_clusters      clusters in both arms, where clusters are drawn and history shows their size
    n_effective     independent units that the arms' members are worth, where clusters are drawn
    looks           every planned reading
    """

    metric: str
    role: str
    treatment: str
    unit: str
    baseline: Baseline
    n_control: int
    n_treatment: int
    mde: float
    mde_relative: float | None
    mde_money: float | None
    sought_effect: float | None
    power: float | None
    n_needed: int | None
    wanted_power: float
    inflation: float = 1.0
    n_clusters: int | None = None
    n_effective: int | None = None
    looks: tuple[Look, ...] = ()

    @property
    def verdict(self) -> str:
        """`can answer`, `cannot answer`, or `no effect stated` when the plan does not say."""
        if self.power is None:
            return "no effect stated"
        return "can answer" if self.power >= self.wanted_power else "cannot answer"

    def words(self) -> str:
        """The answer as a marketer would say it."""
        if self.power is None:
            return self._smallest()
        asked, shown = ("an effect", "proven")
        if self.role == GUARDRAIL:
            asked, shown = ("a harm", "ruled out")
        return (
            f"{self._smallest()} {self.verdict.capitalize()}: {asked} of "
            f"{format_value(self.sought_effect, 'number')} would be {shown} with a chance of "
            f"{format_value(self.power, 'share')}; {format_value(self.n_needed, 'count')} "
            f"customers are needed for {format_value(self.wanted_power, 'share')}."
        )

    def _smallest(self) -> str:
        kind = "margin" if self.role == GUARDRAIL else "effect"
        text = (
            f"{self.metric}, {self.treatment} ({format_value(self.n_treatment, 'count')}) against "
            f"control ({format_value(self.n_control, 'count')}): the smallest {kind} that can be "
            f"shown is {format_value(self.mde, 'number')} {self.unit}"
        )
        if self.mde_relative is None:
            return f"{text}."
        share, mean = format_value(self.mde_relative, "share"), self.baseline.mean
        return f"{text}, {share} of the control's {format_value(mean, 'number')}."


@dataclass(frozen=True)
class Comparison:
    """One metric of one treatment against the control, with `n_units` in the whole experiment."""

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
    def sought(self) -> float | None:
        """The effect worth acting on, or the margin, in the metric's unit."""
        if self.role == GUARDRAIL:
            return self.planned.margin
        if self.planned.minimum_effect is None or self.baseline.mean == 0:
            return None
        return self.planned.minimum_effect * abs(self.baseline.mean)

    @property
    def treated_variance(self) -> float:
        """Variance under treatment: of a proportion, that of the mean it would then have."""
        if self.planned.metric.kind != "proportion" or self.role == GUARDRAIL or not self.sought:
            return self.baseline.variance
        sign = 1 if self.planned.metric.direction == "up" else -1
        mean = self.baseline.mean + sign * self.sought
        if not 0 <= mean <= 1:
            raise DefinitionError(
                f"{self.planned.metric.key}: a minimum_effect of {self.planned.minimum_effect:g} "
                f"on a baseline of {self.baseline.mean:g} leaves the range 0 to 1. "
                "State a smaller one.",
                code="EFFECT_INVALID",
            )
        return bernoulli_variance(mean) * self.baseline.factor

    @cached_property
    def proof(self) -> Proof:
        """The test, with the variances under the effect that is sought."""
        guardrail = self.role == GUARDRAIL
        alpha = 1 - (
            self.experiment.analysis.confidence
            if guardrail
            else one_test_confidence(self.experiment)
        )
        clusters = self.baseline.clusters
        return Proof(
            control_variance=self.baseline.variance,
            treatment_variance=self.treated_variance,
            shares=self.shares,
            n_units=self.n_units,
            alpha=alpha,
            sides=1 if guardrail else 2,
            looks=planned_looks(self.experiment),
            cluster_size=None if clusters is None else clusters.mean_size,
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
    def test_power(self) -> float:
        """Power of this test so that the whole rule has the wanted one."""
        return power_per_test(
            self.wanted_power, n_guardrails=len(self.experiment.metrics.guardrails)
        )

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


@dataclass(frozen=True)
class HoldoutOption:
    """What another control share would show of the primary metric, for its smallest treatment."""

    control_share: float
    n_control: int
    mde: float
    mde_relative: float | None


def n_tests(experiment: Experiment) -> int:
    """Size of the family that shares one error: treatments × primary and secondary metrics."""
    return len(experiment.treatments) * (1 + len(experiment.metrics.secondary))


def one_test_confidence(experiment: Experiment) -> float:
    """Confidence of one test when the family's error is divided equally."""
    n_success = 1 + len(experiment.metrics.secondary)
    return 1 - error_per_test(
        1 - experiment.analysis.confidence,
        n_success=n_success,
        n_treatments=len(experiment.treatments),
    )


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
