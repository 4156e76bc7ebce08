"""The page opens from the file system in a real browser, without a network."""

import os
import re
import shutil
import subprocess

import pytest

from tests.report import analyses
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


@pytest.mark.parametrize(
    ("language", "headline"), [("en", "Scale email 2"), ("fr", "Généraliser email 2")]
)
def test_the_page_of_an_analysis_opens_in_both_languages(browser, tmp_path, language, headline):
    report = analyses.read(37)
    page = tmp_path / "analysis.html"
    report.to_html(page, language=language)
    shown, complaints = opened(browser, page, tmp_path / "profile")
    assert f'<html lang="{language}">' in shown
    assert headline in re.sub(r"<[^>]*>", "", shown)
    assert shown.count("<svg") == 1
    assert complaints == []


def test_a_script_in_the_page_would_be_stopped_and_seen(browser, tmp_path):
    page = tmp_path / "analysis.html"
    html = analyses.read(37, n=2_000).to_html()
    script = "<script>document.title = 'it ran'</script>"
    page.write_text(html.replace("</main>", f"{script}</main>"), encoding="utf-8")
    shown, complaints = opened(browser, page, tmp_path / "profile")
    assert "<title>it ran</title>" not in shown
    assert complaints
