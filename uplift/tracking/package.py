"""The folder a model travels in: data only, every file known by its digest, nothing to unpickle.

    package.json   what it is, its features, and the SHA-256 of every other file
    scoring.json   calibration, intervals, costs and margin that turn effects into profit
    example.json   a few made-up customers and the scores they must get, bit for bit
    model/         JSON and LightGBM text (see `models.store`)

The digest of `package.json` therefore stands for the whole folder. It is compared before anything
is parsed, because LightGBM's parser aborts the process on a damaged file; without a digest from
elsewhere the model is doubted (see `models.store`).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from uplift.checks import Check
from uplift.errors import DataError, DefinitionError, StateError
from uplift.evaluation.scoring_rules import apply_rules
from uplift.files import file_digest, write_text
from uplift.models.encoding import Encoder, Kind
from uplift.models.learners import EffectModel
from uplift.models.store import load_model, save_model
from uplift.strict_json import parse_json
from uplift.suite import Array, Model
from uplift.table import canonical_json

FORMAT = 1
CARD = "package.json"
RULES = "scoring.json"
EXAMPLE = "example.json"
MODEL_FOLDER = "model"
MAX_BYTES = 100_000_000  # of each of them
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
RECOMMENDED = "recommended_arm"
EXPECTED_PROFIT = "expected_profit"
PER_ARM = ("effect", "effect_low", "effect_high", "profit")


@dataclass(frozen=True)
class Card:
    """What a package says about itself.

    definition  digest of the experiment's definition
    candidate   name of the model in its suite
    features    name and kind of each input, in the model's order
    """

    experiment: str
    definition: str
    outcome: str
    arms: tuple[str, ...]
    candidate: str
    features: tuple[tuple[str, Kind], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(name for name, _ in self.features)

    @property
    def score_columns(self) -> tuple[str, ...]:
        """Columns of a score table, in order."""
        per_arm = [f"{kind}_{arm}" for kind in PER_ARM for arm in self.arms[1:]]
        return (RECOMMENDED, EXPECTED_PROFIT, *per_arm)


@dataclass(frozen=True, eq=False)
class Package:
    """A model read back from its folder, with what its effects are worth.

    digest   SHA-256 of `package.json`, which stands for all files
    rules    as `Roi.scoring_rules` gave them
    example  made-up customers, one row each
    expected the scores recorded for them when the package was written
    """

    card: Card
    digest: str
    model: EffectModel = field(repr=False)
    rules: Mapping[str, Any] = field(repr=False)
    example: pd.DataFrame = field(repr=False)
    expected: pd.DataFrame = field(repr=False)

    def score(self, customers: pd.DataFrame) -> pd.DataFrame:
        """Scores of customers, one row each and in their order; see `Card.score_columns`.

        Refused: FEATURE_MISSING, FEATURE_DTYPE, FEATURE_NOT_FINITE. Other columns are ignored.
        """
        inputs = require_features(customers, self.card.columns)
        n_treatments = len(self.card.arms) - 1
        effects = self.model.predict(inputs) if len(inputs) else np.zeros((0, n_treatments))
        return _wide(effects, self.card, self.rules)

    def unseen(self, customers: pd.DataFrame) -> tuple[Check, ...]:
        """A warning per category column with levels that training did not know, with its share."""
        inputs = require_features(customers, self.card.columns)
        return self.model.encoder_.unseen(inputs) if len(inputs) else ()

    def differing_columns(self) -> tuple[str, ...]:
        """Columns in which the example does not score exactly as recorded; none is right."""
        found = self.score(self.example)
        return tuple(
            name
            for name in self.card.score_columns
            if name not in self.expected or not _same_bits(found[name], self.expected[name])
        )


def write_package(
    folder: Path, *, card: Card, model: EffectModel, rules: Mapping[str, Any], example: pd.DataFrame
) -> str:
    """Write a package into an empty folder; gives its digest.

    example  rows of features to record scores for (see `example_of`)
    """
    folder.mkdir(parents=True, exist_ok=True)
    model_files = save_model(model, folder / MODEL_FOLDER)
    files = {f"{MODEL_FOLDER}/{name}": digest for name, digest in model_files.items()}
    files[RULES] = write_text(canonical_json(rules), folder / RULES)
    plain_rules = json.loads((folder / RULES).read_text("utf-8"))
    loaded = load_model(folder / MODEL_FOLDER, digests=model_files)
    scores = _wide(loaded.predict(example), card, plain_rules)
    content = {"customers": _columns(example), "scores": _columns(scores)}
    files[EXAMPLE] = write_text(canonical_json(content), folder / EXAMPLE)
    plain = {"format": FORMAT, "card": card, "files": files}
    return write_text(canonical_json(plain), folder / CARD)


def read_package(folder: Path, *, digest: str | None = None) -> Package:
    """Read a package after every byte of it was found to be as recorded.

    digest  the one recorded elsewhere (in the model registry); None trusts `package.json`

    Refused: MODEL_FILES_MISSING, FILE_CHECKSUM, MODEL_FORMAT.
    """
    content = _read(folder, CARD)
    found = hashlib.sha256(content).hexdigest()
    if digest is not None and found != digest:
        raise DataError(
            f"The model's {CARD} has changed since it was registered: SHA-256 {found[:12]}… found, "
            f"{digest[:12]}… recorded. Restore the files or promote another version.",
            code="FILE_CHECKSUM",
        )
    plain = _parsed(content, CARD)
    if plain.get("format") != FORMAT:
        raise DataError(
            f"The model's package has format {plain.get('format')!r}, this program reads {FORMAT}. "
            "Score it with the version of uplift that wrote it, or train again.",
            code="MODEL_FORMAT",
        )
    try:
        return _package_of(plain, folder, found, vouched=digest is not None)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{CARD} does not describe a model of this package ({error}). Restore the folder as it "
            "was registered.",
            code="MODEL_FORMAT",
        ) from error


def _package_of(plain: Mapping[str, Any], folder: Path, found: str, *, vouched: bool) -> Package:
    """The package that a card describes, in a folder whose card has the digest found."""
    files = {str(name): str(value) for name, value in plain["files"].items()}
    _verify(folder, files)
    example = _parsed(_read(folder, EXAMPLE), EXAMPLE)
    card = _card(plain["card"])
    prefix = f"{MODEL_FOLDER}/"
    model_files = {n.removeprefix(prefix): d for n, d in files.items() if n.startswith(prefix)}
    return Package(
        card=card,
        digest=found,
        model=load_model(folder / MODEL_FOLDER, digests=model_files, vouched=vouched),
        rules=_parsed(_read(folder, RULES), RULES),
        example=_frame(example["customers"], {n: k == "category" for n, k in card.features}),
        expected=_frame(example["scores"], {n: n == RECOMMENDED for n in card.score_columns}),
    )


def storable(model: Model) -> EffectModel:
    """The model itself when it has a file format without code, as all of uplift's own have."""
    if isinstance(model, EffectModel):
        return model
    raise StateError(
        f"A {type(model).__name__} cannot be registered: only uplift's own learners and baselines "
        "are stored as data, without code. Make the ROI table with one of them.",
        code="MODEL_NOT_STORED",
    )


def example_of(encoder: Encoder, features: pd.DataFrame | None) -> pd.DataFrame:
    """A few made-up customers: quantiles of numbers, known categories in turn. Nobody's row.

    features  where quantiles are taken from; without it small whole numbers stand in
    """
    columns: dict[str, Any] = {}
    for feature in encoder.features:
        if feature.kind == "category":
            cycle = [feature.levels[i % len(feature.levels)] for i in range(len(QUANTILES))]
            columns[feature.name] = pd.Series(cycle, dtype="str")
        elif features is None:
            columns[feature.name] = np.arange(len(QUANTILES), dtype=np.float64)
        else:
            numbers = features[feature.name].astype("float64")
            columns[feature.name] = numbers.quantile(list(QUANTILES)).to_numpy(np.float64)
    return pd.DataFrame(columns, index=range(len(QUANTILES)))


def require_features(customers: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The model's inputs by name, in its order; FEATURE_MISSING names those that are not there."""
    missing = [name for name in names if name not in customers.columns]
    if missing:
        raise DataError(
            f"customers: {len(missing)} column(s) the model needs are missing: "
            f"{', '.join(missing)}. Build the customer table as it was built for training.",
            code="FEATURE_MISSING",
            column=missing[0],
            count=len(missing),
        )
    return customers[list(names)]


def _wide(effects: Array, card: Card, rules: Mapping[str, Any]) -> pd.DataFrame:
    """Effects (n_units, n_arms - 1) as one row per unit, with a column per figure and arm."""
    advice = apply_rules(effects, rules)
    n_units = len(effects)
    best = advice.recommended
    with_control = np.column_stack([np.zeros(n_units), advice.profit])
    columns: dict[str, Any] = {
        RECOMMENDED: pd.Series(np.asarray(card.arms, dtype=object)[best], dtype="str"),
        EXPECTED_PROFIT: with_control[np.arange(n_units), best],
    }
    for name in PER_ARM:
        figure: Array = getattr(advice, name)
        columns |= {f"{name}_{arm}": figure[:, k] for k, arm in enumerate(card.arms[1:])}
    return pd.DataFrame(columns, index=range(n_units))


def _verify(folder: Path, files: Mapping[str, str]) -> None:
    """Refuse a folder whose files are not exactly those listed."""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    unknown = sorted(there - set(files) - {CARD})
    if unknown:
        raise DataError(
            f"The model's folder holds {len(unknown)} file(s) its {CARD} does not list, first "
            f"{unknown[0]!r}. Restore the folder as it was registered.",
            code="FILE_CHECKSUM",
        )
    for name, recorded in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise DataError(f"{CARD} lists {name!r}, outside its folder.", code="MODEL_FORMAT")
        if name not in there:
            raise DataError(
                f"The model's file {name!r} is missing. Restore the folder as it was registered.",
                code="MODEL_FILES_MISSING",
            )
        found = file_digest(folder / name)
        if found != recorded:
            raise DataError(
                f"The model's file {name!r} has changed since it was registered: SHA-256 "
                f"{found[:12]}… found, {recorded[:12]}… recorded. Restore it or promote another "
                "version.",
                code="FILE_CHECKSUM",
            )


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.is_file():
        raise DataError(
            f"The model's file {name!r} is missing. Restore the folder as it was registered.",
            code="MODEL_FILES_MISSING",
        )
    return path.read_bytes()


def _parsed(content: bytes, name: str) -> dict[str, Any]:
    """The object in a file; MODEL_FORMAT when there is none."""
    try:
        plain = parse_json(content, name=name, max_bytes=MAX_BYTES).content
    except DefinitionError as error:
        raise DataError(
            f"{error} Restore the folder as it was registered.", code="MODEL_FORMAT"
        ) from error
    if not isinstance(plain, dict):
        raise DataError(
            f"{name} must hold an object. Restore the folder as it was registered.",
            code="MODEL_FORMAT",
        )
    return plain


def _card(plain: Mapping[str, Any]) -> Card:
    return Card(
        experiment=str(plain["experiment"]),
        definition=str(plain["definition"]),
        outcome=str(plain["outcome"]),
        arms=tuple(map(str, plain["arms"])),
        candidate=str(plain["candidate"]),
        features=tuple(
            (str(name), "category" if kind == "category" else "number")
            for name, kind in plain["features"]
        ),
    )


def _columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): frame[name].tolist() for name in frame.columns}


def _frame(columns: Mapping[str, Sequence[Any]], is_text: Mapping[str, bool]) -> pd.DataFrame:
    """Columns from JSON, where a missing number is null."""
    return pd.DataFrame(
        {
            name: pd.Series(values, dtype="str" if is_text[name] else "float64")
            for name, values in columns.items()
        }
    )


def _same_bits(one: pd.Series, other: pd.Series) -> bool:
    """Whether two columns hold exactly the same values, missing ones included."""
    return len(one) == len(other) and one.equals(other)
