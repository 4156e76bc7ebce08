"""An experiment as it was planned: arms, audience, metrics, schedule, analysis, economics.

Frozen, read from YAML, and known by the digest of its canonical form, which sealing records.
"""

import hashlib
import itertools
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

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
from uplift.schedule import Schedule
from uplift.strict_yaml import read_yaml
from uplift.table import Column, Result, Table, canonical_json, to_plain
from uplift.violations import DefinitionLike, Document, validate

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
Cost = Annotated[float, Field(allow_inf_nan=True), AfterValidator(_cost)]  # the check has its code


class Factor(Definition):
    """One dimension of a factorial experiment; its first level is the one without it."""

    name: Slug
    levels: Annotated[tuple[Slug, ...], Field(min_length=2)]


class Arm(Definition):
    """One version of a campaign that units can be assigned to.

    unit_cost  per assigned unit, in the experiment's currency; must be stated before sealing
    levels     of a factorial experiment: the level of each factor, e.g. {offer: voucher}
    """

    name: Slug
    share: Share  # of eligible units
    channel: Slug | None = None
    offer: Slug | None = None
    unit_cost: Cost | None = None
    redemption_cost: Cost = 0.0  # per redemption, in the experiment's currency
    levels: dict[Slug, Slug] = Field(default_factory=dict)

    @property
    def contact_cost(self) -> float:
        """Cost per assigned unit; 0 where none is stated."""
        return self.unit_cost or 0.0


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


class LayerSlots(Definition):
    """A part of a layer: experiments of one layer whose parts do not meet share no unit.

    by  column of customers whose id says in which part a unit is; what is randomised when not
        given. All experiments of a layer must name the same, e.g. `household` in one that
        randomises units beside another that randomises households
    """

    name: Slug
    start: Share = Fraction(0)
    end: Share = Fraction(1)
    by: Slug | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> "LayerSlots":
        if self.start >= self.end:
            raise DefinitionLike(
                f"layer {self.name}: the part from {self.start} to {self.end} is empty.",
                code="LAYER_EMPTY",
            )
        if self.by == "unit":
            raise DefinitionLike(
                f"layer {self.name}: by: unit is what holds where units are randomised, and would "
                "cut clusters apart where they are. Leave it out.",
                code="LAYER_BY_UNIT",
            )
        return self


class ContactCap(Definition):
    """At most so many contacts of a unit in a sliding window before the send."""

    max_contacts: int = Field(ge=0)
    window_days: int = Field(ge=1)
    channel: Slug | None = None  # all channels when not given


class AssignmentPlan(Definition):
    """How arms are drawn.

    method          `hash`: each unit by its own hash, the same everywhere and for ever;
                    `stratified`: exact shares within strata of a list drawn at once;
                    `rerandomised`: the first of many such draws whose covariates are balanced;
                    `matched`: exact shares within blocks of customers with similar covariates
    strata          columns of customers; every combination of their values is a stratum
    balance         covariates that a rerandomised draw must balance, or that blocks share
    acceptance      share of rerandomised draws that are balanced enough
    exposure_share  of eligible units that take part at all; may grow while the test is live
    excludes        experiments whose control is left out, e.g. the universal control
    layer           part of a layer that this experiment may use
    contact_caps    units at a cap are not drawn, control and treatment alike
    salt            of the draw; the experiment's id when not given
    """

    method: Literal["hash", "stratified", "rerandomised", "matched"] = "hash"
    strata: tuple[Slug, ...] = ()
    balance: tuple[Slug, ...] = ()
    acceptance: float = Field(default=0.01, gt=0, le=1)
    exposure_share: Share = Fraction(1)
    excludes: tuple[Slug, ...] = ()
    layer: LayerSlots | None = None
    contact_caps: tuple[ContactCap, ...] = ()
    salt: Slug | None = None

    @model_validator(mode="after")
    def _possible(self) -> "AssignmentPlan":
        if self.method in ("rerandomised", "matched") and not self.balance:
            raise DefinitionLike(
                f"a {self.method} draw needs the covariates to balance.", code="BALANCE_MISSING"
            )
        if self.method == "hash" and (self.strata or self.balance):
            raise DefinitionLike(
                "a hash draw has no strata and balances nothing. Choose the method stratified or "
                "rerandomised.",
                code="STRATA_UNUSED",
            )
        return self


class Rotation(Definition):
    """How the members of a universal control change places.

    cohorts       parts that are replaced in turn
    every_days    between two replacements
    washout_days  in which a member that was let go is contacted again but not yet counted
    """

    cohorts: int = Field(ge=1)
    every_days: int = Field(ge=1)
    washout_days: int = Field(default=0, ge=0)


Correction = Literal["holm", "hochberg", "bonferroni", "benjamini_hochberg", "benjamini_yekutieli"]


class AnalysisPlan(Definition):
    """How the result will be read, fixed before there is one.

    power        wanted probability that a treatment with the smallest effect worth acting on is
                 proven and all its guardrails hold
    correction   how the declared family shares one error rate
    looks_days   days after the launch at which the result is read, the last one being final
    monitoring   `group_sequential`: looks share the error by the spending function;
                 `always_valid`: read at any time; `fixed`: one look at the end
    covariates   columns of customers, known before, that adjust every mean beside its own
    strata       columns of customers whose combinations are weighed as in the whole audience
                 (post-stratification); those of a stratified draw are always used
    segments     columns of customers by whose values effects are read, jointly honest
    reread_days  days after the launch at which the kept holdout is read again
    """

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    power: float = Field(default=0.8, ge=0.5, lt=1)
    correction: Correction = "holm"
    covariates: tuple[Slug, ...] = ()
    strata: tuple[Slug, ...] = ()
    segments: tuple[Slug, ...] = ()
    reread_days: tuple[int, ...] = ()
    looks_days: tuple[int, ...] = ()
    monitoring: Literal["group_sequential", "always_valid", "fixed"] = "group_sequential"
    spending: Literal["obrien_fleming", "pocock"] = "obrien_fleming"
    decision_rule: str

    @field_validator("looks_days", "reread_days", mode="after")
    @classmethod
    def _rising(cls, days: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if any(day < 1 for day in days) or list(days) != sorted(set(days)):
            raise DefinitionLike(
                f"{info.field_name} must be days from 1 on, each later than the one before, got "
                f"{list(days)}.",
                code="LOOKS_INVALID",
            )
        return days


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
    kind: Literal["ab_test", "campaign_holdout", "factorial", "universal_control", "trigger"]
    owner: str
    objective: str
    hypothesis: str
    parent: Slug | None = None  # the experiment whose decision led to this one
    audience: Audience
    arms: tuple[Arm, ...]
    factors: tuple[Factor, ...] = ()
    cluster: Slug | None = None  # column of customers whose members share one arm
    assignment: AssignmentPlan = AssignmentPlan()
    rotation: Rotation | None = None
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
        if self.schedule.ends_at is not None and self.kind != "trigger":
            raise DefinitionLike(
                "only a trigger takes in units until an end. Give the waves of a campaign instead.",
                code="KIND_MISMATCH",
            )
        if self.rotation is not None and self.kind != "universal_control":
            raise DefinitionLike("only a universal control has a rotation.", code="KIND_MISMATCH")
        _check_factors(self.kind, self.factors, self.arms)
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
    def layer_by(self) -> str | None:
        """Column whose id says in which part of its layer a unit is; None: the unit's own id."""
        layer = self.assignment.layer
        return (layer.by if layer else None) or self.cluster

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
        columns = [
            column
            for metric in self.all_metrics
            for column in (metric.column, metric.denominator)
            if column is not None
        ]
        return tuple(dict.fromkeys([*columns, *self.economics.outcomes]))

    @property
    def economics(self) -> Economics:
        """Costs of the arms and worth of a response."""
        return Economics(
            currency=self.money.currency,
            value_outcome=self.money.value,
            margin_rate=self.money.margin_rate,
            redemption_outcome=self.money.redemption,
            contact_cost={arm.name: arm.contact_cost for arm in self.arms},
            redemption_cost={arm.name: arm.redemption_cost for arm in self.arms},
        )

    @property
    def canonical(self) -> str:
        """What sealing freezes, as JSON with the metrics' definitions.

        What equals its default is left out, so that a new optional part of definitions leaves the
        digests of old ones as they are.
        """
        return canonical_json(self.model_dump(exclude_defaults=True))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical definition."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

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

    def to_yaml(self, *, catalogue: MetricCatalogue | None = None) -> str:
        """The definition as YAML; `experiment_from` reads it back to an equal one.

        catalogue  metrics that are cited by their key, where they are defined there as here
        """
        plain = to_plain(self.model_dump(exclude_defaults=True))
        known = {metric.key: metric for metric in catalogue or ()}
        parts = plain["metrics"]
        listed = [*parts.get("secondary", ()), *parts.get("guardrails", ())]
        for written, metric in zip([parts["primary"], *listed], self.all_metrics, strict=True):
            if known.get(metric.key) == metric:
                written["metric"] = metric.key
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


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


def _check_factors(kind: str, factors: tuple[Factor, ...], arms: tuple[Arm, ...]) -> None:
    """Every combination of the factors' levels is one arm, and the first levels are the control."""
    if (kind == "factorial") != bool(factors):
        raise DefinitionLike(
            "factors belong to an experiment of the kind factorial, and it needs them.",
            code="KIND_MISMATCH",
        )
    names = [factor.name for factor in factors]
    wanted = set(itertools.product(*(factor.levels for factor in factors)))
    found = [tuple(arm.levels.get(name, "") for name in names) for arm in arms]
    extra = [arm.name for arm in arms if set(arm.levels) - set(names)]
    if factors and (set(found) != wanted or len(found) != len(wanted)):
        raise DefinitionLike(
            f"every combination of {', '.join(names)} must be one arm: {len(wanted)} are needed, "
            f"the arms give {len(set(found) & wanted)} of them.",
            code="FACTORIAL_INCOMPLETE",
        )
    if extra or (factors and found[0] != tuple(factor.levels[0] for factor in factors)):
        raise DefinitionLike(
            "levels must name declared factors, and the control has the first level of each.",
            code="FACTORIAL_INCOMPLETE",
        )
