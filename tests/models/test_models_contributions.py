"""Contributions add up to effects, and agree with Shapley values counted out by hand."""

from dataclasses import replace
from itertools import combinations
from math import factorial

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from uplift.datasets import simulate
from uplift.errors import StateError
from uplift.models.arm_trees import under_arm
from uplift.models.boosting import Forest
from uplift.models.calibration import calibrate
from uplift.models.class_transformation import ClassTransformation
from uplift.models.contributions import contributions_of
from uplift.models.feature_rows import FeatureRows
from uplift.models.leaf_tables import read_trees
from uplift.models.learners import SLearner, TLearner, XLearner
from uplift.models.score_learners import DRLearner, RLearner, TransformedOutcome
from uplift.models.train import train

SIZE = {"n_rounds": 25, "num_leaves": 5, "min_data_in_leaf": 40}
SMALL = {"s": SLearner, "t": TLearner, "x": XLearner, "r": RLearner, "dr": DRLearner}
SMALL |= {"transformed": TransformedOutcome, "class": ClassTransformation}
LEARNERS = ("s", "t", "x", "r", "dr", "transformed", "class", "stack")


@pytest.fixture(scope="module")
def trial():
    trial = simulate(n_units=1500, n_arms=3, seed=2).trial
    rng = np.random.default_rng(0)
    trial.features["channel"] = rng.choice(["web", "shop", "phone"], 1500)
    trial.features.loc[::5, "x1"] = np.nan
    web = (trial.features["channel"] == "web").to_numpy()
    bought = trial.outcomes[trial.primary]
    spent = bought * rng.exponential(1, 1500)
    moved = spent + web * (trial.arm == 1) + rng.standard_normal(1500) / 10
    return replace(
        trial, outcomes={trial.primary: moved, "bought": np.where(web, bought, 1.0), "spent": spent}
    )


@pytest.fixture(scope="module")
def suites(trial):
    learners = [(name, SMALL[name](**SIZE)) if name in SMALL else name for name in LEARNERS]
    of_numbers = [one for one in learners if one[0] != "class"]
    parts = [("s", SLearner(**SIZE, two_part=True)), ("t", TLearner(**SIZE, two_part=True))]
    return {
        "number": train(trial, of_numbers, n_folds=2),
        "two parts": train(trial, parts, outcome="spent", n_folds=2),
        "binary": calibrate(train(trial, learners, outcome="bought", n_folds=2), "t"),
    }


CASES = [("number", name) for name in LEARNERS if name != "class"]
CASES += [("two parts", "s"), ("two parts", "t")]
CASES += [("binary", name) for name in (*LEARNERS, "t_calibrated", "constant")]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_contributions_add_up_to_the_effect(suites, trial, kind, name):
    model, X = suites[kind].candidates[name].model, trial.features.head(300)
    found = contributions_of(model, X)
    effects = model.predict(X)
    np.testing.assert_allclose(found.effects, effects, rtol=0, atol=1e-10)
    assert found.values.shape == (300, len(model.encoder_.names), 2)
    assert (np.ptp(found.values, axis=0).max() > 0) == (np.ptp(effects, axis=0).max() > 0)


@pytest.mark.parametrize("arm", [0, 1, 2])
def test_a_forest_with_its_arm_fixed_predicts_what_it_did_under_the_arm(suites, trial, arm):
    models = suites["number"].candidates["t"].model.models_
    n_features = models.n_features
    forest = models.pooled
    assert any((tree.feature >= n_features).any() for tree in read_trees(forest.text()))
    text = under_arm(forest.text(), n_features=n_features, arm=arm)
    assert not any((tree.feature >= n_features).any() for tree in read_trees(text))
    rows = FeatureRows.of(suites["number"].candidates["t"].model.encoder_.encode(trial.features))
    fixed = Forest.from_text(text, forest.bins)
    np.testing.assert_allclose(fixed.raw(rows), forest.raw(rows, arm=arm), rtol=0, atol=1e-12)


def test_contributions_are_the_shapley_values_of_the_effect(suites, trial):
    """By counting all coalitions; what is unknown goes both ways, by the shares of units."""
    model = suites["number"].candidates["s"].model
    X = trial.features.head(3)
    rows = FeatureRows.of(model.encoder_.encode(X))
    codes = rows.codes(model.coding_)
    found = contributions_of(model, X).values[:, :, 0]
    texts = [
        under_arm(model.models_.pooled.text(), n_features=len(codes), arm=arm) for arm in (1, 0)
    ]
    n = len(codes)
    forests = [list(zip(read_trees(text), _leaf_counts(text), strict=True)) for text in texts]
    for i in range(3):
        value = {}
        for size in range(n + 1):
            for known in combinations(range(n), size):
                treated, control = (
                    sum(_expected(tree, counts, codes[:, i], set(known), 0) for tree, counts in f)
                    for f in forests
                )
                value[frozenset(known)] = treated - control
        for j in range(n):
            others = [f for f in range(n) if f != j]
            shapley = sum(
                factorial(len(s)) * factorial(n - len(s) - 1) / factorial(n)
                * (value[frozenset(s) | {j}] - value[frozenset(s)])
                for size in range(n)
                for s in combinations(others, size)
            )  # fmt: skip
            assert found[i, j] == pytest.approx(shapley, abs=1e-8)


def _leaf_counts(text):
    blocks = text.split("\nTree=")[1:]
    return [
        [int(x) for x in line.split("=")[1].split()]
        for block in blocks
        for line in block.split("\n")
        if line.startswith("leaf_count=")
    ]


def _count(tree, counts, node):
    if node < 0:
        return counts[-1 - node]
    return _count(tree, counts, tree.left[node]) + _count(tree, counts, tree.right[node])


def _expected(tree, counts, codes, known, node):
    if not len(tree.feature):
        return tree.values[0]
    if node < 0:
        return tree.values[-1 - node]
    left, right = int(tree.left[node]), int(tree.right[node])
    if tree.feature[node] in known:
        goes_left = tree.goes_left(node)[codes[tree.feature[node]]]
        return _expected(tree, counts, codes, known, left if goes_left else right)
    a, b = _count(tree, counts, left), _count(tree, counts, right)
    below = [_expected(tree, counts, codes, known, side) for side in (left, right)]
    return (a * below[0] + b * below[1]) / (a + b)


def test_a_feature_that_is_never_split_on_contributes_nothing(suites, trial):
    model = suites["number"].candidates["dr"].model
    used = {f for forest in model.forests_ for t in read_trees(forest.text()) for f in t.feature}
    found = contributions_of(model, trial.features.head(100)).values
    for j in range(found.shape[1]):
        if j not in used:
            assert not found[:, j].any()


def test_what_has_no_exact_contributions_is_refused(suites, trial):
    plain = SLearner(base=LinearRegression()).fit(
        trial.features[["x0", "x2"]], trial.outcomes[trial.primary], trial.arm
    )
    for model in (suites["number"].candidates["response"].model, object(), plain):
        with pytest.raises(StateError, match="permutation importance") as caught:
            contributions_of(model, trial.features.head(3))
        assert caught.value.code == "CONTRIBUTIONS_UNKNOWN"
