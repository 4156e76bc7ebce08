"""How a result will be read, fixed before there is one, and what a response is worth."""

from typing import Literal

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
)

from uplift.metrics import Definition, Slug
from uplift.violations import DefinitionLike

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
