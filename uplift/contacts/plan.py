"""The contact plan: who is contacted next, by which channel, at what profit, and why.

Every plan carries its certificate (how far it can be from the best plan), the price of each rule,
the simple rules it competes with, and a recount of the policy by independent code.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from uplift.checks import Check, checks_table, warning
from uplift.contacts.baselines import Baseline, baselines
from uplift.contacts.certificate import (
    MEASURED_CONFIDENCE,
    Certificate,
    ChannelUse,
    Measured,
    RulePrice,
)
from uplift.contacts.optimiser import Solution, solve
from uplift.contacts.policy import ContactPolicy
from uplift.contacts.problem import NONE, Array, BoolArray, IntArray, Problem
from uplift.contacts.reasons import why_chosen, why_left
from uplift.contacts.table import Candidates, read_candidates, rules_of
from uplift.contacts.verify import verify_plan
from uplift.frames import UNIT, clean_units, read_frame
from uplift.inference.doubly_robust import average
from uplift.table import Column, Result, Table


@dataclass(frozen=True, eq=False, repr=False)
class ContactPlan(Result):
    """One action per unit or none.

    contacts    one row per contacted unit: unit, action, expected_profit, propensity, reason,
                price_paid, arm, channel, cost
    left_alone  one row per other unit: unit, reason, action (the best one), expected_profit of it,
                price_paid it would have to pay
    measured    expected profit by doubly robust scores; None when the table carries none
    """

    policy: ContactPolicy
    n_units: int
    n_suppressed: int
    expected_profit: float
    cost: float
    measured: Measured | None
    channels: tuple[ChannelUse, ...]
    prices: tuple[RulePrice, ...]
    baselines: tuple[Baseline, ...]
    certificate: Certificate
    notices: tuple[Check, ...] = ()
    contacts: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)
    left_alone: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)

    @property
    def n_contacts(self) -> int:
        """How many units are contacted."""
        return len(self.contacts)

    @property
    def reasons(self) -> dict[str, int]:
        """Why units are left alone, the most common reason first."""
        return {str(k): int(v) for k, v in self.left_alone["reason"].value_counts().items()}

    def table(self) -> Table:
        """Contacts, cost and expected profit per channel."""
        columns = (
            Column("channel"),
            Column("contacts", kind="count"),
            Column("at least", kind="count"),
            Column("at most", kind="count"),
            Column("cost", kind="money"),
            Column("expected profit", kind="money"),
        )
        rows = [
            (use.channel, use.n_contacts, use.minimum, use.maximum, use.cost, use.expected_profit)
            for use in self.channels
        ]
        rows.append(("all", self.n_contacts, None, None, self.cost, self.expected_profit))
        note = (
            f"{self.n_units - self.n_contacts:,} of {self.n_units:,} customers are left alone. "
            f"Money in {self.policy.currency}; no plan earns more than "
            f"{self.certificate.bound:,.2f}."
        )
        return Table(self.policy.title, columns, rows, note=note)

    def prices_table(self) -> Table:
        """What each rule costs at the margin."""
        columns = (
            Column("rule"),
            Column("used", kind="money"),
            Column("limit", kind="money"),
            Column("price of one more", kind="number"),
        )
        rows = [(price.rule, price.used, price.limit, price.price) for price in self.prices]
        note = "Prices are local: they hold for small changes of a limit."
        return Table("Prices of the rules", columns, rows, note=note)

    def baselines_table(self) -> Table:
        """The plan beside what simple rules would do."""
        columns = (
            Column("method"),
            Column("contacts", kind="count"),
            Column("cost", kind="money"),
            Column("expected profit", kind="money"),
            Column("keeps all rules"),
        )
        rows = [("this plan", self.n_contacts, self.cost, self.expected_profit, True)]
        rows += [
            (rule.name, rule.n_contacts, rule.cost, rule.expected_profit, rule.keeps_rules)
            for rule in self.baselines
        ]
        return Table("The plan beside simple rules", columns, rows)

    def checks_table(self) -> Table:
        """The rules, recounted by independent code."""
        return checks_table(self.certificate.checks, title="Rules recounted from the plan")

    def metrics(self) -> dict[str, float]:
        """Flat numbers, for a tracking server."""
        flat = {
            "plan.contacts": float(self.n_contacts),
            "plan.cost": self.cost,
            "plan.expected_profit": self.expected_profit,
            "plan.bound": self.certificate.bound,
            "plan.relative_gap": self.certificate.relative_gap,
        }
        if self.measured is not None:
            flat["plan.measured_profit"] = self.measured.profit
        for use in self.channels:
            flat[f"plan.contacts.{use.channel}"] = float(use.n_contacts)
        for price in self.prices:
            flat[f"plan.price.{price.rule.replace(' ', '_')}"] = price.price
        return flat


def plan_contacts(
    roi: Any, policy: ContactPolicy, *, suppressed: Any = None, seed: int = 0
) -> ContactPlan:
    """The contacts with the highest expected profit that keep every rule of the policy.

    roi         the ROI table (unit, arm, cost, profit; `dr_score` when it was measured, `cluster`
                when clusters were randomised) or the result that holds it; rows of the control and
                of arms without channel are left out
    suppressed  units never to be contacted (opted out, held out): ids, or a table with `unit`
    seed        splits units of equal value; another seed, another of the equal plans

    Raises InfeasiblePlan (INFEASIBLE) naming the rules that cannot hold together, and DataError
    (COST_INVALID, VALUE_NOT_FINITE, ACTION_DUPLICATE) when the table is not one to plan from.
    """
    table = read_frame(roi, what="roi", require=("arm", "cost", "profit"))
    blocked = _suppressed_units(suppressed)
    candidates = read_candidates(table, policy, suppressed=blocked, seed=seed)
    problem = candidates.problem(rules_of(policy))
    solution = solve(problem)
    contacts = _contacts(candidates, problem, solution, policy)
    checks = verify_plan(contacts, table, policy, suppressed=blocked)
    gap = max(solution.bound - solution.value, 0.0)
    return ContactPlan(
        policy=policy,
        n_units=len(candidates.units),
        n_suppressed=int(candidates.suppressed.sum()),
        expected_profit=solution.value,
        cost=float(contacts["cost"].sum()),
        measured=_measured(candidates, solution.choice),
        channels=_channel_use(contacts, policy),
        prices=_prices(problem, solution),
        baselines=baselines(problem),
        certificate=Certificate(
            bound=solution.bound,
            value=solution.value,
            gap=gap,
            relative_gap=gap / abs(solution.bound) if solution.bound else 0.0,
            n_passes=solution.n_passes,
            n_core=solution.n_core,
            checks=checks,
        ),
        notices=_notices(problem, policy, n_contacts=len(contacts)),
        contacts=contacts,
        left_alone=_left_alone(candidates, problem, solution, policy),
    )


def _suppressed_units(suppressed: Any) -> frozenset[str]:
    if suppressed is None:
        return frozenset()
    if isinstance(suppressed, list | tuple | set | frozenset | pd.Series | pd.Index | np.ndarray):
        ids = sorted(suppressed) if isinstance(suppressed, set | frozenset) else list(suppressed)
        return frozenset(clean_units(ids, what="suppressed")) if ids else frozenset()
    return frozenset(read_frame(suppressed, what="suppressed")[UNIT])


def _contacts(
    candidates: Candidates, problem: Problem, solution: Solution, policy: ContactPolicy
) -> pd.DataFrame:
    chosen = np.flatnonzero(solution.choice != NONE)
    action = solution.choice[chosen]
    arms = np.array(policy.arms, dtype=object)
    channels = np.array([policy.channels[arm] for arm in policy.arms], dtype=object)
    names = np.array([policy.action(arm) for arm in policy.arms], dtype=object)
    frame = pd.DataFrame(
        {
            UNIT: pd.Series(candidates.units[chosen], dtype="str"),
            "action": pd.Series(names[action], dtype="str"),
            "expected_profit": problem.profit[chosen, action],
            "propensity": np.ones(len(chosen)),
            "reason": pd.Series(why_chosen(problem, solution)[chosen], dtype="str"),
            "price_paid": problem.price_paid(solution.prices)[chosen, action],
            "arm": pd.Series(arms[action], dtype="str"),
            "channel": pd.Series(channels[action], dtype="str"),
            "cost": problem.cost[chosen, action],
        }
    )
    return frame.sort_values(UNIT, ignore_index=True)


def _left_alone(
    candidates: Candidates, problem: Problem, solution: Solution, policy: ContactPolicy
) -> pd.DataFrame:
    alone = np.flatnonzero(solution.choice == NONE)
    best = np.argmax(problem.profit[alone], axis=1)
    profit = problem.profit[alone, best]
    possible = np.isfinite(profit)
    names = np.array([policy.action(arm) for arm in policy.arms], dtype=object)
    frame = pd.DataFrame(
        {
            UNIT: pd.Series(candidates.units[alone], dtype="str"),
            "reason": pd.Series(why_left(candidates, problem, solution)[alone], dtype="str"),
            "action": pd.Series(np.where(possible, names[best], None), dtype="str"),
            "expected_profit": np.where(possible, profit, np.nan),
            "price_paid": np.where(
                possible, problem.price_paid(solution.prices)[alone, best], np.nan
            ),
        }
    )
    return frame.sort_values(UNIT, ignore_index=True)


def _measured(candidates: Candidates, choice: IntArray) -> Measured | None:
    """Sum of the doubly robust scores of the chosen actions, with its standard error."""
    if candidates.scores is None:
        return None
    scores = np.where(choice == NONE, 0.0, candidates.scores[np.arange(len(choice)), choice])
    mean = average(scores, cluster=candidates.cluster, confidence=MEASURED_CONFIDENCE)
    low, high = (len(scores) * bound for bound in mean.ci)
    return Measured(float(scores.sum()), len(scores) * mean.std_error, (low, high))


def _channel_use(contacts: pd.DataFrame, policy: ContactPolicy) -> tuple[ChannelUse, ...]:
    uses = []
    for channel in policy.channel_names:
        rows = contacts[contacts["channel"] == channel]
        uses.append(
            ChannelUse(
                channel,
                len(rows),
                float(rows["cost"].sum()),
                float(rows["expected_profit"].sum()),
                policy.min_volume.get(channel),
                policy.max_volume.get(channel),
            )
        )
    return tuple(uses)


def _prices(problem: Problem, solution: Solution) -> tuple[RulePrice, ...]:
    prices = []
    usage = problem.usage(solution.choice)
    for rule, used, price in zip(problem.rules, usage, solution.prices, strict=True):
        if np.isfinite(rule.lower):
            prices.append(
                RulePrice(rule.limit(-1.0), float(used), rule.lower, min(float(price), 0.0))
            )
        if np.isfinite(rule.upper):
            prices.append(
                RulePrice(rule.limit(1.0), float(used), rule.upper, max(float(price), 0.0))
            )
    return tuple(prices)


def _notices(problem: Problem, policy: ContactPolicy, *, n_contacts: int) -> tuple[Check, ...]:
    notices = []
    worth: BoolArray = problem.allowed & (problem.profit > 0)
    costs: Array = problem.cost[problem.allowed]
    if policy.budget is not None and len(costs) and not costs.any():
        notices.append(
            warning(
                "COST_ZERO",
                value=0.0,
                remedy="Every contact is free, so the budget is not used. Check the costs.",
            )
        )
    if not n_contacts and policy.budget is not None and worth.any():
        notices.append(
            warning(
                "BUDGET_EMPTY",
                value=policy.budget,
                remedy=(
                    f"The budget pays for no contact: the cheapest that is worth it costs "
                    f"{problem.cost[worth].min():,.2f} {policy.currency}."
                ),
            )
        )
    return tuple(notices)
