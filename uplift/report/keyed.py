"""Words, numbers and tables of a page in which everything names the key it is found by."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from uplift.table import RIGHT_ALIGNED
from uplift.text.places import Place
from uplift.text.texts import NOTHING, Text

Cell = Place | Markup | None  # a value, words that are made already, or nothing
Columns = Sequence[tuple[str | Markup, str]]  # the name of the words at the head, and the kind


@dataclass(frozen=True)
class Writer:
    """Writes HTML in one language."""

    text: Text

    def say(self, name: str, place: Place = NOTHING, **others: Place) -> Markup:
        """A sentence (see `Text.html`)."""
        return _markup(self.text.html(name, place, **others))

    def value(self, place: Place, kind: str = "") -> Markup:
        """One value."""
        return _markup(self.text.element(place, kind))

    def table(
        self, title: str, columns: Columns, rows: Iterable[Sequence[Cell]], *, note: str = ""
    ) -> Markup:
        """A table in the form of `Table.html`; without rows, nothing.

        title, note  names of words
        """
        body = "".join(f"<tr>{self._cells(row, columns)}</tr>" for row in rows)
        if not body:
            return Markup("")
        head = "".join(
            f"<th{_aligned(kind)}>"
            f"{name if isinstance(name, Markup) else self.say(f'column.{name}')}</th>"
            for name, kind in columns
        )
        below = f'<p class="note">{self.say(note)}</p>' if note else ""
        return _markup(
            f'<table class="uplift"><caption>{self.say(title)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"
        )

    def _cells(self, row: Sequence[Cell], columns: Columns) -> str:
        return "".join(
            f"<td{_aligned(kind)}>{self._cell(cell, kind)}</td>"
            for cell, (_, kind) in zip(row, columns, strict=True)
        )

    def _cell(self, cell: Cell, kind: str) -> str:
        if cell is None:
            return "–"
        return cell if isinstance(cell, Markup) else self.value(cell, kind)


def shown(tables: Iterable[Markup]) -> tuple[Markup, ...]:
    """The tables that have rows."""
    return tuple(table for table in tables if table)


def _aligned(kind: str) -> str:
    return ' class="number"' if kind in RIGHT_ALIGNED else ""


def _markup(html: str) -> Markup:
    return Markup(html)  # noqa: S704  # Text escapes literals and values
