"""One self-contained page for the people who decide: no network, no script, the order they ask in.

Decision → money → who → contact plan → risk → what is not known → next test → method and evidence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from uplift.amendments import amendments_table
from uplift.checks import checks_table
from uplift.contacts.plan import ContactPlan
from uplift.contacts.policy import ContactPolicy
from uplift.evaluation.quality import Quality
from uplift.evaluation.roi import Roi
from uplift.files import write_text
from uplift.report.curve_charts import curves, depth, spread
from uplift.report.interval_charts import effects, losses, policies
from uplift.report.money import PLAN, Money, money_of
from uplift.report.plan_charts import against_rules, channels
from uplift.report.road import Road
from uplift.report.section import Section, figure
from uplift.report.words import Decision, decision_of, next_tests_of, risks_of, unknowns_of
from uplift.table import Column, Table, canonical_json
from uplift.text.texts import Text, text_of

TEMPLATE = "report.html"


@dataclass(frozen=True)
class Figure:
    """A number as people read it; `value` is the number as the results hold it."""

    value: float
    shown: str  # in whole units of the currency


@dataclass(frozen=True)
class Tile:
    """One number that must be seen first, with the known truth below it where there is one."""

    name: str
    profit: Figure
    unit: str
    detail: str
    truth: Figure | None


@dataclass(frozen=True)
class Page:
    """What the template shows."""

    language: str
    title: str
    eyebrow: str
    label: str
    decision: Decision
    verdict: str
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    method: Section
    appendix: tuple[Section, ...]
    money_json: Markup
    truth: str
    footer: str


def write_report(path: str | Path, road: Road) -> str:
    """Write the page of a road; gives its SHA-256."""
    return write_text(render(road), path)


def render(road: Road) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("uplift.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(page=page_of(road))


def page_of(road: Road) -> Page:
    """Everything on the page, in its order."""
    text, money = text_of(road.language), money_of(road)
    sections = (
        _amendments(road, text),
        _money(road, money, text),
        _who(road, text),
        _plan(road, text),
        _section("risk", text, points=tuple(risks_of(road))),
        _section("unknown", text, points=tuple(unknowns_of(road))),
        _section("next", text, points=tuple(next_tests_of(road))),
    )
    decision = decision_of(road)
    return Page(
        language=road.language,
        title=road.experiment.title,
        eyebrow=_eyebrow(road, text),
        label=road.label,
        decision=decision,
        verdict=text.value(decision.action, "term"),
        tiles=tuple(_tiles(road, money, text)),
        sections=tuple(section for section in sections if not section.is_empty),
        method=_section("method", text),
        appendix=tuple(part for part in _appendix(road, text) if not part.is_empty),
        money_json=_embedded(money),
        truth=text.tell("road.truth"),
        footer=_footer(road, text),
    )


def _section(key: str, text: Text, **parts: tuple[Any, ...]) -> Section:
    """A section with its title, and its lead where it has one."""
    lead = f"road.lead.{key}"
    words = text.tell(lead) if text.has(lead) else ""
    return Section(key, text.tell(f"road.section.{key}"), words, **parts)


def _eyebrow(road: Road, text: Text) -> str:
    schedule = road.experiment.schedule
    return text.tell(
        "road.eyebrow",
        kind=road.experiment.kind,
        id=road.experiment.id,
        start=schedule.launch_at.isoformat(),
        end=schedule.closes_at.isoformat(),
    )


def _tiles(road: Road, money: Money | None, text: Text) -> Iterator[Tile]:
    """The recommended way of contacting and the plan, each with its range and the known truth."""
    if money is None:
        return
    plan = money.row(PLAN) if road.plan and _limits(road.plan.policy) else None
    for row in (money.recommended, plan):
        if row is not None:
            yield Tile(
                text.tell("road.tile", name=row.name),
                _figure(row.profit, text),
                text.value(money.currency, "currency"),
                detail=text.tell("road.tile.range", low=row.low, high=row.high, cost=row.cost),
                truth=None if row.truth is None else _figure(row.truth, text),
            )


def _figure(value: float, text: Text) -> Figure:
    return Figure(value, text.value(value, "money"))


def _limits(policy: ContactPolicy) -> bool:
    return policy.budget is not None or bool(policy.max_volume) or bool(policy.min_volume)


def _amendments(road: Road, text: Text) -> Section:
    found = road.amendments or (road.report.amendments if road.report else ())
    tables = _html(text, amendments_table(found)) if found else ()
    return _section("amendments", text, tables=tables)


def _money(road: Road, money: Money | None, text: Text) -> Section:
    if money is None:
        return _section("money", text)
    tables = [money.table()]
    if road.roi is not None:
        tables.append(_returns(road.roi, text))
    return _section("money", text, tables=_html(text, *tables))


def _returns(roi: Roi, text: Text) -> Table:
    note = text.tell(
        "road.roi.note", currency=roi.currency, n_units=roi.n_units, confidence=roi.confidence
    )
    title = text.tell("road.roi.title", candidate=roi.candidate)
    return replace(roi.table(), title=title, note=note)


def _who(road: Road, text: Text) -> Section:
    charts: dict[str, Any] = {}
    if road.quality is not None:
        charts["policies"] = policies(road.quality, text)
        charts["curves"] = curves(road.quality, text=text)
    if road.roi is not None:
        charts["spread"] = spread(road.roi, text)
        charts["depth"] = depth(road.roi, text)
    return _section("who", text, figures=_pictures(charts, text))


def _pictures(charts: Mapping[str, Any], text: Text) -> tuple[Markup, ...]:
    """Charts by key, each with its name for people who hear the page."""
    return tuple(
        figure(chart, text.tell(f"chart.{key}.name"), key, text.language)
        for key, chart in charts.items()
    )


def _plan(road: Road, text: Text) -> Section:
    plan = road.plan
    if plan is None:
        return _section("plan", text)
    charts = {"channels": channels(plan, text), "rules": against_rules(plan, text)}
    return _section(
        "plan",
        text,
        points=(*_promise(plan, text), *(check.remedy for check in plan.notices)),
        figures=_pictures(charts, text),
        tables=_html(text, _channels(plan, text), *([plan.prices_table()] if plan.prices else [])),
    )


def _channels(plan: ContactPlan, text: Text) -> Table:
    note = text.tell(
        "road.plan.note",
        alone=plan.n_units - plan.n_contacts,
        n_units=plan.n_units,
        currency=plan.policy.currency,
        bound=plan.certificate.bound,
    )
    return replace(plan.table(), note=note)


def _promise(plan: ContactPlan, text: Text) -> Iterator[str]:
    currency = plan.policy.currency
    if plan.measured is not None:
        low, high = plan.measured.ci
        yield text.tell(
            "road.promise", expected=plan.expected_profit, currency=currency, low=low, high=high
        )
    yield text.tell("road.bound", bound=plan.certificate.bound, currency=currency)
    if plan.reasons:
        told = [{"reason": reason, "count": count} for reason, count in plan.reasons.items()]
        yield text.tell("road.left_alone", reasons=told)


def _appendix(road: Road, text: Text) -> Iterator[Section]:
    if road.report is not None:
        tables = (road.report.table(), road.report.money.table(), checks_table(road.report.checks))
        charts = {"absolute": effects(road.report, text)}
        yield _section(
            "effects", text, figures=_pictures(charts, text), tables=_html(text, *tables)
        )
    if road.design is not None:
        yield _section("design", text, tables=_html(text, *road.design.tables()))
    if road.suite is not None:
        charts = {"losses": losses(road.suite, text)}
        yield _section(
            "candidates",
            text,
            figures=_pictures(charts, text),
            tables=_html(text, road.suite.table()),
        )
    if road.quality is not None:
        yield _section("quality", text, tables=_html(text, *_quality_tables(road.quality)))
    if road.plan is not None:
        proof = (road.plan.checks_table(), road.plan.baselines_table())
        yield _section("certificate", text, tables=_html(text, *proof))
    yield _section("lineage", text, tables=_html(text, *_lineage(road)))


def _quality_tables(quality: Quality) -> Iterator[Table]:
    yield quality.policies_table()
    yield quality.gains_table()
    yield quality.rankings_table()
    yield quality.calibration_table()
    yield checks_table(quality.gates(), title="Gates of promotion")


def _lineage(road: Road) -> Iterator[Table]:
    yield road.experiment.table()
    rows = [("definition of the experiment", road.experiment.digest)]
    rows += [(name, digest) for name, digest in sorted(road.files.items())]
    yield Table("SHA-256 of what this page is made of", (Column("file"), Column("SHA-256")), rows)
    for result in (road.run, road.promotion):
        if result is not None:
            yield result.table()
    if road.history is not None:
        yield road.history


def _footer(road: Road, text: Text) -> str:
    if road.made_at is None:
        return text.tell("road.footer", owner=road.experiment.owner)
    made_at = road.made_at.astimezone(UTC).isoformat()
    return text.tell("road.footer_dated", made_at=made_at, owner=road.experiment.owner)


def _html(text: Text, *tables: Table) -> tuple[Markup, ...]:
    """Tables with heads in the language, where it has a word for them."""
    return tuple(
        Markup(_worded(table, text).html(text.language))  # noqa: S704  # Table escapes its cells
        for table in tables
    )


def _worded(table: Table, text: Text) -> Table:
    columns = [replace(column, name=text.word(column.name)) for column in table.columns]
    return replace(table, title=text.word(table.title), columns=columns, note=text.word(table.note))


def _embedded(money: Money | None) -> Markup:
    """JSON that cannot end its script element early."""
    text = canonical_json(money).replace("<", "\\u003c")
    return Markup(text)  # noqa: S704  # no "<" is left in it
