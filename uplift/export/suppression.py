"""The suppression list: who said no. It is the last gate of an export, and it fails closed.

A CSV file whose first line says when it was made, then one row per opt-out:

    # generated_at: 2026-03-01T06:00:00Z
    unit,channel
    c000017,
    c000042,email

unit       the id as customers have it; or `unit_hmac`: HMAC-SHA256 of the id's UTF-8 bytes in
           lower-case hex, with the key in the environment variable UPLIFT_SUPPRESSION_KEY
channel    optional; the channel that is refused, all of them where it is empty
since      optional; kept for the reader. An opt-out counts at once, whatever its date
The first line may go on with `, rows: 2`, so that a file cut short is noticed. A parquet file has
the same columns, and `generated_at` (and `rows`) in the metadata of its schema.
"""

import csv
import hashlib
import hmac
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from uplift.errors import DataError, DefinitionError
from uplift.files import is_file
from uplift.frames import UNIT, clean_units, read_frame, rows_by_id
from uplift.metrics import SLUG

KEY = "UPLIFT_SUPPRESSION_KEY"  # in the environment only: never in a file, a log or a definition
HASHED = "unit_hmac"
KNOWN = frozenset({UNIT, HASHED, "channel", "since"})
ALL_CHANNELS = ""
MAX_AGE_HOURS = 24.0  # an opt-out must be kept at once: a list of yesterday is the oldest trusted
OLDEST_HOURS = 366 * 24
EXPECTED_MATCHES = 10  # with so many expected, none by chance has a probability below 0.00005
CLOCK_SKEW = timedelta(minutes=5)
EMPTY = "An empty list is more often a failed export than nobody's wish"
HEX_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
HEAD = re.compile(r"#\s*generated_at:\s*([^,\s]+)\s*(?:,\s*rows:\s*(\d+)\s*)?\Z")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Suppression:
    """Who must not be contacted, as of a moment.

    keys     id or keyed hash of each row
    channel  that the row refuses; "" is all channels
    sha256   of the file's bytes, or of the rows of a table
    """

    keys: pd.Series
    channel: pd.Series
    keyed: bool
    generated_at: datetime
    sha256: str

    @property
    def n_rows(self) -> int:
        """Opt-outs in the list."""
        return len(self.keys)

    def keys_of(self, units: pd.Series) -> pd.Series:
        """Ids in the form this list has them. Errors: SUPPRESSION_KEY_MISSING."""
        if not self.keyed:
            return units
        key = _key()
        hashed = [hmac.digest(key, unit.encode(), "sha256").hex() for unit in units]
        return pd.Series(hashed, index=units.index, dtype="str")

    def matches(self, units: pd.Series) -> pd.DataFrame:
        """Each opt-out of these units: position of the unit, and the channel refused."""
        place = rows_by_id(self.keys, among=self.keys_of(units))
        found = pd.DataFrame({"place": place, "channel": self.channel.to_numpy()})
        return found[found["place"] >= 0].drop_duplicates(ignore_index=True)


@dataclass(frozen=True)
class Run:
    """What an earlier export met: assigned units that were on its list, of how many assigned.

    own  of this experiment
    """

    matched: int
    n_units: int
    own: bool


def refused(matches: pd.DataFrame, *, channel: str, n_units: int) -> Mask:
    """Whether each unit refuses a channel. Without a channel's name, any refusal counts."""
    mine = matches["channel"].isin([ALL_CHANNELS, channel]) if channel else slice(None)
    mask = np.zeros(n_units, dtype=np.bool_)
    mask[matches.loc[mine, "place"].to_numpy()] = True
    return mask


def suppression_of(table: Any, *, generated_at: datetime) -> Suppression:
    """A suppression list that is in memory; `generated_at` says when it was true."""
    frame = read_frame(table, what="suppression", unit=None)
    columns = [str(name) for name in frame.columns]
    values = frame.astype(object).where(frame.notna(), "").to_numpy().tolist()
    rows = "\n".join("\t".join(map(str, row)) for row in [columns, *values])
    digest = hashlib.sha256(rows.encode("utf-8", "surrogatepass")).hexdigest()
    return _checked(frame, generated_at=generated_at, sha256=digest)


def read_suppression(
    source: Any, *, as_of: datetime, max_age_hours: float, seen: Suppression | None = None
) -> Suppression:
    """The suppression list, if it can be trusted at `as_of`.

    source  path of a CSV or parquet file, or `suppression_of(table, generated_at=…)`
    seen    what was read from it shortly before: taken again when its bytes are still the same
    Errors: SUPPRESSION_STALE when it is missing, empty, too old, cut short or of an unknown form;
    those of ids (ID_MISSING, …); ARGUMENT_INVALID for an age that is none.
    """
    if not 0 < max_age_hours <= OLDEST_HOURS:  # also what is no number
        raise DefinitionError(
            f"the age of a suppression list is limited by hours above 0 and at most {OLDEST_HOURS} "
            f"(a year), got {max_age_hours:g}. Usual: {MAX_AGE_HOURS:g}.",
            code="ARGUMENT_INVALID",
        )
    found = source if isinstance(source, Suppression) else _read(source, seen)
    if found.n_rows == 0:
        raise _stale("is empty", EMPTY)
    age = as_of - found.generated_at
    if age > timedelta(hours=max_age_hours):
        raise _stale(
            f"was made at {found.generated_at.isoformat()}, more than {max_age_hours:g} hours ago",
            "Opt-outs since then are not in it",
        )
    if age < -CLOCK_SKEW:
        raise _stale(
            f"was made at {found.generated_at.isoformat()}, which is in the future",
            "A clock is wrong",
        )
    return found


def is_suppression_list(source: Any) -> bool:
    """Whether a table comes in the form of a suppression list, which says when it was made."""
    if isinstance(source, Suppression):
        return True
    if not isinstance(source, str | Path) or not is_file(source):
        return False
    if Path(source).suffix == ".parquet":
        try:
            return b"generated_at" in (pq.read_schema(source).metadata or {})
        except (pa.ArrowInvalid, OSError):
            return False
    with Path(source).open("rb") as file:
        return file.read(4).removeprefix(BYTE_ORDER_MARK).startswith(b"#")


def listed_units(source: Any, units: pd.Series) -> pd.DataFrame:
    """Those of the units that a list names, for a draw: any row counts, whatever its channel.

    source  a suppression list of any age, for the export looks at that; or any table with `unit`
    Errors: SUPPRESSION_STALE when it is empty or of an unknown form; SUPPRESSION_NO_MATCH.
    """
    if not is_suppression_list(source):
        table = read_frame(source, what="suppressed units")[[UNIT]]
        if table.empty:
            raise _stale("is empty", "Leave it out where nobody is suppressed")
        return table
    found = source if isinstance(source, Suppression) else _read(source)
    if found.n_rows == 0:
        raise _stale("is empty", EMPTY)
    places = found.matches(units)["place"].unique()
    require_matches(found, units, matched=len(places), runs=())
    return units.iloc[places].to_frame(UNIT)


def _read(source: Any, seen: Suppression | None = None) -> Suppression:
    if not isinstance(source, str | Path):
        raise _stale(
            "is missing" if source is None else "says nothing of its age",
            "Give a file, or suppression_of(table, generated_at=…)",
        )
    path = Path(source)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _stale(f"cannot be read ({error.strerror})", f"Expected at {path}") from error
    digest = hashlib.sha256(content).hexdigest()
    if seen is not None and seen.sha256 == digest:
        return seen
    read = _parquet if path.suffix == ".parquet" else _csv
    frame, said = read(content)
    if "generated_at" not in said:
        raise _stale(
            "does not say when it was made",
            "Write `# generated_at: 2026-03-01T06:00:00Z` above the header",
        )
    if said.get("rows") is not None and int(said["rows"]) != len(frame):
        raise _stale(
            f"promises {said['rows']} rows and has {len(frame)}", "It was cut short or added to"
        )
    return _checked(frame, generated_at=_moment(said["generated_at"]), sha256=digest)


def _csv(content: bytes) -> tuple[pd.DataFrame, Mapping[str, str]]:
    try:
        text = content.removeprefix(BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(content[: error.start].count(b"\n") + 1) from None
    first_line, _, rest = text.partition("\n")
    said: dict[str, str] = {}
    if head := HEAD.match(first_line.rstrip("\r,")):  # a spreadsheet pads the line with commas
        said = {"generated_at": head[1], **({"rows": head[2]} if head[2] else {})}
        text = rest
    rows = _rows(text, first=bool(said))
    if not rows:
        raise _stale("is empty", "Not even a header is there")
    return pd.DataFrame(rows[1:], columns=[name.strip() for name in rows[0]], dtype="str"), said


def _rows(text: str, *, first: bool) -> list[list[str]]:
    """Rows of a CSV text, the header first; messages hold no content, for it is ids."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not row:
                continue
            if "\0" in "".join(row) or (rows and len(row) != len(rows[0])):
                raise _malformed(reader.line_num + first)
            rows.append(row)
    except csv.Error:
        raise _malformed(reader.line_num + first) from None
    return rows


def _parquet(content: bytes) -> tuple[pd.DataFrame, Mapping[str, str]]:
    try:
        table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError):
        raise _stale("is not a whole parquet file", "Write it again") from None
    said = {
        key.decode(): value.decode()
        for key, value in (table.schema.metadata or {}).items()
        if key in (b"generated_at", b"rows")
    }
    return pd.DataFrame(table.to_pandas()), said


def _checked(frame: pd.DataFrame, *, generated_at: datetime, sha256: str) -> Suppression:
    columns = [str(name) for name in frame.columns]
    ids = [name for name in (UNIT, HASHED) if name in columns]
    unknown = sorted(set(columns) - KNOWN)
    if len(ids) != 1 or unknown or len(set(columns)) < len(columns):
        raise _stale(
            "has an unknown header",
            f"Needed: unit or unit_hmac, and nothing but channel and since beside it; "
            f"unknown columns: {len(unknown)}",
        )
    if generated_at.tzinfo is None:
        raise _stale("says when it was made without a zone", "Write …T06:00:00Z or …+01:00")
    keyed = ids == [HASHED]
    keys = clean_units(frame[ids[0]], column=ids[0], what="suppression") if len(frame) else None
    keys = pd.Series([], dtype="str") if keys is None else keys
    if keyed and not keys.map(lambda key: bool(HEX_DIGEST.match(key))).all():
        raise _stale("holds keyed hashes of another form", "HMAC-SHA256 in lower-case hex is meant")
    channel = _channels(frame)
    return Suppression(keys, channel, keyed, generated_at.astimezone(UTC), sha256)


def _channels(frame: pd.DataFrame) -> pd.Series:
    if "channel" not in frame.columns:
        return pd.Series([ALL_CHANNELS] * len(frame), dtype="str")
    given = frame["channel"].astype("str").where(frame["channel"].notna(), "").str.strip()
    odd = [name for name in given.unique() if name and not SLUG.match(name)]
    if odd:
        raise _stale(
            f"names {len(odd)} channel(s) in another form than definitions do",
            "Channels are lower-case letters, digits and underscores",
        )
    return given.reset_index(drop=True)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise _stale("says when it was made in an unknown form", "Write an ISO time") from None


def _key() -> bytes:
    key = os.environ.get(KEY, "")
    if not key:
        raise DataError(
            f"suppression: the list holds keyed hashes, and the environment has no {KEY}. "
            "Set it to the key with which the list was made.",
            code="SUPPRESSION_KEY_MISSING",
        )
    return key.encode()


def _stale(found: str, why: str) -> DataError:
    return DataError(
        f"suppression: the list {found}, so nobody is exported. {why}. Fetch a fresh, complete "
        "suppression list and repeat.",
        code="SUPPRESSION_STALE",
    )


def _malformed(row: int) -> DataError:
    return DataError(
        f"suppression: the file is not well-formed CSV in UTF-8 near line {row}, so nobody is "
        "exported. Export it again.",
        code="CSV_MALFORMED",
        rows=[row],
    )


def require_matches(
    suppression: Suppression, units: pd.Series, *, matched: int, runs: Sequence[Run]
) -> None:
    """Refuse a list that matches nobody where it should: its ids have another form than ours.

    units    ids of the assignment
    matched  how many of them the list has
    runs     earlier exports, oldest first

    Errors: SUPPRESSION_NO_MATCH.
    """
    if matched or not len(units):
        return
    if any(run.matched for run in runs if run.own):
        raise _no_match("but earlier exports of this experiment met some")
    last = next((run for run in reversed(runs) if run.n_units), None)
    if last is not None and last.matched / last.n_units * len(units) >= EXPECTED_MATCHES:
        raise _no_match("but the last export met so many that some must be expected here")
    if suppression.keyed:
        return
    if set(_folded(suppression.keys)) & set(_folded(units)):
        raise _no_match("but some would be but for case, blanks, dashes or leading zeros")
    hashed = suppression.keys.map(lambda key: bool(HEX_DIGEST.match(key.lower()))).all()
    if hashed and not units.map(lambda unit: bool(HEX_DIGEST.match(unit.lower()))).all():
        raise _no_match("for they are hashes. Keyed hashes go into a column unit_hmac")


def _folded(ids: pd.Series) -> list[str]:
    plain = ids.str.casefold().str.replace(r"[\s\-_.]", "", regex=True)
    return list(plain.str.lstrip("0"))


def _no_match(why: str) -> DataError:
    return DataError(
        f"suppression: not one id of the list is an assigned unit, {why}. Bring the ids into the "
        "form that customers have, and repeat.",
        code="SUPPRESSION_NO_MATCH",
    )
