"""The bytes of an export: the list, the proof of who is on it and who is not, the manifest.

    hash of a unit = SHA-256("<batch id>:<unit>"), so the proof names nobody
    root           = Merkle root over the sorted hashes of the list's units:
                     leaf SHA-256(0x00 ‖ hash), node SHA-256(0x01 ‖ left ‖ right), odd ones move up

Equal inputs give equal bytes: nothing here reads a clock.
Source of the tree: Laurie, Langley & Käsper (2013), RFC 6962, section 2.1.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from itertools import compress
from typing import Any

import pandas as pd

from uplift.errors import DataError
from uplift.export.wave import FATES, SEND, Wave
from uplift.frames import FORMULA_START, UNIT, read_frame, require_unique, rows_by_id
from uplift.table import canonical_json

FORMAT = "uplift-export/1"
HEADER = ("unit", "arm", "offer", "channel", "campaign", "wave")
DELTA_HEADER = ("unit", "channel", "campaign", "wave")
QUOTED = re.compile(r'[",\r\n]')  # what makes a CSV writer quote a text
PROOF, VERIFIER, MANIFEST = "units.csv", "verify_export.py", "manifest.json"


def batch_id(*parts: Any) -> str:
    """The id of a batch: a digest of everything its bytes follow from."""
    return "b" + hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:32]


def list_bytes(wave: Wave, channel: str, sent: pd.Series, extra: pd.DataFrame | None) -> bytes:
    """The list of a channel: one row per unit that is sent to, sorted by unit.

    sent   whether each assigned unit is on this list
    extra  further columns, in the order of the assignment
    """
    offers = {arm.name: arm.offer or "" for arm in wave.experiment.treatments}
    chosen = sent.tolist()
    units, arms = list(compress(wave.ids, chosen)), list(compress(wave.arms, chosen))
    fixed = [[text] * len(units) for text in (channel, wave.experiment.id, wave.name)]
    columns: list[list[Any]] = [units, arms, [offers[arm] for arm in arms], *fixed]
    if extra is None:
        return csv_of_texts(HEADER, columns)
    columns += [extra.loc[sent.to_numpy(), name].tolist() for name in extra.columns]
    return csv_bytes((*HEADER, *extra.columns), zip(*columns, strict=True))


def delta_bytes(units: Sequence[str], *, channel: str, campaign: str, wave: str) -> bytes:
    """Units that were on a list and opted out since."""
    fixed = (channel, campaign, wave)
    return csv_bytes(DELTA_HEADER, ((unit, *fixed) for unit in units))


def proof_bytes(wave: Wave, fates: Sequence[str], *, hashes: Sequence[str], batch: str) -> bytes:
    """What became of each assigned and each held-out unit, by hash: `hash,arm,fate`.

    hashes  of the assigned units
    """
    rows = list(map("{},{},{}\n".format, hashes, wave.arms, fates))
    others = wave.held_out[rows_by_id(wave.held_out, among=wave.units) < 0]
    rows += [f"{value},,held_out\n" for value in unit_hashes(others.tolist(), batch=batch)]
    return "".join(["hash,arm,fate\n", *sorted(rows)]).encode()


def unit_hashes(units: Iterable[str], *, batch: str) -> list[str]:
    """Hashes that tell nothing of a unit to who does not have its id."""
    salt = f"{batch}:"
    return [hashlib.sha256((salt + unit).encode()).hexdigest() for unit in units]


def merkle_root(hashes: Iterable[str]) -> str:
    """Root of the tree over sorted hashes; SHA-256 of nothing when there are none."""
    level = [hashlib.sha256(b"\x00" + bytes.fromhex(one)).digest() for one in sorted(hashes)]
    if not level:
        return hashlib.sha256(b"").hexdigest()
    while len(level) > 1:
        nodes = [
            hashlib.sha256(b"\x01" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = nodes + level[len(nodes) * 2 :]
    return level[0].hex()


def verifier_bytes() -> bytes:
    """The program that proves an export without this package."""
    return resources.files("uplift.export").joinpath(VERIFIER).read_bytes()


def manifest_bytes(content: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """The manifest: what the batch is, its files' digests, and a digest of itself."""
    listed = {
        name: {
            "sha256": hashlib.sha256(value).hexdigest(),
            "bytes": len(value),
            **({"rows": rows_of(value)} if name.endswith(".csv") else {}),
        }
        for name, value in files.items()
    }
    body = {**content, "format": FORMAT, "files": listed}
    digest = hashlib.sha256(canonical_json(body).encode()).hexdigest()
    return (canonical_json({**body, "digest": digest}) + "\n").encode()


def sha256(content: bytes) -> str:
    """SHA-256 of bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def rows_of(content: bytes) -> int:
    """Rows of a CSV file, without its header."""
    if b'"' not in content:
        return content.count(b"\n") - 1
    return sum(1 for _ in csv.reader(io.StringIO(content.decode(), newline=""))) - 1


def count_fates(fates: pd.Series) -> dict[str, int]:
    """Units per fate, those that met nobody included."""
    found = fates.value_counts()
    return {fate: int(found.get(fate, 0)) for fate in FATES}


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Comma-separated UTF-8 with plain line ends; quoted only where needed."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def csv_of_texts(header: Sequence[str], columns: Sequence[Sequence[str]]) -> bytes:
    """`csv_bytes` of whole columns of texts: the same bytes, sooner where nothing is quoted."""
    if any(QUOTED.search("".join(texts)) for texts in columns):
        return csv_bytes(header, zip(*columns, strict=True))
    lines = map(",".join, zip(*columns, strict=True))
    return ("\n".join([",".join(header), *lines]) + "\n").encode()


def extra_columns(
    wave: Wave, customers: Any, *, columns: Sequence[str], text_columns: Sequence[str]
) -> pd.DataFrame | None:
    """Further columns for the lists, in the order of the assignment.

    columns       numbers, dates and yes/no, written as they are
    text_columns  text; what a spreadsheet would run gets an apostrophe in front

    Errors: TEXT_COLUMN for text that was not asked for as text, COLUMN_MISSING,
    FEATURE_ROWS_MISSING, FEATURE_DUPLICATE.
    """
    if not columns and not text_columns:
        return None
    names = [*columns, *text_columns]
    taken = sorted(set(names) & set(HEADER)) or [n for n in names if names.count(n) > 1]
    if taken:
        raise DataError(
            f"The list already has a column {taken[0]!r}. Name other columns.",
            code="FEATURE_DUPLICATE",
            column=taken[0],
        )
    table = read_frame(customers, what="customers", require=names)
    require_unique(table[UNIT], what="customers")
    place = rows_by_id(wave.units, among=table[UNIT])
    if (place < 0).any():
        raise DataError(
            f"customers: {int((place < 0).sum())} assigned unit(s) have no row here. Give the "
            "table that the assignment was made from.",
            code="FEATURE_ROWS_MISSING",
            count=int((place < 0).sum()),
        )
    chosen = table[names].iloc[place].reset_index(drop=True)
    return pd.DataFrame({n: _written(chosen[n], as_text=n in text_columns) for n in names})


def _written(values: pd.Series, *, as_text: bool) -> pd.Series:
    is_text = not (
        pd.api.types.is_numeric_dtype(values.dtype)
        or pd.api.types.is_bool_dtype(values.dtype)
        or pd.api.types.is_datetime64_any_dtype(values.dtype)
    )
    if is_text and not as_text:
        raise DataError(
            f"customers: column {values.name!r} holds text, which a spreadsheet may run. Ask for "
            "it as a text column if it must be on the list.",
            code="TEXT_COLUMN",
            column=str(values.name),
        )
    if not is_text:
        return values.astype(object).where(values.notna(), "")
    text = values.astype("str").where(values.notna(), "")
    text = text.str.replace("\r\n?", "\n", regex=True)  # a lone \r ends a line and is not quoted
    return text.where(~text.str.contains(FORMULA_START, regex=True), "'" + text)


def is_sent(fates: pd.Series) -> pd.Series:
    """Whether each assigned unit is on the list."""
    return fates == SEND
