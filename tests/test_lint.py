"""Lint finds what would spoil a test before anything is sealed, and writes nothing."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from uplift.campaign import Campaign
from uplift.datasets.email_test import hillstrom
from uplift.errors import DefinitionError
from uplift.experiment import load_experiment
from uplift.inference.caps import choose_cap, require_useful_cap
from uplift.lint import lint
from uplift.registry.registry import Registry


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
        ("looks_days: [28]", "looks_days: [14]", "LOOK_TOO_EARLY"),
        ("looks_days: [28]", "looks_days: []", "SEAL_INCOMPLETE"),
        ("unit_cost: 0.90, ", "", "SEAL_INCOMPLETE"),
        ("metrics:", "assignment: {excludes: [nobody]}\nmetrics:", "EXCLUDED_UNKNOWN"),
        (
            "metrics:",
            "assignment: {contact_caps: [{max_contacts: 0, window_days: 30}]}\nmetrics:",
            "CAP_EXCLUDES_ALL",
        ),
        ("metrics:", "assignment: {excludes: [spring_voucher]}\nmetrics:", "EXCLUDES_CYCLE"),
        ("owner: crm", "parent: nobody\nowner: crm", "PARENT_UNKNOWN"),
        ("owner: crm", "parent: spring_voucher\nowner: crm", "PARENT_UNKNOWN"),
        (
            "response_days: 28",
            "response_days: 28\n  waves: [{name: one, starts_at: 2017-07-03T08:00:00, "
            "response_days: 14}]",
            "WINDOW_BEYOND_SCHEDULE",
        ),
        (
            "minimum_effect: 0.07}",
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
        "minimum_effect: 0.07}",
        "minimum_effect: 0.07, expected_mean: 30, expected_std_dev: 30}",
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


def test_tests_that_together_send_more_than_a_cap_allows_are_named_in_both(folder):
    shutil.copytree(folder / "spring_voucher", folder / "other")
    edit(folder, "id: spring_voucher", "id: other", name="other")
    edit(folder, "starts_at: 2017-07-03", "starts_at: 2017-07-20", name="other")
    caps = "assignment: {contact_caps: [{max_contacts: 1, window_days: 30}]}\nmetrics:"
    edit(folder, "metrics:", caps)
    report = lint(folder, n_units=2_000_000)
    for name in ("spring_voucher", "other"):
        found = [f.check for f in report.findings if f.experiment == name]
        (check,) = [check for check in found if check.code == "CONTACT_PRESSURE"]
        assert (check.value, check.bound, check.blocking) == (2, 1, False)
        assert "line " in check.remedy
        assert "spring_voucher, other get up to 2 contacts" in check.remedy


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


def test_a_finding_names_the_file_and_the_line_of_what_it_is_about(folder):
    edit(folder, "looks_days: [28]", "looks_days: [28, 60]")
    file = folder / "spring_voucher" / "experiment.yaml"
    line = file.read_text().split("looks_days")[0].count("\n") + 1
    (found,) = [
        check
        for check in lint(folder, ["spring_voucher"], n_units=2_000_000).checks
        if check.code == "WINDOW_BEYOND_SCHEDULE"
    ]
    assert found.remedy.startswith(f"{file}, line {line}: Looks on day 60 are after")
    assert (found.value, found.bound) == ("60", 28)


def test_an_unreadable_definition_does_not_hide_the_others(folder):
    edit(folder, "kind: ab_test", "kind: test", name="hillstrom_email")
    report = lint(folder, n_units=2_000_000)
    assert codes(report, "hillstrom_email") == {"DEFINITION_INVALID"}
    assert "spring_voucher" not in {f.experiment for f in report.findings if f.check.blocking}


def test_a_name_without_a_definition_is_a_finding(folder):
    assert codes(lint(folder, ["nowhere"]), "nowhere") == {"FILE_MISSING"}


def test_the_design_made_last_answers_when_nothing_is_given(folder):
    campaign = Campaign(folder / "hillstrom_email")
    campaign.design(n_units=6_400)
    assert "UNDERPOWERED" in codes(lint(folder, ["hillstrom_email"]), "hillstrom_email")
    edit(folder, "title: Men's", "title: Our", name="hillstrom_email")  # another definition now
    assert "DESIGN_UNITS" in codes(lint(folder, ["hillstrom_email"]), "hillstrom_email")


def test_a_tenth_of_the_email_test_as_a_holdout_cannot_answer(folder):
    """A holdout of 10 % of 64,000 shows 66 % of control spend, where 50 % are sought."""
    womens = "  - {name: womens_email, share: 1/3, channel: email, offer: womens, unit_cost: 0}\n"
    for old, new in (
        (womens, ""),
        ("control, share: 1/3", "control, share: 1/10"),
        ("mens_email, share: 1/3", "mens_email, share: 9/10"),
    ):
        edit(folder, old, new, name="hillstrom_email")
    report = lint(folder, ["hillstrom_email"], n_units=64_000)
    (found,) = [c for c in report.checks if c.code == "HOLDOUT_CANNOT_ANSWER"]
    assert (found.value, found.blocking) == (0.1, True)
    assert found.bound > 0.1


def test_an_experiment_that_is_over_is_in_nobodys_way(folder):
    layer = "assignment: {layer: {name: spring, start: 0, end: 0.6}}\nmetrics:"
    edit(folder, "metrics:", layer)
    shutil.copytree(folder / "spring_voucher", folder / "other")
    edit(folder, "id: spring_voucher", "id: other", name="other")
    registry, other = Registry(folder), load_experiment(folder / "other")
    registry.seal(other, SimpleNamespace(to_json=lambda: json.dumps({"digest": other.digest})))
    for state in ("assigned", "live", "maturing", "read"):
        assert "LAYER_CONFLICT" in codes(lint(folder, ["spring_voucher"]), "spring_voucher")
        registry.advance("other", state)
    assert "LAYER_CONFLICT" not in codes(lint(folder, ["spring_voucher"]), "spring_voucher")
