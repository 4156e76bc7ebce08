"""Logs of contacts: kept whole, one log together, closed by the reading; and what they are for."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pandas as pd
import pytest

from tests.bad_inputs.commands import contents, done, run
from tests.bad_inputs.conftest import Stages
from tests.bad_inputs.doors import assigned, experiment, outcomes, sent
from tests.bad_inputs.steps import folder_of
from uplift.analysis.delivery import contact_log
from uplift.campaign import Campaign
from uplift.contact_logs import ContactLogs
from uplift.errors import StateError, UpliftError
from uplift.inference.compliance import complier_effect
from uplift.inference.moments import Moments
from uplift.registry.registry import Registry


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    return Stages(tmp_path_factory.mktemp("contacts"))


@pytest.fixture
def project(stages, tmp_path):
    return shutil.copytree(stages.of("assigned"), tmp_path / "project")


def campaign(project):
    return Campaign(folder_of(project), who="ann")


def bounced(n):
    """The later log of the same contacts, of which some did not arrive."""
    log = sent()
    log["status"] = ["bounced"] * n + ["delivered"] * (len(log) - n)
    return log


def arms(kept):
    return {one.arm: (one.assigned, one.sent, one.delivered) for one in kept.arms}


def files(project):
    return sorted(path.name for path in (folder_of(project) / "contact_logs").glob("*"))


def test_a_later_log_says_what_became_of_the_contacts_of_an_earlier_one(project):
    road, first = campaign(project), sent().drop(columns="status")
    n = len(first)
    assert arms(road.keep_contacts(first))["email"] == (n, n, n)  # nothing says what arrived
    kept = road.keep_contacts(bounced(30))
    assert (kept.number, kept.n_contacts) == (2, n)
    assert arms(kept) == {"control": (400 - n, 0, 0), "email": (n, n, n - 30)}
    other = first.head(30).assign(sent_at="2017-07-04T09:00Z", status="delivered", channel="post")
    assert arms(road.keep_contacts(other))["email"] == (n, n, n)  # by post all were reached


def test_without_a_log_of_deliveries_what_bounced_was_not_delivered():
    log = sent().assign(status="sent")
    log.loc[:9, "status"] = "bounced"
    found = contact_log(experiment(), assigned(), log)
    assert (found.sent.sum(), found.delivered.sum()) == (len(log), len(log) - 10)


def test_the_same_log_again_changes_nothing(project):
    road = campaign(project)
    road.keep_contacts(sent())
    before = contents(project)
    assert road.keep_contacts(sent()).number == 1
    assert contents(project) == before
    assert len(files(project)) == 1


def test_the_analysis_reads_by_the_log_that_is_kept(project):
    road = campaign(project)
    road.keep_contacts(bounced(60))
    road.ingest(outcomes())
    report = road.analyse()
    found = next(one for one in report.delivery if one.arm == "email").complier
    log, table = bounced(60), outcomes().merge(assigned()[["unit", "arm"]], on="unit")
    reached = set(log.loc[log["status"] == "delivered", "unit"])
    table["d"] = table["unit"].isin(reached).astype(float)
    moments = {
        arm: Moments.of({"y": rows["spend"], "d": rows["d"]}, ("y", "d"), [("y", "d")])
        for arm, rows in table.groupby("arm")
    }
    plain = complier_effect(moments["email"], moments["control"], outcome="y", delivered="d")
    assert found.effect == pytest.approx(plain.effect, rel=1e-9)
    assert found.effect == pytest.approx(found.assigned.effect * len(log) / (len(log) - 60))
    kept = json.loads((folder_of(project) / "analysis.json").read_text())
    assert kept["delivery"][1]["delivered"] == len(log) - 60


def test_a_log_given_with_the_analysis_is_kept_by_it_and_the_same_reading_comes_again(project):
    campaign(project).ingest(outcomes())
    file = project / "log.parquet"
    bounced(60).to_parquet(file)
    words = ("analyse", "voucher", "--contacts", file, "--as-of", "2018-01-01", "--root", project)
    done(*words)
    assert len(files(project)) == 1
    after = contents(project)
    done(*words)
    done("analyse", "voucher", "--as-of", "2018-01-01", "--root", project)
    assert contents(project) == after


def test_a_log_that_the_reading_refuses_is_not_kept(project):
    campaign(project).ingest(outcomes())
    file = project / "log.parquet"
    bounced(60).to_parquet(file)
    before = contents(project)
    words = ("analyse", "voucher", "--contacts", file, "--among", "opened", "--root", project)
    code, out, err = run(*words)
    assert (code, out, err.split(":")[0]) == (2, "", "POST_TREATMENT_FILTER")
    assert contents(project) == before


def test_once_the_result_is_read_no_other_log_is_taken(project):
    road = campaign(project)
    road.keep_contacts(sent())
    road.ingest(outcomes())
    road.analyse(as_of="2018-01-01")
    before = contents(project)
    for step in (
        lambda: campaign(project).keep_contacts(bounced(5)),
        lambda: campaign(project).analyse(contacts=bounced(5)),
    ):
        with pytest.raises(StateError, match="rests on the contacts") as refused:
            step()
        assert refused.value.code == "CONTACTS_LATE"
    assert contents(project) == before
    assert campaign(project).keep_contacts(sent()).number == 1  # known already


def test_no_log_before_the_assignment(stages, tmp_path):
    project = shutil.copytree(stages.of("sealed"), tmp_path / "early")
    with pytest.raises(StateError) as refused:
        campaign(project).keep_contacts(sent())
    assert refused.value.code == "STATE_ORDER"


def test_a_log_that_was_changed_is_noticed(project):
    campaign(project).keep_contacts(sent())
    (file,) = (folder_of(project) / "contact_logs").glob("*")
    bounced(5).to_parquet(file)
    with pytest.raises(UpliftError) as refused:
        campaign(project).keep_contacts(bounced(9))
    assert refused.value.code == "FILE_CHECKSUM"


def test_two_runs_at_once_keep_one_log_each_or_say_so(project, monkeypatch):
    first, second = campaign(project), campaign(project)
    late = ContactLogs.files

    def before_the_other(logs):
        found = late(logs)
        if logs.who == "late" and not raced:
            raced.append(True)
            first.keep_contacts(sent())
        return found

    raced = []
    second.who = "late"
    monkeypatch.setattr(ContactLogs, "files", before_the_other)
    with pytest.raises(StateError, match="at the same time") as refused:
        second.contact_logs.keep(bounced(5))
    assert refused.value.code == "CONTACTS_RACED"
    assert len(files(project)) == 1


KILLED = """
import sys, pandas as pd
from uplift.campaign import Campaign
Campaign(sys.argv[1]).keep_contacts(pd.read_parquet(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("point", ["contacts:named", "record:half"])
def test_killed_at_any_point_the_log_is_there_or_not(project, point):
    file = project / "log.parquet"
    sent().to_parquet(file)
    words = [sys.executable, "-c", KILLED, str(folder_of(project)), str(file)]
    killed = subprocess.run(words, env={**os.environ, "UPLIFT_FAIL_AT": point}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert campaign(project).contact_logs.table() is None
    assert campaign(project).keep_contacts(sent()).number == 1
    assert len(files(project)) == 1


def test_the_command_shows_every_arm_along_the_way(project):
    file = project / "log.csv"
    pd.concat([bounced(30)]).to_csv(file, index=False)
    out = done("contacts", "voucher", file, "--who", "ann", "--root", project)
    n = len(sent())
    assert [line.split() for line in out.splitlines()[2:4]] == [
        ["control", str(400 - n), "0", "0"],
        ["email", str(n), str(n), str(n - 30)],
    ]
    assert "contact_logs/0001-" in out
    rows = Registry(project / "experiments").history("voucher").rows
    assert [row.action for row in rows][-1] == "record"
