"""What stands below the answers of an analysis page, for those who want to check."""

from collections.abc import Iterator

from markupsafe import Markup

from uplift.analysis.columns import GROSS
from uplift.analysis.effects import GUARDRAIL
from uplift.report.analysis_charts import forest, looks
from uplift.report.analysis_sections import Sheet, check_name, check_remedy
from uplift.report.keyed import Cell, Columns, shown
from uplift.report.section import Section, figure
from uplift.text.places import Place

Rows = list[list[Cell]]


def evidence(sheet: Sheet) -> Iterator[Section]:
    """Every part, in order; empty ones are left out by the page."""
    yield _effects(sheet)
    yield _looks(sheet)
    yield sheet.section("funnel", tables=shown((_funnel(sheet),)))
    yield sheet.section("delivery", tables=shown((_delivery(sheet), _reached(sheet))))
    yield sheet.section("spend", tables=shown((_spend(sheet),)))
    yield sheet.section("waves", tables=shown((_waves(sheet),)))
    yield sheet.section("influence", tables=shown((_influence(sheet),)))
    yield sheet.section("belief", tables=shown((_belief(sheet),)))
    yield sheet.section("checks", tables=shown((_checks(sheet),)))
    yield sheet.section("how", points=tuple(_methods(sheet)))
    yield sheet.section("digests", tables=shown((_digests(sheet),)))


def _effects(sheet: Sheet) -> Section:
    chart = forest(sheet.report, sheet.write.text)
    pictures = () if chart is None else (_picture(sheet, chart, "effects"),)
    tables = (_effect_table(sheet), _beside(sheet), _differences(sheet))
    return sheet.section("effects", figures=pictures, tables=shown(tables))


def _picture(sheet: Sheet, chart: object, key: str) -> Markup:
    text = sheet.write.text
    return figure(chart, text.plain(f"chart.{key}.name"), key, text.language)


def _effect_table(sheet: Sheet) -> Markup:
    columns: Columns = (
        ("metric", ""),
        ("arm", "name"),
        ("verdict", "term"),
        ("effect", "signed"),
        ("range", "interval"),
        ("relative", "signed_share"),
        ("relative_range", "share_interval"),
        ("p_adjusted", "p_value"),
        ("control_mean", "number"),
        ("method", "term"),
    )
    rows: Rows = [
        [
            row["title"],
            row["treatment"],
            row["verdict"],
            row["estimate"]["effect"],
            row["estimate"]["ci"],
            row["estimate"]["relative_effect"],
            row["estimate"]["relative_ci"],
            row["p_adjusted"],
            row["estimate"]["control_mean"],
            row["method"],
        ]
        for row in sheet.whole["effects"]
    ]
    note = "table.effects.note"
    return sheet.write.table("table.effects", columns, rows, note=note)


def _beside(sheet: Sheet) -> Markup:
    """The same effects read otherwise: unadjusted, uncapped, without one dominating customer."""
    columns: Columns = (
        ("metric", ""),
        ("arm", "name"),
        ("read_as", ""),
        ("effect", "signed"),
        ("range", "interval"),
    )
    rows: Rows = [
        [
            row["title"],
            row["treatment"],
            sheet.write.say(f"beside.{other}", row),
            row[other]["effect"],
            row[other]["ci"],
        ]
        for row in sheet.whole["effects"]
        for other in ("unadjusted", "uncapped", "winsorised")
        if row.value[other] is not None
        and row.value[other]["effect"] != row.value["estimate"]["effect"]
    ]
    return sheet.write.table("table.beside", columns, rows, note="table.beside.note")


def _differences(sheet: Sheet) -> Markup:
    """Profit of every treatment over the others."""
    columns: Columns = (
        ("arm", "name"),
        ("over", "name"),
        ("profit_each", "signed"),
        ("range", "interval"),
    )
    rows: Rows = [
        [one["arm"], one["over"], one["estimate"]["effect"], one["estimate"]["ci"]]
        for one in sheet.whole["money"]["differences"]
        if one.value["arm"] < one.value["over"]
    ]
    return sheet.write.table("table.differences", columns, rows)


def _looks(sheet: Sheet) -> Section:
    chart = looks(sheet.report, sheet.write.text)
    if chart is None:
        return sheet.section("looks")
    tables = (_look_table(sheet), _ahead(sheet))
    return sheet.section("looks", figures=(_picture(sheet, chart, "looks"),), tables=shown(tables))


def _look_table(sheet: Sheet) -> Markup:
    columns: Columns = (
        ("look", "plain"),
        ("day", "plain"),
        ("information", "share"),
        ("n_units", "count"),
        ("test", ""),
        ("arm", "name"),
        ("z", "signed"),
        ("bound", "number"),
        ("p_value", "p_value"),
    )
    taken = [*sheet.whole["earlier"]]
    if sheet.report.look is not None:
        taken.append(sheet.whole["look"])
    rows: Rows = [
        [
            look["number"],
            look["day"],
            look["fraction"],
            look["n_units"],
            what,
            arm,
            look["tests"][test]["z"],
            look["tests"][test]["bound"],
            look["tests"][test]["p_value"],
        ]
        for look in taken
        for test, what, arm in _tests(sheet)
        if test in look.value["tests"]
    ]
    return sheet.write.table("table.looks", columns, rows)


def _tests(sheet: Sheet) -> Iterator[tuple[str, Cell, Place]]:
    """Name of each test worth following, what it is of and the arm: profit, primary metric."""
    for row in sheet.money_rows:
        yield f"{GROSS} by {row.value['arm']}", sheet.write.say("term.profit"), row["arm"]
    for row in sheet.whole["effects"]:
        if row.value["role"] == "primary":
            named = f"{row.value['metric']} by {row.value['treatment']}"
            yield named, row["title"], row["treatment"]


def _ahead(sheet: Sheet) -> Markup:
    columns: Columns = (("day", "plain"), ("information", "share"), ("bound", "number"))
    rows: Rows = [[one["day"], one["fraction"], one["bound"]] for one in sheet.whole["ahead"]]
    return sheet.write.table("table.ahead", columns, rows)


def _funnel(sheet: Sheet) -> Markup:
    if sheet.report.funnel is None:
        return Markup("")
    columns: Columns = (
        ("stage", ""),
        ("arm", "name"),
        ("mean", "number"),
        ("from_before", "number"),
        ("effect", "signed"),
        ("range", "interval"),
        ("p_adjusted", "p_value"),
        ("verdict", "term"),
    )
    control = sheet.write.say("name.control")
    rows: Rows = [
        [
            row["title"],
            control if row.value["verdict"] == "" else row["arm"],
            row["mean"],
            row["from_before"],
            row["effect"],
            row["ci"] if row.value["verdict"] else None,
            row["p_adjusted"],
            row["verdict"] if row.value["verdict"] else None,  # the control has none
        ]
        for row in sheet.whole["funnel"]["rows"]
    ]
    return sheet.write.table("table.funnel", columns, rows, note="table.funnel.note")


def _delivery(sheet: Sheet) -> Markup:
    columns: Columns = (
        ("arm", "name"),
        ("assigned", "count"),
        ("sent", "count"),
        ("delivered", "count"),
    )
    rows: Rows = [
        [one["arm"], one["assigned"], one["sent"], one["delivered"]]
        for one in sheet.whole["delivery"]
    ]
    return sheet.write.table("table.delivery", columns, rows)


def _reached(sheet: Sheet) -> Markup:
    """Effect of being assigned, of being reached, and without the leak."""
    columns: Columns = (
        ("arm", "name"),
        ("effect_of", ""),
        ("effect", "signed"),
        ("low", "signed"),
        ("high", "signed"),
    )
    rows: Rows = []
    for one in sheet.whole["delivery"]:
        complier, leak = one["complier"], one["leak"]
        if complier.value is not None:
            rows += [
                _reading(sheet, one, "assigned", complier["assigned"]["effect"],
                         complier["assigned"]["ci"]),
                _reading(sheet, one, "reached", complier["effect"], complier["ci"]),
            ]  # fmt: skip
        if leak.value is not None:
            rows += [
                _reading(sheet, one, "no_leak", leak["if_alike"], leak["if_alike_ci"]),
                _reading(sheet, one, "bounds", None, leak["bounds"]),
            ]
    return sheet.write.table("table.reached", columns, rows, note="table.reached.note")


def _reading(sheet: Sheet, one: Place, what: str, effect: Place | None, ci: Place) -> list[Cell]:
    return [one["arm"], sheet.write.say(f"reached.{what}"), effect, ci[0], ci[1]]


def _spend(sheet: Sheet) -> Markup:
    columns: Columns = (
        ("arm", "name"),
        ("part", ""),
        ("effect", "signed"),
        ("range", "interval"),
        ("share_of_effect", "share"),
    )
    rows: Rows = []
    for one in sheet.whole["spend"]:
        parts = one["parts"]
        for part in ("buyers", "baskets"):
            rows.append(
                [one["treatment"], sheet.write.say(f"spend.{part}"), parts[part]["effect"],
                 parts[part]["ci"], parts[part]["share"]]
            )  # fmt: skip
        whole = parts["spend"]
        rows.append(
            [one["treatment"], sheet.write.say("spend.whole"), whole["effect"], whole["ci"], None]
        )
    return sheet.write.table("table.spend", columns, rows)


def _waves(sheet: Sheet) -> Markup:
    columns: Columns = (
        ("wave", ""),
        ("arm", "name"),
        ("effect", "signed"),
        ("range", "interval"),
    )
    rows: Rows = [
        [one["wave"], one["treatment"], one["estimate"]["effect"], one["estimate"]["ci"]]
        for one in sheet.whole["waves"]
    ]
    return sheet.write.table("table.waves", columns, rows)


def _influence(sheet: Sheet) -> Markup:
    columns: Columns = (
        ("reading", "term"),
        ("arm", "name"),
        ("all_customers", "signed"),
        ("left_out", "count"),
        ("without_largest", "signed"),
        ("range", "interval"),
        ("without_best", "signed"),
        ("undone_by", "count"),
    )
    rows: Rows = [
        [
            sheet.reading(one["reading"]),
            one["treatment"],
            one["influence"]["effect"]["effect"],
            one["influence"]["n_left_out"],
            one["influence"]["without"]["effect"],
            one["influence"]["without"]["ci"],
            one["influence"]["worst"]["effect"],
            one["influence"]["undone_by"],
        ]
        for one in sheet.whole["influence"]
    ]
    return sheet.write.table("table.influence", columns, rows, note="table.influence.note")


def _belief(sheet: Sheet) -> Markup:
    columns: Columns = (
        ("metric", ""),
        ("arm", "name"),
        ("believed", "signed"),
        ("range", "interval"),
        ("chance_to_win", "share"),
        ("loss_if_treated", "number"),
        ("loss_if_not", "number"),
    )
    rows: Rows = [
        [
            row["title"],
            row["treatment"],
            row["posterior"]["mean"],
            row["posterior"]["ci"],
            row["posterior"]["chance_to_win"],
            row["posterior"]["loss_of_treating"],
            row["posterior"]["loss_of_control"],
        ]
        for row in sheet.whole["effects"]
        if row.value["posterior"] is not None and row.value["role"] != GUARDRAIL
    ]
    return sheet.write.table("table.belief", columns, rows, note="table.belief.note")


def _checks(sheet: Sheet) -> Markup:
    columns: Columns = (
        ("check", ""),
        ("id", ""),
        ("verdict", ""),
        ("value", "plain"),
        ("limit", "plain"),
        ("remedy", ""),
    )
    rows: Rows = [
        [
            check_name(sheet, one),
            one["name"],
            sheet.write.say(f"term.{check.verdict}"),
            one["value"],
            one["bound"],
            None if check.passed else check_remedy(sheet, one),
        ]
        for check, one in zip(sheet.report.checks, sheet.whole["checks"], strict=True)
    ]
    return sheet.write.table("table.checks", columns, rows)


def _methods(sheet: Sheet) -> Iterator[Markup]:
    say = sheet.write.say
    yield say("how.assigned")
    yield say("how.confidence", sheet.whole)
    if len(sheet.report.family) > 1:
        yield say("how.family")
    for method in dict.fromkeys(row.method for row in sheet.report.effects):
        if sheet.write.text.has(f"how.{method}"):
            yield say(f"how.{method}")
    if sheet.report.earlier or sheet.report.ahead:
        yield say("how.looks")
    if sheet.report.segments:
        yield say("how.segments")
    yield say("how.decision")


def _digests(sheet: Sheet) -> Markup:
    rows: Rows = [
        [sheet.write.say(f"digest.{name}"), sheet.whole[name]]
        for name in ("experiment", "digest", "data_digest")
    ]
    return sheet.write.table("table.digests", (("what", ""), ("value", "")), rows)
