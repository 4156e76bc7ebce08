"""Writes hash_assignment.csv: 1,000 ids, their hash values and arms, frozen for ever.

Run it by hand (`python tests/golden/hash_assignment.py`) to see that the file comes out as it is.
It uses the standard library and not the package, so that both are computed apart.
"""

import csv
import hashlib
import random
import sys
import unicodedata
from fractions import Fraction
from pathlib import Path

FILE = Path(__file__).with_suffix(".csv")
SALTS = ("spring:arm:1", "spring:eligibility:1", "mailing:layer:1", "spring:arm:wave2:1")
ALPHABETS = (
    "0123456789",
    "abcxyz-_.@+",
    "éüñçÅß",
    "e\u0301o\u0308A\u030a",
    "客户订单",
    "клиент",
    "🛒🎁",
    "한국",
    "مشتري",
)
# three arms of a third each: first the treatment's left edge, then the control
ENDS = (
    (Fraction(1, 3), "a"),
    (Fraction(1, 2), "control"),
    (Fraction(5, 6), "b"),
    (Fraction(1), "control"),
)


def ids(rng: random.Random) -> list[str]:
    plain = [str(i) for i in range(100)] + [f"c{i:07d}" for i in range(100)]
    mails = [f"name{i}@shop.example" for i in range(100)]
    uuids = ["-".join(f"{rng.getrandbits(32):08x}" for _ in range(4)) for _ in range(100)]
    lengths = ["7" * n for n in range(1, 201)]  # across the ends of the digest's blocks
    mixed = [
        "".join(rng.choice(ALPHABETS[i % len(ALPHABETS)]) for _ in range(rng.randint(1, 60)))
        for i in range(400)
    ]
    return plain + mails + uuids + lengths + mixed


def row(i: int, unit: str) -> tuple[str, str, str, str]:
    salt = SALTS[i % len(SALTS)]
    text = f"{salt}:{unicodedata.normalize('NFC', unit)}"
    digits = hashlib.md5(text.encode()).hexdigest()[:16]
    place = Fraction(int(digits, 16), 2**64)
    return salt, unit, digits, next(arm for end, arm in ENDS if place < end)


def rows() -> list[tuple[str, str, str, str]]:
    return [row(i, unit) for i, unit in enumerate(ids(random.Random(20170703)))]


if __name__ == "__main__":
    with FILE.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("salt", "unit", "value", "arm_of_thirds"))
        writer.writerows(rows())
    sys.stdout.write(f"{FILE}\n")
