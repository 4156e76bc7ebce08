"""The SQL of moments: sums of products in one pass, and the exact two-pass query behind it.

    one pass    sum (x - s), sum (x - s)(y - t)            s, t: fixed numbers near the means
    two passes  sum (x - c), sum (x - c)(y - d)            c, d: means of the cell itself

The one pass costs what plain sums of products cost, about half of the engines' own variances. It
loses digits only where a cell's mean is far from `s` beside its standard deviation; `one_pass`
finds those cells and asks again for their columns with the second.
Source: Chan, Golub & LeVeque (1983), The American Statistician 37(3).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from uplift.aggregate.expressions import Column, Expression, as_expression, keys_of, needed
from uplift.aggregate.syntax import Kind, Syntax, syntax_of
from uplift.errors import DataError
from uplift.inference.moments import Pairs, pairs_of, positions_of

SOURCE = "source"  # the name the table has inside the query
FIRST_ROWS = 1024  # enough for the scale of a column, few enough to cost nothing


@dataclass(frozen=True)
class Wanted:
    """The moments to collect.

    by           columns whose values make the cells
    expressions  columns of the moments
    pairs        co-moments, as positions of columns
    skewed       positions of the columns with third moments
    """

    by: tuple[str, ...]
    expressions: tuple[Expression, ...]
    pairs: Pairs
    skewed: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        by: Sequence[str],
        columns: Sequence[Column],
        covariances: Iterable[tuple[str, str]] = (),
        skewed: Iterable[str] = (),
    ) -> "Wanted":
        """What is wanted, by names. Errors: COLUMN_MISSING, FEATURE_DUPLICATE."""
        by = [by] if isinstance(by, str) else by
        columns = [columns] if isinstance(columns, str) else columns
        expressions = tuple(as_expression(column) for column in columns)
        names = [expression.name for expression in expressions]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise DataError(
                    f"Column {name!r} is asked for twice. Name it once, or give the expression "
                    "a name of its own.",
                    code="FEATURE_DUPLICATE",
                    column=name,
                )
        pairs = pairs_of(names, covariances)
        return cls(tuple(by), expressions, pairs, positions_of(skewed, names))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the moments."""
        return tuple(expression.name for expression in self.expressions)

    @property
    def needed(self) -> tuple[str, ...]:
        """Every column of the table that is read."""
        keys = keys_of(self.expressions)
        return tuple(dict.fromkeys([*self.by, *keys, *needed(self.expressions)]))

    def only(self, columns: Collection[int]) -> "Wanted":
        """These columns, by position, with all moments among them."""
        place = {old: new for new, old in enumerate(sorted(columns))}
        pairs = tuple((place[i], place[j]) for i, j in self.pairs if i in place and j in place)
        skewed = tuple(place[i] for i in self.skewed if i in place)
        return Wanted(self.by, tuple(self.expressions[i] for i in sorted(place)), pairs, skewed)


@dataclass(frozen=True)
class Query:
    """Writes the queries over one table.

    table  name of the table, in parts
    kinds  what numbers its columns hold
    """

    wanted: Wanted
    syntax: Syntax
    table: tuple[str, ...] = (SOURCE,)
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    def one_pass(self, shifts: Sequence[float]) -> str:
        """Per cell: count, then by column values present and sums, then products, then cubes."""
        x = self._places()
        sums = ["count(*) AS n"]
        sums += [f"count(x{i}) AS n{i}" for i in x]
        sums += [f"sum(x{i}) AS s{i}" for i in x]
        sums += [f"sum(x{i} * x{j}) AS p{i}_{j}" for i, j in self.wanted.pairs]
        sums += [f"sum(x{i} * x{i} * x{i}) AS t{i}" for i in self.wanted.skewed]
        shifted = [self._shifted(i, shifts[i]) for i in x]
        return _select([*self._keys(), *sums], self._numbers(shifted), *self._grouped())

    def two_passes(self) -> str:
        """Per cell: count, then by column centres and what they miss, products, cubes."""
        x, keys = self._places(), self._keys()
        centres = [*keys, *(f"avg(x{i}) AS c{i}" for i in x)]
        joined = [self.syntax.same.format(left=f"n.{k}", right=f"c.{k}") for k in keys]
        centred = [*(f"n.{k}" for k in keys), *(f"c{i}, x{i} - c{i} AS d{i}" for i in x)]
        sums = [*keys, "count(*) AS n", *(f"min(c{i}) AS c{i}" for i in x)]
        sums += [f"avg(d{i}) AS s{i}" for i in x]
        sums += [f"sum(d{i} * d{j}) AS p{i}_{j}" for i, j in self.wanted.pairs]
        sums += [f"sum(d{i} * d{i} * d{i}) AS t{i}" for i in self.wanted.skewed]
        numbers = f"numbers AS {self.syntax.inlined}{self._numbers(self._plain(), name='')}"
        middles = f"centres AS ({_select(centres, 'numbers', *self._grouped())})"
        join = f"numbers AS n JOIN centres AS c ON {' AND '.join(joined) or '1 = 1'}"
        query = _select(sums, f"({_select(centred, join)}) AS centred", *self._grouped())
        return f"WITH {numbers},\n{middles}\n{query}"

    def first_look(self) -> str:
        """Mean, least and greatest value of each column in the first rows."""
        wanted = [f"avg(x{i}), min(x{i}), max(x{i})" for i in self._places()]
        rows = f"({_select(['*'], self._table(), f'LIMIT {FIRST_ROWS}')}) AS first_rows"
        return _select(wanted, self._numbers(self._plain(), rows, keys=False))

    def largest(self, k: int) -> str:
        """The k largest magnitudes of the first column, falling."""
        clauses = ["ORDER BY 1 DESC", f"LIMIT {k}"]
        return _select(["abs(x0) AS a"], self._numbers(self._plain(), keys=False), *clauses)

    def magnitude(self) -> str:
        """Sum of the magnitudes of the first column."""
        return _select(["sum(abs(x0)) AS a"], self._numbers(self._plain(), keys=False))

    def unusable(self) -> str:
        """Per column: rows in which it is missing, and in which it is infinite."""
        wanted = []
        for i in self._places():
            nan, infinite = (
                template.format(x=f"x{i}") for template in (self.syntax.nan, self.syntax.infinite)
            )
            wanted.append(f"sum(CASE WHEN x{i} IS NULL OR {nan} THEN 1 ELSE 0 END)")
            wanted.append(f"sum(CASE WHEN {infinite} THEN 1 ELSE 0 END)")
        return _select(wanted, self._numbers(self._plain(), keys=False))

    def _places(self) -> range:
        return range(len(self.wanted.expressions))

    def _keys(self) -> list[str]:
        return [f"k{i}" for i in range(len(self.wanted.by))]

    def _grouped(self) -> list[str]:
        return [f"GROUP BY {_listed(self._keys())}"] if self.wanted.by else []

    def _written(self, i: int) -> str:
        return self.wanted.expressions[i].sql(self.syntax, self.kinds)

    def _shifted(self, i: int, shift: float) -> str:
        less = f" - {self.syntax.number(shift)}" if shift else ""
        return f"{self._written(i)}{less} AS x{i}"

    def _plain(self) -> list[str]:
        return [self._shifted(i, 0.0) for i in self._places()]

    def _numbers(
        self,
        columns: Sequence[str],
        rows: str | None = None,
        *,
        name: str = " AS numbers",
        keys: bool = True,
    ) -> str:
        """The columns of each row, with its keys, as a subquery."""
        by = self.wanted.by if keys else ()
        named = [f"{self.syntax.name(column)} AS k{i}" for i, column in enumerate(by)]
        return f"({_select([*named, *columns], rows or self._table())}){name}"

    def _table(self) -> str:
        return self.syntax.name(*self.table)


def moments_query(
    by: Sequence[str],
    columns: Sequence[Column],
    pairs: Pairs | None = None,
    *,
    dialect: str = "duckdb",
    table: str | Sequence[str] = SOURCE,
    shifts: Sequence[float] | None = None,
    skewed: Iterable[str] = (),
    truth_values: Collection[str] = (),
    exact: bool = False,
) -> str:
    """The SQL that `aggregate` runs, to read it or to run it elsewhere.

    pairs         co-moments as positions of columns (`pairs_of`); every variance when not given
    table         its name, or schema and name
    shifts        near the mean of each column; 0 when not given
    truth_values  columns of truth values, which PostgreSQL turns into numbers in its own way
    exact         the two-pass query, which needs no shifts

    Names are quoted; they must have been checked against the table's own columns.
    Errors: SQL_DIALECT, COLUMN_MISSING, FEATURE_DUPLICATE.
    """
    wanted = Wanted.of(by, columns, (), skewed)
    if pairs is not None:
        wanted = Wanted(wanted.by, wanted.expressions, pairs, wanted.skewed)
    parts = (table,) if isinstance(table, str) else tuple(table)
    kinds: dict[str, Kind] = dict.fromkeys(truth_values, "truth")
    query = Query(wanted, syntax_of(dialect), parts, kinds)
    return query.two_passes() if exact else query.one_pass(shifts or [0.0] * len(columns))


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _select(wanted: Iterable[str], source: str, *clauses: str) -> str:
    listed = ",\n  ".join(wanted)
    return "\n".join([f"SELECT {listed}", f"FROM {source}", *clauses])
