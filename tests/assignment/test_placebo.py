"""A/A on history, the chart of balance, and inputs that an assignment must refuse or survive."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.assignment.definitions import define
from tests.assignment.test_draws import customers
from uplift.assignment.assign import COLUMNS, assign, assign_from
from uplift.assignment.placebo import placebo_balance
from uplift.assignment.report import assignment_report
from uplift.checks import blocked_by
from uplift.errors import DataError, DefinitionError
from uplift.report.plots import draw
from uplift.trial import checked_assignment


@pytest.fixture(scope="module")
def table():
    return customers()


@pytest.fixture(scope="module")
def assigned(table):
    return assign(define(), table)


def history(table, seed=5):
    spend = np.random.default_rng(seed).exponential(20, len(table))
    return pd.DataFrame({"unit": table["unit"], "spend": spend})


def test_before_the_campaign_the_arms_differ_by_chance_alone(table, assigned):
    report = placebo_balance(define(), assigned, history(table))
    joined = assigned.merge(history(table), on="unit")
    arms = [joined.loc[joined["arm"] == arm, "spend"] for arm in ("voucher", "control")]
    expected = stats.ttest_ind(*arms, equal_var=False).pvalue
    assert report.differences[0].p_value == pytest.approx(expected, abs=1e-3)
    assert not blocked_by(report.checks)
    assert report.metrics() == {"placebo_smallest_p_value": report.differences[0].p_value}
    assert "A/A on history" in str(report)


def test_arms_sorted_by_past_spending_are_noticed(table, assigned):
    past = history(table)
    rich = past["spend"] > past["spend"].quantile(0.4)
    sorted_arms = assigned.assign(
        arm=np.where(rich, "voucher", "control"), propensity=np.where(rich, 2 / 3, 1 / 3)
    )
    failed = blocked_by(placebo_balance(define(), sorted_arms, past).checks)
    assert [check.code for check in failed] == ["PLACEBO"]


def test_who_is_not_in_the_history_is_refused_or_did_nothing(table, assigned):
    some = history(table).iloc[:2_000]
    with pytest.raises(DataError, match="1000 assigned unit") as error:
        placebo_balance(define(), assigned, some)
    assert error.value.code == "OUTCOME_MISSING"
    report = placebo_balance(define(), assigned, some, missing="zero")
    joined = assigned.merge(some, on="unit", how="left").fillna({"spend": 0})
    means = joined.groupby("arm")["spend"].mean()
    assert report.differences[0].control_mean == pytest.approx(means["control"])
    assert placebo_balance(define(), assigned, some.iloc[:0], missing="zero").n_units == 3_000
    for bad, code in (
        (some.rename(columns={"spend": "sales"}), "COLUMN_MISSING"),
        (pd.concat([some, some.iloc[:1]]), "ID_DUPLICATE"),
        (some.assign(spend=np.inf), "OUTCOME_NOT_FINITE"),
    ):
        with pytest.raises(DataError) as error:
            placebo_balance(define(), assigned, bad, missing="zero")
        assert error.value.code == code


def test_the_balance_is_drawn_with_its_finding(table, assigned):
    report = assignment_report(define(), assign_from(define(), table), table)
    picture = report.plot()
    assert ElementTree.fromstring(picture.svg()).tag.endswith("svg")
    assert "no more than chance explains" in picture.svg()
    worst = replace(report.balance[0], p_value=1e-9, difference=0.4)
    alarmed = draw(replace(report, balance=(worst, *report.balance[1:]))).svg()
    assert f"differ in {worst.covariate} by more" in alarmed
    assert "no covariate" in draw(replace(report, balance=())).svg()
    assert "<svg" in placebo_balance(define(), assigned, history(table)).plot().svg()


METHODS = ["hash", "stratified", "rerandomised, balance: [age]", "matched, balance: [age]"]


@pytest.mark.parametrize("method", METHODS)
def test_nobody_to_assign_gives_the_columns_with_their_types(table, method):
    experiment = define(f"method: {method}")
    full, empty = assign(experiment, table.iloc[:50]), assign(experiment, table.iloc[:0])
    assert tuple(empty.columns) == COLUMNS
    assert len(empty) == 0
    assert full.dtypes.equals(empty.dtypes)
    report = assignment_report(experiment, assign_from(experiment, table.iloc[:0]), table.iloc[:0])
    assert [check.code for check in report.checks if not check.passed] == ["EMPTY"]
    clustered = define(f"method: {method}", cluster="household")
    assert assign(clustered, table.iloc[:0]).dtypes.equals(full.dtypes)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("unit", "code"),
    [("", "ID_MISSING"), ("   ", "ID_MISSING"), (None, "ID_MISSING"), ("c1 ", "ID_WHITESPACE"),
     ("c\ufeff1", "ID_CONTROL_CHAR"), ("c\x001", "ID_CONTROL_CHAR"), ("x" * 257, "ID_TOO_LONG")],
)  # fmt: skip
def test_a_bad_id_stops_every_way_of_drawing(table, method, unit, code):
    bad = table.iloc[:20].copy()
    bad.loc[3, "unit"] = unit
    with pytest.raises(DataError) as error:
        assign(define(f"method: {method}"), bad)
    assert (error.value.code, error.value.rows) == (code, (4,))


@pytest.mark.parametrize("name", ["excluded", "suppressed"])
def test_a_bad_id_in_a_list_is_refused_too_and_another_unicode_form_still_matches(table, name):
    with pytest.raises(DataError) as error:
        assign(define(), table, **{name: pd.DataFrame({"unit": ["c00001", " c00002"]})})
    assert error.value.code == "ID_WHITESPACE"
    named = table.assign(unit=["José", *table["unit"][1:]])
    left = assign(define(), named, **{name: pd.DataFrame({"unit": ["Jose\u0301"]})})
    assert "José" not in set(left["unit"])
    assert len(left) == len(named) - 1


@pytest.mark.parametrize(
    ("shares", "code"),
    [
        ({"control": 0.5, "voucher": 0.49}, "WEIGHTS_INVALID"),
        ({"control": -0.5, "voucher": 1.5}, "WEIGHTS_INVALID"),
        ({"control": ".nan", "voucher": 1}, "WEIGHTS_INVALID"),
        ({"control": 0, "voucher": 1}, "HOLDOUT_EMPTY"),
    ],
)
def test_shares_that_cannot_be_drawn_are_refused(shares, code):
    with pytest.raises(DefinitionError) as error:
        define(shares=shares)
    assert error.value.code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: t.assign(arm=[None, *t["arm"][1:]]), "ARM_NULL"),
        (lambda t: t.assign(arm=["Voucher ", *t["arm"][1:]]), "ARM_UNKNOWN"),
        (lambda t: pd.concat([t, t.iloc[:1].assign(arm="control", propensity=1 / 3),
                              t.iloc[:1].assign(arm="voucher", propensity=2 / 3)]), "ID_TWO_ARMS"),
    ],
)  # fmt: skip
def test_a_broken_assignment_is_refused_by_its_report_and_as_an_earlier_one(
    table, assigned, change, code
):
    with pytest.raises(DataError) as error:
        assignment_report(define(), change(assigned))
    assert error.value.code == code
    with pytest.raises(DataError) as error:
        checked_assignment(define(), change(assigned))
    assert error.value.code == code


def test_a_split_far_from_the_plan_fails_the_sample_ratio():
    experiment = define(shares={"control": "1/2", "voucher": "1/2"})
    torn = pd.DataFrame(
        {
            "unit": [f"u{i}" for i in range(100_000)],
            "arm": np.repeat(["control", "voucher"], [48_000, 52_000]),
        }
    )
    failed = blocked_by(assignment_report(experiment, torn).checks)
    assert [check.code for check in failed] == ["SRM"]
