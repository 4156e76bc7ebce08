"""Features as one matrix of numbers, the same at training and at scoring.

Numbers stay numbers (missing is NaN); text and categories become codes of levels that are frozen
when the encoder is fitted. Columns are found by name, so their order never matters; what cannot be
a feature is refused with its name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.checks import Check, warning
from uplift.errors import DataError
from uplift.frames import read_frame
from uplift.models.feature_rows import Chosen, FeatureRows

Array = npt.NDArray[np.float64]
Kind = Literal["number", "category"]

MAX_LEVELS = 254  # one bin each; rarer levels are scored as missing
EXACT_INTEGERS = 2**53  # beyond it float64 merges neighbouring integers
NUMBERS_IN_OBJECTS = {"integer", "floating", "mixed-integer-float", "decimal", "boolean"}
TIMES_IN_OBJECTS = {"datetime", "datetime64", "date", "time", "timedelta", "timedelta64", "period"}


@dataclass(frozen=True)
class Feature:
    """One model input: a number, or a category with its known levels in order of their codes."""

    name: str
    kind: Kind
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Encoder:
    """What turns a table of features into the matrix that the models know.

    features  the inputs, in the order of the matrix's columns
    columns   the columns it was fitted on, those without information included
    notices   warnings of the fit: columns dropped, levels pooled, digits lost
    """

    features: tuple[Feature, ...]
    columns: tuple[str, ...]
    notices: tuple[Check, ...] = field(default=(), repr=False)

    @classmethod
    def fit(cls, X: Any) -> "Encoder":
        """Learn kinds and levels from any table or array.

        Constant and empty columns are dropped with a notice (FEATURE_EMPTY). Refused:
        FEATURE_DATETIME, FEATURE_MIXED, FEATURE_NOT_FINITE, FEATURE_DUPLICATE, FEATURE_DTYPE,
        FEATURE_NONE (no column is left) and EMPTY_INPUT.
        """
        frame = feature_frame(X)
        if not len(frame):
            raise DataError("features: there are no units to learn from.", code="EMPTY_INPUT")
        features: list[Feature] = []
        notices: list[Check] = []
        for name in frame.columns:
            feature, found = _learn_feature(frame[name])
            notices += found
            features += [feature] if feature else []
        if not features:
            raise DataError(
                "features: no column tells units apart, so there is nothing to learn an effect "
                "from. Give the customers' features.",
                code="FEATURE_NONE",
            )
        return cls(tuple(features), tuple(map(str, frame.columns)), tuple(notices))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def categorical(self) -> list[int]:
        """Positions of the categories among the inputs."""
        return [i for i, feature in enumerate(self.features) if feature.kind == "category"]

    def encode(self, X: Any) -> Array:
        """The matrix of a table, (n_units, n_features); other columns are ignored.

        A level that was not there at the fit is missing. Refused: FEATURE_MISSING, FEATURE_DTYPE
        (text where a number is known, or the other way round), FEATURE_NOT_FINITE.
        """
        frame = feature_frame(X)
        _require(frame, self.names)
        matrix = np.empty((len(frame), len(self.features)), dtype=np.float64)
        for i, feature in enumerate(self.features):
            matrix[:, i] = _encode_column(frame[feature.name], feature)
        return matrix

    def rows(self, X: Any) -> FeatureRows:
        """The rows of a table, each feature encoded when it is asked for; refused as in `encode`.

        Columns of a frame are read where they are, so no second matrix is held.
        """
        frame = feature_frame(X)
        _require(frame, self.names)

        def read(i: int, chosen: Chosen | None) -> Array:
            column = frame[self.features[i].name]
            return _encode_column(
                column if chosen is None else column.iloc[chosen], self.features[i]
            )

        return FeatureRows(read, n_rows=len(frame), n_features=len(self.features))

    def unseen(self, X: Any) -> tuple[Check, ...]:
        """A warning per category column that holds levels unknown to the models."""
        frame = feature_frame(X)
        _require(frame, self.names)
        checks = []
        for feature in (self.features[i] for i in self.categorical):
            text = _as_text(frame[feature.name])
            share = float((text.notna() & ~text.isin(feature.levels)).mean()) if len(text) else 0.0
            if share > 0:
                remedy = (
                    f"{feature.name}: {share:.1%} of units hold a level that training did not "
                    "know; they are scored as missing. Train again when this grows."
                )
                checks.append(warning("CATEGORY_UNSEEN", value=share, remedy=remedy))
        return tuple(checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for storage."""
        return {
            "columns": list(self.columns),
            "features": [
                {"name": f.name, "kind": f.kind, "levels": list(f.levels)} for f in self.features
            ],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Encoder":
        """The encoder that `to_dict` described."""
        features = tuple(
            Feature(str(f["name"]), _kind(f["kind"]), tuple(map(str, f["levels"])))
            for f in plain["features"]
        )
        return cls(features, tuple(map(str, plain["columns"])))


def feature_frame(X: Any) -> pd.DataFrame:
    """Any table or two-dimensional array as a frame; array columns are named x0, x1 and so on."""
    if isinstance(X, np.ndarray):
        if X.ndim != 2:
            raise DataError(
                f"features: an array must have two dimensions (units, features), got {X.ndim}.",
                code="FEATURE_SHAPE",
            )
        return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    frame = read_frame(X, what="features", unit=None)
    frame.columns = frame.columns.map(str)
    return frame


def _learn_feature(column: pd.Series) -> tuple[Feature | None, list[Check]]:
    name = str(column.name)
    kind = _kind_of(column)
    levels = _levels(column) if kind == "category" else ()
    values = _encode_column(column, Feature(name, kind, levels))
    if _is_constant(values):
        remedy = f"{name}: the same value in every row tells units not apart; it is left out."
        return None, [warning("FEATURE_EMPTY", value=name, remedy=remedy)]
    notices = []
    if len(levels) > MAX_LEVELS:
        levels = _most_frequent(column, levels)
        remedy = f"{name}: only the {MAX_LEVELS} most frequent levels count; others are missing."
        notices.append(warning("CATEGORY_MANY", value=name, remedy=remedy))
    if pd.api.types.is_integer_dtype(column.dtype) and np.nanmax(np.abs(values)) > EXACT_INTEGERS:
        remedy = f"{name}: integers beyond 2^53 lose digits. An id is not a feature."
        notices.append(warning("FEATURE_PRECISION", value=name, remedy=remedy))
    return Feature(name, kind, levels), notices


def _kind_of(column: pd.Series) -> Kind:
    """Number or category, or a refusal of what is neither."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        _kind_of_objects(column, dtype.categories)  # refuses levels of mixed types, and dates
        return "category"
    if pd.api.types.is_complex_dtype(dtype):
        raise _wrong_type(column, "numbers or text", str(dtype))
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        return "number"
    return _kind_of_objects(column, column)


def _kind_of_objects(column: pd.Series, values: Any) -> Kind:
    found = pd.api.types.infer_dtype(values, skipna=True)
    if found in TIMES_IN_OBJECTS:
        raise DataError(
            f"features: {column.name!r} holds dates or times, which no model can use as they are. "
            "Give the days between it and the assignment instead.",
            code="FEATURE_DATETIME",
            column=str(column.name),
        )
    if found in {"string", "empty"}:
        return "category"
    if found in NUMBERS_IN_OBJECTS:
        return "number"
    raise _mixed(column)


def _mixed(column: pd.Series) -> DataError:
    present = column[column.notna()]
    first = present.iloc[0]
    other = next((v for v in present if type(v) is not type(first)), first)
    rows = [int(np.flatnonzero(column.map(lambda v, x=x: v is x))[0]) + 1 for x in (first, other)]
    return DataError(
        f"features: {column.name!r} mixes {type(first).__name__} and {type(other).__name__}, "
        f"e.g. {first!r} in row {rows[0]} and {other!r} in row {rows[1]}. Make it one type.",
        code="FEATURE_MIXED",
        column=str(column.name),
        rows=rows,
    )


def _encode_column(column: pd.Series, feature: Feature) -> Array:
    """One column as numbers: codes of its levels, or its values."""
    is_text = isinstance(column.dtype, pd.CategoricalDtype) or (
        len(column) and column.notna().any() and _kind_of(column) == "category"
    )
    if feature.kind == "category":
        if not is_text and column.notna().any():
            raise _wrong_type(column, "categories (text)", str(column.dtype))
        codes = pd.Index(feature.levels, dtype="str").get_indexer(pd.Index(_as_text(column)))
        return np.where(codes < 0, np.nan, codes.astype(np.float64))
    if is_text:
        raise _wrong_type(column, "numbers", "text")
    values = column.astype("float64") if column.dtype == object else column
    numbers = np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    _refuse_infinite(numbers, name=feature.name)
    return numbers


def _refuse_infinite(numbers: Array, *, name: str) -> None:
    wrong = np.flatnonzero(np.isinf(numbers))
    if len(wrong):
        raise DataError(
            f"features: {name!r} is infinite in {len(wrong)} row(s), first in row {wrong[0] + 1}. "
            "Write a missing value instead, or repair the source.",
            code="FEATURE_NOT_FINITE",
            column=name,
            count=len(wrong),
            rows=[int(row) + 1 for row in wrong[:5]],
        )


def _wrong_type(column: pd.Series, expected: str, found: str) -> DataError:
    return DataError(
        f"features: {column.name!r} must hold {expected}, found {found}. "
        "Give it the type it had in training.",
        code="FEATURE_DTYPE",
        column=str(column.name),
    )


def _as_text(column: pd.Series) -> pd.Series:
    """Levels as text, missing values kept."""
    return column.astype("str").where(column.notna().to_numpy(), None)


def _levels(column: pd.Series) -> tuple[str, ...]:
    return tuple(sorted(_as_text(column).dropna().unique()))


def _most_frequent(column: pd.Series, levels: tuple[str, ...]) -> tuple[str, ...]:
    counts = _as_text(column).value_counts().reindex(list(levels))
    return tuple(sorted(counts.sort_values(ascending=False, kind="stable").index[:MAX_LEVELS]))


def _is_constant(values: Array) -> bool:
    missing = np.isnan(values)
    if missing.all():
        return True
    return not missing.any() and bool((values == values[0]).all())


def _require(frame: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(
            f"features: {len(missing)} column(s) the model needs are missing: "
            f"{', '.join(missing)}. Build the customer table as it was built for training.",
            code="FEATURE_MISSING",
            column=missing[0],
            count=len(missing),
        )


def _kind(value: Any) -> Kind:
    if value == "number":
        return "number"
    if value == "category":
        return "category"
    raise DataError(f"A feature is a number or a category, not {value!r}.", code="MODEL_FORMAT")
