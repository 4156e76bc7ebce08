"""Models and suites on disk: JSON, LightGBM text and plain numbers, nothing that can run code.

A model is a folder: `model.json` (kind, features with their levels, constants, digests) and one
file per forest: LightGBM's text, or the arrays of a causal forest's trees. Digests are compared
before anything is parsed. Predictions after a reload are the same bit for bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.checks import Check
from uplift.errors import DataError, DefinitionError, StateError
from uplift.files import require_digest, write_bytes, write_text
from uplift.frames import read_parquet, write_parquet
from uplift.models.boosting import Forest
from uplift.models.encoding import Encoder
from uplift.models.forest_bins import Bins
from uplift.models.forest_trees import HonestTrees
from uplift.models.kinds import kind_of, of_kind
from uplift.models.learners import EffectModel
from uplift.strict_json import parse_json
from uplift.suite import Candidate, Suite
from uplift.table import canonical_json

Array = npt.NDArray[np.float64]

FORMAT = 2  # since 2: forests read codes, and the edges of the codes are in the description
MAX_BYTES = 100_000_000  # of a model's or a suite's description
MODEL_FILE = "model.json"
SUITE_FILE = "suite.json"
UNITS_FILE = "units.parquet"


@dataclass(frozen=True)
class UnstoredModel:
    """Stands for a model of another library, whose effects were stored and whose code was not."""

    name: str

    def predict(self, X: Any) -> Array:
        """Refuses: MODEL_NOT_STORED."""
        raise StateError(
            f"{self.name} is a model of another library, which is not stored (no code in model "
            "files). Its out-of-fold effects are here; to score new customers, train it again.",
            code="MODEL_NOT_STORED",
        )


def save_model(model: EffectModel, folder: str | Path) -> dict[str, str]:
    """Write a fitted learner or baseline of this package; gives each file's SHA-256 by name."""
    kind = kind_of(model)
    target = Path(folder)
    constants, forests = model.parts()
    digests = dict(_write_forest(forests[name], target / name) for name in sorted(forests))
    document = {
        "format": FORMAT,
        "kind": kind,
        "n_arms": model.n_arms_,
        "parameters": model.get_params(),
        "features": model.encoder_.to_dict(),
        "coding": model.coding_.to_dict(),
        "constants": constants,
        "forests": digests,
    }
    text = canonical_json(document)
    return {MODEL_FILE: write_text(text, target / MODEL_FILE), **digests}


def load_model(folder: str | Path, digests: Mapping[str, str] | None = None) -> EffectModel:
    """Read a model that `save_model` wrote.

    digests  SHA-256 by file name, from where the model was registered; every file must match.
             Without them the forests must still match what `model.json` says of them.
    FILE_MISSING, FILE_CHECKSUM or MODEL_FORMAT when the folder is not what was written.
    """
    source = Path(folder)
    if digests is not None:
        for name, expected in digests.items():
            require_digest(_inside(source, name), expected)
    document = _read_json(source / MODEL_FILE)
    try:
        model: EffectModel = of_kind(document["kind"])(**document["parameters"])
        model.encoder_ = Encoder.from_dict(document["features"])
        model.n_arms_ = int(document["n_arms"])
        model.coding_ = Bins.from_dict(document["coding"])
        _require_same_features(model)
        forests = _read_forests(source, document["forests"], model.coding_)
        model.restore(document["constants"], forests)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{source.name}/{MODEL_FILE} is not a model of this package ({error}). "
            "Restore it, or train again.",
            code="MODEL_FORMAT",
        ) from error
    model.n_features_in_ = len(model.encoder_.columns)
    model.feature_names_in_ = np.array(model.encoder_.columns, dtype=object)
    return model


def save_suite(suite: Suite, folder: str | Path) -> dict[str, str]:
    """Write a suite: one row per unit, one folder per model; gives each file's SHA-256 by name.

    Models of other libraries are stored by their effects only.
    """
    target = Path(folder)
    digests: dict[str, str] = {}
    described = []
    for i, candidate in enumerate(suite.candidates.values()):
        stored = isinstance(candidate.model, EffectModel)
        place = f"model_{i:02d}"
        if isinstance(candidate.model, EffectModel):
            written = save_model(candidate.model, target / place)
            digests |= {f"{place}/{name}": digest for name, digest in written.items()}
        described.append(_described(candidate, folder=place if stored else None))
    digests[UNITS_FILE] = write_parquet(_units_frame(suite), target / UNITS_FILE)
    document = {
        "format": FORMAT,
        "outcome": suite.outcome,
        "arms": suite.arms,
        "features": suite.features,
        "seed": suite.seed,
        "outcomes": list(suite.predicted),
        "notices": suite.notices,
        "preferred": suite.preferred,
        "candidates": described,
        "files": digests,
    }
    return {**digests, SUITE_FILE: write_text(canonical_json(document), target / SUITE_FILE)}


def load_suite(folder: str | Path, digests: Mapping[str, str] | None = None) -> Suite:
    """Read a suite that `save_suite` wrote; every file must have the digest it was written with."""
    source = Path(folder)
    if digests is not None and SUITE_FILE in digests:
        require_digest(_inside(source, SUITE_FILE), digests[SUITE_FILE])
    document = _read_json(source / SUITE_FILE)
    try:
        files = dict(document["files"])
        require_digest(_inside(source, UNITS_FILE), files[UNITS_FILE])
        units = read_parquet(source / UNITS_FILE, what="suite")
        return _suite_from(document, units, source)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{source.name}/{SUITE_FILE} is not a suite of this package ({error}). "
            "Restore it, or train again.",
            code="MODEL_FORMAT",
        ) from error


def _require_same_features(model: EffectModel) -> None:
    """ValueError when the codes are of other features than the encoder's."""
    categories = [feature.kind == "category" for feature in model.encoder_.features]
    if model.coding_.categorical.tolist() != categories:
        raise ValueError("codes of other features")


def _write_forest(forest: Forest | HonestTrees, place: Path) -> tuple[str, str]:
    """Name and SHA-256 of the file that holds a forest."""
    if isinstance(forest, HonestTrees):
        path = place.with_name(f"{place.name}.bin")
        return path.name, write_bytes(forest.to_bytes(), path)
    path = place.with_name(f"{place.name}.txt")
    return path.name, write_text(forest.text(), path)


def _read_forests(
    source: Path, recorded: Mapping[str, str], bins: Bins
) -> dict[str, Forest | HonestTrees]:
    """Forests by name, each read only after its digest matched."""
    forests: dict[str, Forest | HonestTrees] = {}
    for name, digest in recorded.items():
        path = _inside(source, name)
        require_digest(path, digest)
        if path.suffix == ".bin":
            forests[path.stem] = HonestTrees.from_bytes(path.read_bytes())
        else:
            forests[path.stem] = Forest.from_text(path.read_text(encoding="utf-8"), bins)
    return forests


def _read_json(path: Path) -> dict[str, Any]:
    _inside(path.parent, path.name)
    try:
        document = parse_json(path.read_bytes(), name=path.name, max_bytes=MAX_BYTES).content
    except DefinitionError as error:
        raise DataError(f"{error} Restore the file, or train again.", code=error.code) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise DataError(
            f"{path.name} must have format {FORMAT}, found {found!r}. Train again, or read it with "
            "the version that wrote it.",
            code="MODEL_FORMAT",
        )
    return document


def _inside(folder: Path, name: str) -> Path:
    """A file or folder directly in the folder, which must be there."""
    path = folder / name
    if Path(name).name != name or name == ".." or not path.exists():
        raise DataError(
            f"{folder.name}: the file {name!r} is not there. Restore the folder, or train again.",
            code="FILE_MISSING",
        )
    return path


def _described(candidate: Candidate, *, folder: str | None) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "kind": candidate.kind,
        "predicts": candidate.predicts,
        "loss": candidate.loss,
        "loss_std_error": candidate.loss_std_error,
        "folder": folder,
    }


def _units_frame(suite: Suite) -> pd.DataFrame:
    """One row per unit: id, fold, and every array of the suite by position."""
    columns: dict[str, Any] = {"unit": suite.units, "fold": suite.fold}
    for i, name in enumerate(suite.predicted):
        columns |= _columns(f"predicted_{i}", suite.predicted[name])
        columns |= _columns(f"dr_outcomes_{i}", suite.dr_outcomes[name])
    for i, candidate in enumerate(suite.candidates.values()):
        columns |= _columns(f"effects_{i}", candidate.effects)
    return pd.DataFrame(columns)


def _columns(name: str, values: Array) -> dict[str, Array]:
    return {f"{name}_{k}": values[:, k] for k in range(values.shape[1])}


def _array(units: pd.DataFrame, name: str, *, width: int) -> Array:
    return units[[f"{name}_{k}" for k in range(width)]].to_numpy(np.float64)


def _suite_from(document: Mapping[str, Any], units: pd.DataFrame, source: Path) -> Suite:
    arms, outcomes = tuple(document["arms"]), list(document["outcomes"])
    n_arms = len(arms)
    candidates = [
        _candidate_from(plain, _array(units, f"effects_{i}", width=n_arms - 1), document, source)
        for i, plain in enumerate(document["candidates"])
    ]
    return Suite(
        outcome=str(document["outcome"]),
        arms=arms,
        features=tuple(document["features"]),
        units=units["unit"].to_numpy(dtype=object),
        fold=units["fold"].to_numpy(np.int64),
        predicted={
            name: _array(units, f"predicted_{i}", width=n_arms) for i, name in enumerate(outcomes)
        },
        dr_outcomes={
            name: _array(units, f"dr_outcomes_{i}", width=n_arms) for i, name in enumerate(outcomes)
        },
        candidates={candidate.name: candidate for candidate in candidates},
        seed=int(document["seed"]),
        notices=tuple(Check(**plain) for plain in document["notices"]),
        preferred=str(document["preferred"]),
    )


def _candidate_from(
    plain: Mapping[str, Any], effects: Array, document: Mapping[str, Any], source: Path
) -> Candidate:
    model: Any = UnstoredModel(str(plain["name"]))
    if plain["folder"] is not None:
        place = _inside(source, str(plain["folder"])).name
        prefix = f"{place}/"
        written = {k: v for k, v in document["files"].items() if k.startswith(prefix)}
        model = load_model(source / place, {k.removeprefix(prefix): v for k, v in written.items()})
    return Candidate(
        name=str(plain["name"]),
        kind=str(plain["kind"]),
        predicts=str(plain["predicts"]),
        effects=effects,
        model=model,
        loss=plain["loss"],
        loss_std_error=plain["loss_std_error"],
    )
