"""Lint finds what would spoil a test before anything is sealed, and writes nothing."""

import shutil

import numpy as np
import pandas as pd
import pytest

from uplift.datasets.email_test import hillstrom
from uplift.errors import DefinitionError
from uplift.inference.caps import choose_cap, require_useful_cap
from uplift.lint import lint


@pytest.fixture
def folder(new_project, tmp_path):
    return new_project(tmp_path) / "experiments"


def codes(report, name):
    return {f.check.code for f in report.findings if f.experiment == name}


def edit(folder, old, new, name="spring_voucher"):
    file = folder / name / "experiment.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_shipped_definitions_have_no_blocking_finding_but_power(folder):
    report = lint(folder, n_units=2_000_000)
    assert {f.check.code for f in report.findings if f.check.blocking} == set()
    assert not list(folder.glob("registry.db*"))


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("objective: grow_profit_of_existing_customers", "objective: fame", "ORPHAN"),
        ("looks_days: [28]", "looks_days: [28, 60]", "WINDOW_BEYOND_SCHEDULE"),
        ("{metric: optout_28d@1, margin: 0.05,", "{metric: optout_28d@1,", "GUARDRAIL_MARGIN"),
        ("response_days: 28", "response_days: 14", "WINDOW_TOO_SHORT"),
        (
            "response_days: 28",
            "response_days: 28\n  waves: [{name: one, starts_at: 2017-07-03T08:00:00, "
            "response_days: 14}]",
            "WINDOW_BEYOND_SCHEDULE",
        ),
        (
            "minimum_effect: 0.05}",
            "minimum_effect: 0.0001, expected_mean: 30, expected_std_dev: 60}",
            "UNDERPOWERED",
        ),
    ],
)
def test_each_fault_is_found(folder, old, new, code):
    edit(folder, old, new)
    assert code in codes(lint(folder, ["spring_voucher"], n_units=20_000), "spring_voucher")


def test_a_holdout_that_is_too_small_is_named_with_one_that_is_not(folder):
    edit(
        folder,
        "minimum_effect: 0.05}",
        "minimum_effect: 0.05, expected_mean: 30, expected_std_dev: 30}",
    )
    for old, new in (
        ("control, share: 0.25", "control, share: 0.01"),
        ("email, share: 0.25", "email, share: 0.49"),
    ):
        edit(folder, old, new)
    report = lint(folder, ["spring_voucher"], n_units=80_000)
    (found,) = [c for c in report.checks if c.code == "HOLDOUT_CANNOT_ANSWER"]
    assert found.bound > found.value == 0.01


def test_a_conflict_of_layers_is_found_in_both(folder):
    layer = "assignment: {layer: {name: spring, start: 0, end: 0.6}}\nmetrics:"
    edit(folder, "metrics:", layer)
    shutil.copytree(folder / "spring_voucher", folder / "other")
    edit(folder, "id: spring_voucher", "id: other", name="other")
    report = lint(folder, n_units=20_000)
    for name in ("spring_voucher", "other"):
        assert "LAYER_CONFLICT" in codes(report, name)


def test_a_cap_at_the_99th_percentile_of_the_email_test_would_zero_the_metric(hillstrom_file):
    spend = hillstrom(hillstrom_file).outcomes["spend"].to_numpy(np.float64)
    assert np.quantile(spend, 0.99) == 0
    with pytest.raises(DefinitionError, match=r"0\.9% of units") as caught:
        require_useful_cap(spend, float(np.quantile(spend, 0.99)))
    assert caught.value.code == "CAP_ZEROES_METRIC"
    cap = choose_cap(spend, quantile=0.99)
    bought = spend[spend > 0]
    assert (bought <= cap).mean() >= 0.99 > (bought < cap).mean()


def test_a_cap_below_every_purchase_is_found_on_history(folder):
    metrics = folder / "metrics.yaml"
    metrics.write_text(
        metrics.read_text().replace(
            "version: 1\n    title: Spend in the four",
            "version: 1\n    cap: 5\n    title: Spend in the four",
        )
    )
    history = pd.DataFrame(
        {
            "unit": [f"c{i}" for i in range(2000)],
            "n_baskets_182d": 3,
            "spend_28d_before": [0.0, 6.0, 40.0, 12.0] * 500,
        }
    )
    found = codes(lint(folder, ["spring_voucher"], history=history), "spring_voucher")
    assert "CAP_ZEROES_METRIC" in found


def test_a_metric_edited_under_its_key_is_found(folder):
    edit(
        folder,
        "metric: spend_28d@1",
        "metric: {name: spend_28d, version: 1, title: T, "
        "column: spend, unit: USD, window_days: 28, owner: x}",
    )
    assert "METRIC_CHANGED" in codes(lint(folder, n_units=20_000), "spring_voucher")
