"""Every engine gives the numbers of a plain pandas loop, to 1e-9 of a standard deviation."""

import contextlib
import math

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pytest
from sqlalchemy import create_engine

from uplift.aggregate import (
    PostgresTable,
    above,
    aggregate,
    capped,
    combined,
    filled,
    is_missing,
    moments_query,
)
from uplift.errors import DataError, DefinitionError
from uplift.inference.moments import pairs_of

PLAIN = ["spend", "bought", "items", "kelvin"]
COMPUTED = [
    capped("spend", 20.0),
    above("spend", 5.0, name="large order"),
    filled("before", 3.5),
    is_missing("before"),
    combined({"spend": 0.3, "items": -1.25}, name="profit"),
]
COLUMNS = [*PLAIN, *COMPUTED]
NAMES = [*PLAIN, *(expression.name for expression in COMPUTED)]
COVARIANCES = [("spend", "items"), ("kelvin", "spend"), ("before filled", "spend capped at 20")]
SKEWED = ["spend", "spend capped at 20", "kelvin"]
BY = ("arm", "segment")


def frame(n=2_000, seed=1):
    rng = np.random.default_rng(seed)
    items = rng.poisson(2, n)
    return pd.DataFrame(
        {
            "arm": rng.choice(["control", "été", "post"], n, p=[0.2, 0.5, 0.3]),
            "segment": rng.choice([1, 2, None], n),
            "spend": np.round(items * rng.lognormal(2, 1, n), 2),
            "bought": items > 0,
            "items": items,
            "kelvin": 1e6 + rng.normal(size=n),
            "before": np.where(rng.uniform(size=n) < 0.3, np.nan, rng.lognormal(size=n)),
        }
    ).astype({"segment": "Int64"})


def with_a_far_cell(data):
    """Spend of those without a segment at ten million, give or take a cent."""
    away = 1e7 + np.random.default_rng(3).normal(0, 1e-2, len(data))
    return data.assign(spend=data["spend"].mask(data["segment"].isna(), pd.Series(away)))


def by_hand(rows):
    """Count, means, co-moments and cubes of plain Python floats, exactly added up."""
    x = pd.DataFrame({name: rows[name].astype(float) for name in PLAIN})
    x["spend capped at 20"] = [min(v, 20.0) for v in x["spend"]]
    x["large order"] = [1.0 if v > 5 else 0.0 for v in x["spend"]]
    x["before filled"] = rows["before"].fillna(3.5)
    x["before is missing"] = rows["before"].isna().astype(float)
    x["profit"] = 0.3 * x["spend"] - 1.25 * x["items"]
    mean = {name: math.fsum(x[name]) / len(x) for name in x}
    away = {name: x[name] - mean[name] for name in x}
    away = {name: d - math.fsum(d) / len(d) for name, d in away.items()}  # the mean was rounded
    both = {(a, a) for a in x} | {tuple(pair) for pair in COVARIANCES}
    comoment = {(a, b): math.fsum(away[a] * away[b]) for a, b in both}
    return len(x), mean, comoment, {name: math.fsum(away[name] ** 3) for name in SKEWED}


def assert_by_hand(found, data):
    keys = [
        (arm, None if pd.isna(segment) else segment)
        for arm, segment in data.groupby(list(BY), dropna=False).groups
    ]
    assert set(found.keys) == set(keys)
    for key, cell in found.cells():
        segment = data["segment"]
        mine = segment.isna() if key["segment"] is None else segment == key["segment"]
        count, mean, comoment, cubes = by_hand(
            data[(data["arm"] == key["arm"]) & mine.fillna(False)]
        )
        assert cell.count == count
        scale = {name: math.sqrt(comoment[name, name] / count) for name in NAMES}
        for name in NAMES:
            assert cell.mean_of(name) == pytest.approx(
                mean[name], abs=1e-9 * scale[name], rel=1e-15
            )
        for (a, b), value in comoment.items():
            size = count / max(count - 1, 1)
            near = 1e-9 * scale[a] * scale[b] * size
            assert cell.covariance(a, b) == pytest.approx(value / (count - 1), abs=near)
        for name, value in cubes.items():
            near = 1e-9 * (scale[name] ** 3 + abs(value / count))
            assert cell.third(name) == pytest.approx(value / count, abs=near)


def collected(table, **options):
    return aggregate(
        table, by=BY, columns=COLUMNS, covariances=COVARIANCES, skewed=SKEWED, **options
    )


@contextlib.contextmanager
def in_postgres(url, data, name="outcomes"):
    types = {"O": "text", "i": "bigint", "I": "bigint", "b": "boolean", "f": "double precision"}
    columns = ", ".join(f'"{c}" {types[getattr(data[c].dtype, "kind", "O")]}' for c in data)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'create table "{name}" ({columns})')
        with connection.cursor() as cursor, cursor.copy(f'copy "{name}" from stdin') as copy:
            for row in data.itertuples(index=False):
                copy.write_row([None if value is pd.NA else value for value in row])
        yield connection


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "relation", "parquet", "csv"])
def test_frames_and_files_give_the_numbers_of_a_plain_loop(kind, tmp_path):
    data = frame()
    if kind == "parquet":
        data.to_parquet(tmp_path / "t.parquet")
    if kind == "csv":
        data.to_csv(tmp_path / "t.csv", index=False)
    table = {
        "pandas": lambda: data,
        "polars": lambda: pl.from_pandas(data),
        "arrow": lambda: pa.Table.from_pandas(data),
        "relation": lambda: duckdb.connect().from_arrow(pa.Table.from_pandas(data)),
        "parquet": lambda: tmp_path / "t.parquet",
        "csv": lambda: tmp_path / "t.csv",
    }[kind]()
    assert_by_hand(collected(table), data)


@pytest.mark.parametrize("address", ["url", "psycopg", "sqlalchemy"])
def test_postgresql_gives_the_numbers_of_a_plain_loop(address, postgres_url):
    data = frame()
    with in_postgres(postgres_url, data) as connection:
        if address == "url":
            found = collected(PostgresTable(postgres_url, "outcomes"))
        elif address == "psycopg":
            found = collected(PostgresTable(connection, "outcomes", schema="public"))
        else:
            engine = create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"))
            with engine.connect() as alchemy:
                found = collected(PostgresTable(alchemy, "outcomes"))
            engine.dispose()
    assert_by_hand(found, data)
    assert 'FROM "' in found.sql
    assert "double precision" in found.sql


def test_postgresql_reads_a_far_cell_again_and_can_join_by_hashing(postgres_url):
    data = with_a_far_cell(frame(600))
    with in_postgres(postgres_url, data) as connection:
        found = collected(PostgresTable(postgres_url, "outcomes"))
        query = moments_query(BY, ["spend"], dialect="postgresql", table="outcomes", exact=True)
        connection.execute("set enable_mergejoin = off; set enable_nestloop = off")
        plan = "\n".join(row[0] for row in connection.execute(f"explain {query}"))
    assert {"spend", "profit"} <= set(found.reread)
    assert_by_hand(found, data)
    assert "Hash Join" in plan


@pytest.mark.parametrize(
    ("value", "code", "match"),
    [
        ("NaN", "OUTCOME_MISSING", "in 2 row"),
        (None, "OUTCOME_MISSING", "in 2 row"),
        ("-Infinity", "OUTCOME_NOT_FINITE", "in 2 row"),
        ("1e200", "OUTCOME_NOT_FINITE", "larger unit"),
        ("1e170", "OUTCOME_NOT_FINITE", "larger unit"),
    ],
)
def test_postgresql_refuses_what_is_not_a_number(value, code, match, postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("create table t (arm text, x double precision)")
        connection.execute("insert into t values ('a', 1), ('a', %s), ('b', %s)", [value, value])
        for column in ("x", capped("x", 3.0)):
            if column == "x" or "larger" not in match:
                with pytest.raises(DataError, match=match) as caught:
                    aggregate(PostgresTable(connection, "t"), columns=[column])
                assert caught.value.code == code
                connection.rollback()


def test_postgresql_types_names_and_schemas_are_taken_as_they_are(postgres_url):
    name = 'spend"); drop table "100%s"; --'
    quoted = '"' + name.replace('"', '""') + '"'
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute('create schema "a.b"')
        connection.execute(
            f'create table "a.b"."100%s" (arm text, "Arm" int, {quoted} numeric(9, 2), s smallint,'
            " r real, note text)"
        )
        connection.execute("insert into \"a.b\".\"100%s\" values ('a', 7, 1.25, 3, 0.5, 'x')")
        connection.execute("insert into \"a.b\".\"100%s\" values ('a', 7, 2.25, 4, 1.5, 'y')")
        table = PostgresTable(connection, "100%s", schema="a.b")
        found = aggregate(table, by=("arm", "Arm"), columns=[name, "s", "r"]).cell(arm="a", Arm=7)
        assert (found.mean_of(name), found.mean_of("s"), found.mean_of("r")) == (1.75, 3.5, 1.0)
        with pytest.raises(DataError, match="is text") as caught:
            aggregate(table, columns=["note"])
        assert caught.value.code == "OUTCOME_NOT_NUMERIC"
        with pytest.raises(DataError, match="'ARM' is missing"):
            aggregate(table, by=("ARM",), columns=["s"])
        connection.execute("create table empty (arm text, x int)")
        with pytest.raises(DataError, match="no row"):
            aggregate(PostgresTable(postgres_url, "empty"), columns=["x"])


def test_a_postgresql_that_cannot_be_read_is_refused_without_its_password(postgres_url):
    with pytest.raises(DataError) as caught:
        aggregate(PostgresTable(postgres_url, "nothing"), columns=["x"])
    assert caught.value.code == "TABLE_MISSING"
    with pytest.raises(DataError) as caught:
        aggregate(PostgresTable("postgresql://u:geheim@127.0.0.1:1/d", "t"), columns=["x"])
    assert caught.value.code == "DATABASE_UNREACHABLE"
    assert "geheim" not in str(caught.value)
    with pytest.raises(DefinitionError) as caught:
        aggregate(PostgresTable("mysql://h/d", "t"), columns=["x"])
    assert caught.value.code == "DATABASE_UNSUPPORTED"
    with pytest.raises(DefinitionError, match="sqlite") as caught:
        aggregate(PostgresTable(create_engine("sqlite://"), "t"), columns=["x"])
    assert caught.value.code == "DATABASE_UNSUPPORTED"


@pytest.mark.parametrize("dialect", ["duckdb", "postgresql", "spark"])
def test_the_query_of_a_dialect_can_be_read_and_names_are_quoted_in_it(dialect):
    sql = moments_query(
        ["arm"],
        ["spend", capped("spend", 5)],
        pairs_of(["spend", "spend capped at 5"], [("spend", "spend capped at 5")]),
        dialect=dialect,
        table=("shop", 'out"`comes'),
        shifts=[0.1, 0.0],
        skewed=["spend"],
        truth_values=["bought"],
    )
    table = {"spark": '`shop`.`out"``comes`'}.get(dialect, '"shop"."out""`comes"')
    assert f"FROM {table}" in sql
    assert "'0.1'" in sql
    assert "sum(x0 * x1) AS p0_1" in sql
    assert "sum(x0 * x0 * x0) AS t0" in sql
    assert sql.count("sum(") == 6
    exact = moments_query(["arm"], ["spend"], dialect=dialect, exact=True)
    assert exact.startswith("WITH numbers")


def test_the_query_shown_is_the_query_that_runs():
    data = frame(300)
    found = aggregate(data, columns=["spend", "items"], covariances=[("spend", "items")])
    with duckdb.connect() as connection:
        rows = connection.register("source", pa.Table.from_pandas(data)).execute(found.sql)
        assert {row[0]: row[1] for row in rows.fetchall()} == {
            key["arm"]: cell.count for key, cell in found.cells()
        }


def test_an_unknown_dialect_a_cap_of_nothing_and_a_name_used_twice_are_refused():
    with pytest.raises(DefinitionError, match="no dialect 'oracle'"):
        moments_query(["arm"], ["spend"], dialect="oracle")
    for cap in (0, -1, np.inf, np.nan):
        with pytest.raises(DefinitionError, match="cap must be above 0"):
            capped("spend", cap)
    with pytest.raises(DefinitionError, match="no column"):
        combined({}, name="nothing")
    with pytest.raises(DefinitionError, match="finite"):
        above("spend", np.nan)
    with pytest.raises(DataError, match="asked for twice"):
        aggregate(frame(50), columns=["spend", capped("items", 3, name="spend")])


def test_expressions_can_be_nested():
    data = frame(400)
    profit = combined({"spend": 0.3, "items": -1.0}, name="profit")
    nested = capped(profit, 2.0, name="capped profit")
    found = aggregate(data, by=(), columns=[nested, above(nested, 1.0)]).cell()
    by_hand_too = np.clip(0.3 * data["spend"] - data["items"], -2, 2)
    assert found.mean_of("capped profit") == pytest.approx(by_hand_too.mean(), rel=1e-12)
    assert found.mean_of("capped profit above 1") == pytest.approx((by_hand_too > 1).mean())
    np.testing.assert_allclose(nested.values(data), by_hand_too)


def test_several_files_are_one_table(tmp_path):
    data = frame(900)
    first, second = data[:400], data[400:]
    first.to_parquet(tmp_path / "1.parquet")
    second.assign(items=second["items"].astype(float)).to_parquet(tmp_path / "2.parquet")
    assert_by_hand(collected([tmp_path / "1.parquet", str(tmp_path / "2.parquet")]), data)
    assert_by_hand(collected(tmp_path), data)  # the folder
    second.assign(arm=1).to_parquet(tmp_path / "3.parquet")
    with pytest.raises(DataError, match=r"3\.parquet") as caught:
        collected(tmp_path)
    assert caught.value.code == "COLUMN_TYPE"


def test_a_column_called_like_the_row_number_of_a_file_is_only_a_column(tmp_path):
    data = frame(900).rename(columns={"items": "file_row_number"})
    data.to_parquet(tmp_path / "t.parquet", row_group_size=100)
    found = aggregate(tmp_path / "t.parquet", by=(), columns=["file_row_number"]).cell()
    assert found.mean_of("file_row_number") == pytest.approx(data["file_row_number"].mean())


def test_categories_numbers_and_nan_make_cells():
    data = frame(300).assign(level=[1.5, np.nan, 2.5] * 100)
    data["arm"] = data["arm"].astype("category")
    table = pa.Table.from_pandas(data)
    nan = pa.array(data["level"].to_numpy(), from_pandas=False)
    table = table.set_column(table.column_names.index("level"), "level", nan)
    found = aggregate(table, by=("level",), columns=["spend"])
    assert found.count.tolist() == [100, 100, 100]
    assert math.isnan(found.keys[2][0])
    assert aggregate(table, columns=["spend"]).keys == (("control",), ("post",), ("été",))
