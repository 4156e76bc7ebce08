"""Moments from the aggregates that other programs store: sums of products, or variances."""

from collections.abc import Mapping

import numpy as np

from uplift.inference.moments import Moments, pairs_of

Pair = tuple[str, str]


def moments_of_sums(
    n_units: float,
    *,
    sums: Mapping[str, float],
    squares: Mapping[str, float],
    products: Mapping[Pair, float] | None = None,
) -> Moments:
    """Of sums, sums of squares and sums of products over the units.

    Sums of squares lose the digits of a small variance at a large mean; they are what there is.
    """
    names = tuple(sums)
    given = {**{(name, name): value for name, value in squares.items()}, **(products or {})}
    totals = {frozenset(pair): value for pair, value in given.items()}
    pairs = pairs_of(names, [pair for pair in given if pair[0] != pair[1]])
    mean = np.array([sums[name] / n_units for name in names])
    comoment = [
        totals[frozenset((names[i], names[j]))] - n_units * mean[i] * mean[j] for i, j in pairs
    ]
    return Moments(names, pairs, float(n_units), mean, np.array(comoment), np.zeros(len(names)))


def moments_of_variances(
    n_units: float,
    *,
    means: Mapping[str, float],
    variances: Mapping[str, float],
    covariances: Mapping[Pair, float] | None = None,
) -> Moments:
    """Of means, and of variances and covariances with divisor n_units - 1."""
    names = tuple(means)
    given = {**{(name, name): value for name, value in variances.items()}, **(covariances or {})}
    known = {frozenset(pair): value for pair, value in given.items()}
    pairs = pairs_of(names, [pair for pair in given if pair[0] != pair[1]])
    comoment = [(n_units - 1) * known[frozenset((names[i], names[j]))] for i, j in pairs]
    mean = np.array([means[name] for name in names], dtype=np.float64)
    return Moments(names, pairs, float(n_units), mean, np.array(comoment), np.zeros(len(names)))
