import json
import re
from dataclasses import fields, replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from uplift.errors import DefinitionError
from uplift.files import file_digest
from uplift.report.money import money_of
from uplift.report.page import render, write_report
from uplift.report.road import Road
from uplift.report.words import decision_of, next_tests_of, risks_of, unknowns_of
from uplift.table import format_value, to_plain
from uplift.text.texts import TABLES

SPITEFUL = "<script>alert('x')</script> & \"co\""


@pytest.fixture(scope="module")
def page(road):
    return render(road)


class Reader(HTMLParser):
    """Collects tags, addresses, and the text and value of <data> elements."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses, self.figures, self._open = [], [], [], None

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href", "action")]
        if tag == "data":
            self._open = given["value"]

    def handle_data(self, data):
        if self._open is not None:
            self.figures.append((self._open, data))
            self._open = None


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader


def test_the_page_needs_no_network_and_runs_no_script(page):
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", page)
    reader = read(page)
    assert [a for a in reader.addresses if not a.startswith("#")] == []
    assert reader.tags.count("script") == 1
    assert '<script type="application/json"' in page
    assert not {"link", "img", "iframe", "object"} & set(reader.tags)


def test_names_are_escaped_wherever_they_stand(page):
    assert "alert('x')</script>" not in page
    assert page.count("&lt;script&gt;alert(") >= 3  # title, heading, audit trail


def test_sections_stand_in_the_order_people_ask(page):
    keys = re.findall(r'<section[^>]* id="([a-z]+)"', page)
    assert keys == ["decision", "money", "who", "plan", "risk", "unknown", "next", "method"]


def test_every_number_of_the_money_block_is_the_one_in_the_results(page, road):
    held = json.loads(re.search(r'id="money-data">(.*?)</script>', page, re.DOTALL)[1])
    rows = {row["source"]: row for row in held["rows"]}
    for total in to_plain(road.roi)["totals"]:
        row = rows[f"roi.totals.{total['arm']}"]
        assert [row["profit"], row["low"], row["high"]] == [total["profit"], *total["ci"]]
    plan = to_plain(road.plan)
    measured = plan["measured"]
    row = rows["plan.measured"]
    assert [row["profit"], row["low"], row["high"]] == [measured["profit"], *measured["ci"]]
    assert row["cost"] == plan["cost"]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page.split('id="money"')[1])
    for row in rows.values():
        for key in ("profit", "low", "high", "cost"):
            assert format_value(row[key], "money") in cells


def test_the_first_numbers_are_the_results_numbers_rounded(page, road):
    money = money_of(road)
    figures = read(page).figures
    assert figures
    known = {x for row in money.rows for x in (row.profit, row.truth)}
    for value, shown in figures:
        assert float(value) in known
        assert shown == format_value(float(value), "money")


def test_the_truth_stands_beside_the_estimate_only_where_it_is_known(page, road):
    assert "known truth" in page
    assert format_value(4321.0, "money") in page
    blind = render(replace(road, truth=None))
    assert "known truth" not in blind.lower()


def test_the_label_of_the_data_is_shown(page, road):
    assert road.label in page
    assert 'class="label"' not in render(replace(road, label=""))


def test_money_adds_up_to_the_cent_in_the_ledger(road):
    for total in road.roi.totals:
        lines = total.ledger
        spent = lines["contact_cost"] + lines["redemption_cost"]
        assert round(lines["margin"] - spent, 2) == lines["profit"]


def test_a_road_of_an_experiment_alone_still_gives_a_page(road):
    page = render(Road(experiment=road.experiment))
    assert "Not read yet" in page
    assert 'id="method"' in page


@pytest.mark.parametrize(
    "name", [f.name for f in fields(Road) if f.default is None or f.name == "files"]
)
def test_any_part_of_the_road_may_be_missing(road, name):
    empty = {} if name == "files" else None
    assert "</html>" in render(replace(road, **{name: empty}))


def test_equal_roads_give_equal_pages_and_the_digest_is_that_of_the_file(tmp_path, road, page):
    digest = write_report(tmp_path / "report.html", road)
    assert digest == file_digest(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
    dated = render(replace(road, made_at=datetime(2024, 5, 6, 7, 8, tzinfo=UTC)))
    assert "2024-05-06 07:08 UTC" in dated


def test_words_come_from_the_results(road):
    assert decision_of(replace(road, quality=None)).action == road.report.decision.action
    assert any("“Opted out of contacts" in risk for risk in risks_of(road))
    assert any("28 days" in words for words in unknowns_of(road))
    assert any("Keep a control" in words for words in next_tests_of(road))


def test_an_unproven_effect_is_named_among_what_is_not_known(road):
    unproven = tuple(replace(row, verdict="not proven") for row in road.report.effects)
    words = " ".join(unknowns_of(replace(road, report=replace(road.report, effects=unproven))))
    assert "No effect is proven on" in words
    assert "“Spend in the four weeks after the send” by telephone" in words


def test_a_proven_policy_leads_and_the_blanket_arm_comes_second(road):
    row = replace(road.quality.policy("t"), share_contacted=0.4)
    policies = tuple(row if p.policy == "t" else p for p in road.quality.policies)
    quality = replace(road.quality, policies=policies, recommended="t")
    scale = replace(road.report.decision, action="scale", words=("Scale email: it earns.",))
    chosen = decision_of(
        replace(road, quality=quality, report=replace(road.report, decision=scale))
    )
    assert chosen.action == "target"
    assert chosen.words.startswith("Target with the t model: contact 40.0 % of customers")
    assert "Without targeting: scale email: it earns." in chosen.reasons


def test_a_withheld_verdict_is_withheld_from_models_too(road):
    held = replace(road.report.decision, action="none", words=("No verdict: sample ratio failed.",))
    quality = replace(road.quality, recommended="t")
    chosen = decision_of(replace(road, quality=quality, report=replace(road.report, decision=held)))
    assert (chosen.action, chosen.words) == ("none", "No verdict: sample ratio failed.")


# --- in French ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def french(road):
    return render(road.told_in("fr"))


def told(page):
    """What the marketer reads: the page without its evidence, its data and its marks."""
    upper = page[page.index("<body>") : page.index('id="method"')]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", upper))


def test_the_page_in_french_has_the_same_sections_and_numbers(page, french):
    assert '<html lang="fr">' in french
    sections = r'<section[^>]* id="([a-z]+)"'
    assert re.findall(sections, french) == re.findall(sections, page)
    assert [value for value, _ in read(french).figures] == [
        value for value, _ in read(page).figures
    ]
    for value, shown in read(french).figures:
        assert shown == format_value(float(value), "money", "fr")


def test_no_english_words_stand_above_the_evidence_of_a_french_page(french, road):
    text, mine = told(french), " ".join(TABLES["fr"].values())
    for metric in road.experiment.all_metrics:  # titles and units are the owner's words
        text = text.replace(metric.title, "").replace(metric.unit, "")
    for name, words in TABLES["en"].items():
        if "{" not in words and len(words) > 8 and words not in mine:
            assert words not in text, name
    for words in ("per customer, over", "contacts; ", "Targeting by", "Keep a control", "proven"):
        assert words not in text


def test_a_decision_is_told_in_the_language_of_the_page(road):
    alone = replace(road, quality=None, roi=None, plan=None)
    english, other = (decision_of(alone.told_in(language)) for language in ("en", "fr"))
    assert english.action == other.action
    assert not {english.words, *english.reasons} & {other.words, *other.reasons}
    assert decision_of(Road(experiment=road.experiment, language="fr")).words.startswith(
        "Pas encore"
    )


def test_a_language_without_words_is_refused(road):
    with pytest.raises(DefinitionError, match="no words in 'de'"):
        road.told_in("de")
