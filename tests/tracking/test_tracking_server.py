"""The same calls against a real tracking server on loopback."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import pandas as pd
import pytest

from uplift.errors import StateError
from uplift.promotion import promote, rollback
from uplift.scoring import score
from uplift.tracking.runs import find_run
from uplift.tracking.store import ENVIRONMENT, Tracking, alias_of

BOOT_SECONDS = 120  # a server on a busy machine is slow to start


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    with (folder / "log.txt").open("wb") as output:
        process = subprocess.Popen(
            command, env=os.environ | ENVIRONMENT, stdout=output, stderr=output, cwd=folder
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        yield Tracking(folder, uri=f"http://127.0.0.1:{port}", limit_seconds=60)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(address, process):
    end = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail("the tracking server did not start")


@pytest.mark.slow
def test_a_tracking_server_gives_the_same_road_as_the_local_store(server, log, customers, store):
    run = log("by_server", tracking=server)
    assert log("by_server", tracking=server) == run
    assert find_run(run.model_uri, tracking=server) == run
    assert promote(run).action == "promoted"
    assert alias_of("by_server", "champion", server).version == 1
    local = log("by_server")
    assert (local.run_key, local.model_digest) == (run.run_key, run.model_digest)
    theirs = score("models:/by_server@champion", customers, tracking=server).customers
    ours = score(local.model_uri, customers, tracking=store).customers
    pd.testing.assert_frame_equal(theirs, ours, check_exact=True)
    with pytest.raises(StateError, match="none before it"):
        rollback("by_server", tracking=server)
