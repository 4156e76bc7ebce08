import json

import numpy as np
import pandas as pd
import pytest

from uplift.errors import DataError, StateError
from uplift.files import file_digest
from uplift.tracking.package import (
    Card,
    example_of,
    read_package,
    storable,
    write_package,
)


@pytest.fixture(scope="module")
def model(suite):
    return suite.candidates["t"].model


@pytest.fixture(scope="module")
def card(suite, model, experiment):
    return Card(
        experiment=experiment.id,
        definition=experiment.digest,
        outcome=suite.outcome,
        arms=suite.arms,
        candidate="t",
        features=tuple((f.name, f.kind) for f in model.encoder_.features),
    )


@pytest.fixture
def written(tmp_path, card, model, roi_table, trial):
    folder = tmp_path / "package"
    example = example_of(model.encoder_, trial.features)
    rules = roi_table.scoring_rules()
    digest = write_package(folder, card=card, model=model, rules=rules, example=example)
    return folder, digest


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_package_read_back_says_the_same_and_scores_its_example_bit_for_bit(written, card):
    folder, digest = written
    package = read_package(folder, digest=digest)
    assert package.card == card
    assert package.digest == digest == file_digest(folder / "package.json")
    assert package.differing_columns() == ()


def test_scores_are_the_models_effects_with_the_rules_of_the_roi_table(
    written, model, trial, roi_table
):
    folder, digest = written
    scores = read_package(folder, digest=digest).score(trial.features)
    rules = roi_table.scoring_rules()
    effects = model.predict(trial.features)
    for k, arm in enumerate(trial.arms[1:]):
        by_arm = rules["by_arm"][arm]
        calibrated = by_arm["mean_effect"] + by_arm["slope"] * (
            effects[:, k] - by_arm["mean_prediction"]
        )
        np.testing.assert_array_equal(scores[f"effect_{arm}"], calibrated)
    profits = scores[[f"profit_{arm}" for arm in trial.arms[1:]]].to_numpy()
    best = np.where(profits.max(axis=1) > 0, profits.argmax(axis=1) + 1, 0)
    assert scores["recommended_arm"].tolist() == [trial.arms[i] for i in best]
    np.testing.assert_array_equal(scores["expected_profit"], np.maximum(profits.max(axis=1), 0))


def test_the_same_model_gives_the_same_digest(tmp_path, written, card, model, roi_table, trial):
    _, digest = written
    example = example_of(model.encoder_, trial.features)
    rules = roi_table.scoring_rules()
    again = write_package(tmp_path / "again", card=card, model=model, rules=rules, example=example)
    assert again == digest


def test_a_changed_byte_in_any_file_is_refused_before_it_is_parsed(written):
    folder, digest = written
    assert len(files_of(folder)) > 4  # the forests are among them
    for path in files_of(folder):
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        with pytest.raises(DataError, match="changed since it was registered") as refusal:
            read_package(folder, digest=digest)
        assert refusal.value.code == "FILE_CHECKSUM"
        path.write_bytes(content)
    read_package(folder, digest=digest)


def test_a_file_cut_short_is_refused_before_it_is_parsed(written):
    folder, digest = written
    forest = next(path for path in files_of(folder) if path.suffix == ".txt")
    forest.write_bytes(forest.read_bytes()[:-200])  # LightGBM's parser would abort the process
    with pytest.raises(DataError, match=forest.name) as refusal:
        read_package(folder, digest=digest)
    assert refusal.value.code == "FILE_CHECKSUM"


def test_a_missing_file_and_one_that_is_not_listed_are_refused(written):
    folder, digest = written
    (folder / "model" / "extra.py").write_text("print('never run')")
    with pytest.raises(DataError, match=r"does not list, first 'model/extra\.py'"):
        read_package(folder, digest=digest)
    (folder / "model" / "extra.py").unlink()
    (folder / "scoring.json").unlink()
    with pytest.raises(DataError, match=r"'scoring\.json' is missing") as refusal:
        read_package(folder, digest=digest)
    assert refusal.value.code == "MODEL_FILES_MISSING"


def test_a_package_that_lists_a_file_outside_its_folder_is_refused(written):
    folder, _ = written
    plain = json.loads((folder / "package.json").read_text())
    plain["files"]["../outside.json"] = "0" * 64
    (folder / "package.json").write_text(json.dumps(plain))
    with pytest.raises(DataError, match="outside its folder") as refusal:
        read_package(folder)
    assert refusal.value.code == "MODEL_FORMAT"


def test_a_package_of_another_format_is_refused(written):
    folder, _ = written
    plain = json.loads((folder / "package.json").read_text()) | {"format": 99}
    (folder / "package.json").write_text(json.dumps(plain))
    with pytest.raises(DataError, match="has format 99, this program reads 1"):
        read_package(folder)


def test_changed_scores_of_the_example_are_named_by_column(written):
    folder, digest = written
    package = read_package(folder, digest=digest)
    package.expected.loc[0, "effect_email"] = np.nextafter(package.expected["effect_email"][0], 9e9)
    assert package.differing_columns() == ("effect_email",)


def test_the_example_shows_no_customer(trial, model):
    example = example_of(model.encoder_, trial.features)
    merged = example.merge(trial.features.astype({"recency": float}), how="inner")
    assert len(example) == 5
    assert merged.empty
    without_customers = example_of(model.encoder_, None)
    assert list(without_customers.columns) == list(example.columns)
    assert np.isfinite(model.predict(without_customers)).all()


def test_a_model_of_another_library_is_refused_because_it_has_no_format_without_code():
    with pytest.raises(StateError, match="cannot be registered") as refusal:
        storable(object())
    assert refusal.value.code == "MODEL_NOT_STORED"


def test_a_missing_feature_is_named_and_text_for_a_number_is_refused(written, trial):
    package = read_package(written[0])
    with pytest.raises(DataError, match="recency, segment") as refusal:
        package.score(trial.features[["spend_before"]])
    assert (refusal.value.code, refusal.value.count) == ("FEATURE_MISSING", 2)
    with pytest.raises(DataError, match="recency") as refusal:
        package.score(trial.features.assign(recency=pd.Series(["a"] * trial.n_units)))
    assert refusal.value.code == "FEATURE_DTYPE"


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: {"format": 1},
        lambda plain: plain | {"files": 3},
        lambda plain: plain | {"files": dict.fromkeys(plain["files"], 7)},
        lambda plain: plain | {"card": plain["card"] | {"arms": None}},
        lambda plain: plain | {"card": plain["card"] | {"features": [["age"]]}},
    ],
)
def test_a_card_that_describes_no_package_is_refused(written, change):
    folder, _ = written
    file = folder / "package.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(DataError) as refusal:
        read_package(folder)
    assert refusal.value.code in {"MODEL_FORMAT", "FILE_CHECKSUM", "MODEL_FILES_MISSING"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": NaN}', b"\xff"])
def test_a_card_that_is_no_json_is_refused(written, content):
    folder, _ = written
    (folder / "package.json").write_bytes(content)
    with pytest.raises(DataError) as refusal:
        read_package(folder)
    assert refusal.value.code == "MODEL_FORMAT"
