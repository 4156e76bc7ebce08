"""A campaign on real households whose effect on every customer is known.

Households of The Complete Journey are resampled with their real features and a real later month of
spending; only the effect of the vouchers is planted. So methods can be checked against the truth on
data as uneven as real customers are. Semi-synthetic, and labelled so wherever it is shown.

Source of the idea: Franklin et al. (2014), Computational Statistics & Data Analysis 72.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.customers.view import customer_view, utc_moment
from uplift.datasets.cards import Card, card
from uplift.datasets.journey import complete_journey
from uplift.datasets.voucher_effects import ARMS, OUTCOMES, plant_effects
from uplift.economics import Economics
from uplift.errors import DataError, DefinitionError
from uplift.frames import UNIT, clean_units, read_frame, require_unique
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LABEL = "Semi-synthetic: real households of The Complete Journey with planted, known effects."
WINDOW_DAYS = 28  # outcomes are those of four weeks
HORIZON_DAYS = 182  # the four weeks begin within the half year after as_of
ELIGIBLE = "n_baskets_182d"  # at least 1: bought in the half year before


@dataclass(frozen=True, eq=False, repr=False)
class Plasmode(Result):
    """Customers, and what each would do under each arm.

    customers  unit, household, as_of and features; no outcome
    potential  by outcome, (n_units, n_arms), in the customers' order; currency or 0/1
    arms       names, control first
    averages   by outcome, (n_arms,) mean of the potential outcomes
    label      says that this is not real; show it with every result
    """

    customers: pd.DataFrame = field(repr=False)
    potential: Mapping[str, Array] = field(repr=False)
    arms: tuple[str, ...]
    averages: Mapping[str, Array]
    label: str = LABEL

    @property
    def card(self) -> Card:
        """What the data are and what misleads in them."""
        return card("plasmode_campaign")

    def outcomes(self, assigned: Any) -> pd.DataFrame:
        """What the assigned units did under their arm: unit, spend, bought, redeemed, opted_out."""
        table = read_frame(assigned, what="assignment", require=["arm"])
        require_unique(table[UNIT], what="assignment")
        column = {arm: i for i, arm in enumerate(self.arms)}
        unknown = [arm for arm in table["arm"].unique() if arm not in column]
        if unknown:
            raise DataError(
                f"assignment: arm {unknown[0]!r} is not an arm of this campaign "
                f"({', '.join(self.arms)}).",
                code="ARM_UNKNOWN",
                column="arm",
            )
        return self._reveal(table[UNIT], np.array([column[arm] for arm in table["arm"]]))

    def untouched(self, units: Sequence[str]) -> pd.DataFrame:
        """What units did whom the campaign left out, such as those of a universal control."""
        ids = clean_units(pd.Series(list(units), dtype="str"), what="units")
        return self._reveal(ids, np.zeros(len(ids), dtype=np.int64))

    def true_profit(self, economics: Economics) -> Array:
        """Profit of each customer under each arm, (n_units, n_arms), in currency."""
        return economics.profit(self.potential, self.arms)

    def table(self) -> Table:
        """True mean of each outcome had everybody received the arm."""
        columns = [Column("arm"), *(Column(name, kind="number") for name in self.averages)]
        rows = [
            (arm, *(float(values[i]) for values in self.averages.values()))
            for i, arm in enumerate(self.arms)
        ]
        return Table("True mean outcomes per customer", columns, rows, note=self.label)

    def _reveal(self, units: pd.Series, arm: IntArray) -> pd.DataFrame:
        row = pd.Index(self.customers[UNIT]).get_indexer(pd.Index(units))
        strangers = np.flatnonzero(row < 0)
        if len(strangers):
            raise DataError(
                f"assignment: {len(strangers)} unit(s) are not customers of this campaign, first "
                f"in row {strangers[0] + 1}. Assign the customers of the same campaign.",
                code="UNIT_UNKNOWN",
                column=UNIT,
                count=len(strangers),
                rows=[int(i) + 1 for i in strangers[:5]],
            )
        revealed = {name: values[row, arm] for name, values in self.potential.items()}
        return pd.DataFrame({UNIT: units.to_numpy(), **revealed}).astype({UNIT: "str"})


def plasmode_campaign(
    n_units: int = 20_000, seed: int = 7, *, as_of: str | date | datetime = "2017-07-01"
) -> Plasmode:
    """Resample households with their features as of a date, and plant a voucher's effects.

    A customer is a household drawn with replacement among those with a purchase in the half year
    before `as_of`. Its spending without a contact is the household's real spending in four weeks
    that begin at a random day of the half year after `as_of` (of what the data hold of it).
    """
    if n_units < 1:
        raise DefinitionError(f"n_units must be 1 or more, got {n_units}.", code="SIZE_INVALID")
    rng = np.random.default_rng(seed)
    start = utc_moment(as_of)
    purchases = complete_journey(["transactions"]).purchases
    households = customer_view(purchases, start)
    households = households[households[ELIGIBLE] >= 1].reset_index(drop=True)
    cents = _cumulative_cents(purchases, households[UNIT], start)
    drawn = rng.integers(len(households), size=n_units)
    begin = rng.integers(cents.shape[1] - WINDOW_DAYS, size=n_units)
    spend = (cents[drawn, begin + WINDOW_DAYS] - cents[drawn, begin]) / 100
    potential = plant_effects(households.iloc[drawn], spend, reference=households, rng=rng)
    averages = {name: potential[name].mean(axis=0) for name in OUTCOMES}
    return Plasmode(_customers(households, drawn), potential, ARMS, averages)


def _cumulative_cents(purchases: pd.DataFrame, units: pd.Series, start: datetime) -> IntArray:
    """Spend of each unit before each day after `start`, in cents: (n_households, n_days + 1).

    Whole cents, so that a difference of two days is exact and no purchase is exactly 0.
    """
    day = (purchases["occurred_at"] - start) // pd.Timedelta(days=1)
    last_day = (purchases["occurred_at"].max() - start) // timedelta(days=1)
    n_days = min(HORIZON_DAYS, int(last_day))  # the last day of the data is not whole
    if n_days < WINDOW_DAYS or purchases["occurred_at"].min() >= start:
        raise DefinitionError(
            f"as_of {start:%Y-%m-%d} leaves no purchases before it or less than {WINDOW_DAYS} days "
            "after it. Choose a date in the data, e.g. 2017-07-01.",
            code="TIME_WINDOW",
        )
    row = pd.Index(units).get_indexer(pd.Index(purchases[UNIT]))
    days = day.to_numpy(np.int64)
    inside = (row >= 0) & (days >= 0) & (days < n_days)
    cents = np.zeros((len(units), n_days + 1), dtype=np.int64)
    amounts = np.rint(100 * purchases["amount"].to_numpy()).astype(np.int64)
    np.add.at(cents, (row[inside], days[inside] + 1), amounts[inside])
    return cents.cumsum(axis=1)


def _customers(households: pd.DataFrame, drawn: IntArray) -> pd.DataFrame:
    """One row per copy; its id is the household's with the number of the copy."""
    customers = households.iloc[drawn].reset_index(drop=True)
    household = customers[UNIT].rename("household")
    copy = household.groupby(household).cumcount() + 1
    customers[UNIT] = household + "_" + copy.astype("str").str.zfill(4)
    customers.insert(1, "household", household)
    return customers
