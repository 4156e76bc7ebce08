"""A trial is joined by id, checked once, and says what is wrong with codes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from uplift.economics import Economics
from uplift.errors import DataError, DefinitionError
from uplift.experiment import experiment_from
from uplift.metrics import Metric
from uplift.strict_yaml import parse_yaml
from uplift.trial import Trial, join_outcomes

DEFINITION = """
id: spring
title: Spring
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: Everyone}
arms:
  - {name: control, share: 0.5}
  - {name: voucher, share: 0.5, unit_cost: 0.05}
metrics:
  primary:
    metric: {name: spend, version: 1, title: S, column: spend, unit: EUR, window_days: 7, owner: o}
  secondary:
    - metric:
        {name: visit, version: 1, title: V, column: visit, kind: proportion, unit: share,
         window_days: 7, owner: o}
schedule: {starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 7}
analysis: {decision_rule: Scale what is proven.}
money: {currency: EUR, value: spend, margin_rate: 0.3}
"""
EXPERIMENT = experiment_from(parse_yaml(DEFINITION))
UNITS = [f"u{i}" for i in range(8)]


def assignment(**changes) -> pd.DataFrame:
    arms = ["control", "voucher"] * 4
    return pd.DataFrame({"unit": UNITS, "arm": arms, "propensity": 0.5} | changes)


def outcomes(**changes) -> pd.DataFrame:
    return pd.DataFrame(
        {"unit": UNITS, "spend": np.arange(8.0), "visit": [0, 0, 1, 1] * 2} | changes
    )


def join(assigned=None, result=None, customers=None, **options) -> Trial:
    return Trial.join(
        EXPERIMENT,
        assignment() if assigned is None else assigned,
        outcomes() if result is None else result,
        customers,
        **options,
    )


def test_rows_are_joined_by_id_never_by_position():
    shuffled = outcomes().sample(frac=1, random_state=1)
    features = pd.DataFrame({"unit": UNITS[::-1], "age": range(8), "as_of": "2017-07-01"})
    trial = join(result=shuffled, customers=features)
    assert trial.outcomes["spend"].tolist() == list(range(8))
    assert trial.features["age"].tolist() == list(range(7, -1, -1))
    assert trial.features.columns.tolist() == ["age"]


def test_design_propensities_come_from_the_experiment():
    assert np.allclose(join().propensity, 0.5)


def test_counts_per_arm_put_control_first():
    assert join().counts == {"control": 4, "voucher": 4}


@pytest.mark.parametrize(
    ("assigned", "result", "code"),
    [
        (assignment(unit=["", *UNITS[1:]]), None, "ID_MISSING"),
        (assignment(unit=[UNITS[1], *UNITS[1:]]), None, "ID_TWO_ARMS"),
        (assignment(unit=[UNITS[2], *UNITS[1:]]), None, "ID_DUPLICATE"),
        (assignment(arm=[None, *["control", "voucher"] * 3, "control"]), None, "ARM_NULL"),
        (assignment(arm=["Voucher ", *["control"] * 7]), None, "ARM_UNKNOWN"),
        (assignment(arm=["control"] * 8), None, "ARM_MISSING"),
        (assignment(arm=["voucher", *["control"] * 7]), None, "ARM_TOO_SMALL"),
        (assignment(propensity=0.4), None, "PROPENSITY_MISMATCH"),
        (None, outcomes(unit=[UNITS[1], *UNITS[1:]]), "ID_DUPLICATE"),
        (None, outcomes(spend=[np.nan, *range(7)]), "OUTCOME_MISSING"),
        (None, outcomes(spend=[np.inf, *range(7)]), "OUTCOME_NOT_FINITE"),
        (None, outcomes(spend=["12,50", *["1"] * 7]), "OUTCOME_NOT_NUMERIC"),
        (None, outcomes(spend=["€12", *["1"] * 7]), "OUTCOME_NOT_NUMERIC"),
        (None, outcomes(visit=[2, 1] * 4), "OUTCOME_NOT_BINARY"),
        (None, outcomes(visit=[0.5, 1] * 4), "OUTCOME_NOT_BINARY"),
        (None, outcomes().head(7), "OUTCOME_MISSING"),
        (None, outcomes().drop(columns="spend"), "COLUMN_MISSING"),
    ],
)
def test_bad_input_is_refused_with_its_code(assigned, result, code):
    with pytest.raises(DataError) as error:
        join(assigned, result)
    assert error.value.code == code


def test_an_unknown_arm_is_met_with_the_nearest_known_one():
    with pytest.raises(DataError, match="Did you mean 'voucher'"):
        join(assignment(arm=["Vouchr", *["control"] * 7]))


def test_a_missing_outcome_is_zero_or_dropped_only_when_said_so():
    assert join(result=outcomes().head(7), missing="zero").outcomes["spend"][7] == 0
    assert join(result=outcomes().head(7), missing="drop").n_units == 7


@pytest.mark.parametrize("missing", ["zero", "drop"])
def test_true_and_false_with_gaps_are_outcomes_too(missing):
    flags = [True, False, False, True, True, False, True, None]
    for visit in (pd.array(flags, dtype="boolean"), pd.array(flags, dtype=object)):
        trial = join(result=outcomes(visit=visit), missing=missing)
        assert trial.outcomes["visit"].sum() == 4
    late = outcomes(visit=[bool(flag) for flag in flags]).head(7)  # a row that is not there
    assert join(result=late, missing=missing).outcomes["visit"].sum() == 4


def test_an_outcome_that_is_a_function_of_the_arm_is_refused():
    with pytest.raises(DataError, match="0 for all of control and 1 for all of voucher") as error:
        join(result=outcomes(visit=[0, 1] * 4))
    assert error.value.code == "OUTCOME_EQUALS_ARM"


ASSIGNED_AT = pd.Timestamp("2017-07-03T08:00", tz="Europe/Paris")  # the launch


@pytest.mark.parametrize(
    ("occurred_at", "code"),
    [
        (["2017-07-03T07:59:59", *[None] * 7], "OUTCOME_BEFORE_ASSIGNMENT"),
        ([None, "2017-07-03T05:59:59Z", *[None] * 6], "OUTCOME_BEFORE_ASSIGNMENT"),
        (["2017-07-02", *["2017-07-09"] * 7], "OUTCOME_BEFORE_ASSIGNMENT"),
        (["yesterday", *["2017-07-09"] * 7], "TIME_INVALID"),
        ([1499000000.0, *[None] * 7], "TIME_INVALID"),
        (["2017-10-29T02:30", *["2017-07-09T09:00"] * 7], "TIME_AMBIGUOUS"),
        (["2017-07-03T08:00:00", *[None] * 7], None),
        (["2017-07-03T06:00:00Z", *[None] * 7], None),
        (["2017-07-03"] * 8, None),  # a day without a time: the day of the assignment counts
        ([None] * 8, None),
    ],
)
@pytest.mark.parametrize("assigned_at", [{}, {"assigned_at": ASSIGNED_AT}])
def test_an_outcome_from_before_the_assignment_is_refused(occurred_at, code, assigned_at):
    given = outcomes(occurred_at=occurred_at)
    if code is None:
        assert join(assignment(**assigned_at), given).n_units == 8
        return
    with pytest.raises(DataError) as error:
        join(assignment(**assigned_at), given)
    assert error.value.code == code
    if code == "OUTCOME_BEFORE_ASSIGNMENT":
        assert error.value.count == 1


def test_an_outcome_from_the_future_is_held_back_and_counted():
    soon = pd.Timestamp.now(tz="UTC")
    times = [soon + pd.Timedelta(minutes=minutes) for minutes in (-9, 4, 6)]
    given = outcomes(occurred_at=[*times, *[pd.NaT] * 5])
    trial = join(result=given)
    assert trial.n_units == 7
    (notice,) = [notice for notice in trial.notices if notice.code == "TIME_FUTURE"]
    assert (notice.value, notice.verdict) == (1, "warning")


def test_a_refusal_names_the_rows_of_the_table_at_fault():
    shuffled = outcomes(spend=[*np.arange(7.0), np.inf]).iloc[::-1]
    with pytest.raises(DataError, match="first in row 1") as error:
        join(result=shuffled)
    assert error.value.rows == (1,)


def test_returns_are_negative_revenue_and_welcome():
    assert join(result=outcomes(spend=[-3.0, *range(7)])).outcomes["spend"][0] == -3


def test_outcomes_of_the_unassigned_are_left_out_and_counted():
    more = pd.concat([outcomes(), outcomes(unit=[f"x{i}" for i in range(8)])])
    trial = join(result=more)
    assert trial.n_units == 8
    assert ("EXPOSED_UNASSIGNED", 8) in [(note.code, note.value) for note in trial.notices]


def test_one_dominant_customer_is_pointed_out():
    units = [f"u{i}" for i in range(100)]
    assigned = pd.DataFrame({"unit": units, "arm": ["control", "voucher"] * 50})
    result = pd.DataFrame({"unit": units, "spend": [100.0, *[0.5] * 99], "visit": 0})
    _, notices = join_outcomes(EXPERIMENT, assigned, result)
    assert [note.code for note in notices] == ["OUTCOME_DOMINATED"]


def test_personal_ids_are_pointed_out():
    units = [f"ann{i}@example.com" for i in range(8)]
    trial = join(assignment(unit=units), outcomes(unit=units))
    assert "ID_LOOKS_PII" in [note.code for note in trial.notices]


def test_a_customer_without_features_is_refused():
    with pytest.raises(DataError, match="have no row here") as error:
        join(customers=pd.DataFrame({"unit": UNITS[:6], "age": 1}))
    assert (error.value.code, error.value.count) == ("FEATURE_ROWS_MISSING", 2)


@pytest.mark.parametrize(("value", "code"), [(0.0, "PROPENSITY_BOUND"), (1.0, "PROPENSITY_BOUND")])
def test_a_propensity_at_its_bound_is_refused(value, code):
    trial = join()
    with pytest.raises(DataError) as error:
        Trial(
            units=trial.units,
            features=trial.features,
            arms=trial.arms,
            arm=trial.arm,
            outcomes=trial.outcomes,
            propensity=np.column_stack([np.full(8, 1 - value), np.full(8, value)]),
            primary="spend",
        )
    assert error.value.code == code


@pytest.mark.parametrize(
    ("part", "value", "code"),
    [
        ("units", np.array(["a"] * 8, dtype=object), "ID_DUPLICATE"),
        ("arm", np.array([0, 1, 2, 0, 1, 0, 1, 0]), "ARM_UNKNOWN"),
        ("arm", np.array([0, 1, -1, 0, 1, 0, 1, 0]), "ARM_UNKNOWN"),
        ("propensity", np.full((8, 3), 1 / 3), "ARM_UNKNOWN"),
        ("weight", np.array([-1.0] * 8), "WEIGHT_INVALID"),
        ("weight", np.zeros(8), "WEIGHT_INVALID"),
        ("weight", np.ones(7), "LENGTH_MISMATCH"),
        ("cluster", np.zeros(7, dtype=int), "LENGTH_MISMATCH"),
    ],
)
def test_a_part_that_does_not_fit_is_refused(part, value, code):
    with pytest.raises(DataError) as error:
        replace(join(), **{part: value})
    assert error.value.code == code


def test_parts_of_different_length_are_refused():
    trial = join()
    with pytest.raises(DataError) as error:
        Trial(
            units=trial.units,
            features=trial.features,
            arms=trial.arms,
            arm=trial.arm[:7],
            outcomes=trial.outcomes,
            propensity=trial.propensity,
            primary="spend",
        )
    assert error.value.code == "LENGTH_MISMATCH"


def test_profit_is_margin_less_redemptions_less_contacts():
    economics = Economics(
        currency="EUR",
        value_outcome="spend",
        margin_rate=0.3,
        redemption_outcome="redeemed",
        contact_cost={"voucher": 0.05},
        redemption_cost={"voucher": 2.0},
    )
    outcomes_by_arm = {
        "spend": np.array([[10.0, 20.0]]),
        "redeemed": np.array([[0.0, 0.5]]),
    }
    profit = economics.profit(outcomes_by_arm, ("control", "voucher"))
    assert profit.tolist() == [[3.0, pytest.approx(0.3 * 20 - 2.0 * 0.5 - 0.05)]]


@pytest.mark.parametrize("cost", [-1.0, float("nan"), float("inf")])
def test_a_cost_that_is_no_cost_is_refused(cost):
    with pytest.raises(DefinitionError) as error:
        Economics(currency="EUR", value_outcome="spend", contact_cost={"voucher": cost})
    assert error.value.code == "COST_INVALID"


def test_a_metric_is_cited_by_name_and_version():
    metric = Metric(
        name="spend", version=2, title="S", column="spend", unit="EUR", window_days=7, owner="o"
    )
    assert metric.key == "spend@2"
