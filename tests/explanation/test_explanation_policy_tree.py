"""A rule in words: the one that was planted, in the marketer's language, with an honest worth."""

from dataclasses import replace

import numpy as np
import pytest

from uplift.datasets import simulate
from uplift.economics import Economics
from uplift.errors import DefinitionError
from uplift.evaluation.evidence import gather
from uplift.explanation.policy_tree import policy_tree
from uplift.explanation.rule_words import Condition, Rule, sentence, together
from uplift.explanation.tree_search import Leaf, Split
from uplift.models.train import train

WORDS = {
    "gender": {"women": "women", "men": "men"},
    "recency": (
        "a purchase in the last {value} months",
        "no purchase in the last {value} months",
    ),
}


def planted(seed=0, n_units=4000, size=1.0):
    """Women who bought in the last 3 months gain; the others lose."""
    sim = simulate(n_units=n_units, outcome="normal", effect=0.0, n_features=3, seed=seed)
    rng = np.random.default_rng(seed)
    gender = rng.choice(["men", "women"], n_units)
    recency = rng.integers(1, 13, n_units)
    features = sim.trial.features.assign(gender=gender, recency=recency)
    gain = np.where((gender == "women") & (recency <= 3), 2.0, -0.5) * size
    y = sim.trial.outcomes["outcome"] + sim.trial.arm * gain
    arms = ("control", "voucher_5")
    return replace(sim.trial, features=features, outcomes={"outcome": y}, arms=arms)


@pytest.fixture(scope="module")
def trial():
    return planted()


@pytest.fixture(scope="module")
def suite(trial):
    return train(trial, ["s"], n_folds=3)


def test_the_planted_rule_is_found_and_said_in_both_languages(suite, trial):
    tree = policy_tree(suite, trial, words=WORDS)
    assert tree.sentences()[0].startswith(
        "Customers with women and a purchase in the last 3 months get voucher 5 (12."
    )
    plain = policy_tree(suite, trial).sentences("fr")
    assert plain[0].startswith("Les clients avec gender\u00a0: women et recency d’au plus 3")
    assert any("laissés tranquilles" in said for said in plain)
    assert sum(rule.share for rule in tree.rules) == pytest.approx(1)
    assert {rule.arm for rule in tree.rules} == {"control", "voucher_5"}
    assert tree.story("fr").count("\n") == len(tree.rules)
    assert "voucher_5" in str(tree)


def test_its_worth_is_that_of_customers_it_was_not_made_from(suite, trial):
    tree = policy_tree(suite, trial)
    truth = 2.0 * np.mean((trial.features["gender"] == "women") & (trial.features["recency"] <= 3))
    assert tree.over_nobody.value == pytest.approx(truth, abs=4 * tree.over_nobody.std_error)
    assert tree.over_nobody.ci[0] > 0
    assert tree.over_best_arm.ci[0] > 0


def gains_under_the_null(*, honest, n_trials=8):
    """Mean gain over nobody, in its standard errors, when nothing does anything."""
    found = []
    for seed in range(n_trials):
        trial = planted(seed, n_units=500, size=0.0)
        suite = train(trial, [], n_folds=2)
        tree = policy_tree(suite, trial)
        if honest:
            found.append(tree.over_nobody.value / max(tree.over_nobody.std_error, 1e-12))
        else:
            worth = gather(suite, trial).worth
            treated = _treated(tree.root, trial)
            gain = np.where(treated, worth[:, 1] - worth[:, 0], 0)
            found.append(gain.mean() / (gain.std() / np.sqrt(len(gain)) + 1e-12))
    return np.mean(found)


def _treated(root, trial):
    """By the in-sample tree: whoever it treats, read off its rules."""
    from uplift.explanation.policy_tree import _bins
    from uplift.explanation.tree_search import arms_of
    from uplift.models.encoding import Encoder

    encoder = Encoder.fit(trial.features)
    columns = list(encoder.encode(trial.features).T)
    bins = _bins(encoder, columns)
    return arms_of(root, bins.encode(columns, n_rows=trial.n_units).T, bins.categorical) == 1


def test_nothing_is_gained_where_nothing_does_anything_though_it_seems_so_in_sample():
    assert abs(gains_under_the_null(honest=True)) < 3 / np.sqrt(8)
    assert gains_under_the_null(honest=False) > 1.5


def test_costs_decide_who_is_left_alone(trial):
    priced = replace(
        trial,
        economics=Economics(
            currency="EUR",
            value_outcome="outcome",
            margin_rate=1.0,
            contact_cost={"voucher_5": 9.0},
        ),
    )
    tree = policy_tree(train(priced, ["s"], n_folds=3), priced)
    assert tree.root == Leaf(0)
    assert tree.sentences() == ["Everybody is left alone."]
    assert tree.over_nobody.value == 0


def test_the_best_arm_for_everybody_is_a_rule_too():
    trial = planted(size=0.0)
    trial = replace(trial, outcomes={"outcome": trial.outcomes["outcome"] + 1.0 * trial.arm})
    tree = policy_tree(train(trial, ["s"], n_folds=2), trial, min_share=0.2)
    assert {rule.arm for rule in tree.rules} == {"voucher_5"}
    if isinstance(tree.root, Leaf):
        assert tree.sentences() == ["Everybody gets voucher 5."]


def test_unknown_values_are_said(trial):
    features = trial.features.assign(
        recency=trial.features["recency"].where(trial.features["recency"] > 2).astype(float)
    )
    gapped = replace(trial, features=features)
    tree = policy_tree(train(gapped, ["s"], n_folds=2), gapped)
    assert any("or unknown" in said or "recency unknown" in said for said in tree.sentences())
    assert isinstance(tree.root, Split)


@pytest.mark.parametrize(
    ("words", "code"), [({"depth": 4}, "ARGUMENT_INVALID"), ({"min_share": 0}, "ARGUMENT_INVALID")]
)
def test_other_depths_and_shares_are_refused(suite, trial, words, code):
    with pytest.raises(DefinitionError) as caught:
        policy_tree(suite, trial, **words)
    assert caught.value.code == code


def test_conditions_on_one_number_are_said_once():
    low, high = Condition("recency", high=6.0, unknown=True), Condition("recency", high=3.0)
    assert together([low, high]) == (Condition("recency", high=3.0),)
    assert together([Condition("recency", low=2.0), low]) == (
        Condition("recency", low=2.0, high=6.0),
    )
    others = [Condition("channel", level="web", is_level=False)]
    chosen = Condition("channel", level="shop")
    assert together([*others, chosen]) == (chosen,)


@pytest.mark.parametrize(
    ("condition", "english", "french"),
    [
        (Condition("recency", low=2.0, high=6.0), "recency above 2", "recency de plus de 2"),
        (Condition("newbie", low=0.0), "newbie: yes", "newbie\u00a0: oui"),
        (Condition("newbie", high=0.0), "newbie: no", "newbie\u00a0: non"),
        (
            Condition("zip", level="rural", is_level=False),
            "zip other than rural",
            "autre que rural",
        ),
        (Condition("age", unknown=True), "age unknown", "age inconnu"),
        (Condition("age"), "age known", "age connu"),
        (Condition("age", high=30.0, unknown=True), "or unknown", "ou inconnu"),
    ],
)
def test_every_condition_has_words(condition, english, french):
    from uplift.text.texts import text_of

    rule = Rule("mail", (condition,), 0.5)
    for language, said in (("en", english), ("fr", french)):
        told = sentence(
            rule, control="control", words={}, flags=frozenset({"newbie"}), text=text_of(language)
        )
        assert said in told
