"""Times: without a zone, in a clock change, in the wrong order, in the future."""

import pandas as pd
import pytest

import uplift as up
from tests.bad_inputs.inputs import (
    all_of,
    defined,
    good_inputs,
    log_of_contacts,
    occurred,
    options,
    rules,
)
from tests.bad_inputs.judge import (
    ACCEPT,
    REFUSE,
    WARN,
    Case,
    judge_command,
    judge_function,
    rows_by_command,
    rows_by_function,
)

READ = ("ingest", "analyse")
DEFINED = ("define", "lint")
ZONE, START = ", timezone: Europe/Paris", "starts_at: 2017-07-03T08:00:00"
GAP, FOLD = "2017-03-26T02:30", "2017-10-29T02:30"  # of Paris: skipped, and there twice
START_AT, BY_CONTACTS = "2017-07-03T09:00", ("contacts", "analyse with contacts")
FAR = "2999-01-01T00:00"


def starts_at(time):
    return defined(START, f"starts_at: {time}")


CASES = (
    Case("B67", "no zone at all", defined(ZONE, ""), REFUSE, "TIME_NAIVE", DEFINED, "timezone:"),
    Case(
        "B67",
        "some times with a zone, some without",
        occurred("2017-07-05T10:00Z"),
        REFUSE,
        "TIME_NAIVE",
        READ,
        says="399 row(s), first: 2",
    ),
    Case("B67", "no time with a zone: the experiment states one", occurred(), ACCEPT, steps=READ),
    Case(
        "B67",
        "offsets of summer and winter",
        occurred("2017-07-05T10:00+02:00", rest="2017-12-05T10:00+01:00"),
        ACCEPT,
        steps=READ,
    ),
    *(
        Case("B68", f"a start that is {word}", starts_at(f"{time}:00"), REFUSE, code, DEFINED, says)
        for word, time in (("skipped", GAP), ("there twice", FOLD))
        for code, says in [("TIME_AMBIGUOUS", "skipped or repeated by a clock change")]
    ),
    Case(
        "B68", "a start with its offset", starts_at(f"{FOLD}:00+01:00"), ACCEPT, steps=("define",)
    ),
    *(
        Case(
            "B68",
            f"outcomes at a time that is {word}",
            occurred("2017-07-05", time),
            REFUSE,
            "TIME_AMBIGUOUS",
            READ,
            says="1 row(s), first: 2",
        )
        for word, time in (("skipped", "2018-03-25T02:30"), ("there twice", FOLD))
    ),
    *(
        Case(
            "B68",
            f"a reading at a time that is {word}",
            options(as_of=time),
            REFUSE,
            "TIME_AMBIGUOUS",
            ("analyse", "export"),
        )
        for word, time in (("skipped", GAP), ("there twice", FOLD))
    ),
    *(
        Case(
            "B69",
            f"an end {word} the start",
            defined(ZONE, f"{ZONE}, ends_at: {end}"),
            REFUSE,
            "TIME_WINDOW",
            DEFINED,
            says="not after the start",
        )
        for word, end in (("at", "2017-07-03T08:00:00"), ("before", "2017-07-01T00:00:00"))
    ),
    Case(
        "B70",
        "two outcomes in the future",
        occurred(FAR, FAR),
        WARN,
        "TIME_FUTURE",
        READ,
        says="TIME_FUTURE (2): These units have an outcome stamped in the future and are held back",
    ),
    Case(
        "B70",
        "the same, where a missing outcome is nothing: it is not taken for nothing",
        all_of(occurred(FAR, FAR), rules(missing="zero")),
        WARN,
        "TIME_FUTURE",
        READ,
        says="TIME_FUTURE (2)",
    ),
    Case(
        "B70",
        "all outcomes in the future",
        occurred(rest=FAR),
        REFUSE,
        "EMPTY_INPUT",
        READ,
        says="400 have one in the future",
    ),
    *(
        Case("B70", given, change, WARN, "TIME_FUTURE", BY_CONTACTS, says="TIME_FUTURE (2)")
        for given, change in [
            ("two contacts in the future", log_of_contacts(sent_at=[FAR, FAR, "2017-07-03T09:00"]))
        ]
    ),
    *(
        Case(id_, f"contacts at {given}", log_of_contacts(sent_at=times), REFUSE, code, BY_CONTACTS)
        for id_, given, times, code in (
            ("B67", "times with and without a zone", ["2017-07-03T09:00Z", START_AT], "TIME_NAIVE"),
            ("B68", "a time that is skipped", [START_AT, GAP, START_AT], "TIME_AMBIGUOUS"),
        )
    ),
)


@pytest.mark.parametrize(("case", "step"), rows_by_function(CASES))
def test_a_function_answers_a_bad_time_with_its_code(case, step, project_for):
    judge_function(case, step, project_for)


@pytest.mark.parametrize(("case", "step"), rows_by_command(CASES))
def test_a_command_answers_a_bad_time_with_its_code(case, step, project_for):
    judge_command(case, step, project_for)


# What the table cannot say in a code.


def test_times_without_a_zone_are_in_the_experiment_s_and_stored_in_utc():
    inputs = good_inputs()
    assert set(inputs.assigned["assigned_at"]) == {pd.Timestamp("2017-07-03T06:00Z")}
    tables = (inputs.experiment, inputs.assigned, inputs.outcomes)
    for time, code in (("2017-07-03T08:00", ""), ("2017-07-03T07:59", "OUTCOME_BEFORE_ASSIGNMENT")):
        occurred(time)(inputs)  # 08:00 in Paris is 06:00 UTC, when the arms were drawn
        if not code:
            up.analyse(*tables)
            continue
        with pytest.raises(up.errors.DataError) as error:
            up.analyse(*tables)
        assert error.value.code == code


def test_five_minutes_of_skew_between_clocks_are_not_the_future():
    inputs, now = good_inputs(), pd.Timestamp.now("UTC")
    occurred((now + pd.Timedelta("4min")).isoformat(), rest=now.isoformat())(inputs)
    trial = up.Trial.join(inputs.experiment, inputs.assigned, inputs.outcomes)
    assert trial.notices == ()
