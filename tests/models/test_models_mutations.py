"""Changed model files: none is taken for the original, and none ends the process.

Accepted means: a model came out although a byte is not the one that was written. With the digests
of the writing that never happens, wherever they are kept. Whoever changes a file and makes every
digest in the folder right again has written another model, which no reader can tell: it must then
either be refused or be whole, every score of it finite.
"""

import os
import signal
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.models.mutations import copied, forge, mutate, mutate_description, outcome_of
from uplift.datasets import simulate
from uplift.errors import DataError
from uplift.files import file_digest
from uplift.models.calibration import calibrate
from uplift.models.forest import CausalForest
from uplift.models.forest_bins import Bins
from uplift.models.learners import SLearner, TLearner, XLearner
from uplift.models.score_learners import DRLearner, RLearner
from uplift.models.store import load_model, save_model
from uplift.models.train import train
from uplift.models.tree_text import require_bounds
from uplift.models.tree_trial import try_apart

KINDS = ("s", "t", "x", "r", "d", "forest", "constant", "random", "rule", "stack")
KINDS += ("t_calibrated",)
REFUSALS = {"FILE_CHECKSUM", "FILE_MISSING", "JSON_INVALID", "MODEL_FORMAT"}


@pytest.fixture(scope="module")
def trial():
    trial = simulate(n_units=800, n_arms=3, seed=1).trial
    rng = np.random.default_rng(1)
    channel = rng.choice(["web", "shop", "phone"], 800)
    features = trial.features.assign(channel=channel, gap=np.where(channel == "web", np.nan, 1.5))
    moved = trial.outcomes[trial.primary] + 2.0 * (channel == "web")
    return replace(trial, features=features, outcomes={trial.primary: moved})


@pytest.fixture(scope="module")
def models(trial, tmp_path_factory):
    """A folder with a stored model of every kind, of few trees."""
    base = tmp_path_factory.mktemp("models")
    small = [SLearner, TLearner, XLearner, RLearner, DRLearner]
    learners = [(kind.__name__[0].lower(), kind(n_rounds=12, num_leaves=4)) for kind in small]
    learners += [("forest", CausalForest(n_trees=8, min_leaf=40)), "stack"]
    suite = calibrate(train(trial, learners, n_folds=2), "t")
    for name in KINDS:
        save_model(suite.candidates[name].model, base / name)
    return base


def survey(models, customers, folder, *, n: int, with_digests: bool) -> Counter:
    """Outcomes of n changed models, of every kind in turn."""
    outcomes: Counter = Counter()
    for i in range(n):
        rng = np.random.default_rng([i, with_digests])
        source = models / KINDS[i % len(KINDS)]
        written = {path.name: file_digest(path) for path in source.iterdir()}
        copied(source, folder)
        if with_digests and rng.random() < 0.3:
            changed = mutate_description(folder, rng)
        else:
            changed = mutate(folder, rng, with_digests=with_digests)
        if not changed:
            continue
        if not with_digests or i % 10 == 0:  # digests kept elsewhere: nothing else is looked at
            assert outcome_of(folder, customers, written) in REFUSALS
        outcomes[outcome_of(folder, customers)] += 1
    return outcomes


def require_none_accepted(outcomes: Counter) -> None:
    assert set(outcomes) <= REFUSALS, outcomes


def require_refused_or_sound(outcomes: Counter) -> None:
    scores_nobody = {"scores: FEATURE_MISSING", "scores: FEATURE_DTYPE"}  # of other columns
    assert set(outcomes) <= REFUSALS | {"sound"} | scores_nobody, outcomes
    assert outcomes["MODEL_FORMAT"] > outcomes.total() / 3


def test_no_changed_model_is_accepted(models, trial, tmp_path):
    outcomes = survey(models, trial.features.head(50), tmp_path / "m", n=120, with_digests=False)
    assert outcomes.total() > 90
    require_none_accepted(outcomes)


def test_a_model_with_forged_digests_is_refused_or_whole(models, trial, tmp_path):
    outcomes = survey(models, trial.features.head(50), tmp_path / "m", n=80, with_digests=True)
    require_refused_or_sound(outcomes)


@pytest.mark.slow
def test_ten_thousand_changed_models_none_accepted_and_no_process_ends(models, trial, tmp_path):
    customers = trial.features.head(50)
    intact = survey(models, customers, tmp_path / "m", n=5200, with_digests=False)
    forged = survey(models, customers, tmp_path / "m", n=5200, with_digests=True)
    assert intact.total() + forged.total() >= 10_000
    require_none_accepted(intact)
    require_refused_or_sound(forged)


def test_an_untouched_model_is_taken_with_and_without_digests(models, trial, tmp_path):
    for name in KINDS:
        folder = copied(models / name, tmp_path / "m")
        written = {path.name: file_digest(path) for path in folder.iterdir()}
        assert outcome_of(folder, trial.features.head(50)) == "sound"
        assert outcome_of(folder, trial.features.head(50), written) == "sound"
        forge(folder)
        assert {path.name: file_digest(path) for path in folder.iterdir()} == written


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("num_leaves=4", "num_leaves=5"),
        ("num_leaves=4", "num_leaves=2000000000"),
        ("left_child=", "left_child=0 "),
        ("right_child=", "right_child=1 "),
        ("split_feature=", "split_feature=9"),
        ("leaf_value=", "leaf_value=1e999 "),
        ("leaf_value=", "leaf_value=nan"),
        ("decision_type=", "decision_type=9"),
        ("max_feature_idx=", "max_feature_idx=9"),
        ("tree_sizes=", "tree_sizes=9"),
        ("version=v4", "version=v3"),
        ("num_class=1", "num_class=2"),
        ("Tree=1", "Tree=2"),
        ("is_linear=0", "is_linear=1"),
        ("\nend of trees", "\nTree=0\nend of trees"),
        ("[boosting: gbdt]", "[boosting: \u00e9]"),
    ],
)
def test_a_text_outside_its_bounds_is_refused(models, line, other):
    text = (models / "d" / "effect_0.txt").read_text()
    text = text if line != "Tree=1" else (models / "t" / "pooled.txt").read_text()
    model = load_model(models / "d")
    require_bounds(text, model.coding_, n_arms=3)
    assert line in text
    with pytest.raises(ValueError):
        require_bounds(text.replace(line, other, 1), model.coding_, n_arms=3)


def test_a_forest_of_other_columns_is_refused(models):
    text = (models / "t" / "pooled.txt").read_text()
    coding = load_model(models / "t").coding_
    fewer = Bins(coding.edges[1:], coding.n_codes[1:])
    numbers = Bins(tuple(e if e is not None else np.array([0.5]) for e in coding.edges), (3,) * 9)
    for bins, n_arms in ((fewer, 3), (coding, 2), (numbers, 3)):
        with pytest.raises(ValueError):
            require_bounds(text, bins, n_arms=n_arms)


def test_the_child_ends_where_lightgbm_ends_the_process(models):
    """Without the bounds: at least one of these texts is the end of whoever reads it."""
    text = (models / "t" / "pooled.txt").read_text()
    coding = load_model(models / "t").coding_
    n_columns = len(coding.edges) + 2
    try_apart([text.encode()], n_columns=n_columns)
    said = []
    for line, other in [
        ("left_child=", "left_child=2000000000 "),
        ("num_leaves=4", "num_leaves=2000000000"),
        ("split_feature=", "split_feature=99999999 "),
        ("tree_sizes=", "tree_sizes=99999999 "),
    ]:
        with pytest.raises(ValueError) as caught:
            try_apart([text.replace(line, other, 1).encode()], n_columns=n_columns)
        said.append(str(caught.value))
    assert any("its process ended" in words for words in said), said


def test_forged_files_are_refused_with_their_own_code(models, tmp_path):
    folder = copied(models / "d", tmp_path / "m")
    path = folder / "effect_0.txt"
    path.write_text(path.read_text().replace("left_child=", "left_child=77 ", 1))
    with pytest.raises(DataError) as caught:
        load_model(folder)
    assert caught.value.code == "FILE_CHECKSUM"
    forge(folder)
    with pytest.raises(DataError, match="not a model of this package") as caught:
        load_model(folder)
    assert caught.value.code == "MODEL_FORMAT"
    assert signal.getsignal(signal.SIGABRT) == signal.SIG_DFL
    assert os.getpid() > 0
