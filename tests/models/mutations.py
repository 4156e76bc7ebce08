"""Changes of stored models: what a failing disk, a hurried hand or an attacker may do to a file."""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tests.models.stored import rewrite
from uplift.errors import UpliftError
from uplift.files import file_digest
from uplift.models.store import MODEL_FILE, load_model

Rng = np.random.Generator
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
ODD = (b"0", b"-1", b"2", b"999999", b"-2147483649", b"4294967296", b"1e308", b"1e999", b"nan")
ODD += (b"", b"inf", b"-0", b"1.5", b"99999999999999999999", b"0x10")


def flip(content: bytes, rng: Rng) -> bytes:
    changed = bytearray(content)
    for place in rng.integers(0, len(content), rng.integers(1, 4)):
        changed[place] ^= 1 << int(rng.integers(0, 8))
    return bytes(changed)


def cut_off(content: bytes, rng: Rng) -> bytes:
    return content[: int(rng.integers(0, len(content)))]


def take_out(content: bytes, rng: Rng) -> bytes:
    start = int(rng.integers(0, len(content)))
    return content[:start] + content[start + int(rng.integers(1, 200)) :]


def swap_lines(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    i, j = rng.integers(0, len(lines), 2)
    lines[i], lines[j] = lines[j], lines[i]
    return b"\n".join(lines)


def repeat_line(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    i, j = rng.integers(0, len(lines), 2)
    return b"\n".join([*lines[:j], lines[i], *lines[j:]])


def replace_number(content: bytes, rng: Rng) -> bytes:
    found = list(NUMBER.finditer(content))
    if not found:
        return flip(content, rng)
    chosen = found[int(rng.integers(0, len(found)))]
    other = ODD[int(rng.integers(0, len(ODD)))]
    if rng.random() < 0.5:  # one that stands elsewhere in the file
        other = found[int(rng.integers(0, len(found)))].group()
    return content[: chosen.start()] + other + content[chosen.end() :]


CHANGES: tuple[Callable[[bytes, Rng], bytes], ...] = (
    flip,
    cut_off,
    take_out,
    swap_lines,
    repeat_line,
    replace_number,
    replace_number,
)


def mutate(folder: Path, rng: Rng, *, with_digests: bool) -> bool:
    """Change one file of a model, and where asked its digest too; False when nothing changed."""
    names = sorted(path.name for path in folder.iterdir())
    if with_digests and len(names) > 1:  # the description is changed by `mutate_description`
        names.remove(MODEL_FILE)
    path = folder / names[int(rng.integers(0, len(names)))]
    before = path.read_bytes()
    after = CHANGES[int(rng.integers(0, len(CHANGES)))](before, rng)
    path.write_bytes(after)
    if with_digests and path.name != MODEL_FILE:
        forge(folder)
    return after != before


def forge(folder: Path) -> None:
    """Make the digests of a model's files right again."""

    def forged(document):
        found = {name: file_digest(folder / name) for name in document["forests"]}
        return document | {"forests": found}

    rewrite(folder / MODEL_FILE, forged)


def mutate_description(folder: Path, rng: Rng) -> bool:
    """Change one value somewhere in the description, and seal it again."""
    odd = (None, True, -1, 0, 3, 10**9, 1e300, -1e300, "x", "", [], {}, [[1.0]], ["a"])
    changed = False

    def change(document):
        nonlocal changed
        place: object = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = keys[int(rng.integers(0, len(keys)))]
            value = place[key]
            if not (isinstance(value, dict | list) and value) or rng.random() < 0.15:
                break
            place = value
        other = odd[int(rng.integers(0, len(odd)))]
        changed = type(other) is not type(value) or other != value
        place[key] = other
        if rng.random() < 0.1:
            del place[key]
            changed = True
        return document

    rewrite(folder / MODEL_FILE, change)
    return changed


def copied(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(source, target))


def outcome_of(folder: Path, customers, digests: Mapping[str, str] | None = None) -> str:
    """The code of the refusal, or "sound" when a model came out that scores customers finitely."""
    try:
        model = load_model(folder, digests)
    except UpliftError as error:
        return error.code
    try:
        effects = model.predict(customers)
    except UpliftError as error:
        return f"scores: {error.code}"
    assert effects.shape == (len(customers), model.n_arms_ - 1)
    assert np.isfinite(effects).all()
    return "sound"
