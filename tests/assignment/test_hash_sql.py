"""SQL engines give each unit the arm, the slot and the place in the layer that Python gives it."""

import re

import duckdb
import pandas as pd
import psycopg
import pytest

from uplift.assignment.hashing import (
    draw_arms,
    draw_salt,
    exact_shares,
    hash_units,
    slots,
    takes_part,
)
from uplift.assignment.sql import SYNTAX, arm_sql, slot_sql, takes_part_sql
from uplift.errors import DefinitionError
from uplift.experiment import experiment_from
from uplift.strict_yaml import parse_yaml

TEXT = """
id: {name}
title: T
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {{description: All}}
arms:
{arms}
assignment: {{{plan}}}
metrics:
  primary:
    metric: {{name: spend, version: 1, title: S,
             column: spend, unit: EUR, window_days: 7, owner: a}}
schedule:
  starts_at: 2017-07-03T08:00:00
  timezone: Europe/Paris
  response_days: 7
  waves:
    - {{name: first, starts_at: 2017-07-03T08:00:00}}
    - {{name: again, starts_at: 2017-07-10T08:00:00, draw: redrawn}}
analysis: {{decision_rule: Scale what is proven.}}
money: {{currency: EUR, value: spend, margin_rate: 0.3}}
"""


def read(name, shares, plan=""):
    arms = "\n".join(
        f"  - {{name: {arm}, share: {share}, unit_cost: 0.1}}" for arm, share in shares.items()
    )
    return experiment_from(parse_yaml(TEXT.format(name=name, arms=arms, plan=plan)))


COLUMN = 'the "unit"'
EXPERIMENTS = [
    read("halves", {"control": "1/2", "mail": "1/2"}),
    read("thirds", {"control": "1/3", "mail": "1/3", "push": "1/3"}, "exposure_share: 1/7"),
    read("grown", {"control": "1/10", "mail": "8/10", "push": "1/10"}, "salt: other"),
    read(
        "many",
        {"control": "0.05", "a": "0.3", "b": "0.3", "c": "0.2", "d": "0.15"},
        "exposure_share: 0.9, layer: {name: mailing, start: 1/3, end: 0.9}",
    ),
]
UNITS = [
    *("1", "00123", "c0000001", "a b", "x:y", "o'neil", 'qu"ote', "back\\slash", "%s", "José"),
    *(
        "Jose\u0301",
        "Ωmega",
        "\u2126mega",
        "客户7",
        "клиент-9",
        "مشتري",
        "🛒42",
        "한",
        "\u1112\u1161\u11ab",
    ),
    *(f"{i}@shop.example" for i in range(3_000)),
]


def in_python(experiment, wave):
    values = hash_units(UNITS, salt=draw_salt(experiment, wave=wave))
    drawn = draw_arms(values, exact_shares(experiment))
    arms = [experiment.arm_names[i] for i in drawn]
    taken = takes_part(UNITS, experiment)
    return list(zip(UNITS, arms, taken.tolist(), slots(values).tolist(), strict=True))


def query(experiment, wave, dialect, column):
    options = {"dialect": dialect, "column": column}
    arm = arm_sql(experiment, wave=wave, **options)
    taken = takes_part_sql(experiment, **options)
    slot = slot_sql(experiment, wave=wave, **options)
    name = SYNTAX[dialect].name(column)
    return f"select {name}, {arm}, {taken}, {slot} from customers where {name} is not null"


@pytest.fixture(scope="module")
def duck():
    with duckdb.connect() as connection:
        frame = pd.DataFrame({COLUMN: [*UNITS, None]})  # noqa: F841  read by DuckDB
        connection.execute("create table customers as select * from frame")
        yield connection


@pytest.mark.parametrize("wave", [None, "first", "again"])
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.id)
def test_duckdb_draws_what_python_draws(duck, experiment, wave):
    found = duck.execute(query(experiment, wave, "duckdb", COLUMN)).fetchall()
    assert found == in_python(experiment, wave)


def test_postgresql_draws_what_python_draws(postgres_url):
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        connection.execute('create table customers ("the ""unit""" text)')
        with connection.cursor() as cursor:
            cursor.executemany("insert into customers values (%s)", [(unit,) for unit in UNITS])
        for experiment in EXPERIMENTS:
            for wave in (None, "first", "again"):
                sql = query(experiment, wave, "postgresql", COLUMN)
                assert connection.execute(sql).fetchall() == in_python(experiment, wave)


def test_a_layer_that_names_its_own_column_is_drawn_by_it(duck):
    plan = "exposure_share: 1/2, layer: {name: mailing, start: 0, end: 1/3, by: household}"
    experiment = read("beside", {"control": "1/2", "mail": "1/2"}, plan)
    homes = [f"h{i // 3}" for i in range(len(UNITS))]
    frame = pd.DataFrame({"unit": UNITS, "household": homes})  # noqa: F841  read by DuckDB
    found = duck.sql(f"select {takes_part_sql(experiment)} from frame").fetchall()
    taken = takes_part(UNITS, experiment, layer_ids=homes)
    assert [one for (one,) in found] == taken.tolist()
    assert taken.any()
    with pytest.raises(DefinitionError, match="drawn by household") as error:
        takes_part(UNITS, experiment)
    assert error.value.code == "LAYER_IDS_MISSING"


def test_a_missing_id_has_no_arm(duck):
    arm = arm_sql(EXPERIMENTS[1], column=COLUMN)
    sql = f'select {arm} from customers where "the ""unit""" is null'
    assert duck.execute(sql).fetchall() == [(None,)]


def test_without_composing_the_ids_two_spellings_would_get_two_arms(duck):
    """The wrong variant: shown so that the tests above are known to be able to fail."""
    experiment = EXPERIMENTS[1]
    sql = query(experiment, None, "duckdb", COLUMN).replace("nfc_normalize", "")
    assert duck.execute(sql).fetchall() != in_python(experiment, None)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.id)
def test_spark_text_is_duckdb_s_with_spark_s_quotes_and_functions_only(experiment):
    duckdb_text = query(experiment, "again", "duckdb", "the unit")
    spark_text = query(experiment, "again", "spark", "the unit")
    assert set(re.findall(r"\b([a-z_]+)\(", spark_text)) <= {"substr", "md5", "conv", "mod"}
    assert '"' not in spark_text
    alike = duckdb_text.replace('nfc_normalize("the unit")', "`the unit`").replace('"', "`")
    alike = re.sub(r"CAST\('0x' \|\| (substr\(.*?, 1, 14\)) AS BIGINT\)",
                   r"CAST(conv(\1, 16, 10) AS BIGINT)", alike)  # fmt: skip
    assert spark_text == alike


@pytest.mark.parametrize(
    ("dialect", "quote"), [("duckdb", '"'), ("postgresql", '"'), ("spark", "`")]
)
def test_a_column_name_cannot_break_out_of_the_sql(dialect, quote):
    column = f"unit{quote} ; drop table customers; --"
    sql = arm_sql(EXPERIMENTS[0], dialect=dialect, column=column)
    assert f"{quote}unit{quote * 2} ; drop table customers; --{quote}" in sql
    assert sql.count(quote) % 2 == 0


def test_a_draw_that_is_not_by_hash_and_an_unknown_dialect_are_refused():
    stratified = read("strata", {"control": "1/2", "mail": "1/2"}, "method: stratified")
    with pytest.raises(DefinitionError, match="stored assignment") as error:
        arm_sql(stratified)
    assert error.value.code == "DRAW_NOT_HASH"
    with pytest.raises(DefinitionError, match="Choose one of duckdb") as error:
        arm_sql(EXPERIMENTS[0], dialect="oracle")
    assert error.value.code == "SQL_DIALECT"
