"""Charts of explanations: contributions customer by customer, and what a policy would lose."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from uplift.explanation.drivers import Drivers
from uplift.explanation.importance import Importance
from uplift.report.style import BLUE, MUTED, ORANGE, WIDTH, title

N_FEATURES = 10  # shown; the others are in the table
N_POINTS = 100  # customers drawn per feature: enough for the shape, and a picture stays small
ROW = 34  # px of a feature
LOW, HIGH = BLUE, ORANGE


def swarm(drivers: Drivers, treatment: str | None = None) -> Any:
    """A point per customer and feature: its contribution, coloured by the feature's value."""
    treatments = list(drivers.base)
    k = treatments.index(treatment) if treatment else 0
    of_arm = [d for d in drivers.drivers if d.treatment == treatments[k]]
    chosen = [d for d in of_arm if d.mean_size > 0][:N_FEATURES] or of_arm[:1]
    order = [d.feature for d in chosen]
    rng = np.random.default_rng(0)
    drawn = np.sort(rng.permutation(drivers.n_customers)[:N_POINTS])
    frames = []
    for name in order:
        j = drivers.contributions.features.index(name)
        frames.append(
            pd.DataFrame(
                {
                    "feature": name,
                    "contribution": drivers.contributions.values[drawn, j, k],
                    "place": _place(drivers.values[drawn, j]),
                    "spread": rng.uniform(-1, 1, len(drawn)),
                }
            )
        )
    points = (
        alt.Chart(pd.concat(frames, ignore_index=True))
        .mark_circle(size=16, opacity=0.6, aria=False)  # a label per point is most of the file
        .encode(
            x=alt.X("contribution:Q", title=f"Contribution to the effect on {drivers.outcome}"),
            y=alt.Y("feature:N", sort=order, title=None),
            yOffset=alt.YOffset("spread:Q", scale=alt.Scale(domain=[-2, 2])),
            color=alt.Color(
                "place:Q",
                title="value of the feature, low to high",
                scale=alt.Scale(range=[LOW, HIGH], domain=[0, 1]),
                legend=alt.Legend(format="%"),
            ),
        )
    )
    zero = alt.Chart(points.data).mark_rule(color=MUTED).encode(x=alt.datum(0))
    finding = f"{order[0]} drives the effect of {treatments[k]} most"
    detail = f"{len(drawn)} customers; what {drivers.candidate} uses, not what causes the effect."
    return (
        alt.layer(zero, points)
        .properties(width=WIDTH - 160, height=ROW * len(order))
        .properties(title=title(finding, detail))
    )


def lost_without(importance: Importance) -> Any:
    """What the policy loses without each feature, with intervals."""
    losses = importance.losses[:N_FEATURES]
    frame = pd.DataFrame(
        [{"feature": x.feature, "lost": x.value, "low": x.ci[0], "high": x.ci[1]} for x in losses]
    )
    order = [x.feature for x in losses]
    y = alt.Y("feature:N", sort=order, title=None)
    axis = f"Lost {importance.unit} per customer"
    lines = (
        alt.Chart(frame).mark_rule(color=BLUE).encode(x=alt.X("low:Q", title=axis), x2="high", y=y)
    )
    points = alt.Chart(frame).mark_point(color=BLUE, filled=True, size=60).encode(x="lost:Q", y=y)
    zero = alt.Chart(frame).mark_rule(color=MUTED, strokeDash=[4, 3]).encode(x=alt.datum(0))
    proven = [x.feature for x in losses if x.ci[0] > 0]
    finding = (
        f"The policy needs {', '.join(proven[:3])}" if proven else "No feature alone is needed"
    )
    detail = f"Each feature shuffled {importance.n_repeats} times, out of fold; 95 % intervals."
    return (
        alt.layer(zero, lines, points)
        .properties(width=WIDTH - 160, height=ROW * len(order))
        .properties(title=title(finding, detail))
    )


def _place(values: Any) -> Any:
    """Where each value stands among the others, 0 to 1; missing in the middle."""
    ranks = pd.Series(values).rank(pct=True)
    return ranks.fillna(0.5).to_numpy()
