"""Any table to moments per cell in one query, run where the data is."""

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from uplift.aggregate.cells import Layout, MomentsTable, merged_cells
from uplift.aggregate.expressions import Column
from uplift.aggregate.one_pass import Collected, Source, choose_shifts, collect, query_of
from uplift.aggregate.query import Query, Wanted
from uplift.aggregate.sources import opened
from uplift.errors import DataError
from uplift.inference.moments import stacked

# types of several values, as engines name them
NESTED = re.compile(r"^(STRUCT|MAP|UNION|ARRAY)\b|\[\d*\]$", re.IGNORECASE)


def aggregate(
    table: Any,
    *,
    by: Sequence[str] = ("arm",),
    columns: Sequence[Column],
    covariances: Iterable[tuple[str, str]] = (),
    skewed: Iterable[str] = (),
    threads: int | None = None,
) -> MomentsTable:
    """Moments of the columns per cell, in one pass.

    table        a frame (pandas, polars, arrow), a DuckDB relation, the path of a parquet or CSV
                 file (or paths of several), which is scanned and never loaded, a `PostgresTable`,
                 or a Spark frame; the query runs where the data is, and only cells come back
    by           columns whose values make the cells; a missing value is a value of its own
    columns      numbers or truth values, or expressions of them (`capped`, `combined`, ...); a
                 missing or infinite one is refused
    covariances  pairs of columns whose co-moment is wanted, beside every variance
    skewed       columns whose third moment is wanted
    threads      for frames and parquet; all cores when not given. The rows are cut into fixed parts
                 and these are put together in order, so that any number gives the same bits

    Raises DataError: COLUMN_MISSING, FEATURE_DUPLICATE, EMPTY_INPUT, OUTCOME_NOT_NUMERIC,
    OUTCOME_MISSING, OUTCOME_NOT_FINITE, NOT_A_TABLE, FILE_MISSING, FILE_UNREADABLE, TABLE_MISSING,
    DATABASE_UNREACHABLE.
    """
    wanted = Wanted.of(by, columns, covariances, skewed)
    with opened(table, wanted.needed) as source:
        _check_kinds(wanted, source)
        query = query_of(source, wanted)
        shifts = choose_shifts(query, source.first_look(query))
        found = _collect_all(query, source, shifts, threads)
        if any(one.faulty for one in found):
            _refuse_unusable(query, source)
    return _together(query, shifts, found)


def query_for(
    table: Any,
    *,
    by: Sequence[str] = ("arm",),
    columns: Sequence[Column],
    covariances: Iterable[tuple[str, str]] = (),
    skewed: Iterable[str] = (),
) -> str:
    """The SQL that `aggregate` would run over this table, without running it.

    Only the first rows are looked at, for numbers near the means. Arguments and errors as there.
    """
    wanted = Wanted.of(by, columns, covariances, skewed)
    with opened(table, wanted.needed) as source:
        _check_kinds(wanted, source)
        query = query_of(source, wanted)
        return query.one_pass(choose_shifts(query, source.first_look(query)))


def _collect_all(
    query: Query, source: Source, shifts: Sequence[float], threads: int | None
) -> list[Collected]:
    workers = min(threads or os.cpu_count() or 1, len(source.parts))
    if workers < 2:
        return [collect(query, part, shifts) for part in source.parts]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda part: collect(query, part, shifts), source.parts))


def _together(query: Query, shifts: Sequence[float], found: Sequence[Collected]) -> MomentsTable:
    wanted = query.wanted
    cells = [one.cells for one in found if one.cells is not None]
    if not cells:
        raise DataError("The table has no row. Check how it was filtered.", code="EMPTY_INPUT")
    keys = [key for one in found for key in one.keys]
    again = sorted({i for one in found for i in one.reread})
    layout = Layout(wanted.by, wanted.names, wanted.pairs, wanted.skewed)
    reread = tuple(wanted.names[i] for i in again)
    return merged_cells(layout, keys, stacked(cells), sql=query.one_pass(shifts), reread=reread)


def _check_kinds(wanted: Wanted, source: Source) -> None:
    for name in wanted.by:
        if NESTED.search(source.types[name]):
            raise DataError(
                f"Column {name!r} holds {source.types[name]}, and cells are made of single values. "
                "Take a part of it as a column of its own.",
                code="COLUMN_TYPE",
                column=name,
            )
    for expression in wanted.expressions:
        for name in expression.needs:
            if name not in source.kinds:
                raise DataError(
                    f"Column {name!r} must hold numbers, but is {source.types[name]}. Write "
                    "numbers with a decimal point and no currency sign.",
                    code="OUTCOME_NOT_NUMERIC",
                    column=name,
                )


def _refuse_unusable(query: Query, source: Source) -> None:
    """Count what is missing or infinite, and say so."""
    answers = [part.rows(query.unusable(), n_keys=0)[1][0] for part in source.parts]
    counts = np.nansum(answers, axis=0).reshape(-1, 2)
    for side, what, code in (
        (0, "missing", "OUTCOME_MISSING"),
        (1, "infinite", "OUTCOME_NOT_FINITE"),
    ):
        for name, total in zip(query.wanted.names, counts[:, side].tolist(), strict=True):
            if total:
                raise DataError(
                    f"Column {name!r} is {what} in {int(total)} row(s). Decide what that means "
                    "before the moments are taken: fill, drop or repair those rows.",
                    code=code,
                    column=name,
                    count=int(total),
                )
    raise DataError(
        "A column holds values whose squares are beyond the largest number (about 1e308). Give it "
        "in a larger unit.",
        code="OUTCOME_NOT_FINITE",
    )
