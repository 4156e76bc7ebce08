"""What a plan asks of its metrics: the one that decides, those that explain, guardrails."""

from collections.abc import Iterator
from typing import Any

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from uplift.metrics import Definition, Metric, resolve_metric
from uplift.violations import DefinitionLike


class Prior(Definition):
    """What earlier experiments say of a relative effect, and which ones they were."""

    mean: float
    std_dev: float = Field(gt=0)
    source: str


class PlannedMetric(Definition):
    """A metric and what the plan asks of it.

    minimum_effect       smallest relative effect worth acting on, e.g. 0.05
    margin               largest acceptable harm of a guardrail, in the metric's unit
    expected_mean, expected_std_dev  assumed at design when there is no history to measure them
    expected_buyers      of a mean that is 0 for most customers: share of those with a value, in
                         (0, 1); then the design counts with the skewness that this brings
    prior                what earlier experiments say of the relative effect
    """

    metric: Metric
    minimum_effect: float | None = Field(default=None, gt=0)
    margin: float | None = Field(default=None, gt=0)
    expected_mean: float | None = None
    expected_std_dev: float | None = Field(default=None, gt=0)
    expected_buyers: float | None = Field(default=None, gt=0, lt=1)
    prior: Prior | None = None

    @field_validator("metric", mode="before")
    @classmethod
    def _cited(cls, value: Any, info: ValidationInfo) -> Any:
        return resolve_metric(value, (info.context or {}).get("catalogue"))


class MetricPlan(Definition):
    """One primary metric decides; secondary ones explain; guardrails must not be harmed.

    no_guardrails_because  the reason why none is watched; without one, sealing asks for guardrails
    funnel                 keys of planned metrics in the order in which customers go through them,
                           e.g. delivered, opened, visited, bought, spend
    """

    primary: PlannedMetric
    secondary: tuple[PlannedMetric, ...] = ()
    guardrails: tuple[PlannedMetric, ...] = ()
    no_guardrails_because: str | None = None
    funnel: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> "MetricPlan":
        keys = [planned.metric.key for _, planned in self.with_roles()]
        if len(set(keys)) < len(keys):
            raise DefinitionLike("a metric may have one role only.", code="METRIC_DUPLICATE")
        for role, planned in self.with_roles():
            if planned.metric.kind == "quantile" and role != "secondary":
                raise DefinitionLike(
                    f"{planned.metric.key} is a quantile, which can explain but not decide or "
                    "guard. Make it a secondary metric.",
                    code="METRIC_KIND",
                )
        unknown = [key for key in self.funnel if key not in keys]
        if unknown or len(set(self.funnel)) < len(self.funnel):
            raise DefinitionLike(
                f"the funnel must name planned metrics, each once; planned are {', '.join(keys)}, "
                f"got {', '.join(self.funnel)}.",
                code="METRIC_UNKNOWN",
            )
        for planned in self.guardrails:
            if planned.margin is None:
                raise DefinitionLike(
                    f"guardrail {planned.metric.key} needs a margin: the largest harm you accept, "
                    "in the metric's unit.",
                    code="GUARDRAIL_MARGIN",
                )
        return self

    def with_roles(self) -> Iterator[tuple[str, PlannedMetric]]:
        """Every planned metric with its role, primary first."""
        yield "primary", self.primary
        for planned in self.secondary:
            yield "secondary", planned
        for planned in self.guardrails:
            yield "guardrail", planned
