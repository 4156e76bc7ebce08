"""Treatments, propensities, features and weights that no model may learn from, or is told of."""

import numpy as np
import pandas as pd
import pytest

from tests.bad_inputs.inputs import N_UNITS, all_of, csv, fitted_with, of_customers, turned, without
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

LEARN, FIT, PREDICT = ("learn",), ("fit",), ("predict",)
IN_MEMORY = ("learn in memory",)
ODD_NAMES = ("a[0]", "{b}", "c:d,e", 'f"g', "größe", "h i")


def arm_of(inputs):
    return inputs.customers["unit"].map(inputs.assigned.set_index("unit")["arm"])


def outcome_of(inputs):
    return inputs.customers["unit"].map(inputs.outcomes.set_index("unit")["spend"])


def of_assigned(name, values):
    def change(inputs):
        inputs.assigned = inputs.assigned.assign(**{name: values(inputs)})

    return change


def oddly_named(inputs):
    names = {name: np.arange(N_UNITS) % (i + 3) for i, name in enumerate(ODD_NAMES)}
    inputs.customers = inputs.customers.assign(**names)


def rare(count):
    """A propensity of 1 in 1,000 in the first rows."""

    def propensity(inputs):
        treated = np.full(N_UNITS, 0.5)
        treated[:count] = 0.001
        return np.column_stack([1 - treated, treated])

    return propensity


def weights(value, *, rows=slice(0, 1)):
    def made(inputs):
        weight = np.ones(N_UNITS)
        weight[rows] = value
        return weight

    return made


CASES = (
    *(
        Case(
            "B35",
            f"everybody has {value}",
            fitted_with(treatment=lambda inputs, value=value: np.full(N_UNITS, value)),
            REFUSE,
            "TREATMENT_CONSTANT",
            FIT,
            says=f"every unit has {value};",
        )
        for value in (0, 1)
    ),
    *(
        Case(
            "B36",
            f"a propensity of {value}",
            fitted_with(propensity=lambda inputs, value=value: np.r_[value, np.full(399, 0.5)]),
            REFUSE,
            "PROPENSITY_BOUND",
            FIT,
            says="1 unit(s)",
        )
        for value in (0.0, 1.0)
    ),
    Case(
        "B37",
        "6 % could hardly be treated",
        fitted_with(propensity=rare(24)),
        WARN,
        "OVERLAP_WEAK",
        IN_MEMORY,
        says="the sample counts like",
    ),
    Case("B37", "4 % could hardly", fitted_with(propensity=rare(16)), ACCEPT, steps=IN_MEMORY),
    Case(
        "B38",
        "a propensity that is not the designed one",
        of_assigned("propensity", lambda inputs: [0.9] + [0.5] * (N_UNITS - 1)),
        REFUSE,
        "PROPENSITY_MISMATCH",
        ("ingest", "analyse"),
        says="1 unit(s)",
    ),
    Case(
        "B39",
        "the arm itself",
        of_customers("flag", lambda inputs: (arm_of(inputs) == "email").astype(int)),
        REFUSE,
        "LEAK_TREATMENT",
        LEARN,
        says="'flag'",
    ),
    Case(
        "B39",
        "the arm by other words",
        of_customers("list", lambda inputs: arm_of(inputs).map({"control": "B", "email": "A"})),
        REFUSE,
        "LEAK_TREATMENT",
        LEARN,
        says="'list'",
    ),
    Case(
        "B40",
        "features as of the day after the send",
        of_customers("as_of", lambda inputs: pd.Timestamp("2017-07-04T12:00")),
        REFUSE,
        "LEAK_POST_TREATMENT",
        LEARN,
        says="100.0% of all",
    ),
    Case(
        "B40",
        "a feature measured after the send, of one in four",
        of_customers(
            "age_at",
            lambda inputs: np.where(
                np.arange(N_UNITS) % 4 == 0,
                np.datetime64("2017-07-20T00:00", "us"),
                np.datetime64("2017-06-01T00:00", "us"),
            ),
        ),
        REFUSE,
        "LEAK_POST_TREATMENT",
        LEARN,
        says="'age' was measured after the send",
    ),
    Case(
        "B40",
        "features as of the day before",
        all_of(
            of_customers("as_of", lambda inputs: pd.Timestamp("2017-07-02")),
            of_customers("age_at", lambda inputs: pd.Timestamp("2017-06-30")),
        ),
        ACCEPT,
        steps=LEARN,
    ),
    Case(
        "B41",
        "the outcome",
        of_customers("later", lambda inputs: 2 * outcome_of(inputs) + 1),
        REFUSE,
        "LEAK_OUTCOME",
        LEARN,
        says="'later'",
    ),
    Case("B43", "columns in another order", turned, ACCEPT, steps=PREDICT),
    Case(
        "B44",
        "a column that is not there",
        without("age"),
        REFUSE,
        "FEATURE_MISSING",
        PREDICT,
        says="age",
    ),
    Case("B45", "one more column", of_customers("more", lambda inputs: 1), ACCEPT, steps=PREDICT),
    Case(
        "B46",
        "numbers in words",
        of_customers("age", lambda inputs: "old"),
        REFUSE,
        "FEATURE_DTYPE",
        PREDICT,
        says="'age' must hold numbers, found text",
    ),
    Case(
        "B46",
        "numbers in place of levels",
        of_customers("channel", lambda inputs: 7),
        REFUSE,
        "FEATURE_DTYPE",
        PREDICT,
        says="'channel' must hold categories",
    ),
    Case(
        "B47",
        "a level nobody had",
        all_of(
            of_customers("channel", lambda inputs: ["kiosk"] * 40 + ["web"] * 360),
            fitted_with(others=lambda inputs: True),
        ),
        WARN,
        "CATEGORY_UNSEEN",
        PREDICT,
        says="10.0%",
    ),
    Case(
        "B48",
        "a level for every customer",
        of_customers("street", lambda inputs: [f"street {i}" for i in range(N_UNITS)]),
        WARN,
        "CATEGORY_MANY",
        LEARN,
        says="street",
    ),
    *(
        Case(
            "B49",
            f"a feature of {value}",
            of_customers("score", lambda inputs, value=value: np.r_[value, np.arange(399.0)]),
            REFUSE,
            "FEATURE_NOT_FINITE",
            LEARN,
            says="first in row",
        )
        for value in (np.inf, -np.inf)
    ),
    *(
        Case(
            "B50",
            f"a feature of {value}",
            of_customers("flat", lambda inputs, value=value: [value] * N_UNITS),
            WARN,
            "FEATURE_EMPTY",
            LEARN,
            says="flat",
        )
        for value in (np.nan, 3.5)
    ),
    Case(
        "B51",
        "two columns of one name",
        csv(b"unit,age,age\nc000001,1,2\n"),
        REFUSE,
        "FEATURE_DUPLICATE",
        says="age",
    ),
    Case("B52", "names with signs", oddly_named, ACCEPT, steps=LEARN),
    Case(
        "B53",
        "numbers and text in one column",
        of_customers("size", lambda inputs: pd.Series([1, "1", None] + [2] * 397, dtype=object)),
        REFUSE,
        "FEATURE_MIXED",
        IN_MEMORY,
        says="mixes int and str",
    ),
    Case(
        "B54",
        "a date",
        of_customers("born", lambda inputs: pd.Timestamp("1980-01-01")),
        REFUSE,
        "FEATURE_DATETIME",
        LEARN,
        says="Give the days between",
    ),
    Case(
        "B55",
        "ids beyond 2^53",
        of_customers("card", lambda inputs: 2**60 + 2**10 * np.arange(N_UNITS)),
        WARN,
        "FEATURE_PRECISION",
        LEARN,
        says="card",
    ),
    *(
        Case(
            "B56",
            f"a weight of {value}",
            fitted_with(sample_weight=weights(value)),
            REFUSE,
            "WEIGHT_INVALID",
            FIT,
            says=f"{value} in row 1",
        )
        for value in (-1.0, np.nan, np.inf)
    ),
    Case(
        "B56",
        "no weight at all",
        fitted_with(sample_weight=weights(0.0, rows=slice(None))),
        REFUSE,
        "WEIGHT_INVALID",
        FIT,
        says="only zeros",
    ),
    Case(
        "B59",
        "a model judged on a unit that it learned from",
        fitted_with(trained_on=lambda inputs: inputs.assigned["unit"].to_numpy()[:1]),
        REFUSE,
        "EVAL_OVERLAP",
        ("judge",),
        says="learned from",
    ),
)


@pytest.mark.parametrize(("case", "step"), rows_by_function(CASES))
def test_a_function_answers_what_no_model_may_learn_from_with_its_code(case, step, project_for):
    judge_function(case, step, project_for)


@pytest.mark.parametrize(("case", "step"), rows_by_command(CASES))
def test_a_command_answers_what_no_model_may_learn_from_with_its_code(case, step, project_for):
    judge_command(case, step, project_for)
