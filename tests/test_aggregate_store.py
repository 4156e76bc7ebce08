"""Moments kept batch by batch are those of one pass over all rows."""

import datetime as dt
import multiprocessing
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uplift.aggregate import MomentsStore, aggregate
from uplift.aggregate.cells import Layout, MomentsTable, merged_cells
from uplift.errors import DataError, StateError
from uplift.files import file_digest
from uplift.inference.moments import CellMoments, Moments

COLUMNS, COVARIANCES, SKEWED = ["spend", "visits"], [("spend", "visits")], ["spend"]
BY = ("arm", "segment", "day")
FIRST_DAY = dt.date(2026, 3, 1)


def rows(seed, n=200, days=5):
    rng = np.random.default_rng(seed)
    visits = rng.poisson(2, n)
    return pd.DataFrame(
        {
            "arm": rng.choice(["control", "email"], n),
            "segment": rng.choice(["new", "old", None], n),
            "day": [FIRST_DAY + dt.timedelta(days=int(d)) for d in rng.integers(0, days, n)],
            "spend": 1e4 + visits * rng.lognormal(2, 1, n),
            "visits": visits,
        }
    )


def in_memory(data, by=BY):
    """Moments per cell by `Moments.of`, without any engine."""
    groups = data.groupby(list(by), dropna=False, sort=False) if by else [((), data)]
    keys, cells = [], []
    for key, part in groups:
        keys.append(tuple(None if value != value else value for value in key))
        cells.append(Moments.of(part, COLUMNS, COVARIANCES, SKEWED))
    numbers = CellMoments(
        np.array([cell.count for cell in cells]),
        *(np.stack([getattr(cell, f) for cell in cells]) for f in ("mean", "rest", "comoment")),
        np.stack([cell.cubes for cell in cells]),
    )
    one = cells[0]
    return merged_cells(Layout(tuple(by), one.columns, one.pairs, one.skewed), keys, numbers)


def collected(data, by=BY):
    return aggregate(data, by=by, columns=COLUMNS, covariances=COVARIANCES, skewed=SKEWED)


def assert_same(found, expected, rel=1e-9):
    assert found.keys == expected.keys
    np.testing.assert_array_equal(found.count, expected.count)
    mean, other = found.mean + found.rest, expected.mean + expected.rest
    np.testing.assert_allclose(mean, other, rtol=1e-14)
    own = [expected.pairs.index((i, i)) for i in (0, 1)]
    spread = np.sqrt(expected.comoment[:, own])
    scale = np.stack([spread[:, i] * spread[:, j] for i, j in expected.pairs], axis=1)
    assert (np.abs(found.comoment - expected.comoment) <= rel * scale + 1e-12).all()
    gap = np.abs(found.numbers.cubes - expected.numbers.cubes)
    assert (gap <= rel * spread[:, :1] ** 3 + 1e-9).all()


@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 10_000), n_batches=st.integers(1, 5))
def test_any_split_in_any_order_with_repeats_and_corrections_is_one_pass(
    data, seed, n_batches, tmp_path_factory
):
    store = MomentsStore(tmp_path_factory.mktemp("store") / "moments.parquet")
    everything = rows(seed, n=60)
    batch = np.random.default_rng(seed).integers(0, n_batches, len(everything))
    parts = {f"b{i}": everything[batch == i] for i in range(n_batches) if (batch == i).any()}
    wrong = rows(seed + 1, n=10)
    order = data.draw(st.permutations([*parts] * 2))
    corrected = data.draw(st.sets(st.sampled_from([*parts])))
    for name in corrected:  # arrived wrong first
        store.put(in_memory(wrong), batch=name)
    for name in order:  # each arrives twice
        store.put(in_memory(parts[name]), batch=name)
    assert set(store.batches()) == set(parts)
    assert_same(store.read(), in_memory(everything))
    assert_same(store.read(by=["arm"]), in_memory(everything, by=["arm"]))
    assert_same(store.read(by=[]), in_memory(everything, by=[]))


def test_days_late_rows_repeats_and_changes_as_they_come_from_files(tmp_path):
    store = MomentsStore(tmp_path / "kept" / "moments.parquet")
    first, late, other = rows(1), rows(2, n=9), rows(3)
    for name, data in (("monday", first), ("monday late", late), ("tuesday", other)):
        file = tmp_path / f"{name}.parquet"
        data.to_parquet(file)
        digest = file_digest(file)
        assert not store.holds(name, digest)
        assert store.put(collected(file), batch=name, digest=digest)
        assert store.holds(name, digest)
        assert not store.put(collected(file), batch=name, digest=digest)  # nothing new
    assert list(store.batches()) == ["monday", "monday late", "tuesday"]
    assert_same(store.read(), collected(pd.concat([first, late, other])))
    changed = other.assign(spend=other["spend"] + 1)
    assert store.put(collected(changed), batch="tuesday")
    assert_same(store.read(["arm"]), collected(pd.concat([first, late, changed]), by=["arm"]))
    assert store.remove("monday late")
    assert not store.remove("monday late")
    assert_same(store.read(["segment"]), collected(pd.concat([first, changed]), by=["segment"]))


def test_one_source_under_two_names_does_not_count_twice(tmp_path):
    store = MomentsStore(tmp_path / "m.parquet")
    assert store.put(collected(rows(1)), batch="monday", digest="d1")
    with pytest.raises(DataError, match="'monday'") as caught:
        store.put(collected(rows(1)), batch="monday again", digest="d1")
    assert caught.value.code == "BATCH_TWICE"
    assert_same(store.read(), collected(rows(1)))
    alike = collected(rows(2, n=1))  # equal late rows of two units are two rows
    assert store.put(alike, batch="late 1")
    assert store.put(alike, batch="late 2")
    assert store.read([]).count[0] == 202


def test_a_batch_without_a_digest_is_known_by_its_moments(tmp_path):
    store = MomentsStore(tmp_path / "m.parquet")
    assert store.put(collected(rows(1)), batch="a")
    assert not store.put(collected(rows(1)), batch="a")
    assert store.put(collected(rows(2)), batch="a")
    assert_same(store.read(), collected(rows(2)))


def test_some_of_the_cells_are_read_by_value_by_values_and_by_condition(tmp_path):
    store, data = MomentsStore(tmp_path / "m.parquet"), rows(4)
    store.put(collected(data), batch="a")
    last = FIRST_DAY + dt.timedelta(days=2)
    found = store.read(["arm"], segment=["new", None], day=lambda day: day <= last)
    wanted = data[(data["segment"] != "old") & (data["day"] <= last)]
    assert_same(found, collected(wanted, by=["arm"]))
    assert_same(store.read(segment="old").collapse(["arm"]), store.read(["arm"], segment="old"))
    assert_same(store.read().only(segment="old"), store.read(segment="old"))
    with pytest.raises(DataError, match="segment"):
        store.read(segment="nobody")
    with pytest.raises(DataError, match="not kept by 'region'"):
        store.read(["region"])
    with pytest.raises(DataError, match="not kept by 'region'"):
        store.read(region="north")


def test_keys_keep_their_types(tmp_path):
    store = MomentsStore(tmp_path / "m.parquet")
    nobody = rows(1).assign(segment=None)
    store.put(collected(nobody), batch="no segment at all")
    store.put(collected(rows(2)), batch="with segments")
    kinds = {type(value) for key in store.read().keys for value in key}
    assert kinds == {str, dt.date, type(None)}
    with pytest.raises(DataError, match="other types") as caught:
        store.put(collected(rows(3).assign(segment=5)), batch="numbers")
    assert caught.value.code == "MOMENTS_DIFFER"
    assert list(store.batches()) == ["no segment at all", "with segments"]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"by": ("arm",)}, "cells"),
        ({"columns": ["spend"], "covariances": []}, "columns"),
        ({"covariances": []}, "covariances"),
        ({"skewed": []}, "third moments"),
    ],
)
def test_other_moments_are_refused_by_what_differs(options, what, tmp_path):
    given = {"by": BY, "columns": COLUMNS, "covariances": COVARIANCES, "skewed": SKEWED}
    store = MomentsStore(tmp_path / "m.parquet")
    store.put(aggregate(rows(1), **given), batch="a")
    with pytest.raises(DataError, match=f"other {what}") as caught:
        store.put(aggregate(rows(1), **{**given, **options}), batch="b")
    assert caught.value.code == "MOMENTS_DIFFER"


def test_an_empty_store_a_damaged_and_a_foreign_file_are_refused(tmp_path):
    path = tmp_path / "m.parquet"
    store = MomentsStore(path)
    assert store.batches() == {}
    with pytest.raises(DataError, match="Put a batch") as caught:
        store.read()
    assert caught.value.code == "EMPTY_INPUT"
    store.put(collected(rows(1)), batch="a")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        store.read()
    assert caught.value.code in ("FILE_CHECKSUM", "FILE_UNREADABLE")
    path.write_text("not parquet")
    with pytest.raises(DataError) as caught:
        store.read()
    assert caught.value.code == "FILE_UNREADABLE"
    rows(1).to_parquet(path)
    with pytest.raises(DataError, match="no file of moments"):
        store.put(collected(rows(1)), batch="a")


def test_a_writer_that_dies_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    store = MomentsStore(tmp_path / "m.parquet")
    store.put(collected(rows(1)), batch="a")
    before = store.path.read_bytes()

    def die(table, path, **options):
        Path(path).write_text("half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", die)
    with pytest.raises(KeyboardInterrupt):
        store.put(collected(rows(2)), batch="b")
    assert store.path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == [".m.parquet.lock", "m.parquet"]


def test_a_second_writer_waits_and_then_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("uplift.aggregate.store.WAIT_SECONDS", 0.05)
    store, moments = MomentsStore(tmp_path / "m.parquet"), collected(rows(1))
    with MomentsStore(store.path)._locked(), pytest.raises(StateError) as caught:
        store.put(moments, batch="a")
    assert caught.value.code == "FILE_LOCKED"
    assert store.put(moments, batch="a")


def put_batches(path, names):
    for name in names:
        MomentsStore(path).put(in_memory(rows(int(name), n=20)), batch=name)


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    path = tmp_path / "m.parquet"
    names = [[str(i) for i in range(start, 12, 3)] for start in range(3)]
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=put_batches, args=(path, mine)) for mine in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert sorted(MomentsStore(path).batches(), key=int) == [str(i) for i in range(12)]
    everything = pd.concat([rows(i, n=20) for i in range(12)])
    assert_same(MomentsStore(path).read(), in_memory(everything))


def test_a_table_of_moments_shows_itself_and_goes_to_plain_values(tmp_path):
    store = MomentsStore(tmp_path / "m.parquet")
    store.put(collected(rows(1)), batch="a")
    found = store.read(["arm"])
    assert isinstance(found, MomentsTable)
    assert "control" in found.table().text()
    assert '"comoment"' in store.read().to_json()
