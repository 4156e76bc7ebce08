"""Which tree sees which unit: a hash of both, so nothing is stored and no order matters.

Trees of one bag share a half of all units; each splits its own share of that half into units that
choose the splits and units that fill the leaves. Compiled; `tests/models` has the plain twin.
"""

import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from numpy import uint64

OUTSIDE, STRUCTURE, ESTIMATION, UNUSED = 0, 1, 2, 3  # roles of a unit in a tree, in this order
TREE, BAG, NODES = 1, 2, 3  # streams of random numbers
GOLDEN = uint64(0x9E3779B97F4A7C15)
WORD = 2**32  # draws are whole numbers below it


class Draws(NamedTuple):
    """How units are drawn. Bounds are of draws in [0, 2^32).

    seed        of all streams
    per_bag     trees that share a half of the units
    half        units drawn below it are in the bag
    structure   of those, units drawn below it choose the splits
    estimation  and units from there up to this bound fill the leaves
    """

    seed: uint64
    per_bag: int
    half: uint64
    structure: uint64
    estimation: uint64


def draws_of(*, seed: int, per_bag: int, sample_share: float, honest: bool) -> Draws:
    """Bounds for a share of all units per tree.

    honest  whether the units that choose the splits stay out of the leaves
    """
    half = 0.5 if per_bag > 1 else 1.0
    share = min(1.0, sample_share / half)
    chosen = share / 2 if honest else share
    return Draws(uint64(seed), per_bag, *(uint64(round(x * WORD)) for x in (half, chosen, share)))


def digest_of_sources() -> int:
    """A number of all compiled files of the forest.

    What is kept compiled on disk must be kept under it: numba by itself would look at the file of
    the outermost function only, and go on with what was compiled before another one changed.
    """
    digest = 0
    for path in sorted(Path(__file__).parent.glob("forest_*.py")):
        digest = zlib.crc32(path.read_bytes(), digest)
    return digest


@njit(nogil=True)
def mix(z: uint64) -> uint64:
    """A 64-bit number scrambled. Source: Steele, Lea & Flood (2014), OOPSLA, SplitMix."""
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return z ^ (z >> uint64(31))


@njit(nogil=True)
def stream(seed: uint64, kind: int, index: int) -> uint64:
    """Where the random numbers of one tree, bag or node begin."""
    begin: uint64 = mix(mix(seed * uint64(4) + uint64(kind)) + uint64(index) * GOLDEN)
    return begin


@njit(nogil=True)
def role_of(unit: uint64, tree_stream: uint64, bag_stream: uint64, draws: Draws) -> int:
    """What a unit does in a tree."""
    place = unit * GOLDEN
    inside = mix(place ^ bag_stream) >> uint64(32) < draws.half
    drawn = mix(place ^ tree_stream) >> uint64(32)
    later = int(drawn >= draws.structure) + int(drawn >= draws.estimation)
    return (STRUCTURE + later) * int(inside)


@njit(nogil=True)
def rows_of(
    tree: int, unit: npt.NDArray[np.uint64], draws: Draws
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Rows that choose the splits of a tree and rows that fill its leaves, both ascending."""
    tree_stream = stream(draws.seed, TREE, tree)
    bag_stream = stream(draws.seed, BAG, tree // draws.per_bag)
    chosen, filling = np.empty(len(unit), np.int32), np.empty(len(unit), np.int32)
    n_chosen = n_filling = 0
    for i in range(len(unit)):  # written always, kept when it counts: draws cannot be foreseen
        role = role_of(unit[i], tree_stream, bag_stream, draws)
        chosen[n_chosen] = filling[n_filling] = i
        n_chosen += role == STRUCTURE
        n_filling += role == ESTIMATION
    if draws.structure == draws.estimation:  # not honest: the same rows do both
        return chosen[:n_chosen].copy(), chosen[:n_chosen].copy()
    return chosen[:n_chosen].copy(), filling[:n_filling].copy()
