import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from uplift.aggregate import aggregate
from uplift.errors import DataError
from uplift.inference.moments import Moments, mean_difference

COLUMNS = ["spend", "bought", "items"]
COVARIANCES = [("spend", "items"), ("spend", "bought")]


def frame(seed=1, n=3_000, offset=0.0):
    rng = np.random.default_rng(seed)
    items = rng.poisson(2, n)
    return pd.DataFrame(
        {
            "arm": rng.choice(["control", "email", "post"], n, p=[0.2, 0.5, 0.3]),
            "segment": rng.choice(["new", "old", None], n),
            "spend": offset + items * rng.lognormal(size=n),
            "bought": items > 0,
            "items": items,
        }
    )


def same(found, expected, rel=1e-9):
    assert found.count == expected.count
    assert found.pairs == expected.pairs
    np.testing.assert_allclose(found.mean + found.rest, expected.mean + expected.rest, rtol=rel)
    np.testing.assert_allclose(found.comoment, expected.comoment, rtol=rel, atol=1e-9)


def by_pandas(data, **key):
    rows = data
    for name, value in key.items():
        rows = rows[rows[name].isna() if value is None else rows[name] == value]
    return Moments.of(rows, COLUMNS, COVARIANCES)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "relation", "parquet", "csv"])
def test_every_kind_of_table_gives_the_moments_of_pandas(kind, tmp_path):
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
        "csv": lambda: str(tmp_path / "t.csv"),
    }[kind]()
    found = aggregate(table, columns=COLUMNS, covariances=COVARIANCES)
    assert found.keys == (("control",), ("email",), ("post",))
    for key, cell in found.cells():
        same(cell, by_pandas(data, **key))


def test_cells_collapse_to_those_of_fewer_columns():
    data = frame()
    fine = aggregate(data, by=("arm", "segment"), columns=COLUMNS, covariances=COVARIANCES)
    assert len(fine.keys) == 9  # a missing segment is a segment of its own
    same(fine.cell(arm="post", segment=None), by_pandas(data, arm="post", segment=None))
    for key, cell in fine.collapse(["arm"]).cells():
        same(cell, by_pandas(data, **key))
    same(fine.collapse([]).cell(), by_pandas(data))
    same(aggregate(data, by=(), columns=COLUMNS, covariances=COVARIANCES).cell(), by_pandas(data))


def test_a_mean_of_a_billion_costs_no_digit():
    rng = np.random.default_rng(3)
    arm = np.repeat(["control", "email"], 20_000)
    spend = 1e9 + rng.normal(0, 1e-3, 40_000) + 5e-4 * (arm == "email")
    found = aggregate(pd.DataFrame({"arm": arm, "spend": spend}), columns=["spend"])
    control, email = found.cell(arm="control"), found.cell(arm="email")
    away = spend - 1e9  # exact, as both are near
    effect = away[arm == "email"].mean() - away[arm == "control"].mean()
    assert mean_difference(email, control, "spend") == pytest.approx(effect, rel=1e-6)
    variance = away[arm == "control"].var(ddof=1)
    assert control.variance("spend") == pytest.approx(variance, rel=1e-6)
    values = spend[arm == "control"]
    naive = np.mean(values**2) - values.mean() ** 2  # what sums of squares leave of it
    assert naive != pytest.approx(variance, rel=0.5)


def test_the_same_data_gives_the_same_bits():
    data = frame(n=50_000)
    first, second = (aggregate(data, columns=COLUMNS) for _ in range(2))
    np.testing.assert_array_equal(first.comoment, second.comoment)
    np.testing.assert_array_equal(first.mean, second.mean)


def test_the_query_is_one_and_can_be_read():
    found = aggregate(frame(), columns=["spend"])
    assert found.sql.count(";") == 0
    assert '"spend"' in found.sql
    assert "control" in found.table().text()


def test_a_column_named_like_code_is_only_a_name():
    name = 'spend"); DROP TABLE source; --'
    data = frame().rename(columns={"spend": name})
    found = aggregate(data, columns=[name])
    expected = Moments.of(data[data["arm"] == "post"], [name])
    assert found.cell(arm="post").mean_of(name) == pytest.approx(expected.mean_of(name))
    with pytest.raises(DataError, match="1\\) OR 1=1") as caught:
        aggregate(frame(), columns=["1) OR 1=1"])
    assert caught.value.code == "COLUMN_MISSING"


@pytest.mark.parametrize(
    ("value", "code"), [(np.nan, "OUTCOME_MISSING"), (-np.inf, "OUTCOME_NOT_FINITE")]
)
def test_a_value_that_is_not_a_number_is_refused_with_its_count(value, code):
    data = frame()
    data.loc[[3, 5], "spend"] = value
    with pytest.raises(DataError, match="2 row") as caught:
        aggregate(data, columns=COLUMNS)
    assert (caught.value.code, caught.value.count) == (code, 2)


@pytest.mark.parametrize(
    ("table", "code"),
    [
        (frame().assign(spend="12,50"), "OUTCOME_NOT_NUMERIC"),
        (frame().iloc[:0], "EMPTY_INPUT"),
        (frame().assign(SPEND=1), "FEATURE_DUPLICATE"),
        (frame().drop(columns="arm"), "COLUMN_MISSING"),
        (frame().assign(arm=[["a"]] * 3_000), "COLUMN_TYPE"),
        (
            pa.table({"arm": ["a"], "spend": pa.array(np.ones(1, np.float16))}),
            "OUTCOME_NOT_NUMERIC",
        ),
        (12, "NOT_A_TABLE"),
        ("nowhere.parquet", "FILE_MISSING"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(table, code):
    with pytest.raises(DataError) as caught:
        aggregate(table, columns=["spend"])
    assert caught.value.code == code


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_text("not parquet")
    with pytest.raises(DataError) as caught:
        aggregate(tmp_path / "t.parquet", columns=["spend"])
    assert caught.value.code == "FILE_UNREADABLE"


def test_a_cell_that_is_not_there_is_named():
    found = aggregate(frame(), columns=["spend"])
    with pytest.raises(DataError, match="control, email, post"):
        found.cell(arm="telephone")
    with pytest.raises(DataError, match="not kept by 'segment'"):
        found.collapse(["segment"])


def test_a_lazy_frame_is_read_and_one_name_needs_no_list():
    data = frame()
    found = aggregate(pl.from_pandas(data).lazy(), by="arm", columns="spend")
    assert found.cell(arm="post").count == (data["arm"] == "post").sum()
    with pytest.raises(DataError) as caught:
        aggregate(pl.from_pandas(data).lazy(), columns=["nothing"])
    assert caught.value.code == "COLUMN_MISSING"


@pytest.mark.parametrize("kind", ["frame", "relation"])
def test_units_can_be_counted_without_any_column(kind):
    data = frame()
    table = data if kind == "frame" else duckdb.connect().from_arrow(pa.Table.from_pandas(data))
    found = aggregate(table, by=["arm"], columns=[])
    assert dict(zip(found.keys, found.count, strict=True)) == {
        (arm,): n for arm, n in data["arm"].value_counts().items()
    }


def test_a_cell_of_nan_is_found_by_any_nan():
    table = pl.DataFrame({"level": [1.0, float("nan"), None], "x": [1.0, 2.0, 3.0]})
    found = aggregate(table, by=["level"], columns=["x"])
    assert found.cell(level=np.float64("nan")).mean_of("x") == 2.0
    assert found.cell(level=None).mean_of("x") == 3.0
    assert found.only(level=[float("nan"), None]).count.tolist() == [1, 1]
