"""A rule that can be said: the small tree of features whose arms are worth most after costs.

The tree is searched on doubly robust worth. What it is worth is never read off the customers it was
searched on: for every fold a tree is made from the other folds, and applied to this one.
Source: Athey & Wager (2021), Econometrica 89(1); Zhou, Athey & Wager (2023), Operations Research
71(1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.errors import DefinitionError
from uplift.evaluation.curves import weighted_mean
from uplift.evaluation.evidence import Evidence, gather
from uplift.evaluation.policy import policy_gain
from uplift.explanation.rule_words import Condition, Phrases, Rule, sentence, together
from uplift.explanation.tree_search import Binned, Leaf, Node, arms_of, best_tree
from uplift.inference.doubly_robust import Average
from uplift.models.encoding import Encoder
from uplift.models.forest_bins import Bins
from uplift.suite import Suite
from uplift.table import Column, Result, Table
from uplift.text.texts import text_of
from uplift.trial import Trial

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

N_BINS = 32  # of a number: thresholds a split may have
DEPTHS = (1, 2, 3)
MIN_SHARE = 0.02  # of customers in every leaf; smaller groups are not worth a sentence


@dataclass(frozen=True, repr=False)
class PolicyTree(Result):
    """Rules, who they treat, and what such rules are worth on customers they were not made from.

    rules      every customer falls under exactly one
    unit       of the worth: profit in currency, or the outcome
    over_nobody, over_best_arm
               gain per customer, out of fold: over contacting nobody, and over the best single arm
               (or nobody), itself chosen on the other folds
    flags      features that are 0 or 1
    words      what the caller calls the features
    """

    depth: int
    unit: str
    arms: tuple[str, ...]
    rules: tuple[Rule, ...]
    over_nobody: Average
    over_best_arm: Average
    flags: frozenset[str] = field(default=frozenset(), repr=False)
    words: Mapping[str, Phrases] = field(default_factory=dict, repr=False)
    root: Node = field(default=Leaf(0), repr=False)

    def sentences(self, language: str = "en") -> list[str]:
        """A sentence per rule, in "en" or "fr"."""
        text = text_of(language)
        control = self.arms[0]
        return [
            sentence(rule, control=control, words=self.words, flags=self.flags, text=text)
            for rule in self.rules
        ]

    def story(self, language: str = "en") -> str:
        """The rules and what they are worth, in words."""
        value, gain = self.over_nobody, self.over_best_arm
        worth = text_of(language).tell(
            "rule.value",
            value=value.value,
            low=value.ci[0],
            high=value.ci[1],
            unit=self.unit,
            gain=gain.value,
            gain_low=gain.ci[0],
            gain_high=gain.ci[1],
        )
        return "\n".join([*self.sentences(language), worth])

    def table(self) -> Table:
        """A row per rule."""
        columns = [Column("arm"), Column("rule"), Column("share", kind="share")]
        rows = [
            (rule.arm, said, rule.share)
            for rule, said in zip(self.rules, self.sentences(), strict=True)
        ]
        note = self.story().split("\n")[-1]
        return Table(f"A rule of at most {self.depth} questions", columns, rows, note=note)


def policy_tree(
    suite: Suite,
    trial: Trial,
    *,
    depth: int = 2,
    words: Mapping[str, Phrases] | None = None,
    min_share: float = MIN_SHARE,
    confidence: float = 0.95,
) -> PolicyTree:
    """The tree of features that is worth most by doubly robust scores, after costs.

    depth      questions to a customer at most, 1 to 3; up to 2 the search is exact over bins
    words      by feature, see `rule_words.sentence`
    min_share  of customers in every leaf

    Refused: ARGUMENT_INVALID (depth, min_share), and what `gather` and `Encoder.fit` refuse.
    """
    if depth not in DEPTHS or not 0 < min_share < 0.5:
        raise DefinitionError(
            f"A policy tree has a depth of 1, 2 or 3 and a min_share in (0, 0.5), got {depth} and "
            f"{min_share}. Use 2 and 0.02.",
            code="ARGUMENT_INVALID",
        )
    evidence = gather(suite, trial)
    place = pd.Index(trial.units).get_indexer(pd.Index(suite.units))
    encoder = Encoder.fit(trial.features)
    columns = list(encoder.encode(trial.features.iloc[place]).T)
    bins = _bins(encoder, columns)
    codes = np.ascontiguousarray(bins.encode(columns, n_rows=len(place)).T)
    weight = np.ones(len(place)) if evidence.weight is None else evidence.weight
    units = Binned(codes, bins.categorical, evidence.worth * weight[:, None])
    root = _grown(units, depth=depth, min_share=min_share)
    choice, blanket = _by_folds(units, evidence, depth=depth, min_share=min_share)
    nobody = np.zeros(len(place), dtype=np.int64)
    return PolicyTree(
        depth=depth,
        unit=evidence.unit,
        arms=evidence.arms,
        rules=_rules(root, encoder, bins, columns, codes, evidence),
        over_nobody=policy_gain(choice, nobody, evidence, confidence=confidence),
        over_best_arm=policy_gain(choice, blanket, evidence, confidence=confidence),
        flags=frozenset(
            feature.name
            for feature, values in zip(encoder.features, columns, strict=True)
            if feature.kind == "number" and set(np.unique(values[~np.isnan(values)])) <= {0.0, 1.0}
        ),
        words=dict(words or {}),
        root=root,
    )


def _bins(encoder: Encoder, columns: list[Array]) -> Bins:
    levels = {i: len(encoder.features[i].levels) for i in encoder.categorical}
    return Bins.fit(columns, n_levels=levels, n_bins=N_BINS)


def _grown(units: Binned, *, depth: int, min_share: float) -> Node:
    min_leaf = max(1, int(np.ceil(min_share * units.codes.shape[1])))
    return best_tree(units, depth=depth, min_leaf=min_leaf)


def _by_folds(
    units: Binned, evidence: Evidence, *, depth: int, min_share: float
) -> tuple[IntArray, IntArray]:
    """The arm every unit gets by a tree, and by the best single arm, of the other folds."""
    choice = np.zeros(evidence.n_units, dtype=np.int64)
    blanket = np.zeros(evidence.n_units, dtype=np.int64)
    for number in evidence.folds:
        here, others = (np.flatnonzero(evidence.fold == number), evidence.fold != number)
        taught = units.of(np.flatnonzero(others))
        root = _grown(taught, depth=depth, min_share=min_share)
        choice[here] = arms_of(root, units.codes[:, here], units.categorical)
        blanket[here] = int(taught.totals.argmax())
    return choice, blanket


def _rules(
    root: Node,
    encoder: Encoder,
    bins: Bins,
    columns: list[Array],
    codes: npt.NDArray[np.uint8],
    evidence: Evidence,
) -> tuple[Rule, ...]:
    """The leaves as rules, those that treat first, then by share."""
    missing = [bool(np.isnan(values).any()) for values in columns]
    whole = [bool((np.floor(values) == values)[~np.isnan(values)].all()) for values in columns]
    found: list[Rule] = []

    def walk(node: Node, asked: list[Condition], inside: npt.NDArray[np.bool_]) -> None:
        if isinstance(node, Leaf):
            share = weighted_mean(inside.astype(np.float64), evidence.weight)
            found.append(Rule(evidence.arms[node.arm], together(asked), share))
            return
        feature = encoder.features[node.feature]
        edges = bins.edges[node.feature]
        if edges is not None and whole[node.feature]:
            edges = np.floor(edges)  # "at most 3", not "at most 3.5"
        own = codes[node.feature]
        left = own == node.code if edges is None else own <= node.code
        for side, is_left in ((node.left, True), (node.right, False)):
            condition = _condition(
                feature.name,
                feature.levels,
                edges,
                node.code,
                is_left=is_left,
                has_missing=missing[node.feature],
            )
            walk(side, [*asked, condition], inside & (left if is_left else ~left))

    walk(root, [], np.ones(evidence.n_units, dtype=bool))
    return tuple(sorted(found, key=lambda rule: (rule.arm == evidence.arms[0], -rule.share)))


def _condition(
    name: str,
    levels: tuple[str, ...],
    edges: Array | None,
    code: int,
    *,
    is_left: bool,
    has_missing: bool,
) -> Condition:
    """What a side of a split asks: code 0 is missing, and goes with the lowest numbers."""
    if code == 0:
        return Condition(name, unknown=is_left)
    if edges is None:
        if not is_left and len(levels) == 2 and not has_missing:  # the other one
            return Condition(name, level=levels[2 - code])
        return Condition(name, level=levels[code - 1], is_level=is_left)
    edge = float(edges[code - 1])
    if is_left:
        return Condition(name, high=edge, unknown=has_missing)
    return Condition(name, low=edge)
