"""Moments: count, means and centred co-moments of the declared columns; they add without loss.

The hinge of design, analysis and monitoring: whatever is computed from moments is the same for a
frame in a notebook and a warehouse of a billion rows. Sums of squares are never stored, because
they lose the digits of a small variance at a large mean.
Source: Chan, Golub & LeVeque (1983), The American Statistician 37(3).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, means and centred co-moments of the columns of one cell (an arm, a segment, a day).

    columns   names
    pairs     the co-moments held, as column positions (i <= j); every (i, i) is among them
    mean      (n_columns,)
    comoment  (n_pairs,)    sum over units of (x_i - mean_i)(x_j - mean_j)
    rest      (n_columns,)  what rounding cut off the mean: `mean + rest` has twice the digits, so
                            that the difference of two large means is exact
    skewed    positions of the columns whose third moment is held
    cubes     (n_skewed,)   sum over units of (x_i - mean_i)^3
    """

    columns: tuple[str, ...]
    pairs: Pairs
    count: float
    mean: Array
    comoment: Array
    rest: Array = field(repr=False)
    skewed: tuple[int, ...] = ()
    cubes: Array = field(default_factory=lambda: np.zeros(0), repr=False)

    @classmethod
    def of(
        cls,
        values: Any,
        columns: Sequence[str],
        covariances: Iterable[tuple[str, str]] = (),
        skewed: Iterable[str] = (),
    ) -> "Moments":
        """Moments of the rows of a frame, or of a mapping from names to arrays.

        covariances  pairs of columns whose co-moment is wanted, beside every variance
        skewed       columns whose third moment is wanted
        """
        names, pairs = tuple(columns), pairs_of(columns, covariances)
        third = positions_of(skewed, names)
        data = [_finite(values[name], name) for name in names]
        count = len(data[0]) if data else 0
        if count == 0:
            zero = np.zeros(len(names))
            none, cubes = np.zeros(len(pairs)), np.zeros(len(third))
            return cls(names, pairs, 0.0, zero, none, zero.copy(), third, cubes)
        centre = np.array([column.mean() for column in data])
        centred = [column - middle for column, middle in zip(data, centre, strict=True)]
        shift = np.array([column.mean() for column in centred])
        comoment = np.array(
            [centred[i] @ centred[j] - count * shift[i] * shift[j] for i, j in pairs]
        )
        cubes = np.array([np.sum((centred[i] - shift[i]) ** 3) for i in third], dtype=np.float64)
        mean, rest = two_sum(centre, shift)
        comoment = without_rounding(comoment, count=np.array(count), mean=mean, pairs=pairs)
        cubes = without_rounding_of_cubes(cubes, comoment=comoment, pairs=pairs, skewed=third)
        return cls(names, pairs, float(count), mean, comoment, rest, third, cubes)

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of both sets of rows together."""
        if not isinstance(other, Moments):
            return NotImplemented
        held = (self.columns, self.pairs, self.skewed)
        if held != (other.columns, other.pairs, other.skewed):
            raise DataError(
                f"Moments of different columns cannot be added: {self.columns} and "
                f"{other.columns}. Compute both with the same columns, covariances and third "
                "moments.",
                code="COLUMN_MISSING",
            )
        one, two = (
            CellMoments(
                np.array([cell.count]), cell.mean[None], cell.rest[None], cell.comoment[None],
                cell.cubes[None],
            )
            for cell in (self, other)
        )  # fmt: skip
        into = np.zeros(2, dtype=np.int64)
        both = merge(stacked([one, two]), pairs=self.pairs, into=into, skewed=self.skewed)
        return both.cell(0, columns=self.columns, pairs=self.pairs, skewed=self.skewed)

    def index(self, column: str) -> int:
        """Position of a column."""
        if column not in self.columns:
            raise DataError(
                f"There are no moments of {column!r}, only those of {', '.join(self.columns)}.",
                code="COLUMN_MISSING",
                column=column,
            )
        return self.columns.index(column)

    def mean_of(self, column: str) -> float:
        """Mean of a column, in its unit."""
        return float(self.mean[self.index(column)])

    def variance(self, column: str) -> float:
        """Variance of a column with divisor count - 1, in its unit squared."""
        return self.covariance(column, column)

    def covariance(self, first: str, second: str) -> float:
        """Covariance of two columns with divisor count - 1; their pair must have been declared."""
        i, j = sorted((self.index(first), self.index(second)))
        if (i, j) not in self.pairs:
            raise DataError(
                f"The co-moment of {first!r} and {second!r} was not collected. "
                "Name the pair in `covariances`.",
                code="COLUMN_MISSING",
                column=second,
            )
        if self.count < 2:
            return float("nan")
        return float(self.comoment[self.pairs.index((i, j))] / (self.count - 1))

    def third(self, column: str) -> float:
        """Mean of (x - mean)^3, in the column's unit cubed; it must have been declared."""
        i = self.index(column)
        if i not in self.skewed:
            raise DataError(
                f"The third moment of {column!r} was not collected. Name the column in `skewed`.",
                code="COLUMN_MISSING",
                column=column,
            )
        if self.count < 1:
            return float("nan")
        return float(self.cubes[self.skewed.index(i)] / self.count)

    def skewness(self, column: str) -> float:
        """Third moment / variance^1.5, without a unit; 0 of a constant."""
        third, variance = self.third(column), self.variance(column)
        return 0.0 if variance == 0 else float(third / variance**1.5)

    def covariance_matrix(self, columns: Sequence[str]) -> Array:
        """Covariances of several columns with each other. Returns (n_columns, n_columns)."""
        return np.array(
            [[self.covariance(a, b) for b in columns] for a in columns], dtype=np.float64
        ).reshape(len(columns), len(columns))


def mean_difference(first: Moments, second: Moments, column: str) -> float:
    """Mean of a column in `first` less that in `second`, exact to twice the digits of a mean."""
    i, j = first.index(column), second.index(column)
    return float((first.mean[i] - second.mean[j]) + (first.rest[i] - second.rest[j]))


def pairs_of(columns: Sequence[str], covariances: Iterable[tuple[str, str]] = ()) -> Pairs:
    """Positions of every variance and of the wanted covariances, sorted, each once."""
    names, wanted = tuple(columns), {(i, i) for i in range(len(columns))}
    for pair in covariances:
        first, second = (_position(name, names, "A covariance with") for name in pair)
        wanted.add((min(first, second), max(first, second)))
    return tuple(sorted(wanted))


def positions_of(skewed: Iterable[str], columns: Sequence[str]) -> tuple[int, ...]:
    """Positions of the columns whose third moments are wanted, sorted, each once."""
    names = tuple(columns)
    return tuple(sorted({_position(name, names, "The third moment of") for name in skewed}))


def _position(name: str, columns: tuple[str, ...], what: str) -> int:
    if name not in columns:
        raise DataError(
            f"{what} {name!r} is wanted, but it is not among the columns ({', '.join(columns)}).",
            code="COLUMN_MISSING",
            column=name,
        )
    return columns.index(name)


def two_sum(first: Array, second: Array) -> tuple[Array, Array]:
    """The rounded sum and exactly what the rounding cut off. Source: Knuth (1969), TAOCP 2."""
    total = first + second
    part = total - first
    return total, (first - (total - part)) + (second - part)


def two_product(first: Array, second: Array) -> tuple[Array, Array]:
    """The rounded product and exactly what the rounding cut off, short of overflow.

    Source: Dekker (1971), Numerische Mathematik 18; Veltkamp's split of a number into two halves.
    """
    product = first * second
    halves = []
    for number in (first, second):
        wide = number * (2.0**27 + 1)
        upper = wide - (wide - number)
        halves.append((upper, number - upper))
    (a, b), (c, d) = halves
    return product, ((a * c - product) + a * d + b * c) + b * d


def without_rounding(comoment: Array, *, count: Array, mean: Array, pairs: Pairs) -> Array:
    """Co-moments with those at 0 whose column varies no more than rounding of equal values does.

    comoment (..., n_pairs), count (...), mean (..., n_columns)
    """
    own = [pairs.index((i, i)) for i in range(mean.shape[-1])]
    rounding = count[..., None] * (4 * np.finfo(np.float64).eps * mean) ** 2
    equal = comoment[..., own] <= rounding
    first, second = [i for i, _ in pairs], [j for _, j in pairs]
    return np.where(equal[..., first] | equal[..., second], 0.0, comoment)


def without_rounding_of_cubes(
    cubes: Array, *, comoment: Array, pairs: Pairs, skewed: tuple[int, ...]
) -> Array:
    """Third moments with those at 0 of columns whose variance is 0; (..., n_skewed)."""
    variance = comoment[..., [pairs.index((i, i)) for i in skewed]]
    return np.where(variance <= 0, 0.0, cubes)


@dataclass(frozen=True, eq=False)
class CellMoments:
    """Moments of several cells, a row each.

    count     (n_cells,)
    mean      (n_cells, n_columns)
    rest      (n_cells, n_columns)  what rounding cut off the means
    comoment  (n_cells, n_pairs)
    cubes     (n_cells, n_skewed)   sums of centred values cubed
    """

    count: Array
    mean: Array
    rest: Array
    comoment: Array
    cubes: Array

    def cell(
        self, i: int, *, columns: tuple[str, ...], pairs: Pairs, skewed: tuple[int, ...]
    ) -> Moments:
        """The moments in one row."""
        return Moments(
            columns,
            pairs,
            float(self.count[i]),
            self.mean[i],
            self.comoment[i],
            self.rest[i],
            skewed,
            self.cubes[i],
        )

    def rows(self, wanted: IntArray) -> "CellMoments":
        """Some of the cells, by position."""
        return CellMoments(*(array[wanted] for array in self.arrays()))

    def arrays(self) -> tuple[Array, Array, Array, Array, Array]:
        """The fields, in their order."""
        return self.count, self.mean, self.rest, self.comoment, self.cubes


def stacked(tables: Sequence[CellMoments]) -> CellMoments:
    """The cells of all, one table below the other."""
    columns = zip(*(table.arrays() for table in tables), strict=True)
    return CellMoments(*(np.concatenate(arrays) for arrays in columns))


def merge(
    cells: CellMoments, *, pairs: Pairs, into: IntArray, skewed: tuple[int, ...] = ()
) -> CellMoments:
    """Moments of cells put together, without loss.

        mean      = sum_c count_c mean_c / count
        away_c    = mean_c - mean
        comoment  = sum_c comoment_c + count_c away_c,i away_c,j
        cubes     = sum_c cubes_c + 3 away_c comoment_c,ii + count_c away_c^3

    pairs, skewed  columns of `comoment` and `cubes`, as positions of the columns of `mean`
    into           (n_cells,)  number of the new cell each cell goes to, from 0 without gaps
    Source: Chan, Golub & LeVeque (1983); Pébay (2008), Sandia report SAND2008-6212.
    """
    count, n_new = cells.count, int(into.max()) + 1
    total = np.bincount(into, weights=count, minlength=n_new).astype(np.float64)
    weight = np.divide(count, total[into], out=np.zeros_like(count), where=total[into] > 0)
    # differences from the largest cell of each new one, where they are small and exact
    largest, by_size = np.zeros(n_new, dtype=np.int64), np.argsort(count, kind="stable")
    largest[into[by_size]] = by_size
    reference, reference_rest = cells.mean[largest], cells.rest[largest]
    gap = (cells.mean - reference[into]) + (cells.rest - reference_rest[into])
    shift = _add_up(weight[:, None] * gap, into, n_new)
    away = gap - shift[into]
    products = away[:, [i for i, _ in pairs]] * away[:, [j for _, j in pairs]]
    comoment = _add_up(cells.comoment + count[:, None] * products, into, n_new)
    own, held = away[:, list(skewed)], cells.comoment[:, [pairs.index((i, i)) for i in skewed]]
    cubes = _add_up(cells.cubes + 3 * own * held + count[:, None] * own**3, into, n_new)
    mean, rest = two_sum(reference, shift + reference_rest)
    comoment = without_rounding(comoment, count=total, mean=mean, pairs=pairs)
    cubes = without_rounding_of_cubes(cubes, comoment=comoment, pairs=pairs, skewed=skewed)
    return CellMoments(total, mean, rest, comoment, cubes)


def _add_up(values: Array, into: IntArray, n_new: int) -> Array:
    result = np.zeros((n_new, values.shape[1]))
    np.add.at(result, into, values)
    return result


def _finite(values: Any, name: str) -> Array:
    column = np.asarray(values, dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(column))
    if len(wrong):
        raise DataError(
            f"Column {name!r} must be finite; {len(wrong)} row(s) are not, first in row "
            f"{wrong[0] + 1}. Decide what a missing value means before the moments are taken.",
            code="OUTCOME_MISSING" if np.isnan(column[wrong[0]]) else "OUTCOME_NOT_FINITE",
            column=name,
            count=len(wrong),
            rows=[int(row) + 1 for row in wrong[:5]],
        )
    return column
