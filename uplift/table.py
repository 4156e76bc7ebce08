"""How results show themselves: text, Markdown, HTML, a data frame, JSON.

The only code that rounds or formats numbers. A result holds plain numbers; a `Table` gives each
column a kind, and the kind decides how its numbers read.
"""

import dataclasses
import enum
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

RIGHT_ALIGNED = frozenset(
    {
        *("plain", "count", "number", "signed", "share", "signed_share", "money", "cents"),
        *("p_value", "interval", "share_interval"),
    }
)
SIGNIFICANT_DIGITS = 4  # of an effect; its interval is never more precise than that
DRAWER = (
    "uplift.report.plots"  # draws results; loaded by name so that results know no chart library
)


@dataclass(frozen=True)
class Notation:
    """How numbers are written in a language: its marks, and its words where there is no number."""

    decimal: str
    thousands: str
    between: str  # the bounds of an interval
    percent: str
    not_estimable: str
    yes: str
    no: str


NOTATIONS = {
    "en": Notation(".", ",", ", ", " %", "not estimable", "yes", "no"),
    "fr": Notation(",", "\u202f", "\u00a0; ", "\u00a0%", "non estimable", "oui", "non"),
}


@dataclass(frozen=True)
class Column:
    """A column of a table and how its values read.

    kind  text · plain (as it is) · count (1,234) · number · signed (+0.0766) · share (12.3 %) ·
          signed_share (+12.3 %) · confidence (95 %) · money (1,234) · cents (1,234.56) ·
          p_value · interval ([low, high] of the kind `signed`) · share_interval (of the kind
          `signed_share`)
    """

    name: str
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """A titled grid of plain values. Prints as text, shows itself in a notebook as HTML."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    note: str = ""

    def text(self) -> str:
        """Aligned plain text, for a terminal."""
        header = [column.name for column in self.columns]
        body = self._formatted()
        widths = [max(len(row[i]) for row in [header, *body]) for i in range(len(header))]
        lines = [self.title] if self.title else []
        lines += [self._text_line(row, widths) for row in [header, *body]]
        if self.note:
            lines.append(self.note)
        return "\n".join(lines)

    def markdown(self) -> str:
        """A Markdown table."""
        marks = ["--:" if column.kind in RIGHT_ALIGNED else "---" for column in self.columns]
        lines = [f"**{self.title}**", ""] if self.title else []
        lines.append("| " + " | ".join(column.name for column in self.columns) + " |")
        lines.append("|" + "|".join(marks) + "|")
        for row in self._formatted():
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines)

    def html(self, language: str = "en") -> str:
        """An HTML table, its numbers as the language writes them; every cell is escaped."""
        head = "".join(
            f"<th{self._html_class(column)}>{escape(column.name)}</th>" for column in self.columns
        )
        body = "".join(
            "<tr>"
            + "".join(
                f"<td{self._html_class(column)}>{escape(cell)}</td>"
                for column, cell in zip(self.columns, row, strict=True)
            )
            + "</tr>"
            for row in self._formatted(language)
        )
        caption = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        note = f'<p class="note">{escape(self.note)}</p>' if self.note else ""
        return (
            f'<table class="uplift">{caption}<thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table>{note}"
        )

    def to_pandas(self) -> "pd.DataFrame":
        """The unrounded values as a data frame."""
        import pandas as pd

        names = [column.name for column in self.columns]
        return pd.DataFrame([list(row) for row in self.rows], columns=names)

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.html()

    def _formatted(self, language: str = "en") -> list[list[str]]:
        return [
            [
                format_value(value, column.kind, language)
                for value, column in zip(row, self.columns, strict=True)
            ]
            for row in self.rows
        ]

    def _text_line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = [
            cell.rjust(width) if column.kind in RIGHT_ALIGNED else cell.ljust(width)
            for cell, column, width in zip(row, self.columns, widths, strict=True)
        ]
        return "  ".join(cells).rstrip()

    @staticmethod
    def _html_class(column: Column) -> str:
        return ' class="number"' if column.kind in RIGHT_ALIGNED else ""


class Result:
    """What every result can do: show itself as a table, a plot and JSON.

    A result is a frozen dataclass of plain numbers that defines `table()`.
    """

    def table(self) -> Table:
        """The result as a table."""
        raise TypeError(f"{type(self).__name__} defines no table().")

    def remarks(self) -> list[str]:
        """What is always shown with the numbers: a line per failed check and per warning."""
        found = [check for name in ("checks", "notices") for check in getattr(self, name, ())]
        return [check.line for check in found if not check.passed]

    def plot(self) -> Any:
        """The result as a chart (drawn by the report room, which is loaded on first use)."""
        return import_module(DRAWER).draw(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, by field."""
        plain = to_plain(self)
        if not isinstance(plain, dict):
            raise TypeError(f"{type(self).__name__} must be a dataclass.")
        return plain

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no NaN (a number that does not exist is null)."""
        return canonical_json(self.to_dict())

    def __str__(self) -> str:
        return "\n".join([self.table().text(), *self.remarks()])

    __repr__ = __str__  # subclasses are dataclasses with repr=False, so that this one is kept

    def _repr_html_(self) -> str:
        notes = (f'<p class="note">{escape(remark)}</p>' for remark in self.remarks())
        return self.table().html() + "".join(notes)


def format_value(value: Any, kind: str, language: str = "en") -> str:
    """One value as text, by the kind of its column. What does not exist reads as a dash.

    language  whose decimal mark, thousands mark and words are used (see `NOTATIONS`)
    """
    notation = NOTATIONS[language]
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return "–"
    if kind in _INTERVALS:
        low, high = value
        if low is None or high is None or math.isnan(low):
            return notation.not_estimable
        bounds = (_written(bound, _INTERVALS[kind], notation) for bound in (low, high))
        return f"[{notation.between.join(bounds)}]"
    if kind in _FORMATS and not isinstance(value, str):
        return _written(value, kind, notation)
    if isinstance(value, bool | np.bool_):
        return notation.yes if value else notation.no
    if isinstance(value, float | np.floating):
        return _written(value, "number", notation)
    return str(value)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no white space that varies: equal values give equal bytes."""
    return json.dumps(
        to_plain(value), sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False
    )


def to_plain(value: Any) -> Any:
    """Numpy, dataclasses, dates and fractions as what JSON can hold; NaN as null."""
    if hasattr(value, "model_dump"):
        return to_plain(value.model_dump(mode="python"))
    if isinstance(value, Table):
        return to_plain({"title": value.title, "rows": [list(row) for row in value.rows]})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.repr
        }
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, tuple | list | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return [to_plain(item) for item in items]
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form.")


def _significant(value: float, *, signed: bool = False) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    sign = "+" if signed else ""
    if value != 0 and abs(value) >= 10 ** (SIGNIFICANT_DIGITS - 1):
        return f"{value:{sign},.0f}"
    if value != 0 and abs(value) < 1e-4:
        return f"{value:{sign}.2e}"
    decimals = SIGNIFICANT_DIGITS - 1 - (math.floor(math.log10(abs(value))) if value else 0)
    return f"{value:{sign},.{min(max(decimals, 0), 5)}f}"


def _written(value: Any, kind: str, notation: Notation) -> str:
    """A number with the marks of a language in the place of the English ones."""
    text = _FORMATS[kind](value)
    marks = str.maketrans({",": notation.thousands, ".": notation.decimal})
    return text.translate(marks).replace(" %", notation.percent)


def _p_value(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


_FORMATS = {
    "count": lambda value: f"{value:,.0f}",
    "number": lambda value: _significant(float(value)),
    "signed": lambda value: _significant(float(value), signed=True),
    "share": lambda value: f"{100 * value:.1f} %",
    "signed_share": lambda value: f"{100 * value:+,.1f} %",
    "confidence": lambda value: f"{100 * value:g} %",
    "money": lambda value: f"{value:,.0f}",
    "cents": lambda value: f"{value:,.2f}",
    "p_value": lambda value: _p_value(float(value)),
}

_INTERVALS = {"interval": "signed", "share_interval": "signed_share"}  # kind of their bounds
