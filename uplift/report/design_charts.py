"""A design and its rehearsal in pictures: power by size, effect by holdout, false alarms."""

from typing import Any

import altair as alt
import pandas as pd

from uplift.checks import blocked_by
from uplift.rehearsal.result import Rehearsal
from uplift.report.style import BLUE, GREY, INK, MUTED, ORANGE, WIDTH, title
from uplift.sizing.result import Design
from uplift.sizing.targeting import UpliftPower
from uplift.table import format_value

HEIGHT = 220  # px
ROW_HEIGHT = 30  # px of one row


def power_curve(design: Design) -> Any:
    """Power of the hardest comparison of the primary metric, by units of the experiment."""
    answer = design.hardest
    rows = pd.DataFrame(design.power_curve, columns=["units", "power"])
    x = alt.X("units:Q", title="customers in the experiment", axis=alt.Axis(format="~s"))
    y = alt.Y(
        "power:Q",
        title="chance of proving the effect",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%"),
    )
    here = pd.DataFrame(
        [
            {"units": design.n_units, "power": answer.power, "label": "this plan"},
            {"units": answer.n_needed, "power": answer.wanted_power, "label": "needed"},
        ]
    )
    wanted = alt.Chart(pd.DataFrame([{"power": answer.wanted_power}]))
    points = alt.Chart(here).encode(x="units:Q", y="power:Q")
    sought = format_value(answer.sought_effect, "number")
    return alt.layer(
        wanted.mark_rule(color=MUTED, strokeDash=[4, 3]).encode(y="power:Q"),
        alt.Chart(rows).mark_line(color=BLUE, strokeWidth=2).encode(x=x, y=y),
        points.mark_point(size=100, filled=True, color=INK, shape="diamond", opacity=1),
        points.mark_text(align="left", dx=8, dy=12, color=INK, fontSize=12).encode(text="label:N"),
    ).properties(
        width=WIDTH - 60,
        height=HEIGHT,
        title=title(
            f"{format_value(answer.n_needed, 'count')} customers are needed; "
            f"{format_value(design.n_units, 'count')} are planned",
            f"{answer.metric}, {answer.treatment}: an effect of {sought} {answer.unit}.",
        ),
    )


def effect_by_share(design: Design) -> Any:
    """Smallest effect on the primary metric by the share held out."""
    relative = all(option.mde_relative is not None for option in design.holdout_options)
    rows = pd.DataFrame(
        [
            {"share": o.control_share, "mde": o.mde_relative if relative else o.mde}
            for o in design.holdout_options
        ]
    )
    rows["label"] = [format_value(v, "share" if relative else "number") for v in rows["mde"]]
    base = alt.Chart(rows).encode(
        x=alt.X(
            "share:Q",
            title="share of customers held out",
            scale=alt.Scale(type="log", nice=False),
            axis=alt.Axis(format="~%", values=rows["share"].tolist()),
        ),
        y=alt.Y(
            "mde:Q",
            title="smallest effect shown" + (", of the control mean" if relative else ""),
            axis=alt.Axis(format="~%" if relative else "~s", tickCount=6),
        ),
    )
    now = float(design.arms[0].share)
    return alt.layer(
        base.mark_line(
            color=BLUE, strokeWidth=2, point={"filled": True, "size": 60, "color": BLUE}
        ),
        base.mark_text(align="left", dx=8, dy=-8, color=INK, fontSize=12).encode(text="label:N"),
        alt.Chart(pd.DataFrame([{"share": now}]))
        .mark_rule(color=ORANGE, strokeDash=[4, 3])
        .encode(x="share:Q"),
    ).properties(
        width=WIDTH - 60,
        height=HEIGHT,
        title=title(
            f"A holdout of {format_value(now, 'share')} shows effects from "
            f"{format_value(design.hardest.mde, 'number')} {design.hardest.unit}",
            f"{design.hardest.metric}; the dashed line is the planned holdout.",
        ),
    )


def false_alarms(found: Rehearsal) -> Any:
    """Share of placebo replays that prove something, with intervals and the planned error."""
    rows = [
        *((f"{t.metric}, {t.treatment}", t.alone) for t in found.placebo.tests),
        ("any test of the family", found.placebo.any_proven),
        ("decision to scale", found.placebo.scaled),
    ]
    table = pd.DataFrame(
        [
            {"name": name, "value": rate.value, "low": rate.ci[0], "high": rate.ci[1]}
            for name, rate in rows
        ]
    )
    base = alt.Chart(table).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False))
    )
    planned = alt.Chart(pd.DataFrame([{"x": found.alpha}])).encode(x="x:Q")
    fails = bool(blocked_by(found.checks))
    verdict = f"The plan errs {'more' if fails else 'as'} often {'than' if fails else 'as'} it says"
    return alt.layer(
        planned.mark_rule(color=MUTED, strokeDash=[4, 3]),
        base.mark_rule(strokeWidth=2, color=GREY).encode(
            x=alt.X(
                "low:Q", title="share of placebo replays", axis=alt.Axis(format="~%", tickCount=8)
            ),
            x2="high:Q",
        ),
        base.mark_point(size=90, filled=True, opacity=1, color=ORANGE if fails else BLUE).encode(
            x="value:Q"
        ),
    ).properties(
        width=WIDTH - 220,
        height=ROW_HEIGHT * len(table),
        title=title(
            verdict,
            f"{found.n_replays:,} replays without an effect; the dashed line is "
            f"{format_value(found.alpha, 'share')}.",
        ),
    )


def targeting_power(found: UpliftPower) -> Any:
    """Power of both uplift questions by size."""
    rows = pd.DataFrame(
        [
            {"units": row.n_units, "question": question, "power": power}
            for row in found.rows
            for question, power in (("effects differ", row.differ), ("targeting pays", row.pays))
        ]
    )
    questions = ["effects differ", "targeting pays"]
    return (
        alt.Chart(rows)
        .mark_line(point=True, strokeWidth=2)
        .encode(
            x=alt.X(
                "units:Q",
                title="customers in the experiment",
                scale=alt.Scale(type="log", nice=False),
                axis=alt.Axis(format="~s", values=sorted({row.n_units for row in found.rows})),
            ),
            y=alt.Y(
                "power:Q",
                title="chance of proving it",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format=".0%"),
            ),
            color=alt.Color(
                "question:N",
                title=None,
                scale=alt.Scale(domain=questions, range=[BLUE, ORANGE]),
            ),
            strokeDash=alt.StrokeDash(
                "question:N",
                title=None,
                scale=alt.Scale(domain=questions, range=[[1, 0], [6, 3]]),
            ),
        )
        .properties(
            width=WIDTH - 60,
            height=HEIGHT,
            title=title(
                "What the test can prove about targeting",
                f"Spread of effects {found.spread:g} times the average, ranking {found.ranking:g}.",
            ),
        )
    )
