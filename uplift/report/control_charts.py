"""The universal control in pictures: what a share costs, who is held out when, and divergence."""

from typing import Any

import altair as alt
import pandas as pd

from uplift.adding_up.report import ProgrammeReport
from uplift.assignment.divergence import Divergence
from uplift.programme import Cohorts
from uplift.report.interval_charts import intervals
from uplift.report.style import BLUE, GREY, INK, ORANGE, WIDTH, title
from uplift.sizing.control_size import ControlSize
from uplift.table import format_value

HEIGHT = 260  # px
ROW_HEIGHT = 26  # px of one cohort
STATES = {"held out": BLUE, "wash-out": ORANGE, "released": GREY}
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
        scale=alt.Scale(type="log", nice=False),
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
    labels = [  # one above and one below: the two shares may be close to each other
        alt.Chart(points[points["label"] == label])
        .mark_text(dy=dy, color=INK, fontSize=12)
        .encode(x=x, y=y, text="label:N")
        for (_, label), dy in zip(marks, (22, -18), strict=False)
    ]
    diamonds = alt.Chart(points).mark_point(size=110, filled=True, color=INK, shape="diamond")
    return alt.layer(
        lines,
        diamonds.encode(x=x, y=y),
        *labels,
    ).properties(
        width=WIDTH - 60,
        height=HEIGHT,
        title=title(
            f"Holding out {format_value(size.cheapest.share, 'share')} costs least",
            f"Profit given up in {size.horizon_days} days and profit lost by wrong decisions.",
        ),
    )


def calendar(cohorts: Cohorts) -> Any:
    """From when to when each cohort was held out."""
    rows = pd.DataFrame(
        [
            {
                "cohort": f"{row.cohort}",
                "from": row.from_at.isoformat(),
                "until": (row.until_at or cohorts.as_of).isoformat(),
                "state": row.state,
            }
            for row in cohorts.rows
        ],
        columns=["cohort", "from", "until", "state"],
    )
    chart = (
        alt.Chart(rows)
        .mark_bar(height=16)
        .encode(
            y=alt.Y("cohort:N", sort=None, title="cohort", axis=alt.Axis(ticks=False)),
            x=alt.X("from:T", title="held out", axis=alt.Axis(format="%b %Y", tickCount=8)),
            x2="until:T",
            color=alt.Color(
                "state:N",
                title=None,
                scale=alt.Scale(domain=list(STATES), range=list(STATES.values())),
            ),
        )
    )
    return chart.properties(
        width=WIDTH - 60,
        height=ROW_HEIGHT * max(len(rows), 1),
        title=title(
            f"{format_value(cohorts.n_held, 'count')} customers are held out",
            f"Cohorts of {cohorts.programme} up to {cohorts.as_of:%Y-%m-%d}.",
        ),
    )


def divergence(found: Divergence) -> Any:
    """Each cohort's difference against its age, per covariate, with the bound."""
    rows = pd.DataFrame(
        [
            {"covariate": gap.covariate, "age": gap.age_days, "difference": gap.difference}
            for gap in found.gaps
        ]
    ).dropna()
    warned = sorted({check.name.split(" ", 1)[1] for check in found.checks if not check.passed})
    finding = (
        f"The control differs in {', '.join(warned)}" if warned else "The control is like the rest"
    )
    bounds = alt.Chart(pd.DataFrame({"y": [-found.bound, found.bound]})).mark_rule(
        color=ORANGE, strokeDash=[4, 3]
    )
    points = (
        alt.Chart(rows)
        .mark_point(filled=True, size=60)
        .encode(
            x=alt.X("age:Q", title="days held out"),
            y=alt.Y("difference:Q", title="standard deviations"),
            color=alt.Color("covariate:N", title=None),
            shape=alt.Shape("covariate:N", title=None),
        )
    )
    return alt.layer(points, bounds.encode(y="y:Q")).properties(
        width=WIDTH - 60,
        height=HEIGHT,
        title=title(
            finding, "Control minus those of the same draw, per cohort; dashed: the bound."
        ),
    )


def programme_total(report: ProgrammeReport) -> Any:
    """Contributions of the campaigns, their sum, the measured total and the residual."""
    found = report.total
    parts = [
        (one.name, float(part), (float(part), float(part)), False)
        for one, part in zip(found.campaigns, found.contributions, strict=True)
    ]
    sums = [
        ("sum, as read by the tests", found.raw_sum, found.raw_sum_ci),
        ("sum, shrunken", found.shrunken_sum, found.shrunken_sum_ci),
        ("programme, measured", report.measured.effect, report.measured.ci),
        ("interaction residual", found.residual, found.residual_ci),
    ]
    parts += [(name, value, ci, ci[0] > 0 or ci[1] < 0) for name, value, ci in sums]
    rows = pd.DataFrame(
        [
            {"name": name, "value": value, "low": ci[0], "high": ci[1], "proven": proven}
            for name, value, ci, proven in parts
        ]
    )
    low, high = found.residual_ci
    finding = (
        "The campaigns take from each other"
        if high < 0
        else "The programme brings more than its campaigns"
        if low > 0
        else "The campaigns add up to the programme, as far as can be seen"
    )
    detail = "Per customer; campaigns as reach times shrunken effect; filled excludes 0."
    return intervals(rows, axis=f"{report.metric} ({report.unit})").properties(
        title=title(finding, detail)
    )
