"""Are the arms alike? Standardised differences of every covariate, as dots around zero."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from uplift.inference.balance_tests import ALARM_P_VALUE, Balance
from uplift.report.style import BLUE, GREY, MUTED, ORANGE, WIDTH, title

ROW_HEIGHT = 22  # px of one covariate
SHOWN = 40  # covariates; more than that nobody reads
LARGE = 0.1  # standardised difference that is called large, by a common convention


def differences(balance: Sequence[Balance], *, detail: str) -> Any:
    """One row per covariate, the largest difference first; one mark per treatment."""
    rows = pd.DataFrame(
        [
            {
                "covariate": one.covariate,
                "arm": one.arm,
                "difference": one.difference,
                "alarm": bool(one.p_value < ALARM_P_VALUE),
            }
            for one in balance
            if np.isfinite(one.difference)
        ],
        columns=["covariate", "arm", "difference", "alarm"],
    )
    largest = rows["difference"].abs().groupby(rows["covariate"]).max()
    names = largest.sort_values(ascending=False, kind="stable").index.tolist()[:SHOWN]
    rows = rows[rows["covariate"].isin(names)]
    reach = max(float(rows["difference"].abs().max()) if len(rows) else 0.0, LARGE) * 1.1
    limits = alt.Chart(pd.DataFrame({"x": [-LARGE, 0.0, LARGE]})).mark_rule(
        color=MUTED, strokeDash=[4, 3]
    )
    dots = alt.Chart(rows).mark_point(size=70, strokeWidth=2, opacity=1)
    return alt.layer(
        limits.encode(x="x:Q"),
        dots.encode(
            y=alt.Y("covariate:N", sort=names, title=None),
            x=alt.X(
                "difference:Q",
                title="difference to control, in standard deviations",
                scale=alt.Scale(domain=[-reach, reach]),
            ),
            shape=alt.Shape("arm:N", title=None),
            color=alt.condition("datum.alarm", alt.value(ORANGE), alt.value(BLUE)),
            fill=alt.condition("datum.alarm", alt.value(ORANGE), alt.value(GREY)),
        ),
    ).properties(
        width=WIDTH - 180,
        height=ROW_HEIGHT * max(len(names), 1),
        title=title(_finding(balance), detail),
    )


def _finding(balance: Sequence[Balance]) -> str:
    alarms = sorted({one.covariate for one in balance if one.p_value < ALARM_P_VALUE})
    if not balance:
        return "There is no covariate to compare"
    if not alarms:
        return "The arms differ by no more than chance explains"
    return f"The arms differ in {', '.join(alarms[:3])} by more than chance explains"
