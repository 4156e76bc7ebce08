"""Every violation names file, line and key, what was found and what to do."""

import math
from pathlib import Path

import pytest

from uplift.errors import DefinitionError
from uplift.experiment import experiment_from
from uplift.metrics import MetricCatalogue
from uplift.objectives import Objectives
from uplift.strict_yaml import parse_yaml

TEXT = Path("experiments/spring_voucher/experiment.yaml").read_text()
CATALOGUE = MetricCatalogue.load("experiments/metrics.yaml")


def refusal(old, new, text=TEXT):
    """The refusal of the definition with one change, and the line where the change stands."""
    assert old in text
    changed = text.replace(old, new, 1)
    with pytest.raises(DefinitionError) as caught:
        experiment_from(parse_yaml(changed, name="experiment.yaml"), catalogue=CATALOGUE)
    return str(caught.value), changed[: changed.index(new)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ("owner: crm", "ownr: crm", "ownr", "Did you mean 'owner'?"),
        ("confidence: 0.95", "confidense: 0.95", "analysis.confidense", "mean 'confidence'?"),
        ("share: 0.25}", "shares: 0.25}", "arms.0.shares", "Did you mean 'share'?"),
        ("at_least: 1", "atleast: 1", "audience.where.0.atleast", "mean 'at_least'?"),
        ("margin: 0.05", "zzz: 1", "metrics.guardrails.0.zzz", "Known here: metric, minimum"),
        ("response_days: 28", "response_days: 28.5", "schedule.response_days", "got 28.5"),
        ("response_days: 28", "response_days: many", "schedule.response_days", "whole number"),
        ("response_days: 28", "response_days: 0", "schedule.response_days", "must be 1 or more"),
        ("kind: campaign_holdout", "kind: holdout", "kind", "must be one of 'ab_test'"),
        ("title: Which", "title: 5 #", "title", "must be text. Quote it, got 5"),
        (
            "looks_days: [28]",
            "looks_days: 28",
            "analysis.looks_days",
            "must be a list, such as [a, b], got 28",
        ),
        ("starts_at: 2017-07-03T08:00:00", "starts_at: soon", "schedule.starts_at", "date and"),
        ("confidence: 0.95", "confidence: .inf", "analysis.confidence", "finite number"),
        ("minimum_effect: 0.04", "minimum_effect: -1", "minimum_effect", "more than 0, got -1"),
        ("at_least: 1}", "at_least: [1]}", "audience.where.0.at_least", "a number, got a list"),
    ],
)
def test_a_violation_is_said_so_that_it_can_be_repaired(old, new, key, words):
    message, line = refusal(old, new)
    assert message.startswith(f"experiment.yaml, line {line}: ")
    assert key in message
    assert words in message


def test_what_is_missing_is_said_with_the_line_of_what_lacks_it():
    message, _ = refusal("owner: crm-campaigns\n", "")
    assert "line 3: owner: is missing. Write `owner: …`." in message
    message, line = refusal("email, share: 0.25,", "email,")
    assert f"line {line}: arms.1.share: is missing" in message


def test_a_truth_value_is_no_number():
    message, _ = refusal("minimum_effect: 0.07", "minimum_effect: true")
    assert "minimum_effect is no truth value, got True" in message
    message, _ = refusal("[28]", "[true]")
    assert "looks_days is no truth value" in message


def test_all_violations_are_counted_and_the_first_is_shown():
    message, _ = refusal("margin_rate: 0.30", "margin_rat: 0.3, curency: USD")
    assert "(1 more to repair.)" in message


def test_an_empty_file_is_told_what_it_needs():
    with pytest.raises(DefinitionError, match=r"got nothing\. It needs: objectives"):
        Objectives.from_document(parse_yaml("# nothing yet", name="objectives.yaml"))


@pytest.mark.parametrize("field", ["minimum_effect", "margin", "expected_mean", "cost"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_number_of_a_definition_is_infinite(field, value):
    text = {math.nan: ".nan", math.inf: ".inf"}[value]
    if field == "cost":
        message, _ = refusal("unit_cost: 0.05", f"unit_cost: {text}")
        assert "a cost must be 0 or more" in message
    else:
        message, _ = refusal("minimum_effect: 0.07", f"{field}: {text}")
        assert "finite number" in message
