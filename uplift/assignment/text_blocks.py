"""Ids of any kind as Arrow text, block by block, so that hashing never copies the whole column.

A block is what a compiled kernel reads: the UTF-8 bytes of its ids and where each begins.
"""

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from uplift.errors import DataError

BLOCK_ROWS = 65_536  # a block's bytes stay in the processor's cache; the copy of one is small
TEXT = pa.large_string()

T = TypeVar("T", bound=np.generic)


class Block(NamedTuple):
    """Ids in memory: id i is `data[offsets[i]:offsets[i + 1]]`, in UTF-8."""

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]  # one more than there are ids


def arrow_pieces(units: Any) -> list[pa.Array] | None:
    """A column that is already Arrow text, cut into pieces of a block each without a copy.

    None for anything else: lists, arrays of Python objects, generators.
    """
    column = _arrow_column(units)
    if column is None or not _is_text(column.type):
        return None
    return [
        chunk.slice(start, BLOCK_ROWS)
        for chunk in column.chunks
        for start in range(0, len(chunk), BLOCK_ROWS)
    ]


def listed_pieces(units: Iterable[str]) -> Iterator[list[str]]:
    """Any other iterable of text, as lists of at most a block."""
    iterator = iter(units)
    while piece := list(islice(iterator, BLOCK_ROWS)):
        yield piece


def pieces_of(units: Any) -> Iterable[pa.Array | list[str]]:
    """Ids of any kind, a block at a time."""
    pieces = arrow_pieces(units)
    return listed_pieces(units) if pieces is None else pieces


def texts_of(units: Any) -> Iterator[str]:
    """Ids of any kind as Python text, one by one."""
    for piece in pieces_of(units):
        yield from piece if isinstance(piece, list) else piece.to_pylist()


def block_of(texts: pa.Array | Sequence[str], *, composed: bool) -> Block:
    """The bytes of one piece.

    composed  bring ids into Unicode NFC; a block of ASCII alone is taken as it is

    Errors: ID_MISSING for a null, ID_NOT_TEXT for anything that is not Unicode text.
    """
    array = texts if isinstance(texts, pa.Array) else _as_arrow(texts)
    if array.null_count:
        raise DataError(
            f"An id is expected in every row; {array.null_count} are missing. "
            "Remove or repair those rows.",
            code="ID_MISSING",
            count=array.null_count,
        )
    block = _bytes_of(array)
    if not composed or not len(block.data) or block.data.max() < 128:
        return block
    if unicodedata.is_normalized("NFC", block.data.tobytes().decode()):
        return block  # every part of a composed text is composed
    return _bytes_of(_as_arrow([unicodedata.normalize("NFC", text) for text in array.to_pylist()]))


def over_blocks(
    units: Any,
    kernel: Callable[[Block, npt.NDArray[T]], None],
    *,
    dtype: type[T],
    composed: bool,
    n_threads: int | None,
) -> npt.NDArray[T]:
    """What a kernel writes about each id, one block after another or several at once.

    kernel     writes one number per id of a block; it must release Python's lock to gain by threads
    n_threads  as many as the process may use when not given; only Arrow text is worth several

    Returns (n_units,).
    """
    pieces = arrow_pieces(units)
    if pieces is None:
        found = [np.empty(0, dtype=dtype)]
        for texts in listed_pieces(units):
            found.append(np.empty(len(texts), dtype=dtype))
            kernel(block_of(texts, composed=composed), found[-1])
        return np.concatenate(found)
    values = np.empty(sum(map(len, pieces)), dtype=dtype)
    parts = np.split(values, np.cumsum([len(piece) for piece in pieces])[:-1])

    def run(piece: pa.Array, part: npt.NDArray[T]) -> None:
        kernel(block_of(piece, composed=composed), part)

    with ThreadPoolExecutor(n_threads or _n_cores()) as pool:
        list(pool.map(run, pieces, parts))
    return values


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _arrow_column(units: Any) -> pa.ChunkedArray | None:
    if isinstance(units, pa.ChunkedArray):
        return units
    if isinstance(units, pd.Series | pd.Index):
        if units.dtype == object:
            return None
        units = pa.array(units)  # no copy where pandas keeps the text in Arrow
    if isinstance(units, pa.ChunkedArray | pa.Array):
        return units if isinstance(units, pa.ChunkedArray) else pa.chunked_array([units])
    if hasattr(units, "__arrow_c_stream__"):
        return pa.chunked_array(units)
    return None


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_large_string(kind) or pa.types.is_string(kind) or pa.types.is_string_view(kind)
    )


def _as_arrow(texts: Sequence[str]) -> pa.Array:
    try:
        return pa.array(texts, type=TEXT)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        raise DataError(
            f"Ids must be Unicode text: {error}. Read the column as text, not as numbers.",
            code="ID_NOT_TEXT",
        ) from None


def _bytes_of(array: pa.Array) -> Block:
    if not (pa.types.is_large_string(array.type) or pa.types.is_string(array.type)):
        array = array.cast(TEXT)
    width = np.int64 if pa.types.is_large_string(array.type) else np.int32
    _, places, text = array.buffers()
    if not len(array) or text is None:
        return Block(np.zeros(0, np.uint8), np.zeros(len(array) + 1, np.int64))
    offsets = np.frombuffer(places, width)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(text, np.uint8)[offsets[0] : offsets[-1]]
    return Block(data, offsets.astype(np.int64) - int(offsets[0]))
