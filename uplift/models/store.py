"""Models and suites on disk: JSON, LightGBM text and plain numbers, nothing that can run code.

A model is a folder: `model.json` (kind, features with their levels, constants, digests) and one
file per forest: LightGBM's text, or the arrays of a causal forest's trees. Digests are compared
before anything is parsed. Predictions after a reload are the same bit for bit.

Digests that are kept elsewhere (a registry) vouch for a folder. Those in the folder itself only say
that nothing was changed by accident, so such a folder is doubted: its forests are held to their
bounds and tried in a child process, and the model must score two customers.
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
from uplift.models.feature_rows import FeatureRows
from uplift.models.forest_bins import Bins
from uplift.models.forest_trees import HonestTrees
from uplift.models.kinds import kind_of, of_kind
from uplift.models.learners import EffectModel
from uplift.models.sealed_json import read_sealed, write_sealed
from uplift.models.tree_trial import try_forests
from uplift.suite import Candidate, Suite

Array = npt.NDArray[np.float64]

FORMAT = 3  # since 3: descriptions carry their own digest
MOST_ARMS = 1_000
MODEL_FILE = "model.json"
SUITE_FILE = "suite.json"
UNITS_FILE = "units.parquet"
MISFITS = (  # what parts that do not fit together may raise
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


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
    return {MODEL_FILE: write_sealed(document, target / MODEL_FILE), **digests}


def load_model(
    folder: str | Path, digests: Mapping[str, str] | None = None, *, vouched: bool | None = None
) -> EffectModel:
    """Read a model that `save_model` wrote.

    digests  SHA-256 by file name, from where the model was registered; every file must match.
             Without them the files must still match what `model.json` says of them and of itself.
    vouched  whether the digests were kept elsewhere than the folder; None means that they were,
             if they are given. A folder that nobody vouches for is doubted (see the module).

    FILE_MISSING, FILE_CHECKSUM, JSON_INVALID or MODEL_FORMAT when the folder is not what was
    written.
    """
    source = Path(folder)
    for name, expected in (digests or {}).items():
        require_digest(_inside(source, name), expected)
    doubted = not (digests is not None and MODEL_FILE in digests if vouched is None else vouched)
    document = read_sealed(_inside(source, MODEL_FILE), form=FORMAT)
    try:
        model = _model_from(document, source, doubted=doubted)
        if doubted:
            _require_scores(model)
    except (DefinitionError, *MISFITS) as error:
        raise DataError(
            f"{source.name}/{MODEL_FILE} is not a model of this package ({error}). "
            "Restore it, or train again.",
            code="MODEL_FORMAT",
        ) from error
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
    return {**digests, SUITE_FILE: write_sealed(document, target / SUITE_FILE)}


def load_suite(
    folder: str | Path, digests: Mapping[str, str] | None = None, *, vouched: bool | None = None
) -> Suite:
    """Read a suite that `save_suite` wrote; every file must have the digest it was written with.

    digests, vouched, refusals  as in `load_model`; the digest of `suite.json` stands for all files
    """
    source = Path(folder)
    if digests is not None and SUITE_FILE in digests:
        require_digest(_inside(source, SUITE_FILE), digests[SUITE_FILE])
        vouched = True if vouched is None else vouched
    document = read_sealed(_inside(source, SUITE_FILE), form=FORMAT)
    try:
        files = dict(document["files"])
        require_digest(_inside(source, UNITS_FILE), files[UNITS_FILE])
        units = read_parquet(source / UNITS_FILE, what="suite")
        return _suite_from(document, units, source, vouched=bool(vouched))
    except MISFITS as error:
        raise DataError(
            f"{source.name}/{SUITE_FILE} is not a suite of this package ({error}). "
            "Restore it, or train again.",
            code="MODEL_FORMAT",
        ) from error


def _model_from(document: Mapping[str, Any], source: Path, *, doubted: bool) -> EffectModel:
    """The model of a description; raises one of MISFITS when it is none."""
    model: EffectModel = of_kind(document["kind"])(**document["parameters"])
    model.encoder_ = Encoder.from_dict(document["features"])
    model.n_arms_ = int(document["n_arms"])
    if not 2 <= model.n_arms_ <= MOST_ARMS:
        raise ValueError(f"{model.n_arms_} arms")
    model.coding_ = Bins.from_dict(document["coding"])
    _require_same_features(model)
    model.n_features_in_ = len(model.encoder_.columns)
    model.feature_names_in_ = np.array(model.encoder_.columns, dtype=object)
    files = _read_files(source, document["forests"])
    if doubted:
        texts = [content.decode("ascii") for name, content in files.items() if _is_text(name)]
        try_forests(texts, model.coding_, n_arms=model.n_arms_)
    model.restore(document["constants"], _forests_from(files, model.coding_))
    return model


def _require_scores(model: EffectModel) -> None:
    """ValueError unless a model gives customers finite effects, one per treatment."""
    customers = np.stack([np.full(len(model.encoder_.features), x) for x in (np.nan, 0.0)])
    effects = model.effects(FeatureRows.of(customers))
    if effects.shape != (2, model.n_arms_ - 1) or not np.isfinite(effects).all():
        raise ValueError("no finite effect per treatment")


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


def _read_files(source: Path, recorded: Mapping[str, str]) -> dict[str, bytes]:
    """Contents of the forests' files by name, each with the digest recorded of it."""
    contents = {}
    for name, digest in recorded.items():
        path = _inside(source, name)
        require_digest(path, digest)
        contents[name] = path.read_bytes()
    return contents


def _is_text(name: str) -> bool:
    return not name.endswith(".bin")


def _forests_from(files: Mapping[str, bytes], bins: Bins) -> dict[str, Forest | HonestTrees]:
    """Forests by name, from the contents of their files."""
    return {
        Path(name).stem: Forest.from_text(content.decode("ascii"), bins)
        if _is_text(name)
        else HonestTrees.from_bytes(content)
        for name, content in files.items()
    }


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


def _suite_from(
    document: Mapping[str, Any], units: pd.DataFrame, source: Path, *, vouched: bool
) -> Suite:
    arms, outcomes = tuple(document["arms"]), list(document["outcomes"])
    n_arms = len(arms)
    candidates = [
        _candidate_from(
            plain,
            _array(units, f"effects_{i}", width=n_arms - 1),
            _model_of(plain, document, source, vouched=vouched),
        )
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


def _model_of(
    plain: Mapping[str, Any], document: Mapping[str, Any], source: Path, *, vouched: bool
) -> Any:
    """The model of a candidate, whose files must be those that the suite lists."""
    if plain["folder"] is None:
        return UnstoredModel(str(plain["name"]))
    place = _inside(source, str(plain["folder"])).name
    prefix = f"{place}/"
    written = {
        name.removeprefix(prefix): digest
        for name, digest in document["files"].items()
        if name.startswith(prefix)
    }
    return load_model(source / place, written, vouched=vouched)


def _candidate_from(plain: Mapping[str, Any], effects: Array, model: Any) -> Candidate:
    return Candidate(
        name=str(plain["name"]),
        kind=str(plain["kind"]),
        predicts=str(plain["predicts"]),
        effects=effects,
        model=model,
        loss=plain["loss"],
        loss_std_error=plain["loss_std_error"],
    )
