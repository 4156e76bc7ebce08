"""What one comparison can answer: one metric of one treatment against the control.

Tests are two-sided, guardrails one-sided against their margin. The error allowed to the whole
family (treatments × primary and secondary metrics) is divided equally among its tests, which is
Holm's first and hardest step; so the power stated here is never too high.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from uplift.errors import DefinitionError
from uplift.experiment import Arm, Experiment, PlannedMetric
from uplift.inference.power import bernoulli_variance, detectable_effect, power_of, required_units
from uplift.sizing.baseline import Baseline
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
    def confidence(self) -> float:
        """Of one two-sided test with the same bound: a guardrail's is one-sided and not divided."""
        planned = self.experiment.analysis.confidence
        return 2 * planned - 1 if self.role == GUARDRAIL else one_test_confidence(self.experiment)

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

    def answer(self) -> Answer:
        """The answer this comparison can give."""
        n_control, n_treatment = self.counts
        mde = _detectable(self.baseline, self.counts, self.confidence, self.wanted_power)
        money = self.experiment.money
        is_value = self.planned.metric.column == money.value
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
            sought_effect=self.sought,
            power=self._power(),
            n_needed=self._needed(),
            wanted_power=self.wanted_power,
        )

    def _power(self) -> float | None:
        if not self.sought:
            return None
        n_control, n_treatment = self.counts
        if self.role == GUARDRAIL:
            error = np.sqrt(self.baseline.variance * (1 / n_control + 1 / n_treatment))
            bound = stats.norm.ppf(self.experiment.analysis.confidence)
            return float(stats.norm.cdf(self.sought / error - bound)) if error > 0 else 1.0
        return power_of(
            self.sought,
            n_control=n_control,
            n_treatment=n_treatment,
            control_variance=self.baseline.variance,
            treatment_variance=self.treated_variance,
            confidence=self.confidence,
        )

    def _needed(self) -> int | None:
        if not self.sought:
            return None
        needed = required_units(
            self.sought,
            control_share=self.shares[0],
            treatment_share=self.shares[1],
            control_variance=self.baseline.variance,
            treatment_variance=self.treated_variance,
            confidence=self.confidence,
            power=self.wanted_power,
        )
        return math.ceil(needed)


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
    return 1 - (1 - experiment.analysis.confidence) / n_tests(experiment)


def holdout_options(
    experiment: Experiment, baseline: Baseline, *, n_units: int, power: float
) -> Iterator[HoldoutOption]:
    """The primary metric under other control shares, treatments keeping their proportions."""
    treated = 1 - experiment.arms[0].share
    smallest = float(min(arm.share for arm in experiment.treatments) / treated)
    for share in HOLDOUT_SHARES:
        counts = round(n_units * share), round(n_units * (1 - share) * smallest)
        if min(counts) >= 2:
            mde = _detectable(baseline, counts, one_test_confidence(experiment), power)
            relative = mde / baseline.mean if baseline.mean > 0 else None
            yield HoldoutOption(share, counts[0], mde, relative)


def _detectable(
    baseline: Baseline, counts: tuple[int, int], confidence: float, power: float
) -> float:
    return detectable_effect(
        n_control=counts[0],
        n_treatment=counts[1],
        control_variance=baseline.variance,
        confidence=confidence,
        power=power,
    )
