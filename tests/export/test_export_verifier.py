"""The offline verifier proves a good export, and finds whatever is wrong with a bad one."""

import ast
import csv
import hashlib
import io
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.export.conftest import make_project
from uplift.export import verify_export
from uplift.export.job import ExportOptions

PROVEN, VIOLATED, UNREADABLE = 0, 1, 2
N_EDITS = 1_000


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An exported campaign, its suppression list and its assignment as CSV."""
    project = make_project(tmp_path_factory.mktemp("exported"))
    held = pd.DataFrame({"unit": [project.of_arm("email_20")[0], "elsewhere"]})
    held.to_csv(project.root / "held_out.csv", index=False)
    suppression = project.suppression(project.of_arm("email_10")[:3])
    project.export(suppression, options=ExportOptions(held_out=held))
    project.assigned.to_csv(project.root / "assignment.csv", index=False)
    return project


@pytest.fixture
def batch(exported, tmp_path):
    """A copy of the e-mail list's folder."""
    return Path(shutil.copytree(exported.folder / "export" / "first" / "email", tmp_path / "email"))


def verify(batch, exported, *words, bare=False) -> int:
    given = ["--suppression", exported.root / "suppression.csv"]
    given += ["--suppression", exported.root / "held_out.csv"]
    given += ["--assignment", exported.root / "assignment.csv"]
    return verify_export.main(
        [str(word) for word in (batch / "manifest.json", *([] if bare else given), *words)]
    )


def seal(batch, *, manifest=None):
    """Write manifest and proof anew, as somebody would who knows how, around a changed list."""
    manifest = manifest or json.loads((batch / "manifest.json").read_text())
    rows = list(csv.DictReader(io.StringIO((batch / "email.csv").read_text())))
    hashes = [sha256(f"{manifest['batch']}:{row['unit']}".encode()) for row in rows]
    manifest["n_units"] = len(rows)
    manifest["root"] = verify_export.tree_root(hashes)
    manifest["arms"] = pd.Series([row["arm"] for row in rows]).value_counts().to_dict()
    proof = list(csv.DictReader(io.StringIO((batch / "units.csv").read_text())))
    arms = {value: row["arm"] for value, row in zip(hashes, rows, strict=True)}
    known = {row["hash"]: [row["arm"], row["fate"]] for row in proof}
    for value in list(known):
        if known[value][1] == "send" and value not in arms:
            known[value][1] = "not_sent"
    known |= {value: [arm, "send"] for value, arm in arms.items()}
    lines = [",".join([value, *known[value]]) for value in sorted(known)]
    (batch / "units.csv").write_text("\n".join(["hash,arm,fate", *lines]) + "\n")
    for name, promised in manifest["files"].items():
        content = (batch / name).read_bytes()
        promised |= {"sha256": sha256(content), "bytes": len(content)}
        if name.endswith(".csv"):
            promised["rows"] = content.count(b"\n") - 1
    manifest.pop("digest", None)
    manifest["digest"] = sha256(verify_export.canonical(manifest).encode())
    (batch / "manifest.json").write_text(verify_export.canonical(manifest) + "\n")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(batch, unit, arm="email_10"):
    """A row more on the list."""
    with (batch / "email.csv").open("a") as file:
        file.write(f"{unit},{arm},ten,email,voucher,first\n")


def test_a_good_export_is_proven_by_the_copy_beside_it_without_this_package(exported, batch):
    command = [sys.executable, "-I", "-S", str(batch / "verify_export.py"), "manifest.json"]
    command += ["--suppression", str(exported.root / "suppression.csv")]
    command += ["--assignment", str(exported.root / "assignment.csv")]
    done = subprocess.run(command, cwd=batch, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (PROVEN, "")
    assert done.stdout.endswith("PROVEN\n")
    assert "nobody of 4 suppressed rows is inside" in done.stdout
    assert not [unit for unit in exported.assigned["unit"] if unit in done.stdout]


def test_it_is_one_short_file_that_imports_only_the_standard_library():
    text = Path(verify_export.__file__).read_text()
    assert len(text.splitlines()) < 200
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_our_own_forgery_is_accepted_when_it_changes_nothing(exported, batch):
    before = (batch / "manifest.json").read_bytes()
    seal(batch)
    assert (batch / "manifest.json").read_bytes() == before
    assert verify(batch, exported) == PROVEN


def violations(exported):
    """What can be injected: a name, and what it does to a folder."""
    control = exported.of_arm("control")[0]
    suppressed = exported.of_arm("email_10")[0]
    held = exported.of_arm("email_20")[0]
    inside = exported.of_arm("email_10")[5]
    post = exported.of_arm("post")[0]

    def edit(name, old, new):
        def change(batch):
            path = batch / name
            text = path.read_text()
            assert old in text
            path.write_text(text.replace(old, new, 1))

        return change

    return {
        "control": lambda batch: put(batch, control),
        "suppressed": lambda batch: put(batch, suppressed),
        "held out": lambda batch: put(batch, held, "email_20"),
        "twice": lambda batch: put(batch, inside),
        "other channel": lambda batch: put(batch, post, "post"),
        "stranger": lambda batch: put(batch, "stranger"),
        "other arm": edit("email.csv", f"{inside},email_10", f"{inside},email_20"),
        "lost row": edit("email.csv", f"{inside},email_10,ten,email,voucher,first\n", ""),
        "other wave": edit("email.csv", "voucher,first", "voucher,reminder"),
        "sum": edit("manifest.json", '"n_units": ', '"n_units": 1'),
        "missing list": lambda batch: (batch / "email.csv").unlink(),
        "missing proof": lambda batch: (batch / "units.csv").unlink(),
        "missing verifier": lambda batch: (batch / "verify_export.py").unlink(),
        "other fate": edit("units.csv", ",send", ",control"),
    }


NAMES = (
    "control", "suppressed", "held out", "twice", "other channel", "stranger", "other arm",
    "lost row", "other wave", "sum", "missing list", "missing proof", "missing verifier",
    "other fate",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_any_single_violation_is_found(exported, batch, name):
    violations(exported)[name](batch)
    assert verify(batch, exported, bare=True) == VIOLATED


@pytest.mark.parametrize(
    "name", ["control", "suppressed", "held out", "twice", "stranger", "other arm"]
)
def test_a_violation_sealed_anew_is_found_by_what_the_auditor_brings(exported, batch, name, capsys):
    violations(exported)[name](batch)
    seal(batch)
    assert verify(batch, exported) == VIOLATED
    said = capsys.readouterr().out
    assert "the manifest is as written" in said
    assert "as written" not in "".join(line for line in said.splitlines() if "VIOLATION" in line)


def test_a_manifest_sealed_anew_is_not_the_one_reported(exported, batch):
    reported = sha256((batch / "manifest.json").read_bytes())
    assert verify(batch, exported, "--manifest-sha256", reported) == PROVEN
    violations(exported)["lost row"](batch)
    seal(batch)
    assert verify(batch, exported, bare=True) == PROVEN  # alone it cannot know
    assert verify(batch, exported, "--manifest-sha256", reported, bare=True) == VIOLATED


def test_every_random_edit_of_one_byte_is_found(exported, batch, capsys):
    rng = random.Random(7)
    names = ("email.csv", "manifest.json", "units.csv", "verify_export.py")
    contents = {name: (batch / name).read_bytes() for name in names}
    missed = 0
    for number in range(N_EDITS):
        name = names[number % 2 if number % 10 else 2 + number % 20 // 10]
        changed = bytearray(contents[name])
        changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
        (batch / name).write_bytes(changed)
        missed += verify(batch, exported, bare=True) == PROVEN
        (batch / name).write_bytes(contents[name])
    capsys.readouterr()
    assert missed == 0
    assert verify(batch, exported) == PROVEN


def test_an_opt_out_since_is_found_until_its_delta_is_given(exported, batch, tmp_path):
    project = make_project(tmp_path / "later")
    project.export(project.suppression([]))
    late = project.suppression(project.of_arm("email_10")[:2])
    project.withdraw(late)
    folder = project.folder / "export" / "first"
    words = [str(folder / "email" / "manifest.json"), "--suppression", str(late)]
    assert verify_export.main(words) == VIOLATED
    delta = folder / "email-delta-1"
    assert verify_export.main([*words, "--withdrawn", str(delta / "delta_1.csv")]) == PROVEN
    assert verify_export.main([str(delta / "manifest.json")]) == PROVEN
    (delta / "delta_1.csv").write_text("unit,channel,campaign,wave\n")
    assert verify_export.main([str(delta / "manifest.json")]) == VIOLATED


def test_keyed_hashes_are_proven_with_the_key(exported, batch, tmp_path, monkeypatch):
    unit = exported.of_arm("email_10")[5]
    path = tmp_path / "keyed.csv"
    hashed = verify_export.hmac.digest(b"secret", unit.encode(), "sha256").hex()
    path.write_text(f"# generated_at: 2026-03-01T06:00:00Z\nunit_hmac\n{hashed}\n")
    words = ("--suppression", path)
    assert verify(batch, exported, *words, bare=True) == UNREADABLE
    monkeypatch.setenv("UPLIFT_SUPPRESSION_KEY", "secret")
    assert verify(batch, exported, *words, bare=True) == VIOLATED
    monkeypatch.setenv("UPLIFT_SUPPRESSION_KEY", "other")
    assert verify(batch, exported, *words, bare=True) == PROVEN


def test_what_cannot_be_read_is_neither_proven_nor_violated(exported, batch, tmp_path, capsys):
    torn = tmp_path / "torn.csv"
    torn.write_text("unit,arm\nc000001\n")
    assert verify(tmp_path, exported, bare=True) == UNREADABLE
    assert verify(batch, exported, "--assignment", torn, bare=True) == UNREADABLE
    assert verify(batch, exported, "--suppression", tmp_path / "no.csv", bare=True) == UNREADABLE
    assert "cannot be verified" in capsys.readouterr().err


@pytest.mark.parametrize("n_hashes", [0, 1, 2, 3, 4, 5, 8, 13])
def test_the_root_is_the_one_of_a_plain_recursion(n_hashes):
    from uplift.export.files import merkle_root

    hashes = [sha256(str(i).encode()) for i in range(n_hashes)]

    def root(nodes):
        if len(nodes) == 1:
            return nodes[0]
        size = 1 << (len(nodes) - 1).bit_length() - 1  # RFC 6962: largest power of two below
        return hashlib.sha256(b"\x01" + root(nodes[:size]) + root(nodes[size:])).digest()

    leaves = [hashlib.sha256(b"\x00" + bytes.fromhex(h)).digest() for h in sorted(hashes)]
    wanted = root(leaves).hex() if leaves else sha256(b"")
    assert merkle_root(hashes) == verify_export.tree_root(hashes) == wanted
