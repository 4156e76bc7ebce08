"""The calendar of experiments as bars: when each wave contacts and watches customers."""

from typing import Any

import altair as alt
import pandas as pd

from uplift.errors import DataError
from uplift.registry.calendar import Calendar, CalendarRow
from uplift.registry.overlap import LIVE_STATES
from uplift.report.style import BLUE, GREY, INK, ORANGE, WIDTH, title

ROW_HEIGHT = 24  # px of one wave
STAGES = {"draft": ORANGE, "running": BLUE, "read": GREY}  # shown stage → colour


def weeks(calendar: Calendar) -> Any:
    """A bar per wave from the send to the end of its window; a tick marks the send."""
    if not calendar.rows:
        raise DataError("No experiment is watched in these weeks.", code="NOT_DRAWABLE")
    several = pd.Series([row.experiment for row in calendar.rows]).value_counts()
    rows = pd.DataFrame(
        [
            {
                "wave": row.experiment if several[row.experiment] == 1 else _name(row),
                "opens": row.opens_at.isoformat(),
                "closes": row.closes_at.isoformat(),
                "stage": _stage(row.state),
            }
            for row in calendar.rows
        ]
    )
    y = alt.Y("wave:N", title=None, sort=list(dict.fromkeys(rows["wave"])))
    days = [calendar.first.isoformat(), calendar.last.isoformat()]
    x = alt.X("opens:T", title="day (UTC)", scale=alt.Scale(domain=days, clamp=True))
    colour = alt.Color(
        "stage:N",
        title=None,
        scale=alt.Scale(domain=list(STAGES), range=list(STAGES.values())),
    )
    base = alt.Chart(rows)
    bars = base.mark_bar(height=12, opacity=0.85).encode(x=x, x2="closes:T", y=y, color=colour)
    sends = base.mark_tick(color=INK, thickness=3, size=18).encode(x=x, y=y)
    n_experiments = len(several)
    return alt.layer(bars, sends).properties(
        width=WIDTH,
        height=ROW_HEIGHT * rows["wave"].nunique(),
        title=title(
            f"{n_experiments} experiment{'s' if n_experiments != 1 else ''}, "
            f"{len(rows)} wave{'s' if len(rows) != 1 else ''}",
            "Bars are response windows; a tick is the send.",
        ),
    )


def _name(row: CalendarRow) -> str:
    return f"{row.experiment}: {row.wave}"


def _stage(state: str) -> str:
    if state == "draft":
        return "draft"
    return "running" if state in LIVE_STATES else "read"
