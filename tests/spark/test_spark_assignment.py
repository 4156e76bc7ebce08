"""Spark gives each unit the arm, the slot and the place in the layer that Python gives it."""

import unicodedata

import pytest

from tests.assignment.test_hash_sql import EXPERIMENTS, UNITS, in_python, query, read
from uplift.assignment.hashing import takes_part
from uplift.assignment.sql import SYNTAX, arm_sql, takes_part_sql

COLUMN = "the `unit`"
COMPOSED = [unit for unit in UNITS if unicodedata.is_normalized("NFC", unit)]


@pytest.fixture(scope="module")
def customers(spark):
    rows = [(i, unit) for i, unit in enumerate(UNITS)]
    table = spark.createDataFrame([*rows, (len(rows), None)], f"i int, {quoted(COLUMN)} string")
    table.createOrReplaceTempView("customers")
    yield table
    spark.catalog.dropTempView("customers")


def quoted(name):
    return SYNTAX["spark"].name(name)


def found_in(spark, sql):
    return {row[0]: tuple(row) for row in spark.sql(sql).collect()}


@pytest.mark.parametrize("wave", [None, "first", "again"])
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.id)
def test_spark_draws_what_python_draws(spark, customers, experiment, wave):
    """Arms, exposure and layers, slots; ids of any script that are in NFC."""
    found = found_in(spark, query(experiment, wave, "spark", COLUMN))
    expected = {row[0]: row for row in in_python(experiment, wave)}
    assert len(COMPOSED) > 3_000
    assert any(not unit.isascii() for unit in COMPOSED)
    for unit in COMPOSED:
        assert found[unit] == expected[unit], unit


def test_ids_that_are_not_in_nfc_are_the_known_exception(spark, customers):
    """Spark has no NFC: what is written in two ways may get two arms, as the page says."""
    others = [unit for unit in UNITS if unit not in COMPOSED]
    assert others
    slots = found_in(spark, query(EXPERIMENTS[1], None, "spark", COLUMN))
    expected = {row[0]: row for row in in_python(EXPERIMENTS[1], None)}
    assert all(slots[unit][3] != expected[unit][3] for unit in others)


def test_a_ramp_up_adds_units_and_moves_nobody(spark, customers):
    before, taken, arms = set(), {}, {}
    for share in ("1/10", "1/2", "9/10", "1"):
        experiment = read("ramp", {"control": "1/2", "mail": "1/2"}, f"exposure_share: {share}")
        inside = takes_part_sql(experiment, dialect="spark", column=COLUMN)
        arm = arm_sql(experiment, dialect="spark", column=COLUMN)
        sql = f"select {quoted(COLUMN)}, {inside}, {arm} from customers"
        rows = {u: row for u, row in found_in(spark, sql).items() if u in set(COMPOSED)}
        expected = dict(zip(COMPOSED, takes_part(COMPOSED, experiment).tolist(), strict=True))
        assert {unit: row[1] for unit, row in rows.items()} == expected
        now = {unit for unit, row in rows.items() if row[1]}
        assert before <= now
        assert all(arms.setdefault(unit, rows[unit][2]) == rows[unit][2] for unit in now)
        before, taken[share] = now, len(now)
    assert taken["1"] == len(COMPOSED)


def test_two_experiments_of_a_layer_share_nobody(spark, customers):
    parts = ["start: 0, end: 1/3", "start: 1/3, end: 1"]
    sides = [
        takes_part_sql(
            read(f"part{i}", {"control": "1/2", "mail": "1/2"}, f"layer: {{name: l, {part}}}"),
            dialect="spark",
            column=COLUMN,
        )
        for i, part in enumerate(parts)
    ]
    sql = f"select {quoted(COLUMN)}, {sides[0]}, {sides[1]} from customers"
    rows = found_in(spark, f"{sql} where {quoted(COLUMN)} is not null").values()
    assert all(first != second for _, first, second in rows)


def test_a_layer_that_names_its_own_column_is_drawn_by_it(spark):
    plan = "exposure_share: 1/2, layer: {name: mailing, start: 0, end: 1/3, by: household}"
    experiment = read("beside", {"control": "1/2", "mail": "1/2"}, plan)
    homes = [f"h{i // 3}" for i in range(len(COMPOSED))]
    table = spark.createDataFrame(
        list(zip(COMPOSED, homes, strict=True)), "unit string, household string"
    )
    rows = table.selectExpr("unit", takes_part_sql(experiment, dialect="spark")).collect()
    expected = takes_part(COMPOSED, experiment, layer_ids=homes).tolist()
    assert dict(map(tuple, rows)) == dict(zip(COMPOSED, expected, strict=True))
    assert any(expected)


def test_a_missing_id_has_no_arm(spark, customers):
    arm = arm_sql(EXPERIMENTS[1], dialect="spark", column=COLUMN)
    rows = spark.sql(f"select {arm} from customers where {quoted(COLUMN)} is null").collect()
    assert [tuple(row) for row in rows] == [(None,)]


def test_another_salt_would_give_other_arms(spark, customers):
    """The wrong variant, so that the comparison above is known to be able to fail."""
    experiment = EXPERIMENTS[1]
    sql = query(experiment, None, "spark", COLUMN).replace("thirds:arm:1:", "thirds:arm:2:")
    expected = {row[0]: row for row in in_python(experiment, None)}
    found = found_in(spark, sql)
    assert sum(found[unit] != expected[unit] for unit in COMPOSED) > len(COMPOSED) / 2
