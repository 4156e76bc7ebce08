"""The arithmetic of a plan: profit and cost per unit and action, and the rules they share.

    maximise  sum_i profit[i, action_i]
    subject   lower_r <= sum_i usage_r[i, action_i] <= upper_r   for every rule r
    where     each unit gets one action or none, and usage is the cost or one contact

Units stand in the order of a hash of their id, so that nothing depends on the order of a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

NONE = -1  # the action of a unit that is left alone
TIE_BREAK = 1e-6  # of the mean profit: splits equal units by their hash, far below a cent each

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Rule:
    """One limit that all units share.

    of       what is counted: the cost of the actions, or the contacts
    actions  (n_actions,)  which actions count
    """

    name: str
    of: Literal["cost", "contacts"]
    actions: BoolArray
    lower: float = -np.inf
    upper: float = np.inf

    @property
    def limits(self) -> tuple[str, ...]:
        """Names of the sides that limit, e.g. `telephone minimum`."""
        if self.of == "cost":
            return (self.name,)
        sides = (("minimum", self.lower), ("maximum", self.upper))
        return tuple(f"{self.name} {side}" for side, bound in sides if np.isfinite(bound))

    def limit(self, price: float) -> str:
        """Name of the side a price belongs to: a maximum costs, a minimum pays."""
        if self.of == "cost":
            return self.name
        return f"{self.name} {'maximum' if price > 0 else 'minimum'}"

    def usage(self, choice: IntArray, cost: Array) -> Array:
        """What each unit's action uses of the limit, (n_units,).

        choice  (n_units,)  action of each unit, or NONE
        cost    (n_units,)  cost of that action, 0 for NONE
        """
        counted = np.append(self.actions, False)[choice]  # NONE indexes the appended False
        return np.where(counted, cost if self.of == "cost" else 1.0, 0.0)


@dataclass(frozen=True, eq=False)
class Problem:
    """A plan to be found.

    profit    (n_units, n_actions)  in currency; -inf where the action is not allowed
    cost      (n_units, n_actions)  in currency, 0 or more
    tie       (n_units, n_actions)  in [0, 1), from the hash of the unit's id
    """

    profit: Array
    cost: Array
    tie: Array
    rules: tuple[Rule, ...]

    @property
    def n_units(self) -> int:
        """How many units may be contacted."""
        return len(self.profit)

    @property
    def allowed(self) -> BoolArray:
        """Which actions are allowed, (n_units, n_actions)."""
        return np.isfinite(self.profit)

    @property
    def lower(self) -> Array:
        """Lower limits, (n_rules,)."""
        return np.array([rule.lower for rule in self.rules])

    @property
    def upper(self) -> Array:
        """Upper limits, (n_rules,)."""
        return np.array([rule.upper for rule in self.rules])

    def split_ties(self) -> Array:
        """Profit with equal units set apart by less than a cent, (n_units, n_actions).

        Never raised, so an action worth nothing stays worth nothing.
        """
        finite = np.abs(self.profit[self.allowed])
        size = (float(finite.mean()) if len(finite) else 0.0) or 1.0
        return self.profit - TIE_BREAK * size * self.tie

    def prices_per_action(self, prices: Array) -> tuple[Array, Array]:
        """Prices of the rules as a price per unit of cost and per contact, each (n_actions,)."""
        n_actions = self.profit.shape[1]
        per_cost, per_contact = np.zeros(n_actions), np.zeros(n_actions)
        for rule, price in zip(self.rules, prices, strict=True):
            target = per_cost if rule.of == "cost" else per_contact
            target[rule.actions] += price
        return per_cost, per_contact

    def price_paid(self, prices: Array) -> Array:
        """Sum of the prices of the rules each action uses, (n_units, n_actions), in currency."""
        per_cost, per_contact = self.prices_per_action(prices)
        return self.cost * per_cost + per_contact

    def chosen(self, values: Array, choice: IntArray) -> Array:
        """The value of each unit's action, 0 for none, (n_units,)."""
        picked = values[np.arange(len(choice)), choice]
        return np.where(choice == NONE, 0.0, picked)

    def value(self, choice: IntArray) -> float:
        """Total profit of a choice, in currency."""
        return float(self.chosen(self.profit, choice).sum())

    def usage(self, choice: IntArray) -> Array:
        """Total use of each rule, (n_rules,)."""
        cost = self.chosen(self.cost, choice)
        return np.array([rule.usage(choice, cost).sum() for rule in self.rules])

    def tolerance(self) -> Array:
        """Rounding allowed when a limit is compared with a sum, (n_rules,)."""
        size = np.maximum(np.abs(np.where(np.isfinite(self.upper), self.upper, 0.0)), 1.0)
        return np.where([rule.of == "cost" for rule in self.rules], 1e-9 * size, 0.5)

    def allows(self, choice: IntArray) -> bool:
        """Whether every rule holds."""
        usage, slack = self.usage(choice), self.tolerance()
        return bool(np.all(usage <= self.upper + slack) and np.all(usage >= self.lower - slack))


def hashed_order(units: Sequence[str] | npt.NDArray[np.object_], *, seed: int) -> IntArray:
    """An order of the units that depends on their ids and the seed only, (n_units,)."""
    ids = np.asarray(units, dtype=object)
    return np.lexsort((ids.astype(str), _hash(ids, seed=seed)))


def tie_breaks(
    units: Sequence[str] | npt.NDArray[np.object_], n_actions: int, *, seed: int
) -> Array:
    """Numbers in [0, 1) that depend on unit, action and seed only, (n_units, n_actions)."""
    ids = np.asarray(units, dtype=object)
    columns = [_hash(ids, seed=seed + 1 + j) >> np.uint64(11) for j in range(n_actions)]
    return np.column_stack(columns).astype(np.float64) * 2.0**-53


def _hash(ids: npt.NDArray[np.object_], *, seed: int) -> npt.NDArray[np.uint64]:
    key = f"{seed % 10**16:016d}"
    return np.asarray(pd.util.hash_array(ids, hash_key=key, categorize=False), dtype=np.uint64)
