"""GrowthBook's hash of many ids at once, in its two versions.

FNV-1a in 32 bits, over characters and not bytes: the JavaScript SDK, and version 4 of the Python
SDK, take an id's UTF-16 code units; older Python SDKs took its code points, which differ for
characters outside the basic plane (emoji). `growthbook.growthbook_hash` is the plain twin.

Source: the FNV draft (Fowler, Noll, Vo, Eastlake); GrowthBook's "Build your own SDK".
"""

import numpy as np
import numpy.typing as npt
from numba import njit
from numpy import uint32

OFFSET = 0x811C9DC5
PRIME = 0x01000193
BUCKETS_V1 = 1_000
BUCKETS_V2 = 10_000
POWERS_OF_TEN = np.array([10**k for k in range(9, 0, -1)], dtype=np.uint32)

Bytes = npt.NDArray[np.uint8]
Characters = npt.NDArray[np.uint32]


@njit(nogil=True, cache=True)
def growthbook_places(
    seed: Characters,
    version: int,
    utf16: bool,
    data: Bytes,
    offsets: npt.NDArray[np.int64],
    out: npt.NDArray[np.float64],
) -> None:
    """Where each id falls in [0, 1), written into `out`.

    seed           its characters, as `utf16` says
    data, offsets  id i is data[offsets[i]:offsets[i + 1]], in UTF-8
    """
    seeded = _mix_all(uint32(OFFSET), seed)
    mixed = np.empty(len(out), np.uint32)
    for i in range(len(out)):
        text = data[offsets[i] : offsets[i + 1]]
        if version == 1:
            mixed[i] = _mix_all(_mix_text(uint32(OFFSET), text, utf16), seed)
        else:
            mixed[i] = _mix_text(seeded, text, utf16)
    if version == 1:
        _place(mixed, out)
    else:
        _place_again(mixed, out)


@njit(nogil=True, cache=True)
def _place(mixed: Characters, out: npt.NDArray[np.float64]) -> None:
    for i in range(len(out)):
        out[i] = (mixed[i] % uint32(BUCKETS_V1)) / BUCKETS_V1


@njit(nogil=True, cache=True)
def _place_again(mixed: Characters, out: npt.NDArray[np.float64]) -> None:
    """The second hash, of the first as it is printed. A loop of its own, which becomes vectors."""
    for i in range(len(out)):
        again = _mix_decimal(uint32(OFFSET), mixed[i])
        out[i] = (again % uint32(BUCKETS_V2)) / BUCKETS_V2


@njit(inline="always")
def _mix(state: uint32, character: uint32) -> uint32:
    return uint32((state ^ character) * uint32(PRIME))


@njit(inline="always")
def _mix_all(state: uint32, characters: Characters) -> uint32:
    for character in characters:
        state = _mix(state, character)
    return state


@njit(inline="always")
def _mix_text(state: uint32, text: Bytes, utf16: bool) -> uint32:
    """Mix in the characters of a UTF-8 text, which is valid: Arrow has checked it."""
    i = 0
    while i < len(text):
        lead = uint32(text[i])
        if lead < 0x80:
            state = _mix(state, lead)
            i += 1
            continue
        n_more = 1 if lead < 0xE0 else (2 if lead < 0xF0 else 3)
        point = lead & uint32(0x3F >> n_more)
        for k in range(n_more):
            point = uint32(point << uint32(6)) | (uint32(text[i + 1 + k]) & uint32(0x3F))
        i += 1 + n_more
        if utf16 and point > 0xFFFF:  # a pair of surrogates
            point = uint32(point - uint32(0x10000))
            state = _mix(state, uint32(0xD800) + (point >> uint32(10)))
            state = _mix(state, uint32(0xDC00) + (point & uint32(0x3FF)))
        else:
            state = _mix(state, point)
    return state


@njit(inline="always")
def _mix_decimal(state: uint32, number: uint32) -> uint32:
    """Mix in a number as it is printed. Digits are found apart from each other, not in a chain."""
    for power in POWERS_OF_TEN:
        digit = (number // power) % uint32(10)
        mixed = _mix(state, digit + uint32(48))
        state = mixed if number >= power else state
    return uint32(_mix(state, number % uint32(10) + uint32(48)))
