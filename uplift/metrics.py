"""Metrics: one versioned definition of each number, and how moments become its effect.

A metric turns one outcome column into a number per arm. Its definition never changes: a new window,
cap or column is a new version (`spend_28d@2`), so that two experiments that cite the same key mean
the same number.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from uplift.errors import DefinitionError
from uplift.strict_yaml import read_yaml
from uplift.violations import DefinitionLike, Document, definition_error, validate

SLUG = re.compile(r"^[a-z][a-z0-9_]{0,62}\Z")  # \Z: `$` would let a line break through


def check_slug(value: str) -> str:
    """Names are lower-case words joined by underscores: safe as file, column and SQL names."""
    if not SLUG.match(value):
        raise DefinitionLike(
            f"{value[:80]!r} is not a name. Use lower-case letters, digits and underscores, "
            "beginning with a letter.",
            code="NAME_INVALID",
        )
    return value


Slug = Annotated[
    str,
    AfterValidator(check_slug),
    WithJsonSchema({"type": "string", "pattern": r"^[a-z][a-z0-9_]{0,62}$"}),
]


class Definition(BaseModel):
    """What all definitions share: frozen once made, and nothing in them that is not known."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False
    )

    def __init__(self, **fields: Any) -> None:
        try:
            self.__pydantic_validator__.validate_python(fields, self_instance=self)
        except ValidationError as error:
            document = Document(type(self).__name__, fields, {})
            raise definition_error(error, document, model=type(self)) from error

    # tells pydantic that this still is its own constructor, so nested definitions skip it
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_numbers(cls, given: Any) -> Any:
        """`window_days: true` is a slip of the pen, not 1."""
        for name, value in given.items() if isinstance(given, dict) else ():
            entries = value if isinstance(value, list | tuple) else (value,)
            field = cls.model_fields.get(str(name))
            takes_it = field is None or "bool" in repr(field.annotation)
            if not takes_it and any(isinstance(entry, bool) for entry in entries):
                raise DefinitionLike(
                    f"{name} is no truth value, got {value!r}. Write what it is, and quote text."
                )
        return given


class Metric(Definition):
    """One outcome column, summed over a window per unit, and averaged per arm.

    denominator  of a ratio: the metric is the arm's sum of `column` over its sum of this column
    quantile     of the kind `quantile`: 0.5 for the median; it explains, it cannot decide
    delivery     only the treated can have it (delivered, opened): shown, never tested
    """

    name: Slug
    version: int = Field(ge=1)
    title: str
    column: Slug
    kind: Literal["mean", "proportion", "ratio", "quantile"] = "mean"
    denominator: Slug | None = None
    quantile: float | None = Field(default=None, gt=0, lt=1)
    unit: str
    window_days: int = Field(ge=1)
    direction: Literal["up", "down"] = "up"
    cap: float | None = Field(default=None, gt=0)
    covariate: Slug | None = None
    delivery: bool = False
    owner: str

    @model_validator(mode="after")
    def _has_its_columns(self) -> "Metric":
        if (self.kind == "ratio") != (self.denominator is not None):
            raise DefinitionLike(
                f"metric {self.name}: a ratio needs a denominator, and only a ratio has one.",
                code="METRIC_INVALID",
            )
        if (self.kind == "quantile") != (self.quantile is not None):
            raise DefinitionLike(
                f"metric {self.name}: the kind quantile needs its level, e.g. quantile: 0.9, and "
                "only it has one.",
                code="METRIC_INVALID",
            )
        return self

    @property
    def key(self) -> str:
        """How experiments cite the metric, e.g. `spend_28d@1`."""
        return f"{self.name}@{self.version}"


class MetricFile(Definition):
    """The file `metrics.yaml`."""

    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class MetricCatalogue:
    """The shared metrics of all experiments, by key."""

    metrics: tuple[Metric, ...]

    @classmethod
    def load(cls, path: str | Path) -> "MetricCatalogue":
        """Read `metrics.yaml`."""
        return cls.from_document(read_yaml(path))

    @classmethod
    def from_document(cls, document: Document) -> "MetricCatalogue":
        """The catalogue a parsed document holds; each key may be there once."""
        metrics = validate(MetricFile, document).metrics
        keys = [metric.key for metric in metrics]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                raise DefinitionError(
                    f"{document.name}, line {document.line(('metrics', i))}: metric {key} is "
                    "defined twice. A changed definition needs a new version.",
                    code="METRIC_DUPLICATE",
                )
        return cls(metrics)

    def __getitem__(self, key: str) -> Metric:
        for metric in self.metrics:
            if metric.key == key:
                return metric
        raise DefinitionError(
            f"There is no metric {key!r} in the catalogue. Known: {', '.join(self.keys())}.",
            code="METRIC_UNKNOWN",
        )

    def __iter__(self) -> Iterator[Metric]:
        return iter(self.metrics)

    def keys(self) -> list[str]:
        """The keys by which experiments cite the metrics."""
        return [metric.key for metric in self.metrics]


def resolve_metric(value: Any, catalogue: MetricCatalogue | None) -> Any:
    """A cited key as the metric it names; anything else unchanged."""
    if not isinstance(value, str):
        return value
    if catalogue is None:
        raise DefinitionLike(
            f"{value!r} cites a metric, but no catalogue is given. Load the experiment from its "
            "folder, beside metrics.yaml, or give the metric itself.",
            code="METRIC_UNKNOWN",
        )
    try:
        return catalogue[value]
    except DefinitionError as error:
        raise DefinitionLike(str(error), code=error.code) from error
