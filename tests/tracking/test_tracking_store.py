import os
import socket
import threading
import time

import pytest

from uplift.errors import DataError, StateError
from uplift.tracking.store import (
    Tracking,
    alias_of,
    connected,
    parse_model_uri,
    resolve,
)


def test_the_store_is_the_same_whatever_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = Tracking(".")
    assert here.store_uri == f"sqlite:///{tmp_path.as_posix()}/mlruns/mlflow.db"
    assert here.artifact_location("a_test") == (tmp_path / "mlruns/artifacts/a_test").as_uri()
    assert Tracking(tmp_path).store_uri == here.store_uri


def test_a_server_decides_itself_where_artifacts_lie():
    server = Tracking(uri="http://127.0.0.1:5000")
    assert server.is_server
    assert server.artifact_location("a_test") is None
    assert not Tracking(uri="postgresql+psycopg://user@host/db").is_server


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("models:/spring_voucher@champion", ("spring_voucher", "", "champion")),
        ("models:/spring_voucher/3", ("spring_voucher", "3", None)),
    ],
)
def test_a_models_address_names_a_version_or_an_alias(uri, parts):
    assert parse_model_uri(uri) == parts


@pytest.mark.parametrize(
    "uri",
    [
        "spring_voucher",
        "models:/",
        "models:/spring_voucher",
        "models:/spring_voucher@",
        "models:/spring_voucher/latest",
        "models:/../../etc/1",
        "models:/a/b@champion",
        "runs:/abc/model",
        "/tmp/model",
    ],
)
def test_what_is_not_a_models_address_is_refused(uri):
    with pytest.raises(DataError, match="is not the address of a model") as refusal:
        parse_model_uri(uri)
    assert refusal.value.code == "MODEL_URI"


def test_an_unknown_model_version_or_alias_is_refused(log, store):
    log("known_model")
    for uri in ("models:/unknown/1", "models:/known_model/99", "models:/known_model@nobody"):
        with pytest.raises(DataError, match="no such model") as refusal:
            resolve(uri, store)
        assert refusal.value.code == "MODEL_UNKNOWN"
    assert alias_of("known_model", "nobody", store) is None
    assert alias_of("unknown", "champion", store) is None


def test_the_surroundings_are_left_as_they_were(log, store, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    log("clean_hands")
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert list(tmp_path.iterdir()) == []  # nothing in the working directory
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_an_address_the_user_has_set_is_kept(log, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    log("kept_address")
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:1"


def test_a_tracking_server_that_is_down_is_an_error_within_the_limit(log):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    down = Tracking(uri=f"http://127.0.0.1:{port}")
    start = time.perf_counter()
    with pytest.raises(StateError, match="did not answer") as refusal:
        log("server_down", tracking=down)
    assert refusal.value.code == "TRACKING_DOWN"
    assert time.perf_counter() - start < 10


def test_a_tracking_server_that_accepts_and_never_answers_is_given_up():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        held = []
        thread = threading.Thread(target=lambda: held.append(silent.accept()), daemon=True)
        thread.start()
        hanging = Tracking(uri=f"http://127.0.0.1:{silent.getsockname()[1]}", limit_seconds=2)
        before = dict(os.environ)
        start = time.perf_counter()
        with pytest.raises(StateError, match="did not answer within 2 s"):
            resolve("models:/any/1", hanging)
        assert time.perf_counter() - start < 8
        for name in (n for n in before if n.startswith("MLFLOW_HTTP")):
            assert os.environ[name] == before[name]
        assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ
        for connection, _ in held:
            connection.close()


def test_a_moved_folder_is_an_error_that_says_so(log, tmp_path):
    from uplift.scoring import score

    run = log("moved_folder")
    artifacts = run.store.folder / "artifacts" / "moved_folder"
    artifacts.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="move it back") as refusal:
        score(run.model_uri, None, tracking=run.store)
    assert refusal.value.code == "MODEL_FILES_MISSING"


def test_mlflow_errors_leave_the_block_as_ours(store):
    with pytest.raises(StateError, match="MLflow refused") as refusal, connected(store) as client:
        client.create_experiment("")
    assert refusal.value.code == "TRACKING_REFUSED"
