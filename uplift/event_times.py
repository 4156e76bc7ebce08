"""Times of events: read in the experiment's zone, never before the assignment, never in the future.

A time without a zone is meant in the experiment's. What a clock change skips or repeats is refused.
"""

import contextlib
from datetime import datetime, timedelta
from numbers import Number
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.errors import MAX_ROWS_SHOWN, DataError

CLOCK_SKEW = timedelta(minutes=5)  # by which clocks of honest systems differ
DAY = timedelta(days=1)
ZONE = r"(?:Z|[+-]\d{2}:?\d{2}(?::?\d{2})?)$"  # at the end of a time's text
SHOWN = 40  # characters of a value that was found

Times = npt.NDArray[np.datetime64]


def times_in_zone(column: pd.Series, zone: str, *, what: str) -> pd.Series:
    """Times in the experiment's zone; a time without a zone is meant in it.

    Errors: TIME_INVALID, TIME_NAIVE (some rows have a zone, some have none), TIME_AMBIGUOUS.
    """
    times = _times(column, what=what)
    if times.dt.tz is not None:
        return times.dt.tz_convert(zone)
    local = times.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    _refuse(
        (local.isna() & times.notna()).to_numpy(),
        f"{what}: column {column.name!r} holds times that a clock change in {zone} skips or "
        "repeats. Give times in UTC, or with their offset (…+02:00).",
        code="TIME_AMBIGUOUS",
        column=column,
    )
    return local


def in_utc(times: pd.Series) -> Times:
    """Times with a zone as UTC, without one. Returns (n_rows,)."""
    return np.asarray(times.dt.tz_convert("UTC").dt.tz_localize(None), dtype="datetime64[us]")


def days_between(starts: pd.Series, times: pd.Series) -> npt.NDArray[np.float64]:
    """Days from each start to each time, of the same zone; nan where a time is missing.

    Times that are days only (midnight, all of them) are counted in calendar days of the zone, so
    that a purchase on the day of a send in the morning is on day 0. Returns (n_rows,).
    """
    days = is_by_day(times)
    start, end = (_local_days(part) if days else in_utc(part) for part in (starts, times))
    return np.asarray((end - start) / np.timedelta64(DAY), dtype=np.float64)


def is_by_day(times: pd.Series) -> bool:
    """Whether all times are days without an hour."""
    return bool((times.isna() | (times == times.dt.normalize())).all())


def _local_days(times: pd.Series) -> Times:
    return np.asarray(times.dt.tz_localize(None).dt.normalize(), dtype="datetime64[us]")


def in_future(times: pd.Series, *, now: datetime) -> npt.NDArray[np.bool_]:
    """Whether each event is stamped later than now, beyond the skew of clocks. (n_rows,)."""
    limit = pd.Timestamp(now + CLOCK_SKEW)
    return np.asarray(times > limit, dtype=np.bool_)


def _times(column: pd.Series, *, what: str) -> "pd.Series[pd.Timestamp]":
    """A column as times, with a zone where its rows have one."""
    expected = f"{what}: column {column.name!r} must hold times such as 2017-07-03T09:00"
    if _is_time(column):
        return column
    if pd.api.types.is_numeric_dtype(column.dtype):
        _refuse(
            column.notna().to_numpy(),
            f"{expected}, found numbers. Write them as times.",
            code="TIME_INVALID",
            column=column,
        )
    _refuse(
        _numbers_among(column),
        f"{expected}, found numbers among them. Write them as times.",
        code="TIME_INVALID",
        column=column,
    )
    with contextlib.suppress(ValueError, TypeError):  # one zone or none, as is usual
        return pd.to_datetime(column, format="ISO8601")
    times = pd.to_datetime(column.map(_whole), format="ISO8601", utc=True, errors="coerce")
    wrong = (times.isna() & column.notna()).to_numpy()
    shown = repr(column[wrong].iloc[0])[:SHOWN] if wrong.any() else ""
    _refuse(wrong, f"{expected}, found {shown}. Repair it.", code="TIME_INVALID", column=column)
    zoned = column.astype("str").str.contains(ZONE) | column.isna()
    _refuse(
        (~zoned).to_numpy(),
        f"{what}: in column {column.name!r} some times have a zone and others have none. Write "
        "all of them with one (…Z or …+02:00).",
        code="TIME_NAIVE",
        column=column,
    )
    return times


def _numbers_among(column: pd.Series) -> npt.NDArray[np.bool_]:
    """Which of several types of values are numbers, of which no time can be told. (n_rows,)."""
    if column.dtype != object:
        return np.zeros(len(column), dtype=np.bool_)
    return np.array([isinstance(v, Number) and v == v for v in column], dtype=np.bool_)


def _whole(value: Any) -> Any:
    """A value without half characters, at which pandas stops."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _refuse(
    wrong: npt.NDArray[np.bool_], message: str, *, code: str, column: "pd.Series[Any]"
) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise DataError(
            f"{message} Found in {len(rows)} row(s), first: {rows[0] + 1}.",
            code=code,
            column=str(column.name),
            count=len(rows),
            rows=(rows[:MAX_ROWS_SHOWN] + 1).tolist(),
        )


def _is_time(column: pd.Series) -> bool:
    return pd.api.types.is_datetime64_any_dtype(column.dtype)
