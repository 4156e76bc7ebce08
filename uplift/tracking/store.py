"""Where runs and models are kept: one settings object for MLflow's store, and the calls used on it.

MLflow is loaded on first use, after the settings it reads at import. Its global settings are left
as they were found, and no model file is ever unpickled.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from uplift.errors import DataError, StateError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as StoredVersion

FOLDER = "mlruns"
CHAMPION = "champion"
CHALLENGER = "challenger"
DIGEST_TAG = "uplift.model_digest"
SEAL_TAG = "uplift.seal_digest"  # of the experiment's definition
URI_FORM = "models:/<name>@<alias> or models:/<name>/<version>"
ENVIRONMENT = {  # read by MLflow at import or at each call; what the user has set stays
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",  # would run pip in a subprocess at every log
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_LOG_UV_FILES": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",  # a machine without git is not an error
}
TRIES = 2  # of a call to a tracking server; MLflow's own 7 with growing pauses block for minutes


@dataclass(frozen=True)
class Tracking:
    """Which MLflow store to use.

    root           folder that holds `mlruns/`, with the database and the artifacts
    uri            another store (sqlite, postgresql, http); None is the database under `root`
    limit_seconds  how long a tracking server may take to answer one call
    """

    root: str | Path = "."
    uri: str | None = None
    limit_seconds: float = 10.0

    @property
    def folder(self) -> Path:
        """`mlruns/`, as an absolute path."""
        return Path(self.root).resolve() / FOLDER

    @property
    def store_uri(self) -> str:
        """What MLflow calls the tracking URI; the same in every working directory."""
        return self.uri or f"sqlite:///{self.folder.as_posix()}/mlflow.db"

    @property
    def is_server(self) -> bool:
        """Whether a tracking server keeps the store."""
        return urlparse(self.store_uri).scheme in {"http", "https"}

    @property
    def is_missing(self) -> bool:
        """Whether nothing was ever kept here; MLflow would make a store by looking into it."""
        file = self.store_uri.removeprefix("sqlite:///")
        return file != self.store_uri and not Path(file).is_file()

    def artifact_location(self, experiment: str) -> str | None:
        """Absolute address of an experiment's artifacts; None leaves it to the server.

        Always given at creation: MLflow's default is the working directory of the moment.
        """
        return None if self.is_server else (self.folder / "artifacts" / experiment).as_uri()


@dataclass(frozen=True)
class ModelVersion:
    """One registered version of a model, pinned: an alias that moves does not change it.

    digest  SHA-256 of the version's package, recorded when it was registered
    source  where MLflow keeps its files
    """

    name: str
    version: int
    digest: str
    run_id: str
    source: str
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """Address of exactly this version."""
        return f"models:/{self.name}/{self.version}"


@contextlib.contextmanager
def connected(tracking: Tracking) -> Iterator["MlflowClient"]:
    """A client of the store; MLflow's own errors and chatter do not leave the block.

    Raises StateError TRACKING_DOWN when a server does not answer within the limit.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not tracking.is_server:
        tracking.folder.mkdir(parents=True, exist_ok=True)
    with _limits(tracking), quiet():
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        try:
            yield MlflowClient(tracking.store_uri, registry_uri=tracking.store_uri)
        except MlflowException as error:
            raise _refusal(error, tracking) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the log lines and deprecation warnings that MLflow causes in its own modules."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"mlflow\.")
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"mlflow\.")
        warnings.filterwarnings("ignore", message="IProgress not found")  # in notebooks, by tqdm
        warnings.filterwarnings("ignore", message=r".*Any type hint is inferred as AnyType")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def experiment_of(
    client: "MlflowClient", tracking: Tracking, name: str, tags: Mapping[str, str]
) -> str:
    """Id of the MLflow experiment of a registered experiment, created when it is new."""
    found = client.get_experiment_by_name(name)
    if found is None:
        location = tracking.artifact_location(name)
        return str(client.create_experiment(name, artifact_location=location, tags=dict(tags)))
    return str(found.experiment_id)


def resolve(model_uri: str, tracking: Tracking) -> ModelVersion:
    """The version an address names now.

    Raises DataError MODEL_URI (not an address) or MODEL_UNKNOWN (no such model, version, alias).
    """
    name, version, alias = parse_model_uri(model_uri)
    if tracking.is_missing:
        raise DataError(
            f"There is no store of models at {tracking.store_uri} yet. Log a run first.",
            code="MODEL_UNKNOWN",
        )
    with connected(tracking) as client:
        if alias is not None:
            found = client.get_model_version_by_alias(name, alias)
        else:
            found = client.get_model_version(name, version)
    return pinned(found)


def alias_of(name: str, alias: str, tracking: Tracking) -> ModelVersion | None:
    """The version that carries an alias now; None when none does, or nothing was ever logged."""
    if tracking.is_missing:
        return None
    with connected(tracking) as client:
        models = client.search_registered_models(f"name = '{name}'")
        if not models or alias not in models[0].aliases:
            return None
        return pinned(client.get_model_version_by_alias(name, alias))


def pinned(found: "StoredVersion") -> ModelVersion:
    """MLflow's entry as a plain value."""
    return ModelVersion(
        name=str(found.name),
        version=int(found.version),
        digest=str(found.tags.get(DIGEST_TAG, "")),
        run_id=str(found.run_id or ""),
        source=str(found.source),
        tags={str(key): str(value) for key, value in found.tags.items()},
    )


def move_alias(name: str, alias: str, version: int, tracking: Tracking) -> None:
    """Let an alias name this version, and no other."""
    with connected(tracking) as client:
        client.set_registered_model_alias(name, alias, str(version))


def drop_alias(name: str, alias: str, tracking: Tracking) -> None:
    """Remove an alias; nothing happens when it is not there."""
    with connected(tracking) as client:
        client.delete_registered_model_alias(name, alias)


def tag_version(version: ModelVersion, tags: Mapping[str, str], tracking: Tracking) -> None:
    """Set tags on a registered version."""
    with connected(tracking) as client:
        for key, value in tags.items():
            client.set_model_version_tag(version.name, str(version.version), key, value)


def model_folder(version: ModelVersion, tracking: Tracking, into: Path) -> Path:
    """The version's files on this machine; `into` receives them when they lie elsewhere.

    Nothing of them is read or run here.
    """
    with connected(tracking) as client:
        source = version.source
        if source.startswith("models:/"):
            source = client.get_logged_model(source.rpartition("/")[2]).artifact_location
        if source.startswith("file:"):
            folder = Path(unquote(urlparse(source).path))
        else:
            from mlflow.artifacts import download_artifacts

            uri = tracking.store_uri
            folder = Path(download_artifacts(source, dst_path=str(into), tracking_uri=uri))
    if not folder.is_dir():
        raise DataError(
            f"{version.uri}: its files are not at {folder}. MLflow stores absolute addresses, so "
            f"a moved {FOLDER}/ loses them: move it back, or train and register again.",
            code="MODEL_FILES_MISSING",
        )
    return folder


def parse_model_uri(model_uri: str) -> tuple[str, str, str | None]:
    """Name, version and alias of a model's address; the alias is None when a version is given."""
    name, at, alias = model_uri.removeprefix("models:/").partition("@")
    version = ""
    if not at:
        name, _, version = name.partition("/")
    well_formed = model_uri.startswith("models:/") and name and "/" not in name
    if not well_formed or not (alias if at else version.isdecimal()):
        raise DataError(
            f"{model_uri!r} is not the address of a model. Write {URI_FORM}.", code="MODEL_URI"
        )
    return name, version, alias if at else None


@contextlib.contextmanager
def global_uri(tracking: Tracking) -> Iterator[None]:
    """MLflow's global store set to this one, for its calls that look there, and then put back."""
    import mlflow

    before: Any = os.environ.get("MLFLOW_TRACKING_URI")  # MLflow mirrors its setting there
    mlflow.set_tracking_uri(tracking.store_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


@contextlib.contextmanager
def _limits(tracking: Tracking) -> Iterator[None]:
    """MLflow's patience with a server, for the block only."""
    if not tracking.is_server:
        yield
        return
    wanted = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(TRIES - 1),
        "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{max(1, int(tracking.limit_seconds / TRIES))}",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
        "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _refusal(error: Exception, tracking: Tracking) -> DataError | StateError:
    """MLflow's error as one of ours, with its first line kept."""
    reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
    code = getattr(error, "error_code", "")
    if tracking.is_server and code == "INTERNAL_ERROR":
        return StateError(
            f"The tracking server at {tracking.uri} did not answer within "
            f"{tracking.limit_seconds:g} s. Start it, or use the store under {FOLDER}/ ({reason}).",
            code="TRACKING_DOWN",
        )
    if code == "RESOURCE_DOES_NOT_EXIST" or "alias" in reason:
        return DataError(
            f"The store has no such model: {reason}. Give a registered name, version or alias.",
            code="MODEL_UNKNOWN",
        )
    return StateError(f"MLflow refused: {reason}", code="TRACKING_REFUSED")
