"""The best plan, and the proof of how good it is.

Prices settle almost every unit. The few that the prices leave nearly undecided (the core) are
settled together by an exact integer program within what the others leave of each limit. The bound
of the prices then tells how far the whole plan can be from the best one.
Source: Pisinger (1995), EJOR 83(2), for the core; Geoffrion (1974) for the bound.
"""

from dataclasses import dataclass, replace

import highspy
import numpy as np
from scipy import sparse

from uplift.contacts.dual import bound_at, clashing_rules, find_prices, respond
from uplift.contacts.problem import NONE, Array, IntArray, Problem
from uplift.errors import InfeasiblePlan

FIRST_CORE = 400  # units; enlarged fourfold while it does not reach the target
LARGEST_CORE = 6_400  # units; beyond it the gap is shown instead of closed
TARGET_GAP = 1e-6  # of the bound
PROVEN_UNITS = 64  # up to here the plan is solved to the very best
MAX_NODES = 20_000  # a count, not a time limit, so that the same input gives the same plan
FEASIBLE = 2  # HiGHS: a solution that keeps every row was found


@dataclass(frozen=True, eq=False)
class Solution:
    """A plan that keeps every rule.

    choice    (n_units,)  action of each unit, or -1
    prices    (n_rules,)  in currency per unit of use
    bound     no plan earns more, in currency
    n_core    units settled by the integer program
    """

    choice: IntArray
    prices: Array
    value: float
    bound: float
    n_passes: int
    n_core: int


def solve(problem: Problem) -> Solution:
    """The plan with the highest profit that keeps every rule.

    Raises InfeasiblePlan (INFEASIBLE) naming the rules that cannot hold together.
    """
    asked, problem = problem, _affordable(problem)
    no_prices = np.zeros(len(problem.rules))
    free, worth = respond(problem, problem.profit, no_prices)
    if problem.allows(free):  # no rule binds: every unit gets what is best for it
        return Solution(free, no_prices, problem.value(free), float(worth.sum()), 1, 0)
    clash = clashing_rules(asked) or clashing_rules(problem)
    if clash:
        raise _infeasible(clash)
    found = find_prices(problem, problem.split_ties())
    choice, bound, n_core = _finish(problem, found.values)
    if choice is None:
        raise _infeasible(tuple(name for rule in problem.rules for name in rule.limits))
    value = problem.value(choice)
    return Solution(choice, found.values, value, max(bound, value), found.n_passes, n_core)


def _finish(problem: Problem, prices: Array) -> tuple[IntArray | None, float, int]:
    """From prices to a plan: enlarge the core until the plan is as good as the bound allows.

    Gives the plan (None when there is none), the bound, and the size of the core.
    """
    profit = problem.split_ties()
    start, _ = respond(problem, profit, prices)
    near = np.argsort(margins(problem, profit, prices), kind="stable")
    bound = bound_at(problem, prices)
    best: IntArray | None = None
    n_core = min(FIRST_CORE, problem.n_units)
    while True:
        choice, core_bound = _settle(problem, start, near[:n_core], bound=bound)
        if choice is not None and n_core == problem.n_units:
            bound = min(bound, core_bound)
        if choice is not None and (best is None or problem.value(choice) > problem.value(best)):
            best = choice
        if n_core == problem.n_units or (
            best is not None
            and (n_core >= LARGEST_CORE or bound - problem.value(best) <= TARGET_GAP * abs(bound))
        ):
            return best, bound, n_core
        n_core = min(4 * n_core, problem.n_units)


def margins(problem: Problem, profit: Array, prices: Array) -> Array:
    """How much each unit's best action beats its second best, at the prices, (n_units,)."""
    reduced = np.column_stack([profit - problem.price_paid(prices), np.zeros(len(profit))])
    two = np.partition(reduced, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def _affordable(problem: Problem) -> Problem:
    """Without the actions that alone would pass a limit of cost: the bound gets tighter."""
    profit = problem.profit.copy()
    for rule, slack in zip(problem.rules, problem.tolerance(), strict=True):
        if rule.of == "cost":
            profit[(problem.cost > rule.upper + slack) & rule.actions] = -np.inf
    return replace(problem, profit=profit)


def _settle(
    problem: Problem, start: IntArray, core: IntArray, *, bound: float
) -> tuple[IntArray | None, float]:
    """Settle the core exactly, the others as they start. Gives the plan and the core's own bound.

    None when the core cannot keep the rules.
    """
    fixed = start.copy()
    fixed[core] = NONE
    used = problem.usage(fixed)
    rest = max(bound - problem.value(fixed), 1e-12)
    gap = 0.0 if len(core) <= PROVEN_UNITS else 0.5 * TARGET_GAP * abs(bound) / rest
    shrink = np.zeros(len(problem.rules))
    for _ in range(3):  # a sum of costs may pass the solver's tolerance and not ours: tighten
        picked, core_bound = _integer_program(problem, core, used=used, shrink=shrink, gap=gap)
        if picked is None:
            return None, -np.inf
        choice = fixed.copy()
        choice[core] = picked
        if problem.allows(choice):
            return choice, core_bound
        over = np.maximum(problem.usage(choice) - problem.upper, 0.0)
        shrink = np.maximum(shrink, np.where(over > 0, 2 * over + 1e-6, 0.0))
    return None, -np.inf


def _integer_program(
    problem: Problem, core: IntArray, *, used: Array, shrink: Array, gap: float
) -> tuple[IntArray | None, float]:
    """The core's best actions within what the limits leave, and the bound on their profit."""
    unit, action = np.nonzero(problem.allowed[core])
    picked = np.full(len(core), NONE, dtype=np.int64)
    if not len(unit):
        feasible = bool(np.all(problem.lower <= used + problem.tolerance()))
        return (picked, 0.0) if feasible else (None, -np.inf)
    profit, cost = problem.profit[core][unit, action], problem.cost[core][unit, action]
    once = sparse.csc_array(
        (np.ones(len(unit)), (unit, np.arange(len(unit)))), shape=(len(core), len(unit))
    )
    shared = sparse.csc_array(np.vstack([rule.usage(action, cost) for rule in problem.rules]))
    values, bound = maximise(
        profit,
        sparse.vstack([once, shared], format="csc"),
        np.concatenate([np.full(len(core), -np.inf), problem.lower - used]),
        np.concatenate([np.ones(len(core)), problem.upper - used - shrink]),
        gap=gap,
    )
    if values is None:
        return None, -np.inf
    taken = values > 0.5
    picked[unit[taken]] = action[taken]
    return picked, bound


def maximise(
    profit: Array, matrix: sparse.csc_array, lower: Array, upper: Array, *, gap: float
) -> tuple[Array | None, float]:
    """Maximise profit @ x over x in {0, 1} with lower <= matrix @ x <= upper, by HiGHS.

    gap      relative distance from the best at which the search may stop
    returns  x (n_columns,) and the proven bound, or None when no x satisfies the rows
    """
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = len(profit), len(lower)
    program.sense_ = highspy.ObjSense.kMaximize
    program.col_cost_ = profit
    program.col_lower_, program.col_upper_ = np.zeros(len(profit)), np.ones(len(profit))
    program.row_lower_ = np.where(np.isfinite(lower), lower, -highspy.kHighsInf)
    program.row_upper_ = np.where(np.isfinite(upper), upper, highspy.kHighsInf)
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_ = matrix.indptr
    program.a_matrix_.index_ = matrix.indices
    program.a_matrix_.value_ = matrix.data
    program.integrality_ = [highspy.HighsVarType.kInteger] * len(profit)
    solver = _QuietSolver()
    solver.silent()
    for name, value in (("threads", 1), ("mip_rel_gap", gap), ("mip_max_nodes", MAX_NODES)):
        solver.setOptionValue(name, value)
    solver.passModel(program)
    solver.run()
    if solver.getInfo().primal_solution_status != FEASIBLE:
        return None, -np.inf
    return np.asarray(solver.getSolution().col_value), float(solver.getInfo().mip_dual_bound)


class _QuietSolver(highspy.Highs):  # type: ignore[misc]  # highspy ships no types
    """HiGHS without callbacks: preparing them prints a banner into the output of our commands."""

    def enableCallbacks(self) -> None:  # noqa: N802  # HiGHS's own name
        """Prepare none."""


def _infeasible(names: tuple[str, ...]) -> InfeasiblePlan:
    return InfeasiblePlan(
        f"No plan keeps these rules together: {', '.join(names)}. Raise the budget, lower a "
        "minimum, or make more customers eligible; none of them was relaxed.",
        code="INFEASIBLE",
    )
