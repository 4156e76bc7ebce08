"""The chart of each result: what `result.plot()` shows.

Titles say the finding, axes the unit. Marks differ in shape and fill as well as colour.
"""

from dataclasses import dataclass, field
from functools import singledispatch
from pathlib import Path
from typing import Any

import altair as alt

from uplift.adding_up.report import ProgrammeReport
from uplift.analysis.long_term_report import LongTermReport
from uplift.analysis.market_reading import MarketReport
from uplift.analysis.report import AnalysisReport
from uplift.analysis.surrogate_report import SurrogateReport
from uplift.analysis.surrogates import SurrogateModel
from uplift.assignment.divergence import Divergence
from uplift.assignment.placebo import PlaceboReport
from uplift.assignment.report import AssignmentReport
from uplift.contacts.plan import ContactPlan
from uplift.errors import DataError, DefinitionError
from uplift.evaluation.quality import Quality
from uplift.evaluation.roi import Roi
from uplift.explanation.drivers import Drivers
from uplift.explanation.explain import Explanation
from uplift.explanation.importance import Importance
from uplift.files import write_bytes
from uplift.programme import Cohorts
from uplift.registry.calendar import Calendar
from uplift.registry.past import PastEffects
from uplift.registry.pooling import Pooled
from uplift.rehearsal.result import Rehearsal
from uplift.report.analysis_charts import forest, looks
from uplift.report.balance_charts import differences
from uplift.report.calendar_charts import weeks
from uplift.report.control_charts import calendar, control_size, divergence, programme_total
from uplift.report.curve_charts import curves, depth, spread
from uplift.report.design_charts import effect_by_share, false_alarms, power_curve, targeting_power
from uplift.report.explanation_charts import lost_without, swarm
from uplift.report.interval_charts import effects, losses, policies
from uplift.report.learning_charts import pooled_effects, raw_effects
from uplift.report.long_term_charts import changes, cumulative, expected, worth
from uplift.report.plan_charts import against_rules, channels
from uplift.report.style import png, styled, svg
from uplift.sizing.control_size import ControlSize
from uplift.sizing.result import Design
from uplift.sizing.targeting import UpliftPower
from uplift.suite import Suite
from uplift.text.texts import text_of

SPACING = 28  # px between two charts of one result


@dataclass(frozen=True)
class Picture:
    """A chart that shows itself as SVG in a notebook, without a network.

    chart  the Altair chart: `picture.chart.interactive()` zooms where a network may be used
    """

    chart: Any = field(repr=False)

    def svg(self) -> str:
        """The picture as SVG text."""
        return svg(self.chart)

    def png(self) -> bytes:
        """The picture as PNG bytes, on white."""
        return png(self.chart)

    def save(self, path: str | Path) -> str:
        """Write an .svg or .png file; gives its SHA-256."""
        kind = Path(path).suffix
        if kind not in (".svg", ".png"):
            raise DefinitionError(
                f"A picture is saved as .svg or .png, got {Path(path).name!r}.",
                code="FIGURE_NAME",
            )
        return write_bytes(self.png() if kind == ".png" else self.svg().encode(), path)

    def _repr_svg_(self) -> str:
        return self.svg()


@singledispatch
def draw(result: Any) -> Picture:
    """The chart of a result. Raises DataError (NOT_DRAWABLE) for one that has none."""
    raise DataError(f"{type(result).__name__} has no chart. Use its table().", code="NOT_DRAWABLE")


@draw.register
def _(report: AssignmentReport) -> Picture:
    detail = f"{report.n_units:,} units; dotted lines at 0 and at 0.1 to each side."
    return Picture(styled(differences(report.balance, detail=detail)))


@draw.register
def _(report: PlaceboReport) -> Picture:
    detail = "Outcomes of a window before the campaign, by the arms drawn since."
    return Picture(styled(differences(report.differences, detail=detail)))


@draw.register
def _(report: AnalysisReport) -> Picture:
    text = text_of("en")
    panels = [forest(report, text) or effects(report), looks(report, text)]
    shown = [panel for panel in panels if panel is not None]
    return Picture(styled(alt.vconcat(*shown, spacing=SPACING)))


@draw.register
def _(report: LongTermReport) -> Picture:
    return Picture(styled(cumulative(report)))


@draw.register
def _(report: MarketReport) -> Picture:
    return Picture(styled(changes(report)))


@draw.register
def _(report: SurrogateReport) -> Picture:
    return Picture(styled(expected(report)))


@draw.register
def _(model: SurrogateModel) -> Picture:
    return Picture(styled(worth(model)))


@draw.register
def _(report: ProgrammeReport) -> Picture:
    return Picture(styled(programme_total(report)))


@draw.register
def _(past: PastEffects) -> Picture:
    return Picture(styled(raw_effects(past)))


@draw.register
def _(pooled: Pooled) -> Picture:
    return Picture(styled(pooled_effects(pooled)))


@draw.register
def _(suite: Suite) -> Picture:
    return Picture(styled(losses(suite)))


@draw.register
def _(quality: Quality) -> Picture:
    return Picture(styled(alt.vconcat(policies(quality), curves(quality), spacing=SPACING)))


@draw.register
def _(roi: Roi) -> Picture:
    return Picture(styled(alt.vconcat(spread(roi), depth(roi), spacing=SPACING)))


@draw.register
def _(plan: ContactPlan) -> Picture:
    return Picture(styled(alt.vconcat(channels(plan), against_rules(plan), spacing=SPACING)))


@draw.register
def _(size: ControlSize) -> Picture:
    return Picture(styled(control_size(size)))


@draw.register
def _(cohorts: Cohorts) -> Picture:
    return Picture(styled(calendar(cohorts)))


@draw.register
def _(found: Divergence) -> Picture:
    return Picture(styled(divergence(found)))


@draw.register
def _(found: Calendar) -> Picture:
    return Picture(styled(weeks(found)))


@draw.register
def _(design: Design) -> Picture:
    shares = effect_by_share(design)
    if not design.power_curve:
        return Picture(styled(shares))
    return Picture(styled(alt.vconcat(power_curve(design), shares, spacing=SPACING)))


@draw.register
def _(found: Rehearsal) -> Picture:
    return Picture(styled(false_alarms(found)))


@draw.register
def _(found: UpliftPower) -> Picture:
    return Picture(styled(targeting_power(found)))


@draw.register
def _(drivers: Drivers) -> Picture:
    return Picture(styled(alt.vconcat(*_swarms(drivers), spacing=SPACING)))


@draw.register
def _(importance: Importance) -> Picture:
    return Picture(styled(lost_without(importance)))


@draw.register
def _(explanation: Explanation) -> Picture:
    panels = _swarms(explanation.drivers) if explanation.drivers else []
    panels += [lost_without(explanation.importance)] if explanation.importance else []
    if not panels:
        raise DataError(
            "This explanation has neither drivers nor importance to draw. Use its table().",
            code="NOT_DRAWABLE",
        )
    return Picture(styled(alt.vconcat(*panels, spacing=SPACING).resolve_scale(color="independent")))


def _swarms(drivers: Drivers) -> list[Any]:
    """A chart per treatment: what moves one effect may leave another as it is."""
    return [swarm(drivers, treatment) for treatment in drivers.base]
