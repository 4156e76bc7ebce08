"""Charts of an analysis: effects side by side, and the way along the looks."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from uplift.analysis.columns import GROSS
from uplift.analysis.effects import GUARDRAIL, EffectRow
from uplift.analysis.looks import Look
from uplift.analysis.report import AnalysisReport
from uplift.report.interval_charts import ROW_HEIGHT, intervals
from uplift.report.style import BLUE, GREY, MUTED, ORANGE, WIDTH, title
from uplift.table import to_plain
from uplift.text.places import Place
from uplift.text.texts import Text

PANEL_GAP = 14  # px
LOOKS_HEIGHT = 190  # px of one panel
WIDEST = 3.0  # times the largest effect: where a wider interval is cut off
LEAST_REACH = 0.01  # where effects are smaller than this, the axis is as wide as for this


def forest(report: AnalysisReport, text: Text) -> Any | None:
    """Relative effect of every treatment on every metric with its interval, and guardrails.

    Guardrails are drawn as harm over the harm that is accepted: left of 1 they hold. None when no
    effect can be drawn.
    """
    panels = [
        intervals(rows, axis=axis, height=ROW_HEIGHT * len(rows), domain=domain, form="+%")
        for axis, rows, domain in _relative_panels(report, text)
    ]
    held = text.plain("chart.guardrails.axis")
    for name, rows in _guardrails(report, text).items():
        axis, height = [name, held], ROW_HEIGHT * len(rows)
        panels.append(intervals(pd.DataFrame(rows), axis=axis, height=height, at=1))
    if not panels:
        return None
    finding = "chart.effects.finding" if report.judged else "chart.effects.withheld"
    detail = text.plain("chart.effects.detail", Place({"confidence": report.confidence}))
    return alt.vconcat(*panels, spacing=PANEL_GAP).properties(
        title=title(text.plain(finding), detail)
    )


def _relative_panels(
    report: AnalysisReport, text: Text
) -> list[tuple[str, pd.DataFrame, tuple[float, float]]]:
    """A panel per metric, all on one scale."""
    shown = [
        row
        for row in report.effects
        if row.role != GUARDRAIL and np.isfinite([row.relative_effect, *row.relative_ci]).all()
    ]
    if not shown:
        return []
    reach = WIDEST * max(max(abs(row.relative_effect) for row in shown), LEAST_REACH)
    rows = pd.DataFrame([_relative(row, report, text, reach) for row in shown])
    domain = (min(0.0, float(rows["low"].min())), max(0.0, float(rows["high"].max())))
    return [(str(name), panel, domain) for name, panel in rows.groupby("metric", sort=False)]


def _relative(row: EffectRow, report: AnalysisReport, text: Text, reach: float) -> dict[str, Any]:
    low, high = row.relative_ci
    return {
        "metric": row.title,
        "name": text.value(row.treatment, "name"),
        "value": row.relative_effect,
        "low": max(low, -reach),
        "high": min(high, reach),
        "proven": row.proven and report.judged,
    }


def _guardrails(report: AnalysisReport, text: Text) -> dict[str, list[dict[str, Any]]]:
    """Rows by the guardrail's title: harm, and its one-sided bound, over the harm accepted."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in report.effects:
        if row.role != GUARDRAIL or not row.margin or not np.isfinite(row.worst):
            continue
        harm = row.effect if row.direction == "down" else -row.effect
        found.setdefault(row.title, []).append(
            {
                "name": text.value(row.treatment, "name"),
                "value": harm / row.margin,
                "low": harm / row.margin,
                "high": row.worst / row.margin,
                "proven": row.proven and report.judged,
            }
        )
    return found


def looks(report: AnalysisReport, text: Text) -> Any | None:
    """The z of profit and of the primary metric at every look, in its bounds; None of one look."""
    taken = (*report.earlier, *([report.look] if report.look else []))
    if len(taken) + len(report.ahead) < 2:
        return None
    bounds = _bounds(report, taken, text)
    panels = [
        _along(_points(taken, tests, text), bounds, axis=axis, text=text)
        for axis, tests in _tests(report, text)
    ]
    return (
        alt.vconcat(*panels, spacing=PANEL_GAP)
        .resolve_legend(color="independent", shape="independent")
        .properties(
            title=title(text.plain("chart.looks.finding"), text.plain("chart.looks.detail"))
        )
    )


def _tests(report: AnalysisReport, text: Text) -> list[tuple[str, dict[str, str]]]:
    """Title of each panel, and its tests by the name of the arm."""
    primary = [row for row in report.effects if row.role == "primary"]
    arms = [row.arm for row in report.money.rows]
    return [
        (text.plain("term.profit"), {f"{GROSS} by {arm}": arm for arm in arms}),
        (primary[0].title, {f"{row.metric} by {row.treatment}": row.treatment for row in primary}),
    ]


def _bounds(report: AnalysisReport, taken: tuple[Look, ...], text: Text) -> pd.DataFrame:
    """Both bounds at every look; those taken have the one that was used."""
    found = [(look.fraction, next(iter(look.tests.values())).bound, True) for look in taken]
    found += [(look.fraction, look.bound, False) for look in report.ahead]
    names = {True: text.plain("chart.looks.taken"), False: text.plain("chart.looks.ahead")}
    return pd.DataFrame(
        [
            {"fraction": fraction, "z": side * bound, "side": side, "look": names[was]}
            for fraction, bound, was in found
            for side in (1, -1)
        ]
    )


def _points(taken: tuple[Look, ...], tests: dict[str, str], text: Text) -> pd.DataFrame:
    rows = [
        {
            "fraction": look.fraction,
            "z": to_plain(look.tests[test].z),
            "arm": text.value(arm, "name"),
        }
        for look in taken
        for test, arm in tests.items()
        if test in look.tests
    ]
    return pd.DataFrame(rows, columns=["fraction", "z", "arm"])


def _along(points: pd.DataFrame, bounds: pd.DataFrame, *, axis: str, text: Text) -> Any:
    x = alt.X(
        "fraction:Q",
        title=text.plain("chart.looks.axis"),
        scale=alt.Scale(domain=[0, 1.02]),
        axis=alt.Axis(format="%", tickCount=6),
    )
    y = alt.Y("z:Q", title=text.plain("chart.looks.z"), axis=alt.Axis(tickCount=5))
    colours = alt.Scale(range=[BLUE, ORANGE, GREY, MUTED])
    line = alt.Chart(bounds).encode(x=x, y=y, detail="side:N")
    limits = line.mark_line(color=MUTED, strokeDash=[4, 3])
    marks = line.mark_point(color=MUTED, size=70, strokeWidth=2, opacity=1).encode(
        shape=alt.Shape(
            "look:N",
            title=None,
            scale=alt.Scale(range=["stroke", "circle"]),
            legend=alt.Legend(orient="bottom"),
        )
    )
    way = alt.Chart(points).encode(
        x=x, y=y, color=alt.Color("arm:N", title=None, scale=colours, sort=None)
    )
    zero = alt.Chart(pd.DataFrame({"z": [0]})).mark_rule(color=MUTED).encode(y="z:Q")
    drawn = way.mark_point(size=80, filled=True, opacity=1)
    return alt.layer(zero, limits, marks, way.mark_line(), drawn).properties(
        width=WIDTH - 180,
        height=LOOKS_HEIGHT,
        title=alt.TitleParams(axis, fontSize=12, fontWeight="normal"),
    )
