"""The one door for tables: any frame or file in, a pandas frame with checked customer ids out.

Customer ids (`unit`) are text in Unicode NFC, never numbers: '00123' and '123' are two customers.
"""

import gzip
import hashlib
import re
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from uplift.checks import Check, warning
from uplift.errors import MAX_ROWS_SHOWN, DataError
from uplift.files import file_digest, is_file, whole_file

UNIT = "unit"
TEXT_COLUMNS = (UNIT, "household", "cluster", "arm", "stratum", "experiment", "campaign", "basket")
LARGEST = 1e100  # of measured numbers: sums of their cubes are numbers still
MAX_NAME_SHOWN = 200  # characters of a path in a message
MAX_ID_BYTES = 256  # longer "ids" are free text that slipped into the wrong column
CONTROL_CHARACTERS = r"[\p{Cc}\p{Cf}]"  # NUL, zero-width, byte-order mark, bidirectional marks
HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # no text: a byte that was not UTF-8
OUTER_BLANKS = r"^[\s\p{Zs}]|[\s\p{Zs}]$"
LOOKS_PERSONAL = r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$|^\+\d[\d .()-]{7,}\d$"
FORMULA_START = r"^[=+\-@\t\r\x00]"  # a spreadsheet would run it
NO_IDS = (float, np.floating, bool, np.bool_, bytes, tuple, list, set, dict)  # among objects

Table = Any  # pandas, polars, arrow, DuckDB relation, a result with to_pandas(), or a path


def read_frame(
    source: Table, *, what: str, require: Sequence[str] = (), unit: str | None = UNIT
) -> pd.DataFrame:
    """A table as a pandas frame of its own, with its id column checked.

    what     name of the table in messages, e.g. "customers"
    require  columns that must be there
    unit     the id column to check (see `clean_units`); None when the table has none
    """
    frame = _to_pandas(source, what=what)
    _require_columns(frame, [*require, *([unit] if unit else [])], what=what)
    if unit:
        frame[unit] = clean_units(frame[unit], column=unit, what=what)
    return frame


def trimmed(
    source: Table, *, what: str, unit: str = UNIT
) -> tuple[pd.DataFrame, tuple[Check, ...]]:
    """A table without the blanks around its ids, and a warning that counts them.

    Errors: ID_WHITESPACE when two ids differ in nothing but such blanks; those of `read_frame`.
    """
    frame = _to_pandas(source, what=what)
    _require_columns(frame, [unit], what=what)
    given = _ids_as_text(frame[unit], column=unit, what=what)
    ids = pc.utf8_trim_whitespace(given)
    spellings = pa.table({"given": given, "id": ids}).group_by(["given", "id"]).aggregate([])
    _refuse(
        pc.is_in(ids, value_set=_repeated(spellings["id"])),
        "ID_WHITESPACE",
        f"{what}: ids in {unit!r} differ in nothing but blanks around them, so they are not "
        "trimmed. Decide at the source whether they are one customer.",
        unit,
    )
    frame[unit] = clean_units(ids.to_pandas(), column=unit, what=what)
    count = int(pc.sum(pc.not_equal(given, ids)).as_py() or 0)
    if not count:
        return frame, ()
    remedy = f"Blanks around these ids of the {what} were removed. Trim them at the source."
    return frame, (warning("ID_WHITESPACE", value=count, remedy=remedy),)


def clean_units(values: Any, *, column: str = UNIT, what: str = "table") -> pd.Series:
    """Ids as NFC text, or a refusal that names the first rows at fault.

    Refused: ID_MISSING, ID_NOT_TEXT, ID_CONTROL_CHAR, ID_WHITESPACE, ID_TOO_LONG and
    ID_UNICODE_FORM (two spellings of one visible id).
    """
    series = values if isinstance(values, pd.Series) else pd.Series(values)
    ids = _ids_as_text(series, column=column, what=what)
    _refuse(
        pc.fill_null(pc.equal(pc.binary_length(pc.utf8_trim_whitespace(ids)), 0), True),
        "ID_MISSING",
        f"{what}: column {column!r} must hold an id in every row. Remove or repair those rows.",
        column,
    )
    control = pc.match_substring_regex(ids, CONTROL_CHARACTERS)
    if pc.any(control).as_py():
        first = ids.filter(control)[0].as_py()
        point = next(c for c in first if unicodedata.category(c) in {"Cc", "Cf"})
        _refuse(
            control,
            "ID_CONTROL_CHAR",
            f"{what}: ids in {column!r} hold invisible characters such as U+{ord(point):04X}. "
            "Remove them at the source.",
            column,
        )
    _refuse(
        pc.match_substring_regex(ids, OUTER_BLANKS),
        "ID_WHITESPACE",
        f"{what}: ids in {column!r} begin or end with a blank. Trim them at the source, or ask for "
        "it: trim=True (`--trim`).",
        column,
    )
    _refuse(
        pc.greater(pc.binary_length(ids), MAX_ID_BYTES),
        "ID_TOO_LONG",
        f"{what}: ids in {column!r} are longer than {MAX_ID_BYTES} bytes. Give the "
        "column of the ids, not free text.",
        column,
    )
    normal = _composed(ids, column=column, what=what)
    return pd.Series(normal.to_pandas().to_numpy(), index=series.index, dtype="str", name=column)


def personal_id_warning(units: pd.Series) -> Check | None:
    """A warning when ids look like e-mail addresses or telephone numbers."""
    looks = pc.match_substring_regex(pa.array(units, type=pa.string()), LOOKS_PERSONAL)
    count = int(pc.sum(looks).as_py() or 0)
    if not count:
        return None
    return warning(
        "ID_LOOKS_PII",
        value=count,
        remedy="Replace personal data in ids by a pseudonym before the import.",
    )


def require_unique(
    units: pd.Series, *, what: str, remedy: str = "Aggregate first: sum, mean or first."
) -> None:
    """Refuse a table that should hold one row per unit and does not."""
    repeated = units.duplicated(keep="first").to_numpy()
    _refuse(
        pa.array(repeated),
        "ID_DUPLICATE",
        f"{what}: one row per unit is expected. {remedy}",
        UNIT,
    )


def require_rows(table: pd.DataFrame, *, what: str) -> None:
    """Refuse to read a table without rows. Errors: EMPTY_INPUT."""
    if table.empty:
        raise DataError(
            f"{what}: there are no rows. An empty table is taken for a broken one, never for "
            "customers who did nothing: give the whole table.",
            code="EMPTY_INPUT",
        )


def rows_by_id(units: pd.Series, *, among: pd.Series) -> npt.NDArray[np.int64]:
    """Row of `among` that holds each id, counted from 0; -1 where none does. Returns (n_units,)."""
    places = pc.index_in(_arrow_text(units), value_set=_arrow_text(among))
    return np.asarray(pc.fill_null(places, -1).to_numpy(zero_copy_only=False), dtype=np.int64)


def require_exportable(units: pd.Series, *, what: str) -> None:
    """Refuse ids that a spreadsheet would run as a formula; escaping them would break joins."""
    _refuse(
        pc.match_substring_regex(pa.array(units, type=pa.string()), FORMULA_START),
        "ID_FORMULA",
        f"{what}: ids begin with a character that a spreadsheet runs as a formula. Change the ids.",
        UNIT,
    )


def require_labels(labels: pd.Series, *, what: str) -> None:
    """Refuse a column of names that holds what is no text, such as a list. Errors: ARM_UNKNOWN."""
    if labels.dtype != object:
        return
    _refuse(
        pa.array([not isinstance(label, str) for label in labels]) if len(labels) else pa.array([]),
        "ARM_UNKNOWN",
        f"{what}: column {labels.name!r} must hold names as text. Write the names of the arms.",
        str(labels.name),
    )


def write_parquet(frame: pd.DataFrame, path: str | Path) -> str:
    """Write a frame whole or not at all, with page checksums; gives the file's SHA-256.

    Errors: FEATURE_MIXED for a column of several types, VALUE_RANGE for numbers beyond 64 bits and
    for half characters.
    """
    table = arrow_table(frame)
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True, compression="zstd")
    return file_digest(path)


def read_parquet(path: str | Path, *, what: str) -> pd.DataFrame:
    """Read a parquet file, verifying its page checksums."""
    _require_file(path, what=what)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        code = "FILE_CHECKSUM" if "checksum" in str(error).lower() else "FILE_UNREADABLE"
        raise DataError(
            f"{what}: {Path(path).name} is not a whole parquet file ({_first_line(error)}). "
            "Restore it or write it again.",
            code=code,
        ) from error
    return pd.DataFrame(table.to_pandas())


def read_csv(path: str | Path, *, what: str) -> pd.DataFrame:
    """Read a comma-separated UTF-8 file; ids stay text, and only an empty field is missing."""
    _require_file(path, what=what)
    content = Path(path).read_bytes()
    if Path(path).suffix == ".gz":
        content = _gunzip(content, name=Path(path).name, what=what)
    if b"\x00" in content:
        row = content[: content.index(b"\x00")].count(b"\n")
        raise DataError(
            f"{what}: {Path(path).name} holds a NUL byte near row {row}. Export it again as UTF-8.",
            code="CSV_MALFORMED",
            rows=[row],
        )
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n")
        raise DataError(
            f"{what}: {Path(path).name} is not UTF-8 (row {row}). Export it again as UTF-8.",
            code="CSV_MALFORMED",
            rows=[row],
        ) from error
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(TEXT_COLUMNS, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
    )
    try:
        table = pyarrow.csv.read_csv(pa.BufferReader(content), convert_options=convert)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{what}: {Path(path).name} is not a well-formed CSV file ({_first_line(error)}). "
            "Export it again: comma-separated, UTF-8, the same number of fields in every row.",
            code="CSV_MALFORMED",
        ) from error
    return pd.DataFrame(table.to_pandas())


def frame_digest(frame: pd.DataFrame) -> str:
    """SHA-256 of a frame's columns, types and values; equal frames give equal digests."""
    digest = hashlib.sha256()
    for name in frame.columns:
        digest.update(f"{name}:{frame[name].dtype};".encode())
        digest.update(_hashes(frame[name]).tobytes())
    return digest.hexdigest()


def _hashes(column: pd.Series) -> npt.NDArray[np.uint64]:
    """A number per value; what cannot be hashed itself, such as a list, is by how it reads."""
    try:
        return np.asarray(pd.util.hash_pandas_object(column, index=False))
    except (TypeError, UnicodeEncodeError):
        return np.asarray(pd.util.hash_pandas_object(column.map(repr), index=False))


def _to_pandas(source: Table, *, what: str) -> pd.DataFrame:
    """A frame of its own, whose columns have names that are text."""
    frame = _frame_of(source, what=what)
    if not all(isinstance(name, str) for name in frame.columns):
        frame.columns = pd.Index([str(name) for name in frame.columns])
    return frame


def _frame_of(source: Table, *, what: str) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return source.copy(deep=False).reset_index(drop=True)
    if isinstance(source, str | Path):
        read = read_csv if str(source).endswith((".csv", ".csv.gz")) else read_parquet
        return read(source, what=what)
    try:
        native = nw.from_native(source)
    except TypeError:
        if hasattr(source, "to_pandas"):
            return pd.DataFrame(source.to_pandas()).reset_index(drop=True)
        raise DataError(
            f"{what}: a table is expected (pandas, polars, arrow, DuckDB relation or a path), "
            f"got {type(source).__name__}.",
            code="NOT_A_TABLE",
        ) from None
    collected = native.collect() if isinstance(native, nw.LazyFrame) else native
    return pd.DataFrame(collected.to_pandas()).reset_index(drop=True)


def arrow_table(frame: pd.DataFrame) -> pa.Table:
    """A frame as an Arrow table. Errors: FEATURE_MIXED, VALUE_RANGE (see `write_parquet`)."""
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        refused, code, what = error, "FEATURE_MIXED", "values of several types, or of none"
        remedy = "Write numbers as numbers and texts as texts."
    except (OverflowError, UnicodeEncodeError) as error:
        refused, code = error, "VALUE_RANGE"
        what = "whole numbers beyond 64 bits, or half characters (U+D800 to U+DFFF)"
        remedy = "Write such numbers as text, and read texts as UTF-8."
    name = next((str(name) for name in frame.columns if not _fits_arrow(frame[name])), "?")
    raise DataError(
        f"Column {name!r} holds {what}, so the table cannot be kept. {remedy}",
        code=code,
        column=name,
    ) from refused


def _fits_arrow(column: pd.Series) -> bool:
    try:
        pa.array(column, from_pandas=True)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return False
    return True


def _require_file(path: str | Path, *, what: str) -> None:
    if not is_file(path):
        shown = repr(str(path)[:MAX_NAME_SHOWN])
        raise DataError(
            f"{what}: there is no file {shown}. Give the path of a parquet or CSV file.",
            code="FILE_MISSING",
        )


def _gunzip(content: bytes, *, name: str, what: str) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{what}: {name} is not a whole gzip file. Copy it again.", code="FILE_UNREADABLE"
        ) from error


def _require_columns(frame: pd.DataFrame, names: Sequence[str], *, what: str) -> None:
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise DataError(
            f"{what}: column {twice[0]!r} is there twice. Rename one of them.",
            code="FEATURE_DUPLICATE",
            column=str(twice[0]),
        )
    missing = [name for name in dict.fromkeys(names) if name not in frame.columns]
    if missing:
        raise DataError(
            f"{what}: column {missing[0]!r} is missing (needed: {', '.join(missing)}; "
            f"found: {', '.join(map(str, frame.columns[:12]))}).",
            code="COLUMN_MISSING",
            column=missing[0],
        )


def _ids_as_text(series: pd.Series, *, column: str, what: str) -> pa.Array:
    if series.empty:  # of whatever type: there is nothing in it that could be read wrongly
        return pa.array([], type=pa.string())
    missing = series.isna()
    _refuse(
        pa.array(missing.to_numpy()),
        "ID_MISSING",
        f"{what}: column {column!r} must hold an id in every row. Remove or repair those rows.",
        column,
    )
    if pd.api.types.is_float_dtype(series.dtype) or pd.api.types.is_bool_dtype(series.dtype):
        raise DataError(
            f"{what}: ids in {column!r} are {series.dtype} numbers, which may already have merged "
            "two customers. Read the column as text.",
            code="ID_NOT_TEXT",
            column=column,
        )
    if series.dtype == object and pd.api.types.infer_dtype(series) not in {"string", "integer"}:
        _refuse(
            pa.array([isinstance(value, NO_IDS) for value in series]),
            "ID_NOT_TEXT",
            f"{what}: ids in {column!r} are neither text nor whole numbers. Give them as text.",
            column,
        )
    try:
        return _one_chunk(pa.array(series.astype("str"), type=pa.string()))
    except UnicodeEncodeError:
        _refuse(
            pa.array([isinstance(v, str) and bool(HALF_CHARACTER.search(v)) for v in series]),
            "ID_CONTROL_CHAR",
            f"{what}: ids in {column!r} hold half characters (U+D800 to U+DFFF). Read the file "
            "again, as UTF-8.",
            column,
        )
        raise


def _refuse(bad: Any, code: str, message: str, column: str) -> None:
    """Raise when any row is bad, with the count and the first row numbers (from 1)."""
    count = int(pc.sum(bad).as_py() or 0)
    if not count:
        return
    rows = pc.indices_nonzero(bad)[:MAX_ROWS_SHOWN].to_pylist()
    shown = ", ".join(str(row + 1) for row in rows)
    raise DataError(
        f"{message} Found in {count} row(s), first: {shown}.",
        code=code,
        column=column,
        count=count,
        rows=[row + 1 for row in rows],
    )


def _composed(ids: pa.Array, *, column: str, what: str) -> pa.Array:
    """Ids in Unicode NFC; refused when two spellings become one id."""
    ascii_only = pc.string_is_ascii(ids)
    if pc.all(ascii_only).as_py():
        return ids
    texts = ids.to_pylist()  # unicodedata, because Arrow's own normaliser leaves NFD as it is
    spelling: dict[str, str] = {}
    clash = [False] * len(texts)
    for row in pc.indices_nonzero(pc.invert(ascii_only)).to_pylist():
        given = texts[row]
        texts[row] = unicodedata.normalize("NFC", given)
        clash[row] = spelling.setdefault(texts[row], given) != given
    _refuse(
        pa.array(clash),
        "ID_UNICODE_FORM",
        f"{what}: two ids in {column!r} look the same but are spelled in different Unicode forms. "
        "Decide at the source whether they are one customer.",
        column,
    )
    return pa.array(texts, type=pa.string())


def _repeated(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Values that are there more than once."""
    counts = _one_chunk(pc.value_counts(values))
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


def _one_chunk(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _arrow_text(ids: pd.Series) -> pa.Array:
    return _one_chunk(pa.array(ids, type=pa.string()))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
