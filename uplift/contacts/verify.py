"""Does a plan keep its policy? Recounted from the plan's own rows, by other code than planned it.

Shares nothing with the optimiser: it reads the finished table as the sender of the contacts would.
"""

from collections.abc import Collection
from typing import Any

import pandas as pd

from uplift.checks import Check
from uplift.contacts.policy import ContactPolicy

ROUNDING = 1e-6  # of a budget: sums of many costs differ in their last digits


def verify_plan(
    contacts: pd.DataFrame,
    roi: pd.DataFrame,
    policy: ContactPolicy,
    *,
    suppressed: Collection[str] = (),
) -> tuple[Check, ...]:
    """Every rule of the policy as a check on the plan.

    contacts    the plan: unit, arm, channel, cost, expected_profit
    roi         what it was planned from: unit, arm, cost, profit
    suppressed  units that must not be contacted
    """
    checks = [
        _at_most("one contact per unit", _most_per_unit(contacts), policy.max_contacts_per_unit),
        _at_most("suppressed units contacted", _count_in(contacts["unit"], suppressed), 0),
        _at_most("contacts that were not offered", _not_offered(contacts, roi, policy), 0),
    ]
    if policy.budget is not None:
        spent = float(contacts["cost"].sum())
        kept = spent <= policy.budget * (1 + ROUNDING)
        checks.append(_check("budget", kept, spent, policy.budget))
    per_channel = contacts["channel"].value_counts()
    for channel in policy.channel_names:
        count = int(per_channel.get(channel, 0))
        if channel in policy.max_volume:
            checks.append(_at_most(f"{channel} maximum", count, policy.max_volume[channel]))
        if channel in policy.min_volume:
            least = policy.min_volume[channel]
            checks.append(_check(f"{channel} minimum", count >= least, count, least))
    return tuple(checks)


def _most_per_unit(contacts: pd.DataFrame) -> int:
    return int(contacts.groupby("unit").size().max()) if len(contacts) else 0


def _count_in(units: "pd.Series[Any]", forbidden: Collection[str]) -> int:
    return len(set(units) & set(forbidden))


def _not_offered(contacts: pd.DataFrame, roi: pd.DataFrame, policy: ContactPolicy) -> int:
    """Rows whose unit, arm, cost or profit is not in the table, or whose channel is another."""
    offered = {
        (unit, arm): (cost, profit)
        for unit, arm, cost, profit in zip(
            roi["unit"], roi["arm"], roi["cost"], roi["profit"], strict=True
        )
    }
    wrong = 0
    for unit, arm, channel, cost, profit in zip(
        contacts["unit"],
        contacts["arm"],
        contacts["channel"],
        contacts["cost"],
        contacts["expected_profit"],
        strict=True,
    ):
        same = offered.get((unit, arm)) == (cost, profit)
        wrong += not same or policy.channels.get(arm) != channel
    return wrong


def _at_most(name: str, value: int, bound: int) -> Check:
    return _check(name, value <= bound, value, bound)


def _check(name: str, passed: bool, value: float | int, bound: float | int) -> Check:
    return Check(
        name,
        passed,
        value=value,
        bound=bound,
        remedy="Do not send this plan. Plan again, and report the failed rule.",
        code="PLAN_RULE_BROKEN",
    )
