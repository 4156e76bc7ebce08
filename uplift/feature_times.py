"""When features were known: what was measured after the send is a result of it, not a feature.

Two kinds of columns say when. `as_of`: nothing at or after it was read, so it may be the moment of
the send itself. `<feature>_at`: when that feature was measured, which must be before the send. A
time without a zone is in UTC.
"""

from datetime import datetime

import numpy as np
import pandas as pd

from uplift.errors import DataError
from uplift.event_times import times_in_zone

AS_OF = "as_of"
SUFFIX = "_at"


def measured_at(customers: pd.DataFrame) -> list[str]:
    """Columns that say when a feature beside them was measured."""
    names = set(map(str, customers.columns))
    return [
        name
        for name in map(str, customers.columns)
        if name.endswith(SUFFIX) and name.removesuffix(SUFFIX) in names
    ]


def refuse_later(customers: pd.DataFrame, sent_at: datetime) -> None:
    """Refuse features known only after a send (LEAK_POST_TREATMENT), with the share of rows.

    Also refused: what is no time (TIME_INVALID, TIME_NAIVE).
    """
    asked = [AS_OF] if AS_OF in customers.columns else []
    for name in [*asked, *measured_at(customers)]:
        times = times_in_zone(customers[name], "UTC", what="customers")
        late = np.asarray(times > sent_at if name == AS_OF else times >= sent_at, dtype=bool)
        rows = np.flatnonzero(late)
        if len(rows):
            column = name if name == AS_OF else name.removesuffix(SUFFIX)
            raise DataError(
                f"customers: {column!r} was measured after the send ({sent_at:%Y-%m-%dT%H:%MZ}) in "
                f"{len(rows)} row(s), {len(rows) / len(customers):.1%} of all, first in row "
                f"{rows[0] + 1}. Give features as they were known before it.",
                code="LEAK_POST_TREATMENT",
                column=column,
                count=len(rows),
                rows=[int(row) + 1 for row in rows[:5]],
            )
