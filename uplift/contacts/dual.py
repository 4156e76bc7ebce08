"""Prices for the rules of a plan: one per rule, found by cutting planes on the Lagrangian dual.

At given prices every unit decides for itself, exactly. The sum is an upper bound on every plan:

    D(prices) = sum_i max(0, max_j profit_ij - prices . usage_ij)
                + sum_r (upper_r max(price_r, 0) + lower_r min(price_r, 0))

A positive price rations a maximum, a negative one subsidises a minimum. D is convex; evaluating it
gives a cut per block of units, and the lowest point of all cuts is where D is evaluated next.
Source: Kelley (1960), J. SIAM 8(4); Geoffrion (1974), Mathematical Programming Study 2.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import optimize

from uplift.contacts.problem import NONE, Array, IntArray, Problem

N_BLOCKS = 8  # cuts per evaluation; more cuts need fewer evaluations
MAX_PASSES = 120
TOLERANCE = 1e-10  # of the bound: fine enough to see the splits of equal units
INFEASIBLE_BELOW = -1e-6  # of D at zero profits, prices scaled to at most 1


@dataclass(frozen=True, eq=False)
class Prices:
    """The prices at which the bound is lowest.

    values    (n_rules,)  in currency per unit of use
    n_passes  times all units were asked
    """

    values: Array
    n_passes: int


@dataclass(eq=False)
class _Model:
    """The cuts met so far: below D everywhere, equal to it where it was evaluated."""

    problem: Problem
    profit: Array
    slopes: list[Array] = field(default_factory=list)
    offsets: list[Array] = field(default_factory=list)

    def evaluate(self, prices: Array) -> float:
        """D at the prices; its cuts are kept."""
        choice, best = respond(self.problem, self.profit, prices)
        cost = self.problem.chosen(self.problem.cost, choice)
        starts = np.unique(np.linspace(0, len(choice), N_BLOCKS, endpoint=False, dtype=np.int64))
        sums = np.add.reduceat(best, starts)
        usage = np.column_stack(
            [np.add.reduceat(rule.usage(choice, cost), starts) for rule in self.problem.rules]
        )
        self.slopes.append(-usage)
        self.offsets.append(sums + usage @ prices)
        return float(sums.sum() + self._limits(prices))

    def lowest(self, low: Array, high: Array) -> tuple[Array, float]:
        """The lowest point of the cuts within a box, and the model's value there."""
        problem, n_rules, n_blocks = self.problem, len(low), len(self.offsets[0])
        upper, lower = (np.where(np.isfinite(b), b, 0.0) for b in (problem.upper, problem.lower))
        blocks = np.tile(-np.eye(n_blocks), (len(self.slopes), 1))
        slopes = np.vstack(self.slopes)
        box = np.hstack([np.eye(n_rules), -np.eye(n_rules), np.zeros((n_rules, n_blocks))])
        found = optimize.linprog(
            np.concatenate([upper, -lower, np.ones(n_blocks)]),
            A_ub=np.vstack([np.hstack([slopes, -slopes, blocks]), box, -box]),
            b_ub=np.concatenate([-np.concatenate(self.offsets), high, -low]),
            bounds=[
                *[(0, None if np.isfinite(bound) else 0) for bound in problem.upper],
                *[(0, None if np.isfinite(bound) else 0) for bound in problem.lower],
                *[(None, None)] * n_blocks,
            ],
            method="highs-ds",
        )
        if (
            found.x is None or found.fun is None
        ):  # numerically out of reach: report no progress, the caller stops
            return np.clip(np.zeros(n_rules), low, high), -np.inf
        return found.x[:n_rules] - found.x[n_rules : 2 * n_rules], float(found.fun)

    def _limits(self, prices: Array) -> float:
        upper, lower = self.problem.upper, self.problem.lower
        paid = np.where(prices > 0, prices * np.where(np.isfinite(upper), upper, 0.0), 0.0)
        fed = np.where(prices < 0, prices * np.where(np.isfinite(lower), lower, 0.0), 0.0)
        return float((paid + fed).sum())


def respond(problem: Problem, profit: Array, prices: Array) -> tuple[IntArray, Array]:
    """Each unit's best action at the prices, and what it is worth after them.

    profit   (n_units, n_actions)
    prices   (n_rules,)
    returns  choice (n_units,), worth (n_units,), at least 0
    """
    reduced = profit - problem.price_paid(prices)
    choice = np.argmax(reduced, axis=1)
    best = reduced[np.arange(len(reduced)), choice]
    return np.where(best > 0, choice, NONE), np.maximum(best, 0.0)


def bound_at(problem: Problem, prices: Array) -> float:
    """D at the prices, with the true profits: no plan earns more."""
    return _Model(problem, problem.profit).evaluate(prices)


def find_prices(problem: Problem, profit: Array) -> Prices:
    """Prices at which the bound is lowest, to `TOLERANCE` of it.

    profit  (n_units, n_actions)  the profits the units decide by
    """
    model = _Model(problem, profit)
    reach, radius = _box(problem)
    centre = np.zeros(len(problem.rules))
    best = model.evaluate(centre)
    n_passes = 1
    while n_passes < MAX_PASSES:
        candidate, low = model.lowest(centre - radius, centre + radius)
        if best - low <= TOLERANCE * abs(best):  # no better point nearby: is there one anywhere?
            candidate, low = model.lowest(-reach, reach)
            if best - low <= TOLERANCE * abs(best):
                break
            radius = np.minimum(4 * radius, reach)
        value = model.evaluate(candidate)
        n_passes += 1
        at_edge = bool(np.any(np.abs(candidate - centre) > 0.99 * radius))
        if value < best - 0.1 * (best - low):
            radius = 2 * radius if at_edge else radius
        else:
            radius = radius / 2
        if value < best:
            best, centre = value, candidate
    return Prices(centre, n_passes)


def clashing_rules(problem: Problem) -> tuple[str, ...]:
    """Names of rules that cannot hold together; empty when they can (fractions allowed).

    Without profits the best bound is 0 when a plan exists, and has no floor when none does: prices
    with D < 0 are a proof (Farkas), and the rules they price are the ones that clash.
    """
    if not np.isfinite(problem.lower).any():
        return ()  # contacting nobody breaks no maximum
    model = _Model(problem, np.where(problem.allowed, 0.0, -np.inf))
    reach = 1.0 / np.array([_largest_use(problem, i) for i in range(len(problem.rules))])
    prices, low = np.zeros(len(problem.rules)), -np.inf
    for _ in range(MAX_PASSES):
        value = model.evaluate(prices)
        if value < INFEASIBLE_BELOW:
            return tuple(
                rule.limit(price)
                for rule, price in zip(problem.rules, prices, strict=True)
                if abs(price) > 1e-9
            )
        prices, low = model.lowest(-reach, reach)
        if low >= INFEASIBLE_BELOW:
            return ()
    return ()


def _largest_use(problem: Problem, index: int) -> float:
    rule = problem.rules[index]
    if rule.of == "contacts":
        return 1.0
    return float(np.where(problem.allowed, problem.cost, 0.0)[:, rule.actions].max()) or 1.0


def _box(problem: Problem) -> tuple[Array, Array]:
    """How far prices can go, and how far the first step may, each (n_rules,)."""
    profit = problem.profit[problem.allowed]
    cost = problem.cost[problem.allowed]
    size = float(np.abs(profit).mean()) or 1.0
    largest = float(np.abs(profit).max()) or 1.0
    paid = cost[cost > 0]
    typical = float(np.median(paid)) if len(paid) else 1.0
    steepest = float((np.abs(profit[cost > 0]) / paid).max()) if len(paid) else 1.0
    is_cost: npt.NDArray[np.bool_] = np.array([rule.of == "cost" for rule in problem.rules])
    reach = np.where(
        is_cost, 10 * max(steepest, 1e-9), 10 * (largest + steepest * float(cost.max()))
    )
    return reach, np.minimum(np.where(is_cost, size / typical, size), reach)
