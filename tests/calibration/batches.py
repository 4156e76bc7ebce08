"""Moments of many replications at once: what `Moments.of` gives for each row of the arrays."""

from collections.abc import Iterable, Mapping

import numpy as np

from uplift.inference.moments import Moments, pairs_of, two_sum, without_rounding

Array = np.ndarray


def moments_of_rows(
    columns: Mapping[str, Array], covariances: Iterable[tuple[str, str]] = ()
) -> list[Moments]:
    """One `Moments` per replication.

    columns  by name, (n_reps, n_units)
    """
    names = tuple(columns)
    pairs = pairs_of(names, covariances)
    data = [np.asarray(column, dtype=np.float64) for column in columns.values()]
    count = float(data[0].shape[1])
    centre = np.stack([x.mean(axis=1) for x in data], axis=1)
    centred = [x - middle[:, None] for x, middle in zip(data, centre.T, strict=True)]
    shift = np.stack([x.mean(axis=1) for x in centred], axis=1)
    comoment = np.stack(
        [
            np.einsum("ru,ru->r", centred[i], centred[j]) - count * shift[:, i] * shift[:, j]
            for i, j in pairs
        ],
        axis=1,
    )
    return _cells(names, pairs, np.full(len(centre), count), centre, shift, comoment)


def moments_of_counts(events: Array, n_units: int, *, column: str = "y") -> list[Moments]:
    """One `Moments` per replication of a 0/1 column with so many ones.

    events  (n_reps,)
    """
    share = np.asarray(events, dtype=np.float64)[:, None] / n_units
    spread = n_units * share * (1 - share)
    zero = np.zeros_like(share)
    pairs = pairs_of([column])
    return _cells((column,), pairs, np.full(len(share), float(n_units)), share, zero, spread)


def _cells(names, pairs, count, centre, shift, comoment) -> list[Moments]:
    mean, rest = two_sum(centre, shift)
    kept = without_rounding(comoment, count=count, mean=mean, pairs=pairs)
    return [
        Moments(names, pairs, float(n), m, c, r)
        for n, m, c, r in zip(count, mean, kept, rest, strict=True)
    ]
