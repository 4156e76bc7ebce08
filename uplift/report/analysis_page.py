"""One self-contained page of an analysis: no network, no script, the decision first.

Decision → money → who → risk → what is not known → next test → evidence. Every value names the key
of the report's JSON that it is (`data-key`), and the JSON stands at the end of the page.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from uplift.analysis.report import AnalysisReport
from uplift.files import write_text
from uplift.report.analysis_evidence import evidence
from uplift.report.analysis_sections import (
    Sheet,
    amendments,
    money,
    next_test,
    reasons,
    risk,
    risks,
    unknown,
    who,
)
from uplift.report.keyed import Writer
from uplift.report.section import Section
from uplift.text.places import Place
from uplift.text.texts import text_of

TEMPLATE = "analysis.html"


@dataclass(frozen=True)
class Tile:
    """A profit that must be seen first, with its range."""

    name: Markup
    value: Markup
    unit: Markup
    detail: Markup


@dataclass(frozen=True)
class AnalysisPage:
    """What the template shows.

    action   of the decision, for its colour; `verdict` is its word
    risk     the first risk, beside the decision
    """

    language: str
    title: str
    heading: Markup
    eyebrow: Markup
    label: str
    action: str
    verdict: Markup
    headline: Markup
    tiles: tuple[Tile, ...]
    risk: Markup
    reasons: tuple[Markup, ...]
    sections: tuple[Section, ...]
    method_title: Markup
    method_lead: Markup
    evidence: tuple[Section, ...]
    json: Markup
    footer: Markup


def write_analysis_page(report: AnalysisReport, path: str | Path, *, language: str = "en") -> str:
    """Write the page of an analysis; gives its SHA-256."""
    return write_text(render_analysis(report, language=language), path)


def render_analysis(report: AnalysisReport, *, language: str = "en") -> str:
    """The page as HTML. Errors: LANGUAGE_UNKNOWN."""
    environment = Environment(
        loader=PackageLoader("uplift.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(page=analysis_page(report, language))


def analysis_page(report: AnalysisReport, language: str = "en") -> AnalysisPage:
    """Everything on the page, in its order."""
    sheet = Sheet(report, Place(report.to_dict()), Writer(text_of(language)))
    say, said = sheet.write.say, reasons(sheet)
    headline, told = said[0], said[1:]
    if report.decision.action == "scale" and report.decision.reasons:
        headline, told = say("headline.scale", sheet.whole["decision"]), said
    sections = (
        amendments(sheet),
        money(sheet),
        who(sheet),
        risk(sheet),
        unknown(sheet),
        next_test(sheet),
    )
    return AnalysisPage(
        language=language,
        title=report.title,
        heading=sheet.write.value(sheet.whole["title"]),
        eyebrow=say("page.eyebrow" if report.as_of else "page.eyebrow_now", sheet.whole),
        label=say("page.provisional") if report.provisional else "",
        action=report.decision.action,
        verdict=sheet.write.value(sheet.whole["decision"]["action"], "term"),
        headline=headline,
        tiles=tuple(_tiles(sheet)),
        risk=_first_risk(sheet),
        reasons=tuple(told),
        sections=tuple(one for one in sections if not one.is_empty),
        method_title=say("section.method.title"),
        method_lead=say("section.method.lead"),
        evidence=tuple(one for one in evidence(sheet) if not one.is_empty),
        json=_embedded(report),
        footer=say("page.footer"),
    )


def _tiles(sheet: Sheet) -> Iterator[Tile]:
    """Profit of the version that is scaled, else of every one; none when there is no verdict."""
    decision = sheet.report.decision
    if decision.action == "none":
        return
    for row in sheet.money_rows:
        if decision.arm in (None, row.value["arm"]):
            yield Tile(
                sheet.write.say("tile.profit", row),
                sheet.write.value(row["total"], "money"),
                sheet.write.value(sheet.currency, "currency"),
                sheet.write.say("tile.range", row),
            )


def _first_risk(sheet: Sheet) -> Markup:
    found = risks(sheet)
    return sheet.write.say("risk.first") + (found[0] if found else sheet.write.say("risk.none"))


def _embedded(report: AnalysisReport) -> Markup:
    """JSON that cannot end its script element early."""
    text = report.to_json().replace("<", "\\u003c")
    return Markup(text)  # noqa: S704  # no "<" is left in it
