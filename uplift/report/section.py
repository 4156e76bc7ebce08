"""A question of a page and its answer, and the pictures in it."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from uplift.report.style import page_svg, styled


@dataclass(frozen=True)
class Section:
    """A question and its answer: sentences, pictures, tables, and sentences below them."""

    key: str
    title: str
    lead: str = ""
    points: tuple[str, ...] = ()
    figures: tuple[Markup, ...] = ()
    tables: tuple[Markup, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.points or self.figures or self.tables or self.notes)


def figure(chart: Any, name: str, key: str, language: str = "en") -> Markup:
    """A chart as a picture of the page (see `page_svg`)."""
    picture = page_svg(styled(chart), name=name, key=key, language=language)
    return Markup(picture)  # noqa: S704  # SVG escapes its text
