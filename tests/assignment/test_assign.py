"""Assignment keeps its order, its customers together, and says what it did."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from uplift.assignment.assign import COLUMNS, assign
from uplift.assignment.order import held_out
from uplift.errors import DataError
from uplift.experiment import experiment_from, load_experiment
from uplift.strict_yaml import parse_yaml

TEXT = """
id: spring
title: Spring
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: Recent, where: [{column: recency, at_most: 100}]}
arms:
  - {name: control, share: 1/3}
  - {name: voucher, share: 2/3, unit_cost: 0.05}
metrics:
  primary:
    metric: {name: spend, version: 1, title: S, column: spend, unit: EUR, window_days: 28, owner: o}
schedule: {starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 28}
analysis: {decision_rule: Scale what is proven.}
money: {currency: EUR, value: spend, margin_rate: 0.3}
"""


def read(text: str = TEXT):
    return experiment_from(parse_yaml(text))


@pytest.fixture(scope="module")
def experiment():
    return read()


@pytest.fixture(scope="module")
def customers():
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "unit": [f"c{i:05d}" for i in range(6_000)],
            "household": [f"h{i // 3:05d}" for i in range(6_000)],
            "recency": rng.integers(0, 200, 6_000),
            "spend_before": rng.lognormal(3, 1, 6_000),
        }
    )


def test_the_table_has_the_fixed_columns_and_designed_propensities(experiment, customers):
    assigned = assign(experiment, customers)
    assert tuple(assigned.columns) == COLUMNS
    assert set(assigned["experiment"]) == {"spring"}
    designed = {"control": 1 / 3, "voucher": 2 / 3}
    assert (assigned["propensity"] == assigned["arm"].map(designed)).all()
    assert assigned["would_send"].all()
    assert ((assigned["layer_slot"] >= 0) & (assigned["layer_slot"] < 1)).all()


def test_only_the_audience_is_assigned_and_a_missing_value_is_not_in_it(experiment, customers):
    gaps = customers.astype({"recency": "float64"})
    gaps.loc[:99, "recency"] = np.nan
    assigned = assign(experiment, gaps)
    expected = gaps.loc[gaps["recency"] <= 100, "unit"]
    assert sorted(assigned["unit"]) == sorted(expected)


def test_the_launch_is_recorded_and_the_clock_is_not(experiment, customers):
    launch = {moment.isoformat() for moment in assign(experiment, customers)["assigned_at"]}
    assert launch == {"2017-07-03T06:00:00+00:00"}


def test_the_order_of_the_customers_changes_nothing(experiment, customers):
    shuffled = customers.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(assign(experiment, customers), assign(experiment, shuffled))


def test_a_customer_keeps_the_arm_when_others_join(experiment, customers):
    fewer = assign(experiment, customers.iloc[::7]).set_index("unit")["arm"]
    more = assign(experiment, customers).set_index("unit")["arm"]
    assert (more.loc[fewer.index] == fewer).all()


def test_any_kind_of_table_gives_the_same_assignment(experiment, customers):
    expected = assign(experiment, customers)
    pd.testing.assert_frame_equal(assign(experiment, pl.from_pandas(customers)), expected)


def test_what_the_caller_gives_is_not_changed(experiment, customers):
    before = customers.copy(deep=True)
    assign(experiment, customers)
    pd.testing.assert_frame_equal(customers, before)


def test_households_stay_together_when_they_are_what_is_drawn(customers):
    clustered = read(TEXT.replace("title: Spring", "title: Spring\ncluster: household"))
    assigned = assign(clustered, customers)
    assert (assigned.groupby("cluster")["arm"].nunique() == 1).all()
    one_by_one = assign(read(), customers).merge(customers[["unit", "household"]], on="unit")
    assert (one_by_one.groupby("household")["arm"].nunique() > 1).any()  # why it is needed


def test_a_missing_household_is_refused(customers):
    clustered = read(TEXT.replace("title: Spring", "title: Spring\ncluster: household"))
    with pytest.raises(DataError, match="household") as error:
        assign(clustered, customers.assign(household=[None, *customers["household"][1:]]))
    assert error.value.code == "ID_MISSING"
    with pytest.raises(DataError, match="'household' is missing") as error:
        assign(clustered, customers.drop(columns="household"))
    assert error.value.code == "COLUMN_MISSING"


def test_units_held_out_elsewhere_are_left_out_before_the_draw(experiment, customers, root):
    universal = load_experiment(root / "experiments" / "universal_control")
    everybody = customers.assign(n_baskets_182d=1)
    out = held_out(assign(universal, everybody))
    assert 0.03 < len(out) / len(customers) < 0.07
    with_all = assign(experiment, customers)
    rest = assign(experiment, customers, excluded=out)
    assert not set(rest["unit"]) & set(out["unit"])
    expected = with_all[~with_all["unit"].isin(out["unit"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, expected)


def test_a_whole_assignment_as_exclusion_is_refused_because_it_holds_those_to_be_sent_to(
    experiment, customers
):
    with pytest.raises(DataError, match="held_out") as error:
        assign(experiment, customers, excluded=assign(experiment, customers))
    assert error.value.code == "EXCLUDED_ARMS"


def test_the_columns_are_there_with_their_types_when_nobody_is_assigned(experiment, customers):
    full, empty = assign(experiment, customers), assign(experiment, customers.iloc[:0])
    assert len(empty) == 0
    assert full.dtypes.equals(empty.dtypes)


def test_identical_rows_count_once_and_different_ones_are_refused(experiment, customers):
    twice = pd.concat([customers, customers.iloc[:10]])
    pd.testing.assert_frame_equal(assign(experiment, twice), assign(experiment, customers))
    differing = pd.concat([customers, customers.iloc[:1].assign(recency=7)])
    with pytest.raises(DataError, match="one row per unit") as error:
        assign(experiment, differing)
    assert error.value.code == "ID_DUPLICATE"


@pytest.mark.parametrize(
    ("unit", "code"),
    [
        ("", "ID_MISSING"),
        (None, "ID_MISSING"),
        (" c1", "ID_WHITESPACE"),
        ("c\u200b1", "ID_CONTROL_CHAR"),
        ("x" * 10_000, "ID_TOO_LONG"),
    ],
)
def test_a_bad_id_is_refused_with_its_code(experiment, unit, code):
    with pytest.raises(DataError) as error:
        assign(experiment, pd.DataFrame({"unit": ["c2", unit], "recency": [1, 1]}))
    assert error.value.code == code


def test_two_spellings_of_one_visible_id_are_refused(experiment):
    with pytest.raises(DataError) as error:
        assign(experiment, pd.DataFrame({"unit": ["José", "Jose\u0301"], "recency": [1, 1]}))
    assert error.value.code == "ID_UNICODE_FORM"


def test_ids_that_look_alike_as_numbers_stay_different_customers(experiment):
    units = ["00123", "123", "NA", "null", "9007199254740992", "9007199254740993"]
    assigned = assign(experiment, pd.DataFrame({"unit": units, "recency": 1}))
    assert sorted(assigned["unit"]) == sorted(units)


def test_an_audience_column_that_is_missing_or_text_is_named(experiment, customers):
    with pytest.raises(DataError, match="'recency' is missing") as error:
        assign(experiment, customers.drop(columns="recency"))
    assert error.value.code == "AUDIENCE_COLUMN"
    with pytest.raises(DataError, match="must hold numbers") as error:
        assign(experiment, customers.assign(recency="12"))
    assert error.value.code == "AUDIENCE_COLUMN"
