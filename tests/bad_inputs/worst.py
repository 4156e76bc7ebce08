"""The worst tables and files that a door can be told."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Change = Callable[[pd.DataFrame], Any]


def column(name: str, value: Any) -> Change:
    """Every row of a column holds a value; a list of them is repeated."""

    def change(table):
        values = value if isinstance(value, list) else [value]
        rows = [values[i % len(values)] for i in range(len(table))]
        return table.assign(**{name: pd.Series(rows, index=table.index, dtype=object)})

    return change


def cast(name: str, kind: str) -> Change:
    return lambda table: table.assign(**{name: table[name].astype(kind)})


def every(value: Any) -> Change:
    """Every column but the ids holds a value."""

    def change(table):
        for name in table.columns.drop("unit"):
            table = column(name, value)(table)
        return table

    return change


VALUES: dict[str, Any] = {
    "nothing": None,
    "not a number": np.nan,
    "infinity": np.inf,
    "the largest float": 1.7e308,
    "a number below zero": -1.0,
    "zeros": 0,
    "2^63": 2**63,
    "2^70": 2**70,
    "text": "x",
    "empty text": "",
    "12,50": "12,50",
    "mixed types": [1, "1", None],
    "truth values": [True, False],
    "a day": datetime(2017, 7, 3),
    "times with and without a zone": [datetime(2017, 7, 3), datetime(2017, 7, 3, tzinfo=UTC)],
    "a day of year 9999": "9999-12-31T23:59:59",
    "a day of year 1": "0001-01-01",
    "decimals": Decimal("1.5"),
    "bytes": b"x",
    "mappings": {"a": 1},
    "lists": [[1, 2]],
    "complex numbers": 1j,
    "half characters": "a\udc80",
    "a script": "<script>alert(1)</script>",
    "a formula": "=1+1",
    "a control character": "a\0b\u202e",
}
IDS: dict[str, Change] = {
    "ids that are all one": column("unit", "the-same"),
    "ids that are numbers": lambda table: table.assign(unit=range(len(table))),
    "ids of 2^70": lambda table: table.assign(
        unit=pd.Series([2**70 + i for i in range(len(table))], index=table.index, dtype=object)
    ),
    "ids that are categories": cast("unit", "category"),
    "ids that are times": lambda table: table.assign(
        unit=pd.date_range("2017-01-01", periods=len(table))
    ),
    **{
        f"ids that are {name}": column("unit", VALUES[name])
        for name in (
            "mixed types",
            "truth values",
            "bytes",
            "mappings",
            "lists",
            "half characters",
            "not a number",
            "complex numbers",
            "decimals",
            "a formula",
        )
    },
}
SHAPES: dict[str, Change] = {
    "no rows": lambda table: table.head(0),
    "no columns": lambda table: pd.DataFrame(index=table.index),
    "nothing at all": lambda table: pd.DataFrame(),
    "no ids": lambda table: table.drop(columns="unit"),
    "ids only": lambda table: table[["unit"]],
    "one row": lambda table: table.head(1),
    "two rows": lambda table: table.head(2),
    "every row twice": lambda table: pd.concat([table, table]),
    "a column twice": lambda table: pd.concat([table, table], axis=1),
    "columns that are numbers": lambda table: table.rename(
        columns={name: i for i, name in enumerate(table.columns) if name != "unit"}
    ).assign(**{"unit": table["unit"]}),
    "columns with no name": lambda table: table.rename(
        columns={name: None for name in table.columns if name != "unit"}
    ),
    "columns of several levels": lambda table: pd.concat({"a": table}, axis=1),
    "column names that are SQL": lambda table: table.assign(**{"1) OR 1=1; --": 1, "<b>": 2}),
    "customers as the index": lambda table: table.set_index("unit"),
    "an index of nothing": lambda table: table.set_axis([None] * len(table)),
}
TABLES: dict[str, Change] = {
    **SHAPES,
    **IDS,
    **{f"columns of {name}": every(value) for name, value in VALUES.items()},
}
NO_TABLES: dict[str, Any] = {
    "None": None,
    "a number": 42,
    "a list": [1, 2],
    "a mapping": {},
    "a series": pd.Series([1]),
    "an array": np.zeros((2, 2)),
    "a missing file": "no/such/file.parquet",
    "a missing CSV": Path("no_such_file.csv"),
    "a folder": Path(),
    "an empty path": "",
}


def columns_of(table: pd.DataFrame) -> Iterator[tuple[str, Change]]:
    """Each column alone with each of the values."""
    for name in table.columns.drop("unit"):
        for given, value in VALUES.items():
            yield f"{name} of {given}", column(name, value)


def files(folder: Path, good: pd.DataFrame) -> Iterator[tuple[str, Path]]:
    """Files that are none: each by what is wrong with it."""
    good.to_parquet(folder / "good.parquet")
    whole = (folder / "good.parquet").read_bytes()
    text = good.to_csv(index=False).encode()
    contents = {
        "empty.parquet": b"",
        "cut.parquet": whole[: len(whole) // 2],
        "text.parquet": text,
        "noise.parquet": bytes(range(256)) * 9,
        "empty.csv": b"",
        "line.csv": b"\n",
        "bom.csv": b"\xef\xbb\xbf",
        "nul.csv": text[:40] + b"\0" + text[40:],
        "latin.csv": text + "Jos\u00e9".encode("latin-1") + b"\n",
        "ragged.csv": text + b"a,b,c,d,e,f,g,h,i\n",
        "quote.csv": text + b'"open\n',
        "cr.csv": text.replace(b"\n", b"\r"),
        "header.csv": text.splitlines(keepends=True)[0],
        "wide.csv": b",".join(b"c%d" % i for i in range(2_000)) + b"\n",
        "binary.csv": whole,
        "cut.csv.gz": b"\x1f\x8b\x08\x00broken",
        "sheet.xlsx": b"PK\x03\x04",
        "no_ending": whole,
    }
    for name, content in contents.items():
        file = folder / name
        file.write_bytes(content)
        yield name, file
    yield "a missing file", folder / "missing.parquet"
    yield "a missing CSV", folder / "missing.csv"
    yield "a folder", folder
    yield "a name that is too long", folder / ("x" * 300)
    yield "a name of half a character", folder / "a\udc80.csv"
