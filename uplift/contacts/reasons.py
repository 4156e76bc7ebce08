"""One short reason per customer: why this action, or why none."""

import numpy as np
import numpy.typing as npt

from uplift.contacts.optimiser import Solution
from uplift.contacts.problem import IntArray, Problem
from uplift.contacts.table import Candidates

Words = npt.NDArray[np.object_]


def why_chosen(problem: Problem, solution: Solution) -> Words:
    """Why a contacted unit gets its action, (n_units,)."""
    choice = solution.choice
    own = problem.chosen(problem.profit, choice)
    paid = problem.chosen(problem.price_paid(solution.prices), choice)
    best = problem.profit.max(axis=1, initial=0.0)
    limit = _dearest_limit(problem, solution, np.argmax(problem.profit, axis=1))
    reason = np.where(own >= best, "most profitable action", "second choice: " + limit)
    return np.where((own <= 0) | ((own < best) & (paid < 0)), "needed for a minimum", reason)


def why_left(candidates: Candidates, problem: Problem, solution: Solution) -> Words:
    """Why a unit that is not contacted is left alone, (n_units,)."""
    best = problem.profit.max(axis=1, initial=-np.inf)
    cheapest = np.where(problem.profit > 0, problem.cost, np.inf).min(axis=1, initial=np.inf)
    budget = min((rule.upper for rule in problem.rules if rule.of == "cost"), default=np.inf)
    limit = _dearest_limit(problem, solution, np.argmax(problem.profit, axis=1))
    reason = np.where(best > 0, limit, "no action pays")
    reason = np.where((best > 0) & (cheapest > budget), "budget is empty", reason)
    reason = np.where(np.isfinite(best), reason, "no action is open")
    return np.where(candidates.suppressed, "suppressed", reason)


def _dearest_limit(problem: Problem, solution: Solution, action: IntArray) -> Words:
    """The limit that makes each unit's action dearest, in words, (n_units,)."""
    if not problem.rules:
        return np.full(problem.n_units, "no limit", dtype=object)
    cost = problem.cost[np.arange(problem.n_units), action]
    paid = np.column_stack(
        [
            price * rule.usage(action, cost)
            for rule, price in zip(problem.rules, solution.prices, strict=True)
        ]
    )
    words = [
        "the budget earns more elsewhere" if rule.of == "cost" else f"{rule.name} is full"
        for rule in problem.rules
    ]
    return np.asarray(np.array(words, dtype=object)[np.argmax(paid, axis=1)])
