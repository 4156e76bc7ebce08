"""Past experiments in pictures: each as it was read, what it is worth, and all of them together."""

from typing import Any

import altair as alt
import pandas as pd

from uplift.registry.past import PastEffects
from uplift.registry.pooling import Pooled
from uplift.report.interval_charts import ROW_HEIGHT, Z95, intervals
from uplift.report.style import BLUE, GREY, INK, MUTED, PAPER, WIDTH, title
from uplift.table import format_value

READ, WORTH, ALL = "as read by its own test", "what it is worth", "all together"
MEAN, NEXT = "mean of all", "the next one"


def raw_effects(past: PastEffects) -> Any:
    """Relative effect of every experiment, as its own test read it."""
    rows = pd.DataFrame(
        [
            {
                "name": row.experiment,
                "value": row.effect,
                "low": row.effect - Z95 * row.std_error,
                "high": row.effect + Z95 * row.std_error,
                "proven": abs(row.effect) > Z95 * row.std_error,
            }
            for row in past.rows
        ],
        columns=["name", "value", "low", "high", "proven"],
    )
    detail = "As each was read by its own test; filled marks exclude 0."
    return intervals(rows, axis=f"relative effect on {past.metric}").properties(
        title=title(f"{len(rows)} experiments were read", detail)
    )


def pooled_effects(pooled: Pooled) -> Any:
    """Raw and shrunken effect of every experiment, largest first; mean and prediction below."""
    found = pooled.found
    order = sorted(range(len(found.names)), key=lambda i: -found.effects[i])
    rows = []
    for i in order:
        half = Z95 * float(found.std_errors[i])
        rows.append(_row(found.names[i], READ, float(found.effects[i]), half=half))
        low, high = found.shrunken.ci[i].tolist()
        rows.append(_row(found.names[i], WORTH, float(found.shrunken.effects[i]), ci=(low, high)))
    rows.append(_row(MEAN, ALL, found.mean, ci=found.ci))
    rows.append(_row(NEXT, ALL, found.mean, ci=found.prediction_interval))
    frame = pd.DataFrame(rows)
    names = [*(found.names[i] for i in order), MEAN, NEXT]
    x = alt.X("low:Q", title=f"relative effect on {pooled.metric}", axis=alt.Axis(format="+.0%"))
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(ticks=False, domain=False))
    scale = alt.Scale(domain=[READ, WORTH, ALL], range=[GREY, BLUE, INK])
    colour = alt.Color("what:N", title=None, scale=scale)
    shape = alt.Shape(
        "what:N",
        title=None,
        scale=alt.Scale(domain=[READ, WORTH, ALL], range=["circle", "diamond", "square"]),
    )
    offset = alt.YOffset("what:N", sort=[READ, ALL, WORTH])
    zero = alt.Chart(pd.DataFrame({"x": [0]})).mark_rule(color=MUTED, strokeDash=[4, 3])
    base = alt.Chart(frame).encode(y=y, yOffset=offset)
    share = format_value(found.heterogeneity.share, "share")
    mean = format_value(found.mean, "signed_share")
    return alt.layer(
        zero.encode(x="x:Q"),
        base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q", color=colour),
        base.mark_point(size=70, strokeWidth=2, opacity=1, fill=PAPER).encode(
            x="value:Q", color=colour, shape=shape
        ),
    ).properties(
        width=WIDTH - 180,
        height=ROW_HEIGHT * len(names),
        title=title(
            f"{len(found.names)} experiments: {mean} on average",
            f"The extremes are partly luck; {share} of the spread between them is no noise.",
        ),
    )


def _row(
    name: str,
    what: str,
    value: float,
    *,
    half: float = 0.0,
    ci: tuple[float, float] | None = None,
) -> dict[str, Any]:
    low, high = ci or (value - half, value + half)
    return {"name": name, "what": what, "value": value, "low": low, "high": high}
