"""The ledger of contacts: which campaigns ran at the same time and may have met the same people.

Two campaigns overlap when they share at least one day.
"""

from typing import Any

import numpy as np
import pandas as pd

from uplift.errors import DataError
from uplift.frames import read_frame

CAMPAIGN = "campaign"
START, END = "start_date", "end_date"


def overlapping_pairs(campaigns: Any, *, campaign: str = CAMPAIGN) -> pd.DataFrame:
    """Pairs of campaigns that share at least one day, in the order of the table.

    campaigns  one row per campaign with its id, `start_date` and `end_date` (both days included)
    returns    first, second, n_days (days shared): one row per pair
    """
    frame = read_frame(campaigns, what="campaigns", require=(campaign, START, END), unit=None)
    start, end = (_days(frame[name], name) for name in (START, END))
    if (end < start).any():
        row = int(np.argmax(end < start))
        raise DataError(
            f"campaigns: {frame[campaign].iloc[row]!r} ends before it starts "
            f"({start[row]} to {end[row]}). Correct the dates.",
            code="DATE_ORDER",
            column=END,
            count=int((end < start).sum()),
            rows=(np.flatnonzero(end < start) + 1).tolist(),
        )
    first, second = np.triu_indices(len(frame), k=1)
    shared = np.minimum(end[first], end[second]) - np.maximum(start[first], start[second])
    n_days = shared.astype(np.int64) + 1
    keep = n_days > 0
    names = frame[campaign].to_numpy()
    return pd.DataFrame(
        {"first": names[first[keep]], "second": names[second[keep]], "n_days": n_days[keep]}
    )


def _days(values: pd.Series, name: str) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    dates = pd.to_datetime(values, errors="coerce")
    missing = dates.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"campaigns: {int(missing.sum())} row(s) have no date in {name!r}. "
            "Give a date such as 2017-03-01.",
            code="DATE_MISSING",
            column=name,
            count=int(missing.sum()),
            rows=(np.flatnonzero(missing) + 1).tolist(),
        )
    return dates.to_numpy().astype("datetime64[D]")
