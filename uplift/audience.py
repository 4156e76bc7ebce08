"""Who is eligible: the audience rule of an experiment, applied to a customer table.

A unit is eligible when every condition holds. A missing value holds no condition: what is not known
about a customer never makes the customer part of an audience.
"""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.arms import Audience, Condition
from uplift.errors import DataError

Mask = npt.NDArray[np.bool_]


def eligible(customers: pd.DataFrame, audience: Audience) -> Mask:
    """Whether each customer satisfies every condition of the audience. Returns (n_customers,).

    Errors: AUDIENCE_COLUMN (a condition's column is missing, or holds text where a number is
    needed).
    """
    mask = np.ones(len(customers), dtype=np.bool_)
    for condition in audience.where:
        mask = mask & _holds(customers, condition)
    return mask


def may_meet(first: Audience, second: Audience) -> bool:
    """Whether a customer may be in both, as far as the rules tell: False only where none can be."""
    where = (*first.where, *second.where)
    for name in {condition.column for condition in where}:
        rules = [condition for condition in where if condition.column == name]
        lower = max((r.at_least for r in rules if r.at_least is not None), default=-math.inf)
        upper = min((r.at_most for r in rules if r.at_most is not None), default=math.inf)
        listed = [set(rule.is_in) for rule in rules if rule.is_in is not None]
        if lower > upper or (listed and not set.intersection(*listed)):
            return False
    return True


def _holds(customers: pd.DataFrame, condition: Condition) -> Mask:
    column = _column(customers, condition)
    mask = column.notna().to_numpy(dtype=np.bool_)
    if condition.at_least is not None:
        mask = mask & (column >= condition.at_least).to_numpy(dtype=np.bool_, na_value=False)
    if condition.at_most is not None:
        mask = mask & (column <= condition.at_most).to_numpy(dtype=np.bool_, na_value=False)
    if condition.is_in is not None:
        mask = mask & column.astype("str").isin(condition.is_in).to_numpy(dtype=np.bool_)
    return mask


def _column(customers: pd.DataFrame, condition: Condition) -> pd.Series:
    name = condition.column
    if name not in customers.columns:
        raise DataError(
            f"audience: column {name!r} is missing from the customers (found: "
            f"{', '.join(map(str, customers.columns[:12]))}). Add it, or change the audience rule.",
            code="AUDIENCE_COLUMN",
            column=name,
        )
    column = customers[name]
    bounded = condition.at_least is not None or condition.at_most is not None
    if bounded and not pd.api.types.is_numeric_dtype(column.dtype):
        raise DataError(
            f"audience: column {name!r} must hold numbers to be compared with a bound, found "
            f"{column.dtype}. Convert it, or use is_in.",
            code="AUDIENCE_COLUMN",
            column=name,
        )
    return column
