"""One MLflow run per training: everything that was known, and the model as a registered version.

A run is known by its key, a digest of definition, seed, data and results: logging the same training
again gives the same run back, and a run that was interrupted is finished, not repeated.
"""

import contextlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uplift.checks import Check, blocked_by
from uplift.experiment import Experiment
from uplift.files import file_digest, require_digest
from uplift.frames import frame_digest
from uplift.suite import Suite
from uplift.table import Column, Result, Table
from uplift.tracking.models import KEY_TAG, Prepared, register, registered
from uplift.tracking.package import Card, example_of, storable, write_package
from uplift.tracking.record import (
    GATES,
    Record,
    features_table,
    read_gates,
    require_candidate,
)
from uplift.tracking.store import (
    CHALLENGER,
    ModelVersion,
    Tracking,
    connected,
    experiment_of,
    resolve,
)
from uplift.trial import Trial

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as StoredRun

GATES_TAG = "uplift.gates_digest"
PACKAGE = "package"
FINISHED = "FINISHED"
BATCH = 500  # metrics in one call; servers take at most 1,000
DIGEST_SHOWN = 32  # characters of a data digest that MLflow's data sets can hold


@dataclass(frozen=True, repr=False)
class Run(Result):
    """A training as MLflow holds it.

    run_key        digest of definition, seed, data and results
    model_version  the registered version of the model; `model_uri` addresses it
    model_digest   SHA-256 that stands for all files of the model
    gates          what the model must pass to be promoted, as judged when it was logged
    store          where it is kept
    """

    experiment: str
    run_id: str
    run_key: str
    candidate: str
    model_name: str
    model_version: int
    model_digest: str
    model_uri: str
    gates: tuple[Check, ...]
    store: Tracking = field(repr=False, compare=False)

    def table(self) -> Table:
        """Where the run and the model are."""
        failed = blocked_by(self.gates)
        rows = [
            ("run", self.run_id),
            ("key", self.run_key[:12]),
            ("model", f"{self.model_uri} ({self.candidate})"),
            ("model digest", self.model_digest[:12]),
            ("gates", "all passed" if not failed else ", ".join(c.name for c in failed)),
        ]
        return Table(
            f"Logged: {self.experiment}",
            (Column("what"), Column("value")),
            rows,
            note="Gates that failed stand by their name; the model is then not promoted.",
        )


def log_run(
    experiment: Experiment,
    suite: Suite,
    quality: Any,
    roi: Any,
    plan: Any = None,
    *,
    trial: Trial | None = None,
    customers: Any = None,
    figures: Mapping[str, str | bytes] | None = None,
    report: Any = None,
    design: Any = None,
    tracking: Tracking | None = None,
) -> Run:
    """Log a training and register its model as challenger, once.

    Parameters, metrics with their definitions, the data set with its digest, tables, figures and
    the model (data only) go into one run of the experiment's own MLflow experiment. The model is
    the one `roi` was made with, registered under the experiment's id.

    trial      what the suite was trained on: gives the data set, and typical values of features
    customers  gives typical values of features when there is no trial
    figures    by name: SVG text or PNG bytes; they are no part of the key
    report     analysis report, whose sample ratio becomes a gate of promotion

    Raises StateError TRACKING_DOWN when the tracking server does not answer; nothing is registered.
    """
    tracking = tracking or Tracking()
    require_candidate(suite, str(roi.candidate))
    record = Record(
        experiment=experiment,
        suite=suite,
        quality=quality,
        roi=roi,
        plan=plan,
        trial=trial,
        report=report,
        design=design,
        figures=figures or {},
    )
    with tempfile.TemporaryDirectory() as temporary:
        model = _prepare(record, customers, Path(temporary) / PACKAGE)
        with connected(tracking) as client:
            return _log(client, tracking, record, model)


def find_run(model_uri: str, *, tracking: Tracking | None = None) -> Run:
    """The run behind a registered model, e.g. "models:/spring_voucher@challenger"."""
    tracking = tracking or Tracking()
    version = resolve(model_uri, tracking)
    with connected(tracking) as client:
        return _run_of(client, tracking, version)


def _prepare(record: Record, customers: Any, folder: Path) -> Prepared:
    suite, experiment = record.suite, record.experiment
    model = storable(suite.candidates[record.candidate].model)
    card = Card(
        experiment=experiment.id,
        definition=experiment.digest,
        outcome=suite.outcome,
        arms=suite.arms,
        candidate=record.candidate,
        features=tuple((feature.name, feature.kind) for feature in model.encoder_.features),
    )
    sources = [None if record.trial is None else record.trial.features, customers]
    example = example_of(model.encoder_, features_table(card.columns, sources))
    rules = record.roi.scoring_rules()
    digest = write_package(folder, card=card, model=model, rules=rules, example=example)
    return Prepared(folder, digest, card, example)


def _log(client: "MlflowClient", tracking: Tracking, record: Record, model: Prepared) -> Run:
    """The run of this record: found, finished, or made."""
    key = record.key(model.digest)
    experiment_id = experiment_of(client, tracking, record.experiment.id, record.tags())
    found = client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    if found and found[0].info.status == FINISHED:
        version = registered(client, model.card.experiment, found[0].info.run_id)
        if version is not None:
            return _run_of(client, tracking, version)
    run = found[0] if found else _new_run(client, tracking, record, experiment_id, key)
    run_id = run.info.run_id
    with contextlib.ExitStack() as on_error:
        on_error.callback(client.set_terminated, run_id, "FAILED")
        _log_content(client, run, record)
        version = registered(client, model.card.experiment, run_id)
        if version is None:
            version = register(client, tracking, run, model, key=key)
        client.set_registered_model_alias(version.name, CHALLENGER, str(version.version))
        on_error.pop_all()
    client.set_terminated(run_id, FINISHED)
    return _run_of(client, tracking, version)


def _new_run(
    client: "MlflowClient", tracking: Tracking, record: Record, experiment_id: str, key: str
) -> "StoredRun":
    from mlflow.utils.git_utils import get_git_commit

    tags = {**record.tags(), KEY_TAG: key}
    commit = get_git_commit(str(tracking.root))
    if commit:
        tags["mlflow.source.git.commit"] = commit
    name = f"{record.suite.outcome} · {record.candidate} · {key[:8]}"
    return client.create_run(experiment_id, run_name=name, tags=tags)


def _log_content(client: "MlflowClient", run: "StoredRun", record: Record) -> None:
    """Parameters, metrics, data set and files; done twice, it leaves what it leaves once."""
    from mlflow.entities import Metric, Param

    at = run.info.start_time
    metrics = [Metric(name, value, at, 0) for name, value in record.metrics().items()]
    params = [Param(name, value) for name, value in record.params().items()]
    client.log_batch(run.info.run_id, params=params)
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run.info.run_id, metrics=metrics[start : start + BATCH])
    _log_data(client, run.info.run_id, record)
    with tempfile.TemporaryDirectory() as folder:
        record.write(Path(folder))
        client.set_tag(run.info.run_id, GATES_TAG, file_digest(Path(folder) / GATES))
        client.log_artifacts(run.info.run_id, folder)


def _log_data(client: "MlflowClient", run_id: str, record: Record) -> None:
    """The training data as an MLflow data set: its columns, size and digest, not its rows."""
    frame = record.training_data()
    if frame is None:
        return
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.entities import Dataset, DatasetInput, InputTag

    digest = frame_digest(frame)
    source = CodeDatasetSource(tags={"uplift.experiment": record.experiment.id})
    data = from_pandas(
        frame,
        source=source,
        name=record.experiment.id,
        targets=record.suite.outcome,
        digest=digest[:DIGEST_SHOWN],
    )
    tags = [InputTag("mlflow.data.context", "training"), InputTag("uplift.data_digest", digest)]
    inputs = [DatasetInput(dataset=Dataset(**data.to_dict()), tags=tags)]
    client.log_inputs(run_id, datasets=inputs)


def _run_of(client: "MlflowClient", tracking: Tracking, version: ModelVersion) -> Run:
    """The run of a registered version, as it was logged."""
    tags = client.get_run(version.run_id).data.tags
    with tempfile.TemporaryDirectory() as folder:
        file = Path(client.download_artifacts(version.run_id, GATES, folder))
        require_digest(file, tags[GATES_TAG])
        gates = read_gates(file.read_text("utf-8"))
    return Run(
        experiment=tags["uplift.experiment"],
        run_id=version.run_id,
        run_key=tags[KEY_TAG],
        candidate=tags["uplift.candidate"],
        model_name=version.name,
        model_version=version.version,
        model_digest=version.digest,
        model_uri=version.uri,
        gates=gates,
        store=tracking,
    )
