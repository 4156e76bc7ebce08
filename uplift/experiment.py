"""An experiment as it was planned: arms, audience, metrics, schedule, analysis, economics.

Frozen, read from YAML, and known by the digest of its canonical form, which sealing records.
"""

import hashlib
from pathlib import Path
from typing import Literal

import yaml
from pydantic import (
    field_validator,
    model_validator,
)

from uplift.analysis_plan import AnalysisPlan, EconomicsPlan
from uplift.arms import Arm, Audience, Factor, check_factors
from uplift.assignment_plan import AssignmentPlan, Rotation
from uplift.economics import Economics
from uplift.errors import DefinitionError
from uplift.metric_plan import MetricPlan
from uplift.metrics import Definition, Metric, MetricCatalogue, Slug
from uplift.schedule import Schedule
from uplift.strict_yaml import read_yaml
from uplift.table import Column, Result, Table, canonical_json, to_plain
from uplift.violations import DefinitionLike, Document, validate

CONTROL = "control"  # the one arm that every effect is measured against
DEFINITION_FILE = "experiment.yaml"
CATALOGUE_FILE = "metrics.yaml"


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
        check_factors(self.kind, self.factors, self.arms)
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
