"""How each SQL dialect writes the few things that the queries of moments need."""

import re
from dataclasses import dataclass
from typing import Literal

from uplift.errors import DefinitionError

Dialect = Literal["duckdb", "postgresql", "spark"]
Kind = Literal["whole", "truth", "real"]  # of the numbers in a column

KINDS: tuple[tuple[str, Kind], ...] = (  # types by their names in SQL, in any dialect
    (r"BOOL(EAN)?", "truth"),
    (r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|INT[248]|BYTE|SHORT|LONG", "whole"),
    (r"DOUBLE( PRECISION)?|FLOAT[48]?|REAL|(DECIMAL|NUMERIC)(\(\d+, ?\d+\))?", "real"),
)


def kind_of(type_name: str) -> Kind | None:
    """What numbers a column of this SQL type holds; None when it holds none."""
    for pattern, kind in KINDS:
        if re.fullmatch(pattern, type_name.strip(), re.IGNORECASE):
            return kind
    return None


@dataclass(frozen=True)
class Syntax:
    """What differs between dialects.

    name_quote  around a name, doubled inside
    double      the type of 64-bit floating-point numbers
    text        the type of text
    escaped     whether a backslash in a text is written twice, and a quote with one
    truth       a truth {column} as a double
    inlined     makes a named subquery part of the query, where the dialect would store its rows
    nan         {x} is not a number
    infinite    {x} is an infinity
    finite      {x} is a number, not infinite and not missing
    same        {left} and {right} are the same key, also where both are missing; written so that
                the engine joins by hashing
    """

    name_quote: str
    double: str
    truth: str
    inlined: str
    nan: str
    infinite: str
    finite: str
    same: str
    text: str = "VARCHAR"
    escaped: bool = False

    def name(self, *parts: str) -> str:
        """A name, quoted; several parts for a schema and a table."""
        quote = self.name_quote
        return ".".join(quote + part.replace(quote, quote * 2) + quote for part in parts)

    def number(self, value: float) -> str:
        """A number, exactly."""
        return f"CAST('{float(value)!r}' AS {self.double})"

    def literal(self, value: str) -> str:
        """A text."""
        if self.escaped:
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return "'" + value.replace("'", "''") + "'"

    def column(self, name: str, kind: Kind | None) -> str:
        """A column as a double."""
        template = self.truth if kind == "truth" else "CAST({column} AS {double})"
        return template.format(column=self.name(name), double=self.double)


SYNTAX: dict[str, Syntax] = {
    "duckdb": Syntax(
        name_quote='"',
        double="DOUBLE",
        truth="CAST({column} AS DOUBLE)",
        inlined="NOT MATERIALIZED ",
        # not isnan(x): DuckDB answers that from a file's least and greatest value, and those know
        # no NaN
        nan="(NOT isfinite({x}) AND NOT isinf({x}))",
        infinite="isinf({x})",
        finite="isfinite({x})",
        same="{left} IS NOT DISTINCT FROM {right}",
    ),
    "postgresql": Syntax(
        name_quote='"',
        double="double precision",
        truth="CAST(CAST({column} AS integer) AS double precision)",
        inlined="NOT MATERIALIZED ",
        nan="{x} = 'NaN'",
        infinite="abs({x}) = 'Infinity'",
        finite="abs({x}) < 'Infinity'",  # NaN is above infinity
        same="({left} IS NULL) = ({right} IS NULL) "
        "AND coalesce(CAST({left} AS text), '') = coalesce(CAST({right} AS text), '')",
        text="text",
    ),
    "spark": Syntax(
        name_quote="`",
        double="DOUBLE",
        truth="CAST({column} AS DOUBLE)",
        inlined="",
        nan="isnan({x})",
        infinite="abs({x}) = CAST('Infinity' AS DOUBLE)",
        finite="abs({x}) < CAST('Infinity' AS DOUBLE)",  # NaN is above infinity
        same="{left} <=> {right}",
        text="STRING",
        escaped=True,
    ),
}


def syntax_of(dialect: str) -> Syntax:
    """The syntax of a dialect. Errors: SQL_DIALECT."""
    if dialect not in SYNTAX:
        raise DefinitionError(
            f"There is no dialect {dialect!r}. Known: {', '.join(SYNTAX)}.", code="SQL_DIALECT"
        )
    return SYNTAX[dialect]
