"""The MineThatData e-mail test (Hillstrom, 2008): 64,000 real customers in three arms.

The file is taken from a given path, $UPLIFT_DATA, the cache or the public address, and used only
when its bytes are the published ones.
"""

import gzip
import hashlib
import io
import os
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from uplift.datasets.cards import Card, card
from uplift.errors import DataError
from uplift.files import write_bytes
from uplift.frames import UNIT
from uplift.table import Column, Result, Table

PUBLIC_ADDRESS = (
    "http://www.minethatdata.com/"
    "Kevin_Hillstrom_MineThatData_E-MailAnalytics_DataMiningChallenge_2008.03.20.csv"
)
SHA256 = "ff9e59285e9dc3f5fa3e0975419e6631ea5bdccd65d818991473d2367e02979c"  # of the CSV's bytes
FILE_NAMES = ("hillstrom.csv.gz", "hillstrom.csv", PUBLIC_ADDRESS.rsplit("/", 1)[1])
ENVIRONMENT = "UPLIFT_DATA"
TIMEOUT_SECONDS = 10
ARMS = {"No E-Mail": "control", "Mens E-Mail": "mens_email", "Womens E-Mail": "womens_email"}
SENT_AT = datetime(2008, 3, 20, 13, tzinfo=UTC)  # nine in the morning in New York
OUTCOMES = ("visit", "conversion", "spend")
CATEGORIES = ("history_segment", "zip_code", "channel")
COLUMNS = (
    *("recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel"),
    *("segment", *OUTCOMES),
)


@dataclass(frozen=True, eq=False, repr=False)
class Hillstrom(Result):
    """The test as the road's three tables, one row per customer in each.

    customers  unit, as_of and features; nothing about the test
    assigned   the assignment of experiment `hillstrom_email`
    outcomes   unit, visit, conversion, spend within two weeks
    source     where the file was found
    """

    customers: pd.DataFrame = field(repr=False)
    assigned: pd.DataFrame = field(repr=False)
    outcomes: pd.DataFrame = field(repr=False)
    source: str

    @property
    def card(self) -> Card:
        """What the data are and what misleads in them."""
        return card("hillstrom")

    def table(self) -> Table:
        """Customers and mean outcomes per arm."""
        columns = [Column("arm"), Column("customers", kind="count")]
        columns += [Column(name, kind="number") for name in OUTCOMES]
        rows = []
        for arm in ARMS.values():
            outcomes = self.outcomes[(self.assigned["arm"] == arm).to_numpy()]
            means = [float(outcomes[name].mean()) for name in OUTCOMES]
            rows.append((arm, len(outcomes), *means))
        return Table(self.card.title, columns, rows)


def hillstrom(path: str | Path | None = None) -> Hillstrom:
    """The e-mail test, from `path` (a file or its folder) or wherever it can be found.

    Without a path: $UPLIFT_DATA (a file or a folder), then the cache, then the public address.
    DataError FILE_CHECKSUM when the bytes are not the published ones, DATA_UNAVAILABLE when the
    file is nowhere and cannot be fetched.
    """
    content, source = _find(path)
    table = pd.read_csv(io.BytesIO(content), keep_default_na=False)
    if tuple(table.columns) != COLUMNS:
        raise DataError(
            f"hillstrom: the columns must be {', '.join(COLUMNS)}; found "
            f"{', '.join(table.columns)}. Fetch the file again.",
            code="COLUMN_MISSING",
        )
    table.insert(0, UNIT, pd.Series([f"h{i:05d}" for i in range(1, len(table) + 1)], dtype="str"))
    return Hillstrom(_customers(table), _assigned(table), table[[UNIT, *OUTCOMES]], source)


def cache_folder() -> Path:
    """Where fetched data are kept: $XDG_CACHE_HOME/uplift, or ~/.cache/uplift."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "uplift"


def _find(path: str | Path | None) -> tuple[bytes, str]:
    """The file's bytes, unpacked and checked, and where they were found."""
    if path is not None:
        file = _file_at(Path(path))
        if file is None:
            raise DataError(
                f"hillstrom: there is no file {path}. Give hillstrom.csv, hillstrom.csv.gz or the "
                "folder that holds one of them.",
                code="FILE_MISSING",
            )
        return _read(file), str(file)
    places = [Path(os.environ[ENVIRONMENT])] if os.environ.get(ENVIRONMENT) else []
    for place in [*places, cache_folder()]:
        file = _file_at(place)
        if file is not None:
            return _read(file), str(file)
    return _fetch(), PUBLIC_ADDRESS


def _file_at(place: Path) -> Path | None:
    if place.is_file():
        return place
    return next((place / name for name in FILE_NAMES if (place / name).is_file()), None)


def _read(file: Path) -> bytes:
    content = file.read_bytes()
    if content[:2] == b"\x1f\x8b":  # the mark of gzip
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise DataError(
                f"hillstrom: {file} is not a whole gzip file ({error}). Fetch it again.",
                code="FILE_UNREADABLE",
            ) from error
    return _checked(content, source=str(file))


def _checked(content: bytes, *, source: str) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise DataError(
            f"hillstrom: {source} does not hold the published bytes: SHA-256 {found[:12]}… found, "
            f"{SHA256[:12]}… published. Remove the file and fetch it again.",
            code="FILE_CHECKSUM",
        )
    return content


def _fetch() -> bytes:
    """The published file, checked before it enters the cache."""
    try:
        with urllib.request.urlopen(PUBLIC_ADDRESS, timeout=TIMEOUT_SECONDS) as answer:
            content: bytes = answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise DataError(
            f"hillstrom: the file is not on this machine and {PUBLIC_ADDRESS} cannot be reached "
            f"({error}). Put the file as {cache_folder() / FILE_NAMES[1]}, or in a folder named by "
            f"${ENVIRONMENT}, or give its path.",
            code="DATA_UNAVAILABLE",
        ) from error
    write_bytes(_checked(content, source=PUBLIC_ADDRESS), cache_folder() / FILE_NAMES[1])
    return content


def _customers(table: pd.DataFrame) -> pd.DataFrame:
    customers = table.drop(columns=["segment", *OUTCOMES])
    customers = customers.astype(dict.fromkeys(CATEGORIES, "category"))
    customers.insert(1, "as_of", pd.Timestamp(SENT_AT))
    return customers


def _assigned(table: pd.DataFrame) -> pd.DataFrame:
    """The assignment as it must have been drawn: a third of the customers to each arm."""
    n_units = len(table)
    return pd.DataFrame(
        {
            "experiment": "hillstrom_email",
            "unit": table[UNIT],
            "arm": table["segment"].map(ARMS).astype("str"),
            "propensity": np.full(n_units, 1 / len(ARMS)),
            "stratum": pd.Series([""] * n_units, dtype="str"),
            "cluster": table[UNIT],
            "layer_slot": np.full(n_units, np.nan),  # how it was drawn is not published
            "assigned_at": pd.Timestamp(SENT_AT),
            "would_send": np.ones(n_units, dtype=bool),
        }
    )
