"""The table covers the catalogue: every case by function and by command, with its code."""

import json
from itertools import chain

import pytest

from tests.bad_inputs import (
    test_bad_arms,
    test_bad_definitions_and_names,
    test_bad_features,
    test_bad_ids,
    test_bad_lists,
    test_bad_outcomes,
    test_bad_rankings,
    test_bad_scores,
    test_bad_times,
)
from tests.bad_inputs.judge import (
    ACCEPT,
    REFUSE,
    REMEDY,
    WARN,
    WITHHOLD,
    rows_by_command,
    rows_by_function,
)
from tests.bad_inputs.steps import STEPS


def numbered(*ranges):
    return {f"B{n:02}" for first, last in ranges for n in range(first, last + 1)}


OF_MODELS = numbered((35, 41), (43, 56), (59, 59))  # some are met by frames and weights alone
PROMISED = numbered((1, 56), (59, 59), (65, 78), (83, 86))
NO_COMMAND = {  # case → why no command can meet it
    "B35": "an assignment without a second arm is refused before training: ARM_MISSING",
    "B36": "propensities of commands are designed shares, which a definition keeps inside (0, 1)",
    "B37": "propensities of commands are designed shares; observed ones come by Trial alone",
    "B47": "a score of unseen levels needs a promoted model with levels: tests/tracking has it",
    "B53": "a column of a file has one type; mixed ones come in frames alone",
    "B56": "no command takes weights",
    "B59": "`uplift train` always leaves units out, see test_bad_rankings",
}
NO_FUNCTION: dict[str, str] = {}
TABLES = (
    test_bad_ids,
    test_bad_outcomes,
    test_bad_arms,
    test_bad_features,
    test_bad_scores,
    test_bad_rankings,
    test_bad_times,
    test_bad_definitions_and_names,
    test_bad_lists,
)
CASES = list(chain.from_iterable(table.CASES for table in TABLES))
HAPPENS = {  # what the catalogue calls it → what a row may say of it
    "accept": {ACCEPT, WARN},
    # also refused where it is not asked for, or free of it
    "warn": {WARN, REFUSE, WITHHOLD, ACCEPT},
    "refuse": {REFUSE, WITHHOLD, WARN, ACCEPT},  # also the way out that the refusal offers
    "quarantine": {WARN, REFUSE},
}


def met(rows) -> set[str]:
    return {parameters.values[0].id for parameters in rows}


def test_every_promised_case_is_met_by_a_function():
    assert PROMISED - met(rows_by_function(CASES)) == set(NO_FUNCTION)


def test_every_promised_case_is_met_by_a_command():
    assert PROMISED - met(rows_by_command(CASES)) == set(NO_COMMAND)


def test_what_is_excused_has_a_reason_and_is_little():
    for excused in (NO_COMMAND, NO_FUNCTION):
        assert set(excused) <= OF_MODELS
        assert all(len(reason) > 20 for reason in excused.values())
        assert len(excused) <= 7


def test_a_case_that_nobody_meets_would_be_noticed():
    fewer = [case for case in CASES if case.id != "B33"]
    assert PROMISED - met(rows_by_function(fewer)) == {"B33"}
    functions_only = [case for case in CASES if case.id != "B33" or not _has_command(case)]
    assert PROMISED - met(rows_by_command(functions_only)) == {"B33", *NO_COMMAND}


def _has_command(case):
    return any(STEPS[name].words for name in case.steps)


def test_every_step_is_used_and_every_row_is_a_test_of_its_own():
    used = set(chain.from_iterable(case.steps for case in CASES))
    assert used == set(STEPS)
    for rows in (rows_by_function(CASES), rows_by_command(CASES)):
        names = [parameters.id for parameters in rows]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("rows", [rows_by_function, rows_by_command])
def test_codes_and_outcomes_are_those_of_the_catalogue(shared, rows):
    file = shared / "vectors" / "bad_inputs.json"
    catalogue = {case["id"]: case for case in json.loads(file.read_text())["cases"]}
    found = [parameters.values[0] for parameters in rows(CASES)]
    for id_ in sorted(PROMISED):
        promised, mine = catalogue[id_], [case for case in found if case.id == id_]
        if not mine and id_ in NO_COMMAND:
            continue
        assert promised["code"] in {case.code for case in mine} or not promised["code"], id_
        assert {case.happens for case in mine} <= HAPPENS[promised["outcome"]], id_
        if promised["outcome"] == "refuse":
            assert {case.happens for case in mine if case.code == promised["code"]} & {
                REFUSE,
                WITHHOLD,
            }, id_


@pytest.mark.parametrize(
    "message",
    [
        "customers: column 'unit' holds an empty id.",
        "Arm 'email' has one unit; at least 2 are needed for the error of a mean.",
        "nested deeper than 20 levels. No definition needs that.",
    ],
)
def test_a_message_that_does_not_say_what_to_do_would_be_noticed(message):
    assert not REMEDY.search(message)
    assert REMEDY.search(f"{message} Repair it.")
