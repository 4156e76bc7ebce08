"""However rows are counted, the effects are the same: in portions, on threads, in PostgreSQL.

On 200 random tables each, by `aggregate` and the estimates of `test_effect_laws`. That the registry
keeps the same values in SQLite and PostgreSQL is tested with the registry.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import psycopg
import pytest

from tests.laws.test_effect_laws import COLUMNS, PAIRS, READ, Trial, near, size_of
from uplift.aggregate import PostgresTable, aggregate, cells, embedded

ROWS = 16  # of a part, so that small tables have several


def table_of(trial: Trial, seed: int) -> pd.DataFrame:
    """Rows of both arms in a random order, each of one of five days."""
    rng = np.random.default_rng(seed)
    frames = [pd.DataFrame(arm).assign(arm=i) for i, arm in enumerate((trial.c, trial.t))]
    frame = pd.concat(frames, ignore_index=True).sample(frac=1, random_state=seed)
    return frame.assign(day=rng.integers(0, 5, len(frame)))


def counted(table: object, by: tuple[str, ...] = ("arm",), **options) -> cells.MomentsTable:
    return aggregate(table, by=by, columns=COLUMNS, covariances=PAIRS, **options)


def same(found: cells.MomentsTable, trial: Trial) -> None:
    """Every estimate of these cells is that of the trial's own rows."""
    t, c = found.cell(arm=1), found.cell(arm=0)
    for name, read in READ.items():
        near(read(t, c), trial.read(name), size=size_of(trial))


def by_portions(trial: Trial, seed: int) -> None:
    same(counted(table_of(trial, seed), ("arm", "day")).collapse(("arm",)), trial)


def on_threads(trial: Trial, seed: int) -> None:
    table = table_of(trial, seed)
    one, two = (counted(table, threads=threads) for threads in (1, 2))
    assert np.array_equal(one.mean, two.mean)
    assert np.array_equal(one.comoment, two.comoment)
    same(two, trial)


def trials(first: int, n: int):
    for seed in range(first, first + n):
        yield Trial.random(seed), seed


@pytest.mark.parametrize("law", [by_portions, on_threads])
def test_portions_and_threads_count_as_one(law, monkeypatch):
    monkeypatch.setattr(embedded, "ROWS_PER_PART", ROWS)
    for trial, seed in trials(0, 8):
        law(trial, seed)


@pytest.mark.slow
@pytest.mark.parametrize("law", [by_portions, on_threads])
def test_so_do_those_of_192_more_tables(law, monkeypatch):
    monkeypatch.setattr(embedded, "ROWS_PER_PART", ROWS)
    for trial, seed in trials(8, 192):
        law(trial, seed)


@pytest.mark.slow
def test_postgresql_counts_as_the_embedded_engine_does(postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for trial, seed in trials(0, 200):
            frame = table_of(trial, seed)
            columns = ", ".join(f'"{name}" double precision' for name in frame)
            connection.execute("drop table if exists outcomes")
            connection.execute(f"create table outcomes ({columns})")
            with connection.cursor() as cursor, cursor.copy("copy outcomes from stdin") as copy:
                for row in frame.itertuples(index=False):
                    copy.write_row(row)
            found, here = counted(PostgresTable(postgres_url, "outcomes")), counted(frame)
            np.testing.assert_allclose(found.mean + found.rest, here.mean + here.rest, rtol=1e-12)
            same(found, trial)


# --- what breaks them ----------------------------------------------------------------------------


def forgets_how_far_means_are_apart(numbers, *, pairs, into, skewed):
    """Portions put together as if they had one mean."""
    whole = MERGE(numbers, pairs=pairs, into=into, skewed=skewed)
    comoment = np.zeros_like(whole.comoment)
    np.add.at(comoment, into, numbers.comoment)
    return replace(whole, comoment=comoment)


MERGE = cells.merge


@pytest.mark.parametrize("law", [by_portions, on_threads])
def test_counting_that_forgets_how_far_means_are_apart_is_caught(law, monkeypatch):
    monkeypatch.setattr(embedded, "ROWS_PER_PART", ROWS)
    monkeypatch.setattr(cells, "merge", forgets_how_far_means_are_apart)
    trial = Trial.random(3)
    with pytest.raises(AssertionError):
        law(trial, 3)


def test_counting_that_loses_a_portion_is_caught(monkeypatch):
    monkeypatch.setattr(embedded, "ROWS_PER_PART", ROWS)
    trial = Trial.random(3)
    table = table_of(trial, 3)
    with pytest.raises(AssertionError):
        same(counted(table.iloc[:-ROWS]), trial)
