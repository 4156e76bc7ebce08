"""Curves: what a ranking gains, how profit is spread over customers, how deep it pays to go."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from uplift.errors import DataError
from uplift.evaluation.curves import Curve
from uplift.evaluation.quality import Quality
from uplift.evaluation.roi import Roi
from uplift.report.style import BLUE, INK, MUTED, ORANGE, WIDTH, title
from uplift.report.words import shown_candidate
from uplift.text.texts import ENGLISH_TEXT, Text

N_BINS = 60
N_POINTS = 200  # of a curve over all customers
CENTRAL = (0.005, 0.995)  # quantiles a distribution is drawn between; the rest is piled at the ends


def curves(quality: Quality, candidate: str | None = None, *, text: Text = ENGLISH_TEXT) -> Any:
    """Gain of treating the top of a ranking, with its band, against the same share by lot."""
    name = candidate or shown_candidate(quality)
    panels = []
    for (owner, arm), curve in quality.curves.items():
        if owner == name:
            panels.append(_curve(curve, arm=arm, quality=quality, name=name, text=text))
    if not panels:
        raise DataError(f"There is no curve of candidate {name!r}.", code="CANDIDATE_UNKNOWN")
    proven = [arm for arm in quality.arms[1:] if quality.ranking(name, arm).verdict == "proven"]
    finding = (
        text.tell("chart.curves.proven", model=name, arms=proven)
        if proven
        else text.tell("chart.curves.unproven", model=name)
    )
    detail = text.tell("chart.curves.detail")
    return alt.hconcat(*panels, spacing=22).properties(title=title(finding, detail))


def spread(roi: Roi, text: Text = ENGLISH_TEXT) -> Any:
    """Distribution of expected profit per customer, one panel per arm."""
    low, high = np.quantile(roi.customers["profit"], CENTRAL)
    edges = np.linspace(min(low, 0.0), max(high, 0.0), N_BINS + 1)
    frames = []
    for arm, rows in roi.customers.groupby("arm", sort=False):
        counts, _ = np.histogram(np.clip(rows["profit"], edges[0], edges[-1]), bins=edges)
        frames.append(
            pd.DataFrame(
                {
                    "arm": text.value(arm, "name"),
                    "from": edges[:-1],
                    "to": edges[1:],
                    "share": counts / len(rows),
                }
            )
        )
    bins = pd.concat(frames, ignore_index=True)
    bins["pays"] = bins["from"] + bins["to"] > 0
    losing = float((roi.customers.groupby("unit")["profit"].max() <= 0).mean())
    bars = (
        alt.Chart(bins)
        .mark_bar(binSpacing=0, stroke=None)
        .encode(
            x=alt.X(
                "from:Q",
                title=text.tell("chart.spread.axis", currency=roi.currency),
                bin="binned",
                axis=alt.Axis(tickCount=10),
            ),
            x2="to:Q",
            y=alt.Y("share:Q", title=None, axis=alt.Axis(format="%", tickCount=2)),
            color=alt.condition("datum.pays", alt.value(BLUE), alt.value(ORANGE)),
        )
    )
    zero = alt.Chart(bins).mark_rule(color=MUTED, strokeDash=[4, 3]).encode(x=alt.datum(0))
    return (
        alt.layer(bars, zero)
        .properties(width=WIDTH - 140, height=64)
        .facet(
            row=alt.Row(
                "arm:N", sort=None, title=None, header=alt.Header(labelAngle=0, labelAlign="left")
            ),
            spacing=8,
        )
        .properties(
            title=title(
                text.tell("chart.spread.some", share=losing)
                if losing
                else text.tell("chart.spread.all"),
                text.tell("chart.spread.detail"),
            )
        )
    )


def depth(roi: Roi, text: Text = ENGLISH_TEXT) -> Any:
    """Expected profit against the share of customers contacted, best first."""
    best = np.sort(roi.customers.groupby("unit")["profit"].max().to_numpy())[::-1]
    total = np.concatenate([[0.0], np.cumsum(best)])
    share = np.linspace(0, 1, len(total))
    top = int(np.argmax(total))
    pays = float(share[top])
    keep = np.unique(np.linspace(0, len(total) - 1, N_POINTS).astype(int))
    rows = pd.DataFrame({"share": share[keep], "profit": total[keep]})
    mark = pd.DataFrame({"share": [pays], "profit": [total[top]]})
    line = alt.Chart(rows).mark_line(color=BLUE, strokeWidth=2.5)
    point = alt.Chart(mark).mark_point(color=INK, fill=INK, size=70, opacity=1)
    encoding = {
        "x": alt.X(
            "share:Q",
            title=text.tell("chart.depth.share"),
            axis=alt.Axis(format="%", tickCount=6),
        ),
        "y": alt.Y("profit:Q", title=text.tell("chart.depth.profit", currency=roi.currency)),
    }
    return alt.layer(line.encode(**encoding), point.encode(**encoding)).properties(
        width=WIDTH - 100,
        height=200,
        title=title(
            text.tell("chart.depth.finding", share=pays),
            text.tell("chart.depth.detail"),
        ),
    )


def _curve(curve: Curve, *, arm: str, quality: Quality, name: str, text: Text) -> Any:
    rows = pd.DataFrame(
        {
            "share": curve.share,
            "gain": curve.gain,
            "low": curve.gain_low,
            "high": curve.gain_high,
            "random": curve.random,
        }
    )
    n_panels = max(len(quality.arms) - 1, 1)
    first = arm == quality.arms[1]
    unit = text.tell("chart.curves.gain", outcome=quality.outcome) if first else ""
    base = alt.Chart(rows).encode(
        x=alt.X(
            "share:Q",
            title=text.tell("chart.curves.share"),
            axis=alt.Axis(format="%", tickCount=4),
        )
    )
    return alt.layer(
        base.mark_area(opacity=0.18, color=BLUE).encode(y=alt.Y("low:Q", title=unit), y2="high:Q"),
        base.mark_line(color=MUTED, strokeDash=[5, 4]).encode(y=alt.Y("random:Q", title=unit)),
        base.mark_line(color=BLUE, strokeWidth=2.5).encode(y=alt.Y("gain:Q", title=unit)),
    ).properties(
        width=(WIDTH - 30 - 58 * (n_panels - 1)) / n_panels - 30,
        height=190,
        title=alt.TitleParams(
            text.tell("chart.curves.panel", arm=arm, verdict=quality.ranking(name, arm).verdict),
            fontSize=12,
            fontWeight="normal",
            color=MUTED,
            offset=6,
        ),
    )
