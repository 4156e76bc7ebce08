"""A trigger takes in, night by night, who became eligible; nobody is drawn or sent to twice."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uplift import intakes
from uplift.assignment.assign import assign
from uplift.campaign import Campaign
from uplift.checks import blocked_by
from uplift.cli import main
from uplift.eligibility import eligible_units
from uplift.errors import DataError, DefinitionError, StateError
from uplift.export import verify_export
from uplift.registry.exports import export_ledger

ID = "welcome"
LAUNCH = datetime(2026, 3, 1, 6, tzinfo=UTC)
TEXT = """
id: welcome
title: A welcome message two days after the first purchase
kind: trigger
owner: crm
objective: profit
hypothesis: It brings them back.
audience: {description: First purchase two days ago, where: [{column: n_purchases, at_least: 1}]}
arms:
  - {name: control, share: 0.3}
  - {name: email, share: 0.4, channel: email, unit_cost: 0.05}
  - {name: post, share: 0.3, channel: post, unit_cost: 0.9}
metrics:
  primary:
    metric: {name: spend, version: 1, title: Spend, column: spend, unit: EUR, window_days: 7,
             owner: crm}
    expected_mean: 10
    expected_std_dev: 5
    minimum_effect: 0.1
  no_guardrails_because: a test of the package
schedule:
  starts_at: 2026-03-01T06:00:00Z
  timezone: Europe/Paris
  response_days: 7
  ends_at: 2026-06-01T06:00:00Z
analysis: {decision_rule: Scale what is proven., looks_days: [99]}
money: {currency: EUR, value: spend, margin_rate: 0.3}
"""


def night(n):
    return LAUNCH + timedelta(days=n)


def people(*numbers, **columns):
    table = pd.DataFrame({"unit": [f"c{i:04d}" for i in numbers]}, dtype="str")
    return table.assign(n_purchases=1, home=[f"h{i // 2:04d}" for i in numbers], **columns)


class Trigger:
    """A sealed trigger, and what a nightly job does with it."""

    def __init__(self, root, text=TEXT):
        self.root = root
        folder = root / "experiments" / ID
        folder.mkdir(parents=True)
        (folder / "experiment.yaml").write_text(text)
        self.campaign = Campaign(folder, who="job")
        digest = json.dumps({"digest": self.campaign.experiment.digest})
        promise = SimpleNamespace(to_json=lambda: digest)
        self.campaign.registry.seal(self.campaign.experiment, promise)

    def suppression(self, units, n):
        file = self.root / "suppression.csv"
        rows = "".join(f"{unit}\n" for unit in [*units, "seed-of-nobody"])
        file.write_text(f"# generated_at: {night(n).isoformat()}\nunit\n{rows}")
        return file

    def take_in(self, n, table, **lists):
        return self.campaign.assign(table, as_of=night(n), **lists)

    def export(self, n, out=()):
        """One night's lists; gives the units of those written now, by list."""
        report = self.campaign.export(self.suppression(out, n), as_of=night(n))
        return {one.name: self.units(one.folder) for one in report.lists if one.is_new}

    def withdraw(self, n, out=()):
        report = self.campaign.export_withdrawals(self.suppression(out, n), as_of=night(n))
        return {one.name: one.n_units for one in report.lists if one.is_new}

    def units(self, folder):
        name = folder.rsplit("/", 1)[1].split("-")[0]
        return set(pd.read_csv(self.campaign.folder / folder / f"{name}.csv", dtype="str")["unit"])

    def arms(self):
        return self.campaign.read("assign").set_index("unit")["arm"].to_dict()


@pytest.fixture
def trigger(tmp_path):
    return Trigger(tmp_path)


nights = st.lists(
    st.tuples(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40), max_size=4)),
    min_size=1,
    max_size=4,
)


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(nights)
def test_night_by_night_ends_as_one_draw_and_everybody_is_sent_to_once(tmp_path_factory, nights):
    trigger = Trigger(tmp_path_factory.mktemp("nights"))
    seen, out, sent = set(), set(), {}
    for n, (numbers, refusing) in enumerate(nights):
        table = people(*sorted(numbers))
        trigger.take_in(n, table)
        trigger.take_in(n, table)  # the job is started twice
        came, seen = set(table["unit"]) - seen, seen | set(table["unit"])
        out |= {f"c{i:04d}" for i in refusing} & seen
        arms = trigger.arms()
        assert set(arms) == seen
        for name, units in {**trigger.export(n, out), **trigger.export(n, out)}.items():
            wanted = {unit for unit in came if arms[unit] == name.split("-")[0]} - out
            assert units == wanted
            sent[name] = units
    everybody = people(*sorted({i for numbers, _ in nights for i in numbers}))
    at_once = assign(trigger.campaign.experiment, everybody)
    assert trigger.arms() == at_once.set_index("unit")["arm"].to_dict()
    assert sum(map(len, sent.values())) == len(set().union(*sent.values()))
    assert not blocked_by(trigger.campaign.registry.verify())


def test_a_unit_carries_the_moment_it_came_in_and_its_features_of_then(trigger):
    trigger.take_in(0, people(1, 2, spent=5.0))
    report = trigger.take_in(4, people(1, 2, 3, spent=9.0))
    assert (report.n_units, report.n_kept) == (3, 2)
    assigned = trigger.campaign.read("assign").set_index("unit")
    assert assigned.loc["c0001", "assigned_at"] == pd.Timestamp(night(0))
    assert assigned.loc["c0003", "assigned_at"] == pd.Timestamp(night(4))
    features = trigger.campaign.read("customers").set_index("unit")["spent"].to_dict()
    assert features == {"c0001": 5.0, "c0002": 5.0, "c0003": 9.0}
    trigger.export(4)
    contacts = pd.read_parquet(trigger.campaign.folder / "contacts.parquet")
    with export_ledger(trigger.campaign.registry, ID, step="look") as ledger:
        made_at = {pd.Timestamp(batch.at) for batch in ledger.batches()}
    assert set(contacts["sent_at"]) == made_at  # when the lists were made, not the launch
    answers = eligible_units(
        ["c0003", "c0004"], ID, root=trigger.campaign.folder.parent, as_of=night(5)
    )
    assert answers["arm"].notna().tolist() == [True, False]


def test_a_night_without_anybody_new_writes_nothing(trigger):
    trigger.take_in(0, people(1, 2))
    trigger.export(0)
    trail = trigger.campaign.registry.history(ID).rows
    trigger.take_in(1, people(2))
    trigger.take_in(2, people())
    assert trigger.export(2) == {}
    assert trigger.campaign.registry.history(ID).rows == trail
    assert not (trigger.campaign.folder / "intakes").exists()


def test_a_household_that_grows_keeps_its_arm(tmp_path):
    trigger = Trigger(tmp_path, TEXT.replace("kind: trigger", "kind: trigger\ncluster: home"))
    trigger.take_in(0, people(*range(0, 40, 2)))
    trigger.take_in(1, people(*range(40)))
    arms = trigger.arms()
    assert all(arms[f"c{i:04d}"] == arms[f"c{i + 1:04d}"] for i in range(0, 40, 2))


def test_caps_count_back_from_the_night_and_not_from_the_launch(tmp_path):
    caps = "assignment: {contact_caps: [{max_contacts: 1, window_days: 7}]}\nmetrics:"
    trigger = Trigger(tmp_path, TEXT.replace("metrics:", caps, 1))
    sent = pd.DataFrame(
        {"unit": ["c0001", "c0002"], "sent_at": [night(19), night(2)], "campaign": "other"}
    )
    trigger.take_in(0, people(9), contacts=sent)
    trigger.take_in(20, people(1, 2), contacts=sent)
    assert set(trigger.arms()) == {"c0009", "c0002"}


def test_opt_outs_reach_whoever_sends_by_a_delta_where_one_is_due(trigger):
    for n in range(3):
        trigger.take_in(n, people(*range(20 * n, 20 * (n + 1))))
        trigger.export(n)
    arms = trigger.arms()
    late = next(u for u, arm in arms.items() if arm == "email" and u >= "c0020" and u < "c0040")
    held = next(unit for unit, arm in arms.items() if arm == "control")
    assert trigger.withdraw(3, [held]) == {}
    assert trigger.withdraw(3, [held, late]) == {"email-more-1-delta-1": 1}
    assert trigger.withdraw(4, [late]) == {}
    with export_ledger(trigger.campaign.registry, ID, step="look") as ledger:
        assert {unit for unit, _ in ledger.withdrawn()} == {held, late}
    for folder in ("email", "email-more-2"):
        manifest = trigger.campaign.folder / "export" / "send" / folder / "manifest.json"
        assert verify_export.main([str(manifest)]) == 0


def test_only_between_start_and_end_and_only_until_it_is_read(trigger):
    for n in (-1, 92):
        with pytest.raises(DefinitionError, match="takes in customers from 2026-03-01") as caught:
            trigger.take_in(n, people(1))
        assert caught.value.code == "TIME_WINDOW"
    trigger.take_in(0, people(1, 2))
    for state in ("live", "maturing", "read"):
        trigger.campaign.registry.advance(ID, state)
    with pytest.raises(StateError, match="takes in nobody any more") as late:
        trigger.take_in(9, people(3))
    assert late.value.code == "INTAKE_LATE"
    endless = TEXT.replace("  ends_at: 2026-06-01T06:00:00Z\n", "")
    with pytest.raises(DefinitionError, match=r"schedule\.ends_at") as missing:
        Trigger(trigger.root / "other", endless)
    assert missing.value.code == "SEAL_INCOMPLETE"


def test_a_campaign_is_not_drawn_as_of_another_moment(tmp_path):
    text = TEXT.replace("kind: trigger", "kind: campaign_holdout")
    campaign = Trigger(tmp_path, text.replace("  ends_at: 2026-06-01T06:00:00Z\n", "")).campaign
    with pytest.raises(DefinitionError, match="as of its launch") as caught:
        campaign.assign(people(1), as_of=night(1))
    assert caught.value.code == "ARGUMENT_INVALID"


def test_a_changed_intake_is_noticed_before_it_is_used(trigger):
    trigger.take_in(0, people(*range(9)))
    trigger.take_in(1, people(*range(20)))
    (folder,) = (trigger.campaign.folder / "intakes").iterdir()
    (folder / "assignment.json").write_text("{}")
    for step in (lambda: trigger.export(1), lambda: trigger.take_in(2, people(50))):
        with pytest.raises(DataError) as caught:
            step()
        assert caught.value.code == "FILE_CHECKSUM"


def test_two_jobs_that_meet_take_nobody_in_twice(trigger, monkeypatch):
    trigger.take_in(0, people(1))
    plain, between = Campaign.assign, []

    def record(registry, *given, **more):
        if not between:
            between.append(True)
            plain(Campaign(trigger.campaign.folder), people(2, 3), as_of=night(1))
        return type(registry).record(registry, *given, **more)

    monkeypatch.setattr(
        trigger.campaign.registry,
        "record",
        lambda *g, **m: record(trigger.campaign.registry, *g, **m),
    )
    with pytest.raises(StateError, match="run it again") as raced:
        trigger.take_in(1, people(3, 4))
    assert raced.value.code == "INTAKE_RACED"
    trigger.take_in(1, people(3, 4))
    assert set(trigger.arms()) == {"c0001", "c0002", "c0003", "c0004"}
    assert not blocked_by(trigger.campaign.registry.verify())


KILLER = """
import json, os, sys
import pandas as pd
from pathlib import Path
from uplift.campaign import Campaign

folder, table, at, *points = sys.argv[1:]
signals = []
for point in points:
    child = os.fork()
    if child == 0:
        os.environ["UPLIFT_FAIL_AT"] = point
        Campaign(Path(folder), who="job").assign(pd.read_parquet(table), as_of=at)
        os._exit(0)
    signals.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(signals))
"""


@pytest.mark.parametrize("point", ["intake:staged", "intake:named"])
def test_a_night_that_broke_off_is_as_if_it_had_not_been(trigger, monkeypatch, point):
    trigger.take_in(0, people(1))

    def stop(name):
        if name == point:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(intakes, "fail_point", stop)
        with pytest.raises(KeyboardInterrupt):
            trigger.take_in(1, people(*range(9)))
    assert set(trigger.arms()) == {"c0001"}
    trigger.take_in(2, people(*range(12)))
    at_once = assign(trigger.campaign.experiment, people(*range(12)))
    assert trigger.arms() == at_once.set_index("unit")["arm"].to_dict()


@pytest.mark.slow
def test_killed_at_any_point_the_next_night_draws_the_same(trigger, tmp_path):
    trigger.take_in(0, people(1))
    people(*range(9)).to_parquet(tmp_path / "people.parquet")
    points = ("intake:staged", "intake:named", "record:half")
    words = (trigger.campaign.folder, tmp_path / "people.parquet", night(1).isoformat(), *points)
    command = [sys.executable, "-c", KILLER, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [-9, -9, -9]
    assert set(trigger.arms()) == {"c0001"}
    assert not blocked_by(trigger.campaign.registry.verify())
    trigger.take_in(2, people(*range(12)))
    at_once = assign(trigger.campaign.experiment, people(*range(12)))
    assert trigger.arms() == at_once.set_index("unit")["arm"].to_dict()


def test_the_nightly_job_by_commands(trigger, tmp_path, monkeypatch, capsys):
    def run(*words):
        given = ["uplift", *map(str, words), "--root", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", given)
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0), capsys.readouterr().out

    for n in range(2):
        table = tmp_path / "people.parquet"
        people(*range(10 * n, 10 * (n + 1))).to_parquet(table)
        as_of = ("--as-of", night(n).isoformat())
        assert run("assign", ID, table, *as_of)[0] == 0
        code, out = run("export", ID, "--suppression", trigger.suppression([], n), *as_of)
        assert code == 0
    assert "email-more-1" in out
