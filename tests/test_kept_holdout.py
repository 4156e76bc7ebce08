"""A kept holdout on the road: recorded once per day, by Python and by commands."""

import json
import sys
from datetime import datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from uplift.campaign import Campaign
from uplift.checks import blocked_by
from uplift.cli import main
from uplift.errors import DataError, StateError
from uplift.experiment import experiment_from
from uplift.strict_yaml import parse_yaml

ID = "voucher"
PLAN = """
id: voucher
title: Voucher
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: Everyone}
arms:
  - {name: control, share: 0.5}
  - {name: email, share: 0.5, channel: email, unit_cost: 0.4}
metrics:
  primary:
    metric: {name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 28,
             owner: crm}
    minimum_effect: 0.05
  no_guardrails_because: A test of the long term.
schedule: {starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 28}
analysis: {reread_days: [30, 91], looks_days: [28], decision_rule: Scale what is proven.}
money: {currency: EUR, value: spend, margin_rate: 0.5}
"""
LAUNCH = datetime(2017, 7, 3, 8, tzinfo=ZoneInfo("Europe/Paris"))
N = 1_200


def seal(folder, text):
    """A campaign of this definition, sealed."""
    experiment = experiment_from(parse_yaml(text))
    folder = folder / "experiments" / experiment.id
    folder.mkdir(parents=True)
    (folder / "experiment.yaml").write_text(text, encoding="utf-8")
    campaign = Campaign(folder, who="ada")
    promise = SimpleNamespace(to_json=lambda: json.dumps({"digest": experiment.digest}))
    campaign.registry.seal(experiment, promise)
    return campaign


@pytest.fixture
def campaign(tmp_path):
    """Assigned, its customers, and thirteen weeks of purchases that were only brought forward."""
    found = seal(tmp_path, PLAN)
    found.assign(pd.DataFrame({"unit": [f"c{i}" for i in range(N)]}))
    return found


@pytest.fixture
def purchases(campaign):
    rng = np.random.default_rng(1)
    assigned = campaign.read("assign")
    treated = (assigned["arm"] == "email").to_numpy()
    gain = np.where(np.arange(13) < 4, 4.0, -3.0)
    spend = rng.gamma(2, 10, (len(assigned), 13)) + np.outer(treated, gain)
    row, week = np.nonzero(np.ones_like(spend))
    when = LAUNCH + pd.to_timedelta(7 * (week + rng.random(len(week))), unit="D")
    return pd.DataFrame(
        {"unit": assigned["unit"].to_numpy()[row], "occurred_at": when, "spend": spend.ravel()}
    )


def read(campaign, purchases):
    """Ingest the response window and read it."""
    inside = purchases["occurred_at"] < LAUNCH + timedelta(days=28)
    campaign.ingest(purchases[inside].groupby("unit", as_index=False)["spend"].sum())
    campaign.analyse()


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command line; gives exit code, standard output, standard error."""

    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["uplift", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


def test_a_reread_is_recorded_once_per_day_and_the_registry_knows_it(campaign, purchases):
    with pytest.raises(StateError, match="must be read") as caught:
        campaign.reread(purchases, as_of="2017-08-10")
    assert caught.value.code == "STATE_ORDER"
    assert not (campaign.folder / "rereads.jsonl").exists()
    read(campaign, purchases)
    before = [row.action for row in campaign.registry.history(ID).rows]
    for _ in range(2):
        first = campaign.reread(purchases, as_of="2017-08-10")
    lines = (campaign.folder / "rereads.jsonl").read_text().splitlines()
    assert [json.loads(line)["day"] for line in lines] == [30]
    assert first.flagged == ()
    trail = [row.action for row in campaign.registry.history(ID).rows]
    assert trail == [*before, "record"]
    campaign.registry.amend(ID, "sent a day late", why="printer", who="ada")
    last = campaign.reread(purchases, as_of="2017-10-10")
    lines = (campaign.folder / "rereads.jsonl").read_text().splitlines()
    assert [json.loads(line)["day"] for line in lines] == [30, 91]
    assert last.flagged == ("email",)
    assert last.amendments[0].change == "sent a day late"
    assert campaign.registry.artefact(ID, "reread").name == "rereads.jsonl"
    assert not blocked_by(campaign.registry.verify())


def test_an_interrupted_record_is_read_again_and_a_rewritten_one_is_refused(campaign, purchases):
    read(campaign, purchases)
    campaign.reread(purchases, as_of="2017-08-10")
    file = campaign.folder / "rereads.jsonl"
    first = file.read_text(encoding="utf-8")
    file.write_text(first + first.replace('"day": 30', '"day": 91'), encoding="utf-8")
    campaign.reread(purchases, as_of="2017-10-10")  # the second line was never recorded
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [line["day"] for line in lines] == [30, 91]
    assert lines[1]["flagged"] == ["email"]
    file.write_text(file.read_text().replace('"flagged": ["email"]', '"flagged": []'))
    with pytest.raises(DataError, match="not rewritten") as caught:
        campaign.reread(purchases, as_of="2017-10-10")
    assert caught.value.code == "FILE_CHECKSUM"


def test_a_holdout_that_its_child_treats_is_pointed_out(campaign, purchases):
    read(campaign, purchases)
    campaign.decide("scale", "it pays")
    child = seal(
        campaign.folder.parent.parent,
        PLAN.replace("id: voucher", "id: again\nparent: voucher").replace(
            "2017-07-03", "2017-09-04"
        ),
    )
    units = pd.DataFrame({"unit": [f"c{i}" for i in range(N)]})
    assert "HOLDOUT_TREATED" not in str(campaign.reread(purchases, as_of="2017-10-10"))
    child.assign(units)
    held = set(campaign.read("assign").query("arm == 'control'")["unit"])
    treated = set(child.read("assign").query("arm == 'email'")["unit"])
    found = campaign.reread(purchases, as_of="2017-10-10")
    warned = [check for check in found.checks if check.code == "HOLDOUT_TREATED"]
    assert [check.value for check in warned] == [len(held & treated)]
    assert "HOLDOUT_TREATED" not in str(campaign.reread(purchases, days=[30], as_of="2017-08-10"))


def test_the_commands_print_table_and_flag(campaign, purchases, run, tmp_path):
    read(campaign, purchases)
    file, root = tmp_path / "purchases.parquet", ("--root", tmp_path)
    purchases.to_parquet(file)
    code, _, err = run("reread", ID, file, "--as-of", "2017-07-20", *root)
    assert (code, err.split(":")[0]) == (2, "REREAD_EARLY")
    code, out, _ = run("reread", ID, file, "--as-of", "2017-08-10", *root)
    assert code == 0
    assert "next re-read is at day 91" in out
    code, out, _ = run("reread", ID, file, "--as-of", "2017-10-10", *root)
    assert code == 1
    assert "warning PULL_FORWARD" in out
    assert "Purchases were brought forward by email" in out
    code, out, _ = run("reread", ID, file, "--days", "30", "--json", *root)
    assert (code, json.loads(out)["rows"][0]["day"]) == (0, 30)
    code, _, err = run("reread", ID, file, "--days", "soon", *root)
    assert (code, err.split(":")[0]) == (2, "ARGUMENT_INVALID")
    code, out, _ = run("market", ID, file, "--since", "2017-07-31", "--as-of", "2017-10-02", *root)
    assert code == 0
    assert "After day 28 the campaign moved: email against control" in out
    code, _, err = run("market", ID, file, "--since", "2016-07-31", *root)
    assert (code, err.split(":")[0]) == (2, "TIME_WINDOW")
