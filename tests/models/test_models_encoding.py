"""Features become the same numbers at training and at scoring, or are refused by name."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from uplift.errors import DataError
from uplift.models.encoding import MAX_LEVELS, Encoder


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "spend": [10.0, None, 30.0, 5.0],
            "visits": pd.array([1, None, 3, 4], dtype="Int64"),
            "member": [True, False, True, True],
            "channel": ["web", "phone", None, "web"],
            "size": pd.Categorical(["S", "L", "S", None], categories=["S", "M", "L"]),
        }
    )


def test_numbers_stay_numbers_and_levels_become_codes(table):
    encoder = Encoder.fit(table)
    expected = [
        [10.0, 1.0, 1.0, 1.0, 1.0],
        [np.nan, np.nan, 0.0, 0.0, 0.0],
        [30.0, 3.0, 1.0, np.nan, 1.0],
        [5.0, 4.0, 1.0, 1.0, np.nan],
    ]
    np.testing.assert_array_equal(encoder.encode(table), expected)
    assert encoder.categorical == [3, 4]


def test_order_of_columns_and_extra_columns_do_not_matter(table):
    encoder = Encoder.fit(table)
    other = table[table.columns[::-1]].assign(later="x")
    np.testing.assert_array_equal(encoder.encode(other), encoder.encode(table))


def test_a_polars_frame_encodes_like_a_pandas_frame(table):
    plain = table.drop(columns=["size"])
    encoder = Encoder.fit(plain)
    np.testing.assert_array_equal(encoder.encode(pl.from_pandas(plain)), encoder.encode(plain))


def test_a_category_column_may_come_back_as_text(table):
    encoder = Encoder.fit(table)
    as_text = table.assign(size=["S", "L", "S", None])
    np.testing.assert_array_equal(encoder.encode(as_text), encoder.encode(table))


def test_an_unseen_level_is_missing_and_counted(table):
    encoder = Encoder.fit(table)
    new = table.assign(channel=["shop", "web", "web", None])
    assert np.isnan(encoder.encode(new)[0, 3])
    (check,) = encoder.unseen(new)
    assert (check.code, check.value, check.blocking) == ("CATEGORY_UNSEEN", 0.25, False)
    assert encoder.unseen(table) == ()


def test_constant_and_empty_columns_are_left_out_with_a_notice(table):
    encoder = Encoder.fit(table.assign(country="DE", nothing=np.nan, empty=None))
    assert encoder.names == tuple(table.columns)
    assert [(n.code, n.value) for n in encoder.notices] == [
        ("FEATURE_EMPTY", "country"),
        ("FEATURE_EMPTY", "nothing"),
        ("FEATURE_EMPTY", "empty"),
    ]


def test_one_value_that_is_sometimes_missing_is_kept():
    assert Encoder.fit(pd.DataFrame({"opened": [1.0, None, 1.0]})).names == ("opened",)


def test_rare_levels_of_a_wide_category_are_pooled_as_missing():
    levels = [f"v{i}" for i in range(10_000)]
    column = pd.DataFrame({"shop": levels[:600] + ["v0"] * 5})
    encoder = Encoder.fit(column)
    assert [n.code for n in encoder.notices] == ["CATEGORY_MANY"]
    assert len(encoder.features[0].levels) == MAX_LEVELS
    assert "v0" in encoder.features[0].levels


def test_integers_that_lose_digits_are_noticed():
    encoder = Encoder.fit(pd.DataFrame({"id": [2**60, 2**60 + 1, 5]}))
    assert [n.code for n in encoder.notices] == ["FEATURE_PRECISION"]


def test_names_with_brackets_quotes_and_letters_of_any_script_are_kept():
    names = ("a[0]", '{"b": 1}', "c,d", "größe", "")
    frame = pd.DataFrame(np.arange(10.0).reshape(2, 5), columns=list(names))
    assert Encoder.fit(frame).names == names


def test_the_encoder_survives_as_plain_values(table):
    encoder = Encoder.fit(table)
    again = Encoder.from_dict(encoder.to_dict())
    np.testing.assert_array_equal(again.encode(table), encoder.encode(table))


WRONG = {
    "FEATURE_DATETIME": [
        pd.to_datetime(["2024-01-01", "2024-01-02"]),
        pd.Series([datetime.date(2024, 1, 1), None], dtype=object),
        pd.to_timedelta([1, 2], unit="D"),
    ],
    "FEATURE_MIXED": [pd.Series([1, "1"], dtype=object), pd.Series(["a", 2.5], dtype=object)],
    "FEATURE_NOT_FINITE": [pd.Series([1.0, np.inf]), pd.Series([-np.inf, 2.0])],
    "FEATURE_DTYPE": [pd.Series([1j, 2.0])],
}


@pytest.mark.parametrize(
    ("code", "column"), [(code, column) for code, found in WRONG.items() for column in found]
)
def test_what_cannot_be_a_feature_is_refused_by_name(code, column):
    frame = pd.DataFrame({"good": [1.0, 2.0]}).assign(bad=pd.Series(column).to_numpy())
    if column.dtype == object:
        frame["bad"] = column.to_numpy(dtype=object)
    with pytest.raises(DataError, match="bad") as caught:
        Encoder.fit(frame)
    assert caught.value.code == code
    assert caught.value.column == "bad"


def test_a_name_that_is_there_twice_is_refused():
    frame = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=["a", "a"])
    with pytest.raises(DataError, match="'a' is there twice"):
        Encoder.fit(frame)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"spend": ["10", "x", "3", "4"]}, "FEATURE_DTYPE"),
        ({"channel": [1, 2, 3, 4]}, "FEATURE_DTYPE"),
        ({"spend": [1.0, 2.0, np.inf, 4.0]}, "FEATURE_NOT_FINITE"),
    ],
)
def test_a_column_of_another_type_is_refused_at_scoring(table, change, code):
    encoder = Encoder.fit(table)
    with pytest.raises(DataError, match=next(iter(change))) as caught:
        encoder.encode(table.assign(**change))
    assert caught.value.code == code


def test_a_missing_column_is_named_at_scoring(table):
    encoder = Encoder.fit(table)
    with pytest.raises(DataError, match="visits") as caught:
        encoder.encode(table.drop(columns="visits"))
    assert (caught.value.code, caught.value.column) == ("FEATURE_MISSING", "visits")


def test_no_rows_and_no_informative_column_are_refused(table):
    with pytest.raises(DataError) as caught:
        Encoder.fit(table.iloc[:0])
    assert caught.value.code == "EMPTY_INPUT"
    with pytest.raises(DataError) as caught:
        Encoder.fit(pd.DataFrame({"a": [1, 1]}))
    assert caught.value.code == "FEATURE_NONE"


def test_no_rows_to_score_give_an_empty_matrix(table):
    assert Encoder.fit(table).encode(table.iloc[:0]).shape == (0, 5)
