"""Arguments and files of the road itself, where a slip would pass unnoticed."""

from datetime import datetime

import pandas as pd
import pytest

import uplift as up
from tests.bad_inputs.commands import contents, done, run
from tests.bad_inputs.inputs import good_inputs
from tests.bad_inputs.steps import EXPORTED_AT, folder_of, parquet
from uplift.campaign import Campaign
from uplift.eligibility import eligible
from uplift.lint import lint
from uplift.registry.registry import Registry

MADE = f"{EXPORTED_AT:%Y-%m-%dT%H:%M:%SZ}"


def refused(project, *words) -> str:
    """The code of a command that is refused and writes nothing."""
    before = contents(project)
    code, out, err = run(*words, "--root", project)
    assert (code, out, contents(project)) == (2, "", before), err
    return err.split(":")[0]


def suppression(project, *units):
    file = project / "suppression.csv"
    file.write_text(f"# generated_at: {MADE}\nunit\n" + "".join(f"{unit}\n" for unit in units))
    return file


@pytest.mark.parametrize("hours", ["nan", "inf", "1e300", "0", "-1", "9000"])
def test_an_age_that_is_none_never_opens_the_gate(hours, project_for):
    project = project_for("assigned")
    list_of_nobody = suppression(project, "nobody")
    words = ("export", "voucher", "--as-of", MADE, "--suppression", list_of_nobody)
    assert refused(project, *words, "--max-age-hours", hours) == "ARGUMENT_INVALID"


@pytest.mark.parametrize("name", ["", "../voucher", "unknown"])
def test_an_experiment_to_be_left_out_is_never_left_in_by_a_slip(name, project_for):
    project = project_for("sealed")
    file = parquet(good_inputs().customers, project / "customers.parquet")
    code = refused(project, "assign", "voucher", file, "--excluded", name)
    assert code == ("FILE_MISSING" if name == "unknown" else "NAME_INVALID")


def test_an_experiment_that_nobody_registered_has_no_status(project_for):
    assert refused(project_for("sealed"), "status", "unknown") == "EXPERIMENT_UNKNOWN"


def test_withdrawals_of_a_list_that_was_changed_are_refused_before_any_is_written(project_for):
    project = project_for("exported")
    manifest = folder_of(project) / "export" / "send" / "email" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("voucher", "vaucher"))
    words = ("export", "voucher", "--delta", "--as-of", MADE, "--suppression")
    assert refused(project, *words, suppression(project, "nobody")) == "FILE_CHECKSUM"


def test_the_draw_takes_the_suppression_list_that_the_export_takes(project_for):
    inputs, project = good_inputs(), project_for("sealed")
    out = inputs.customers["unit"].head(5).tolist()
    file = parquet(inputs.customers, project / "customers.parquet")
    done("assign", "voucher", file, "--suppressed", suppression(project, *out), "--root", project)
    drawn = pd.read_parquet(folder_of(project) / "assignment.parquet")
    plain = up.assign(inputs.experiment, inputs.customers, suppressed=pd.DataFrame({"unit": out}))
    pd.testing.assert_frame_equal(drawn, plain, check_dtype=False)


def test_contacts_are_checked_also_where_no_cap_counts_them():
    inputs = good_inputs()
    contacts = pd.DataFrame({"unit": ["c000001", None], "sent_at": "2017-07-01"})
    for bad, code in ((contacts, "ID_MISSING"), (contacts[["unit"]].head(1), "COLUMN_MISSING")):
        with pytest.raises(up.errors.DataError) as error:
            up.assign(inputs.experiment, inputs.customers, contacts=bad)
        assert error.value.code == code


def test_a_time_without_a_zone_that_is_asked_about_is_the_campaign_s(project_for):
    root = project_for("assigned") / "experiments"
    for hour, open_ in ((7, False), (8, True)):  # the wave begins at eight in Paris
        answer = eligible("c000001", "voucher", root=root, as_of=datetime(2017, 7, 3, hour, 30))
        assert ("not open yet" in answer.reasons) != open_


def test_the_rules_of_the_ingest_cannot_be_changed_behind_its_back(project_for):
    inputs, project = good_inputs(), project_for("assigned")
    twice = pd.concat([inputs.outcomes, inputs.outcomes.head(3)])
    file = parquet(twice, project / "orders.parquet")
    done("ingest", "voucher", file, "--repeats", "sum", "--root", project)
    told = folder_of(project) / "reading.json"
    told.write_text(told.read_text().replace('"sum"', '"first"'))
    assert refused(project, "analyse", "voucher") == "FILE_CHECKSUM"


def test_a_reading_may_be_told_otherwise_than_the_ingest(project_for):
    inputs, project = good_inputs(), project_for("assigned")
    twice = pd.concat([inputs.outcomes, inputs.outcomes.head(3).assign(spend=0.0)])
    Campaign(folder_of(project), rules={"repeats": "sum"}).ingest(twice)
    means = [
        Campaign(folder_of(project), rules=rules).reading().effect("spend@1", "email").control_mean
        for rules in ({}, {"repeats": "sum"}, {"repeats": "mean"})
    ]
    assert means[0] == means[1] != means[2]


def test_a_lint_says_when_a_sealed_definition_or_its_design_was_changed(project_for):
    project = project_for("sealed")
    root, folder = project / "experiments", folder_of(project)
    assert not {c.code for c in lint(root).checks} & {"EXPERIMENT_FROZEN", "JSON_INVALID"}
    design = folder / "design.json"
    for text in ("{}", "[]", '{"n_units": "many"}'):
        design.write_text(text)  # of another definition: nothing to go by
        assert "JSON_INVALID" not in {check.code for check in lint(root).checks}
    design.write_text('{"n_units": NaN}')
    file = folder / "experiment.yaml"
    file.write_text(file.read_text().replace("title: Voucher", "title: Another"))
    found = {check.code: check for check in lint(root).checks}
    assert found["EXPERIMENT_FROZEN"].blocking
    assert {"EXPERIMENT_FROZEN", "JSON_INVALID"} <= set(found)


def test_what_was_refused_is_not_in_the_registry_either(project_for):
    project = project_for("draft")
    before = contents(project)
    for step in ("design", "simulate"):
        empty = parquet(good_inputs().customers.head(0), project / "none.parquet")
        before = contents(project)
        code, _, _ = run(step, "voucher", "--history", empty, "--root", project)
        assert (code, contents(project)) == (2, before)
    assert Registry(project / "experiments").experiments().rows == ()
