"""The same draw as SQL, so that a warehouse gives each unit the arm that Python gives it.

A hash value is compared as what MD5 prints: its first 16 hexadecimal digits, as text. Digits stand
before letters and all texts are of one length, so their order is the order of the 64-bit numbers,
in engines with unsigned integers and without. A threshold of 2^64 is written as 'g', which is above
every digit.

| dialect    | tested against           | Unicode NFC of the id                                    |
|------------|--------------------------|----------------------------------------------------------|
| duckdb     | DuckDB                   | nfc_normalize                                            |
| postgresql | PostgreSQL 15            | normalize(…, NFC); the database's encoding must be UTF8  |
| spark      | Spark 4 (`make spark`)   | Spark has none: ids must be ASCII, or in NFC already     |
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from uplift.assignment.hashing import (
    SLOT_BITS,
    SPACE,
    Purpose,
    arm_ranges,
    draw_salt,
    exact_shares,
    threshold_of,
)
from uplift.errors import DefinitionError
from uplift.experiment import Experiment

HEX_DIGITS = 16  # of 64 bits
SLOT_DIGITS = 14  # 56 bits, which a signed 64-bit integer holds; three more than a slot has

Dialect = Literal["duckdb", "postgresql", "spark"]


@dataclass(frozen=True)
class Syntax:
    """How a dialect writes what the expressions need.

    name_quote  around a column's name, doubled inside
    composed    brings {text} into NFC
    ordered     after {text} that is compared by its bytes
    integer     the hexadecimal {digits} as an integer
    real        {integer} as a double
    """

    name_quote: str
    composed: str
    ordered: str
    integer: str
    real: str

    def name(self, column: str) -> str:
        """A column's name, quoted."""
        quote = self.name_quote
        return quote + column.replace(quote, quote * 2) + quote


SYNTAX: dict[str, Syntax] = {
    "duckdb": Syntax(
        name_quote='"',
        composed="nfc_normalize({text})",
        ordered="{text}",
        integer="CAST('0x' || {digits} AS BIGINT)",
        real="CAST({integer} AS DOUBLE)",
    ),
    "postgresql": Syntax(
        name_quote='"',
        composed="normalize({text}, NFC)",
        ordered='{text} COLLATE "C"',
        integer="CAST(CAST('x00' || {digits} AS bit(64)) AS bigint)",
        real="CAST({integer} AS double precision)",
    ),
    "spark": Syntax(
        name_quote="`",
        composed="{text}",
        ordered="{text}",
        integer="CAST(conv({digits}, 16, 10) AS BIGINT)",
        real="CAST({integer} AS DOUBLE)",
    ),
}


def arm_sql(
    experiment: Experiment,
    *,
    dialect: Dialect = "duckdb",
    column: str = "unit",
    wave: str | None = None,
) -> str:
    """Expression that gives the name of each unit's arm; NULL for a missing id.

    column  holds the randomised id (the cluster's, where clusters are drawn); quoted here
    wave    needed where waves are drawn anew

    Errors: SQL_DIALECT; DRAW_NOT_HASH, when the arms were drawn for a whole list at once and stand
    in its assignment only; WAVE_UNKNOWN.
    """
    if experiment.assignment.method != "hash":
        raise DefinitionError(
            f"{experiment.id} draws its arms {experiment.assignment.method}, for a whole list at "
            "once. Join the stored assignment instead of computing the arm.",
            code="DRAW_NOT_HASH",
        )
    syntax = _syntax(dialect)
    digits = _digits(draw_salt(experiment, wave=wave), column, syntax, HEX_DIGITS)
    value = syntax.ordered.format(text=digits)
    *later, first = reversed(arm_ranges(exact_shares(experiment)))
    cases = "\n".join(
        f"  WHEN {value} >= {_threshold(piece.threshold)} THEN {_text(piece.arm)}"
        for piece in later
    )
    nobody = f"  WHEN {syntax.name(column)} IS NULL THEN NULL"
    return f"CASE\n{nobody}\n{cases}\n  ELSE {_text(first.arm)}\nEND"


def takes_part_sql(
    experiment: Experiment,
    *,
    dialect: Dialect = "duckdb",
    column: str = "unit",
    layer_column: str | None = None,
) -> str:
    """Expression that says whether a unit is in the experiment's layer part and exposure share.

    layer_column  holds the id by which the layer is drawn; when not given, the column that the
                  layer names (`layer: by`), else `column`
    """
    plan, syntax = experiment.assignment, _syntax(dialect)
    conditions: list[str] = []
    if plan.layer is not None:
        drawn_by = layer_column or plan.layer.by or column
        part = (plan.layer.start, plan.layer.end)
        conditions += _inside(draw_salt(experiment, "layer"), drawn_by, syntax, part)
    if plan.exposure_share < 1:
        salt = draw_salt(experiment, "eligibility")
        conditions += _inside(salt, column, syntax, (Fraction(0), plan.exposure_share))
    return " AND ".join(conditions) or "TRUE"


def slot_sql(
    experiment: Experiment,
    *,
    dialect: Dialect = "duckdb",
    column: str = "unit",
    purpose: Purpose = "arm",
    wave: str | None = None,
) -> str:
    """Expression for where the draw fell in [0, 1), the very double that `slots` gives."""
    syntax = _syntax(dialect)
    digits = _digits(draw_salt(experiment, purpose, wave=wave), column, syntax, SLOT_DIGITS)
    integer = syntax.integer.format(digits=digits)
    surplus = 2 ** (4 * SLOT_DIGITS - SLOT_BITS)
    whole = f"({integer} - mod({integer}, {surplus}))"  # the surplus bits cleared
    return f"({syntax.real.format(integer=whole)} / {2 ** (4 * SLOT_DIGITS)})"


def _syntax(dialect: str) -> Syntax:
    if dialect not in SYNTAX:
        raise DefinitionError(
            f"SQL dialect {dialect!r} is not known. Choose one of {', '.join(SYNTAX)}.",
            code="SQL_DIALECT",
        )
    return SYNTAX[dialect]


def _digits(salt: str, column: str, syntax: Syntax, n_digits: int) -> str:
    unit = syntax.composed.format(text=syntax.name(column))
    return f"substr(md5({_text(salt + ':')} || {unit}), 1, {n_digits})"


def _inside(salt: str, column: str, syntax: Syntax, part: tuple[Fraction, Fraction]) -> list[str]:
    value = syntax.ordered.format(text=_digits(salt, column, syntax, HEX_DIGITS))
    start, end = part
    return [
        f"{value} >= {_threshold(threshold_of(start))}",
        f"{value} < {_threshold(threshold_of(end))}",
    ]


def _threshold(value: int) -> str:
    return _text(f"{value:0{HEX_DIGITS}x}" if value < SPACE else "g")


def _text(value: str) -> str:
    """A literal. What is written here are salts and names of arms: no quote, no backslash."""
    return "'" + value.replace("'", "''") + "'"
