"""The long term in pictures: the effect so far in its band; what moved, market or campaign."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from uplift.analysis.long_term_report import LongTermReport, Reread
from uplift.analysis.market_reading import MarketReport
from uplift.analysis.surrogate_report import SurrogateReport
from uplift.analysis.surrogates import SurrogateModel
from uplift.inference.long_term import Reading
from uplift.report.interval_charts import Z95, intervals
from uplift.report.style import BLUE, GREY, MUTED, ORANGE, WIDTH, title
from uplift.table import format_value
from uplift.text.texts import ENGLISH_TEXT

HEIGHT = 190  # px of one panel
BAND_OPACITY = 0.15
MOVED = {
    "market": "The market moved",
    "campaign": "The campaign moved",
    "both": "Market and campaign moved",
    "neither": "Nothing is proven to have moved",
}


def cumulative(report: LongTermReport) -> Any:
    """Metric and profit so far, day after day, a column per quantity and a row per treatment."""
    names = {True: f"{report.metric} ({report.unit})", False: f"profit ({report.currency})"}
    rows = [
        alt.hconcat(
            *(
                _panel(report, treatment, metric=metric, axis=names[metric])
                for metric in (True, False)
                if not metric or report.rows[0].metric is not None
            ),
            spacing=28,
        )
        for treatment in list(report.counts)[1:]
    ]
    flagged = ENGLISH_TEXT.listed([name.replace("_", " ") for name in report.flagged])
    finding = (
        f"Brought forward by {flagged}"
        if report.flagged
        else f"What {report.days[-1]} days have brought"
    )
    detail = "Per customer since the launch, in a band that holds everywhere; points: re-reads."
    return alt.vconcat(*rows, spacing=22).properties(title=title(finding, detail))


def changes(report: MarketReport) -> Any:
    """Change of the control and of the effect, per treatment."""
    scale = "relative change" if report.rows[0].reading.scale == "relative" else "change"
    rows = pd.DataFrame(
        [
            {
                "name": name,
                "value": one.change,
                "low": one.ci[0],
                "high": one.ci[1],
                "proven": row.reading.moved in ("both", side),
            }
            for row in report.rows
            for side, name, one in (
                ("market", f"market, beside {row.treatment}", row.reading.market),
                ("campaign", f"{row.treatment} against control", row.reading.campaign),
            )
        ]
    )
    moved = {row.reading.moved for row in report.rows}
    finding = MOVED[moved.pop()] if len(moved) == 1 else "Market and campaigns, before and after"
    detail = f"Per customer and day, after {report.since:%Y-%m-%d} against before; filled: proven."
    return intervals(rows, axis=f"{scale} of {report.metric} a day").properties(
        title=title(finding, detail)
    )


def expected(report: SurrogateReport) -> Any:
    """The expected long-term effect of every treatment."""
    rows = pd.DataFrame(
        [
            {
                "name": row.treatment.replace("_", " "),
                "value": row.found.estimate.effect,
                "low": row.found.estimate.ci[0],
                "high": row.found.estimate.ci[1],
                "proven": False,  # expected, never measured
            }
            for row in report.rows
        ]
    )
    tried = "tried on tests known to their end" if report.evidence else "not tried on any test yet"
    return intervals(rows, axis=f"{report.outcome} per customer").properties(
        title=title(
            f"Expected from {ENGLISH_TEXT.listed(list(report.surrogates))}, not measured",
            f"Intervals hold together if the surrogates carry the effect: {tried}.",
        )
    )


def worth(model: SurrogateModel) -> Any:
    """What one more of each surrogate is worth."""
    errors = [float(error) for error in model.table().to_pandas()["standard error"]]
    rows = pd.DataFrame(
        [
            {
                "name": name,
                "value": float(slope),
                "low": float(slope) - Z95 * error,
                "high": float(slope) + Z95 * error,
                "proven": abs(slope) > Z95 * error,
            }
            for name, slope, error in zip(
                model.index.surrogates, model.index.slope, errors, strict=True
            )
        ]
    )
    explained = format_value(model.index.r_squared, "share")
    return intervals(rows, axis=f"{model.outcome} for one more").properties(
        title=title(
            f"The surrogates explain {explained} of {model.outcome}",
            f"What one more is worth among {model.index.n_units:,} customers of the past.",
        )
    )


def _panel(report: LongTermReport, treatment: str, *, metric: bool, axis: str) -> Any:
    curve = _points(report.curve, treatment, metric=metric)
    reads = _points(report.rows, treatment, metric=metric)
    x = alt.X("day:Q", title="days after the launch", axis=alt.Axis(tickCount=6))
    zero = alt.Chart(pd.DataFrame({"y": [0]})).mark_rule(color=MUTED, strokeDash=[4, 3])
    y_title = f"{treatment.replace('_', ' ')}: {axis}"
    colour = ORANGE if treatment in report.flagged else BLUE
    base = alt.Chart(curve).encode(x=x)
    marks = alt.Chart(reads).encode(x=x)
    fill = alt.condition("datum.proven", alt.value(colour), alt.value("#fffffe"))
    return alt.layer(
        zero.encode(y=alt.Y("y:Q", title=y_title, axis=alt.Axis(tickCount=5))),
        base.mark_area(color=GREY, opacity=BAND_OPACITY).encode(y="low:Q", y2="high:Q"),
        base.mark_line(color=colour, strokeWidth=2).encode(y="value:Q"),
        marks.mark_rule(color=colour, strokeWidth=2).encode(y="low:Q", y2="high:Q"),
        marks.mark_point(size=80, strokeWidth=2, opacity=1, stroke=colour).encode(
            y="value:Q", fill=fill
        ),
    ).properties(width=(WIDTH - 150) // 2, height=HEIGHT)


def _points(rows: Sequence[Reread], treatment: str, *, metric: bool) -> pd.DataFrame:
    found: list[tuple[int, Reading | None]] = [
        (row.day, row.metric if metric else row.profit)
        for row in rows
        if row.treatment == treatment
    ]
    return pd.DataFrame(
        [
            {
                "day": day,
                "value": one.estimate.effect,
                "low": one.band[0],
                "high": one.band[1],
                "proven": one.proven,
            }
            for day, one in found
            if one is not None
        ]
    )
