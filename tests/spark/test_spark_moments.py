"""Moments from a real Spark are those of the other engines, to 1e-9 of a standard deviation."""

import decimal

import duckdb
import numpy as np
import pandas as pd
import pytest

from uplift.aggregate import (
    above,
    aggregate,
    at_most,
    by_key,
    capped,
    combined,
    filled,
    is_missing,
    moments_query,
    query_for,
    unlike,
)
from uplift.errors import DataError
from uplift.inference.moments import Moments, mean_difference

BY = ["arm", "segment", "day"]
COLUMNS = [
    *("spend", "bought", "items", "kelvin"),
    capped("spend", 20.0),
    at_most("spend", 15.0),
    above("spend", 5.0, name="large order"),
    filled("before", 3.5),
    is_missing("before"),
    unlike("items", [0, 1]),
    combined({"spend": 0.3, "items": -1.25}, name="profit"),
    by_key("items", "arm", {"été": 2.0, "post": 0.5}, name="cost"),
]
COVARIANCES = [("spend", "items"), ("kelvin", "spend"), ("before filled", "spend capped at 20")]
SKEWED = ["spend", "kelvin", "cost"]


def frame(n=1_500, seed=1, far=False):
    rng = np.random.default_rng(seed)
    items = rng.poisson(2, n)
    spend = np.round(items * rng.lognormal(2, 1, n), 2)
    segment = rng.choice(["new", "old", None], n)
    if far:  # a cell at ten million, give or take a cent
        spend = np.where(segment == "old", 1e7 + rng.normal(0, 1e-2, n), spend)
    return pd.DataFrame(
        {
            "arm": rng.choice(["control", "été", "post"], n, p=[0.2, 0.5, 0.3]),
            "segment": segment,
            "day": rng.integers(1, 3, n),
            "spend": spend,
            "bought": items > 0,
            "items": items,
            "kelvin": 1e6 + rng.normal(size=n),
            "before": np.where(rng.uniform(size=n) < 0.3, np.nan, rng.lognormal(size=n)),
        }
    )


def collected(table):
    return aggregate(table, by=BY, columns=COLUMNS, covariances=COVARIANCES, skewed=SKEWED)


def assert_same_moments(found, expected):
    assert found.keys == expected.keys
    np.testing.assert_array_equal(found.count, expected.count)
    own = [expected.pairs.index((i, i)) for i in range(len(expected.columns))]
    spread = np.sqrt(expected.comoment[:, own])
    scale = spread / np.sqrt(expected.count)[:, None]
    away = np.abs((found.mean - expected.mean) + (found.rest - expected.rest))
    assert (away <= 1e-9 * scale + 1e-15 * np.abs(expected.mean)).all()
    for k, (i, j) in enumerate(expected.pairs):
        near = 1e-9 * spread[:, i] * spread[:, j] + 1e-12
        assert (np.abs(found.comoment[:, k] - expected.comoment[:, k]) <= near).all()
    for k, i in enumerate(expected.layout.skewed):
        gap = np.abs(found.numbers.cubes[:, k] - expected.numbers.cubes[:, k])
        assert (gap <= 1e-7 * (spread[:, i] ** 3 + np.abs(expected.numbers.cubes[:, k]))).all()


@pytest.mark.parametrize("far", [False, True])
def test_spark_gives_the_moments_of_the_other_engines(in_spark, spark, far):
    data = frame(far=far)
    found = collected(in_spark(data))
    expected = collected(data)
    assert_same_moments(found, expected)
    assert_same_moments(found.collapse(["arm"]), collected_by_arm(data))
    assert ("spend" in found.reread) == far
    assert not spark.catalog.listTables()  # nothing is left behind


def collected_by_arm(data):
    return aggregate(data, by=["arm"], columns=COLUMNS, covariances=COVARIANCES, skewed=SKEWED)


def test_spark_gives_the_moments_of_plain_numpy(in_spark):
    data = frame(400)
    found = aggregate(in_spark(data), columns=["spend", "items"], covariances=[("spend", "items")])
    for key, cell in found.cells():
        rows = data[data["arm"] == key["arm"]]
        expected = Moments.of(rows, ["spend", "items"], [("spend", "items")])
        np.testing.assert_allclose(cell.comoment, expected.comoment, rtol=1e-9)


def test_an_offset_of_a_billion_loses_less_than_a_millionth(in_spark):
    rng = np.random.default_rng(3)
    arm = rng.choice(["control", "email"], 2_000)
    spend = 1e9 + rng.normal(0, 1e-3, 2_000) + 5e-4 * (arm == "email")
    data = pd.DataFrame({"arm": arm, "spend": spend})
    found = aggregate(in_spark(data), columns=["spend"])
    away = (data["spend"] - 1e9).groupby(data["arm"])
    control, email = found.cell(arm="control"), found.cell(arm="email")
    effect = away.mean()["email"] - away.mean()["control"]
    assert mean_difference(email, control, "spend") == pytest.approx(effect, rel=1e-6)
    assert email.variance("spend") == pytest.approx(away.var()["email"], rel=1e-6)


@pytest.mark.parametrize(
    ("value", "code"),
    [(None, "OUTCOME_MISSING"), (float("nan"), "OUTCOME_MISSING"), (-np.inf, "OUTCOME_NOT_FINITE")],
)
def test_what_is_no_number_is_refused_with_its_count(spark, value, code):
    table = spark.createDataFrame([("a", 1.0), ("a", value), ("b", value)], "arm string, x double")
    for column in ("x", capped("x", 3.0), at_most("x", 3.0), above("x")):
        with pytest.raises(DataError, match="in 2 row") as caught:
            aggregate(table, columns=[column])
        assert caught.value.code == code
    if value is None or value != value:
        gap = aggregate(table, by=[], columns=[is_missing("x"), filled("x", 9.0)]).cell()
        assert gap.mean_of("x is missing") == pytest.approx(2 / 3)
        assert gap.mean_of("x filled") == pytest.approx(19 / 3)


def test_decimals_whole_numbers_and_quoted_names_come_as_they_are(spark):
    name = "spend`; drop table x; -- {0} %s"
    schema = f"arm string, `{name.replace('`', '``')}` decimal(9,2), s smallint, r float, t tinyint"
    rows = [
        ("o'neil\\", decimal.Decimal("1.25"), 3, 0.5, 1),
        ("o'neil\\", decimal.Decimal("2.25"), 4, 1.5, 1),
    ]
    table = spark.createDataFrame(rows, schema)
    cost = by_key("s", "arm", {"o'neil\\": 2.0}, name="cost")
    found = aggregate(table, columns=[name, "s", "r", "t", cost]).cell(arm="o'neil\\")
    assert [found.mean_of(c) for c in (name, "s", "r", "t", "cost")] == [1.75, 3.5, 1.0, 1.0, 7.0]
    with pytest.raises(DataError, match="is string") as caught:
        aggregate(table, by=["s"], columns=["arm"])
    assert caught.value.code == "OUTCOME_NOT_NUMERIC"
    with pytest.raises(DataError, match="no row"):
        aggregate(table.limit(0), columns=["s"])


def test_the_query_that_is_shown_runs_in_spark_as_it_stands(in_spark, spark):
    data = frame(300)
    table = in_spark(data)
    table.createOrReplaceTempView("results")
    try:
        sql = moments_query(["arm"], ["spend"], dialect="spark", table="results")
        exact = moments_query(["arm"], ["spend"], dialect="spark", table="results", exact=True)
        for query in (sql, exact):
            rows = {row[0]: row[1] for row in spark.sql(query).collect()}
            assert rows == data["arm"].value_counts().to_dict()
    finally:
        spark.catalog.dropTempView("results")
    assert "FROM `" in query_for(table, columns=["spend"])


def test_spark_and_duckdb_keep_days_in_one_store(in_spark, tmp_path):
    from uplift.aggregate import MomentsStore

    data, store = frame(600), MomentsStore(tmp_path / "kept.parquet")
    for day in (1, 2):
        mine = data[data["day"] == day]
        table = in_spark(mine) if day == 1 else duckdb.from_df(mine)
        found = aggregate(table, by=["arm", "day"], columns=["spend"])
        assert store.put(found, batch=f"day {day}")
    expected = aggregate(data, columns=["spend"])
    np.testing.assert_allclose(store.read(["arm"]).comoment, expected.comoment, rtol=1e-9)
