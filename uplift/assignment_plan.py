"""How the arms of an experiment are drawn, and how a universal control rotates."""

from fractions import Fraction
from typing import Literal

from pydantic import (
    Field,
    model_validator,
)

from uplift.arms import Share
from uplift.metrics import MAX_DAYS, Days, Definition, Slug
from uplift.violations import DefinitionLike


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
    window_days: Days
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
    every_days: Days
    washout_days: int = Field(default=0, ge=0, le=MAX_DAYS)
