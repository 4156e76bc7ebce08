"""Sums of one pass turned into centred moments, with a guard against lost digits.

With y = x - s, n rows, mean d of y and S = sum y^2, the variance sum is S - n d^2. Adding n numbers
up costs S a relative error of about sqrt(n) eps, and of n eps / 6 where they are only a few
distinct ones, whose rounding always goes the same way. So digits are lost where S is much larger
than what is left of it: where s is far from the mean of a cell beside its standard deviation. `s`
is chosen by a first look at some rows; it is 0 when 0 is near, and has few binary digits, so that
whole numbers and zeros stay exact. Cells that the choice does not suit are found here, and their
columns are read again with the exact query. Missing and infinite values show as counts that differ
and as sums that are not finite, and only then is it counted which.
Source: Chan, Golub & LeVeque (1983), The American Statistician 37(3); Higham (2002), "Accuracy and
Stability of Numerical Algorithms", chapter 4.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from uplift.aggregate.cells import Key
from uplift.aggregate.query import Query, Wanted
from uplift.aggregate.syntax import Kind, Syntax
from uplift.errors import DataError
from uplift.inference.moments import (
    CellMoments,
    two_product,
    two_sum,
    without_rounding,
    without_rounding_of_cubes,
)

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class Look(NamedTuple):
    """What some rows of a column look like."""

    mean: float
    least: float
    greatest: float


TOLERANCE = 5e-10  # relative error of a variance above which a column is read again
STRAIGHT = 1 / 8  # eps n of this: rounding that goes one way, a little above what was measured
MOST_STRAIGHT = 2.0**22  # rows from which it is not counted on to grow: engines add up in parts
NEAR = 1 / 6  # of the range: about a standard deviation; a mean within it needs no shift
UNKNOWN = Look(math.nan, math.nan, math.nan)  # nothing was looked at: nothing is shifted
EXACT = 2.0**53  # whole numbers below it are exact


class Part(Protocol):
    """Rows that one query reads in a fixed order; a table is one part or several."""

    def rows(self, sql: str, *, n_keys: int) -> tuple[list[Key], Array]:
        """Answer of a query: keys, and numbers (n_rows, n_numbers) with NaN for missing ones."""
        ...


class Source(Protocol):
    """A table somewhere, and the parts it is read in."""

    @property
    def syntax(self) -> Syntax:
        """The dialect of its engine."""
        ...

    @property
    def table(self) -> tuple[str, ...]:
        """Its name in queries, in parts."""
        ...

    @property
    def types(self) -> Mapping[str, str]:
        """SQL types of the columns that were asked for."""
        ...

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Kinds of those of them that hold numbers."""
        ...

    @property
    def parts(self) -> Sequence[Part]:
        """At least one."""
        ...

    def first_look(self, query: Query) -> Sequence[Look]:
        """Each wanted column in some rows, by a look that costs next to nothing."""
        ...


@dataclass(frozen=True, eq=False)
class Collected:
    """Moments of the cells in one part.

    cells   None when there are no rows, or when they cannot be used
    reread  columns, by position, that needed the exact query
    faulty  whether any value is missing, infinite, or too large to be squared
    """

    keys: list[Key]
    cells: CellMoments | None
    reread: frozenset[int] = frozenset()
    faulty: bool = False


def query_of(source: Source, wanted: Wanted) -> Query:
    """Writes the queries over a source."""
    return Query(wanted, source.syntax, source.table, source.kinds)


def choose_shifts(query: Query, looks: Sequence[Look]) -> list[float]:
    """Numbers near the values of the columns, by what a first look found.

    Per column: the mean rounded to a multiple of a power of two below a standard deviation (of 1
    where numbers are whole); 0 when the mean is near 0; the value itself when all are equal.
    """
    whole = [expression.whole(query.kinds) for expression in query.wanted.expressions]
    return [shift_of(look, whole=flag) for look, flag in zip(looks, whole, strict=True)]


def shift_of(look: Look, *, whole: bool) -> float:
    """The shift of one column."""
    near = NEAR * (look.greatest - look.least)
    if not math.isfinite(near) or not math.isfinite(look.mean) or abs(look.mean) <= near:
        return 0.0
    if near == 0:
        return look.least
    unit = math.ldexp(1.0, math.frexp(near)[1] - 1)
    if whole:
        unit = max(unit, 1.0)
    steps = look.mean / unit if unit else math.inf
    return round(steps) * unit if abs(steps) < EXACT else 0.0


def collect(query: Query, part: Part, shifts: Sequence[float]) -> Collected:
    """Moments of the cells of a part: one pass, and the exact query for columns that need it."""
    wanted = query.wanted
    keys, numbers = part.rows(query.one_pass(shifts), n_keys=len(wanted.by))
    if not keys or numbers[0, 0] == 0:  # no row, though without keys there is a cell of none
        return Collected([], None)
    count, sums = numbers[:, 0], Sums.of(numbers[:, 1:], wanted)
    if not (count[:, None] == sums.present).all() or not sums.are_finite():
        return Collected([], None, faulty=True)
    cells = centred(count, sums, shifts, wanted)
    lost = lost_digits(cells, sums, wanted) & ~(_exact(query, shifts) & (sums.own < EXACT))
    again = frozenset(np.flatnonzero(lost.any(axis=0)).tolist())
    if again:
        cells = _read_again(query, part, keys, cells, again)
    return Collected(keys, cells, again)


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of shifted values in one pass, (n_cells, ...).

    present   values that are there, by column
    first     of the values, by column
    products  by pair;  `own` of them are squares, by column
    cubes     by column with a third moment
    """

    present: Array
    first: Array
    products: Array
    cubes: Array
    own: Array

    @classmethod
    def of(cls, numbers: Array, wanted: Wanted) -> "Sums":
        """The numbers of the answer to the query of one pass, after the count."""
        width = len(wanted.names)
        edges = np.cumsum([width, width, len(wanted.pairs)])
        present, first, products, cubes = np.split(numbers, edges, axis=1)
        own = products[:, [wanted.pairs.index((i, i)) for i in range(width)]]
        return cls(present, first, products, cubes, own)

    def are_finite(self) -> bool:
        """Whether no value was infinite or not a number, and none too large."""
        return all(np.isfinite(x).all() for x in (self.first, self.products, self.cubes))


def centred(count: Array, sums: Sums, shifts: Sequence[float], wanted: Wanted) -> CellMoments:
    """Moments from sums of shifted values, (n_cells, ...), every cell with a row.

    comoment  = S_ij - S_i S_j / n
    cubes     = S_iii - 3 d comoment_ii - n d^3
    """
    pairs, third, n = wanted.pairs, list(wanted.skewed), count[:, None]
    away = sums.first / n
    product, cut = two_product(np.broadcast_to(n, away.shape), away)
    remainder = ((sums.first - product) - cut) / n  # what that division cut off
    i, j = [a for a, _ in pairs], [b for _, b in pairs]
    product, cut = two_product(away[:, i], sums.first[:, j])
    comoment = ((sums.products - product) - cut) - remainder[:, i] * sums.first[:, j]
    variance = comoment[:, [pairs.index((k, k)) for k in third]]
    d = away[:, third]
    cubes = sums.cubes - d * (3 * variance + n * d**2)
    mean, rest = two_sum(np.broadcast_to(np.array(shifts), away.shape), away)
    single = count < 2
    comoment[single], cubes[single] = 0.0, 0.0
    return CellMoments(count, mean, rest + remainder, comoment, cubes)


def lost_digits(cells: CellMoments, sums: Sums, wanted: Wanted) -> BoolArray:
    """Whether rounding can be seen in a variance or third moment, (n_cells, n_columns)."""
    n = cells.count[:, None]
    left = np.maximum(cells.comoment[:, [wanted.pairs.index((i, i)) for i in _places(wanted)]], 0)
    steps = 2 + np.sqrt(n) + STRAIGHT * np.minimum(n, MOST_STRAIGHT)
    noise = np.finfo(np.float64).eps * steps * sums.own
    power = np.array([1.5 if i in wanted.skewed else 1.0 for i in _places(wanted)])
    lost = (n > 1) & (noise * sums.own ** (power - 1) > TOLERANCE * left**power)
    return np.asarray(lost, dtype=np.bool_)


def _places(wanted: Wanted) -> range:
    return range(len(wanted.names))


def _exact(query: Query, shifts: Sequence[float]) -> BoolArray:
    expressions = zip(query.wanted.expressions, shifts, strict=True)
    exact = [x.whole(query.kinds) and float(s).is_integer() for x, s in expressions]
    return np.array(exact, dtype=np.bool_)


def _read_again(
    query: Query, part: Part, keys: list[Key], cells: CellMoments, columns: Collection[int]
) -> CellMoments:
    """The cells with all moments of some columns from the exact query."""
    wanted = query.wanted
    partners = {k for pair in wanted.pairs if set(pair) & set(columns) for k in pair}
    places = sorted(partners | set(columns))
    narrow = Query(wanted.only(places), query.syntax, query.table, query.kinds)
    found, numbers = part.rows(narrow.two_passes(), n_keys=len(wanted.by))
    row = {key: i for i, key in enumerate(found)}
    places_of_keys = [row.get(key, -1) for key in keys]
    if len(found) != len(keys) or (numbers[places_of_keys, 0] != cells.count).any():
        raise DataError(
            "The table changed while it was read. Read it in one transaction (isolation level "
            "repeatable read), or from a copy.",
            code="TABLE_CHANGED",
        )
    exact = two_pass_cells(numbers[places_of_keys], narrow.wanted)
    mean, rest, comoment, cubes = (array.copy() for array in cells.arrays()[1:])
    for new, old in enumerate(places):
        if old in columns:
            mean[:, old], rest[:, old] = exact.mean[:, new], exact.rest[:, new]
    for new, (a, b) in enumerate(narrow.wanted.pairs):
        if {places[a], places[b]} & set(columns):
            comoment[:, wanted.pairs.index((places[a], places[b]))] = exact.comoment[:, new]
    for new, a in enumerate(narrow.wanted.skewed):
        if places[a] in columns:
            cubes[:, wanted.skewed.index(places[a])] = exact.cubes[:, new]
    return CellMoments(cells.count, mean, rest, comoment, cubes)


def two_pass_cells(numbers: Array, wanted: Wanted) -> CellMoments:
    """Moments from the exact query's answer."""
    width, n_pairs, pairs = len(wanted.names), len(wanted.pairs), wanted.pairs
    count, numbers = numbers[:, 0], numbers[:, 1:]
    edges = np.cumsum([width, width, n_pairs])
    centre, away, products, thirds = np.split(numbers, edges, axis=1)
    n = count[:, None]
    comoment = products - n * away[:, [a for a, _ in pairs]] * away[:, [b for _, b in pairs]]
    mean, rest = two_sum(centre, away)
    comoment = without_rounding(comoment, count=count, mean=mean, pairs=pairs)
    own = [pairs.index((k, k)) for k in wanted.skewed]
    a = away[:, list(wanted.skewed)]
    cubes = thirds - a * (3 * comoment[:, own] + n * a**2)
    cubes = without_rounding_of_cubes(cubes, comoment=comoment, pairs=pairs, skewed=wanted.skewed)
    return CellMoments(count, mean, rest, comoment, cubes)
