"""The page of an analysis: every number is a key of the JSON, every verdict follows the rule."""

import ast
import json
import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from markupsafe import Markup

import uplift as up
from tests.report import analyses
from uplift.adoption import ADOPTED_DESPITE
from uplift.analysis.readings import Method
from uplift.analysis.report import AnalysisReport
from uplift.checks import Check
from uplift.errors import DefinitionError
from uplift.files import file_digest
from uplift.report.analysis_page import render_analysis, write_analysis_page
from uplift.text.texts import LANGUAGES, TABLES, text_of

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Walk(HTMLParser):
    """Every element with a key, the text outside of such elements, and what the page is made of."""

    def __init__(self):
        super().__init__()
        self.keyed, self.loose, self.tags, self.addresses = [], [], [], []
        self._open, self._path, self.script = None, [], ""

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href", "action")]
        if tag not in VOID:
            self._path.append(tag)
        if "data-key" in given:
            assert self._open is None, "a key inside a key"
            self._open = {"tag": tag, "text": "", **given}

    def handle_endtag(self, tag):
        while self._path and self._path.pop() != tag:
            pass
        if self._open is not None and self._open["tag"] == tag:
            self.keyed.append(self._open)
            self._open = None

    def handle_data(self, data):
        if "script" in self._path:
            self.script += data
        elif self._open is not None:
            self._open["text"] += data
        elif not {"style", "svg", "title"} & set(self._path):
            self.loose.append(data)


def walked(html):
    walk = Walk()
    walk.feed(html)
    return walk


def found(plain, key):
    """The value of a key, by a plain reading of JSONPath; nothing of the package is used."""
    value = plain
    for name, number, quoted in re.findall(r"(\w+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]", key):
        value = value[int(number)] if number else value[name or re.sub(r"\\(.)", r"\1", quoted)]
    return value


@pytest.fixture(scope="module")
def reports() -> dict[str, AnalysisReport]:
    first = analyses.read(17, earlier=(), effect=0.3)
    second = analyses.read(27, earlier=(first.look,), effect=0.3)
    whole = analyses.read(37, earlier=(first.look, second.look))
    return {
        "whole": analyses.amended(whole),
        "second look": second,
        "withheld": withheld(whole),
        "bare": analyses.read(37, effect=0.0, without=("contacts",)),
    }


def withheld(report):
    """The same numbers, had the split been wrong."""
    assigned, outcomes, customers, _ = analyses.frames()
    lost = assigned.index[assigned["arm"] == "post"][:400]
    return up.analyse(
        analyses.experiment(), assigned.drop(index=lost), outcomes, customers,
        as_of=analyses.day(37),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def without_pictures(request, monkeypatch):
    """Pictures take most of the time; tests of pages do without, unless they ask for them."""
    if "pictures" not in request.fixturenames:
        empty = Markup("<svg></svg>")
        monkeypatch.setattr("uplift.report.analysis_evidence.figure", lambda *_: empty)


@pytest.fixture
def pictures():
    """Asked for by a test that wants the page as it is."""


NAMES = ("whole", "second look", "withheld", "bare")


# --- numbers -------------------------------------------------------------------------------------


def untraced(page, plain, language):
    """What on a page is not the value of the key it names, and numbers that name none."""
    text, walk = text_of(language), walked(page)
    return [
        *(element for element in walk.keyed if not traced(element, plain, text)),
        *(words for words in walk.loose if re.search(r"\d", words)),
    ]


def traced(element, plain, text):
    try:
        value = found(plain, element["data-key"])
    except (KeyError, IndexError, TypeError):
        return False
    same = element["tag"] == "span" or json.loads(element["value"]) == value
    return same and element["text"] == text.value(value, element["data-kind"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_number_on_the_page_is_a_key_of_the_json(reports, name, language):
    report = reports[name]
    page = render_analysis(report, language=language)
    assert len(walked(page).keyed) > 150
    assert untraced(page, json.loads(report.to_json()), language) == []


def element_of(page, key):
    return re.search(
        rf'<data value="([^"]*)" data-key="{re.escape(key)}"[^>]*>([^<]*)</data>', page
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_number_that_is_not_the_key_it_names_is_found(reports, language):
    report = reports["whole"]
    plain, page = json.loads(report.to_json()), render_analysis(report, language=language)
    assert untraced(page, plain, language) == []
    one = element_of(page, "money.rows[0].total")
    shown, key = one[2], 'data-key="money.rows[0].total"'
    wrong = {
        "another number is shown": page.replace(one[0], one[0].replace(f">{shown}<", ">655<")),
        "another value is meant": page.replace(one[0], one[0].replace(one[1], "655.0")),
        "another key is named": page.replace(one[0], one[0].replace("rows[0]", "rows[1]")),
        "no key is named": page.replace(one[0], one[0].replace(f" {key}", "")),
        "a key that is not there": page.replace(one[0], one[0].replace(".total", ".gain")),
        "a number stands alone": page.replace("</h1>", " 12</h1>"),
        "rounded otherwise": page.replace(one[0], one[0].replace(f">{shown}<", f">{shown},0<")),
    }
    for why, tampered in wrong.items():
        assert tampered != page, why
        assert untraced(tampered, plain, language) != [], why


def test_the_json_in_the_page_is_that_of_the_report(reports):
    for report in reports.values():
        assert walked(render_analysis(report)).script == report.to_json().replace("<", "\\u003c")
        assert json.loads(walked(render_analysis(report)).script) == json.loads(report.to_json())


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_ledger_on_the_page_adds_up_to_the_cent(reports, language):
    """As the reader sees it: from the text of the cells, without any rounding."""
    report = reports["whole"]
    shown = {
        e["data-key"]: e["text"] for e in walked(render_analysis(report, language=language)).keyed
    }

    def amount(line, i):
        text = shown[f"money.rows[{i}].{line}"]
        english = text if language == "en" else text.replace(",", ".").replace("\u202f", "")
        return Decimal(english.replace(",", ""))

    for i, row in enumerate(report.money.rows):
        lines = [amount(line, i) for line in ("margin", "contact_cost", "redemption_cost")]
        profit = Decimal(str(row.total))
        assert sum(lines) == profit
        assert f"{profit:.2f}" == str(sum(lines))


def test_what_the_discount_gave_away_and_the_holdout_cost_are_told_with_their_ranges(reports):
    report, page = reports["whole"], render_analysis(reports["whole"])
    keys = {element["data-key"] for element in walked(page).keyed}
    assert report.money.rows[0].given_away.known == "bounds"
    for part in ("given_away.bounds[0]", "given_away.bounds[1]", "given_away.ci[0]",
                 "holdout_profit", "holdout_ci[0]", "holdout_ci[1]"):  # fmt: skip
        assert f"money.rows[0].{part}" in keys
    assert "Who would have bought anyway cannot be seen" in page
    unknown = replace(report.money.rows[0].given_away, known="no metric of buyers")
    rows = (replace(report.money.rows[0], given_away=unknown), *report.money.rows[1:])
    told = render_analysis(replace(report, money=replace(report.money, rows=rows)))
    assert "is not known: no planned metric says who bought" in told


# --- order and form ------------------------------------------------------------------------------


def test_sections_stand_in_the_order_people_ask(reports):
    keys = re.findall(r'<section[^>]* id="([a-z]+)"', render_analysis(reports["whole"]))
    assert keys == ["decision", "amendments", "money", "who", "risk", "unknown", "next", "method"]
    parts = re.findall(r'<details id="([a-z]+)"', render_analysis(reports["whole"]))
    assert parts == ["effects", "looks", "funnel", "delivery", "spend", "influence", "belief",
                     "checks", "how", "digests"]  # fmt: skip


def test_the_first_block_has_the_decision_a_range_of_profit_and_a_risk(reports):
    page = render_analysis(reports["whole"])
    block = page[page.index('id="decision"') : page.index("</section>")]
    assert 'data-key="decision.action"' in block
    assert "money.rows[0].total_ci[0]" in block
    assert 'class="first-risk"' in block
    assert "of the control were" in block  # the leak


def test_the_page_needs_no_network_and_runs_no_script(pictures, reports):
    page = render_analysis(reports["whole"])
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", page)
    walk = walked(page)
    assert [a for a in walk.addresses if not a.startswith("#")] == []
    assert walk.tags.count("script") == 1
    assert not {"link", "img", "iframe", "object", "form"} & set(walk.tags)
    assert "default-src 'none'" in page


def test_names_are_escaped_wherever_they_stand(reports):
    for language in LANGUAGES:
        page = render_analysis(reports["whole"], language=language)
        assert "<script>alert" not in page
        assert "alert('x')</script>" not in page
        assert page.count("&lt;script&gt;alert(") >= 3  # title, heading, segment


def test_amendments_are_on_the_page(reports):
    page = render_analysis(reports["whole"])
    for part in ("What was changed after sealing", "calls a day late", "ann", "2017-07-05"):
        assert part in page


WORDS = ("term", "name", "currency", "unit", "checks")  # kinds whose values are words


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_is_in_one_language(reports, name, language):
    """No words of another language are on it, unless both say the same."""
    walk = walked(render_analysis(reports[name], language=language))
    told = [e["text"] for e in walk.keyed if e["data-kind"] in WORDS]
    text = " ".join(" ".join([*walk.loose, *told]).split())
    mine = " ".join(" ".join(TABLES[language].values()).split())
    for table in (table for other, table in TABLES.items() if other != language):
        for key, words in table.items():
            for piece in re.split(r"\{[^}]*\}", words):
                plain = " ".join(piece.split()).strip(" .,;:()")
                if len(plain) >= 8 and plain not in mine:
                    assert plain not in text, (key, words)


def test_a_failed_check_is_named_in_the_language_of_the_page(reports):
    words, page = headline(reports["withheld"], "fr")
    assert words == (
        "Pas de verdict, contrôle en échec\u00a0: répartition des clients et répartition des "
        "clients (region)."
    )
    assert (
        "Répartition des clients (region)\u00a0: les versions"
        in reports["withheld"].words_in("fr")[2]
    )
    block = page[page.index('id="decision"') : page.index("</section>")]
    assert "sample" not in block
    assert "9\u00a0août 2017 à 06:00 UTC" in page


def test_equal_reports_give_equal_pages_and_the_digest_is_that_of_the_file(
    pictures, reports, tmp_path
):
    path = tmp_path / "analysis.html"
    report = reports["whole"]
    digest = write_analysis_page(report, path, language="fr")
    assert path.read_text(encoding="utf-8") == report.to_html(language="fr")
    assert digest == file_digest(path)
    assert report.to_html(tmp_path / "english.html") == (tmp_path / "english.html").read_text()
    with pytest.raises(DefinitionError) as refused:
        report.to_html(language="de")
    assert refused.value.code == "LANGUAGE_UNKNOWN"


# --- verdicts ------------------------------------------------------------------------------------


def headline(report, language="en"):
    page = render_analysis(report, language=language)
    words = re.search(r'<h2 id="decision-title">(.*?)</h2>', page, re.DOTALL)[1]
    return re.sub(r"<[^>]*>", "", words), page


def test_a_version_is_scaled_when_everything_holds(reports):
    assert headline(reports["whole"])[0] == "Scale email 2: its profit is proven"
    assert headline(reports["whole"], "fr")[0].startswith("Généraliser email 2")


def test_a_wrong_split_withholds_the_verdict_and_says_why(reports):
    report = reports["withheld"]
    words, page = headline(report)
    assert report.decision.action == "none"
    assert "No verdict: sample ratio" in words
    assert "the arms did not get the shares of customers they were designed to get" in page
    assert "are not to be used for a decision" in page
    assert 'class="tile"' not in page
    rows = re.findall(r"<td[^>]*>(?:<[^>]*>)*(better|worse|not proven)<", page)
    assert rows == []  # every row says that its verdict is withheld
    plain = json.loads(report.to_json())
    given = {row["verdict"] for row in (*plain["effects"], *plain["funnel"]["rows"])}
    assert given == {"", "withheld", "only the treated"}  # so does every row of the JSON
    assert "les versions n’ont pas reçu les parts de clients prévues" in headline(report, "fr")[1]


def test_lost_outcomes_withhold_the_verdict():
    assigned, outcomes, customers, _ = analyses.frames()
    post = assigned["arm"] == "post"
    lost = outcomes.index[post.to_numpy()][:300]
    report = up.analyse(
        analyses.experiment(), assigned, outcomes.drop(index=lost), customers,
        as_of=analyses.day(37), missing="drop",
    )  # fmt: skip
    assert report.decision.action == "none"
    assert "lost different shares of their customers" in headline(report)[1]


def test_an_open_window_has_no_verdict_yet():
    report = analyses.read(3, n=2_000)
    words, page = headline(report)
    assert words.startswith("No verdict yet: the response window is open until 2017-08-09")
    assert "Provisional: outcomes are still coming in" in page
    assert 'class="tile"' not in page
    assert "Pas encore de verdict" in headline(report, "fr")[0]


def test_between_looks_there_is_no_verdict():
    words, _ = headline(analyses.read(10, n=4_000, earlier=()))
    assert words.startswith("No verdict: this is not a look of the plan")


def test_a_look_that_proves_nothing_says_that_more_follow(reports):
    words, page = headline(reports["second look"])
    assert words == "No verdict yet: nothing can be scaled at look 2, and more looks follow."
    assert "The next look of the plan is on day" in page
    assert "Go on as planned" in page
    assert "Go on as planned" not in headline(reports["withheld"])[1]


def test_a_guardrail_that_may_be_harmed_keeps_a_proven_profit_from_being_scaled():
    report = analyses.read(37, optout=0.06)
    words, page = headline(report)
    assert report.money.row("email_2").ci[0] > 0
    assert words == "Retest: a guardrail is not proven to hold."
    assert "harm not excluded" in page
    assert "is not scaled, whatever it earns" in page


def test_nothing_proven_is_tested_again_and_a_loss_is_stopped(reports):
    assert reports["bare"].decision.action in ("retest", "stop")
    loses = analyses.read(37, effect=-12.0)
    assert headline(loses)[0] == "Stop: every treatment is proven to lose money."
    assert headline(loses, "fr")[0].startswith("Arrêter")


# --- words ---------------------------------------------------------------------------------------


OF_OTHER_PAGES = {"long_term.py", "market_reading.py", "panel.py", "reread_record.py",
                   "surrogates.py"}  # fmt: skip


def codes_of_checks():
    """Codes of every check an analysis can give, read from the code that gives them."""
    package = Path(up.__file__).parent
    files = [file for file in package.glob("analysis/*.py") if file.name not in OF_OTHER_PAGES]
    files += [package / name for name in ("outcomes.py", "outcome_rows.py", "frames.py")]
    inference = ("sample_ratio", "sample_ratio_sequential", "leaks", "segments", "influence")
    files += [package / "inference" / f"{name}.py" for name in (*inference, "attrition")]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            given = [k.value for k in node.keywords if k.arg == "code"]
            if ast.unparse(node.func) == "warning":
                given = node.args[:1]
            elif ast.unparse(node.func) != "Check":
                continue
            yield from (one.value for one in given if isinstance(one, ast.Constant))


def test_every_check_of_an_analysis_has_its_words():
    codes = {*codes_of_checks(), "BALANCE", "PRE_PERIOD_BIAS", "SKEWED_INTERVAL",
             ADOPTED_DESPITE}  # fmt: skip
    assert len(codes) > 15
    for language in LANGUAGES:
        text = text_of(language)
        missing = [
            c for c in codes if not (text.has(f"check.{c}.name") and text.has(f"check.{c}.remedy"))
        ]
        assert missing == []


def test_every_method_and_verdict_of_an_effect_has_its_words():
    verdicts = ("better", "worse", "not proven", "no information", "only the treated",
                "within margin", "harm not excluded")  # fmt: skip
    for language in LANGUAGES:
        text = text_of(language)
        for method in get_args(Method):
            assert text.has(f"term.{method}")
            assert text.has(f"how.{method}")
        assert all(text.has(f"term.{verdict}") for verdict in verdicts)


def test_a_check_without_words_shows_its_own_with_its_key(reports):
    check = Check("new_thing", False, value=3, remedy="Do 7 things.", code="NEW", blocking=False)
    report = replace(reports["bare"], checks=(*reports["bare"].checks, check))
    walk = walked(render_analysis(report, language="fr"))
    assert any(e["text"] == "Do 7 things." and "remedy" in e["data-key"] for e in walk.keyed)


def test_a_decision_made_by_hand_shows_its_words(reports):
    decision = replace(reports["bare"].decision, words=("Ask again.",), reasons=())
    assert headline(replace(reports["bare"], decision=decision))[0] == "Ask again."


def test_sentences_of_a_report_are_there_in_both_languages(reports):
    for report in reports.values():
        assert report.words_in("en") == report.words
        french = report.words_in("fr")
        assert len(french) == len(report.words)
        assert not set(french) & set(report.words)


# --- notebook ------------------------------------------------------------------------------------


def test_a_notebook_shows_the_decision_first_and_then_the_effects(reports):
    shown = reports["whole"]._repr_html_()
    assert shown.index("Scale email 2") < shown.index("<table")
    assert "spend@1" in shown
    assert "<script>" not in shown


def test_a_plot_has_the_effects_and_the_way_along_the_looks(reports):
    along = str(reports["second look"].plot().chart.to_dict())
    assert "Effects relative to the control" in along
    assert "Every look of the plan" in along
    once = replace(reports["bare"], earlier=(), ahead=())
    assert "Every look of the plan" not in str(once.plot().chart.to_dict())


def test_axes_are_written_as_the_language_writes(pictures, reports):
    assert "garde-fous" in render_analysis(reports["whole"], language="fr")
    picture = render_analysis(reports["whole"], language="fr")
    assert re.search(r">[−+]?\d+,\d</text>", picture)
