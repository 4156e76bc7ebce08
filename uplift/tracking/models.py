"""A package registered as a model version: files, signature, requirements, digest as a tag.

The model is "from code": MLflow stores the text of `served_model.py` and the package beside it, so
nothing is pickled, and any MLflow tool can load it where uplift is installed.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from uplift.errors import StateError
from uplift.tracking.package import RECOMMENDED, Card, Package, read_package
from uplift.tracking.store import (
    DIGEST_TAG,
    SEAL_TAG,
    ModelVersion,
    Tracking,
    global_uri,
    model_folder,
    pinned,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities import Run as StoredRun
    from mlflow.models import ModelSignature

KEY_TAG = "uplift.run_key"
ARTIFACTS = "artifacts"  # where MLflow keeps a model's data files
PACKAGE_ARTIFACT = "package"
SERVED_MODEL = "uplift.served_model"
REQUIREMENTS = ("lightgbm", "mlflow", "numpy", "pandas", "pyarrow", "scipy", "uplift-road")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model's package, written and ready to be registered.

    example  made-up customers, for MLflow's own pages and checks
    """

    folder: Path
    digest: str
    card: Card
    example: pd.DataFrame


def registered(client: "MlflowClient", name: str, run_id: str) -> ModelVersion | None:
    """The version that a run registered; None when it did not come so far."""
    found = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    return pinned(found[0]) if found else None


def register(
    client: "MlflowClient", tracking: Tracking, run: "StoredRun", model: Prepared, *, key: str
) -> ModelVersion:
    """Store the model with its run and register it under the experiment's id."""
    name = model.card.experiment
    tags = {
        DIGEST_TAG: model.digest,
        KEY_TAG: key,
        "uplift.outcome": model.card.outcome,
        "uplift.candidate": model.card.candidate,
        SEAL_TAG: model.card.definition,
    }
    logged = _log_model(client, run, model, tags)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, tags={"uplift.experiment": name})
    with global_uri(tracking):  # the registry looks the logged model up in the global store
        version = client.create_model_version(
            name,
            source=f"models:/{logged.model_id}",
            run_id=run.info.run_id,
            tags=tags,
            model_id=logged.model_id,
        )
    return pinned(version)


def load_registered(version: ModelVersion, tracking: Tracking) -> Package:
    """A registered model, after its files were found to be those that were registered.

    Nothing that lies among the files is run. Refused: MODEL_UNVERIFIED (registered by other means,
    so no digest is known), MODEL_FILES_MISSING, FILE_CHECKSUM.
    """
    if not version.digest:
        raise StateError(
            f"{version.uri} carries no digest, so its files cannot be checked. Register models "
            "with log_run.",
            code="MODEL_UNVERIFIED",
        )
    with tempfile.TemporaryDirectory() as temporary:
        folder = model_folder(version, tracking, Path(temporary))
        return read_package(folder / ARTIFACTS / PACKAGE_ARTIFACT, digest=version.digest)


def served_columns(version: ModelVersion, tracking: Tracking) -> tuple[list[str], list[str]]:
    """Inputs and outputs that MLflow's signature promises to whoever serves the model."""
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as temporary:
        folder = model_folder(version, tracking, Path(temporary))
        signature = Model.load(str(folder)).signature
    if signature is None or signature.inputs is None or signature.outputs is None:
        return [], []
    return list(signature.inputs.input_names()), list(signature.outputs.input_names())


def _log_model(
    client: "MlflowClient", run: "StoredRun", model: Prepared, tags: dict[str, str]
) -> "LoggedModel":
    import mlflow.pyfunc
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    run_id = run.info.run_id
    logged = client.create_logged_model(
        run.info.experiment_id,
        name=model.card.candidate,
        source_run_id=run_id,
        tags=tags,
        model_type="uplift",
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=_served_model_file(),
            artifacts={PACKAGE_ARTIFACT: str(model.folder)},
            signature=_signature(model.card),
            input_example=model.example,
            pip_requirements=[f"{name}=={installed_version(name)}" for name in REQUIREMENTS],
            mlflow_model=Model(run_id=run_id, model_id=logged.model_id),
        )
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, models=[LoggedModelOutput(logged.model_id, step=0)])
    return logged


def _signature(card: Card) -> "ModelSignature":
    """Inputs and outputs by name: every number is a double, every category and arm a string."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    def schema(columns: Iterable[tuple[str, bool]]) -> Schema:
        return Schema([ColSpec("string" if text else "double", name) for name, text in columns])

    return ModelSignature(
        inputs=schema((name, kind == "category") for name, kind in card.features),
        outputs=schema((name, name == RECOMMENDED) for name in card.score_columns),
    )


def _served_model_file() -> str:
    """Path of the code that MLflow stores with the model."""
    found = find_spec(SERVED_MODEL)
    if found is None or found.origin is None:
        raise StateError(
            f"{SERVED_MODEL} has no file. Install uplift from a wheel or a checkout.",
            code="INSTALLATION",
        )
    return found.origin
