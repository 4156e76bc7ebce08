"""Local times of a schedule and its waves become windows in UTC, or are refused."""

from datetime import UTC, date, datetime

import pytest

from uplift.errors import DefinitionError
from uplift.schedule import Schedule, Wave


def waves(*starts, **fields):
    sends = tuple(
        Wave(name=f"wave_{i}", starts_at=start, **fields) for i, start in enumerate(starts)
    )
    return Schedule(starts_at=starts[0], timezone="Europe/Paris", response_days=14, waves=sends)


def test_without_waves_there_is_one_window():
    schedule = Schedule(starts_at="2017-07-03T08:00", timezone="Europe/Paris", response_days=28)
    (window,) = schedule.windows
    assert window.wave == "send"
    assert (window.opens_at.isoformat(), window.closes_at.isoformat()) == (
        "2017-07-03T06:00:00+00:00",
        "2017-07-31T06:00:00+00:00",
    )


def test_each_wave_has_its_own_window_and_the_last_one_closes_the_schedule():
    schedule = waves("2017-07-03T08:00", "2017-08-03T08:00")
    assert [w.opens_at.month for w in schedule.windows] == [7, 8]
    assert schedule.closes_at == schedule.window("wave_1").closes_at


def test_a_trigger_is_watched_until_its_last_unit_has_had_its_days():
    schedule = Schedule(
        starts_at="2017-07-03", timezone="UTC", response_days=28, ends_at="2017-09-01"
    )
    assert schedule.closes_at.isoformat() == "2017-09-29T00:00:00+00:00"


@pytest.mark.parametrize("end", ["2017-07-03T08:00", "2017-07-02T08:00"])
def test_an_end_at_or_before_the_start_is_refused(end):
    with pytest.raises(DefinitionError, match="not after the start") as caught:
        Schedule(starts_at="2017-07-03T08:00", timezone="UTC", response_days=7, ends_at=end)
    assert caught.value.code == "TIME_WINDOW"


def test_waves_out_of_order_are_refused():
    with pytest.raises(DefinitionError, match="order of their starts") as caught:
        waves("2017-07-03T08:00", "2017-07-02T08:00")
    assert caught.value.code == "TIME_WINDOW"


@pytest.mark.parametrize("local", ["2017-03-26T02:30", "2017-10-29T02:30"])
def test_an_hour_skipped_or_repeated_by_the_clock_is_refused_unless_its_offset_is_written(local):
    with pytest.raises(DefinitionError, match="clock change") as caught:
        Schedule(starts_at=local, timezone="Europe/Paris", response_days=7)
    assert caught.value.code == "TIME_AMBIGUOUS"
    Schedule(starts_at=f"{local}+02:00", timezone="Europe/Paris", response_days=7)


def test_an_unknown_wave_is_refused_with_the_known_ones():
    with pytest.raises(DefinitionError, match="wave_0, wave_1") as caught:
        waves("2017-07-03T08:00", "2017-08-03T08:00").window("third")
    assert caught.value.code == "WAVE_UNKNOWN"


PARIS = Schedule(starts_at="2017-07-03T08:00", timezone="Europe/Paris", response_days=7)


def test_a_moment_is_read_in_the_schedule_s_zone_and_a_day_is_its_first_moment():
    for given in ("2017-07-03T08:00", "2017-07-03T06:00Z", datetime(2017, 7, 3, 8)):
        assert PARIS.moment(given) == datetime(2017, 7, 3, 6, tzinfo=UTC)
    for given in ("2017-07-03", date(2017, 7, 3)):
        assert PARIS.moment(given) == datetime(2017, 7, 2, 22, tzinfo=UTC)


@pytest.mark.parametrize("given", ["2017-03-26T02:30", "2017-10-29T02:30"])
def test_a_moment_in_a_clock_change_is_refused_unless_it_says_which_one_is_meant(given):
    with pytest.raises(DefinitionError, match="clock change") as caught:
        PARIS.moment(given)
    assert caught.value.code == "TIME_AMBIGUOUS"
    later = datetime(2017, 10, 29, 2, 30, fold=1)
    assert PARIS.moment(later) == datetime(2017, 10, 29, 1, 30, tzinfo=UTC)
    with pytest.raises(DefinitionError):  # a fold does not help an hour that there was not
        PARIS.moment(datetime(2017, 3, 26, 2, 30, fold=1))


@pytest.mark.parametrize("given", ["", "soon", "2017-02-30", "0001-01-01", "9999-12-31T23:59"])
def test_what_is_no_moment_of_our_time_is_refused(given):
    with pytest.raises(DefinitionError) as caught:
        PARIS.moment(given)
    assert caught.value.code == "TIME_INVALID"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"timezone": None}, "TIME_NAIVE"),
        ({"timezone": None, "starts_at": "2017-07-03T08:00Z"}, "DEFINITION_INVALID"),
        ({"starts_at": "0001-01-01"}, "TIME_INVALID"),
        ({"starts_at": "9999-12-31T23:59"}, "TIME_INVALID"),
        ({"response_days": 10**9}, "DEFINITION_INVALID"),
    ],
)
def test_a_schedule_that_has_no_moments_is_refused(fields, code):
    given = {"starts_at": "2017-07-03T08:00", "timezone": "Europe/Paris", "response_days": 7}
    with pytest.raises(DefinitionError) as caught:
        Schedule(**{**given, **fields})
    assert caught.value.code == code
