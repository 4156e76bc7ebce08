"""An experiment as it was planned: arms, audience, metrics, schedule, analysis, economics.

Frozen, read from YAML, and known by the digest of its canonical form, which sealing records.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from uplift.economics import Economics
from uplift.errors import DefinitionError
from uplift.metrics import Definition, Metric, MetricCatalogue, Slug, resolve_metric
from uplift.strict_yaml import DefinitionLike, Document, read_yaml, validate
from uplift.table import Column, Result, Table, canonical_json, to_plain

CONTROL = "control"  # the one arm that every effect is measured against
DEFINITION_FILE = "experiment.yaml"
CATALOGUE_FILE = "metrics.yaml"


def _exact_share(value: Any) -> Any:
    """A share as an exact fraction: 0.25, "0.25" and "1/4" are the same, and 1/3 is possible."""
    try:
        return (
            Fraction(str(value))
            if isinstance(value, str | int | Decimal)
            else Fraction(repr(value))
        )
    except (ValueError, ZeroDivisionError, TypeError):
        raise DefinitionLike(
            f"a share must be a fraction such as 0.25 or 1/4, got {value!r}.",
            code="WEIGHTS_INVALID",
        ) from None


def _share_in_range(value: Fraction) -> Fraction:
    if not 0 <= value <= 1:
        raise DefinitionLike(
            f"a share must be between 0 and 1, got {value}. Give the share of eligible units as a "
            "fraction, e.g. 0.25.",
            code="WEIGHTS_INVALID",
        )
    return value


def _cost(value: float) -> float:
    if not 0 <= value < float("inf"):
        raise DefinitionLike(f"a cost must be 0 or more, got {value}.", code="COST_INVALID")
    return value


Share = Annotated[
    Fraction,
    BeforeValidator(_exact_share),
    AfterValidator(_share_in_range),
    WithJsonSchema({"type": ["number", "string"], "description": "0.25 or 1/4"}),
]
Cost = Annotated[float, AfterValidator(_cost)]


class Arm(Definition):
    """One version of a campaign that units can be assigned to."""

    name: Slug
    share: Share  # of eligible units
    channel: Slug | None = None
    offer: Slug | None = None
    unit_cost: Cost = 0.0  # per assigned unit, in the experiment's currency
    redemption_cost: Cost = 0.0  # per redemption, in the experiment's currency


class Condition(Definition):
    """A rule on one customer column; a unit is eligible when all rules hold."""

    column: str
    at_least: float | None = None
    at_most: float | None = None
    is_in: tuple[str, ...] | None = None


class Audience(Definition):
    """Who can be assigned."""

    description: str
    where: tuple[Condition, ...] = ()


class PlannedMetric(Definition):
    """A metric and what the plan asks of it.

    minimum_effect       smallest relative effect worth acting on, e.g. 0.05
    margin               largest acceptable harm of a guardrail, in the metric's unit
    expected_mean, expected_std_dev  assumed at design when there is no history to measure them
    """

    metric: Metric
    minimum_effect: float | None = Field(default=None, gt=0)
    margin: float | None = Field(default=None, gt=0)
    expected_mean: float | None = None
    expected_std_dev: float | None = Field(default=None, gt=0)

    @field_validator("metric", mode="before")
    @classmethod
    def _cited(cls, value: Any, info: ValidationInfo) -> Any:
        return resolve_metric(value, (info.context or {}).get("catalogue"))


class MetricPlan(Definition):
    """One primary metric decides; secondary ones explain; guardrails must not be harmed."""

    primary: PlannedMetric
    secondary: tuple[PlannedMetric, ...] = ()
    guardrails: tuple[PlannedMetric, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> "MetricPlan":
        keys = [planned.metric.key for _, planned in self.with_roles()]
        if len(set(keys)) < len(keys):
            raise DefinitionLike("a metric may have one role only.", code="METRIC_DUPLICATE")
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


class Schedule(Definition):
    """When units are contacted and how long they are watched."""

    starts_at: datetime
    timezone: str
    response_days: int = Field(ge=1)

    @model_validator(mode="after")
    def _clear(self) -> "Schedule":
        try:
            zone = ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise DefinitionLike(
                f"time zone {self.timezone!r} is not known. Give an IANA name, e.g. Europe/Paris.",
                code="TIME_ZONE",
            ) from None
        if self.starts_at.tzinfo is None and _is_ambiguous(self.starts_at, zone):
            raise DefinitionLike(
                f"{self.starts_at} is skipped or repeated by a clock change in {self.timezone}. "
                "Choose another hour.",
                code="TIME_AMBIGUOUS",
            )
        return self

    @property
    def launch_at(self) -> datetime:
        """Start in UTC."""
        if self.starts_at.tzinfo is not None:
            return self.starts_at.astimezone(UTC)
        return self.starts_at.replace(tzinfo=ZoneInfo(self.timezone)).astimezone(UTC)

    @property
    def closes_at(self) -> datetime:
        """End of the response window in UTC: nothing later counts, nothing earlier is mature."""
        return self.launch_at + timedelta(days=self.response_days)

    def moment(self, given: str | date | datetime) -> datetime:
        """A time in UTC; without a zone it is the schedule's, and a day is its first moment.

        Errors: TIME_INVALID for text that is neither a date nor a time.
        """
        try:
            when = datetime.fromisoformat(given) if isinstance(given, str) else given
        except ValueError:
            raise DefinitionError(
                f"A date or a time such as 2017-08-01T09:00 is expected, got {given!r}.",
                code="TIME_INVALID",
            ) from None
        if not isinstance(when, datetime):
            when = datetime.combine(when, time())
        if when.tzinfo is None:
            when = when.replace(tzinfo=ZoneInfo(self.timezone))
        return when.astimezone(UTC)


class AnalysisPlan(Definition):
    """How the result will be read, fixed before there is one."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    correction: Literal["holm"] = "holm"
    looks_days: tuple[int, ...] = ()
    decision_rule: str


class EconomicsPlan(Definition):
    """What a response is worth; costs stand with the arms."""

    currency: str
    value: Slug
    margin_rate: float = Field(default=1.0, ge=0)
    redemption: Slug | None = None


class Experiment(Result, Definition):
    """A planned experiment. Its `digest` is what sealing freezes."""

    id: Slug
    title: str
    kind: Literal["ab_test", "campaign_holdout", "universal_control"]
    owner: str
    objective: str
    hypothesis: str
    parent: Slug | None = None
    audience: Audience
    arms: tuple[Arm, ...]
    cluster: Slug | None = None  # column of customers whose members share one arm
    metrics: MetricPlan
    schedule: Schedule
    analysis: AnalysisPlan
    money: EconomicsPlan

    @field_validator("arms", mode="after")
    @classmethod
    def _arms_add_up(cls, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
        names = [arm.name for arm in arms]
        if len(set(names)) < len(names):
            raise DefinitionLike("two arms have the same name.", code="ARM_DUPLICATE")
        if names.count(CONTROL) != 1 or len(arms) < 2:
            raise DefinitionLike(
                f"one arm must be called {CONTROL!r}, beside at least one other; got {names}.",
                code="ARM_MISSING",
            )
        if any(arm.share == 0 for arm in arms if arm.name == CONTROL):
            raise DefinitionLike(
                "the control has share 0, so nothing can be measured. Hold out some customers.",
                code="HOLDOUT_EMPTY",
            )
        if any(arm.share == 0 for arm in arms):
            raise DefinitionLike("every arm needs a share above 0.", code="WEIGHTS_INVALID")
        total = sum(arm.share for arm in arms)
        if total != 1:
            raise DefinitionLike(
                f"shares must add up to exactly 1, got {float(total):g}. Write thirds as 1/3.",
                code="WEIGHTS_INVALID",
            )
        return tuple(sorted(arms, key=lambda arm: arm.name != CONTROL))  # control first

    @model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        for _, planned in self.metrics.with_roles():
            if planned.metric.window_days > self.schedule.response_days:
                raise DefinitionLike(
                    f"metric {planned.metric.key} needs {planned.metric.window_days} days, but "
                    f"the response window is {self.schedule.response_days}.",
                    code="WINDOW_TOO_SHORT",
                )
        return self

    @property
    def arm_names(self) -> tuple[str, ...]:
        """Names of the arms, control first."""
        return tuple(arm.name for arm in self.arms)

    @property
    def treatments(self) -> tuple[Arm, ...]:
        """All arms but the control."""
        return self.arms[1:]

    @property
    def shares(self) -> dict[str, float]:
        """Designed share of units per arm, control first."""
        return {arm.name: float(arm.share) for arm in self.arms}

    @property
    def primary(self) -> Metric:
        """The metric that decides."""
        return self.metrics.primary.metric

    @property
    def all_metrics(self) -> tuple[Metric, ...]:
        """Every planned metric, primary first."""
        return tuple(planned.metric for _, planned in self.metrics.with_roles())

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """Outcome columns the metrics and the economics need, each once."""
        columns = [metric.column for metric in self.all_metrics]
        return tuple(dict.fromkeys([*columns, *self.economics.outcomes]))

    @property
    def economics(self) -> Economics:
        """Costs of the arms and worth of a response."""
        return Economics(
            currency=self.money.currency,
            value_outcome=self.money.value,
            margin_rate=self.money.margin_rate,
            redemption_outcome=self.money.redemption,
            contact_cost={arm.name: arm.unit_cost for arm in self.arms},
            redemption_cost={arm.name: arm.redemption_cost for arm in self.arms},
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical definition, metrics included."""
        return hashlib.sha256(canonical_json(self).encode()).hexdigest()

    def table(self) -> Table:
        """The arms."""
        columns = (
            Column("arm"),
            Column("share", kind="share"),
            Column("channel"),
            Column("offer"),
            Column("unit cost", kind="cents"),
            Column("redemption cost", kind="cents"),
        )
        rows = [
            (arm.name, float(arm.share), arm.channel, arm.offer, arm.unit_cost, arm.redemption_cost)
            for arm in self.arms
        ]
        return Table(self.title, columns, rows, note=f"Costs in {self.money.currency}.")

    def to_yaml(self) -> str:
        """The definition as YAML; `experiment_from` reads it back to an equal one."""
        return yaml.safe_dump(to_plain(self), sort_keys=False, allow_unicode=True)


def load_experiment(path: str | Path) -> Experiment:
    """Read an experiment from its folder (or its YAML file), citing `metrics.yaml` one level up."""
    folder = Path(path)
    file = folder if folder.suffix in (".yaml", ".yml") else folder / DEFINITION_FILE
    catalogue_file = file.parent.parent / CATALOGUE_FILE
    catalogue = MetricCatalogue.load(catalogue_file) if catalogue_file.is_file() else None
    experiment = experiment_from(read_yaml(file), catalogue=catalogue)
    if file.name == DEFINITION_FILE and file.resolve().parent.name != experiment.id:
        raise DefinitionError(
            f"{file}: the experiment is called {experiment.id!r}, its folder "
            f"{file.resolve().parent.name!r}. Give both the same name.",
            code="NAME_MISMATCH",
        )
    return experiment


def experiment_from(document: Document, *, catalogue: MetricCatalogue | None = None) -> Experiment:
    """The experiment a parsed YAML document defines."""
    return validate(Experiment, document, context={"catalogue": catalogue})


def _is_ambiguous(local: datetime, zone: ZoneInfo) -> bool:
    """Whether a clock change skips or repeats this local time."""
    first, second = local.replace(tzinfo=zone, fold=0), local.replace(tzinfo=zone, fold=1)
    return first.utcoffset() != second.utcoffset()
