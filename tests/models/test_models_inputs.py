"""Bad input of a learner is refused with its code before anything is fitted."""

import numpy as np
import pandas as pd
import pytest

from uplift.errors import DataError
from uplift.models.learners import TLearner

N = 400


def good() -> dict:
    rng = np.random.default_rng(1)
    arm = rng.integers(0, 2, N)
    X = pd.DataFrame({"a": rng.standard_normal(N), "b": rng.choice(["x", "y"], N)})
    return {"X": X, "y": rng.standard_normal(N), "treatment": arm}


def bad(part: str, values) -> dict:
    return good() | {part: values}


def at(row: int, value: float) -> np.ndarray:
    values = np.full(N, 0.5)
    values[row] = value
    return values


CASES = {
    "constant treatment": (bad("treatment", np.ones(N, dtype=int)), "TREATMENT_CONSTANT"),
    "treatment by name": (bad("treatment", np.repeat(["a", "b"], N // 2)), "TREATMENT_CODES"),
    "treatment 1 and 2": (bad("treatment", good()["treatment"] + 1), "TREATMENT_CODES"),
    "propensity 0": (bad("propensity", at(3, 0.0)), "PROPENSITY_BOUND"),
    "propensity 1": (bad("propensity", at(3, 1.0)), "PROPENSITY_BOUND"),
    "propensity missing": (bad("propensity", at(3, np.nan)), "PROPENSITY_BOUND"),
    "propensities of 1.1": (bad("propensity", np.full((N, 2), 0.55)), "PROPENSITY_SUM"),
    "propensities of other rows": (bad("propensity", np.full((5, 2), 0.5)), "LENGTH_MISMATCH"),
    "negative weight": (bad("sample_weight", at(3, -1.0)), "WEIGHT_INVALID"),
    "missing weight": (bad("sample_weight", at(3, np.nan)), "WEIGHT_INVALID"),
    "zero weights": (bad("sample_weight", np.zeros(N)), "WEIGHT_INVALID"),
    "missing outcome": (bad("y", at(3, np.nan)), "OUTCOME_MISSING"),
    "infinite outcome": (bad("y", at(3, np.inf)), "OUTCOME_NOT_FINITE"),
    "text outcome": (bad("y", np.array(["12,50"] * N)), "OUTCOME_NOT_NUMERIC"),
    "short outcome": (bad("y", np.zeros(5)), "LENGTH_MISMATCH"),
    "no units": (
        {"X": good()["X"].iloc[:0], "y": np.zeros(0), "treatment": np.zeros(0, dtype=int)},
        "EMPTY_INPUT",
    ),
    "no column that tells units apart": (bad("X", pd.DataFrame({"a": [1.0] * N})), "FEATURE_NONE"),
    "one-dimensional array": (bad("X", np.zeros(N)), "FEATURE_SHAPE"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_with_its_code(case):
    arguments, code = CASES[case]
    model = TLearner()
    with pytest.raises(DataError) as caught:
        model.fit(**arguments)
    assert caught.value.code == code
    assert not hasattr(model, "encoder_")


LEAKS_OF_THE_ARM = {
    "the arm itself": lambda arm, rng: arm,
    "the arm with noise": lambda arm, rng: arm * 10 + rng.standard_normal(N),
    "the arm turned round": lambda arm, rng: -3.5 * arm,
    "the arm in words": lambda arm, rng: np.where(arm == 1, "sent", "kept"),
    "missing for control": lambda arm, rng: np.where(arm == 1, rng.standard_normal(N), np.nan),
    "two codes for one arm": lambda arm, rng: np.where(arm == 1, 5, rng.choice([1, 9], N)),
}


@pytest.mark.parametrize("leak", LEAKS_OF_THE_ARM)
def test_a_feature_that_knows_the_arm_is_refused(leak):
    arguments = good()
    arguments["X"]["opened"] = LEAKS_OF_THE_ARM[leak](
        arguments["treatment"], np.random.default_rng(2)
    )
    with pytest.raises(DataError, match="opened") as caught:
        TLearner().fit(**arguments)
    assert caught.value.code == "LEAK_TREATMENT"


def test_a_recode_of_three_arms_is_refused_whatever_its_codes():
    arguments = good()
    arguments["treatment"] = np.random.default_rng(3).integers(0, 3, N)
    arguments["X"]["code"] = np.array([5.0, 9.0, 7.0])[arguments["treatment"]]
    with pytest.raises(DataError, match="code") as caught:
        TLearner().fit(**arguments)
    assert caught.value.code == "LEAK_TREATMENT"


@pytest.mark.parametrize("copy", [lambda y: y, lambda y: 3 - 0.1 * y, lambda y: y + 1e-4])
def test_a_feature_that_equals_the_outcome_is_refused(copy):
    arguments = good()
    arguments["X"]["spend"] = copy(arguments["y"])
    with pytest.raises(DataError, match="spend") as caught:
        TLearner().fit(**arguments)
    assert caught.value.code == "LEAK_OUTCOME"


def test_a_binary_outcome_in_words_is_refused():
    arguments = good()
    arguments["y"] = (arguments["y"] > 0).astype(float)
    arguments["X"]["bought"] = np.where(arguments["y"] == 1, "yes", "no")
    with pytest.raises(DataError, match="bought") as caught:
        TLearner().fit(**arguments)
    assert caught.value.code == "LEAK_OUTCOME"


def test_a_strong_but_honest_feature_is_let_in():
    arguments = good()
    rng = np.random.default_rng(4)
    arguments["X"]["before"] = arguments["y"] + 0.3 * rng.standard_normal(N)  # correlation 0.96
    arguments["X"]["shop"] = rng.choice([f"s{i}" for i in range(300)], N)  # levels by chance
    TLearner().fit(**arguments)
