"""Draws of whole lists: exact shares, whole households, balanced arms, and true propensities."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.assignment.definitions import define
from uplift.assignment.assign import assign, assign_from
from uplift.assignment.balancing import Balancer, covariates_of
from uplift.assignment.blocks import blocks_of
from uplift.assignment.report import assignment_report
from uplift.checks import blocked_by
from uplift.errors import DataError
from uplift.trial import Trial, checked_assignment

FOUR = {"control": "1/10", "email": "1/5", "post": "3/10", "call": "2/5"}


def customers(n=3_000, seed=3):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "unit": [f"c{i:05d}" for i in range(n)],
            "household": [f"h{i:05d}" for i in rng.integers(0, n // 2, n)],
            "recency": 1,
            "region": rng.choice(["north", "south", "east"], n, p=[0.7, 0.25, 0.05]),
            "tier": rng.choice(["gold", "basic"], n),
            "spend_before": rng.lognormal(3, 0.5, n),
            "age": rng.normal(45, 12, n),
        }
    )


STRATIFIED = "method: stratified, strata: [region, tier]"


def test_every_stratum_and_the_whole_list_hold_the_exact_shares():
    experiment, table = define(STRATIFIED, shares=FOUR), customers()
    made = assign_from(experiment, table)
    counts = pd.crosstab(made.table["stratum"], made.table["arm"])[list(FOUR)]
    shares = np.array(list(experiment.shares.values()))
    assert len(counts) == made.draw.n_strata == 6
    assert "region=north|tier=gold" in counts.index
    assert (np.abs(counts - np.outer(counts.sum(axis=1), shares)) < 1).all(axis=None)
    assert (np.abs(counts.sum() - shares * 3_000) < 1).all()
    joined = made.table.merge(table, on="unit")
    assert (joined["stratum"] == "region=" + joined["region"] + "|tier=" + joined["tier"]).all()
    report = assignment_report(experiment, made, table)
    assert not blocked_by(report.checks)
    assert "exact_shares" in [check.name for check in report.checks]


def test_a_stratum_that_lost_units_after_the_draw_is_noticed():
    from dataclasses import replace

    experiment, table = define(STRATIFIED), customers()
    made = assign_from(experiment, table)
    few = made.table["stratum"] == "region=east|tier=gold"
    torn = made.table[~(few & (made.table["arm"] == "control"))]
    report = assignment_report(experiment, replace(made, table=torn), table)
    assert "STRATA_SHARES" in [check.code for check in blocked_by(report.checks)]


@pytest.mark.parametrize(
    "plan",
    [
        STRATIFIED,
        "method: matched, balance: [age, spend_before]",
        "method: rerandomised, balance: [age, spend_before], acceptance: 0.2",
    ],
)
def test_the_order_of_rows_changes_no_arm(plan):
    experiment, table = define(plan), customers(600)
    shuffled = table.sample(frac=1, random_state=5)
    pd.testing.assert_frame_equal(assign(experiment, table), assign(experiment, shuffled))


def test_a_unit_in_a_stratum_of_its_own_gets_each_arm_at_its_share():
    table = customers(6).assign(region=[f"r{i}" for i in range(6)])
    counts = pd.Series(0, index=list(FOUR))
    for i in range(200):
        experiment = define("method: stratified, strata: [region]", shares=FOUR, id=f"e{i}")
        counts[assign(experiment, table)["arm"].iloc[0]] += 1
    expected = 200 * np.array(list(experiment.shares.values()))
    assert stats.chisquare(counts, expected).pvalue > 1e-4
    report = assignment_report(experiment, assign_from(experiment, table), table)
    assert "STRATA_TINY" in [check.code for check in report.checks if not check.passed]


def test_households_are_drawn_whole_with_exact_numbers_of_them():
    experiment, table = define(STRATIFIED, cluster="household"), customers()
    assigned = assign(experiment, table)
    assert (assigned.groupby("cluster")[["arm", "stratum", "propensity"]].nunique() == 1).all(
        axis=None
    )
    drawn = assigned.drop_duplicates("cluster")
    counts = pd.crosstab(drawn["stratum"], drawn["arm"])
    assert (np.abs(counts["control"] - counts.sum(axis=1) / 3) < 1).all()
    first = table.sort_values("unit").drop_duplicates("household").set_index("household")
    rule = "region=" + first["region"] + "|tier=" + first["tier"]
    assert (drawn["stratum"].to_numpy() == rule.loc[drawn["cluster"]].to_numpy()).all()


def test_a_missing_stratum_value_is_a_stratum_and_separators_do_not_merge_two():
    table = customers(40).assign(region=["a|tier=x", None] * 20, tier=["x", "x|tier=x"] * 20)
    assigned = assign(define(STRATIFIED), table)
    assert assigned["stratum"].nunique() == 2
    other = customers(40).assign(region=["a|tier=b", "a"] * 20, tier=["c", "b|tier=c"] * 20)
    assert assign(define(STRATIFIED), other)["stratum"].nunique() == 2


RERANDOMISED = "method: rerandomised, balance: [age, spend_before], acceptance: 0.05"


def test_a_rerandomised_draw_is_balanced_and_says_how_it_was_found():
    experiment, table = define(RERANDOMISED, shares=FOUR), customers()
    made = assign_from(experiment, table)
    assert made.draw.distance <= made.draw.bound == stats.chi2.ppf(0.05, 2 * 3)
    assert 1 <= made.draw.n_draws <= 400
    assert made.draw.salt == (
        "spring:arm:1" + f":{made.draw.n_draws - 1}" * (made.draw.n_draws > 1)
    )
    report = assignment_report(experiment, made, table)
    assert '"distance"' in report.to_json()
    plain = assign(define("method: stratified", shares=FOUR), table).merge(table, on="unit")
    balanced = made.table.merge(table, on="unit")
    spread = [t.groupby("arm")["age"].mean().std() for t in (balanced, plain)]
    assert spread[0] < spread[1]


def test_the_distance_is_the_mahalanobis_distance_of_two_arms_and_chi_squared():
    rng = np.random.default_rng(8)
    columns = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3))
    balancer = Balancer.of(columns, stratum=np.zeros(200, int), n_arms=2, acceptance=0.1)
    distances = []
    for _ in range(1_000):
        arm = rng.permutation(np.repeat([0, 1], [50, 150]))
        distances.append(balancer.distance(arm))
    gap = columns[arm == 1].mean(axis=0) - columns[arm == 0].mean(axis=0)
    by_hand = 50 * 150 / 200 * gap @ np.linalg.solve(np.cov(columns.T), gap)
    assert distances[-1] == pytest.approx(by_hand)
    assert stats.kstest(distances, stats.chi2(3).cdf).pvalue > 0.001


def accepted_shares(columns, shares, *, n_accepted, stratum, seed=2):
    """Monte Carlo: how often each id is in the first arm among accepted draws."""
    rng = np.random.default_rng(seed)
    balancer = Balancer.of(columns, stratum=stratum, n_arms=len(shares), acceptance=0.1)
    places = [np.flatnonzero(stratum == s) for s in np.unique(stratum)]
    counts, n = np.zeros(len(columns)), 0
    while n < n_accepted:
        arm = np.empty(len(columns), dtype=np.int64)
        for place in places:
            sizes = np.round(shares * len(place)).astype(int)
            arm[place] = rng.permutation(np.repeat(np.arange(len(shares)), sizes))
        if balancer.distance(arm) <= balancer.bound:
            counts += arm == 0
            n += 1
    return balancer, counts / n_accepted


@pytest.mark.slow
@pytest.mark.parametrize("shares", [(0.1, 0.9), (0.1, 0.3, 0.6), (0.5, 0.5)])
@pytest.mark.parametrize("n_strata", [1, 4])
def test_the_propensity_written_is_the_one_among_accepted_draws(shares, n_strata):
    columns = np.random.default_rng(1).normal(size=(200, 2))
    shares, stratum = np.array(shares), np.arange(200) % n_strata
    balancer, found = accepted_shares(columns, shares, n_accepted=8_000, stratum=stratum)
    std_error = np.sqrt(shares[0] * (1 - shares[0]) / 8_000)
    written = balancer.propensities(shares)
    z, naive = (found - written[:, 0]) / std_error, (found - shares[0]) / std_error
    assert np.sqrt((z**2).mean()) < 1.2
    if shares[0] < 0.5:  # the designed share is not the propensity, and is caught
        assert np.sqrt((naive**2).mean()) > 1.25
    np.testing.assert_allclose(written.sum(axis=1), 1)
    np.testing.assert_allclose(written.mean(axis=0), shares, atol=1e-6)


def test_rerandomised_propensities_add_up_to_the_design_and_reach_the_trial():
    experiment = define(RERANDOMISED, shares={"control": "1/10", "voucher": "9/10"})
    table = customers(1_000)
    assigned = assign(experiment, table)
    assert assigned["propensity"].nunique() > 2
    outcomes = pd.DataFrame({"unit": table["unit"], "spend": 1.0})
    trial = Trial.join(experiment, assigned, outcomes, table)
    np.testing.assert_allclose(trial.propensity.sum(axis=1), 1)
    assert trial.propensity[:, 0].mean() == pytest.approx(0.1, abs=1e-3)
    received = trial.propensity[np.arange(1_000), trial.arm]
    np.testing.assert_allclose(np.sort(received), np.sort(assigned["propensity"]))
    with pytest.raises(DataError, match="not the designed share") as error:
        checked_assignment(experiment, assigned.assign(propensity=0.4))
    assert error.value.code == "PROPENSITY_MISMATCH"


def test_equal_shares_keep_the_designed_propensity_exactly():
    assigned = assign(
        define(RERANDOMISED, shares={"control": "1/2", "voucher": "1/2"}), customers(500)
    )
    assert (assigned["propensity"] == 0.5).all()


def test_a_customer_who_moves_an_arm_alone_is_warned_of():
    experiment = define(RERANDOMISED, shares={"control": "1/10", "voucher": "9/10"})
    table = customers(500)
    table.loc[0, "spend_before"] = 150
    report = assignment_report(experiment, assign_from(experiment, table), table)
    assert "PROPENSITY_UNSURE" in [check.code for check in report.checks if not check.passed]


def test_households_are_balanced_by_their_totals_and_sizes():
    experiment, table = define(RERANDOMISED, cluster="household"), customers()
    made = assign_from(experiment, table)
    assert (made.table.groupby("cluster")["arm"].nunique() == 1).all()
    assert made.draw.bound == stats.chi2.ppf(0.05, 3)  # two totals and the size


def test_what_cannot_be_balanced_is_refused():
    table = customers(100)
    with pytest.raises(DataError, match="'age'") as error:
        assign(define(RERANDOMISED), table.drop(columns="age"))
    assert error.value.code == "COLUMN_MISSING"
    for bad in ("old", np.inf):
        with pytest.raises(DataError, match="finite numbers") as error:
            assign(define(RERANDOMISED), table.assign(age=bad))
        assert error.value.code == "BALANCE_COLUMN"
    with pytest.raises(DataError, match="none of 400 draws") as error:
        assign(define(RERANDOMISED), table.iloc[:3])
    assert error.value.code == "BALANCE_UNREACHED"
    with pytest.raises(DataError, match="'tier'") as error:
        assign(define(STRATIFIED), table.drop(columns="tier"))
    assert error.value.code == "COLUMN_MISSING"


def test_a_missing_covariate_value_is_balanced_as_such():
    filled = covariates_of(pd.DataFrame({"age": [1.0, None, 3.0], "x": [1, 2, 3]}), ["age", "x"])
    np.testing.assert_array_equal(filled, [[1, 0, 1], [2, 1, 2], [3, 0, 3]])
    constant = Balancer.of(np.ones((9, 1)), stratum=np.zeros(9, int), n_arms=2, acceptance=0.1)
    assert constant.distance(np.arange(9) % 2) == 0 <= constant.bound
    np.testing.assert_array_equal(constant.propensities(np.array([0.5, 0.5])), 0.5)


def test_blocks_hold_similar_customers_and_every_arm():
    experiment, table = define("method: matched, balance: [age, spend_before]"), customers(999)
    assigned = assign(experiment, table).merge(table, on="unit")
    counts = pd.crosstab(assigned["stratum"], assigned["arm"])
    assert len(counts) == 333
    assert (counts["control"] == 1).all()
    assert (counts["voucher"] == 2).all()
    within = assigned.groupby("stratum")["age"].std().mean()
    assert within < assigned["age"].std() / 4


def test_blocks_stay_inside_strata_and_leave_less_than_one_block_over():
    rng = np.random.default_rng(0)
    stratum = np.sort(rng.integers(0, 3, 100))
    code = blocks_of(rng.normal(size=(100, 2)), stratum=stratum, size=4)
    assert (pd.Series(stratum).groupby(code).nunique() == 1).all()
    sizes = pd.Series(np.bincount(code))
    assert sizes.between(4, 7).all()
    assert (sizes > 4).sum() <= 3
