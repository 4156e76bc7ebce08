"""Pages of an analysis and of the road, in the languages that are asked for."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from uplift.text.texts import LANGUAGES, text_of

Languages = Annotated[
    list[str] | None,
    typer.Option("--language", help="Language of the page: `en` or `fr`; may be given twice."),
]


def languages_of(given: Sequence[str] | None) -> tuple[str, ...]:
    """The languages asked for, each once; English when none is. Errors: LANGUAGE_UNKNOWN."""
    wanted = tuple(dict.fromkeys(given or LANGUAGES[:1]))
    for language in wanted:
        text_of(language)
    return wanted


def write_pages(
    write: Callable[[Path, str], object], path: Path, languages: Sequence[str]
) -> tuple[Path, ...]:
    """One page per language: `<name>.html` in English, `<name>.<language>.html` in another.

    write  writes the page to a path in a language
    """
    found = []
    for language in languages:
        suffix = ".html" if language == LANGUAGES[0] else f".{language}.html"
        found.append(path.with_suffix(suffix))
        write(found[-1], language)
    return tuple(found)
