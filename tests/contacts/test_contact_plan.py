from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import optimize, sparse

from uplift.contacts.certificate import Certificate
from uplift.contacts.optimiser import solve
from uplift.contacts.plan import plan_contacts
from uplift.contacts.policy import ContactPolicy
from uplift.contacts.problem import NONE, Problem, Rule
from uplift.contacts.verify import verify_plan
from uplift.errors import DataError, InfeasiblePlan

ARMS = ("email", "post", "telephone")
CHANNELS = {arm: arm for arm in ARMS}


def policy(**rules):
    return ContactPolicy(currency="EUR", channels=CHANNELS, **rules)


def roi_table(n_units, *, seed=0, cost=(0.05, 0.9, 4.0)):
    rng = np.random.default_rng(seed)
    base = rng.lognormal(0, 0.8, n_units)
    frames = []
    for arm, worth, price in zip(ARMS, (0.9, 2.2, 5.5), cost, strict=True):
        value = base * worth * np.exp(0.5 * rng.standard_normal(n_units))
        value -= worth * rng.exponential(0.35, n_units)
        costs = price * rng.uniform(0.85, 1.15, n_units)
        profit = value - costs
        frames.append(
            pd.DataFrame(
                {
                    "unit": [f"c{i}" for i in range(n_units)],
                    "arm": arm,
                    "cost": costs,
                    "profit": profit,
                    "dr_score": profit + rng.normal(0, 5, n_units),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def random_problem(rng, n_units, n_actions=3):
    profit = rng.normal(1.0, 2.0, (n_units, n_actions))
    profit[rng.random(profit.shape) < 0.15] = -np.inf
    cost = rng.uniform(0.1, 3.0, (n_units, n_actions))
    rules = [Rule("budget", "cost", np.ones(n_actions, bool), upper=float(rng.uniform(0, n_units)))]
    for j in range(n_actions):
        low, high = np.sort(rng.integers(0, max(n_units // 2, 1) + 1, 2)).astype(float)
        lower = low if rng.random() < 0.3 else -np.inf
        rules.append(Rule(f"c{j}", "contacts", np.arange(n_actions) == j, lower, high))
    return Problem(profit, cost, rng.random(profit.shape), tuple(rules))


def best_by_enumeration(problem):
    """The best total over every combination of actions; None when none keeps the rules."""
    n_actions = problem.profit.shape[1]
    best = None
    for combination in product(range(-1, n_actions), repeat=problem.n_units):
        total, use = 0.0, np.zeros(len(problem.rules))
        for i, j in enumerate(combination):
            if j < 0:
                continue
            total += problem.profit[i, j]
            for r, rule in enumerate(problem.rules):
                if rule.actions[j]:
                    use[r] += problem.cost[i, j] if rule.of == "cost" else 1
        fits = all(
            rule.lower - 1e-9 <= u <= rule.upper + 1e-9
            for rule, u in zip(problem.rules, use, strict=True)
        )
        if fits and np.isfinite(total) and (best is None or total > best):
            best = total
    return best


def best_by_scipy(problem, *, integer):
    """The same plan written as one program over all units, solved by SciPy."""
    n_units, n_actions = problem.profit.shape
    allowed = problem.allowed.ravel()
    rows = [
        np.where(rule.actions, problem.cost if rule.of == "cost" else 1.0, 0.0).ravel()
        if rule.of == "cost"
        else np.tile(rule.actions, n_units).astype(float)
        for rule in problem.rules
    ]
    once = sparse.kron(sparse.eye_array(n_units), np.ones((1, n_actions)))
    found = optimize.milp(
        -np.where(allowed, problem.profit.ravel(), 0.0),
        integrality=np.full(n_units * n_actions, int(integer)),
        bounds=optimize.Bounds(0, allowed.astype(float)),
        constraints=[
            optimize.LinearConstraint(sparse.csr_array(once), -np.inf, 1),
            optimize.LinearConstraint(np.vstack(rows), problem.lower, problem.upper),
        ],
        options={"mip_rel_gap": 0.0},
    )
    return None if found.x is None else -found.fun


def test_small_plans_equal_the_best_of_all_combinations():
    rng = np.random.default_rng(1)
    n_infeasible = 0
    for _ in range(60):
        problem = random_problem(rng, int(rng.integers(1, 6)))
        best = best_by_enumeration(problem)
        if best is None:
            n_infeasible += 1
            with pytest.raises(InfeasiblePlan):
                solve(problem)
            continue
        solution = solve(problem)
        assert problem.allows(solution.choice)
        assert solution.value == pytest.approx(best, abs=1e-7)
        assert solution.bound >= best - 1e-7
    assert 3 < n_infeasible < 50


def test_plans_of_twelve_customers_equal_the_exact_integer_program():
    rng = np.random.default_rng(2)
    for _ in range(100):
        problem = random_problem(rng, int(rng.integers(6, 13)))
        best = best_by_scipy(problem, integer=True)
        if best is None:
            with pytest.raises(InfeasiblePlan):
                solve(problem)
            continue
        assert solve(problem).value == pytest.approx(best, abs=1e-5)


def test_plans_of_five_hundred_customers_stay_under_the_linear_bound_and_close_to_it():
    rng = np.random.default_rng(3)
    for _ in range(5):
        problem = random_problem(rng, 500)
        relaxed = best_by_scipy(problem, integer=False)
        if relaxed is None:
            continue
        solution = solve(problem)
        assert problem.allows(solution.choice)
        assert solution.value <= relaxed * (1 + 1e-7)
        assert solution.value >= relaxed * (1 - 1e-3)
        assert solution.bound >= solution.value
        assert solution.bound <= relaxed * (1 + 1e-5)


def test_twenty_thousand_customers_are_planned_with_a_proven_gap():
    plan = plan_contacts(roi_table(20_000), policy(budget=12_000, max_volume={"telephone": 1_500}))
    certificate = plan.certificate
    assert isinstance(certificate, Certificate)
    assert certificate.relative_gap <= 1e-4
    assert plan.expected_profit <= certificate.bound
    assert all(check.passed for check in certificate.checks)
    assert plan.cost <= 12_000 + 1e-6
    assert all(rule.expected_profit <= plan.expected_profit for rule in plan.baselines)
    assert {price.rule: price.binding for price in plan.prices} == {
        "budget": True,
        "telephone maximum": True,
    }


def test_the_plan_does_not_depend_on_the_order_of_the_table():
    table = roi_table(800, seed=5)
    table["profit"] = table["profit"].round(1)  # many ties
    table["cost"] = table["cost"].round(1)
    rules = policy(budget=300, max_volume={"telephone": 40}, min_volume={"post": 200})
    plan = plan_contacts(table, rules)
    for seed in range(3):
        shuffled = table.sample(frac=1, random_state=seed)
        again = plan_contacts(shuffled, rules)
        pd.testing.assert_frame_equal(again.contacts, plan.contacts)
        assert again.to_json() == plan.to_json()


def test_customers_of_equal_value_are_split_by_the_hash_of_their_id_and_another_seed_differs():
    table = pd.DataFrame(
        {"unit": [f"c{i}" for i in range(3_000)], "arm": "email", "cost": 1.0, "profit": 2.0}
    )
    rules = ContactPolicy(currency="EUR", budget=1_000, channels={"email": "email"})
    first, second = plan_contacts(table, rules, seed=1), plan_contacts(table, rules, seed=2)
    assert first.n_contacts == second.n_contacts == 1_000
    shared = set(first.contacts["unit"]) & set(second.contacts["unit"])
    assert 233 < len(shared) < 433  # a third is expected of independent draws, ± 4 sd


def test_a_rule_that_does_not_bind_changes_nothing_and_costs_nothing():
    table = roi_table(500, seed=6)
    tight = plan_contacts(table, policy(budget=200))
    slack = plan_contacts(table, policy(budget=200, max_volume={"telephone": 500}))
    pd.testing.assert_frame_equal(
        tight.contacts.drop(columns="price_paid"), slack.contacts.drop(columns="price_paid")
    )
    free = plan_contacts(table, policy(budget=1e9))
    assert [price.price for price in free.prices] == [0.0]
    best = table.groupby("unit")["profit"].max()
    assert free.expected_profit == pytest.approx(best[best > 0].sum())
    assert set(free.contacts["unit"]) == set(best.index[best > 0])


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        ("budget", {"budget": 3_030, "max_volume": {"telephone": 300}}),
        ("telephone maximum", {"budget": 3_000, "max_volume": {"telephone": 330}}),
    ],
)
def test_a_wider_limit_earns_at_most_its_old_price_and_at_least_its_new_one(rule, more):
    table = roi_table(5_000, seed=7)
    plan = plan_contacts(table, policy(budget=3_000, max_volume={"telephone": 300}))
    wider = plan_contacts(table, policy(**more))
    old, new = ({p.rule: p.price for p in made.prices}[rule] for made in (plan, wider))
    gained = wider.expected_profit - plan.expected_profit
    gap = plan.certificate.gap + wider.certificate.gap
    assert 30 * new - gap <= gained <= 30 * old + gap
    assert 0 < new <= old


def test_a_minimum_is_met_and_its_price_is_what_a_forced_contact_loses():
    table = roi_table(2_000, seed=8, cost=(0.05, 0.9, 9.0))
    free = plan_contacts(table, policy())
    n_calls = int((free.contacts["channel"] == "telephone").sum())
    forced = plan_contacts(table, policy(min_volume={"telephone": n_calls + 100}))
    more = plan_contacts(table, policy(min_volume={"telephone": n_calls + 101}))
    price = forced.prices[0]
    assert price.rule == "telephone minimum"
    assert price.price < 0
    assert (forced.contacts["channel"] == "telephone").sum() == n_calls + 100
    assert more.expected_profit - forced.expected_profit == pytest.approx(price.price, rel=0.2)
    assert "needed for a minimum" in set(forced.contacts["reason"])


def test_suppressed_customers_and_the_control_are_never_contacted():
    table = roi_table(300, seed=9)
    control = table[table["arm"] == "email"].assign(arm="control", profit=1e6, cost=0.0)
    silent = [f"c{i}" for i in range(0, 300, 3)]
    for form in (silent, set(silent), pd.DataFrame({"unit": silent})):
        plan = plan_contacts(pd.concat([table, control]), policy(), suppressed=form)
        assert not set(plan.contacts["unit"]) & set(silent)
        assert set(plan.contacts["arm"]) <= set(ARMS)
        assert plan.n_suppressed == 100
        assert plan.reasons["suppressed"] == 100


def test_every_customer_is_either_contacted_once_or_left_alone_with_a_reason():
    plan = plan_contacts(roi_table(700, seed=10), policy(budget=200, max_volume={"telephone": 30}))
    units = pd.concat([plan.contacts["unit"], plan.left_alone["unit"]])
    assert units.is_unique
    assert len(units) == plan.n_units == 700
    assert plan.left_alone["reason"].str.len().gt(0).all()
    assert list(plan.contacts.columns[:6]) == [
        "unit", "action", "expected_profit", "propensity", "reason", "price_paid",
    ]  # fmt: skip
    kept = plan.contacts["expected_profit"] - plan.contacts["price_paid"]
    assert (kept > -0.05).all()  # nobody is contacted below the prices, but for the last few


def test_measured_profit_covers_the_true_profit_of_the_plan():
    misses = 0
    for seed in range(40):
        table = roi_table(1_500, seed=100 + seed)
        plan = plan_contacts(table, policy(max_volume={"telephone": 100}))
        low, high = plan.measured.ci
        misses += not low <= plan.expected_profit <= high  # the table's profits are the truth here
    assert misses <= 7  # 2 expected of 40 at 95 %; 8 or more has probability 0.001


def test_the_measured_error_is_by_cluster_where_clusters_were_randomised():
    table = roi_table(600, seed=3)
    number = table["unit"].str[1:].astype(int)
    copies = [table.assign(unit=table["unit"] + f"_{i}", cluster=number) for i in range(4)]
    once = plan_contacts(table, policy()).measured
    four = plan_contacts(pd.concat(copies, ignore_index=True), policy()).measured
    assert four.profit == pytest.approx(4 * once.profit)
    assert four.std_error == pytest.approx(4 * once.std_error)  # by unit it would be 2 times


def test_a_table_without_scores_gives_a_plan_without_measured_profit():
    plan = plan_contacts(roi_table(50).drop(columns="dr_score"), policy())
    assert plan.measured is None


def test_rules_that_cannot_hold_together_are_refused_by_name():
    table = roi_table(400, seed=11)
    with pytest.raises(InfeasiblePlan, match="budget, telephone minimum") as caught:
        plan_contacts(table, policy(budget=100, min_volume={"telephone": 100}))
    assert caught.value.code == "INFEASIBLE"
    assert "post" not in str(caught.value)
    with pytest.raises(InfeasiblePlan, match="email minimum") as caught:
        plan_contacts(table, policy(min_volume={"email": 401}))
    assert "together: email minimum." in str(caught.value)
    both = policy(min_volume={"email": 250, "post": 250})
    with pytest.raises(InfeasiblePlan, match="email minimum, post minimum"):
        plan_contacts(table, both)


def test_a_minimum_above_the_customers_left_after_opt_outs_is_refused():
    rules = policy(min_volume={"post": 60})
    plan_contacts(roi_table(100), rules)
    with pytest.raises(InfeasiblePlan, match="post minimum"):
        plan_contacts(roi_table(100), rules, suppressed=[f"c{i}" for i in range(50)])


@pytest.mark.parametrize("budget", [0.0, 0.01])
def test_an_empty_budget_gives_an_empty_plan_with_that_reason(budget):
    plan = plan_contacts(roi_table(200), policy(budget=budget))
    assert plan.n_contacts == 0
    assert [notice.code for notice in plan.notices] == ["BUDGET_EMPTY"]
    assert list(plan.contacts.columns) == list(
        plan_contacts(roi_table(200), policy()).contacts.columns
    )
    assert plan.reasons["budget is empty"] > 0
    assert plan.certificate.gap == 0.0


def test_free_contacts_reach_everyone_they_are_worth_and_are_noted():
    table = roi_table(200, cost=(0.0, 0.0, 0.0))
    plan = plan_contacts(table, policy(budget=0.0))
    best = table.groupby("unit")["profit"].max()
    assert set(plan.contacts["unit"]) == set(best.index[best > 0])
    assert [notice.code for notice in plan.notices] == ["COST_ZERO"]
    assert plan.cost == 0.0


@pytest.mark.parametrize("cost", [-0.01, float("nan"), float("inf")])
def test_a_cost_that_is_no_cost_is_refused(cost):
    table = roi_table(20)
    table.loc[7, "cost"] = cost
    with pytest.raises(DataError, match="Row 8") as caught:
        plan_contacts(table, policy())
    assert caught.value.code == "COST_INVALID"
    assert caught.value.rows == (8,)


def test_a_missing_profit_a_double_row_and_a_table_without_the_arms_are_refused():
    table = roi_table(20)
    broken = table.copy()
    broken.loc[3, "profit"] = np.nan
    cases = (
        (broken, "VALUE_NOT_FINITE"),
        (pd.concat([table, table.iloc[[0]]]), "ACTION_DUPLICATE"),
        (table.assign(arm="fax"), "ARM_MISSING"),
        (table.drop(columns="cost"), "COLUMN_MISSING"),
    )
    for frame, code in cases:
        with pytest.raises(DataError) as caught:
            plan_contacts(frame, policy())
        assert caught.value.code == code


def test_the_verifier_finds_every_kind_of_broken_rule():
    table = roi_table(100, seed=12)
    rules = policy(budget=50, max_volume={"telephone": 5}, min_volume={"post": 3})
    good = plan_contacts(table, rules).contacts

    def broken(contacts, **kwargs):
        checks = verify_plan(contacts, table, rules, **kwargs)
        return {check.name for check in checks if not check.passed}

    assert broken(good) == set()
    assert "one contact per unit" in broken(pd.concat([good, good.iloc[[0]]]))
    assert "suppressed units contacted" in broken(good, suppressed={good["unit"].iloc[0]})
    assert "contacts that were not offered" in broken(good.assign(cost=0.0))
    assert "budget" in broken(good.assign(cost=good["cost"] * 2))
    assert "telephone maximum" in broken(good.assign(channel="telephone"))
    assert "post minimum" in broken(good[good["channel"] != "post"])


def test_prices_are_zero_where_nothing_binds_and_ration_where_something_does():
    problem = Problem(
        np.array([[3.0], [2.0], [1.0]]),
        np.ones((3, 1)),
        np.zeros((3, 1)),
        (Rule("email", "contacts", np.array([True]), upper=2.0),),
    )
    solution = solve(problem)
    assert solution.choice.tolist() == [0, 0, NONE]
    assert 1.0 - 1e-5 <= solution.prices[0] <= 2.0 + 1e-5


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    n_units=st.integers(1, 60),
    budget=st.floats(0, 100),
    most=st.integers(0, 30),
    held_out=st.integers(0, 20),
)
def test_no_plan_breaks_a_limit_or_contacts_a_suppressed_customer(
    seed, n_units, budget, most, held_out
):
    silent = {f"c{i}" for i in range(held_out)}
    plan = plan_contacts(
        roi_table(n_units, seed=seed),
        policy(budget=budget, max_volume={"post": most}),
        suppressed=silent,
    )
    assert plan.contacts["unit"].is_unique
    assert plan.contacts["cost"].sum() <= budget * (1 + 1e-9) + 1e-9
    assert (plan.contacts["channel"] == "post").sum() <= most
    assert not set(plan.contacts["unit"]) & silent
    assert plan.certificate.bound >= plan.expected_profit - 1e-9
