"""A campaign's assignment grows by ramp-ups and waves, and nobody who has an arm loses it."""

import sys

import pandas as pd
import pytest

from tests.assignment.definitions import WAVES, define
from tests.assignment.test_draws import customers
from uplift.campaign import Campaign
from uplift.cli import main
from uplift.errors import DataError, DefinitionError, StateError, UpliftError

STRATIFIED = "method: stratified, strata: [region], exposure_share: 1/4"


@pytest.fixture(scope="module")
def table():
    return customers(900)


def campaign(folder, experiment):
    place = folder / "experiments" / experiment.id
    place.mkdir(parents=True, exist_ok=True)
    (place / "experiment.yaml").write_text(experiment.to_yaml(), encoding="utf-8")
    one = Campaign(place, who="ann")
    one.design(n_units=900)
    one.seal()
    return one


def test_the_account_of_an_assignment_is_kept_beside_it(tmp_path, table):
    one = campaign(tmp_path, define())
    suppressed = table[["unit"]].iloc[:100]
    report = one.assign(table, suppressed=suppressed)
    steps = {step.name: step.n_units for step in report.steps}
    assert steps["not suppressed"] == 800
    assert (one.folder / "assignment.json").read_text(encoding="utf-8") == report.to_json()
    assert not set(one.read("assign")["unit"]) & set(suppressed["unit"])
    assert all(check.passed for check in one.registry.verify())


def test_a_ramp_up_adds_a_file_and_an_amendment_and_changes_nobody(tmp_path, table):
    one = campaign(tmp_path, define(STRATIFIED))
    one.assign(table)
    first = one.read("assign")
    bytes_before = (one.folder / "assignment.parquet").read_bytes()
    report = one.ramp("1/2")
    second = one.read("assign").set_index("unit")["arm"]
    assert len(first) < len(second) < len(table)
    assert report.n_units == len(second)
    assert report.n_kept == len(first)
    assert (second[first["unit"]].to_numpy() == first["arm"].to_numpy()).all()
    assert (one.folder / "assignment.parquet").read_bytes() == bytes_before
    one.ramp("1/2")  # again: nothing changes
    changes = [amendment.change for amendment in one.registry.amendments("spring")]
    assert changes == ["exposure_share raised from 1/4 to 1/2"]
    one.ramp(1)
    assert set(one.read("assign")["unit"]) == set(table["unit"])
    assert [path.name for path in one.assigned.files] == [
        "assignment.parquet", "assignment_ramp_2.parquet", "assignment_ramp_3.parquet",
    ]  # fmt: skip
    for share in ("1/2", "1/8"):
        with pytest.raises(UpliftError) as error:
            one.ramp(share)
        assert error.value.code == "RAMP_DOWN"
    assert all(check.passed for check in one.registry.verify())
    assert len(one.held_out()) == (one.read("assign")["arm"] == "control").sum()


def test_the_same_ramp_up_with_another_result_is_refused(tmp_path, table):
    one = campaign(tmp_path, define(STRATIFIED))
    one.assign(table)
    one.ramp("1/2")
    before = one.read("assign")
    with pytest.raises(StateError) as error:
        one.ramp("1/2", suppressed=table[["unit"]])
    assert error.value.code == "ARTEFACT_FROZEN"
    pd.testing.assert_frame_equal(one.read("assign"), before)


def test_no_more_units_once_outcomes_are_there(tmp_path, table):
    one = campaign(tmp_path, define(STRATIFIED))
    one.assign(table)
    one.ingest(one.read("assign")[["unit"]].assign(spend=1.0))
    with pytest.raises(StateError, match="maturing") as error:
        one.ramp("1/2")
    assert error.value.code == "RAMP_LATE"


@pytest.mark.parametrize("method", ["hash", "stratified"])
def test_waves_have_files_of_their_own_in_their_order(tmp_path, table, method):
    one = campaign(tmp_path, define(f"method: {method}", waves=WAVES))
    one.assign_wave("wave_1", table.iloc[:600])
    with pytest.raises(StateError, match="wave_2 has not been assigned") as error:
        one.assign_wave("wave_3", table)
    assert error.value.code == "WAVE_ORDER"
    one.assign_wave("wave_2", table)
    one.assign_wave("wave_3", table)
    first, second, third = (one.assigned.wave(f"wave_{i}") for i in (1, 2, 3))
    arms = second.set_index("unit")["arm"]
    assert (arms[first["unit"]].to_numpy() == first["arm"].to_numpy()).all()
    assert len(second) == len(third) == 900
    assert (second["arm"] != third["arm"]).any()
    one.assign_wave("wave_2", table)  # again: the same file
    with pytest.raises(StateError) as error:
        one.assign_wave("wave_2", table.iloc[:800])
    assert error.value.code == "ARTEFACT_FROZEN"
    with pytest.raises(StateError, match="assignment_wave_2") as error:
        one.ramp(1)
    assert error.value.code == "RAMP_LATE"
    assert all(check.passed for check in one.registry.verify())


def test_the_control_that_a_definition_excludes_is_read_from_its_assignment(tmp_path, table):
    one = campaign(tmp_path, define("excludes: [universal]"))
    with pytest.raises(DefinitionError, match="universal") as missing:
        one.assign(table)
    assert missing.value.code == "FILE_MISSING"
    universal = campaign(tmp_path, define(id="universal"))
    universal.assign(table)
    more = table[["unit"]].iloc[:5]
    one.assign(table, excluded=more)
    out = set(universal.held_out()["unit"]) | set(more["unit"])
    assert set(one.read("assign")["unit"]) == set(table["unit"]) - out
    with pytest.raises(DataError) as error:
        one.assign(table, excluded=universal.read("assign"))
    assert error.value.code == "EXCLUDED_ARMS"


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*words):
        monkeypatch.setattr(sys, "argv", ["uplift", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


def test_the_command_takes_lists_ramps_and_waves(run, tmp_path, table):
    plan = "exposure_share: 1/2, contact_caps: [{max_contacts: 1, window_days: 7}]"
    campaign(tmp_path, define(plan, waves=WAVES))
    files = {"customers": table, "stop": table[["unit"]].iloc[:50]}
    files["sent"] = table[["unit"]].iloc[50:100].assign(sent_at="2017-07-02", campaign="other")
    for name, frame in files.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    root = ("--root", tmp_path)
    lists = ("--suppressed", tmp_path / "stop.csv", "--contacts", tmp_path / "sent.csv")
    everybody = tmp_path / "customers.csv"
    assert "CONTACTS_MISSING" in run("assign", "spring", everybody, *root)[2]
    code, out, _ = run("assign", "spring", everybody, *lists, *root)
    assert code == 0
    assert "not suppressed 850 → below the caps 800" in out
    code, out, _ = run("assign", "spring", "--exposure-share", "1", *lists, *root)
    assert code == 0
    assert "assignment_ramp_2.parquet" in out
    code, out, _ = run("assign", "spring", everybody, "--wave", "wave_2", *lists, *root)
    assert code == 0
    assert "assignment_wave_2.parquet" in out
    for words in ((), (everybody, "--exposure-share", "1")):
        code, _, err = run("assign", "spring", *words, *root)
        assert code == 2
        assert "ARGUMENT_INVALID" in err


# --- read as a whole -----------------------------------------------------------------------------


def read_to_the_end(one, outcomes):
    one.ingest(outcomes)
    return one.analyse(as_of="2018-01-01")


def test_ramp_ups_and_sticky_waves_are_read_together_each_customer_once(tmp_path, table):
    sticky = WAVES.replace(", draw: redrawn", "")
    one = campaign(tmp_path, define("exposure_share: 1/2", waves=sticky))
    one.assign(table.iloc[:600])
    one.ramp(1)
    one.assign_wave("wave_2", table)
    one.assign_wave("wave_3", table)
    whole = one.read("assign")
    assert whole["unit"].is_unique
    assert set(whole["unit"]) == set(table["unit"])
    assert whole["wave"].value_counts().to_dict() == {"wave_1": 600, "wave_2": 300}
    report = read_to_the_end(one, table[["unit"]].assign(spend=table["spend_before"]))
    assert sum(report.analysed.values()) == len(table)
    assert {row.wave for row in report.waves} == {"wave_1", "wave_2"}


def test_a_wave_drawn_anew_is_read_by_customer(tmp_path, table):
    one = campaign(tmp_path, define(waves=WAVES))
    one.assign(table)
    one.assign_wave("wave_2", table)
    one.assign_wave("wave_3", table)
    whole = one.read("assign")
    assert len(whole) == 3 * len(table)
    outcomes = whole[["unit", "wave"]].assign(spend=20.0 + pd.Series(range(len(whole))) % 7)
    report = read_to_the_end(one, outcomes)
    assert sum(report.analysed.values()) == 3 * len(table)
    assert report.effect("spend@1", "voucher").method == "by customer"
    assert one.trial.n_units == len(table)  # models learn from the first wave
