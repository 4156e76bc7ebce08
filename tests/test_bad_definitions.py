"""Definitions that must be refused: cases B31, B32, B69 and B71 to B77 of the catalogue.

By the loader, and by the command that meets the file first; nothing is written.
"""

import sys
from fractions import Fraction

import pytest

from tests.registry.test_registry_sealing import promise
from uplift.cli import main
from uplift.errors import DefinitionError, StateError
from uplift.experiment import load_experiment
from uplift.registry.registry import Registry
from uplift.strict_json import parse_json

FOLDED = "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 12))
CASES = [
    ("B31", "control, share: 0.25", "control, share: 0.24", "WEIGHTS_INVALID", "0.99"),
    ("B31", "control, share: 0.25", "control, share: -0.25", "WEIGHTS_INVALID", "between 0 and 1"),
    ("B31", "control, share: 0.25", "control, share: .nan", "WEIGHTS_INVALID", "nan"),
    ("B31", "share: 0.25", "share: 0", "HOLDOUT_EMPTY", "share 0"),
    ("B32", "control, share: 0.25", "control, share: 0", "HOLDOUT_EMPTY", "nothing can be"),
    (
        "B69",
        "timezone: America/New_York",
        "timezone: America/New_York\n  ends_at: 2017-07-01",
        "TIME_WINDOW",
        "not after the start",
    ),
    ("B71", "id: spring_voucher", 'id: "x\'; DROP TABLE t;--"', "NAME_INVALID", "DROP TABLE"),
    ("B71", "value: spend", "value: '1) OR 1=1'", "NAME_INVALID", "1) OR 1=1"),
    ("B72", "{name: email,", "{name: '<script>alert(1)</script>',", "NAME_INVALID", "<script>"),
    ("B72", "id: spring_voucher", "id: ../../etc/x", "NAME_INVALID", "../../etc/x"),
    ("B73", "title: Which", "title: !!python/object/apply:os.system ['x'] #", "YAML_TAG", "tags"),
    ("B74", "owner: crm", "owner: crm\nowner: crm", "YAML_AMBIGUOUS", "there twice"),
    ("B74", "control, share: 0.25", "control, share: 012", "YAML_AMBIGUOUS", "octal"),
    ("B74", "{name: email,", "{name: no,", "YAML_AMBIGUOUS", "truth value"),
    (
        "B75",
        "id: spring_voucher",
        f"a0: &a0 [x]\n{FOLDED}id: spring_voucher",
        "YAML_ALIAS",
        "alias",
    ),
    ("B75", "title: Which", f"title: {'[' * 1_000} #", "YAML_TOO_DEEP", "20 levels"),
]
IDS = [f"{case} {code} {i}" for i, (case, *_, code, _) in enumerate(CASES)]


@pytest.fixture
def file(new_project, tmp_path):
    return new_project(tmp_path) / "experiments" / "spring_voucher" / "experiment.yaml"


def make_bad(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new) if new == "share: 0" else text.replace(old, new, 1))


@pytest.mark.parametrize(("case", "old", "new", "code", "says"), CASES, ids=IDS)
def test_the_loader_refuses_with_the_code_and_what_was_found(file, case, old, new, code, says):
    make_bad(file, old, new)
    with pytest.raises(DefinitionError) as caught:
        load_experiment(file.parent)
    assert caught.value.code == code
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{file}, line ")


@pytest.mark.parametrize(("case", "old", "new", "code", "says"), CASES, ids=IDS)
def test_the_command_refuses_in_one_line_and_writes_nothing(
    file, monkeypatch, capsys, case, old, new, code, says
):
    make_bad(file, old, new)
    root = file.parent.parent.parent
    before = sorted(root.rglob("*"))
    words = ["design", "spring_voucher", "--n-units", "9000", "--root", str(root)]
    monkeypatch.setattr(sys, "argv", ["uplift", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    err = capsys.readouterr().err
    assert (stop.value.code, err.split(":")[0]) == (2, code)
    assert err.count("\n") == 1
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    "body", ['{"a": NaN}', '{"a": Infinity}', '{"a": 1, "a": 2}', "[" * 1_000 + "]" * 1_000]
)
def test_b76_a_body_that_readers_take_differently_is_refused(body):
    with pytest.raises(DefinitionError) as caught:
        parse_json(body)
    assert caught.value.code == "JSON_INVALID"


@pytest.mark.parametrize("change", ["metric", "arms", "weights"])
def test_b77_nothing_changes_after_the_start_and_the_old_stays_readable(file, change):
    sealed = load_experiment(file.parent)
    registry = Registry(file.parent.parent)
    registry.seal(sealed, promise(sealed))
    old, new = {
        "metric": ("spend_28d@1, minimum_effect: 0.05", "spend_28d@1, minimum_effect: 0.06"),
        "arms": ("offer: voucher, unit_cost: 0.05", "offer: other, unit_cost: 0.05"),
        "weights": (
            "control, share: 0.25}\n  - {name: email, share: 0.25",
            "control, share: 0.20}\n  - {name: email, share: 0.30",
        ),
    }[change]
    make_bad(file, old, new)
    other = load_experiment(file.parent)
    for attempt in (registry.add, lambda one: registry.seal(one, promise(one))):
        with pytest.raises(StateError) as caught:
            attempt(other)
        assert caught.value.code == "EXPERIMENT_FROZEN"
    assert registry.definition("spring_voucher") == sealed
    assert registry.definition("spring_voucher").arms[0].share == Fraction(1, 4)
