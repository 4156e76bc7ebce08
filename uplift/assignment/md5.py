"""MD5 of many short texts at once: 64 at a time, so that the processor works on many per step.

The ids of a group are laid out word by word (word k of all 64 side by side). One step of the digest
is then the same operation on 64 neighbours, which the compiler turns into vector instructions.
`hashing.hash_units_plain` gives the same values from the standard library.

Source: Rivest (1992), RFC 1321.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit
from numpy import uint32, uint64

LANES = 64
BLOCK_BYTES = 64  # the digest takes its text in blocks of so many bytes
WORDS = 16  # of four bytes, in a block
LENGTH_BYTES = 8  # of the last block, holding the length of the text
SINES = np.array([int(abs(math.sin(i + 1)) * 2**32) for i in range(64)], dtype=np.uint32)
START = np.array([0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476], dtype=np.uint32)

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint32]


@njit(nogil=True, cache=True)
def first_half(
    prefix: Bytes, data: Bytes, offsets: npt.NDArray[np.int64], out: npt.NDArray[np.uint64]
) -> None:
    """First 64 bits of MD5(prefix + text) of each text, written into `out`.

    data, offsets  text i is data[offsets[i]:offsets[i + 1]]
    """
    words = np.zeros((WORDS, LANES), np.uint32)
    state = np.zeros((4, LANES), np.uint32)
    last = np.zeros(LANES, np.uint32)  # each text's last block, counted from 0
    heads = np.zeros(len(prefix) // 4, np.uint32)  # words that hold nothing but prefix
    for k in range(len(heads)):
        heads[k] = _word_at(prefix, uint64(4 * k))
    for first in range(0, len(out), LANES):
        n_lanes = min(LANES, len(out) - first)
        for lane in range(n_lanes):
            length = len(prefix) + offsets[first + lane + 1] - offsets[first + lane]
            last[lane] = (length + LENGTH_BYTES) // BLOCK_BYTES
        for i in range(4):
            state[i, :] = START[i]
        for block in range(last[:n_lanes].max() + 1):
            for lane in range(n_lanes):
                if block <= last[lane]:
                    text = data[offsets[first + lane] : offsets[first + lane + 1]]
                    _lay_out(prefix, heads, text, block, block == last[lane], words, lane)
            _digest_block(words, state, last, uint32(block))
        for lane in range(n_lanes):
            high, low = _reversed_bytes(state[0, lane]), _reversed_bytes(state[1, lane])
            out[first + lane] = uint64(uint64(high) << uint64(32)) | uint64(low)


@njit(inline="always")
def _lay_out(
    prefix: Bytes, heads: Words, text: Bytes, block: int, is_last: bool, words: Words, lane: int
) -> None:
    """Words of one block: prefix and text, then 0x80, zeros, and in the last the length in bits.

    Only the words in which two of these meet are put together byte by byte.
    """
    n_prefix, length = len(prefix), len(prefix) + len(text)
    for k in range(WORDS):
        place = 4 * (WORDS * block + k)  # of the word's first byte
        if place + 4 <= n_prefix:
            words[k, lane] = heads[place // 4]
        elif place > length:
            words[k, lane] = 0
        elif place >= n_prefix and place + 4 <= length:
            words[k, lane] = _word_at(text, uint64(place - n_prefix))
        else:
            words[k, lane] = _mixed_word(prefix, text, place)
    if is_last:
        words[14, lane] = uint32(8 * length)
        words[15, lane] = uint32((8 * length) >> 32)


@njit(inline="always")
def _word_at(data: Bytes, i: uint64) -> uint32:
    """Four bytes as a number, lowest first. The place is unsigned: it is read by one load."""
    low = uint32(data[i]) | uint32(data[i + uint64(1)]) << uint32(8)
    high = uint32(data[i + uint64(2)]) | uint32(data[i + uint64(3)]) << uint32(8)
    return uint32(low | high << uint32(16))


@njit(inline="always")
def _mixed_word(prefix: Bytes, text: Bytes, place: int) -> uint32:
    word = uint32(0)
    for i in range(4):
        at, in_text = place + i, place + i - len(prefix)
        byte = uint32(0)
        if in_text < 0:
            byte = uint32(prefix[at])
        elif in_text < len(text):
            byte = uint32(text[in_text])
        elif in_text == len(text):
            byte = uint32(0x80)
        word |= uint32(byte << uint32(8 * i))
    return word


@njit(inline="always")
def _step(a: uint32, b: uint32, mixed: uint32, word: uint32, sine: uint32, bits: int) -> uint32:
    total = uint32(a + mixed + word + sine)
    turned = uint32(total << uint32(bits)) | uint32(total >> uint32(32 - bits))
    return uint32(b + turned)


@njit(nogil=True, cache=True)
def _digest_block(words: Words, state: Words, last: Words, block: uint32) -> None:
    """The 64 steps on every lane. 32-bit types throughout: a wider one would halve the vectors."""
    for lane in range(LANES):
        a, b, c, d = state[0, lane], state[1, lane], state[2, lane], state[3, lane]
        for i in range(0, 16, 4):
            a = _step(a, b, (b & c) | (~b & d), words[i, lane], SINES[i], 7)
            d = _step(d, a, (a & b) | (~a & c), words[i + 1, lane], SINES[i + 1], 12)
            c = _step(c, d, (d & a) | (~d & b), words[i + 2, lane], SINES[i + 2], 17)
            b = _step(b, c, (c & d) | (~c & a), words[i + 3, lane], SINES[i + 3], 22)
        for i in range(0, 16, 4):
            k = 5 * i + 1
            a = _step(a, b, (d & b) | (~d & c), words[k % 16, lane], SINES[16 + i], 5)
            d = _step(d, a, (c & a) | (~c & b), words[(k + 5) % 16, lane], SINES[17 + i], 9)
            c = _step(c, d, (b & d) | (~b & a), words[(k + 10) % 16, lane], SINES[18 + i], 14)
            b = _step(b, c, (a & c) | (~a & d), words[(k + 15) % 16, lane], SINES[19 + i], 20)
        for i in range(0, 16, 4):
            k = 3 * i + 5
            a = _step(a, b, b ^ c ^ d, words[k % 16, lane], SINES[32 + i], 4)
            d = _step(d, a, a ^ b ^ c, words[(k + 3) % 16, lane], SINES[33 + i], 11)
            c = _step(c, d, d ^ a ^ b, words[(k + 6) % 16, lane], SINES[34 + i], 16)
            b = _step(b, c, c ^ d ^ a, words[(k + 9) % 16, lane], SINES[35 + i], 23)
        for i in range(0, 16, 4):
            k = 7 * i
            a = _step(a, b, c ^ (b | ~d), words[k % 16, lane], SINES[48 + i], 6)
            d = _step(d, a, b ^ (a | ~c), words[(k + 7) % 16, lane], SINES[49 + i], 10)
            c = _step(c, d, a ^ (d | ~b), words[(k + 14) % 16, lane], SINES[50 + i], 15)
            b = _step(b, c, d ^ (c | ~a), words[(k + 21) % 16, lane], SINES[51 + i], 21)
        if block <= last[lane]:  # a shorter text keeps its digest
            state[0, lane] += a
            state[1, lane] += b
            state[2, lane] += c
            state[3, lane] += d


@njit(inline="always")
def _reversed_bytes(x: uint32) -> uint32:
    """The digest is written from the lowest byte, a number read from the highest."""
    outer = uint32(x << uint32(24)) | uint32(x >> uint32(24))
    inner = (x & uint32(0xFF00)) << uint32(8) | (x >> uint32(8)) & uint32(0xFF00)
    return uint32(outer | inner)
