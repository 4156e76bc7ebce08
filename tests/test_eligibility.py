"""A sender outside the project hears whom it may contact; what cannot be read is never a yes."""

import re
from datetime import UTC, datetime

import pandas as pd
import pytest

from tests.assignment.definitions import WAVES, define
from tests.assignment.test_draws import customers as draw_customers
from tests.test_assigned import campaign as campaign_in
from uplift.assignment.hashing import in_its_layer
from uplift.campaign import Campaign
from uplift.datasets import plasmode_campaign
from uplift.eligibility import eligible, eligible_units, write_do_not_contact
from uplift.errors import DataError, StateError
from uplift.files import file_digest

BEFORE, DURING, AFTER = (
    datetime(2017, 7, 1, tzinfo=UTC),
    datetime(2017, 7, 10, tzinfo=UTC),
    datetime(2017, 8, 10, tzinfo=UTC),
)


@pytest.fixture(scope="module")
def project(new_project, tmp_path_factory):
    root = new_project(tmp_path_factory.mktemp("eligible"))
    customers = plasmode_campaign(1_000, seed=3).customers
    file = root / "experiments" / "spring_voucher" / "experiment.yaml"
    file.write_text(
        file.read_text().replace(
            "metrics:", "assignment: {excludes: [universal_control]}\nmetrics:"
        )
    )
    static = root / "experiments" / "universal_control" / "experiment.yaml"
    static.write_text(re.sub(r"rotation: .*\n", "", static.read_text()))
    for name in ("universal_control", "spring_voucher"):
        campaign = Campaign(root / "experiments" / name)
        campaign.design(customers)
        campaign.seal()
        campaign.assign(customers)
    return root / "experiments"


def arms(project, name):
    return pd.read_parquet(project / name / "assignment.parquet").set_index("unit")["arm"]


def ask(project, unit, **given):
    return eligible(unit, "spring_voucher", root=project, **{"as_of": DURING, **given})


def test_a_treated_customer_may_be_contacted_and_a_held_out_one_may_not(project):
    voucher, universal = arms(project, "spring_voucher"), arms(project, "universal_control")
    free = universal.index[universal != "control"].intersection(voucher.index)
    treated = voucher[free][voucher[free] != "control"].index[0]
    held = voucher[free][voucher[free] == "control"].index[0]
    answer = ask(project, treated)
    assert (answer.eligible, answer.arm, answer.reasons) == (True, voucher[treated], ())
    assert ask(project, held).reasons == ("control",)
    assert ask(project, "nobody").reasons == ("not in the audience",)
    suppressed = pd.DataFrame({"unit": [treated]})
    assert ask(project, treated, suppressed=suppressed).reasons == ("suppressed",)
    assert ask(project, treated, as_of=AFTER).reasons == ("window closed",)
    assert ask(project, treated, as_of=BEFORE).reasons == ("not open yet",)


def test_nobody_of_the_universal_control_is_ever_a_yes(project):
    universal = arms(project, "universal_control")
    members = list(universal.index[universal == "control"])
    answers = eligible_units(members, "spring_voucher", root=project, as_of=DURING)
    assert not answers["eligible"].any()
    assert answers["reasons"].str.contains("excluded").all()


def test_an_empty_suppression_list_is_taken_for_a_broken_one(project):
    with pytest.raises(DataError, match="empty") as caught:
        ask(project, "1", suppressed=pd.DataFrame({"unit": pd.Series(dtype="str")}))
    assert caught.value.code == "SUPPRESSION_STALE"


def test_what_was_changed_or_is_not_there_is_an_error(project, tmp_path):
    with pytest.raises(StateError) as caught:
        eligible("1", "hillstrom_email", root=project)
    assert caught.value.code == "EXPERIMENT_UNKNOWN"
    file = project / "universal_control" / "assignment.parquet"
    content = file.read_bytes()
    try:
        file.write_bytes(content[:-1])
        with pytest.raises(DataError) as caught:
            ask(project, "1")
        assert caught.value.code == "FILE_CHECKSUM"
    finally:
        file.write_bytes(content)


def test_a_suppression_file_is_read_as_an_export_reads_it(project, tmp_path):
    voucher, universal = arms(project, "spring_voucher"), arms(project, "universal_control")
    free = voucher[voucher.index.isin(universal.index[universal != "control"])]
    by_mail, by_phone = (free.index[free == arm][0] for arm in ("email", "telephone"))
    file = tmp_path / "suppression.csv"
    head = "# generated_at: 2017-07-10T00:00:00Z\nunit,channel\n"
    file.write_text(f"{head}{by_mail},email\n{by_phone},email\n")
    assert ask(project, by_mail, suppressed=file).reasons == ("suppressed",)
    assert ask(project, by_phone, suppressed=file).eligible  # refused e-mail, not calls
    file.write_text(f"unit\n{by_phone}\n")
    for given in (file, tmp_path / "missing.csv"):
        with pytest.raises(DataError) as caught:
            ask(project, by_phone, suppressed=given)
        assert caught.value.code == "SUPPRESSION_STALE"


def test_the_list_for_a_sender_holds_exactly_those_who_get_a_no(project, tmp_path):
    file = tmp_path / "list.csv"
    result = write_do_not_contact(file, "spring_voucher", root=project, as_of=DURING)
    listed = pd.read_csv(file, dtype=str)
    voucher = arms(project, "spring_voucher")
    universal = arms(project, "universal_control")
    customers = pd.read_parquet(project / "spring_voucher" / "customers.parquet")["unit"]
    may = set(voucher.index[voucher != "control"]) - set(universal.index[universal == "control"])
    assert set(listed["unit"]) == set(customers) - may
    assert result.n_listed == len(listed)
    assert result.reasons["excluded"] == (universal == "control").sum()
    assert result.sha256 == file_digest(file)


def test_waves_ramp_ups_layers_and_exposure_have_reasons_of_their_own(tmp_path):
    table = draw_customers(600)
    layer = "layer: {name: spring, start: 0, end: 0.5}, exposure_share: 1/4"
    one = campaign_in(tmp_path, define(layer, waves=WAVES))
    one.assign(table)
    root, now = one.folder.parent, one.experiment.schedule.windows[0].opens_at
    answers = eligible_units(table["unit"].tolist(), one.experiment.id, root=root, as_of=now)
    inside = in_its_layer(table["unit"], one.experiment)
    assert (answers["reasons"].str.contains("outside the layer") == ~inside).all()
    undrawn = set(table["unit"][inside]) - set(one.read("assign")["unit"])
    assert set(answers.loc[answers["reasons"] == "not drawn", "unit"]) == undrawn
    before = set(answers.loc[answers["eligible"], "unit"])
    one.ramp("1/2")
    after = eligible_units(table["unit"].tolist(), one.experiment.id, root=root, as_of=now)
    assert before < set(after.loc[after["eligible"], "unit"])
