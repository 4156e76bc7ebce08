"""Every language says the same things: same names, same values, in its own marks."""

import re
from string import Formatter

import pytest

from uplift.errors import DefinitionError
from uplift.text.english import ENGLISH
from uplift.text.english_checks import ENGLISH_CHECKS
from uplift.text.english_explanation import ENGLISH_EXPLANATION
from uplift.text.english_page import ENGLISH_PAGE
from uplift.text.english_road import ENGLISH_ROAD
from uplift.text.places import Place
from uplift.text.texts import LANGUAGES, TABLES, text_of

VAGUE = ("trend", "tend to", "tendanc", "tend à", "presque significati", "almost significant")


def values_of(template):
    return sorted(
        (path, kind) for _, path, kind, _ in Formatter().parse(template) if path is not None
    )


def names_within(template):
    """Templates that a template is made of."""
    for _, kind in values_of(template):
        word, _, inner = kind.partition(" ")
        if inner:
            yield {"part": "part", "each": "item"}[word] + f".{inner}"


def test_every_language_has_the_same_names():
    first, *others = (TABLES[language] for language in LANGUAGES)
    for other in others:
        assert set(other) == set(first)


def test_no_name_stands_in_two_tables():
    parts = (ENGLISH, ENGLISH_CHECKS, ENGLISH_EXPLANATION, ENGLISH_PAGE, ENGLISH_ROAD)
    assert sum(len(part) for part in parts) == len(TABLES["en"])


def test_a_sentence_holds_the_same_values_in_every_language():
    for name, template in TABLES["en"].items():
        for language in LANGUAGES:
            assert values_of(TABLES[language][name]) == values_of(template), (language, name)


def test_every_part_of_a_sentence_is_there():
    for table in TABLES.values():
        for template in table.values():
            assert set(names_within(template)) <= set(table)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_verdict_is_vague(language):
    words = " ".join(TABLES[language].values()).lower()
    assert [word for word in VAGUE if word in words] == []


def test_french_marks_do_not_stand_alone_on_a_line():
    for template in TABLES["fr"].values():
        assert not re.search(r" [:;?!%»€]|« ", template)
        assert not re.search(r" \{[^}]*:currency\}", template)  # an amount and its sign


def test_french_has_typographic_apostrophes_and_no_english_marks():
    for name, template in TABLES["fr"].items():
        words = re.sub(r"\{[^}]*\}", "", template)
        assert "'" not in words, name
        assert '"' not in words, name
        assert not re.search(r"\w[;?!]", words), name
        assert not re.search(r"\d\.\d", words), name


def test_a_sentence_is_filled_by_paths_and_written_as_the_language_writes():
    place = Place({"arm": "email_2", "total": 1234.5, "n_units": 1000, "effect": 0.5,
                   "ci": [0.25, 0.75], "currency": "EUR", "confidence": 0.95})  # fmt: skip
    assert text_of("en").plain("decision.scale", place) == (
        "Scale email 2: it earns +0.5000 EUR per customer (95 % interval [+0.2500, +0.7500]); "
        "1,234 EUR from the 1,000 customers who were assigned it."
    )
    assert text_of("fr").plain("decision.scale", place) == (
        "Généraliser email 2\u00a0: +0,5000\u00a0€ par client (intervalle à 95\u00a0% "
        "[+0,2500\u00a0; +0,7500])\u00a0; 1\u202f234\u00a0€ pour les 1\u202f000 clients "
        "auxquels cette version a été attribuée."
    )


def test_times_and_dates_are_written_out():
    text = text_of("fr")
    moment = "2017-07-31T12:00:00+00:00"
    assert text.value(moment, "moment") == "31\u00a0juillet 2017 à 12:00 UTC"
    assert text.value(moment, "date") == text.value(moment, "long_date") == "31\u00a0juillet 2017"
    assert text.value("2017-08-01", "date") == "1er\u00a0août 2017"
    english = text_of("en")
    assert english.value(moment, "moment") == "2017-07-31 12:00 UTC"
    assert english.value("2017-08-09 06:00 UTC", "moment") == "2017-08-09 06:00 UTC"
    assert english.value("2017-02-03", "date") == "2017-02-03"
    assert english.value("2017-02-01", "long_date") == "1\u00a0February 2017"


def test_failed_checks_are_listed_by_the_words_of_the_language():
    failed = [{"name": "sample_ratio", "code": "SRM"}, {"name": "my_own", "code": "NEW"}]
    assert text_of("en").value(failed, "checks") == "sample ratio and my own"
    assert text_of("fr").value(failed, "checks") == "répartition des clients et my own"


def test_units_are_words_that_follow_a_number():
    assert text_of("fr").value("EUR", "unit") == "€"
    assert text_of("fr").value("share", "unit") == "en part"
    assert text_of("fr").value("EUR per customer", "unit") == "€ par client"
    assert text_of("en").value("EUR per customer", "unit") == "EUR per customer"
    assert text_of("en").value("visits_28d", "unit") == "visits_28d"


def test_html_names_the_key_of_every_value_and_escapes_it():
    costs = [{"arm": "<a>", "cost": 0.05}, {"arm": "b", "cost": 0.9}]
    place = Place({"reasons": [{"arm": "b", "currency": "USD", "costs": costs}]})
    html = text_of("en").html("decision.cheapest", place["reasons"][0])
    assert '<span data-key="reasons[0].costs[0].arm" data-kind="name">&lt;a&gt;</span>' in html
    assert '<data value="0.9" data-key="reasons[0].costs[1].cost" data-kind="cents">0.90<' in html
    assert "<a>" not in html


@pytest.mark.parametrize("name", ["plain", "a b@1 by c", "it's", "back\\slash", "2nd", "x]"])
def test_a_key_leads_back_to_its_value(name):
    whole = Place({"tests": {name: [10, {"z": 3}]}})
    place = whole["tests"][name][1]["z"]
    assert whole.at(place.key) == place
    assert place.value == 3


@pytest.mark.parametrize("path", ["nothing", "tests.x", "tests[0]", "a b", "list[9]", "list.x"])
def test_a_key_that_leads_nowhere_is_refused(path):
    with pytest.raises(DefinitionError) as refused:
        Place({"tests": {}, "list": [1]}).at(path)
    assert refused.value.code == "KEY_UNKNOWN"


def test_a_language_without_words_is_refused():
    with pytest.raises(DefinitionError, match="en, fr") as refused:
        text_of("de")
    assert refused.value.code == "LANGUAGE_UNKNOWN"
