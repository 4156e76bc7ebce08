"""The universal control from size to divergence, by Python and by commands."""

import json
import sys
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from uplift.campaign import Campaign
from uplift.checks import blocked_by
from uplift.cli import main
from uplift.cli.programme import control_app
from uplift.errors import StateError, UpliftError
from uplift.programme import Programme
from uplift.registry.memberships import control_units, memberships
from uplift.sizing.programme_prior import ProgrammePrior

ID = "universal_control"
START = "2024-01-01"
COMMANDS = [command.callback.__name__ for command in control_app.registered_commands]


def customers(n: int = 2_000, *, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "unit": [f"u{i}" for i in range(n)],
            "n_baskets_182d": rng.integers(0, 9, n),
            "spend_28d_before": rng.gamma(1, 40, n),
        }
    )


@pytest.fixture
def programme(new_project, tmp_path):
    """A sealed universal control with a rotation."""
    folder = new_project(tmp_path) / "experiments" / ID
    found = Programme(folder, who="ada")
    design = SimpleNamespace(to_json=lambda: json.dumps({"digest": found.experiment.digest}))
    found.registry.seal(found.experiment, design)
    return found


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


def day(n: int) -> date:
    return date.fromisoformat(START) + timedelta(days=n)


def test_a_year_of_rotations(programme):
    table = customers()
    n_eligible = int((table["n_baskets_182d"] >= 1).sum())
    size = round(n_eligible * 0.05 / 4)
    first = programme.rotate(table, as_of=START)
    assert (first.began, first.released, first.n_held) == ((1, 2, 3, 4), None, 4 * size)
    assert first.next_on == day(91)
    for turn in range(1, 5):
        found = programme.rotate(customers(2_000 + 300 * turn), as_of=day(91 * turn))
        assert (found.began, found.released, found.n_held) == ((4 + turn,), turn, 4 * size)
        assert [row.state for row in found.rows].count("wash-out") == 1
    held = set(programme.held_out(as_of=day(365))["unit"])
    assert len(held) == 4 * size
    assert held <= set(table["unit"]) | set(customers(3_200)["unit"])
    assert not blocked_by(programme.registry.verify())
    assert len(list((programme.folder / "cohorts").iterdir())) == 8
    compared = programme.comparison(as_of=day(400))
    assert set(compared.loc[compared["arm"] == "control", "unit"]) == held
    shown = str(programme.members(as_of=day(460)))
    assert "wash-out" not in shown  # 60 days after the last rotation
    assert "warning ROTATION_LATE (5)" in shown


def test_a_control_that_rotates_is_not_assigned_at_once(programme):
    with pytest.raises(StateError, match="uplift control rotate") as caught:
        Campaign(programme.folder).assign(customers())
    assert caught.value.code == "ROTATION_DRAWS"


def test_before_its_time_nothing_changes_and_a_late_rotation_happens_once(programme):
    table = customers()
    programme.rotate(table, as_of=START)
    trail = programme.registry.history(ID).rows
    for as_of in (START, day(1), day(90)):
        again = programme.rotate(table.sample(frac=0.9, random_state=1), as_of=as_of)
        assert (again.began, again.released) == ((), None)
    assert programme.registry.history(ID).rows == trail
    assert programme.rotate(table, as_of=day(300)).began == (5,)
    assert programme.rotate(table, as_of=day(301)).began == ()
    assert programme.rotate(table, as_of=day(391)).began == (6,)


def test_a_job_that_runs_a_little_earlier_in_the_day_is_still_on_time(programme):
    table = customers()
    programme.rotate(table, as_of=f"{START}T08:00:05")
    assert programme.rotate(table, as_of=f"{day(91)}T08:00:01").began == (5,)


def test_campaigns_leave_out_who_is_held_out_on_the_day_of_their_contact(programme):
    table = customers()
    programme.rotate(table, as_of=START)
    programme.rotate(table, as_of=day(91))
    campaign = Campaign(programme.folder)
    for as_of in (day(10), day(91)):
        expected = control_units(programme.registry, ID, as_of)
        assert list(campaign.held_out(as_of=as_of)["unit"]) == list(expected["unit"])
    gone = set(campaign.held_out(as_of=day(10))["unit"]) - set(
        campaign.held_out(as_of=day(91))["unit"]
    )
    known = memberships(programme.registry, ID)
    assert gone == set(known.loc[known["cohort"] == 1, "unit"])


def test_a_rotation_from_another_customer_table_beside_the_first_changes_nothing(
    programme, monkeypatch
):
    programme.rotate(customers(), as_of=START)
    late = datetime(2024, 4, 20, tzinfo=UTC)
    before = memberships(programme.registry, ID)
    draws = programme._draws()
    programme.rotate(customers(), as_of=late)  # the other one is first
    files = sorted((programme.folder / "cohorts").iterdir())
    monkeypatch.setattr("uplift.programme.memberships", lambda *_: before)
    monkeypatch.setattr(Programme, "_draws", lambda self: draws)
    same = programme.rotate(customers(), as_of=late)
    assert same.began == ()
    with pytest.raises(StateError) as caught:
        programme.rotate(customers(1_500), as_of=late)
    assert caught.value.code == "COHORT_FROZEN"
    monkeypatch.undo()
    assert sorted((programme.folder / "cohorts").iterdir()) == files
    assert not blocked_by(programme.registry.verify())


def test_a_changed_definition_too_few_customers_and_the_future_are_refused(programme):
    for table, as_of, code in (
        (customers(40), START, "POOL_TOO_SMALL"),
        (customers(), "2124-01-01", "TIME_FUTURE"),
        (customers().drop(columns="n_baskets_182d"), START, "AUDIENCE_COLUMN"),
    ):
        with pytest.raises(UpliftError) as caught:
            programme.rotate(table, as_of=as_of)
        assert caught.value.code == code
    assert not list((programme.folder / "cohorts").glob("*"))
    file = programme.folder / "experiment.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("every_days: 91", "every_days: 30"))
    with pytest.raises(UpliftError) as caught:
        Programme(programme.folder).rotate(customers(), as_of=START)
    assert caught.value.code == "EXPERIMENT_FROZEN"


def test_divergence_is_read_over_the_draws_of_the_present_cohorts(programme):
    table = customers(6_000)
    programme.rotate(table, as_of=START)
    programme.rotate(table, as_of=day(91))
    held = table["unit"].isin(programme.held_out(as_of=day(91))["unit"])
    calm = programme.check(table, as_of=day(120))
    assert all(check.passed for check in calm.checks)
    moved = table.assign(spend_28d_before=table["spend_28d_before"] + np.where(held, 40, 0))
    found = programme.check(moved, as_of=day(120))
    failed = {check.name for check in found.checks if not check.passed}
    assert failed == {"divergence spend_28d_before"}
    assert json.loads((programme.folder / "divergence.json").read_text())["programme"] == ID
    for result in (found, programme.members(as_of=day(120))):
        assert "<svg" in result.plot().svg()


def test_the_size_is_written_beside_the_definition(programme):
    found = programme.size(customers(), prior=ProgrammePrior(0.4, 0.6))
    assert json.loads((programme.folder / "control_size.json").read_text())["n_units"] == (
        found.n_units
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_control_has_help_with_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"uplift control {command}" in out


def test_the_control_by_commands(run, programme):
    root = ("--root", programme.folder.parent.parent)
    file, held = programme.folder / "customers.parquet", programme.folder / "held.parquet"
    customers(6_000).to_parquet(file)
    code, out, _ = run(
        "size", ID, "--history", file, "--profit", 0.4, "--profit-std-dev", 0.6, *root
    )
    assert (code, "costs least" in out) == (0, True)
    code, out, _ = run("rotate", ID, file, "--as-of", START, *root)
    assert (code, "Cohort 1, 2, 3, 4 begun." in out) == (0, True)
    code, out, _ = run("rotate", ID, file, "--as-of", day(91), "--json", *root)
    assert (code, json.loads(out)["began"], json.loads(out)["released"]) == (0, [5], 1)
    code, out, _ = run("members", ID, "--as-of", day(100), "--units", held, *root)
    assert (code, f"wrote {held}" in out) == (0, True)
    assert list(pd.read_parquet(held)["unit"]) == list(programme.held_out(as_of=day(100))["unit"])
    code, out, _ = run("check", ID, file, "--as-of", day(100), "--strict", *root)
    assert (code, "still_a_customer" in out) == (0, True)
    gone = programme.folder / "gone.parquet"
    table = customers(6_000)
    table[~table["unit"].isin(pd.read_parquet(held)["unit"][::2])].to_parquet(gone)
    assert run("check", ID, gone, "--as-of", day(100), *root)[0] == 0
    code, out, _ = run("check", ID, gone, "--as-of", day(100), "--strict", *root)
    assert (code, "CONTROL_DIVERGED" in out) == (1, True)
    code, _, err = run("size", ID, "--n-units", 1_000, "--profit", 0.4, *root)
    assert (code, err.split(":")[0]) == (2, "PRIOR_INVALID")
    code, _, err = run("members", "spring_voucher", *root)
    assert (code, err.split(":")[0]) == (2, "EXPERIMENT_UNKNOWN")
