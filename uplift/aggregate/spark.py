"""A Spark frame: the same query through `spark.sql`, and only the cells come back."""

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift.aggregate.cells import Key
from uplift.aggregate.one_pass import Look
from uplift.aggregate.query import Query
from uplift.aggregate.sources import kinds_of, look_by_query, require_columns, split_rows
from uplift.aggregate.syntax import SYNTAX, Kind, Syntax

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SparkPart:
    """The rows of a frame, through its session."""

    session: Any

    def rows(self, sql: str, *, n_keys: int) -> tuple[list[Key], Array]:
        """Answer of a query over the frame."""
        return split_rows([tuple(row) for row in self.session.sql(sql).collect()], n_keys)


@dataclass(frozen=True, eq=False)
class SparkSource:
    """A frame in Spark; fields as in `Source`."""

    types: Mapping[str, str]
    table: tuple[str, ...]
    parts: Sequence[SparkPart]
    syntax: Syntax = SYNTAX["spark"]

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Kinds of the columns that hold numbers."""
        return kinds_of(self.types)

    def first_look(self, query: Query) -> list[Look]:
        """Each wanted column in the first rows."""
        return look_by_query(self.parts[0], query)


@contextlib.contextmanager
def spark_source(frame: Any, columns: Sequence[str] | None) -> Iterator[SparkSource]:
    """A frame under a name of its own for as long as it is read."""
    columns = require_columns(frame.columns, columns)
    types = dict(frame.dtypes)
    session, view = frame.sparkSession, f"uplift_{uuid.uuid4().hex}"
    frame.createOrReplaceTempView(view)
    try:
        yield SparkSource({name: types[name] for name in columns}, (view,), [SparkPart(session)])
    finally:
        session.catalog.dropTempView(view)
