"""Effects of every treatment on every planned metric, with one error rate for the declared family.

Primary and secondary metrics are tested for a difference, and the plan's correction (Holm's
method) holds the error of treatments x metrics together. Guardrails are tested for harm beyond
their margin, one-sided and without correction: all of them must hold, which needs no correction of
the error.
Source: Schultzberg, Ankargren & Frånberg (2024), "Risk-aware product decisions in A/B tests with
multiple metrics", arXiv:2402.11609.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from uplift.analysis.columns import uncapped, winsorised
from uplift.analysis.families import adjusted_p_values
from uplift.analysis.readings import ADJUSTED, Method, Readings
from uplift.checks import Check, warning
from uplift.experiment import Experiment
from uplift.inference.bayes import Posterior, Prior, posterior
from uplift.inference.means import Estimate
from uplift.metric_plan import PlannedMetric
from uplift.outcomes import refuse_function_of_arm

GUARDRAIL = "guardrail"
ONLY_TREATED = "only the treated"
NO_INFORMATION = "no information"
PROVEN = ("better", "worse", "within margin")
JUDGED = (*PROVEN, "not proven", "harm not excluded")  # verdicts that only the sealed rule gives
WITHHELD = "withheld"  # in their place, where the report has no verdict


@dataclass(frozen=True)
class EffectRow:
    """One treatment's effect on one metric, against the control.

    metric      key, e.g. "spend_28d@1"
    role        primary · secondary · guardrail
    method      Welch · Lin (adjusted by covariates) · score (shares) · skewness corrected (a
                small control of a heavy-tailed metric) · post-stratified · ratio (delta method) ·
                quantile (order statistics) · by cluster · by customer (waves drawn anew); with
                covariates a ratio or clusters are "adjusted"
    estimate    what is reported; `unadjusted` is the plain difference beside it
    p_adjusted  Holm over the family; nan for guardrails and where nothing varies
    worst       guardrails: one-sided bound of the harm, in the metric's unit; else nan
    margin      guardrails: largest harm accepted; else None
    winsorised  when one unit holds most of the metric: the effect with that unit cut to the next
                largest magnitude, `cap`; else both None. Shown beside, never used for the verdict
    uncapped    of a metric with a cap: the effect without it, shown beside; else None
    posterior   belief after the test, with the plan's prior where it has one (else flat); beside
                the test, never instead; None where nothing varies
    verdict     better · worse · not proven · no information (also of an undefined quantile) · only
                the treated (delivered, opened:
                shown, not tested); for guardrails: within margin · harm not excluded
    """

    metric: str
    title: str
    role: str
    treatment: str
    unit: str
    direction: str
    method: Method
    estimate: Estimate
    unadjusted: Estimate
    p_adjusted: float
    worst: float
    margin: float | None
    verdict: str
    cap: float | None = None
    winsorised: Estimate | None = None
    uncapped: Estimate | None = None
    posterior: Posterior | None = None

    @property
    def tested(self) -> bool:
        """Whether the row is one of the family's tests."""
        return self.role != GUARDRAIL and self.verdict != ONLY_TREATED

    @property
    def proven(self) -> bool:
        """Whether the family's test found a difference, or a guardrail is within its margin."""
        return self.verdict in PROVEN

    @property
    def effect(self) -> float:
        """Treatment minus control, in the metric's unit."""
        return self.estimate.effect

    @property
    def ci(self) -> tuple[float, float]:
        """Interval of the effect at the plan's confidence."""
        return self.estimate.ci

    @property
    def std_error(self) -> float:
        """Standard error of the effect."""
        return self.estimate.std_error

    @property
    def p_value(self) -> float:
        """Two-sided, before the correction for the family."""
        return self.estimate.p_value

    @property
    def control_mean(self) -> float:
        """Mean of the metric in the control."""
        return self.estimate.control_mean

    @property
    def treatment_mean(self) -> float:
        """Mean of the metric in the treatment."""
        return self.estimate.treatment_mean

    @property
    def relative_effect(self) -> float:
        """Effect divided by the magnitude of the control's mean."""
        return self.estimate.relative_effect

    @property
    def relative_ci(self) -> tuple[float, float]:
        """Interval of the relative effect."""
        return self.estimate.relative_ci

    @property
    def relative_std_error(self) -> float:
        """Standard error of the relative effect, whatever the interval is made wider by."""
        return self.estimate.relative_std_error


def effect_rows(experiment: Experiment, readings: Readings) -> tuple[EffectRow, ...]:
    """A row per planned metric and treatment, primary metric first."""
    rows = [
        _row(planned, role, arm.name, readings)
        for role, planned in experiment.metrics.with_roles()
        for arm in experiment.treatments
    ]
    family = [row.p_value for row in rows if row.tested]
    adjusted = iter(adjusted_p_values(experiment, family))
    alpha = 1 - readings.confidence
    return tuple(_judged(row, next(adjusted), alpha) if row.tested else row for row in rows)


def effect_checks(rows: Sequence[EffectRow]) -> Iterator[Check]:
    """Guardrails as checks, and a warning for each metric in which nothing varies."""
    for row in rows:
        if row.role == GUARDRAIL:
            yield Check(
                f"guardrail {row.metric} {row.treatment}",
                passed=row.proven,
                value=row.worst,
                bound=row.margin,
                remedy=f"Harm beyond the margin is not excluded: {row.treatment} is not scaled.",
                code="GUARDRAIL",
                blocking=False,
            )
        elif row.verdict == NO_INFORMATION:
            yield warning(
                "NO_VARIATION",
                value=row.metric,
                remedy=f"{row.metric} is the same for every unit of {row.treatment} and control, "
                "so it says nothing.",
            )


def _row(planned: PlannedMetric, role: str, treatment: str, readings: Readings) -> EffectRow:
    metric = planned.metric
    plain: Method = "by cluster" if readings.clustered else "Welch"
    if metric.kind == "ratio" and not readings.clustered:
        plain = "ratio"
    if metric.kind == "quantile":
        plain = "quantile"
    unadjusted = readings.estimate(metric.key, treatment, method=plain)
    constant = unadjusted.std_error == 0
    if constant and unadjusted.effect != 0 and not metric.delivery:
        refuse_function_of_arm(
            metric.column,
            control=unadjusted.control_mean,
            treatment=unadjusted.treatment_mean,
            arm=treatment,
        )
    proportion = metric.kind == "proportion" and not (constant and role != GUARDRAIL)
    method = readings.method(metric.key, treatment, proportion=proportion)
    row = EffectRow(
        metric=metric.key,
        title=metric.title,
        role=role,
        treatment=treatment,
        unit=metric.unit,
        direction=metric.direction,
        method=plain if constant and method in ADJUSTED else method,
        estimate=unadjusted,
        unadjusted=unadjusted,
        p_adjusted=float("nan"),
        worst=float("nan"),
        margin=planned.margin if role == GUARDRAIL else None,
        verdict=ONLY_TREATED if metric.delivery else NO_INFORMATION,
        cap=readings.caps.get(metric.key),
        winsorised=_winsorised(metric.key, treatment, method, readings),
        uncapped=None
        if metric.cap is None
        else readings.estimate(uncapped(metric.key), treatment, method=method),
    )
    if row.method != plain:
        row = replace(row, estimate=readings.estimate(metric.key, treatment, method=row.method))
    row = replace(row, posterior=_posterior(planned, row.estimate, readings))
    return _guarded(row, readings) if role == GUARDRAIL else row


def _posterior(planned: PlannedMetric, estimate: Estimate, readings: Readings) -> Posterior | None:
    if not estimate.std_error > 0 or not np.isfinite(estimate.effect):
        return None
    prior, base = planned.prior, estimate.control_mean
    return posterior(
        estimate.effect,
        estimate.std_error,
        control_mean=base,
        prior=None if prior is None or base == 0 else Prior(mean=prior.mean, std=prior.std_dev),
        confidence=readings.confidence,
        higher_is_better=planned.metric.direction == "up",
    )


def _winsorised(metric: str, treatment: str, method: Method, readings: Readings) -> Estimate | None:
    if metric not in readings.caps:
        return None
    return readings.estimate(winsorised(metric), treatment, method=method)


def _guarded(row: EffectRow, readings: Readings) -> EffectRow:
    """One-sided: the bound of a two-sided interval with twice the error."""
    level = 2 * readings.confidence - 1
    estimate = readings.estimate(row.metric, row.treatment, method=row.method, confidence=level)
    worst = estimate.ci[1] if row.direction == "down" else -estimate.ci[0]
    if np.isnan(worst):
        return row
    within = row.margin is not None and worst < row.margin
    verdict = "within margin" if within else "harm not excluded"
    return replace(row, worst=worst, verdict=verdict)


def _judged(row: EffectRow, p_adjusted: float, alpha: float) -> EffectRow:
    if np.isnan(p_adjusted):
        return row
    if p_adjusted > alpha:
        return replace(row, p_adjusted=p_adjusted, verdict="not proven")
    gain = (row.effect > 0) == (row.direction == "up")
    return replace(row, p_adjusted=p_adjusted, verdict="better" if gain else "worse")
