"""Columns computed in the query: capped, filled, combined; built from names and numbers only.

Each knows its SQL and its plain NumPy twin. A missing or infinite value stays what it is,
so that it is refused and never hidden by a cap; only `filled` and `is_missing` read a gap.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.aggregate.syntax import Kind, Syntax
from uplift.errors import DefinitionError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Expression:
    """A number of each row, by name.

    needs  columns of numbers that it is computed from
    whole  whether it is a whole number, given the kinds of the columns
    keys   columns of the table whose values choose a number
    """

    name: str
    needs: tuple[str, ...]
    whole: Callable[[Mapping[str, Kind]], bool]
    written: Callable[[Syntax, Mapping[str, Kind]], str]
    computed: Callable[[Any], Array]
    keys: tuple[str, ...] = ()

    def sql(self, syntax: Syntax, kinds: Mapping[str, Kind]) -> str:
        """The expression in a dialect."""
        return self.written(syntax, kinds)

    def values(self, frame: Any) -> Array:
        """The same of a frame or mapping in memory, (n_rows,); a gap is NaN."""
        return self.computed(frame)


Column = str | Expression


def as_expression(column: Column) -> Expression:
    """A column of the table, or an expression as it is."""
    if isinstance(column, Expression):
        return column
    name = column
    return Expression(
        name,
        (name,),
        whole=lambda kinds: kinds.get(name) in ("whole", "truth"),
        written=lambda syntax, kinds: syntax.column(name, kinds.get(name)),
        computed=lambda frame: _numbers(frame[name]),
    )


def capped(column: Column, cap: float, *, name: str | None = None) -> Expression:
    """Values beyond `cap` in magnitude are cut to it. The cap is fixed before launch.

    Errors: CAP_INVALID.
    """
    inner, cap = as_expression(column), float(cap)
    if not 0 < cap < math.inf:
        raise DefinitionError(
            f"A cap must be above 0 and finite, got {cap}. Choose it before launch (`choose_cap`).",
            code="CAP_INVALID",
        )

    def written(syntax: Syntax, kinds: Mapping[str, Kind]) -> str:
        x, low, high = inner.sql(syntax, kinds), syntax.number(-cap), syntax.number(cap)
        cut = f"least(greatest({x}, {low}), {high})"
        return f"CASE WHEN {syntax.finite.format(x=x)} THEN {cut} ELSE {x} END"

    def computed(frame: Any) -> Array:
        x = inner.values(frame)
        return np.where(np.isfinite(x), np.clip(x, -cap, cap), x)

    return Expression(
        name or f"{inner.name} capped at {cap:g}",
        inner.needs,
        whole=lambda kinds: inner.whole(kinds) and cap.is_integer(),
        written=written,
        computed=computed,
        keys=inner.keys,
    )


def at_most(column: Column, limit: float, *, name: str | None = None) -> Expression:
    """Values above the limit are cut to it, those below 0 stay: the cap of a metric."""
    inner, most = as_expression(column), _finite(limit)

    def written(syntax: Syntax, kinds: Mapping[str, Kind]) -> str:
        x, edge = inner.sql(syntax, kinds), syntax.number(most)
        return f"CASE WHEN {syntax.finite.format(x=x)} AND {x} > {edge} THEN {edge} ELSE {x} END"

    def computed(frame: Any) -> Array:
        x = inner.values(frame)
        return np.where(np.isfinite(x), np.minimum(x, most), x)

    return Expression(
        name or f"{inner.name} at most {most:g}",
        inner.needs,
        whole=lambda kinds: inner.whole(kinds) and most.is_integer(),
        written=written,
        computed=computed,
        keys=inner.keys,
    )


def unlike(column: Column, values: Sequence[float], *, name: str | None = None) -> Expression:
    """1 where the value is none of these, else 0: what a column of 0 and 1 must not hold."""
    inner, known = as_expression(column), [_finite(value) for value in values]

    def written(syntax: Syntax, kinds: Mapping[str, Kind]) -> str:
        x = inner.sql(syntax, kinds)
        listed = ", ".join(map(syntax.number, known))
        found = f"CASE WHEN {x} IN ({listed}) THEN {syntax.number(0)} ELSE {syntax.number(1)} END"
        return f"CASE WHEN {syntax.finite.format(x=x)} THEN {found} ELSE {x} END"

    def computed(frame: Any) -> Array:
        x = inner.values(frame)
        return np.where(np.isfinite(x), ~np.isin(x, known), x)

    return Expression(
        name or f"{inner.name} unlike {', '.join(f'{value:g}' for value in known)}",
        inner.needs,
        whole=lambda kinds: True,
        written=written,
        computed=computed,
        keys=inner.keys,
    )


def above(column: Column, threshold: float = 0.0, *, name: str | None = None) -> Expression:
    """1 where the value is above the threshold, else 0: who bought, say, from what they spent."""
    inner, limit = as_expression(column), _finite(threshold)

    def written(syntax: Syntax, kinds: Mapping[str, Kind]) -> str:
        x, edge = inner.sql(syntax, kinds), syntax.number(limit)
        found = f"CASE WHEN {x} > {edge} THEN {syntax.number(1)} ELSE {syntax.number(0)} END"
        return f"CASE WHEN {syntax.finite.format(x=x)} THEN {found} ELSE {x} END"

    def computed(frame: Any) -> Array:
        x = inner.values(frame)
        return np.where(np.isfinite(x), (x > limit).astype(np.float64), x)

    return Expression(
        name or f"{inner.name} above {limit:g}",
        inner.needs,
        whole=lambda kinds: True,
        written=written,
        computed=computed,
        keys=inner.keys,
    )


def filled(column: Column, value: float, *, name: str | None = None) -> Expression:
    """Gaps filled with a fixed value; beside it, take `is_missing` as a covariate."""
    inner, filling = as_expression(column), _finite(value)

    def written(syntax: Syntax, kinds: Mapping[str, Kind]) -> str:
        x = inner.sql(syntax, kinds)
        return f"CASE WHEN {_gap(x, syntax)} THEN {syntax.number(filling)} ELSE {x} END"

    def computed(frame: Any) -> Array:
        x = inner.values(frame)
        return np.where(np.isnan(x), filling, x)

    return Expression(
        name or f"{inner.name} filled",
        inner.needs,
        whole=lambda kinds: inner.whole(kinds) and filling.is_integer(),
        written=written,
        computed=computed,
        keys=inner.keys,
    )


def is_missing(column: Column, *, name: str | None = None) -> Expression:
    """1 where the value is missing, else 0."""
    inner = as_expression(column)

    def written(syntax: Syntax, kinds: Mapping[str, Kind]) -> str:
        gap = _gap(inner.sql(syntax, kinds), syntax)
        return f"CASE WHEN {gap} THEN {syntax.number(1)} ELSE {syntax.number(0)} END"

    return Expression(
        name or f"{inner.name} is missing",
        inner.needs,
        whole=lambda kinds: True,
        written=written,
        computed=lambda frame: np.isnan(inner.values(frame)).astype(np.float64),
        keys=inner.keys,
    )


def combined(factors: Mapping[Column, float], *, name: str) -> Expression:
    """A sum of columns, or of expressions, times factors: profit from value and redemptions, say.

        combined({"value": 0.3, "redemptions": -5.0}, name="profit")

    Errors: EXPRESSION_INVALID.
    """
    if not factors:
        raise DefinitionError(
            f"The combination {name!r} has no column. Give factors by column.",
            code="EXPRESSION_INVALID",
        )
    parts = [(as_expression(column), _finite(factor)) for column, factor in factors.items()]

    def written(syntax: Syntax, kinds: Mapping[str, Kind]) -> str:
        terms = (f"{syntax.number(a)} * {x.sql(syntax, kinds)}" for x, a in parts)
        return f"({' + '.join(terms)})"

    def computed(frame: Any) -> Array:
        first, *others = (a * x.values(frame) for x, a in parts)
        return sum(others, start=first)

    inner = [x for x, _ in parts]
    return Expression(
        name,
        needed(inner),
        whole=lambda kinds: all(x.whole(kinds) and a.is_integer() for x, a in parts),
        written=written,
        computed=computed,
        keys=keys_of(inner),
    )


def by_key(column: Column, key: str, factors: Mapping[str, float], *, name: str) -> Expression:
    """Times the factor of the row's own key, 0 where none is given: a cost that arms differ in.

        by_key("redemptions", "arm", {"email": 2.0, "post": 5.0}, name="redemption cost")

    Keys are compared as text. Errors: EXPRESSION_INVALID.
    """
    inner = as_expression(column)
    numbers = {value: _finite(factor) for value, factor in factors.items()}

    def written(syntax: Syntax, kinds: Mapping[str, Kind]) -> str:
        found = f"CAST({syntax.name(key)} AS {syntax.text})"
        cases = "".join(
            f" WHEN {found} = {syntax.literal(value)} THEN {syntax.number(factor)}"
            for value, factor in numbers.items()
        )
        chosen = f"CASE{cases} ELSE {syntax.number(0)} END" if cases else syntax.number(0)
        return f"({inner.sql(syntax, kinds)} * {chosen})"

    def computed(frame: Any) -> Array:
        given = [numbers.get(str(value), 0.0) for value in frame[key]]
        return inner.values(frame) * np.array(given, dtype=np.float64)

    return Expression(
        name,
        inner.needs,
        whole=lambda kinds: inner.whole(kinds) and all(map(float.is_integer, numbers.values())),
        written=written,
        computed=computed,
        keys=(key, *inner.keys),
    )


def needed(expressions: Sequence[Expression]) -> tuple[str, ...]:
    """Every column of the table that any of them is computed from, each once."""
    return tuple(dict.fromkeys(name for one in expressions for name in one.needs))


def keys_of(expressions: Sequence[Expression]) -> tuple[str, ...]:
    """Every column of the table whose values choose a number in any of them, each once."""
    return tuple(dict.fromkeys(name for one in expressions for name in one.keys))


def _gap(x: str, syntax: Syntax) -> str:
    return f"{x} IS NULL OR {syntax.nan.format(x=x)}"


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise DefinitionError(
            f"The numbers of an expression must be finite, got {value}.", code="EXPRESSION_INVALID"
        )
    return float(value)


def _numbers(column: Any) -> Array:
    """A column in memory as doubles."""
    values = column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
    if values.dtype.kind == "O":
        values = [math.nan if value is None else value for value in values]
    return np.asarray(values, dtype=np.float64)
