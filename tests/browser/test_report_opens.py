"""The page opens from the file system in a real browser, without a network."""

import os
import shutil
import subprocess

import pytest

from uplift.experiment import load_experiment
from uplift.report.page import write_report
from uplift.report.road import Road

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"


@pytest.fixture(scope="module")
def browser():
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have chromium")
        pytest.skip("no chromium on this machine")
    return found


def opened(browser, page, profile):
    """The page as the browser holds it, and what it complained about."""
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr",
        OFFLINE, f"--user-data-dir={profile}", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_page_opens_without_a_network_and_without_complaints(browser, root, tmp_path):
    experiment = load_experiment(root / "experiments" / "spring_voucher")
    page = tmp_path / "report.html"
    write_report(page, Road(experiment=experiment, label="A label"))
    shown, complaints = opened(browser, page, tmp_path / "profile")
    assert experiment.title in shown
    assert "A label" in shown
    assert complaints == []
