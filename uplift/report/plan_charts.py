"""The contact plan in pictures: channels with their limits, and the plan beside simple rules."""

from typing import Any

import altair as alt
import pandas as pd

from uplift.contacts.plan import ContactPlan
from uplift.report.style import BLUE, GREY, INK, ORANGE, WIDTH, title
from uplift.text.texts import ENGLISH_TEXT, Text

ROW_HEIGHT = 30  # px of one row


def channels(plan: ContactPlan, text: Text = ENGLISH_TEXT) -> Any:
    """Contacts per channel with their limits."""
    rows = pd.DataFrame(
        [
            {
                "channel": use.channel,
                "contacts": use.n_contacts,
                "label": text.value(use.n_contacts, "count"),
                "maximum": use.maximum,
                "minimum": use.minimum,
            }
            for use in plan.channels
        ]
    ).astype({"maximum": "float64", "minimum": "float64"})
    y = alt.Y("channel:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False))
    base = alt.Chart(rows).encode(y=y)
    bars = base.mark_bar(color=BLUE, height=18).encode(
        x=alt.X("contacts:Q", title=text.tell("chart.channels.axis"), axis=alt.Axis(tickCount=6))
    )
    labels = base.mark_text(align="left", dx=8, color=INK, fontSize=12).encode(
        x="contacts:Q", text="label:N"
    )
    limits = [
        alt.Chart(rows[rows[side].notna()])
        .mark_tick(color=ORANGE, thickness=3, size=28)
        .encode(y=y, x=f"{side}:Q")
        for side in ("maximum", "minimum")
        if rows[side].notna().any()
    ]
    alone = plan.n_units - plan.n_contacts
    finding, detail = (
        "chart.channels.some" if alone else "chart.channels.all",
        "chart.channels.limits" if limits else "chart.channels.no_limits",
    )
    return alt.layer(bars, labels, *limits).properties(
        width=WIDTH - 140,
        height=ROW_HEIGHT * len(rows),
        title=title(text.tell(finding, contacts=plan.n_contacts, alone=alone), text.tell(detail)),
    )


def against_rules(plan: ContactPlan, text: Text = ENGLISH_TEXT) -> Any:
    """Expected profit of the plan and of simple rules under the same limits."""
    rows = pd.DataFrame(
        [
            {"name": text.tell("chart.rules.plan"), "profit": plan.expected_profit, "own": True},
            *(
                {"name": rule.name, "profit": rule.expected_profit, "own": False}
                for rule in plan.baselines
            ),
        ]
    )
    rows["label"] = [text.value(value, "money") for value in rows["profit"]]
    best_rule = max((rule.expected_profit for rule in plan.baselines), default=0.0)
    more = plan.expected_profit - best_rule
    currency = {"currency": plan.policy.currency}
    finding = text.tell("chart.rules.more", more=more, **currency)
    if text.value(more, "money") in ("0", "-0"):
        finding = text.tell("chart.rules.same")
    base = alt.Chart(rows).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False)),
        x=alt.X(
            "profit:Q",
            title=text.tell("chart.rules.axis", **currency),
            axis=alt.Axis(tickCount=6),
        ),
    )
    return alt.layer(
        base.mark_bar(height=18).encode(
            color=alt.condition("datum.own", alt.value(BLUE), alt.value(GREY))
        ),
        base.mark_text(align="left", dx=8, color=INK, fontSize=12).encode(text="label:N"),
    ).properties(
        width=WIDTH - 140,
        height=ROW_HEIGHT * len(rows),
        title=title(
            finding,
            text.tell("chart.rules.detail"),
        ),
    )
