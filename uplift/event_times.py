"""Times of events: read in the experiment's zone, never before the assignment, never in the future.

A time without a zone is meant in the experiment's. What a clock change skips or repeats is refused.
"""

from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.errors import DataError

CLOCK_SKEW = timedelta(minutes=5)  # by which clocks of honest systems differ

Times = npt.NDArray[np.datetime64]


def times_in_zone(column: pd.Series, zone: str, *, what: str) -> pd.Series:
    """Times in the experiment's zone; a time without a zone is meant in it."""
    try:
        if pd.api.types.is_numeric_dtype(column.dtype) and column.notna().any():
            raise ValueError("a number")
        times = pd.to_datetime(column, format=None if _is_time(column) else "ISO8601")
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{what}: column {column.name!r} must hold times such as 2017-07-03T09:00, but that "
            f"cannot be read ({str(error).splitlines()[0][:80]}).",
            code="TIME_INVALID",
            column=str(column.name),
        ) from None
    if times.dt.tz is not None:
        return times.dt.tz_convert(zone)
    try:
        return times.dt.tz_localize(zone)
    except ValueError:
        raise DataError(
            f"{what}: column {column.name!r} holds a time that a clock change in {zone} skips or "
            "repeats. Give times in UTC.",
            code="TIME_AMBIGUOUS",
            column=str(column.name),
        ) from None


def in_utc(times: pd.Series) -> Times:
    """Times with a zone as UTC, without one. Returns (n_rows,)."""
    return np.asarray(times.dt.tz_convert("UTC").dt.tz_localize(None), dtype="datetime64[us]")


def in_future(times: pd.Series, *, now: datetime) -> npt.NDArray[np.bool_]:
    """Whether each event is stamped later than now, beyond the skew of clocks. (n_rows,)."""
    limit = pd.Timestamp(now + CLOCK_SKEW)
    return np.asarray(times > limit, dtype=np.bool_)


def _is_time(column: pd.Series) -> bool:
    return pd.api.types.is_datetime64_any_dtype(column.dtype)
