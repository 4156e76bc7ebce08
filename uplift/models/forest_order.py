"""Rows in an order that comes from what they hold, so that the order they came in cannot matter."""

import numpy as np
import numpy.typing as npt

from uplift.models.crossfit import Design

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def order_of_rows(encoded: Array, design: Design, outcome: Array) -> IntArray:
    """Positions of the rows by a hash of their features, then by outcome, arm and design.

    Rows that tie are the same in everything, so any order of them is the same order. Outcome and
    arm only decide between units with the same features: an outcome in another unit, or arms that
    trade names, leave the order of all others.

    encoded  (n_units, n_features)
    returns  (n_units,)
    """
    keys: list[npt.NDArray[np.generic]] = list(design.propensity.T[::-1])
    if design.cluster is not None:
        keys.append(design.cluster)
    if design.weight is not None:
        keys.append(design.weight)
    keys += [design.arm, outcome, _hash_of(encoded)]
    first = np.argsort(keys[-1], kind="stable").astype(np.int64)
    hashes = keys[-1][first]
    if (hashes[1:] != hashes[:-1]).all():
        return first
    return np.lexsort(keys).astype(np.int64)


def _hash_of(encoded: Array) -> npt.NDArray[np.uint64]:
    """One number per row, the same for the same features."""
    hashed = np.zeros(len(encoded), dtype=np.uint64)
    for column in encoded.T:
        plain = np.where(np.isnan(column), np.nan, column + 0.0)  # one NaN, and no negative zero
        hashed = (hashed ^ plain.view(np.uint64)) * GOLDEN
        hashed ^= hashed >> np.uint64(29)
    return hashed
