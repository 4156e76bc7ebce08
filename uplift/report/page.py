"""One self-contained page for the people who decide: no network, no script, the order they ask in.

Decision → money → who → contact plan → risk → what is not known → next test → method and evidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from uplift.amendments import amendments_table
from uplift.checks import checks_table
from uplift.contacts.policy import ContactPolicy
from uplift.files import write_text
from uplift.report.curve_charts import curves, depth, spread
from uplift.report.interval_charts import effects, losses, policies
from uplift.report.money import PLAN, Money, money_of
from uplift.report.plan_charts import against_rules, channels
from uplift.report.road import Road
from uplift.report.section import Section, figure
from uplift.report.words import Decision, decision_of, next_tests_of, risks_of, unknowns_of
from uplift.table import Column, Table, canonical_json, format_value

TEMPLATE = "report.html"
KINDS = {
    "ab_test": "A/B test",
    "campaign_holdout": "Campaign with a holdout",
    "factorial": "Factorial test",
    "universal_control": "Universal control group",
    "trigger": "Always-on trigger",
}


@dataclass(frozen=True)
class Figure:
    """A number as people read it; `value` is the number as the results hold it."""

    value: float

    @property
    def shown(self) -> str:
        """In whole units of the currency."""
        return format_value(self.value, "money")


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
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    appendix: tuple[Section, ...]
    money_json: Markup
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
    money = money_of(road)
    sections = (
        _amendments(road),
        _money(road, money),
        _who(road),
        _plan(road),
        Section("risk", "What may go wrong", points=tuple(risks_of(road))),
        Section("unknown", "What we do not know", points=tuple(unknowns_of(road))),
        Section("next", "What to test next", points=tuple(next_tests_of(road))),
    )
    return Page(
        language=road.language,
        title=road.experiment.title,
        eyebrow=_eyebrow(road),
        label=road.label,
        decision=decision_of(road),
        tiles=tuple(_tiles(road, money)),
        sections=tuple(section for section in sections if not section.is_empty),
        appendix=tuple(part for part in _appendix(road) if not part.is_empty),
        money_json=_embedded(money),
        footer=_footer(road),
    )


def _eyebrow(road: Road) -> str:
    schedule = road.experiment.schedule
    start, end = schedule.launch_at.date(), schedule.closes_at.date()
    return (
        f"{KINDS[road.experiment.kind]} · {road.experiment.id} · "
        f"{start.day} {start:%B %Y} to {end.day} {end:%B %Y}"
    )


def _tiles(road: Road, money: Money | None) -> Iterator[Tile]:
    """The recommended way of contacting and the plan, each with its range and the known truth."""
    if money is None:
        return
    plan = money.row(PLAN) if road.plan and _limits(road.plan.policy) else None
    for row in (money.recommended, plan):
        if row is not None:
            low, high, cost = (format_value(x, "money") for x in (row.low, row.high, row.cost))
            yield Tile(
                f"Profit: {row.name}",
                Figure(row.profit),
                money.currency,
                detail=f"between {low} and {high}, after costs of {cost}",
                truth=None if row.truth is None else Figure(row.truth),
            )


def _limits(policy: ContactPolicy) -> bool:
    return policy.budget is not None or bool(policy.max_volume) or bool(policy.min_volume)


def _amendments(road: Road) -> Section:
    found = road.amendments or (road.report.amendments if road.report else ())
    return Section(
        "amendments",
        "What was changed after sealing",
        lead="The experiment was not run exactly as it was promised.",
        tables=_html(amendments_table(found)) if found else (),
    )


def _money(road: Road, money: Money | None) -> Section:
    if money is None:
        return Section("money", "What it brings")
    tables = [money.table()]
    if road.roi is not None:
        tables.append(road.roi.table())
    return Section(
        "money",
        "What it brings",
        lead="Profit over contacting nobody. A range that includes zero means: not proven.",
        tables=_html(*tables),
    )


def _who(road: Road) -> Section:
    figures = []
    if road.quality is not None:
        figures += [
            figure(policies(road.quality), "Value of every policy with its interval", "policies"),
            figure(curves(road.quality), "Gain of the ranking by share contacted", "curves"),
        ]
    if road.roi is not None:
        figures += [
            figure(spread(road.roi), "Expected profit per customer by arm", "spread"),
            figure(depth(road.roi), "Expected profit by share contacted", "depth"),
        ]
    return Section(
        "who",
        "Who should be contacted",
        lead="A policy is worth having only if it beats the simpler ones outside the noise.",
        figures=tuple(figures),
    )


def _plan(road: Road) -> Section:
    plan = road.plan
    if plan is None:
        return Section("plan", "The next contacts")
    points = [*_promise(road), *(check.remedy for check in plan.notices)]
    return Section(
        "plan",
        "The next contacts",
        points=tuple(points),
        figures=(
            figure(channels(plan), "Contacts per channel with limits", "channels"),
            figure(against_rules(plan), "The plan beside simple rules", "rules"),
        ),
        tables=_html(plan.table(), *([plan.prices_table()] if plan.prices else [])),
    )


def _promise(road: Road) -> Iterator[str]:
    plan = road.plan
    if plan is None:
        return
    money = plan.policy.currency
    expected = format_value(plan.expected_profit, "money")
    if plan.measured is not None:
        low, high = (format_value(bound, "money") for bound in plan.measured.ci)
        yield (
            f"The models promise {expected} {money}. The experiment's own outcomes put it between "
            f"{low} and {high} {money}; they also helped to choose whom to contact, which may "
            "flatter the plan a little."
        )
    bound = format_value(plan.certificate.bound, "money")
    yield f"No plan within these limits is expected to earn more than {bound} {money}: proven."
    reasons = plan.reasons
    if reasons:
        told = ", ".join(
            f"{reason} ({format_value(count, 'count')})" for reason, count in reasons.items()
        )
        yield f"Why customers are left alone: {told}."


def _appendix(road: Road) -> Iterator[Section]:
    if road.report is not None:
        checks = checks_table(road.report.checks)
        yield Section(
            "effects",
            "Effects by the sealed plan",
            figures=(figure(effects(road.report), "Effects with intervals", "effects"),),
            tables=_html(road.report.table(), road.report.money.table(), checks),
        )
    if road.design is not None:
        yield Section(
            "design",
            "What the design could answer",
            tables=_html(*road.design.tables()),
        )
    if road.suite is not None:
        yield Section(
            "candidates",
            "Candidates on one shared cross-fit",
            figures=(figure(losses(road.suite), "Loss of every candidate", "losses"),),
            tables=_html(road.suite.table()),
        )
    if road.quality is not None:
        quality = road.quality
        yield Section(
            "quality",
            "Rankings, policies and gates",
            tables=_html(
                quality.policies_table(),
                quality.gains_table(),
                quality.rankings_table(),
                quality.calibration_table(),
                checks_table(quality.gates(), title="Gates of promotion"),
            ),
        )
    if road.plan is not None:
        yield Section(
            "certificate",
            "Certificate of the plan",
            tables=_html(road.plan.checks_table(), road.plan.baselines_table()),
        )
    yield Section("lineage", "Audit trail and lineage", tables=_html(*_lineage(road)))


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


def _footer(road: Road) -> str:
    made = f" on {road.made_at:%Y-%m-%d %H:%M} UTC" if road.made_at else ""
    return f"Written by uplift{made}. {road.experiment.owner} owns the experiment."


def _html(*tables: Table) -> tuple[Markup, ...]:
    return tuple(Markup(table.html()) for table in tables)  # noqa: S704  # Table escapes its cells


def _embedded(money: Money | None) -> Markup:
    """JSON that cannot end its script element early."""
    text = canonical_json(money).replace("<", "\\u003c")
    return Markup(text)  # noqa: S704  # no "<" is left in it
