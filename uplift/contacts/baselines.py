"""What people do without an optimiser, shown beside every plan: sort by score, or fill greedily.

Each takes one unit and action after the other and keeps it when every maximum still holds.
"""

from dataclasses import dataclass

import numpy as np

from uplift.contacts.problem import NONE, Array, BoolArray, IntArray, Problem


@dataclass(frozen=True)
class Baseline:
    """A plan made by a simple rule.

    expected_profit  in currency
    keeps_rules      whether it also meets every minimum
    """

    name: str
    n_contacts: int
    cost: float
    expected_profit: float
    keeps_rules: bool


def baselines(problem: Problem) -> tuple[Baseline, ...]:
    """Score-sort and the practitioner's greedy, on the same profits, costs and rules."""
    return (
        _described("score sort", problem, score_sort(problem)),
        _described("greedy", problem, greedy(problem)),
    )


def score_sort(problem: Problem) -> IntArray:
    """Each unit's most profitable action, the best units first, while the limits last, (n_units,).

    A unit whose best action no longer fits is left alone.
    """
    if not problem.n_units:
        return np.empty(0, dtype=np.int64)
    best = np.argmax(problem.profit, axis=1)
    profit = problem.profit[np.arange(problem.n_units), best]
    order = np.argsort(-profit, kind="stable")
    order = order[profit[order] > 0]
    return _fill(problem, order, best[order])


def greedy(problem: Problem) -> IntArray:
    """Fill the minima with the most profitable units, then go by profit per cost, (n_units,)."""
    if not problem.n_units:
        return np.empty(0, dtype=np.int64)
    choice = np.full(problem.n_units, NONE, dtype=np.int64)
    for rule in problem.rules:
        if np.isfinite(rule.lower):
            unit, action = _by(problem.profit, problem.allowed & rule.actions)
            choice = _fill(problem, unit, action, start=choice, most=int(rule.lower))
    unit, action = _by(
        problem.profit / np.maximum(problem.cost, 1e-9), problem.allowed & (problem.profit > 0)
    )
    return _fill(problem, unit, action, start=choice)


def _by(score: Array, eligible: BoolArray) -> tuple[IntArray, IntArray]:
    unit, action = np.nonzero(eligible)
    order = np.argsort(-score[unit, action], kind="stable")
    return unit[order], action[order]


def _fill(
    problem: Problem,
    unit: IntArray,
    action: IntArray,
    *,
    start: IntArray | None = None,
    most: int | None = None,
) -> IntArray:
    """Take the pairs in order while every maximum holds; `most` ends it after that many."""
    choice = np.full(problem.n_units, NONE, dtype=np.int64) if start is None else start.copy()
    use = np.column_stack(
        [rule.usage(action, problem.cost[unit, action]) for rule in problem.rules]
        or [np.zeros(len(unit))]
    )
    room = problem.upper + problem.tolerance() - problem.usage(choice)
    room = room if problem.rules else np.full(1, np.inf)
    taken = 0
    for i, j, needed in zip(unit.tolist(), action.tolist(), use, strict=True):
        if taken == most:
            break
        if choice[i] == NONE and (needed <= room).all():
            choice[i], room, taken = j, room - needed, taken + 1
    return choice


def _described(name: str, problem: Problem, choice: IntArray) -> Baseline:
    return Baseline(
        name=name,
        n_contacts=int((choice != NONE).sum()),
        cost=float(problem.chosen(problem.cost, choice).sum()),
        expected_profit=problem.value(choice),
        keeps_rules=problem.allows(choice),
    )
