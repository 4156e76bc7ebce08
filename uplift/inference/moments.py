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
    """

    columns: tuple[str, ...]
    pairs: Pairs
    count: float
    mean: Array
    comoment: Array
    rest: Array = field(repr=False)

    @classmethod
    def of(
        cls, values: Any, columns: Sequence[str], covariances: Iterable[tuple[str, str]] = ()
    ) -> "Moments":
        """Moments of the rows of a frame, or of a mapping from names to arrays.

        covariances  pairs of columns whose co-moment is wanted, beside every variance
        """
        names, pairs = tuple(columns), pairs_of(columns, covariances)
        data = [_finite(values[name], name) for name in names]
        count = len(data[0]) if data else 0
        if count == 0:
            zero = np.zeros(len(names))
            return cls(names, pairs, 0.0, zero, np.zeros(len(pairs)), zero.copy())
        centre = np.array([column.mean() for column in data])
        centred = [column - middle for column, middle in zip(data, centre, strict=True)]
        shift = np.array([column.mean() for column in centred])
        comoment = np.array(
            [centred[i] @ centred[j] - count * shift[i] * shift[j] for i, j in pairs]
        )
        mean, rest = two_sum(centre, shift)
        comoment = without_rounding(comoment, count=np.array(count), mean=mean, pairs=pairs)
        return cls(names, pairs, float(count), mean, comoment, rest)

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of both sets of rows together."""
        if not isinstance(other, Moments):
            return NotImplemented
        if (self.columns, self.pairs) != (other.columns, other.pairs):
            raise DataError(
                f"Moments of different columns cannot be added: {self.columns} and "
                f"{other.columns}. Compute both with the same columns and covariances.",
                code="COLUMN_MISSING",
            )
        cells = (self, other)
        count, mean, rest, comoment = merge(
            count=np.array([cell.count for cell in cells]),
            mean=np.stack([cell.mean for cell in cells]),
            rest=np.stack([cell.rest for cell in cells]),
            comoment=np.stack([cell.comoment for cell in cells]),
            pairs=self.pairs,
            into=np.zeros(2, dtype=np.int64),
        )
        return Moments(self.columns, self.pairs, float(count[0]), mean[0], comoment[0], rest[0])

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
    position, declared = {name: i for i, name in enumerate(columns)}, tuple(covariances)
    for name in {name for pair in declared for name in pair} - set(position):
        raise DataError(
            f"A covariance with {name!r} is wanted, but it is not among the columns "
            f"({', '.join(columns)}).",
            code="COLUMN_MISSING",
            column=name,
        )
    wanted = {(i, i) for i in range(len(columns))}
    for first, second in declared:
        i, j = sorted((position[first], position[second]))
        wanted.add((i, j))
    return tuple(sorted(wanted))


def two_sum(first: Array, second: Array) -> tuple[Array, Array]:
    """The rounded sum and exactly what the rounding cut off. Source: Knuth (1969), TAOCP 2."""
    total = first + second
    part = total - first
    return total, (first - (total - part)) + (second - part)


def without_rounding(comoment: Array, *, count: Array, mean: Array, pairs: Pairs) -> Array:
    """Co-moments with those variances at 0 that are no more than rounding of equal values.

    comoment (..., n_pairs), count (...), mean (..., n_columns)
    """
    own = [i for i, (a, b) in enumerate(pairs) if a == b]
    rounding = count[..., None] * (4 * np.finfo(np.float64).eps * mean) ** 2
    cleaned = comoment.copy()
    cleaned[..., own] = np.where(comoment[..., own] <= rounding, 0.0, comoment[..., own])
    return cleaned


def merge(
    *, count: Array, mean: Array, rest: Array, comoment: Array, pairs: Pairs, into: IntArray
) -> tuple[Array, Array, Array, Array]:
    """Moments of cells put together, without loss.

        mean      = sum_c count_c mean_c / count
        comoment  = sum_c comoment_c + count_c (mean_c,i - mean_i)(mean_c,j - mean_j)

    count     (n_cells,);  mean, rest  (n_cells, n_columns);  comoment  (n_cells, n_pairs)
    into      (n_cells,)   number of the new cell each cell goes to, from 0 without gaps
    returns   count, mean, rest, comoment of the new cells
    """
    n_new = int(into.max()) + 1
    total = np.bincount(into, weights=count, minlength=n_new).astype(np.float64)
    weight = np.divide(count, total[into], out=np.zeros_like(count), where=total[into] > 0)
    # differences from the largest cell of each new one, where they are small and exact
    largest = np.zeros(n_new, dtype=np.int64)
    for cell in np.argsort(count, kind="stable"):
        largest[into[cell]] = cell
    reference, reference_rest = mean[largest], rest[largest]
    away = (mean - reference[into]) + (rest - reference_rest[into])
    shift = _add_up(weight[:, None] * away, into, n_new)
    centred = away - shift[into]
    products = np.stack([centred[:, i] * centred[:, j] for i, j in pairs], axis=1)
    merged = _add_up(comoment + count[:, None] * products, into, n_new)
    new_mean, new_rest = two_sum(reference, shift + reference_rest)
    return total, new_mean, new_rest, merged


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
