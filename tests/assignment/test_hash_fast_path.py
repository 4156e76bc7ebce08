"""The compiled draw equals the plain one, whatever holds the ids and in whatever alphabet."""

import hashlib
import itertools

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uplift.assignment.hashing import FEW_IDS, hash_units, hash_units_plain
from uplift.assignment.text_blocks import BLOCK_ROWS
from uplift.errors import DataError

ALPHABETS = ["a", "é", "e\u0301", "客", "🛒", "ㄱ", "\u1100\u1161", "\u212b", "ﬁ"]
MANY = [f"c{i:07d}" for i in range(FEW_IDS + 1)]


def compiled(units, salt):
    """The values of `units` by the compiled path, which takes over from FEW_IDS on."""
    return hash_units(pa.array([*units, *MANY]), salt=salt)[: len(units)]


@pytest.mark.parametrize("salt", ["", "s", "spring:arm:1", "x" * 54, "x" * 55, "x" * 63, "x" * 200])
def test_ids_of_every_length_hash_as_the_standard_library_hashes_them(salt):
    units = ["7" * n for n in range(200)] + [letter * 40 for letter in ALPHABETS]
    assert compiled(units, salt).tolist() == hash_units_plain(units, salt=salt).tolist()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=80), max_size=20), st.text(max_size=10))
def test_any_text_hashes_as_the_standard_library_hashes_it(units, salt):
    assert compiled(units, salt).tolist() == hash_units_plain(units, salt=salt).tolist()


def test_the_plain_draw_is_md5_of_salt_and_id():
    digest = hashlib.md5("s:José".encode()).hexdigest()
    assert hash_units_plain(["Jose\u0301"], salt="s").tolist() == [int(digest[:16], 16)]


def test_an_id_that_begins_with_a_combining_mark_is_not_composed_with_the_one_before():
    units = ["e", "\u0301x", "A", "\u030a"]
    assert compiled(units, "s").tolist() == hash_units_plain(units, salt="s").tolist()


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "generator": iter,
    "numpy objects": lambda units: np.array(units, dtype=object),
    "numpy text": lambda units: np.array(units, dtype=np.str_),
    "pandas": lambda units: pd.Series(units, dtype="str"),
    "pandas, every second": lambda units: pd.Series(
        list(itertools.chain.from_iterable((unit, "x") for unit in units)), dtype="str"
    )[::2],
    "pandas objects": lambda units: pd.Series(units, dtype=object),
    "pandas categories": lambda units: pd.Series(units, dtype="category"),
    "pandas index": lambda units: pd.Index(units),
    "polars": pl.Series,
    "arrow string": lambda units: pa.array(units, pa.string()),
    "arrow large string": lambda units: pa.array(units, pa.large_string()),
    "arrow view": lambda units: pa.array(units, pa.string_view()),
    "arrow dictionary": lambda units: pa.array(units).dictionary_encode(),
    "arrow slice": lambda units: pa.array(["before", *units, "after"]).slice(1, len(units)),
    "arrow chunks": lambda units: pa.chunked_array([units[:3], [], units[3:]], type=pa.string()),
}


@pytest.mark.parametrize("size", [0, 5, len(MANY) + len(ALPHABETS)])
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_values_do_not_depend_on_what_holds_the_ids(container, size):
    units = [*ALPHABETS, *MANY][:size]
    expected = hash_units_plain(units, salt="s")
    values = hash_units(CONTAINERS[container](units), salt="s")
    assert values.dtype == np.uint64
    assert values.tolist() == expected.tolist()


def test_the_values_do_not_depend_on_blocks_and_threads():
    units = [f"u{i}" for i in range(2 * BLOCK_ROWS + 17)]
    units[BLOCK_ROWS + 1] = "Jose\u0301"
    expected = hash_units_plain(units, salt="s")
    for given_units in (units, pa.array(units)):
        for n_threads in (1, 2, 5):
            assert (hash_units(given_units, salt="s", n_threads=n_threads) == expected).all()


@pytest.mark.parametrize("more", [[], MANY])
@pytest.mark.parametrize(
    ("wrong", "code"), [(None, "ID_MISSING"), (7, "ID_NOT_TEXT"), ("\ud800", "ID_NOT_TEXT")]
)
def test_what_is_not_text_is_refused_in_few_and_in_many(more, wrong, code):
    with pytest.raises(DataError) as error:
        hash_units(["a", wrong, *more], salt="s")
    assert error.value.code == code


def test_a_missing_id_in_a_column_is_refused():
    with pytest.raises(DataError, match="1 are missing") as error:
        hash_units(pd.Series([*MANY, None], dtype="str"), salt="s")
    assert error.value.code == "ID_MISSING"
    with pytest.raises(DataError) as error:
        hash_units(pd.Series([1.0, 2.0]), salt="s")
    assert error.value.code == "ID_NOT_TEXT"
