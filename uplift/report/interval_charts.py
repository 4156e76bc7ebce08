"""Intervals side by side: effects, values of policies, losses of candidates."""

from typing import Any

import altair as alt
import pandas as pd

from uplift.analysis.report import AnalysisReport
from uplift.evaluation.quality import Quality
from uplift.report.style import BLUE, GREY, MUTED, PAPER, WIDTH, title
from uplift.report.words import policy_words
from uplift.suite import Suite
from uplift.text.texts import ENGLISH_TEXT, Text

ROW_HEIGHT = 30  # px of one row
Z95 = 1.96
NOBODY = "nobody"


def effects(report: AnalysisReport, text: Text = ENGLISH_TEXT) -> Any:
    """Effect of every treatment on every metric with its interval."""
    rows = _effect_rows(report)
    proven = int(rows["proven"].sum())
    panels = [
        intervals(panel, axis=str(metric), height=ROW_HEIGHT * len(panel))
        for metric, panel in rows.groupby("metric", sort=False)
    ]
    finding = text.tell("chart.absolute.withheld")
    if report.judged:
        finding = text.tell("chart.absolute.proven", proven=proven, all=len(rows))
    return alt.vconcat(*panels, spacing=18).properties(
        title=title(finding, text.tell("chart.absolute.detail"))
    )


def policies(quality: Quality, text: Text = ENGLISH_TEXT) -> Any:
    """What every policy is worth more than contacting nobody, per customer, the best first."""
    rows = pd.DataFrame(
        [
            {
                "name": policy_words(gain.policy, text),
                "value": gain.value,
                "low": gain.ci[0],
                "high": gain.ci[1],
                "proven": gain.policy == quality.recommended,
            }
            for gain in quality.gains
            if gain.over == NOBODY
        ]
    ).sort_values("value", ascending=False, kind="stable")
    finding = text.tell("chart.policies.finding", policy=policy_words(quality.recommended, text))
    detail = text.tell("chart.policies.detail", verdict=quality.targeting)
    axis = text.tell("chart.policies.axis", unit=quality.unit)
    return intervals(rows, axis=axis).properties(title=title(finding, detail))


def losses(suite: Suite, text: Text = ENGLISH_TEXT) -> Any:
    """Loss of every candidate against one effect for everyone."""
    rows = pd.DataFrame(
        [
            {
                "name": c.name,
                "value": c.loss,
                "low": c.loss - Z95 * (c.loss_std_error or 0.0),
                "high": c.loss + Z95 * (c.loss_std_error or 0.0),
                "proven": c.name == suite.best.name,
            }
            for c in suite.candidates.values()
            if c.loss is not None
        ]
    )
    best = suite.best.name
    finding = (
        text.tell("chart.losses.none")
        if best == "constant"
        else text.tell("chart.losses.best", candidate=best)
    )
    chart = intervals(rows, axis=text.tell("chart.losses.axis"))
    return chart.properties(title=title(finding, text.tell("chart.losses.detail")))


def intervals(
    rows: pd.DataFrame,
    *,
    axis: str | list[str],
    height: int | None = None,
    highlight: str = BLUE,
    domain: tuple[float, float] | None = None,
    form: str | None = None,
    at: float = 0,
) -> Any:
    """Points with intervals, one row per `name`; `proven` rows are filled.

    domain  of the axis, which holds all intervals
    form    of the numbers of the axis, by d3
    at      where the dashed line stands that matters
    """
    base = alt.Chart(rows).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False))
    )
    colour = alt.condition("datum.proven", alt.value(highlight), alt.value(GREY))
    fill = alt.condition("datum.proven", alt.value(highlight), alt.value(PAPER))
    scale = alt.Scale(domain=list(domain), nice=True) if domain else alt.Undefined
    ticks = alt.Axis(tickCount=8, format=form) if form else alt.Axis(tickCount=8)
    line = alt.Chart(pd.DataFrame({"x": [at]})).mark_rule(color=MUTED, strokeDash=[4, 3])
    return alt.layer(
        line.encode(x="x:Q"),
        base.mark_rule(strokeWidth=2).encode(
            x=alt.X("low:Q", title=axis, axis=ticks, scale=scale), x2="high:Q", color=colour
        ),
        base.mark_point(size=90, strokeWidth=2, opacity=1).encode(
            x="value:Q", stroke=colour, fill=fill
        ),
    ).properties(width=WIDTH - 180, height=height or ROW_HEIGHT * len(rows))


def _effect_rows(report: AnalysisReport) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "metric": f"{row.title} ({row.unit})",
                "name": row.treatment,
                "value": row.effect,
                "low": row.ci[0],
                "high": row.ci[1],
                "proven": row.proven,
            }
            for row in report.effects
        ]
    )
