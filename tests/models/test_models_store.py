"""What is written is read back bit for bit, and what was changed is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklift.models import TwoModels

from tests.models.stored import rewrite
from uplift.datasets import simulate
from uplift.errors import DataError, StateError
from uplift.models.baselines import ConstantEffect
from uplift.models.blend import Blend
from uplift.models.calibration import calibrate
from uplift.models.store import (
    MODEL_FILE,
    SUITE_FILE,
    load_model,
    load_suite,
    save_model,
    save_suite,
)
from uplift.models.train import train

ASKED = ["s", "t", "x", "r", "dr", "transformed", "class", "forest"]


@pytest.fixture(scope="module")
def trial():
    sim = simulate(n_units=2000, n_arms=3, seed=1)
    rng = np.random.default_rng(1)
    features = sim.trial.features.assign(
        channel=rng.choice(["web", "shop", "téléphone"], 2000),
        income=np.where(rng.random(2000) < 0.2, np.nan, rng.standard_normal(2000)),
        **{'odd [name] {"x": 1}': rng.random(2000)},
    )
    return replace(sim.trial, features=features)


@pytest.fixture(scope="module")
def suite(trial):
    foreign = TwoModels(LogisticRegression(), LogisticRegression())
    numeric = _Numeric(foreign)
    return train(trial, [*ASKED, ("two", numeric)], n_folds=2)


class _Numeric:
    """scikit-uplift's model on the numeric columns."""

    def __init__(self, model):
        self.model = model

    def fit(self, X, y, treatment):
        self.model.fit(X[["x0", "x1"]], y, treatment)
        return self

    def predict(self, X):
        return self.model.predict(X[["x0", "x1"]])


@pytest.mark.parametrize("name", [*ASKED, "constant", "random", "response", "rule"])
def test_every_model_predicts_the_same_bits_after_a_reload(suite, trial, tmp_path, name):
    model = suite.candidates[name].model
    digests = save_model(model, tmp_path)
    again = load_model(tmp_path, digests)
    np.testing.assert_array_equal(again.predict(trial.features), model.predict(trial.features))
    assert type(again) is type(model)
    assert again.get_params() == model.get_params()
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".txt", ".bin"}


@pytest.mark.parametrize("name", ["s", "t"])
def test_outcomes_are_the_same_bits_after_a_reload(suite, trial, tmp_path, name):
    model = suite.candidates[name].model
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    found, expected = (m.predict_outcomes(trial.features) for m in (again, model))
    np.testing.assert_array_equal(found, expected)


def test_intervals_are_the_same_bits_after_a_reload(suite, trial, tmp_path):
    model = suite.candidates["forest"].model
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    X = trial.features.head(200)
    np.testing.assert_array_equal(again.predict_interval(X), model.predict_interval(X))


def test_stacks_and_calibrated_models_predict_the_same_bits_after_a_reload(trial, tmp_path):
    together = calibrate(train(trial, ["s", "t", "stack"], n_folds=2), "stack")
    for name in ("stack", "stack_calibrated"):
        model = together.candidates[name].model
        digests = save_model(model, tmp_path / name)
        for again in (load_model(tmp_path / name), load_model(tmp_path / name, digests)):
            np.testing.assert_array_equal(
                again.predict(trial.features), model.predict(trial.features)
            )
        assert save_model(again, tmp_path / "twice" / name) == digests


def test_a_mean_of_fold_models_predicts_the_same_bits_after_a_reload(trial, tmp_path):
    suite = train(trial, ["t", "r", "forest"], n_folds=2, refit=False)
    for name in ("t", "r", "forest", "response", "constant"):
        model = suite.candidates[name].model
        again = load_model(tmp_path / name, save_model(model, tmp_path / name))
        np.testing.assert_array_equal(again.predict(trial.features), model.predict(trial.features))
    assert isinstance(suite.candidates["t"].model, Blend)
    assert isinstance(suite.candidates["constant"].model, ConstantEffect)


def test_a_reloaded_model_finds_columns_by_name_and_scores_unseen_levels(suite, trial, tmp_path):
    save_model(suite.candidates["t"].model, tmp_path)
    again = load_model(tmp_path)
    X = trial.features.head(20)
    shuffled = X[X.columns[::-1]].assign(later=1)
    np.testing.assert_array_equal(again.predict(shuffled), again.predict(X))
    unseen, missing = X.assign(channel="radio"), X.assign(channel=None)
    np.testing.assert_array_equal(again.predict(unseen), again.predict(missing))
    for wrong, code in [
        (X.drop(columns="income"), "FEATURE_MISSING"),
        (X.assign(income="much"), "FEATURE_DTYPE"),
        (X.assign(channel=3), "FEATURE_DTYPE"),
    ]:
        with pytest.raises(DataError) as caught:
            again.predict(wrong)
        assert caught.value.code == code


def test_equal_models_are_written_as_equal_bytes(suite, tmp_path):
    model = suite.candidates["dr"].model
    assert save_model(model, tmp_path / "a") == save_model(model, tmp_path / "b")


@pytest.mark.parametrize("file", [MODEL_FILE, "effect_1.txt"])
def test_a_changed_byte_is_refused_before_it_is_parsed(suite, tmp_path, file):
    digests = save_model(suite.candidates["dr"].model, tmp_path)
    content = bytearray((tmp_path / file).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=file.replace(".", r"\.")) as caught:
        load_model(tmp_path, digests)
    assert caught.value.code == "FILE_CHECKSUM"


def test_forests_are_checked_even_without_recorded_digests(suite, tmp_path):
    save_model(suite.candidates["dr"].model, tmp_path)
    path = tmp_path / "effect_0.txt"
    path.write_text(path.read_text().replace("leaf_value=", "leaf_value=9", 1))
    with pytest.raises(DataError) as caught:
        load_model(tmp_path)
    assert caught.value.code == "FILE_CHECKSUM"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"format": 99}, "MODEL_FORMAT"),
        ({"kind": "pickle"}, "MODEL_FORMAT"),
        ({"parameters": {"surprise": 1}}, "MODEL_FORMAT"),
        ({"constants": {}}, "MODEL_FORMAT"),
        ({"forests": {"../outside.txt": "0"}}, "FILE_MISSING"),
        ({"forests": {"gone.txt": "0"}}, "FILE_MISSING"),
    ],
)
def test_a_document_of_another_shape_is_refused(suite, tmp_path, fields, code):
    (tmp_path / "outside.txt").write_text("tree")
    folder = tmp_path / "model"
    save_model(suite.candidates["x"].model, folder)
    rewrite(folder / MODEL_FILE, lambda document: document | fields)
    with pytest.raises(DataError) as caught:
        load_model(folder)
    assert caught.value.code == code


@pytest.mark.parametrize(("text", "code"), [("{", "JSON_INVALID"), ("[]", "MODEL_FORMAT")])
def test_a_file_that_is_no_model_is_refused(tmp_path, text, code):
    (tmp_path / MODEL_FILE).write_text(text)
    with pytest.raises(DataError) as caught:
        load_model(tmp_path)
    assert caught.value.code == code


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError) as caught:
        load_model(tmp_path)
    assert caught.value.code == "FILE_MISSING"


def test_a_model_of_another_library_is_not_stored(suite, tmp_path):
    with pytest.raises(StateError, match="not a model of this package") as caught:
        save_model(suite.candidates["two"].model, tmp_path)
    assert caught.value.code == "MODEL_NOT_STORED"


def test_a_suite_comes_back_whole(suite, trial, tmp_path):
    digests = save_suite(suite, tmp_path)
    again = load_suite(tmp_path, digests)
    losses = {name: candidate.loss for name, candidate in suite.candidates.items()}
    assert {name: candidate.loss for name, candidate in again.candidates.items()} == losses
    assert (again.arms, again.features, again.seed) == (suite.arms, suite.features, suite.seed)
    assert again.notices == suite.notices
    assert again.best.name == suite.best.name
    np.testing.assert_array_equal(again.units, suite.units)
    np.testing.assert_array_equal(again.fold, suite.fold)
    np.testing.assert_array_equal(again.scores, suite.scores)
    for name, candidate in suite.candidates.items():
        other = again.candidates[name]
        np.testing.assert_array_equal(other.effects, candidate.effects)
        if name != "two":
            X: pd.DataFrame = trial.features.head(30)
            np.testing.assert_array_equal(other.model.predict(X), candidate.model.predict(X))


def test_a_foreign_model_of_a_stored_suite_says_why_it_cannot_score(suite, trial, tmp_path):
    save_suite(suite, tmp_path)
    with pytest.raises(StateError, match="two is a model of another library") as caught:
        load_suite(tmp_path).candidates["two"].model.predict(trial.features)
    assert caught.value.code == "MODEL_NOT_STORED"


@pytest.mark.parametrize("file", [SUITE_FILE, "units.parquet", "model_01/pooled.txt"])
def test_a_suite_with_a_changed_file_is_refused(suite, tmp_path, file):
    digests = save_suite(suite, tmp_path)
    path = tmp_path / file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DataError) as caught:
        load_suite(tmp_path, digests)
    assert caught.value.code == "FILE_CHECKSUM"


@pytest.mark.parametrize("place", ["../elsewhere", "..", "/tmp", "gone"])
def test_a_suite_folder_cannot_point_outside(suite, tmp_path, place):
    save_model(suite.candidates["s"].model, tmp_path / "elsewhere")
    save_model(suite.candidates["s"].model, tmp_path)
    save_suite(suite, tmp_path / "suite")

    def elsewhere(document):
        document["candidates"][0]["folder"] = place
        return document

    rewrite(tmp_path / "suite" / SUITE_FILE, elsewhere)
    with pytest.raises(DataError) as caught:
        load_suite(tmp_path / "suite")
    assert caught.value.code == "FILE_MISSING"
