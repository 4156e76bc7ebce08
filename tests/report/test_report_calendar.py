"""The calendar of experiments as a picture."""

from xml.etree import ElementTree

import pytest

from uplift.errors import DataError
from uplift.experiment import load_experiment
from uplift.registry.calendar import calendar_of
from uplift.table import to_plain


def test_the_calendar_has_a_bar_per_wave_in_the_order_of_the_sends(root):
    voucher = load_experiment(root / "experiments" / "spring_voucher")
    universal = load_experiment(root / "experiments" / "universal_control")
    calendar = calendar_of([(voucher, "live"), (universal, "draft")])
    picture = calendar.plot()
    bars = picture.chart.to_dict()["layer"][0]["encoding"]
    assert bars["y"]["sort"] == ["universal_control", "spring_voucher"]
    assert ElementTree.fromstring(picture.svg()).tag.endswith("svg")


def test_waves_of_one_experiment_have_rows_of_their_own(root):
    voucher = to_plain(load_experiment(root / "experiments" / "spring_voucher"))
    voucher["schedule"]["waves"] = [
        {"name": "one", "starts_at": "2017-07-03T08:00:00"},
        {"name": "two", "starts_at": "2017-08-07T08:00:00"},
    ]
    one = type(load_experiment(root / "experiments" / "spring_voucher"))(**voucher)
    bars = calendar_of([(one, "live")]).plot().chart.to_dict()["layer"][0]["encoding"]
    assert bars["y"]["sort"] == ["spring_voucher: one", "spring_voucher: two"]


def test_an_empty_calendar_is_no_picture():
    with pytest.raises(DataError, match="No experiment") as caught:
        calendar_of([]).plot()
    assert caught.value.code == "NOT_DRAWABLE"
