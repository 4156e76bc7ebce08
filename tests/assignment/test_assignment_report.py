"""An assignment's report accounts for every customer and notices what chance does not explain."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from uplift.assignment.assign import assign
from uplift.assignment.report import assignment_report
from uplift.checks import blocked_by
from uplift.errors import DataError
from uplift.experiment import Experiment, load_experiment
from uplift.inference.multiplicity import holm


@pytest.fixture(scope="module")
def experiment(root):
    return load_experiment(root / "experiments" / "spring_voucher")


@pytest.fixture(scope="module")
def customers():
    rng = np.random.default_rng(11)
    return pd.DataFrame(
        {
            "unit": [f"c{i:05d}" for i in range(8_000)],
            "household": [f"h{i // 4:05d}" for i in range(8_000)],
            "n_baskets_182d": rng.poisson(1.5, 8_000),
            "spend": rng.lognormal(3, 1, 8_000),
            "by_household": np.repeat(rng.normal(size=2_000), 4),
        }
    )


def test_every_customer_is_accounted_for(experiment, customers):
    excluded = customers.loc[customers["n_baskets_182d"] > 0, ["unit"]].iloc[:100]
    assigned = assign(experiment, customers, excluded=excluded)
    report = assignment_report(experiment, assigned, customers)
    steps = {step.name: step.n_units for step in report.steps}
    n_eligible = int((customers["n_baskets_182d"] >= 1).sum())
    assert steps == {"customers": 8_000, "eligible": n_eligible, "assigned": n_eligible - 100}
    assert sum(arm.n_units for arm in report.arms) == report.n_units == len(assigned)
    assert not blocked_by(report.checks)
    assert f"eligible {n_eligible:,} → assigned {n_eligible - 100:,}" in str(report)


def test_balance_equals_welch_tests_with_holm(experiment, customers):
    assigned = assign(experiment, customers)
    report = assignment_report(experiment, assigned, customers)
    joined = assigned.merge(customers, on="unit")
    expected = []
    for name in ("n_baskets_182d", "spend", "by_household"):
        for arm in ("email", "post", "telephone"):
            pair = [joined.loc[joined["arm"] == a, name] for a in (arm, "control")]
            expected.append(stats.ttest_ind(*pair, equal_var=False).pvalue)
    found = [one.p_value for one in report.balance]
    assert found == pytest.approx(holm(expected), abs=2e-3)  # normal here, Student's t there


def test_units_removed_from_one_arm_by_a_covariate_are_noticed(experiment, customers):
    assigned = assign(experiment, customers).merge(customers[["unit", "spend"]], on="unit")
    torn = assigned[(assigned["arm"] != "email") | (assigned["spend"] > 15)].drop(columns="spend")
    failed = {
        check.code for check in blocked_by(assignment_report(experiment, torn, customers).checks)
    }
    assert failed == {"SRM", "BALANCE"}


def test_clusters_are_what_is_counted_where_clusters_are_drawn(experiment, customers):
    """False alarms over 60 draws of households: few by household, many if units are counted."""
    plain = experiment.model_dump()
    names = ["unit", "household", "n_baskets_182d", "by_household"]
    covariates = customers.iloc[:2_000].assign(n_baskets_182d=1)[names]
    smallest, naive = [], []
    for i in range(60):
        clustered = Experiment(**{**plain, "id": f"draw_{i}", "cluster": "household"})
        assigned = assign(clustered, covariates)
        report = assignment_report(clustered, assigned, covariates)
        smallest.append(report.balance[-1].p_value < 0.05)
        joined = assigned.merge(covariates, on="unit")
        pair = [joined.loc[joined["arm"] == a, "by_household"] for a in ("telephone", "control")]
        naive.append(stats.ttest_ind(*pair).pvalue < 0.05 / 3)
    assert sum(smallest) <= 5  # 1 expected, adjusted for three arms
    assert sum(naive) > 8


def test_repeated_rows_personal_ids_and_an_empty_result_are_warned_of(experiment, customers):
    twice = pd.concat([customers, customers.iloc[:3]])
    report = assignment_report(experiment, assign(experiment, twice), twice)
    assert {c.code: c.value for c in report.checks if not c.passed} == {"ID_DUPLICATE_SAME": 3}
    mails = customers.assign(unit=customers["unit"] + "@shop.example")
    report = assignment_report(experiment, assign(experiment, mails))
    assert [c.code for c in report.checks if not c.passed] == ["ID_LOOKS_PII"]
    report = assignment_report(experiment, assign(experiment, customers.iloc[:0]), customers)
    assert [c.code for c in report.checks if not c.passed] == ["EMPTY"]
    assert not blocked_by(report.checks)


def test_customers_of_another_table_are_refused(experiment, customers):
    assigned = assign(experiment, customers)
    with pytest.raises(DataError, match="no row here") as error:
        assignment_report(experiment, assigned, customers.iloc[:4_000])
    assert error.value.code == "FEATURE_ROWS_MISSING"


def test_the_report_has_json_and_flat_figures(experiment, customers):
    report = assignment_report(experiment, assign(experiment, customers), customers)
    assert '"digest"' in report.to_json()
    assert report.metrics()["assigned_control"] == report.arms[0].n_units
    assert "standardised difference" in report.balance_table().text()
