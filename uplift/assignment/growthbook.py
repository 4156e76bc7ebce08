"""GrowthBook's split, bit for bit: hashes v1 and v2, bucket ranges, namespaces, experiments.

For history that GrowthBook drew, and for experiments its SDKs are to serve. Ids are hashed as they
are given, not brought into NFC. Version 1 has one modulus for all experiments and is known to draw
them dependently; use version 2 for anything new, or the package's own draw.

Known answers: GrowthBook's shared test cases for SDKs (packages/sdk-js/test/cases.json).
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from uplift.assignment.text_blocks import Block, over_blocks
from uplift.errors import DefinitionError

OFFSET = 0x811C9DC5
PRIME = 0x01000193
WEIGHTS_SUM = (0.99, 1.01)  # weights that add up to less or more are ignored

Characters = Literal["utf16", "code_points"]
Bounds = Sequence[float]  # (start, end): start is inside, end is not
Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def growthbook_hash(
    seed: str, value: str, *, version: int = 2, characters: Characters = "utf16"
) -> float | None:
    """Where a unit falls in [0, 1): in thousandths (version 1) or ten-thousandths (version 2).

    characters  `utf16` as in JavaScript and version 4 of the Python SDK; `code_points` as in
                older ones

    None for a version that does not exist.
    """
    if version == 1:
        return (_fnv1a(value + seed, characters) % 1_000) / 1_000
    if version == 2:
        first = _fnv1a(seed + value, characters)
        return (_fnv1a(str(first), characters) % 10_000) / 10_000
    return None


def growthbook_hashes(
    units: Any,
    *,
    seed: str,
    version: Literal[1, 2] = 2,
    characters: Characters = "utf16",
    n_threads: int | None = None,
) -> Array:
    """`growthbook_hash` of many ids, compiled. Returns (n_units,). Errors: HASH_VERSION."""
    if version not in (1, 2):
        raise DefinitionError(
            f"GrowthBook has hash versions 1 and 2, got {version!r}.", code="HASH_VERSION"
        )
    from uplift.assignment.fnv import growthbook_places  # loads numba

    points = np.array(_characters(seed, characters), dtype=np.uint32)

    def write(block: Block, part: Array) -> None:
        growthbook_places(points, version, characters == "utf16", block.data, block.offsets, part)

    return over_blocks(units, write, dtype=np.float64, composed=False, n_threads=n_threads)


def equal_weights(n_variations: int) -> list[float]:
    """The same weight for each variation; none where there are none."""
    return [1 / n_variations] * n_variations if n_variations > 0 else []


def bucket_ranges(
    n_variations: int, *, coverage: float | None = 1, weights: Sequence[float] | None = None
) -> list[tuple[float, float]]:
    """Range of each variation; coverage shrinks each from its own left edge, so none moves.

    Weights of the wrong number, or whose sum is more than 0.01 away from 1, count as equal ones.
    """
    share = min(max(1.0 if coverage is None else coverage, 0.0), 1.0)
    used = equal_weights(n_variations)
    if weights and len(weights) == n_variations:
        used = list(weights) if WEIGHTS_SUM[0] <= sum(weights) <= WEIGHTS_SUM[1] else used
    start, ranges = 0.0, []
    for weight in used:
        ranges.append((start, start + share * weight))
        start += weight
    return ranges


def in_range(place: float, bounds: Bounds) -> bool:
    """Whether a hash falls into [start, end)."""
    return bounds[0] <= place < bounds[1]


def choose_variation(place: float, ranges: Sequence[Bounds]) -> int:
    """The first variation whose range holds the hash; -1 for none."""
    return next((i for i, bounds in enumerate(ranges) if in_range(place, bounds)), -1)


def in_namespace(value: str, namespace: Sequence[Any], *, characters: Characters = "utf16") -> bool:
    """Whether a unit is in a namespace (id, start, end); by version 1, whatever the experiment."""
    name, *bounds = namespace
    place = growthbook_hash(f"__{name}", value, version=1, characters=characters)
    return place is not None and in_range(place, bounds)


def choose_variations(places: Array, ranges: Sequence[Bounds]) -> IntArray:
    """`choose_variation` of many hashes. Returns (n_units,)."""
    chosen = np.full(len(places), -1, dtype=np.int64)
    for i, (start, end) in reversed(list(enumerate(ranges))):  # where ranges meet, the first has it
        chosen[(places >= start) & (places < end)] = i
    return chosen


def _characters(text: str, characters: Characters) -> list[int]:
    if characters == "code_points":
        return [ord(character) for character in text]
    code_units = text.encode("utf-16-le", "surrogatepass")
    return [low | high << 8 for low, high in zip(code_units[::2], code_units[1::2], strict=True)]


def _fnv1a(text: str, characters: Characters) -> int:
    state = OFFSET
    for character in _characters(text, characters):
        state = ((state ^ character) * PRIME) & 0xFFFFFFFF
    return state
