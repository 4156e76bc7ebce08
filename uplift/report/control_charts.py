"""The universal control in pictures: what a share costs, who is held out when, and divergence."""

from typing import Any

import altair as alt
import pandas as pd

from uplift.report.style import BLUE, GREY, INK, ORANGE, WIDTH, title
from uplift.sizing.universal import ControlSize
from uplift.table import format_value

HEIGHT = 260  # px
LOSSES = {  # drawn line → colour and dash
    "expected loss": (BLUE, [1, 0]),
    "lost profit": (ORANGE, [6, 3]),
    "cost of not knowing": (GREY, [2, 2]),
}


def control_size(size: ControlSize) -> Any:
    """Money against the share held out, with both recommendations."""
    rows = pd.DataFrame(
        [
            {"share": option.share, "what": what, "money": money}
            for option in size.rows
            for what, money in zip(
                LOSSES,
                (option.loss, option.lost_profit, option.cost_of_not_knowing),
                strict=True,
            )
        ]
    )
    marks = [(size.cheapest, "costs least")]
    if size.smallest is not None:
        marks.append((size.smallest, "shows the effect"))
    points = pd.DataFrame(
        [{"share": o.share, "money": o.loss, "label": label} for o, label in marks]
    )
    x = alt.X(
        "share:Q",
        title="share of customers held out",
        scale=alt.Scale(type="log"),
        axis=alt.Axis(format=".1%", tickCount=6),
    )
    y = alt.Y("money:Q", title=size.currency, axis=alt.Axis(format="~s", tickCount=6))
    names = list(LOSSES)
    lines = (
        alt.Chart(rows)
        .mark_line(point=True)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "what:N",
                title=None,
                scale=alt.Scale(domain=names, range=[LOSSES[name][0] for name in names]),
            ),
            strokeDash=alt.StrokeDash(
                "what:N",
                title=None,
                scale=alt.Scale(domain=names, range=[LOSSES[name][1] for name in names]),
            ),
        )
    )
    base = alt.Chart(points).encode(x=x, y=y)
    return alt.layer(
        lines,
        base.mark_point(size=110, filled=True, color=INK, shape="diamond"),
        base.mark_text(align="left", dx=9, dy=-9, color=INK, fontSize=12).encode(text="label:N"),
    ).properties(
        width=WIDTH - 60,
        height=HEIGHT,
        title=title(
            f"Holding out {format_value(size.cheapest.share, 'share')} costs least",
            f"Profit given up in {size.horizon_days} days and profit lost by wrong decisions.",
        ),
    )
