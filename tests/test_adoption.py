"""An assignment drawn elsewhere is taken over only when it can be trusted as our own."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from uplift.campaign import Campaign
from uplift.checks import blocked_by
from uplift.cli import main
from uplift.datasets import plasmode_campaign
from uplift.errors import DataError, UpliftError
from uplift.experiment import load_experiment

ARMS = ("control", "email", "post", "telephone")
N_UNITS = 1_200


@pytest.fixture(scope="module")
def world():
    return plasmode_campaign(N_UNITS, seed=3)


@pytest.fixture(scope="module")
def customers(world):
    return world.customers


@pytest.fixture
def campaign(new_project, tmp_path, customers):
    one = Campaign(new_project(tmp_path) / "experiments" / "spring_voucher")
    one.design(customers)
    one.seal()
    return one


def drawn(customers, shares=(0.25,) * 4):
    """An assignment by somebody else's random numbers."""
    arms = np.repeat(ARMS, np.round(np.multiply(shares, N_UNITS)).astype(int))
    return pd.DataFrame(
        {"unit": customers["unit"], "arm": np.random.default_rng(1).permutation(arms)}
    )


def test_a_good_one_is_taken_over_and_fixed(campaign, customers):
    assigned = drawn(customers)
    sent = assigned.loc[assigned["arm"] != "control", ["unit"]]
    report = campaign.adopt(assigned, customers, sent=sent)
    assert report.n_units == N_UNITS
    assert campaign.registry.state("spring_voucher") == "assigned"
    assert campaign.experiment == load_experiment(campaign.folder)


def control_only(assigned, customers):
    return assigned.assign(arm="control"), None


def not_assigned(assigned, customers):
    return assigned.iloc[10:], customers[["unit"]].iloc[5:12]


def control_sent(assigned, customers):
    return assigned, assigned.loc[assigned["arm"] == "control", ["unit"]].head(3)


def more_of_one(assigned, customers):
    return drawn(customers, (0.2, 0.3, 0.25, 0.25)), None


def by_spend(assigned, customers):
    order = customers["spend_28d_before"].argsort().to_numpy()
    arms = np.empty(N_UNITS, dtype=object)
    arms[order] = np.repeat(ARMS, N_UNITS // 4)
    return assigned.assign(arm=arms), None


@pytest.mark.parametrize(
    ("bad", "code", "count"),
    [
        (more_of_one, "SRM", N_UNITS),
        (by_spend, "BALANCE", N_UNITS),
        (not_assigned, "EXPOSED_UNASSIGNED", 5),
        (control_sent, "CONTROL_EXPOSED", 3),
        (lambda a, c: (a.assign(arm=a["arm"].str.title()), None), "ARM_UNKNOWN", None),
        (lambda a, c: (a.assign(arm=a["arm"].where(a.index > 3)), None), "ARM_NULL", 4),
        (control_only, "ARM_MISSING", None),
    ],
)
def test_a_bad_one_is_refused_and_nothing_is_written(campaign, customers, bad, code, count):
    assigned, sent = bad(drawn(customers), customers)
    before = sorted(campaign.folder.iterdir())
    with pytest.raises(DataError) as caught:
        campaign.adopt(assigned, customers, sent=sent)
    assert caught.value.code == code
    assert count is None or caught.value.count == count
    assert campaign.registry.state("spring_voucher") == "sealed"
    assert sorted(campaign.folder.iterdir()) == before


REASON = "The agency drew it so; it is kept to plan the next one."


@pytest.mark.parametrize(("bad", "code"), [(more_of_one, "SRM"), (by_spend, "BALANCE")])
def test_a_failed_one_may_be_taken_over_with_a_reason_and_never_has_a_verdict(
    campaign, world, customers, bad, code
):
    assigned, _ = bad(drawn(customers), customers)
    campaign.adopt(assigned, customers, despite=REASON)
    campaign.adopt(assigned, customers, despite=REASON)  # again: nothing changes
    rows = [r for r in campaign.registry.history("spring_voucher").rows if r.to_state == "assigned"]
    assert [list(row.payload["failed_checks"]) for row in rows] == [[code]]
    campaign.ingest(world.outcomes(campaign.read("assign")))
    for report in (campaign.analyse(), campaign.reading()):
        assert (report.valid, report.decision.action) == (False, "none")
        assert report.decision.words[0].startswith("No verdict: assignment taken over")
        (check,) = [check for check in report.checks if check.code == "ADOPTED_DESPITE"]
        assert check.value == code
        assert REASON in check.remedy
        assert {row[-1] for row in report.table().rows} <= {"withheld", "for comparison"}
    assert REASON in campaign.path("analyse").read_text()
    assert not blocked_by(campaign.registry.verify())
    campaign.decide("retest", "The split was not ours.")
    child = campaign.write_child("again").read_text()
    assert "prior" not in child  # what is not trusted is nobody's prior


def test_a_good_one_has_its_verdict_whether_or_not_a_reason_is_given(campaign, world, customers):
    campaign.adopt(drawn(customers), customers, despite=REASON)
    campaign.ingest(world.outcomes(campaign.read("assign")))
    assert campaign.analyse().valid


@pytest.mark.parametrize("valid", [True, False])
def test_nobody_is_planned_for_contact_where_the_verdict_is_withheld(campaign, monkeypatch, valid):
    returns = pd.DataFrame({"unit": ["a", "b"], "arm": "email"})
    known = {
        "returns": SimpleNamespace(customers=returns),
        "quality": SimpleNamespace(recommended="dr"),
    }
    campaign.__dict__.update(known)
    monkeypatch.setattr(campaign, "reading", lambda: SimpleNamespace(valid=valid, barred=()))
    monkeypatch.setattr(
        "uplift.campaign.plan_contacts", lambda table, policy, suppressed=(): suppressed
    )
    assert list(campaign.contact_plan) == ([] if valid else ["a", "b"])


@pytest.mark.parametrize(
    ("bad", "despite", "code"),
    [
        (more_of_one, " ", "REASON_MISSING"),
        (control_only, REASON, "ARM_MISSING"),
        (control_sent, REASON, "CONTROL_EXPOSED"),
        (not_assigned, REASON, "EXPOSED_UNASSIGNED"),
    ],
)
def test_what_did_not_happen_so_is_never_taken_over(campaign, customers, bad, despite, code):
    assigned, sent = bad(drawn(customers), customers)
    with pytest.raises(UpliftError) as caught:
        campaign.adopt(assigned, customers, sent=sent, despite=despite)
    assert caught.value.code == code
    assert campaign.registry.state("spring_voucher") == "sealed"


@pytest.mark.parametrize(
    ("bad", "despite", "exit_code", "said"),
    [
        (more_of_one, None, 1, "SRM"),
        (more_of_one, REASON, 0, ""),
        (not_assigned, None, 2, "EXPOSED_UNASSIGNED"),
        (None, None, 0, ""),
    ],
)
def test_the_command_says_no_with_a_check_and_with_bad_input(
    campaign, customers, tmp_path, monkeypatch, capsys, bad, despite, exit_code, said
):
    assigned, sent = (drawn(customers), None) if bad is None else bad(drawn(customers), customers)
    assigned.to_csv(tmp_path / "assigned.csv", index=False)
    customers.to_parquet(tmp_path / "customers.parquet")
    words = ["adopt", "spring_voucher", tmp_path / "assigned.csv", tmp_path / "customers.parquet"]
    if sent is not None:
        sent.to_csv(tmp_path / "sent.csv", index=False)
        words += ["--sent", tmp_path / "sent.csv"]
    if despite:
        words += ["--despite", despite]
    monkeypatch.setattr(sys, "argv", ["uplift", *map(str, words), "--root", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert int(stop.value.code or 0) == exit_code
    assert capsys.readouterr().err.startswith(said)
