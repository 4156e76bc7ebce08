"""Designs and rehearsals from the command line: what is printed, written and answered."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import uplift.campaign
import uplift.cli

EMAIL = """
id: email_test
title: E-mail
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: Everyone}
arms:
  - {name: control, share: 1/4}
  - {name: email, share: 3/4, unit_cost: 0.1}
metrics:
  primary:
    metric: {name: spend, version: 1, title: S, column: spend, owner: o, unit: EUR,
      window_days: 28, covariate: spend_28d_before}
    minimum_effect: 0.1
schedule: {starts_at: 2008-03-20T08:00:00, timezone: Europe/Paris, response_days: 28}
analysis: {decision_rule: Scale what is proven.}
money: {currency: EUR, value: spend, margin_rate: 0.5}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A campaign and a trigger, and the history of 600 customers."""
    rng = np.random.default_rng(1)
    spend = rng.gamma(2, 10, 600)
    table = pd.DataFrame({"unit": [f"u{i}" for i in range(600)], "spend": spend})
    table["spend_28d_before"] = spend * rng.uniform(0.5, 1.5, 600)
    table.to_parquet(tmp_path / "history.parquet")
    trigger = EMAIL.replace("email_test", "welcome").replace("campaign_holdout", "trigger")
    trigger = trigger.replace("response_days: 28", "response_days: 28, ends_at: 2008-05-01")
    for name, text in (("email_test", EMAIL), ("welcome", trigger)):
        folder = tmp_path / "experiments" / name
        folder.mkdir(parents=True)
        (folder / "experiment.yaml").write_text(text)
    return tmp_path


@pytest.fixture
def run(project, capsys, monkeypatch):
    """Run a command in the project: exit code, output, complaints."""

    def command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["uplift", *map(str, words), "--root", str(project)])
        with pytest.raises(SystemExit) as ended:
            uplift.cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return command


def test_a_design_says_days_money_and_the_cheapest_ways(run, project):
    code, out, _ = run("design", "email_test", "--history", project / "history.parquet")
    assert code == 0
    for said in ("It takes 28 days", "gives up", "The cheapest ways", "Ways to answer more"):
        assert said in out
    assert (project / "experiments/email_test/design.json").exists()


def test_a_trigger_is_planned_by_its_inflow(run, project):
    history = project / "history.parquet"
    code, out, _ = run("design", "welcome", "--history", history, "--inflow-per-day", 100)
    assert code == 0
    assert "customers are in at 100.0 a day" in out
    code, _, err = run("design", "email_test", "--history", history, "--inflow-per-day", 100)
    assert (code, err.split(":")[0]) == (2, "INFLOW_INVALID")


def test_uplift_questions_are_answered_on_request(run, project):
    words = ("design", "email_test", "--history", project / "history.parquet", "--uplift-power")
    code, out, _ = run(*words, "--spread", 2, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["targeting"]["spread"] == 2
    assert len(found["answers"]) == 1
    assert "effects differ" in run(*words)[1]


def test_a_rehearsal_passes_a_right_plan_and_is_written(run, project):
    words = ("simulate", "email_test", "--history", project / "history.parquet", "--jobs", 1)
    code, out, _ = run(*words, "--replays", 60, "--effect", 0.2)
    assert code == 0
    assert "false alarms alone" in out
    assert "is proven better in" in out
    file = project / "experiments/email_test/rehearsal.json"
    assert json.loads(file.read_text())["n_replays"] == 60
    code, out, _ = run(*words, "--replays", 20, "--json")
    assert (code, json.loads(out)["n_replays"]) == (0, 20)


def test_a_plan_that_cries_wolf_exits_with_one(run, project, monkeypatch):
    """Households are drawn; somebody reads them as individuals."""
    table = pd.read_parquet(project / "history.parquet")
    alike = table["spend"].to_numpy()[np.arange(600) // 6 * 6]
    table.assign(spend=alike, household=[f"h{i // 6}" for i in range(600)]).to_parquet(
        project / "households.parquet"
    )
    folder = project / "experiments" / "email_test"
    (folder / "experiment.yaml").write_text(
        EMAIL.replace("metrics:", "cluster: household\nmetrics:")
    )
    words = ("simulate", "email_test", "--history", project / "households.parquet", "--jobs", 1)
    assert run(*words, "--replays", 100)[0] == 0
    usual = uplift.campaign.simulate_plan

    def wrongly(experiment, history, **options):
        individuals = experiment.model_copy(update={"cluster": None})
        return usual(experiment, history, read_as=individuals, **options)

    monkeypatch.setattr(uplift.campaign, "simulate_plan", wrongly)
    code, out, _ = run(*words, "--replays", 100)
    assert code == 1
    assert "The plan must not be used" in out


def test_bad_input_is_refused_with_two(run, project):
    history = project / "history.parquet"
    for words, expected in (
        (("simulate", "email_test", "--history", "nowhere.csv"), "FILE_MISSING"),
        (("simulate", "email_test", "--history", history, "--replays", 0), "REPLAYS_INVALID"),
        (("simulate", "email_test", "--history", history, "--effect", -2), "EFFECT_INVALID"),
    ):
        code, _, err = run(*words)
        assert (code, err.split(":")[0]) == (2, expected)
    assert "Traceback" not in err


def test_help_shows_an_example():
    shown = subprocess.run(
        [sys.executable, "-m", "uplift.cli", "simulate", "--help"], capture_output=True, text=True
    )
    assert "uplift simulate spring_voucher" in " ".join(shown.stdout.split())
