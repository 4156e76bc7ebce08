"""Blocks of similar customers: the list is halved along one covariate after the other."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def blocks_of(covariates: Array, *, stratum: IntArray, size: int) -> IntArray:
    """Blocks inside strata. Returns (n_drawn,) codes from 0.

    Every part of 2 * size ids or more is cut in two near its middle, along the covariates in turn,
    each time at a multiple of `size`. So all blocks of a stratum have `size` ids but one, which
    has up to size - 1 more, or is the whole stratum when that is smaller.

    covariates  (n_drawn, n_covariates)
    stratum     (n_drawn,)  codes from 0, without gaps
    """
    code = stratum.astype(np.int64)
    for turn in range(64):
        n_ids = np.bincount(code)
        large = n_ids >= 2 * size
        if not large.any():
            break
        column = covariates[:, turn % covariates.shape[1]]
        order = np.lexsort((column, code))
        start = np.cumsum(n_ids) - n_ids
        place = np.empty(len(code), dtype=np.int64)
        place[order] = np.arange(len(code)) - np.repeat(start, n_ids)
        first_half = np.where(large, n_ids // size // 2 * size, n_ids)
        code = _renumbered(2 * code + (place >= first_half[code]))
    return code


def _renumbered(code: IntArray) -> IntArray:
    used = np.bincount(code) > 0
    return (np.cumsum(used) - 1)[code].astype(np.int64)
