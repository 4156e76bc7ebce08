"""The audience rule lets in those for whom every condition is known to hold."""

import numpy as np
import pandas as pd
import pytest

from uplift.arms import Audience, Condition
from uplift.audience import eligible
from uplift.errors import DataError

CUSTOMERS = pd.DataFrame(
    {
        "recency": [5.0, 10.0, 20.0, np.nan, np.inf],
        "city": ["Lyon", None, "Nice", "Lyon", "Paris"],
        "age": pd.array([20, 30, None, 50, 60], dtype="Int64"),
        "code": [1, 2, 3, 4, 5],
    }
)


def rule(**condition) -> Audience:
    return Audience(description="some", where=(Condition(**condition),))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"column": "recency", "at_most": 10}, [True, True, False, False, False]),
        ({"column": "recency", "at_least": 10}, [False, True, True, False, True]),
        ({"column": "age", "at_least": 30, "at_most": 50}, [False, True, False, True, False]),
        ({"column": "city", "is_in": ("Lyon", "Nice", "None")}, [True, False, True, True, False]),
        ({"column": "code", "is_in": ("2", "5")}, [False, True, False, False, True]),
        ({"column": "city"}, [True, False, True, True, True]),
    ],
)
def test_bounds_are_inclusive_and_a_missing_value_never_lets_in(condition, expected):
    assert eligible(CUSTOMERS, rule(**condition)).tolist() == expected


def test_all_conditions_must_hold_and_without_any_everyone_is_in():
    conditions = (Condition(column="recency", at_most=10), Condition(column="age", at_least=25))
    both = Audience(description="both", where=conditions)
    assert eligible(CUSTOMERS, both).tolist() == [False, True, False, False, False]
    assert eligible(CUSTOMERS, Audience(description="all")).all()
    assert eligible(CUSTOMERS.iloc[:0], both).tolist() == []


@pytest.mark.parametrize(
    "condition", [{"column": "income", "at_most": 1}, {"column": "city", "at_least": 1}]
)
def test_a_column_that_is_missing_or_cannot_be_compared_is_named(condition):
    with pytest.raises(DataError, match=condition["column"]) as error:
        eligible(CUSTOMERS, rule(**condition))
    assert error.value.code == "AUDIENCE_COLUMN"
