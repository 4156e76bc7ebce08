"""What was changed after sealing is shown with every later number."""

import dataclasses
import json

import pytest

from uplift.campaign import Campaign
from uplift.datasets import plasmode_campaign
from uplift.report.page import render
from uplift.report.road import road_of

CHANGE, WHY, WHO = "calls a day late", "the <dialler> broke down", "ann"
LATER = "opt-outs read again after a month"


@pytest.fixture(scope="module")
def campaign(new_project, tmp_path_factory):
    root = new_project(tmp_path_factory.mktemp("amended"))
    data = plasmode_campaign(800, seed=3)
    one = Campaign(root / "experiments" / "spring_voucher", who="bob")
    one.design(data.customers)
    one.seal()
    one.assign(data.customers)
    one.registry.amend("spring_voucher", CHANGE, why=WHY, who=WHO)
    one.ingest(data.outcomes(one.read("assign")))
    return one


def test_the_page_shows_an_amendment_before_anything_is_read(campaign):
    page = render(road_of(campaign))
    assert "What was changed after sealing" in page
    assert CHANGE in page
    assert "the &lt;dialler&gt; broke down" in page


def test_file_table_words_and_page_show_number_date_who_what_and_why(campaign):
    report = campaign.analyse()
    (amendment,) = report.amendments
    file = campaign.path("analyse").read_text()
    assert json.loads(file)["amendments"] == [dataclasses.asdict(amendment)]
    assert [row.seq for row in campaign.registry.history().rows if row.action == "amend"] == [
        amendment.seq
    ]
    for shown in (str(report), " ".join(report.words), report._repr_html_()):
        for part in (str(amendment.seq), amendment.at[:10], WHO, CHANGE, "broke down"):
            assert part in shown
    page = render(road_of(campaign))
    for part in (f'<td class="number">{amendment.seq}</td>', amendment.at[:10], WHO, CHANGE):
        assert part in page


def test_an_amendment_after_the_reading_is_shown_and_the_file_stays(campaign):
    campaign.analyse()
    before = campaign.path("analyse").read_bytes()
    campaign.registry.amend("spring_voucher", LATER, why="asked by the board", who="eve")
    report = campaign.analyse()
    assert [one.change for one in report.amendments] == [CHANGE, LATER]
    assert campaign.path("analyse").read_bytes() == before
    assert LATER in render(road_of(campaign))


def test_a_page_without_amendments_has_no_such_part(campaign):
    road = dataclasses.replace(road_of(campaign), amendments=(), report=None)
    assert "What was changed after sealing" not in render(road)
