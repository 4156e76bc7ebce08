"""A sender outside the project hears whom it may contact; what cannot be read is never a yes."""

from datetime import UTC, datetime

import pandas as pd
import pytest

from uplift.campaign import Campaign
from uplift.datasets import plasmode_campaign
from uplift.eligibility import eligible, eligible_units
from uplift.errors import DataError, StateError

DURING, AFTER = datetime(2017, 7, 10, tzinfo=UTC), datetime(2017, 8, 10, tzinfo=UTC)


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
    assert ask(project, "nobody").reasons == ("not assigned",)
    suppressed = pd.DataFrame({"unit": [treated]})
    assert ask(project, treated, suppressed=suppressed).reasons == ("suppressed",)
    assert ask(project, treated, as_of=AFTER).reasons == ("window closed",)


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
