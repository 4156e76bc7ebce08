"""What people ask of a campaign's result, in the order they ask: money, who, risk, unknown, next.

Every number is a value of the report's JSON and names its key; every word is in the text tables.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from uplift.analysis.decision import REMEDY
from uplift.analysis.effects import GUARDRAIL
from uplift.analysis.report import AnalysisReport, effect_sentence
from uplift.analysis.segments import PROFIT
from uplift.report.keyed import Cell, Columns, Writer, shown
from uplift.report.section import Section
from uplift.text.places import Place
from uplift.text.texts import is_of_one

LEDGER = ("margin", "contact_cost", "redemption_cost")  # lines that add up to the total


@dataclass(frozen=True)
class Sheet:
    """A report, its JSON values and the writer of a language: what every section is made from."""

    report: AnalysisReport
    whole: Place
    write: Writer

    @property
    def currency(self) -> Place:
        """Of all money."""
        return self.whole["money"]["currency"]

    @property
    def money_rows(self) -> list[Place]:
        """A place per treatment."""
        return list(self.whole["money"]["rows"])

    def reading(self, name: Place) -> Place:
        """What a reading is called: the title of its metric, or itself when it is profit."""
        titles = {row.value["metric"]: row["title"] for row in self.whole["effects"]}
        return titles.get(name.value, name)

    def section(self, key: str, *, lead: str = "lead", **parts: tuple[Markup, ...]) -> Section:
        """A section whose title and lead are `section.<key>.title` and `.lead` in the tables."""
        name = f"section.{key}.{lead}"
        words = self.write.say(name, self.whole) if self.write.text.has(name) else ""
        return Section(key, self.write.say(f"section.{key}.title"), words, **parts)


def check_words(sheet: Sheet, check: Place) -> Markup:
    """What a check is called and what to do, in the language of the page."""
    return check_name(sheet, check) + sheet.write.say("page.colon") + check_remedy(sheet, check)


def _of_check(sheet: Sheet, check: Place, part: str) -> Markup:
    own = f"check.{check.value['code']}.{part}"
    return sheet.write.say(own if sheet.write.text.has(own) else f"check.other.{part}", check)


def check_name(sheet: Sheet, check: Place) -> Markup:
    """What a check is called."""
    name = _of_check(sheet, check, "name")
    known = sheet.write.text.has(f"check.{check.value['code']}.name")
    part = known and is_of_one(check.value["name"])
    return name + sheet.write.say("check.of", check) if part else name


def check_remedy(sheet: Sheet, check: Place) -> Markup:
    """What to do when a check does not hold."""
    return _of_check(sheet, check, "remedy")


def reasons(sheet: Sheet) -> list[Markup]:
    """The sentences of the decision, the first one first."""
    decision = sheet.whole["decision"]
    if not decision.value["reasons"]:  # made by hand: its words are all there is
        return [sheet.write.value(words) for words in decision["words"]]
    return [
        check_words(sheet, reason["values"])
        if reason.value["code"] == REMEDY
        else sheet.write.say(f"decision.{reason.value['code']}", reason["values"])
        for reason in decision["reasons"]
    ]


def amendments(sheet: Sheet) -> Section:
    """What was not done as it was sealed."""
    said = tuple(sheet.write.say("amendment", one) for one in sheet.whole["amendments"])
    return sheet.section("amendments", points=said)


def money(sheet: Sheet) -> Section:
    """Profit with its range, the ledger, what discounts gave away, what the holdout cost."""
    notes = tuple(_given_away(sheet)) + tuple(
        sheet.write.say("holdout", row, currency=sheet.currency) for row in sheet.money_rows
    )
    return sheet.section(
        "money",
        lead="lead" if sheet.report.judged else "withheld",
        notes=notes,
        tables=shown((_ranges(sheet), _ledger(sheet))),
    )


def _ranges(sheet: Sheet) -> Markup:
    columns: Columns = (
        ("arm", "name"),
        ("profit_total", "money"),
        ("at_least", "money"),
        ("at_most", "money"),
        ("units", "count"),
        ("profit_each", "signed"),
        ("range", "interval"),
        ("p_adjusted", "p_value"),
        ("roi", "number"),
    )
    rows: list[list[Cell]] = [
        [
            row["arm"],
            row["total"],
            row["total_ci"][0],
            row["total_ci"][1],
            row["n_units"],
            row["profit"]["effect"],
            row["profit"]["ci"],
            row["p_adjusted"],
            row["roi"],
        ]
        for row in sheet.money_rows
    ]
    return sheet.write.table("table.ranges", columns, rows, note="table.ranges.note")


def _ledger(sheet: Sheet) -> Markup:
    arms = sheet.money_rows
    used = [line for line in LEDGER if line == "margin" or any(row.value[line] for row in arms)]
    columns: Columns = [
        ("line", ""),
        *((sheet.write.value(row["arm"], "name"), "cents") for row in arms),
    ]
    rows: list[list[Cell]] = [
        [sheet.write.say(f"ledger.{line}"), *(row[line] for row in arms)]
        for line in (*used, "total")
    ]
    return sheet.write.table("table.ledger", columns, rows, note="table.ledger.note")


def _given_away(sheet: Sheet) -> Iterator[Markup]:
    """What is known of discounts that customers got who would have bought anyway."""
    bounded = False
    for row in sheet.money_rows:
        known = row.value["given_away"]["known"]
        if known != "nothing redeemed":
            bounded |= known == "bounds"
            yield sheet.write.say(f"given_away.{known}", row, currency=sheet.currency)
    if bounded:
        yield sheet.write.say("given_away.how")


def who(sheet: Sheet) -> Section:
    """Effects by segment, profit first; all intervals hold together."""
    found = sheet.whole["segments"]
    order = sorted(found, key=lambda one: one.value["reading"] != PROFIT)
    if not order:
        return sheet.section("who", lead="none", points=(sheet.write.say("who.none"),))
    points = [
        sheet.write.say(
            "who.differ" if one.differ else "who.alike",
            place,
            what=sheet.reading(place["reading"]),
            difference=place["effects"]["heterogeneity"],
        )
        for place, one in zip(found, (row.effects for row in sheet.report.segments), strict=True)
        if sheet.report.judged and place.value["effects"]["heterogeneity"] is not None
    ]
    names = list(dict.fromkeys((one.value["by"], one.value["reading"]) for one in order))
    tables = [_segments(sheet, [one for one in order if _asked(one) == name]) for name in names]
    return sheet.section("who", points=tuple(points), tables=shown(tables))


def _asked(segment: Place) -> tuple[str, str]:
    return segment.value["by"], segment.value["reading"]


def _segments(sheet: Sheet, readings: list[Place]) -> Markup:
    by, reading = readings[0]["by"], readings[0]["reading"]
    columns: Columns = (
        (sheet.write.value(by, "name"), ""),
        ("arm", "name"),
        (sheet.write.value(sheet.reading(reading), "term"), "signed"),
        ("range_all", "interval"),
        ("p_adjusted", "p_value"),
        ("shrunken", "signed"),
        ("n_control", "count"),
        ("n_treatment", "count"),
    )
    rows: list[list[Cell]] = [
        [
            one["segment"],
            reading_["treatment"],
            one["effect"] if not one.value["reason"] else sheet.write.value(one["reason"], "term"),
            one["ci"],
            one["adjusted_p_value"],
            one["shrunken"],
            one["n_control"],
            one["n_treatment"],
        ]
        for reading_ in readings
        for one in reading_["effects"]["segments"]
    ]
    return sheet.write.table("table.segments", columns, rows, note="table.segments.note")


def risks(sheet: Sheet) -> list[Markup]:
    """What may go wrong: failed checks, guardrails, leaks, customers on whom it all hangs."""
    checks = list(sheet.whole["checks"])
    failed = [one for one in checks if not one.value["passed"]]
    blocking = [one for one in failed if one.value["blocking"]]
    others = [one for one in failed if one not in blocking and one.value["code"] != "GUARDRAIL"]
    guarded = [
        (row, place)
        for row, place in zip(sheet.report.effects, sheet.whole["effects"], strict=True)
        if row.role == GUARDRAIL and sheet.report.judged
    ]
    holding = [pair for pair in guarded if pair[0].proven]
    broken = [pair for pair in guarded if not pair[0].proven]
    return [
        *(check_words(sheet, one) for one in blocking),
        *(sheet.write.say(effect_sentence(row), place) for row, place in broken),
        *(check_words(sheet, one) for one in others),
        *_leaks(sheet),
        *_hanging(sheet),
        *(sheet.write.say(effect_sentence(row), place) for row, place in holding),
    ]


def _leaks(sheet: Sheet) -> Iterator[Markup]:
    for one in sheet.whole["delivery"]:
        if one.value["leak"] is not None:
            yield sheet.write.say("leak", one)


def _hanging(sheet: Sheet) -> Iterator[Markup]:
    """Proven effects that a few customers could undo, were they chosen to hurt."""
    for one in sheet.whole["influence"]:
        if sheet.report.judged and one.value["influence"]["undone_by"] is not None:
            what = sheet.reading(one["reading"])
            yield sheet.write.say("influence.undone", one, what=what)


def risk(sheet: Sheet) -> Section:
    """The risks as a section."""
    points = tuple(risks(sheet)) or (sheet.write.say("risk.none"),)
    return sheet.section("risk", points=points, tables=shown((_lost(sheet),)))


def _lost(sheet: Sheet) -> Markup:
    """Units per arm, assigned and analysed."""
    columns: Columns = (("arm", "name"), ("assigned", "count"), ("analysed", "count"))
    named = {row.value["arm"]: sheet.write.value(row["arm"], "name") for row in sheet.money_rows}
    rows: list[list[Cell]] = [
        [named.get(arm, sheet.write.say("name.control")), place, sheet.whole["analysed"][arm]]
        for arm, place in sheet.whole["assigned"].items()
    ]
    return sheet.write.table("table.units", columns, rows)


def unknown(sheet: Sheet) -> Section:
    """What the experiment does not show."""
    report, say = sheet.report, sheet.write.say
    points = [
        say("unknown.effect", place)
        for row, place in zip(report.effects, sheet.whole["effects"], strict=True)
        if row.tested and not row.proven and report.judged
    ]
    if not report.judged:
        points.append(say("unknown.withheld"))
    if not any(row.role == GUARDRAIL for row in report.effects):
        points.append(say("unknown.guardrails"))
    if not report.delivery:
        points.append(say("unknown.delivery"))
    points.append(say("unknown.later"))
    points.append(say("unknown.customer"))
    return sheet.section("unknown", points=tuple(points))


def next_test(sheet: Sheet) -> Section:
    """What to do next, and what would change the decision."""
    action: str = sheet.report.decision.action
    if action == "none" and sheet.report.valid:  # nothing is at fault: it is too early
        action = "wait"
    points = [sheet.write.say(f"next.{action}", sheet.whole["decision"])]
    if action == "retest":
        points.append(sheet.write.say("next.size"))
    if sheet.report.ahead:
        points.append(sheet.write.say("next.look", sheet.whole["ahead"][0]))
    points.append(sheet.write.say(f"change.{action}"))
    return sheet.section("next", points=tuple(points))
