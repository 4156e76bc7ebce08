"""The chart of each result: what `result.plot()` shows.

Titles say the finding, axes the unit. Marks differ in shape and fill as well as colour.
"""

from functools import singledispatch
from typing import Any

import altair as alt

from uplift.analysis.report import AnalysisReport
from uplift.contacts.plan import ContactPlan
from uplift.errors import DataError
from uplift.evaluation.quality import Quality
from uplift.evaluation.roi import Roi
from uplift.report.curve_charts import curves, depth, spread
from uplift.report.interval_charts import effects, losses, policies
from uplift.report.plan_charts import against_rules, channels
from uplift.report.style import png, styled, svg
from uplift.suite import Suite

__all__ = ["draw", "png", "svg"]

SPACING = 28  # px between two charts of one result


@singledispatch
def draw(result: Any) -> Any:
    """The chart of a result. Raises DataError (NOT_DRAWABLE) for one that has none."""
    raise DataError(f"{type(result).__name__} has no chart. Use its table().", code="NOT_DRAWABLE")


@draw.register
def _(report: AnalysisReport) -> Any:
    return styled(effects(report))


@draw.register
def _(suite: Suite) -> Any:
    return styled(losses(suite))


@draw.register
def _(quality: Quality) -> Any:
    return styled(alt.vconcat(policies(quality), curves(quality), spacing=SPACING))


@draw.register
def _(roi: Roi) -> Any:
    return styled(alt.vconcat(spread(roi), depth(roi), spacing=SPACING))


@draw.register
def _(plan: ContactPlan) -> Any:
    return styled(alt.vconcat(channels(plan), against_rules(plan), spacing=SPACING))
