"""Sentences of a language, filled from a place: as plain text, or as HTML that names its keys.

A sentence is a template such as `{arm:name} earns {profit.effect:signed}`: in front of the colon
stands a path into the place, behind it the kind. Kinds are those of `table.format_value` and

    name      an id as words (`mens_email` is "mens email")
    term      an id with words of its own in the table (`not proven`)
    names     a list of ids: "a, b and c"
    currency  a code, or its sign where the language has one
    unit      of a metric, as words that follow a number
    of        what a check is of: "sample_ratio by region" is of "region"
    checks    a list of checks, by code and name: "a, b and c"
    date      the day of a time: the name of the month is written out where the language wants it
    long_date the same with the name of the month in every language
    moment    a time to the minute, in UTC
    each x    a list: the template `item.x` of each, with commas between
    part x    the template `part.x`, filled from this place
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from string import Formatter
from typing import Any

from uplift.errors import DefinitionError
from uplift.table import NOTATIONS, format_value
from uplift.text.english import ENGLISH
from uplift.text.english_checks import ENGLISH_CHECKS
from uplift.text.english_explanation import ENGLISH_EXPLANATION
from uplift.text.english_page import ENGLISH_PAGE
from uplift.text.english_road import ENGLISH_ROAD
from uplift.text.french import FRENCH, spaced
from uplift.text.french_checks import FRENCH_CHECKS
from uplift.text.french_explanation import FRENCH_EXPLANATION
from uplift.text.french_page import FRENCH_PAGE
from uplift.text.french_road import FRENCH_ROAD
from uplift.text.places import Place

TABLES: Mapping[str, Mapping[str, str]] = {
    "en": ENGLISH | ENGLISH_CHECKS | ENGLISH_EXPLANATION | ENGLISH_PAGE | ENGLISH_ROAD,
    "fr": spaced(FRENCH | FRENCH_CHECKS | FRENCH_EXPLANATION | FRENCH_PAGE | FRENCH_ROAD),
}
LANGUAGES = tuple(TABLES)
NOTHING = Place({})
MONEY = ("currency", "unit")  # kinds that know the signs of currencies
ENGLISH_NAME = "en"
EACH = " per customer"  # at the end of a unit
BY = " by "  # in the name of a check: what it is of


@dataclass(frozen=True)
class Text:
    """The words of one language."""

    language: str

    @property
    def table(self) -> Mapping[str, str]:
        """Templates by name."""
        return TABLES[self.language]

    def has(self, name: str) -> bool:
        """Whether there are words of this name."""
        return name in self.table

    def plain(self, name: str, place: Place = NOTHING, **others: Place) -> str:
        """A sentence as text.

        place   what the paths of the template start from
        others  further places: a path that begins with their name starts there
        """
        return "".join(
            literal + ("" if kind is None else self._plain(_found(path, place, others), kind))
            for literal, path, kind in _parts(self.table[name])
        )

    def tell(self, name: str, /, **values: Any) -> str:
        """A sentence as text, from values by name."""
        return self.plain(name, Place(values))

    def word(self, english: str) -> str:
        """A head or a title of a table, in this language where there is a word for it."""
        return self.table.get(f"word.{english}", english)

    def listed(self, names: Sequence[str]) -> str:
        """Names as people list them: "a, b and c"."""
        if len(names) < 2:
            return "".join(names)
        return f"{', '.join(names[:-1])} {self.table['list.and']} {names[-1]}"

    def html(self, name: str, place: Place = NOTHING, **others: Place) -> str:
        """A sentence as HTML; every value stands in an element with its key and kind."""
        return "".join(
            escape(literal)
            + ("" if kind is None else self.element(_found(path, place, others), kind))
            for literal, path, kind in _parts(self.table[name])
        )

    def element(self, place: Place, kind: str = "") -> str:
        """One value as HTML: `data` with the number itself, or `span`, with key and kind."""
        word, _, inner = kind.partition(" ")
        if word == "part":
            return self.html(f"part.{inner}", place)
        if word == "each":
            return ", ".join(self.html(f"item.{inner}", item) for item in place)
        if word == "names":
            return self.listed([self.element(item, "name") for item in place])
        marks = f'data-key="{escape(place.key)}" data-kind="{escape(kind)}"'
        shown = escape(self.value(place.value, kind))
        if isinstance(place.value, int | float) and not isinstance(place.value, bool):
            return f'<data value="{json.dumps(place.value)}" {marks}>{shown}</data>'
        return f"<span {marks}>{shown}</span>"

    def value(self, value: Any, kind: str = "") -> str:
        """One value as text, by its kind."""
        if kind in ("name", "term", "currency", "unit"):
            plain = str(value) if kind in MONEY else str(value).replace("_", " ")
            also = self.table.get(f"currency.{value}", plain) if kind in MONEY else plain
            if kind == "unit" and plain.endswith(EACH):
                return self.value(plain[: -len(EACH)], "unit") + self.table["unit.each"]
            return self.table.get(f"{kind}.{value}", also)
        if kind == "of":
            return str(value).partition(BY)[2].replace("_", " ")
        if kind == "checks":
            return self.listed(list(dict.fromkeys(map(self._check, value))))
        if kind in ("date", "long_date", "moment"):
            return self._time(str(value), kind)
        return format_value(value, kind, self.language)

    def _check(self, check: Mapping[str, str]) -> str:
        """What a check is called in the middle of a sentence; in English by its own name."""
        words = self.table.get(f"check.{check['code']}.name")
        if words is None or self.language == ENGLISH_NAME:
            return self.value(check["name"], "name")
        of = self.tell("check.of", name=check["name"]) if is_of_one(check["name"]) else ""
        return words[:1].lower() + words[1:] + of

    def _time(self, value: str, kind: str) -> str:
        written = kind == "long_date" or self.table["dates"] == "written out"
        day = self._long_date(value) if written else value[:10]
        if kind != "moment":
            return day
        zone = "UTC" if value.endswith(("+00:00", "Z", "UTC")) else ""
        return f"{day} {self.table['before a time']}{value[11:16]} {zone}".strip()

    def _long_date(self, value: str) -> str:
        year, month, day = (int(part) for part in value[:10].split("-"))
        first = self.table["first of a month"] if day == 1 else str(day)
        return f"{first}\u00a0{self.table['months'].split()[month - 1]} {year}"

    def _plain(self, place: Place, kind: str) -> str:
        word, _, inner = kind.partition(" ")
        if word == "part":
            return self.plain(f"part.{inner}", place)
        if word == "each":
            return ", ".join(self.plain(f"item.{inner}", item) for item in place)
        if word == "names":
            return self.listed([self.value(item, "name") for item in place.value])
        return self.value(place.value, kind)


ENGLISH_TEXT = Text("en")


def is_of_one(check: str) -> bool:
    """Whether a check, by its name, is of one part of the data (see the kind `of`)."""
    return BY in check


def text_of(language: str) -> Text:
    """The words of a language. Raises DefinitionError (LANGUAGE_UNKNOWN)."""
    if language not in TABLES or language not in NOTATIONS:
        raise DefinitionError(
            f"There are no words in {language!r}. Choose one of {', '.join(LANGUAGES)}.",
            code="LANGUAGE_UNKNOWN",
        )
    return Text(language)


def _found(path: str, place: Place, others: Mapping[str, Place]) -> Place:
    """Where a path leads: from one of the other places when it begins with its name."""
    first, _, rest = path.partition(".")
    return others[first].at(rest) if first in others else place.at(path)


@cache
def _parts(template: str) -> tuple[tuple[str, str, str | None], ...]:
    """Literal, path and kind, in order; the kind is None where only a literal is left."""
    return tuple(_parsed(template))


def _parsed(template: str) -> Iterator[tuple[str, str, str | None]]:
    for literal, path, kind, _ in Formatter().parse(template):
        yield literal, path or "", None if path is None else kind or ""
