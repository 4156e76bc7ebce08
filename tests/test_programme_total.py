"""The programme's total on the road: a rotating control, campaigns in the registry, one command."""

import json
import sys
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from uplift.campaign import Campaign
from uplift.checks import blocked_by
from uplift.cli import main
from uplift.errors import UpliftError
from uplift.experiment import experiment_from
from uplift.files import write_text
from uplift.programme import Programme
from uplift.strict_yaml import parse_yaml

ID = "universal_control"
METRIC = (
    "{name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 28, owner: crm}"
)
HEAD = """
id: {id}
title: {id}
kind: {kind}
owner: crm
objective: profit
hypothesis: It pays.
audience: {{description: Everyone}}
metrics:
  primary: {{metric: {metric}, minimum_effect: 0.05}}
  no_guardrails_because: A test of the total.
analysis: {{looks_days: [{days}], decision_rule: Scale what pays.}}
money: {{currency: EUR, value: spend, margin_rate: 0.5}}
schedule: {{starts_at: {starts}T08:00:00, timezone: Europe/Paris, response_days: {days}}}
"""
CONTROL = """
arms: [{name: control, share: 0.25}, {name: programme, share: 0.75, unit_cost: 0}]
"""
ROTATION = "rotation: {cohorts: 2, every_days: 91, washout_days: 28}\n"
CAMPAIGN = """
arms:
  - {name: control, share: 0.3}
  - {name: letter, share: 0.4, channel: post, unit_cost: 0.2}
  - {name: mail, share: 0.3, channel: email, unit_cost: 0.1}
assignment: {excludes: [universal_control]}
"""
START = date(2024, 1, 1)
ZONE = ZoneInfo("Europe/Paris")
N = 2_000
GAIN = {"spring": 6.0, "june": -3.0, "autumn": 8.0}
LAUNCH = {"spring": 30, "june": 150, "autumn": 250, "not_read": 200}  # days after the start


def day(n):
    return START + timedelta(days=n)


def text_of(name, *, kind, starts, days, rest):
    return HEAD.format(id=name, kind=kind, metric=METRIC, starts=starts, days=days) + rest


def sealed(root, text):
    """A folder of this definition, sealed."""
    experiment = experiment_from(parse_yaml(text))
    folder = root / "experiments" / experiment.id
    write_text(text, folder / "experiment.yaml")
    found = Campaign(folder, who="ada")
    promise = SimpleNamespace(to_json=lambda: json.dumps({"digest": experiment.digest}))
    found.registry.seal(experiment, promise)
    return folder


def customers():
    return pd.DataFrame({"unit": [f"c{i}" for i in range(N)]})


def spent(rng, sends):
    """One purchase of every customer in every four weeks, larger or smaller after a campaign."""
    spend = pd.DataFrame(rng.gamma(8, 2.5, (N, 13)), index=customers()["unit"])
    for name, treated in sends.items():
        month = -(-(LAUNCH[name] - 9) // 28)  # the first purchase after the launch
        spend.loc[treated, month] += GAIN.get(name, 0.0)
    rows = spend.rename_axis(columns="month").stack().rename("spend").reset_index()
    start = datetime(2024, 1, 1, 12, tzinfo=ZONE)
    rows["occurred_at"] = start + pd.to_timedelta(28 * rows["month"].astype(int) + 9, unit="D")
    return rows[["unit", "occurred_at", "spend"]]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A year: a control that rotates, three campaigns that were read and one that was not."""
    root, rng = tmp_path_factory.mktemp("year"), np.random.default_rng(3)
    control = text_of(ID, kind="universal_control", starts=START, days=364, rest=CONTROL + ROTATION)
    programme = Programme(sealed(root, control), who="ada")
    for turn in range(4):
        programme.rotate(customers(), as_of=day(91 * turn))
    sends, campaigns = {}, {}
    for name, n in LAUNCH.items():
        text = text_of(name, kind="campaign_holdout", starts=day(n), days=28, rest=CAMPAIGN)
        campaigns[name] = Campaign(sealed(root, text), who="ada")
        campaigns[name].assign(customers())
        drawn = campaigns[name].read("assign")
        sends[name] = drawn.loc[drawn["arm"] != "control", "unit"]
    table = spent(rng, sends)
    for name, campaign in campaigns.items():
        if name != "not_read":
            launch = campaign.experiment.schedule
            inside = table["occurred_at"].between(launch.launch_at, launch.closes_at)
            campaign.ingest(table[inside].groupby("unit", as_index=False)["spend"].sum())
            campaign.analyse()
    return SimpleNamespace(root=root, programme=programme, table=table, sends=sends)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run `uplift control …`; gives exit code, standard output, standard error."""

    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["uplift", "control", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


def test_the_year_of_a_rotating_control_and_its_campaigns(world):
    report = world.programme.total(world.table, as_of=day(364))
    assert report.n_spans == 4
    assert [one.name for one in report.total.campaigns] == ["autumn", "june", "spring"]
    truth = sum(
        gain * len(set(world.sends[name])) / (0.75 * N) for name, gain in GAIN.items()
    )  # those held out are a quarter
    low, high = report.measured.ci
    assert low <= truth <= high
    assert report.total.shrunken_sum_ci[0] <= truth <= report.total.shrunken_sum_ci[1]
    assert report.total.residual_ci[0] <= 0 <= report.total.residual_ci[1]
    reach = {one.name: one.reach for one in report.total.campaigns}
    assert reach["spring"] == pytest.approx(0.7, abs=0.03)
    assert "june" not in report.winners
    codes = {check.code: check.value for check in report.checks}
    assert codes == {"CAMPAIGN_NOT_READ": "not_read"}
    expected = sum(reach.values()) * (0.4 * 0.2 + 0.3 * 0.1) / 0.7
    assert report.cost == pytest.approx(expected, rel=0.05)
    folder = world.programme.folder
    assert json.loads((folder / "programme_total.json").read_text())["programme"] == ID
    assert world.programme.registry.artefact(ID, "total").name == "programme_total.json"
    assert not blocked_by(world.programme.registry.verify())


def test_a_part_of_the_year_has_its_campaigns_and_says_what_is_on_its_edge(world):
    report = world.programme.total(world.table, since=day(40), as_of=day(200))
    assert [one.name for one in report.total.campaigns] == ["june"]
    assert [check.code for check in report.checks] == ["CAMPAIGN_EDGE"]
    assert report.n_spans == 3
    settled = world.programme.total(world.table, since=day(130), as_of=day(182), settle_days=60)
    assert settled.n_held < report.n_held


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"since": day(300), "as_of": day(300)}, "TIME_WINDOW"),
        ({"since": day(-40), "as_of": day(300)}, "CONTROL_EMPTY"),
        ({"since": day(10), "as_of": day(28)}, "CAMPAIGNS_MISSING"),
        ({"as_of": day(364), "metric": "visits@1"}, "METRIC_UNKNOWN"),
    ],
)
def test_what_cannot_be_added_up_is_refused(world, options, code):
    with pytest.raises(UpliftError) as caught:
        world.programme.total(world.table, **options)
    assert caught.value.code == code


def test_a_control_without_a_rotation_is_read_by_its_assignment(tmp_path):
    rng = np.random.default_rng(4)
    text = text_of(ID, kind="universal_control", starts=START, days=364, rest=CONTROL)
    folder = sealed(tmp_path, text)
    with pytest.raises(UpliftError) as caught:
        Programme(folder).total(pd.DataFrame(), as_of=day(100))
    assert caught.value.code == "STEP_MISSING"
    Campaign(folder).assign(customers())
    spring = text_of("spring", kind="campaign_holdout", starts=day(30), days=28, rest=CAMPAIGN)
    campaign = Campaign(sealed(tmp_path, spring))
    campaign.assign(customers())
    drawn = campaign.read("assign")
    table = spent(rng, {"spring": drawn.loc[drawn["arm"] != "control", "unit"]})
    window = campaign.experiment.schedule
    inside = table["occurred_at"].between(window.launch_at, window.closes_at)
    campaign.ingest(table[inside].groupby("unit", as_index=False)["spend"].sum())
    campaign.analyse()
    days = table.assign(occurred_at=table["occurred_at"].dt.strftime("%Y-%m-%d"))
    both = [Programme(folder).total(rows, as_of=day(364)) for rows in (table, days)]
    assert both[0].measured.effect == pytest.approx(both[1].measured.effect)
    assert both[0].n_spans == 1
    assert both[0].measured.ci[0] <= 6.0 * 0.7 <= both[0].measured.ci[1]


def test_the_command_prints_total_sum_and_residual(world, run):
    file, root = world.root / "purchases.parquet", ("--root", world.root)
    world.table.to_parquet(file)
    code, out, err = run("total", ID, file, "--as-of", day(364), *root)
    assert code == 0, err
    assert "interaction residual" in out
    assert "Its 3 campaigns add up to" in out
    assert "warning CAMPAIGN_NOT_READ (not_read)" in out
    code, out, _ = run("total", ID, file, "--since", day(40), "--as-of", day(200), "--json", *root)
    assert (code, len(json.loads(out)["total"]["campaigns"])) == (0, 1)
    code, _, err = run("total", ID, file, "--since", day(300), "--as-of", day(300), *root)
    assert (code, err.split(":")[0]) == (2, "TIME_WINDOW")
