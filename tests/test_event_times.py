"""Times of events are read in the experiment's zone; what can mean two moments is refused."""

from datetime import UTC, date, datetime

import pandas as pd
import pytest

from uplift.errors import DataError
from uplift.event_times import in_utc, times_in_zone

PARIS = "Europe/Paris"


def times(*values):
    return pd.Series(values, name="sent_at")


def utc(*values):
    found = in_utc(times_in_zone(times(*values), PARIS, what="contacts"))
    return [str(moment)[:16] for moment in found]


def test_times_with_and_without_zones_become_the_same_moments():
    expected = ["2017-07-03T06:00"]
    for value in (
        "2017-07-03T08:00",
        "2017-07-03 08:00:00",
        "2017-07-03T06:00Z",
        "2017-07-03T08:00+02:00",
        datetime(2017, 7, 3, 8),
        datetime(2017, 7, 3, 6, tzinfo=UTC),
    ):
        assert utc(value) == expected
    assert utc(date(2017, 7, 3), None) == ["2017-07-02T22:00", "NaT"]


def test_rows_may_have_zones_of_their_own():
    assert utc("2017-07-03T08:00+02:00", "2017-12-03T08:00+01:00", None) == [
        "2017-07-03T06:00",
        "2017-12-03T07:00",
        "NaT",
    ]


@pytest.mark.parametrize(
    ("values", "code", "rows"),
    [
        (("2017-07-03T08:00Z", "2017-07-03T08:00"), "TIME_NAIVE", (2,)),
        (("2017-07-03T08:00", "gestern", None), "TIME_INVALID", (2,)),
        (("2017-13-03",), "TIME_INVALID", (1,)),
        ((1.5e9, None), "TIME_INVALID", (1,)),
        ((True,), "TIME_INVALID", (1,)),
        (("2017-07-03", "2017-03-26T02:30", "2017-10-29T02:30"), "TIME_AMBIGUOUS", (2, 3)),
    ],
)
def test_what_can_be_no_moment_or_two_is_refused_with_its_rows(values, code, rows):
    with pytest.raises(DataError, match="'sent_at'") as error:
        times_in_zone(times(*values), PARIS, what="contacts")
    assert (error.value.code, error.value.rows) == (code, rows)
    assert error.value.count == len(rows)
