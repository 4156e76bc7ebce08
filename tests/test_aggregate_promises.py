"""What moments promise, sentence by sentence, through every engine that the tests have."""

from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pytest

from uplift.aggregate import MomentsStore, PostgresTable, aggregate, embedded, postgres
from uplift.errors import DataError
from uplift.inference.moments import Moments, mean_difference

CELL = ["arm", "segment", "stratum", "day", "wave"]
ENGINES = ["pandas", "polars", "parquet", "csv", "postgresql"]


def frame(n=1_200, seed=1):
    """Two outcomes of a billion and of a few cents around it."""
    rng = np.random.default_rng(seed)
    arm = rng.choice(["control", "email"], n)
    return pd.DataFrame(
        {
            "arm": arm,
            "segment": rng.choice(["new", "old", None], n),
            "stratum": rng.choice(["nord", "süd"], n),
            "day": rng.integers(1, 4, n),
            "wave": rng.choice(["first", "second"], n),
            "spend": 1e9 + rng.normal(0, 1e-3, n) + 5e-4 * (arm == "email"),
            "visits": rng.poisson(2, n),
        }
    )


@pytest.fixture(params=ENGINES)
def engine(request, tmp_path):
    """A way to put a frame where an engine reads it."""
    kind = request.param
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else ""

    def put(data):
        if kind == "parquet":
            data.to_parquet(tmp_path / "t.parquet", row_group_size=500)
            return tmp_path / "t.parquet"
        if kind == "csv":
            data.to_csv(tmp_path / "t.csv", index=False)
            return tmp_path / "t.csv"
        if kind == "postgresql":
            return in_postgres(url, data)
        return data if kind == "pandas" else pl.from_pandas(data)

    return put


def in_postgres(url, data):
    kinds = {"i": "bigint", "f": "double precision"}
    columns = ", ".join(f"{c} {kinds.get(data[c].dtype.kind, 'text')}" for c in data)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create table t ({columns})")
        with connection.cursor() as cursor, cursor.copy("copy t from stdin") as copy:
            for row in data.astype(object).where(data.notna(), None).itertuples(index=False):
                copy.write_row(row)
    return PostgresTable(url, "t")


def exact(values):
    """Mean and sum of squares around it, in fractions."""
    values = [Fraction(float(value)) for value in values]
    middle = sum(values) / len(values)
    return middle, float(sum((value - middle) ** 2 for value in values))


def collected(table, by=CELL):
    return aggregate(table, by=by, columns=["spend", "visits"], covariances=[("spend", "visits")])


def assert_cells(found, data, by):
    groups = {
        tuple(None if pd.isna(value) else value for value in key): rows
        for key, rows in data.groupby(list(by), dropna=False)
    }
    assert set(found.keys) == set(groups)
    for key, cell in found.cells():
        rows = groups[tuple(key.values())]
        middle, square = exact(rows["spend"])
        assert cell.count == len(rows)
        i = cell.index("spend")
        both = Fraction(float(cell.mean[i])) + Fraction(float(cell.rest[i]))
        assert abs(float(both - middle)) <= 1e-9 * np.sqrt(square / len(rows)) + 1e-21
        assert cell.comoment[cell.pairs.index((i, i))] == pytest.approx(square, rel=1e-9, abs=0)
        away, seen = rows["spend"] - 1e9, rows["visits"]
        product = float(((away - away.mean()) * (seen - seen.mean())).sum())
        scale = np.sqrt(square * exact(seen)[1])
        assert cell.comoment[cell.pairs.index((0, 1))] == pytest.approx(product, abs=1e-9 * scale)


def test_moments_per_arm_segment_stratum_day_and_wave_from_every_engine(engine):
    data = frame()
    found = collected(engine(data))
    assert_cells(found, data, CELL)
    assert_cells(found.collapse(["arm", "day"]), data, ["arm", "day"])  # and put together


def test_an_offset_of_a_billion_loses_less_than_a_millionth_in_every_engine(engine):
    data = frame()
    found = collected(engine(data), by=["arm"])
    control, email = found.cell(arm="control"), found.cell(arm="email")
    means = {arm: exact(rows["spend"])[0] for arm, rows in data.groupby("arm")}
    effect = float(means["email"] - means["control"])
    assert mean_difference(email, control, "spend") == pytest.approx(effect, rel=1e-6)
    _, square = exact(data.loc[data["arm"] == "email", "spend"])
    variance = square / (email.count - 1)
    assert email.variance("spend") == pytest.approx(variance, rel=1e-6)


def test_covariances_are_held_only_where_they_are_declared(engine):
    found = aggregate(engine(frame(60)), by=["arm"], columns=["spend", "visits"])
    assert found.pairs == ((0, 0), (1, 1))
    assert "x0 * x1" not in found.sql
    with pytest.raises(DataError, match="was not collected") as caught:
        found.cell(arm="email").covariance("spend", "visits")
    assert caught.value.code == "COLUMN_MISSING"


def test_all_columns_of_all_cells_come_from_one_query(engine, monkeypatch):
    asked = []

    def listening(kind):
        answer = kind.rows

        def rows(self, sql, *, n_keys):
            asked.append(sql)
            return answer(self, sql, n_keys=n_keys)

        monkeypatch.setattr(kind, "rows", rows)

    listening(embedded.EmbeddedPart)
    listening(postgres.PostgresPart)
    found = collected(engine(frame()))
    whole = [sql for sql in asked if "LIMIT" not in sql]  # not the look at the first rows
    assert whole == [found.sql]


@pytest.mark.parametrize("seed", range(3))
def test_merging_in_any_order_and_any_grouping_is_the_pass_over_all_rows(seed):
    rng, data = np.random.default_rng(seed), frame(400, seed)
    parts = [
        Moments.of(rows, ["spend", "visits"], [("spend", "visits")], ["spend"])
        for _, rows in data.groupby(rng.integers(0, 9, len(data)))
    ]
    middle, square = exact(data["spend"])
    while len(parts) > 1:  # any two, again and again
        one, two = (parts.pop(int(rng.integers(len(parts)))) for _ in range(2))
        parts.append(one + two)
    assert parts[0].count == len(data)
    mean = Fraction(float(parts[0].mean[0])) + Fraction(float(parts[0].rest[0]))
    assert abs(float(mean - middle)) < 1e-12 * np.sqrt(square / len(data))
    assert parts[0].comoment[0] == pytest.approx(square, rel=1e-12, abs=0)


def test_days_from_every_engine_add_up_in_a_store_to_the_recompute(engine, tmp_path):
    data, store = frame(), MomentsStore(tmp_path / "kept.parquet")
    late = data.index % 50 == 0
    everything = collected(engine(data))
    for day in (3, 1, 2):
        mine = data[(data["day"] == day) & ~late]
        for _ in range(2):  # delivered twice
            store.put(collected(mine), batch=f"day {day}")
    store.put(collected(data[late]), batch="late")
    assert_cells(store.read(CELL), data, CELL)
    assert_cells(everything, data, CELL)
    np.testing.assert_allclose(
        store.read(["arm"]).comoment, everything.collapse(["arm"]).comoment, rtol=1e-9
    )


def test_decimals_with_gaps_and_quoted_names_come_as_they_are(tmp_path):
    names = ['money "net"', "{x} %s"]
    cents = pa.array([None, *range(1, 100)], pa.int64()).cast(pa.decimal128(20, 0))
    table = pa.table({"arm": ["a", "b"] * 50, names[0]: cents, names[1]: list(range(100))})
    with pytest.raises(DataError, match="missing in 1 row"):
        aggregate(table, columns=names)
    found = aggregate(table.slice(1), columns=names, covariances=[tuple(names)])
    assert found.cell(arm="b").mean_of(names[0]) == 50.0
    assert found.cell(arm="b").covariance(*names) == found.cell(arm="b").variance(names[1])
