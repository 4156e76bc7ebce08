"""A test that serves no objective, or measures another one, is an orphan."""

import pytest

from uplift.errors import DefinitionError
from uplift.experiment import load_experiment
from uplift.objectives import Objectives
from uplift.strict_yaml import parse_yaml
from uplift.table import to_plain

TREE = """
objectives:
  - {id: profit, title: Profit, kpis: [margin]}
  - {id: revenue, title: Revenue, parent: profit, kpis: [spend_28d]}
  - {id: visits, title: Visits, parent: revenue, kpis: [visit_28d]}
"""


def tree(text=TREE):
    return Objectives.from_document(parse_yaml(text, name="objectives.yaml"))


def experiment(**fields):
    voucher = load_experiment("experiments/spring_voucher")
    return type(voucher)(**{**to_plain(voucher), **fields})


def test_the_shipped_experiments_serve_the_shipped_tree():
    shipped = Objectives.load("experiments/objectives.yaml")
    for name in ("spring_voucher", "hillstrom_email", "universal_control"):
        assert shipped.check(load_experiment(f"experiments/{name}")).passed


@pytest.mark.parametrize(
    ("objective", "passed"),
    [("revenue", True), ("profit", True), ("visits", False), ("fame", False)],
)
def test_the_primary_metric_measures_the_objective_or_one_below_it(objective, passed):
    check = tree().check(experiment(objective=objective))
    assert (check.passed, check.code) == (passed, "ORPHAN")
    if not passed:
        assert objective in check.remedy


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("id: visits", "id: profit", "line 5: objective 'profit' is there twice"),
        ("parent: profit", "parent: visits", "line 4: .* must stand above it"),
        (", parent: revenue", "", "line 5: .* has no parent"),
    ],
)
def test_a_tree_that_is_none_is_refused_with_its_line(old, new, words):
    with pytest.raises(DefinitionError, match=words) as caught:
        tree(TREE.replace(old, new))
    assert caught.value.code == "OBJECTIVES_INVALID"


def test_the_tree_shows_the_experiments_under_their_objectives():
    shown = tree().with_experiments([experiment(objective="revenue")])
    assert shown.to_dict()["revenue"]["experiments"] == ["spring_voucher"]
    assert [row[0] for row in shown.table().rows] == ["Profit", "  Revenue", "    Visits"]
