"""Contact policies: what a plan must respect, as a definition that can be read, stored and cited.

A policy says which arm travels by which channel, what may be spent, and how many contacts each
channel must and may carry.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from uplift.errors import DefinitionError
from uplift.experiment import CONTROL, Experiment
from uplift.metrics import Definition, Slug
from uplift.strict_yaml import read_yaml
from uplift.table import Column, Result, Table, to_plain
from uplift.violations import DefinitionLike, validate


def _budget(value: float | None) -> float | None:
    if value is not None and not 0 <= value < float("inf"):
        raise DefinitionLike(
            f"a budget must be 0 or more, got {value}. Leave it out when there is no limit.",
            code="BUDGET_INVALID",
        )
    return value


Budget = Annotated[
    Annotated[float, Field(allow_inf_nan=True)] | None, AfterValidator(_budget)
]  # the check has its code
Volume = Annotated[int, Field(ge=0)]


class ContactPolicy(Result, Definition):
    """The rules of one plan. Volumes count contacts; money is in `currency`.

    budget                 most that may be spent, redemptions included; None is no limit
    channels               channel of each arm, e.g. {"email_5": "email"}; arms not named here, and
                           the control, are never planned
    offers                 offer of each arm, for the name of the action
    max_volume, min_volume contacts each channel may and must carry
    max_contacts_per_unit  contacts one unit may receive in this plan
    """

    title: str = "Contact policy"
    currency: str
    budget: Budget = None
    channels: dict[Slug, Slug]
    offers: dict[Slug, Slug] = Field(default_factory=dict)
    max_volume: dict[Slug, Volume] = Field(default_factory=dict)
    min_volume: dict[Slug, Volume] = Field(default_factory=dict)
    max_contacts_per_unit: Literal[1] = 1

    @model_validator(mode="after")
    def _consistent(self) -> "ContactPolicy":
        if not self.channels:
            raise DefinitionLike(
                "no arm has a channel, so nothing can be planned. Name at least one.",
                code="CHANNEL_MISSING",
            )
        if CONTROL in self.channels:
            raise DefinitionLike(
                f"the {CONTROL} is not contacted. Remove it from the channels.",
                code="CHANNEL_CONTROL",
            )
        known = set(self.channels.values())
        for rule, volumes in (("max_volume", self.max_volume), ("min_volume", self.min_volume)):
            for channel in volumes:
                if channel not in known:
                    raise DefinitionLike(
                        f"{rule} names the channel {channel!r}, which no arm uses. "
                        f"Channels: {', '.join(sorted(known))}.",
                        code="CHANNEL_UNKNOWN",
                    )
        for arm in self.offers:
            if arm not in self.channels:
                raise DefinitionLike(
                    f"offers names the arm {arm!r}, which has no channel. "
                    f"Arms: {', '.join(self.channels)}.",
                    code="ARM_UNKNOWN",
                )
        for channel, least in self.min_volume.items():
            most = self.max_volume.get(channel)
            if most is not None and least > most:
                raise DefinitionLike(
                    f"channel {channel!r} must carry at least {least:,} contacts and at most "
                    f"{most:,}. Lower the minimum or raise the maximum.",
                    code="VOLUME_BOUNDS",
                )
        return self

    @classmethod
    def for_experiment(
        cls,
        experiment: Experiment,
        *,
        budget: float | None = None,
        max_volume: Mapping[str, int] | None = None,
        min_volume: Mapping[str, int] | None = None,
    ) -> "ContactPolicy":
        """The policy that plans an experiment's treatments; an arm without channel is its own."""
        return cls(
            title=f"Contacts after {experiment.id}",
            currency=experiment.money.currency,
            budget=budget,
            channels={arm.name: arm.channel or arm.name for arm in experiment.treatments},
            offers={arm.name: arm.offer for arm in experiment.treatments if arm.offer},
            max_volume=dict(max_volume or {}),
            min_volume=dict(min_volume or {}),
        )

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms that may be planned, in the order given."""
        return tuple(self.channels)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Channels, each once, in the order of the arms."""
        return tuple(dict.fromkeys(self.channels.values()))

    def action(self, arm: str) -> str:
        """Name of the action an arm stands for, e.g. `email:voucher`."""
        parts = (self.channels[arm], self.offers.get(arm, arm))
        return ":".join(dict.fromkeys(parts))

    def table(self) -> Table:
        """One row per channel with its limits."""
        columns = (
            Column("channel"),
            Column("at least", kind="count"),
            Column("at most", kind="count"),
        )
        rows = [
            (channel, self.min_volume.get(channel), self.max_volume.get(channel))
            for channel in self.channel_names
        ]
        budget = "no budget limit" if self.budget is None else f"budget {self.budget:,.2f}"
        return Table(self.title, columns, rows, note=f"{budget}, in {self.currency}.")


def load_policy(path: str | Path, *, experiment: Experiment | None = None) -> ContactPolicy:
    """Read a contact policy from its YAML file.

    experiment  fills in currency, channels and offers where the file leaves them out; arms that
                the file names must be its treatments
    """
    document = read_yaml(path)
    if experiment is None or not isinstance(document.content, dict):
        return validate(ContactPolicy, document)
    default = to_plain(ContactPolicy.for_experiment(experiment))
    filled = replace(document, content={**default, **document.content})
    policy = validate(ContactPolicy, filled)
    known = [arm.name for arm in experiment.treatments]
    for arm in policy.arms:
        if arm not in known:
            line = document.line(("channels", arm))
            raise DefinitionError(
                f"{document.name}, line {line}: arm {arm!r} is no treatment of {experiment.id}. "
                f"Treatments: {', '.join(known)}.",
                code="ARM_UNKNOWN",
            )
    if policy.currency != experiment.money.currency:
        raise DefinitionError(
            f"{document.name}, line {document.line(('currency',))}: the policy is in "
            f"{policy.currency}, {experiment.id} in {experiment.money.currency}. Use one currency.",
            code="CURRENCY_MISMATCH",
        )
    return policy
