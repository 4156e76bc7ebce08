"""The draw: a hash of salt and id, so that the same customer gets the same arm everywhere, always.

    value = first 64 bits of MD5(f"{salt}:{unit}"), over the id's UTF-8 bytes in Unicode NFC
    slot  = value / 2^64, in [0, 1)

MD5 because every SQL engine computes the same digest; it draws lots here and protects nothing. Each
purpose has its own salt, so that draws of different experiments, and different draws of one
experiment, are independent. The salt carries the version of this rule.

**Layout of the arms.** With K treatments, [0, 1) is cut into K equal segments. Treatment number i
takes its share from the left edge of segment i; what it needs beyond 1/K is taken from the right
ends of the segments that have room, last segment first; the control takes what is left. So a
treatment that grows at the control's expense takes units from the control alone, and one that
shrinks gives units to the control alone: nobody moves from one treatment to another. With three
treatments or more this holds while none has more than 1/K; no fixed layout holds it for all shares.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from uplift.assignment.text_blocks import Block, block_of, over_blocks, texts_of
from uplift.errors import DefinitionError
from uplift.experiment import CONTROL, Experiment

SALT_VERSION = 1  # part of every salt: a new rule of drawing is a new version
SPACE = 2**64
SLOT_BITS = 53  # as many as a float holds exactly, so that a slot never rounds up to 1
FEW_IDS = 2_000  # up to here the plain loop is over before the compiled one is loaded

Purpose = Literal["eligibility", "holdout", "layer", "arm"]

UIntArray = npt.NDArray[np.uint64]
Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Range:
    """The slots from `start` up to the next range's start belong to `arm`."""

    arm: str
    start: Fraction

    @property
    def threshold(self) -> int:
        """Smallest hash value inside: ceiling of start * 2^64."""
        return threshold_of(self.start)


def threshold_of(share: Fraction) -> int:
    """Smallest hash value whose place in [0, 1) is at or above `share`; 2^64 for 1."""
    return -((-share.numerator * SPACE) // share.denominator)


def salt_of(name: str, purpose: Purpose, *, wave: str | None = None) -> str:
    """The salt of one draw, e.g. `spring_voucher:arm:1`; names hold no colon.

    name  the experiment's id (or the salt it declares); for `layer`, the layer's name, so that all
          its experiments cut the same slots
    wave  of a draw made anew in this wave: `spring_voucher:arm:wave2:1`
    """
    parts = [name, purpose, *([wave] if wave else []), str(SALT_VERSION)]
    return ":".join(parts)


def draw_salt(experiment: Experiment, purpose: Purpose = "arm", *, wave: str | None = None) -> str:
    """The salt of an experiment's draw, by its definition.

    A wave whose draw is `redrawn` has arms of its own; a `sticky` one uses the experiment's. Who
    takes part at all (`eligibility`) is never drawn again.

    Errors: WAVE_UNKNOWN, LAYER_MISSING.
    """
    if purpose == "layer":
        if experiment.assignment.layer is None:
            raise DefinitionError(
                f"{experiment.id} is in no layer. Give it one under assignment: layer.",
                code="LAYER_MISSING",
            )
        return salt_of(experiment.assignment.layer.name, "layer")
    redrawn = wave is not None and experiment.schedule.window(wave).draw == "redrawn"
    name = experiment.assignment.salt or experiment.id
    return salt_of(name, purpose, wave=wave if redrawn and purpose == "arm" else None)


def hash_units(units: Any, *, salt: str, n_threads: int | None = None) -> UIntArray:
    """First 64 bits of MD5(`salt:unit`), the id in NFC. Returns (n_units,).

    units      text ids: any iterable, or a pandas, polars or Arrow column, which is read in place
    n_threads  as many as the process may use when not given; the values do not depend on it

    Errors: ID_MISSING, ID_NOT_TEXT.
    Source: Rivest (1992), RFC 1321; Unicode Standard Annex 15 for NFC.
    """
    if isinstance(units, Sized) and len(units) <= FEW_IDS:
        texts = list(texts_of(units))
        block_of(texts, composed=False)  # refuses what is not text
        return hash_units_plain(texts, salt=salt)
    from uplift.assignment.md5 import first_half  # loads numba, which takes most of a second

    prefix = np.frombuffer(f"{salt}:".encode(), dtype=np.uint8)

    def write(block: Block, part: UIntArray) -> None:
        first_half(prefix, block.data, block.offsets, part)

    return over_blocks(units, write, dtype=np.uint64, composed=True, n_threads=n_threads)


def hash_units_plain(units: Iterable[str], *, salt: str) -> UIntArray:
    """`hash_units` by the standard library, one id after another: what the fast one must equal."""
    seeded = hashlib.md5(f"{salt}:".encode(), usedforsecurity=False)
    digests = bytearray()
    for unit in units:
        text = unit if unit.isascii() else unicodedata.normalize("NFC", unit)
        one = seeded.copy()
        one.update(text.encode())
        digests += one.digest()
    return np.frombuffer(bytes(digests), dtype=">u8")[::2].astype(np.uint64)


def slots(values: UIntArray) -> Array:
    """Hash values as numbers in [0, 1), by their first 53 bits. Returns (n_units,)."""
    leading = values >> np.uint64(64 - SLOT_BITS)
    return np.asarray(leading / 2.0**SLOT_BITS, dtype=np.float64)


def arm_ranges(shares: Mapping[str, Fraction]) -> tuple[Range, ...]:
    """The layout of the arms over [0, 1), as described above; exact, in order of their start."""
    treatments = [name for name in shares if name != CONTROL]
    width = Fraction(1, len(treatments))
    taken = {name: min(shares[name], width) for name in treatments}
    room = [width - taken[name] for name in treatments]
    spilled: list[list[tuple[str, Fraction]]] = [[] for _ in treatments]
    for name in treatments:
        rest = shares[name] - taken[name]
        for i in reversed(range(len(treatments))):
            part = min(rest, room[i])
            if part > 0:
                spilled[i].append((name, part))
                room[i], rest = room[i] - part, rest - part
    pieces: list[tuple[str, Fraction]] = []
    for i, name in enumerate(treatments):
        pieces += [(name, taken[name]), (CONTROL, room[i]), *reversed(spilled[i])]
    return _ranges(pieces)


def draw_arms(values: UIntArray, shares: Mapping[str, Fraction]) -> IntArray:
    """Arm of each hash value, as its position in `shares`. Returns (n_units,)."""
    ranges = [piece for piece in arm_ranges(shares) if piece.threshold < SPACE]
    names = list(shares)
    starts = np.array([piece.threshold for piece in ranges], dtype=np.uint64)
    codes = np.array([names.index(piece.arm) for piece in ranges], dtype=np.int64)
    return codes[np.searchsorted(starts, values, side="right") - 1]


def exact_shares(experiment: Experiment) -> dict[str, Fraction]:
    """Designed share per arm as an exact fraction, control first."""
    return {arm.name: arm.share for arm in experiment.arms}


def inside(values: UIntArray, start: Fraction, end: Fraction) -> npt.NDArray[np.bool_]:
    """Whether each hash value falls into [start, end) of the slots; exact. Returns (n_units,)."""
    first, beyond = threshold_of(start), threshold_of(end)
    above = values >= np.uint64(first) if first < SPACE else np.zeros(len(values), dtype=np.bool_)
    below = values < np.uint64(beyond) if beyond < SPACE else np.ones(len(values), dtype=np.bool_)
    return above & below


def takes_part(
    units: Any, experiment: Experiment, *, layer_ids: Any = None, n_threads: int | None = None
) -> npt.NDArray[np.bool_]:
    """Whether each unit is inside the experiment's part of its layer and its exposure share.

    Both have salts of their own, so a growing exposure share adds units and moves none between
    arms. Returns (n_units,).

    units      ids that are randomised
    layer_ids  ids by which the layer is drawn, where it names a column of its own (`layer: by`)

    Errors: LAYER_IDS_MISSING, ID_MISSING, ID_NOT_TEXT.
    """
    share, layer = experiment.assignment.exposure_share, experiment.assignment.layer
    if layer is not None and layer_ids is None and experiment.layer_by != experiment.cluster:
        raise DefinitionError(
            f"{experiment.id}: its layer {layer.name!r} is drawn by {layer.by}. Give those ids as "
            "layer_ids, in the order of the units.",
            code="LAYER_IDS_MISSING",
        )
    drawn_by = units if layer_ids is None else layer_ids
    in_layer = in_its_layer(drawn_by, experiment, n_threads=n_threads)
    return in_layer & is_exposed(units, experiment, share=share, n_threads=n_threads)


def in_its_layer(
    units: Any, experiment: Experiment, *, n_threads: int | None = None
) -> npt.NDArray[np.bool_]:
    """Whether each unit is inside the experiment's part of its layer, if it has one. (n_units,).

    units  ids of `experiment.layer_by`; the units' own where that is None
    """
    layer = experiment.assignment.layer
    if layer is None:
        return np.ones(len(units), dtype=np.bool_)
    values = hash_units(units, salt=draw_salt(experiment, "layer"), n_threads=n_threads)
    return inside(values, layer.start, layer.end)


def is_exposed(
    units: Any, experiment: Experiment, *, share: Fraction, n_threads: int | None = None
) -> npt.NDArray[np.bool_]:
    """Whether each unit takes part when `share` of them does. (n_units,)."""
    if share >= 1:
        return np.ones(len(units), dtype=np.bool_)
    values = hash_units(units, salt=draw_salt(experiment, "eligibility"), n_threads=n_threads)
    return inside(values, Fraction(0), share)


def _ranges(pieces: Sequence[tuple[str, Fraction]]) -> tuple[Range, ...]:
    """Pieces laid end to end; empty ones left out, neighbours of one arm joined."""
    ranges: list[Range] = []
    start = Fraction(0)
    for arm, share in pieces:
        if share > 0 and not (ranges and ranges[-1].arm == arm):
            ranges.append(Range(arm, start))
        start += share
    return tuple(ranges)
