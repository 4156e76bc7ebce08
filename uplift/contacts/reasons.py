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
    best = problem.profit.max(axis=1, initial=0.0)
    blocking = _dearest_rule(problem, solution, np.argmax(problem.profit, axis=1))
    second = np.array([f"second choice: {rule} limits the first" for rule in blocking], object)
    reason = np.where(own >= best, "most profitable action", second)
    return np.where(own <= 0, "needed for a minimum", reason)


def why_left(candidates: Candidates, problem: Problem, solution: Solution) -> Words:
    """Why a unit that is not contacted is left alone, (n_units,)."""
    best = problem.profit.max(axis=1, initial=-np.inf)
    cheapest = np.where(problem.profit > 0, problem.cost, np.inf).min(axis=1, initial=np.inf)
    budget = min((rule.upper for rule in problem.rules if rule.of == "cost"), default=np.inf)
    blocking = _dearest_rule(problem, solution, np.argmax(problem.profit, axis=1))
    limited = np.array([f"{rule} is worth more elsewhere" for rule in blocking], dtype=object)
    reason = np.where(best > 0, limited, "no action pays")
    reason = np.where((best > 0) & (cheapest > budget), "budget is empty", reason)
    reason = np.where(np.isfinite(best), reason, "no action is open")
    return np.where(candidates.suppressed, "suppressed", reason)


def _dearest_rule(problem: Problem, solution: Solution, action: IntArray) -> Words:
    """Name of the rule that makes each unit's action dearest, (n_units,)."""
    if not problem.rules:
        return np.full(problem.n_units, "no rule", dtype=object)
    cost = problem.cost[np.arange(problem.n_units), action]
    paid = np.column_stack(
        [
            price * rule.usage(action, cost)
            for rule, price in zip(problem.rules, solution.prices, strict=True)
        ]
    )
    names = np.array([rule.limit(1.0) for rule in problem.rules], dtype=object)
    return np.asarray(names[np.argmax(paid, axis=1)])
