"""Who can be assigned to what: the audience, factors, and arms with their shares and costs."""

import itertools
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
)

from uplift.metrics import Definition, Slug
from uplift.violations import DefinitionLike


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
            f"a share must be a fraction, got {value!r}. Write it such as 0.25 or 1/4.",
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
        raise DefinitionLike(
            f"a cost must be 0 or more, got {value}. Write what one of them costs.",
            code="COST_INVALID",
        )
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


def check_factors(kind: str, factors: tuple[Factor, ...], arms: tuple[Arm, ...]) -> None:
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
