"""The door for tables: ids are text, faults have codes, every kind of frame comes in."""

import gzip

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from uplift.errors import DataError
from uplift.frames import (
    clean_units,
    frame_digest,
    personal_id_warning,
    read_frame,
    require_exportable,
    require_unique,
    trimmed,
    write_parquet,
)

ROWS = {"unit": ["00123", "123", "NA"], "spend": [1.5, 2.5, 0.0]}


def write(tmp_path, content: bytes):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        pl.DataFrame,
        lambda rows: pl.DataFrame(rows).lazy(),
        pa.table,
        lambda rows: duckdb.from_arrow(pa.table(rows)),
    ],
    ids=["pandas", "polars", "polars lazy", "arrow", "duckdb"],
)
def test_every_kind_of_frame_gives_the_same_table(make):
    frame = read_frame(make(ROWS), what="customers")
    assert frame["unit"].tolist() == ROWS["unit"]
    assert frame["spend"].tolist() == ROWS["spend"]


def test_a_frame_given_by_the_caller_is_not_changed():
    given = pd.DataFrame({"unit": [1, 2]})
    read_frame(given, what="customers")
    assert given["unit"].tolist() == [1, 2]


def test_ids_in_csv_stay_text_with_their_zeros_and_only_empty_is_missing(tmp_path):
    path = write(tmp_path, b"unit,spend\n00123,1\n123,2\nNA,3\nnull,4\nNone,5\nnan,6\n")
    units = read_frame(path, what="customers")["unit"].tolist()
    assert units == ["00123", "123", "NA", "null", "None", "nan"]


def test_large_ids_stay_distinct_and_the_empty_one_is_refused(tmp_path):
    path = write(tmp_path, b"unit,x\n9007199254740992,1\n,1\n9007199254740993,1\n")
    with pytest.raises(DataError, match="first: 2") as error:
        read_frame(path, what="customers")
    assert error.value.code == "ID_MISSING"
    path = write(tmp_path, b"unit,x\n9007199254740992,1\n9007199254740993,1\n")
    assert read_frame(path, what="customers")["unit"].nunique() == 2


def test_byte_order_mark_and_windows_line_ends_are_read_as_without(tmp_path):
    path = write(tmp_path, b"\xef\xbb\xbfunit,spend\r\na,1\r\nb,2\r\n")
    assert read_frame(path, what="customers")["unit"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "content",
    [b"unit,spend\na,1\nb\n", b"unit,spend\na\x00,1\n", b"unit,name\na,\xff\xfe\n"],
    ids=["ragged", "NUL", "not UTF-8"],
)
def test_malformed_csv_is_refused(tmp_path, content):
    with pytest.raises(DataError) as error:
        read_frame(write(tmp_path, content), what="customers")
    assert error.value.code == "CSV_MALFORMED"


@pytest.mark.parametrize(
    ("ids", "code"),
    [
        (["a", None], "ID_MISSING"),
        (["a", ""], "ID_MISSING"),
        (["a", "  "], "ID_MISSING"),
        (["a", "b\u200b"], "ID_CONTROL_CHAR"),
        (["a", "b\x00"], "ID_CONTROL_CHAR"),
        (["a", "\ufeffb"], "ID_CONTROL_CHAR"),
        (["a", "b\u202e"], "ID_CONTROL_CHAR"),
        (["a", " b"], "ID_WHITESPACE"),
        (["a", "b\u00a0"], "ID_WHITESPACE"),
        (["a", "b" * 10_000], "ID_TOO_LONG"),
        (["Jos\u00e9", "Jose\u0301"], "ID_UNICODE_FORM"),
        ([1.0, 2.0], "ID_NOT_TEXT"),
    ],
)
def test_a_bad_id_is_refused_with_its_code_and_row(ids, code):
    with pytest.raises(DataError) as error:
        clean_units(ids)
    assert error.value.code == code
    if code not in {"ID_NOT_TEXT", "ID_UNICODE_FORM"}:
        assert error.value.rows == (2,)


def test_ids_are_brought_to_one_unicode_form():
    assert clean_units(["Jose\u0301"]).tolist() == ["Jos\u00e9"]


def test_whole_numbers_are_ids_as_text():
    assert clean_units(np.array([7, 2**60 + 1])).tolist() == ["7", str(2**60 + 1)]


def test_ids_that_look_personal_are_warned_about():
    found = personal_id_warning(pd.Series(["ann@example.com", "+33 6 12 34 56 78", "u1"]))
    assert found is not None
    assert (found.code, found.value, found.blocking) == ("ID_LOOKS_PII", 2, False)
    assert personal_id_warning(pd.Series(["u1", "123456789"])) is None


def test_ids_that_a_spreadsheet_would_run_are_not_exported():
    with pytest.raises(DataError) as error:
        require_exportable(pd.Series(["u1", "=1+1", "@x"]), what="list")
    assert (error.value.code, error.value.count) == ("ID_FORMULA", 2)


def test_two_rows_for_one_unit_are_refused():
    with pytest.raises(DataError, match="Aggregate first") as error:
        require_unique(pd.Series(["a", "b", "a"]), what="outcomes")
    assert (error.value.code, error.value.rows) == ("ID_DUPLICATE", (3,))


def test_missing_and_double_columns_are_named():
    with pytest.raises(DataError, match="'spend' is missing") as error:
        read_frame(pd.DataFrame({"unit": ["a"]}), what="outcomes", require=["spend"])
    assert error.value.code == "COLUMN_MISSING"
    double = pd.DataFrame([["a", 1, 2]], columns=["unit", "x", "x"])
    with pytest.raises(DataError, match="'x' is there twice") as error:
        read_frame(double, what="outcomes")
    assert error.value.code == "FEATURE_DUPLICATE"


def test_what_is_no_table_is_refused():
    with pytest.raises(DataError, match="got int") as error:
        read_frame(3, what="customers")
    assert error.value.code == "NOT_A_TABLE"


def test_parquet_round_trip_is_exact_and_its_bytes_repeat(tmp_path):
    frame = pd.DataFrame(ROWS)
    first = write_parquet(frame, tmp_path / "a.parquet")
    assert write_parquet(frame, tmp_path / "b.parquet") == first
    assert frame_digest(read_frame(tmp_path / "a.parquet", what="t")) == frame_digest(
        read_frame(frame, what="t")
    )


def test_a_flipped_bit_in_parquet_is_found(tmp_path):
    path = tmp_path / "t.parquet"
    values = np.random.default_rng(0).normal(size=5_000)
    write_parquet(pd.DataFrame({"unit": np.arange(5_000).astype(str), "x": values}), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError) as error:
        read_frame(path, what="t")
    assert error.value.code in {"FILE_CHECKSUM", "FILE_UNREADABLE"}


@pytest.mark.parametrize("content", [b"", b"PAR1", b"hello"])
def test_what_is_no_parquet_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_frame(path, what="t")
    assert error.value.code == "FILE_UNREADABLE"
    assert "\n" not in str(error.value)


def test_a_compressed_csv_is_read_and_a_cut_one_refused(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"unit,x\n001,1\n"))
    assert read_frame(path, what="t")["unit"].tolist() == ["001"]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError) as error:
        read_frame(path, what="t")
    assert error.value.code == "FILE_UNREADABLE"


def test_a_missing_file_is_refused(tmp_path):
    for name in ("no.csv", "no.parquet"):
        with pytest.raises(DataError) as error:
            read_frame(tmp_path / name, what="t")
        assert error.value.code == "FILE_MISSING"


def ids_of(*values):
    return pd.Series(values, dtype=object)


@pytest.mark.parametrize("odd", [2.5, True, b"a", ("a",), np.float64(3)])
def test_among_objects_only_text_and_whole_numbers_are_ids(odd):
    with pytest.raises(DataError, match="neither text nor whole numbers") as error:
        clean_units(ids_of("a", odd))
    assert (error.value.code, error.value.rows) == ("ID_NOT_TEXT", (2,))
    assert clean_units(ids_of("a", 2**60 + 1)).tolist() == ["a", str(2**60 + 1)]


def test_half_a_character_is_no_text():
    with pytest.raises(DataError, match="half characters") as error:
        clean_units(ids_of("a", "b\udc80"))
    assert (error.value.code, error.value.rows) == ("ID_CONTROL_CHAR", (2,))


def test_a_table_without_rows_has_no_bad_ids():
    for empty in (pd.DataFrame({"unit": []}), pd.DataFrame({"unit": pd.Series(dtype=object)})):
        assert read_frame(empty, what="customers")["unit"].tolist() == []


def test_blanks_around_ids_are_removed_when_asked_for_and_counted():
    frame, (check,) = trimmed(pd.DataFrame({"unit": [" a", "b\u00a0", "c", " a"]}), what="list")
    assert frame["unit"].tolist() == ["a", "b", "c", "a"]
    assert (check.code, check.value, check.blocking) == ("ID_WHITESPACE", 3, False)
    assert trimmed(pd.DataFrame({"unit": ["a", "b"]}), what="list")[1] == ()


@pytest.mark.parametrize("ids", [["a", " a", "b"], ["a\u3000", " a", "b"]])
def test_two_customers_are_never_made_one_by_trimming(ids):
    with pytest.raises(DataError, match="nothing but blanks") as error:
        trimmed(pd.DataFrame({"unit": ids}), what="list")
    assert (error.value.code, error.value.rows) == ("ID_WHITESPACE", (1, 2))


def test_trimming_finds_what_else_is_wrong_with_ids():
    for ids, code in (([" ", "a"], "ID_MISSING"), ([" a\u200b", "b"], "ID_CONTROL_CHAR")):
        with pytest.raises(DataError) as error:
            trimmed(pd.DataFrame({"unit": ids}), what="list")
        assert error.value.code == code
