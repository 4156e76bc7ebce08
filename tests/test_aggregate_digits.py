"""One pass keeps the digits, whatever the values, the order, the parts and the threads are."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uplift.aggregate import (
    above,
    aggregate,
    capped,
    combined,
    embedded,
    filled,
    is_missing,
    one_pass,
)
from uplift.aggregate.one_pass import UNKNOWN, Look
from uplift.errors import DataError
from uplift.inference.moments import Moments, mean_difference

GROUP = 500  # rows of a row group in these tests


@pytest.fixture
def in_parts(monkeypatch):
    """Tables of a few thousand rows are cut as large ones are."""
    monkeypatch.setattr(embedded, "rows_per_part", lambda n_rows: GROUP)


@pytest.fixture
def unguarded(monkeypatch):
    """The plainly wrong variant: sums of squares as they are."""
    monkeypatch.setattr(one_pass, "lost_digits", lambda cells, sums, wanted: np.zeros((1, 1), bool))
    monkeypatch.setattr(one_pass, "shift_of", lambda look, whole: 0.0)


def saved(data, folder):
    path = folder / "t.parquet"
    data.to_parquet(path, row_group_size=GROUP)
    return path


def write_with_nan(data, path, *, nan_as_null):
    """A file of many row groups, with NaN as such or as nothing."""
    table = pa.Table.from_pandas(data, preserve_index=False)
    if not nan_as_null:
        spend = pa.array(data["spend"].to_numpy(), from_pandas=False)
        table = table.set_column(data.columns.get_loc("spend"), "spend", spend)
    pq.write_table(table, path, row_group_size=GROUP)


def exact_variance(values):
    values = [Fraction(float(value)) for value in values]
    middle = sum(values) / len(values)
    return float(sum((value - middle) ** 2 for value in values) / (len(values) - 1))


def offset_frame(n=3_000):
    """A spend of a billion, give or take a tenth of a cent; the effect is half of that."""
    rng = np.random.default_rng(3)
    arm = rng.choice(["control", "email"], n)
    spend = 1e9 + rng.normal(0, 1e-3, n) + 5e-4 * (arm == "email")
    return pd.DataFrame({"arm": arm, "spend": spend})


def errors_at_an_offset(table, data):
    found = aggregate(table, columns=["spend"])
    control, email = found.cell(arm="control"), found.cell(arm="email")
    away = data["spend"] - 1e9  # exact, as both are near
    means = away.groupby(data["arm"]).mean()
    effect = means["email"] - means["control"]
    variance = exact_variance(data.loc[data["arm"] == "control", "spend"])
    return (
        abs(mean_difference(email, control, "spend") / effect - 1),
        abs(control.variance("spend") / variance - 1),
        found.reread,
    )


@pytest.mark.parametrize("kind", ["frame", "parquet"])
def test_an_offset_of_a_billion_costs_no_second_query(kind, tmp_path, in_parts):
    data = offset_frame()
    table = data if kind == "frame" else saved(data, tmp_path)
    effect_error, variance_error, reread = errors_at_an_offset(table, data)
    assert effect_error < 1e-6
    assert variance_error < 1e-9
    assert reread == ()


def test_plain_sums_of_squares_would_have_lost_them(unguarded):
    data = offset_frame()
    effect_error, variance_error, _ = errors_at_an_offset(data, data)
    assert effect_error > 1e-6
    assert variance_error > 0.5


def test_a_cell_far_from_the_others_is_read_again_and_keeps_its_digits(tmp_path, in_parts):
    rng = np.random.default_rng(5)
    n = 4_000
    segment = np.where(rng.uniform(size=n) < 0.1, "few", "many")
    few = segment == "few"
    data = pd.DataFrame(
        {
            "arm": rng.choice(["control", "email"], n),
            "segment": segment,
            "spend": np.where(few, 1e7 + rng.normal(0, 1e-2, n), rng.lognormal(2, 1, n)),
            "visits": rng.poisson(3, n),
        }
    )
    found = aggregate(
        saved(data, tmp_path),
        by=("arm", "segment"),
        columns=["visits", "spend"],
        covariances=[("visits", "spend")],
        skewed=["spend"],
    )
    assert found.reread == ("spend",)
    for key, cell in found.cells():
        rows = data[(data["arm"] == key["arm"]) & (data["segment"] == key["segment"])]
        assert cell.variance("spend") == pytest.approx(exact_variance(rows["spend"]), rel=1e-9)
        expected = Moments.of(rows, ["visits", "spend"], [("visits", "spend")], ["spend"])
        scale = np.sqrt(expected.variance("spend") * expected.variance("visits"))
        assert cell.covariance("visits", "spend") == pytest.approx(
            expected.covariance("visits", "spend"), abs=1e-9 * scale
        )
        assert cell.skewness("spend") == pytest.approx(expected.skewness("spend"), abs=1e-7)
    assert found.cell(arm="email", segment="many").mean_of("visits") < 4


def test_without_the_guard_that_cell_has_no_digits_left(unguarded):
    data = pd.DataFrame(
        {
            "arm": ["email"] * 500 + ["control"] * 500,
            "spend": [*(1e7 + np.random.default_rng(1).normal(0, 1e-2, 500)), *range(500)],
        }
    )
    found = aggregate(data, columns=["spend"]).cell(arm="email").variance("spend")
    assert found != pytest.approx(exact_variance(data["spend"][:500]), rel=0.1)


def test_values_that_change_after_the_first_look_are_read_again():
    rng = np.random.default_rng(2)
    spend = np.concatenate([np.zeros(6_000), 1e9 + rng.normal(0, 1e-3, 2_000)])
    data = pd.DataFrame({"arm": np.where(spend > 0, "email", "control"), "spend": spend})
    found = aggregate(data, columns=["spend"])
    assert found.reread == ("spend",)
    variance = exact_variance(spend[6_000:])
    assert found.cell(arm="email").variance("spend") == pytest.approx(variance, rel=1e-9)
    assert found.cell(arm="control").variance("spend") == 0


def test_whole_numbers_and_zeros_in_small_cells_need_no_second_query():
    rng = np.random.default_rng(4)
    n = 4_000
    data = pd.DataFrame(
        {
            "arm": rng.choice(["control", "email"], n),
            "day": rng.integers(0, 700, n),  # cells of a few rows, many of them of equal values
            "bought": rng.uniform(size=n) < 0.7,
            "visits": 40 + rng.poisson(2, n),
            "spend": np.where(rng.uniform(size=n) < 0.03, rng.lognormal(3, 1, n), 0.0),
        }
    )
    found = aggregate(data, by=("arm", "day"), columns=["bought", "visits", "spend"])
    assert found.reread == ()
    expected = data.groupby(["arm", "day"])[["bought", "visits", "spend"]].var()
    for key, cell in found.cells():
        for name in ("bought", "visits", "spend"):
            if cell.count > 1:
                variance = float(expected.loc[(key["arm"], key["day"]), name])
                assert cell.variance(name) == pytest.approx(variance, rel=1e-9, abs=0)


@pytest.mark.parametrize("value", [0.05, 12.34, -1e9 / 7, 0.0])
def test_equal_values_have_no_variance_at_all(value, in_parts):
    data = pd.DataFrame({"arm": ["a", "b"] * 1_500, "cost": value, "bought": [1, 0] * 1_500})
    data.loc[data["arm"] == "b", "cost"] = 3 * value
    found = aggregate(data, columns=["cost", "bought"], skewed=["cost"])
    for _, cell in found.cells():
        assert cell.variance("cost") == 0
        assert cell.skewness("cost") == 0
        assert cell.variance("bought") == 0


@pytest.mark.parametrize("kind", ["frame", "parquet"])
def test_any_number_of_threads_gives_the_same_bits(kind, tmp_path, in_parts):
    rng = np.random.default_rng(6)
    data = pd.DataFrame({"arm": rng.choice(["a", "b"], 5_300), "spend": rng.lognormal(2, 2, 5_300)})
    table = data if kind == "frame" else saved(data, tmp_path)
    first, *others = (
        aggregate(table, columns=["spend", capped("spend", 50)], skewed=["spend"], threads=threads)
        for threads in (1, 2, 3, None)
    )
    for other in others:
        assert other.keys == first.keys
        for mine, theirs in zip(first.numbers.arrays(), other.numbers.arrays(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_file_is_cut_at_its_row_groups_into_all_its_rows(tmp_path):
    data = pd.DataFrame({"arm": "a", "x": np.arange(10_007.0)})
    pq.write_table(pa.Table.from_pandas(data), tmp_path / "t.parquet", row_group_size=999)
    metadata = pq.read_metadata(tmp_path / "t.parquet")
    assert metadata.num_row_groups == 11
    cuts = embedded.cuts_of(metadata, 2_000)
    assert cuts == [(0, 2996), (2997, 5993), (5994, 8990), (8991, 10006)]
    assert embedded.cuts_of(metadata, 20_000) == [(0, 10006)]


@pytest.mark.parametrize(
    ("bad", "code", "count"),
    [
        ({700: np.nan, 2_900: np.nan}, "OUTCOME_MISSING", 2),
        ({700: np.inf, 2_900: -np.inf, 2_901: -np.inf}, "OUTCOME_NOT_FINITE", 3),
        ({700: np.inf, 2_900: np.nan}, "OUTCOME_MISSING", 1),
    ],
)
@pytest.mark.parametrize("nan_as_null", [True, False])
def test_what_is_missing_or_infinite_is_counted_over_all_parts(
    bad, code, count, nan_as_null, tmp_path, in_parts
):
    data = offset_frame()
    for row, value in bad.items():
        data.loc[row, "spend"] = value
    write_with_nan(data, tmp_path / "t.parquet", nan_as_null=nan_as_null)
    with pytest.raises(DataError, match=f"in {count} row") as caught:
        aggregate(tmp_path / "t.parquet", columns=["spend", capped("spend", 9.0)])
    assert (caught.value.code, caught.value.count, caught.value.column) == (code, count, "spend")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["frame", "parquet"])
@pytest.mark.parametrize(
    "hidden", [capped("spend", 5.0), above("spend"), combined({"spend": 1.0}, name="s")]
)
def test_an_expression_hides_nothing_that_is_not_a_number(value, kind, hidden, tmp_path):
    data = offset_frame()
    data.loc[7, "spend"] = value
    # the file's least and greatest value know no NaN, so an engine may think that there is none
    write_with_nan(data, tmp_path / "t.parquet", nan_as_null=False)
    with pytest.raises(DataError, match="in 1 row") as caught:
        aggregate(data if kind == "frame" else tmp_path / "t.parquet", columns=[hidden])
    assert caught.value.column == hidden.name


def test_gaps_are_filled_in_a_file_that_holds_nan(tmp_path):
    data = offset_frame(100)
    data.loc[[7, 8], "spend"] = np.nan
    write_with_nan(data, tmp_path / "t.parquet", nan_as_null=False)
    columns = [filled("spend", 3.0, name="full"), is_missing("spend", name="gap")]
    found = aggregate(tmp_path / "t.parquet", by=(), columns=columns).cell()
    assert found.mean_of("gap") == pytest.approx(0.02)
    assert found.mean_of("full") == pytest.approx(data["spend"].fillna(3.0).mean())


def test_numbers_whose_squares_do_not_exist_are_refused():
    data = pd.DataFrame({"arm": "a", "x": [1e200, -1e200]})
    with pytest.raises(DataError, match="larger unit") as caught:
        aggregate(data, columns=["x"])
    assert caught.value.code == "OUTCOME_NOT_FINITE"


OF_ANY_VALUES = {
    "seed": st.integers(0, 2**32 - 1),
    "sizes": st.lists(st.integers(1, 60), min_size=1, max_size=5),
    "offset": st.sampled_from([0.0, 1.0, -37.5, 1e4, 1e9, -1e12]),
    "scale": st.sampled_from([0.0, 1e-3, 1.0, 250.0, 1e6]),
    "digits": st.sampled_from([0, 2, 17]),
}


@settings(max_examples=15, deadline=None)
@given(**OF_ANY_VALUES)
def test_cells_of_any_values_are_those_of_the_plain_two_passes(seed, sizes, offset, scale, digits):
    check_cells(seed, sizes, offset, scale, digits)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(**OF_ANY_VALUES)
def test_cells_of_many_more_values_are(seed, sizes, offset, scale, digits):
    check_cells(seed, sizes, offset, scale, digits)


def check_cells(seed, sizes, offset, scale, digits):
    rng = np.random.default_rng(seed)
    cell = np.repeat(np.arange(len(sizes)), sizes)
    middle = offset * rng.choice([0.0, 1.0, 3.0], len(sizes))[cell]
    data = pd.DataFrame(
        {"arm": cell, "x": np.round(middle + scale * rng.normal(size=len(cell)), digits)}
    )
    data["y"] = rng.poisson(1, len(cell)) * data["x"]
    found = aggregate(data, columns=["x", "y"], covariances=[("x", "y")], skewed=["y"])
    for key, one in found.cells():
        plain = Moments.of(data[cell == key["arm"]], ["x", "y"], [("x", "y")], ["y"])
        spread = np.sqrt([plain.comoment[plain.pairs.index((i, i))] for i in (0, 1)])
        assert one.count == plain.count
        away = np.abs((one.mean - plain.mean) + (one.rest - plain.rest))
        rounding = 1e-15 * data[["x", "y"]].abs().max().to_numpy()
        assert (away <= 1e-9 * spread + rounding).all()
        for k, (i, j) in enumerate(plain.pairs):
            near = 1e-9 * spread[i] * spread[j]
            assert one.comoment[k] == pytest.approx(plain.comoment[k], abs=near)
        near = 1e-7 * spread[1] ** 3
        assert one.cubes[0] == pytest.approx(plain.cubes[0], abs=near)


@pytest.mark.parametrize(
    ("look", "whole", "shift"),
    [
        (Look(2.0, 0.0, 300.0), False, 0.0),  # spend: 0 is near
        (Look(0.7, 0.0, 1.0), True, 1.0),  # whole numbers keep a whole shift
        (Look(12.34, 12.34, 12.34), False, 12.34),
        (Look(0.0, 0.0, 0.0), False, 0.0),
        (UNKNOWN, False, 0.0),
        (Look(np.inf, 0.0, np.inf), False, 0.0),
        (Look(1e308, 1e308, 1.1e308), False, 1e308),
        (Look(1.0, 1.0, 1.0 + 2**-52), False, 0.0),  # finer than a number can be
    ],
)
def test_a_shift_is_near_the_values_and_0_when_0_is(look, whole, shift):
    assert one_pass.shift_of(look, whole=whole) == pytest.approx(shift, rel=0.05)


def test_a_shift_has_few_binary_digits():
    shift = one_pass.shift_of(Look(45.123456789, 18.0, 90.0), whole=False)
    assert abs(shift - 45.123456789) < 12
    assert shift == int(shift)
