"""`uplift export`: lists, withdrawals, refusals; exit 0, 1 or 2."""

import json
import sys

import pytest

from tests.export.conftest import LATER
from uplift.cli import main


@pytest.fixture
def run(project, monkeypatch, capsys):
    """Run `uplift export`; gives exit code, standard output, standard error."""

    def call(*words) -> tuple[int, str, str]:
        given = ["uplift", "export", "voucher", "--as-of", LATER, "--root", project.root, *words]
        monkeypatch.setattr(sys, "argv", [str(word) for word in given])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


def test_lists_by_command_again_and_their_withdrawals(project, run):
    suppression = project.suppression([])
    code, out, err = run("--suppression", suppression, "--who", "ann", "--json")
    assert (code, err) == (0, "")
    lists = json.loads(out)["lists"]
    assert [one["folder"] for one in lists] == ["export/first/email", "export/first/post"]
    late = project.suppression(project.of_arm("post")[:1])
    code, out, _ = run("--suppression", late)
    assert code == 1
    assert "WITHDRAWALS_DUE (1)" in out
    assert lists[0]["batch"] in out
    code, out, _ = run("--suppression", late, "--delta")
    assert code == 0
    assert "post-delta-1" in out
    assert run("--suppression", late)[0] == 0
    code, out, _ = run("--suppression", late, "--wave", "reminder", "--channel", "post")
    assert code == 0
    assert str(project.folder / "export" / "reminder" / "post") in out
    assert project.units_of("post", "reminder") < project.units_of("post")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), "SUPPRESSION_STALE"),
        (("--suppression", "none.csv"), "SUPPRESSION_STALE"),
        (("--suppression", "{list}", "--as-of", "2026-03-03T09:00Z"), "SUPPRESSION_STALE"),
        (("--suppression", "{list}", "--max-age-hours", "1"), "SUPPRESSION_STALE"),
        (("--suppression", "{wrong}"), "SUPPRESSION_NO_MATCH"),
        (("--suppression", "{list}", "--wave", "../../x"), "WAVE_UNKNOWN"),
        (("--suppression", "{list}", "--channel", "../../x"), "CHANNEL_UNKNOWN"),
        (("--suppression", "{list}", "--text-column", "city"), "COLUMN_MISSING"),
        (("--suppression", "{list}", "--delta"), "STATE_ORDER"),
        (("--suppression", "{list}", "--as-of", "soon"), "TIME_INVALID"),
    ],
)
def test_refusals_are_one_line_with_a_code_and_no_file(project, run, words, code):
    files = {
        "{list}": project.suppression([]),
        "{wrong}": project.suppression(["C000001"], name="wrong.csv"),
    }
    exit_code, out, err = run(*(files.get(word, word) for word in words))
    assert (exit_code, out) == (2, "")
    assert err.startswith(f"{code}: ")
    assert len(err.splitlines()) == 1
    assert project.files() == {}


@pytest.mark.parametrize(
    "name", ["../../etc/x", "x'; DROP TABLE t;--", "<script>alert(1)</script>"]
)
def test_names_of_experiments_are_never_paths(project, monkeypatch, capsys, name):
    words = ["uplift", "export", name, "--suppression", "x.csv", "--root", str(project.root)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("NAME_INVALID: ")
    assert project.files() == {}
