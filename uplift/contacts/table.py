"""From an ROI table and a policy to the arithmetic of a plan."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.contacts.policy import ContactPolicy
from uplift.contacts.problem import (
    Array,
    BoolArray,
    IntArray,
    Problem,
    Rule,
    hashed_order,
    tie_breaks,
)
from uplift.errors import DataError
from uplift.frames import LARGEST, UNIT, require_labels
from uplift.outcome_rows import as_numbers

SCORE = "dr_score"
CLUSTER = "cluster"

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Every unit and what each action would bring, in the order of a hash of the ids.

    profit, cost, scores, tie  (n_units, n_actions); profit is -inf where an action is not open
    suppressed                 (n_units,)
    cluster                    (n_units,)  code of the randomised cluster; None for units
    """

    units: npt.NDArray[np.object_]
    profit: Array
    cost: Array
    scores: Array | None
    tie: Array
    suppressed: BoolArray
    cluster: IntArray | None

    def problem(self, rules: tuple[Rule, ...]) -> Problem:
        """The plan to be found; suppressed units have no action."""
        profit = np.where(self.suppressed[:, None], -np.inf, self.profit)
        return Problem(profit, self.cost, self.tie, rules)


def read_candidates(
    table: pd.DataFrame, policy: ContactPolicy, *, suppressed: Collection[str], seed: int
) -> Candidates:
    """Profit and cost per unit and action from an ROI table with one row per unit and arm."""
    require_labels(table["arm"], what="roi")
    once = table.drop_duplicates(UNIT)
    once = once.iloc[hashed_order(once[UNIT].to_numpy(dtype=object), seed=seed)]
    units = once[UNIT].to_numpy(dtype=object)
    rows = table[table["arm"].isin(policy.arms)]
    if rows.empty:
        raise DataError(
            f"roi: no row is of an arm that the policy plans ({', '.join(policy.arms)}); arms "
            f"found: {', '.join(sorted(map(str, table['arm'].unique()))[:8])}.",
            code="ARM_MISSING",
            column="arm",
        )
    _check_rows(rows, policy)
    unit = pd.Index(units).get_indexer(rows[UNIT])
    action = pd.Index(policy.arms).get_indexer(pd.Index(rows["arm"]))
    shape = (len(units), len(policy.arms))
    has_scores = SCORE in rows and _are_known(rows[SCORE])
    return Candidates(
        units=units,
        profit=_grid(rows["profit"], unit, action, shape, empty=-np.inf),
        cost=_grid(rows["cost"], unit, action, shape, empty=0.0),
        scores=_grid(rows[SCORE], unit, action, shape, empty=0.0) if has_scores else None,
        tie=tie_breaks(units, len(policy.arms), seed=seed),
        suppressed=np.asarray(pd.Index(units).isin(list(suppressed))),
        cluster=_codes(once[CLUSTER]) if CLUSTER in once else None,
    )


def rules_of(policy: ContactPolicy) -> tuple[Rule, ...]:
    """The policy's limits that all units share."""
    rules = []
    if policy.budget is not None:
        everything = np.ones(len(policy.arms), dtype=np.bool_)
        rules.append(Rule("budget", "cost", everything, upper=float(policy.budget)))
    for channel in policy.channel_names:
        least, most = policy.min_volume.get(channel), policy.max_volume.get(channel)
        if least is not None or most is not None:
            mine = np.array([policy.channels[arm] == channel for arm in policy.arms])
            rules.append(
                Rule(
                    channel,
                    "contacts",
                    mine,
                    lower=-np.inf if least is None else float(least),
                    upper=np.inf if most is None else float(most),
                )
            )
    return tuple(rules)


def _check_rows(rows: pd.DataFrame, policy: ContactPolicy) -> None:
    cost = as_numbers(rows["cost"], name="cost", what="roi", code="COST_INVALID")
    profit = as_numbers(rows["profit"], name="profit", what="roi", code="VALUE_NOT_FINITE")
    _refuse(
        rows,
        ~((cost >= 0) & (cost <= LARGEST)),
        "COST_INVALID",
        f"a cost must be 0 or more, in {policy.currency} per unit",
        "cost",
    )
    _refuse(
        rows,
        ~(np.abs(profit) <= LARGEST),
        "VALUE_NOT_FINITE",
        "a profit must be a number. Leave out units without one",
        "profit",
    )
    _refuse(
        rows,
        rows.duplicated([UNIT, "arm"]).to_numpy(),
        "ACTION_DUPLICATE",
        "one row per unit and arm is expected. Keep one of them",
        "arm",
    )


def _refuse(rows: pd.DataFrame, bad: BoolArray, code: str, message: str, column: str) -> None:
    if not bad.any():
        return
    first = rows[bad].iloc[0]
    raise DataError(
        f"roi: {message}. Row {rows.index[bad][0] + 1}, arm {first['arm']!r}, has "
        f"{column} {first[column]}; {int(bad.sum())} row(s) in all.",
        code=code,
        column=column,
        count=int(bad.sum()),
        rows=(rows.index[bad] + 1).tolist(),
    )


def _grid(
    values: "pd.Series[Any]",
    unit: Places,
    action: Places,
    shape: tuple[int, int],
    *,
    empty: float,
) -> Array:
    grid = np.full(shape, empty)
    grid[unit, action] = values.to_numpy(np.float64)
    return grid


def _are_known(scores: "pd.Series[Any]") -> bool:
    found = as_numbers(scores, name=SCORE, what="roi", code="VALUE_NOT_FINITE")
    return bool(np.isfinite(found).all())


def _codes(labels: "pd.Series[Any]") -> IntArray:
    """Numbers of labels; those without a label are one cluster, which can only widen an error."""
    return pd.factorize(labels, use_na_sentinel=False)[0].astype(np.int64)
