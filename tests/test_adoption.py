"""An assignment drawn elsewhere is taken over only when it can be trusted as our own."""

import sys

import numpy as np
import pandas as pd
import pytest

from uplift.campaign import Campaign
from uplift.cli import main
from uplift.datasets import plasmode_campaign
from uplift.errors import DataError
from uplift.experiment import load_experiment

ARMS = ("control", "email", "post", "telephone")
N_UNITS = 1_200


@pytest.fixture(scope="module")
def customers():
    return plasmode_campaign(N_UNITS, seed=3).customers


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


@pytest.mark.parametrize(
    ("bad", "exit_code", "said"),
    [(more_of_one, 1, "SRM"), (not_assigned, 2, "EXPOSED_UNASSIGNED"), (None, 0, "")],
)
def test_the_command_says_no_with_a_check_and_with_bad_input(
    campaign, customers, tmp_path, monkeypatch, capsys, bad, exit_code, said
):
    assigned, sent = (drawn(customers), None) if bad is None else bad(drawn(customers), customers)
    assigned.to_csv(tmp_path / "assigned.csv", index=False)
    customers.to_parquet(tmp_path / "customers.parquet")
    words = ["adopt", "spring_voucher", tmp_path / "assigned.csv", tmp_path / "customers.parquet"]
    if sent is not None:
        sent.to_csv(tmp_path / "sent.csv", index=False)
        words += ["--sent", tmp_path / "sent.csv"]
    monkeypatch.setattr(sys, "argv", ["uplift", *map(str, words), "--root", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert int(stop.value.code or 0) == exit_code
    assert capsys.readouterr().err.startswith(said)
