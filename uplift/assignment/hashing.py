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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from uplift.experiment import CONTROL, Experiment

SALT_VERSION = 1  # part of every salt: a new rule of drawing is a new version
SPACE = 2**64
SLOT_BITS = 53  # as many as a float holds exactly, so that a slot never rounds up to 1

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
        return -((-self.start.numerator * SPACE) // self.start.denominator)


def salt_of(experiment_id: str, purpose: str) -> str:
    """The salt of one draw, e.g. `spring_voucher:arm:1`; experiment ids hold no colon."""
    return f"{experiment_id}:{purpose}:{SALT_VERSION}"


def hash_units(units: Iterable[str], *, salt: str) -> UIntArray:
    """First 64 bits of MD5(`salt:unit`), the id in NFC. Returns (n_units,).

    Source: Rivest (1992), RFC 1321; Unicode Standard Annex 15 for NFC.
    """
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
    ranges = arm_ranges(shares)
    names = list(shares)
    starts = np.array([piece.threshold for piece in ranges], dtype=np.uint64)
    codes = np.array([names.index(piece.arm) for piece in ranges], dtype=np.int64)
    return codes[np.searchsorted(starts, values, side="right") - 1]


def exact_shares(experiment: Experiment) -> dict[str, Fraction]:
    """Designed share per arm as an exact fraction, control first."""
    return {arm.name: arm.share for arm in experiment.arms}


def arm_sql(experiment: Experiment, *, column: str = "unit") -> str:
    """The same draw as an SQL expression for DuckDB, giving the name of the arm.

    column  holds the randomised id; quoted here
    """
    quoted = '"' + column.replace('"', '""') + '"'
    text = f"'{salt_of(experiment.id, 'arm')}:' || nfc_normalize({quoted})"
    value = f"CAST('0x' || substr(md5({text}), 1, 16) AS UBIGINT)"
    *later, first = reversed(arm_ranges(exact_shares(experiment)))
    cases = "\n".join(f"  WHEN {value} >= {piece.threshold} THEN '{piece.arm}'" for piece in later)
    return f"CASE\n{cases}\n  ELSE '{first.arm}'\nEND"


def _ranges(pieces: Sequence[tuple[str, Fraction]]) -> tuple[Range, ...]:
    """Pieces laid end to end; empty ones left out, neighbours of one arm joined."""
    ranges: list[Range] = []
    start = Fraction(0)
    for arm, share in pieces:
        if share > 0 and not (ranges and ranges[-1].arm == arm):
            ranges.append(Range(arm, start))
        start += share
    return tuple(ranges)
