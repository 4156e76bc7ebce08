"""Prove an export without the program that wrote it: Python's standard library is enough.

    python verify_export.py manifest.json --suppression suppression.csv --assignment assignment.csv

Exit 0: everything holds. 1: a violation was found. 2: what was asked could not be read.
Ids are never printed; a violation names rows, counted from 1 without the header.

  always         the files are as written; every row is a unit that was assigned the arm it says,
                 once; nobody of the control or otherwise left out is inside
  --suppression  nobody on this list is inside, but for units of the deltas in --withdrawn (keyed
                 hashes: key in UPLIFT_SUPPRESSION_KEY). Again for a list of held-out units
  --assignment   CSV with unit and arm: the list is a part of it, and was exported from it
  --manifest-sha256  what the export reported, so that no other manifest can stand here
"""

import argparse
import contextlib
import csv
import hashlib
import hmac
import io
import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error, RecursionError)
LEFT_OUT = ("control", "held_out", "suppressed", "withdrawn", "not_sent", "other_list")
Rows = list[dict[str, str]]
Manifest = dict[str, Any]


class Proof:
    """What holds and what does not, in words."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.violations: list[str] = []

    def check(self, words: str, holds: bool) -> None:
        """One statement about the whole."""
        (self.held if holds else self.violations).append(words)

    def check_rows(self, words: str, bad: Iterable[bool]) -> None:
        """One statement about every row."""
        rows = [number for number, is_bad in enumerate(bad, 1) if is_bad]
        self.check(f"{words} ({len(rows)} rows: {rows[:5]})" if rows else words, not rows)


def sha256(content: bytes | str) -> str:
    """In hex; of a text's UTF-8 bytes."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def canonical(value: Any) -> str:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False)


def table(content: bytes, what: str) -> Rows:
    """Rows of a CSV file by column; a first line `# …` is skipped."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    text = text.partition("\n")[2] if text.startswith("#") else text
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError(f"{what} is not a whole CSV file")
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def tree_root(hashes: Iterable[str]) -> str:
    """Leaf SHA-256(0x00 + hash), node SHA-256(0x01 + left + right); an odd one moves up."""
    nodes = [hashlib.sha256(b"\x00" + bytes.fromhex(one)).digest() for one in sorted(hashes)]
    while len(nodes) > 1:
        pairs = [nodes[i : i + 2] for i in range(0, len(nodes), 2)]
        nodes = [hashlib.sha256(b"\x01" + b"".join(p)).digest() if p[1:] else p[0] for p in pairs]
    return nodes[0].hex() if nodes else sha256("")


def read_manifest(path: Path, pinned: str | None, proof: Proof) -> Manifest:
    """The manifest, checked against its own digest and the one reported."""
    content = path.read_bytes()
    proof.check("the manifest is the one reported", pinned in (None, sha256(content)))
    with contextlib.suppress(*UNREADABLE):
        manifest: Manifest = json.loads(content.decode("utf-8"))
        rest = {name: value for name, value in manifest.items() if name != "digest"}
        proof.check("the manifest is in its form", content.decode() == canonical(manifest) + "\n")
        proof.check("the manifest is as written", manifest["digest"] == sha256(canonical(rest)))
        return manifest
    proof.check("the manifest can be read", False)
    return {}


def read_files(folder: Path, manifest: Manifest, proof: Proof) -> dict[str, Rows]:
    """Rows of the tables that the manifest names, each file's bytes checked."""
    tables = {}
    for name, promised in manifest["files"].items():
        path = folder / Path(name).name
        content = path.read_bytes() if path.is_file() else b""
        proof.check(f"{name} is there as written", sha256(content) == promised["sha256"])
        if not proof.violations and "rows" in promised:
            tables[name] = table(content, name)
            proof.check(f"{name} has the rows promised", len(tables[name]) == promised["rows"])
    return tables


def check_list(manifest: Manifest, rows: Rows, proven: Rows, proof: Proof) -> None:
    """The list against the proof by hash."""
    known = {row["hash"]: row for row in proven}
    hashes = [sha256(f"{manifest['batch']}:{row['unit']}") for row in rows]
    found = [known.get(one, {"arm": "", "fate": "unknown"}) for one in hashes]
    proof.check_rows("every unit was assigned", (one["fate"] == "unknown" for one in found))
    for fate in LEFT_OUT:
        proof.check_rows(f"nobody left out as {fate} is inside", (o["fate"] == fate for o in found))
    differ = (row["arm"] != one["arm"] for row, one in zip(rows, found, strict=True))
    proof.check_rows("every unit has its arm", differ)
    for column, key in (("channel", "channel"), ("campaign", "experiment"), ("wave", "wave")):
        proof.check_rows(f"every {column} is right", (row[column] != manifest[key] for row in rows))
    sent = {one for one, row in known.items() if row["fate"] == "send"}
    proof.check("everybody is inside who is to be sent to", sent == set(hashes))
    proof.check("the number of units is right", len(rows) == manifest["n_units"] == len(sent))
    proof.check("the root over all units is right", tree_root(hashes) == manifest["root"])
    arms = {arm: sum(row["arm"] == arm for row in rows) for arm in manifest["arms"]}
    proof.check("the numbers per arm are right", arms == manifest["arms"])


def check_suppressed(
    content: bytes, deltas: Sequence[Path], manifest: Manifest, rows: Rows, proof: Proof
) -> None:
    """The list against a suppression list."""
    listed, channel = table(content, "the suppression list"), manifest["channel"]
    every = channel == "unspecified"  # arms without a channel: whatever was refused counts
    mine = [r for r in listed if every or r.get("channel", "").strip() in ("", channel)]
    keyed = bool(listed) and "unit_hmac" in listed[0]
    key = os.environ.get("UPLIFT_SUPPRESSION_KEY", "").encode()
    if keyed and not key:
        raise ValueError("the suppression list is keyed: UPLIFT_SUPPRESSION_KEY must be set")
    out = {r["unit_hmac"] if keyed else unicodedata.normalize("NFC", r["unit"]) for r in mine}
    gone = {row["unit"] for delta in deltas for row in table(delta.read_bytes(), "a delta")}
    names = [row["unit"] for row in rows]
    keys = [hmac.digest(key, n.encode(), "sha256").hex() for n in names] if keyed else names
    version = "this" if sha256(content) == manifest["suppression"]["sha256"] else "another"
    proof.check(f"it is not empty ({version} suppression list was exported with)", listed != [])
    inside = (k in out and n not in gone for k, n in zip(keys, names, strict=True))
    proof.check_rows(f"nobody of {len(listed)} suppressed rows is inside", inside)


def check_assignment(content: bytes, manifest: Manifest, rows: Rows, proof: Proof) -> None:
    """The list against the assignment."""
    arms = {row["unit"]: row["arm"] for row in table(content, "the assignment")}
    digest = sha256("".join(f"{unit}\t{arms[unit]}\n" for unit in sorted(arms)))
    proof.check("the list was exported from it", digest == manifest["assignment_sha256"])
    given = [(arms.get(row["unit"]), row["arm"]) for row in rows]
    proof.check_rows("every unit has that assignment's arm", (a != b for a, b in given))
    proof.check_rows("nobody of its control is inside", (a == "control" for a, _ in given))


def verify(asked: argparse.Namespace, proof: Proof) -> None:
    """Everything that was asked for."""
    manifest = read_manifest(asked.manifest, asked.manifest_sha256, proof)
    tables = {} if proof.violations else read_files(asked.manifest.parent, manifest, proof)
    if proof.violations:
        return  # what the rows would be compared with is not what was written
    is_delta = manifest["kind"] == "delta"
    rows = tables[(f"delta_{manifest['number']}" if is_delta else manifest["channel"]) + ".csv"]
    proof.check("every unit is there once", len({row["unit"] for row in rows}) == len(rows))
    if is_delta:
        return
    check_list(manifest, rows, tables["units.csv"], proof)
    for path in asked.suppression:
        check_suppressed(path.read_bytes(), asked.withdrawn, manifest, rows, proof)
    if asked.assignment:
        check_assignment(asked.assignment.read_bytes(), manifest, rows, proof)


def main(words: Sequence[str] | None = None) -> int:
    """The command; gives the exit code."""
    parser = argparse.ArgumentParser(description="Prove an export. Exit 0, 1 or 2.")
    parser.add_argument("manifest", type=Path)
    for name in ("--suppression", "--withdrawn"):
        parser.add_argument(name, type=Path, action="append", default=[])
    parser.add_argument("--assignment", type=Path)
    parser.add_argument("--manifest-sha256")
    asked, proof = parser.parse_args(words), Proof()
    try:
        verify(asked, proof)
    except UNREADABLE as error:
        sys.stderr.write(f"cannot be verified: {error or type(error).__name__}\n")
        return 2
    lines = [f"ok         {line}\n" for line in proof.held]
    lines += [f"VIOLATION  it does not hold that {line}\n" for line in proof.violations]
    sys.stdout.writelines([*lines, "VIOLATED\n" if proof.violations else "PROVEN\n"])
    return 1 if proof.violations else 0


if __name__ == "__main__":
    sys.exit(main())
