"""Learners that regress a measurement of each unit's effect: DR, R and the transformed outcome.

All are one forest per treatment on top of one effect for everyone. Within a suite their rounds are
chosen on other folds than the one that is predicted; alone, on a part of their own rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from uplift.models.boosting import (
    Boosting,
    Forest,
    JointLesson,
    Lesson,
    grow,
    grow_jointly,
    sizes_for,
)
from uplift.models.crossfit import Sample, with_scores
from uplift.models.feature_rows import FeatureRows
from uplift.models.learners import Based, in_order, numbered

Array = npt.NDArray[np.float64]

STOPS = (0, 10, 20, 40, 70, 100, 150, 200)  # rounds that are compared on other folds


class ScoreLearner(Based):
    """One effect for everyone and one forest of differences per treatment.

    Learns `base_`, (n_arms - 1,), and `forests_`, one per treatment; on a `base`, one clone of
    `effect_base` per treatment (None takes `base`). In a suite the scores are the suite's.
    """

    base_: Array
    forests_: tuple[Forest, ...]

    def __init__(
        self,
        *,
        base: Any = None,
        effect_base: Any = None,
        two_part: bool | None = None,
        n_rounds: int | None = None,
        learning_rate: float | None = None,
        num_leaves: int | None = None,
        min_data_in_leaf: int | None = None,
        n_folds: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            base=base,
            two_part=two_part,
            n_rounds=n_rounds,
            learning_rate=learning_rate,
            num_leaves=num_leaves,
            min_data_in_leaf=min_data_in_leaf,
        )
        self.effect_base = effect_base
        self.n_folds = n_folds
        self.seed = seed

    def _grown_effects(self, inputs: FeatureRows) -> Array:
        return np.column_stack(
            [
                base + forest.raw(inputs)
                for base, forest in zip(self.base_, self.forests_, strict=True)
            ]
        )

    def stops(self) -> tuple[int, ...]:
        """Numbers of rounds that other folds choose from, up to as many as were grown."""
        grown = max(forest.n_rounds for forest in self.forests_)
        return (*(stop for stop in STOPS if stop < grown), grown)

    def effects_at(self, inputs: FeatureRows, stops: Sequence[int]) -> Array:
        """Effects after some numbers of rounds, (n_stops, n_rows, n_arms - 1)."""
        found = [
            base + forest.raw_at(inputs, rounds=stops)
            for base, forest in zip(self.base_, self.forests_, strict=True)
        ]
        return np.stack(found, axis=-1)

    def cut(self, rounds: Sequence[int]) -> Self:
        """Keep the first rounds of each treatment's forest."""
        self.forests_ = tuple(
            forest.cut(kept) for forest, kept in zip(self.forests_, rounds, strict=True)
        )
        return self

    def _grown_parts(self) -> tuple[dict[str, Any], dict[str, Forest]]:
        return {"base": self.base_.tolist()}, numbered("effect", self.forests_)

    def restore(self, constants: Mapping[str, Any], forests: Mapping[str, Forest]) -> None:
        """Take back the effect for everyone and the forests."""
        self.base_ = np.array(constants["base"], dtype=np.float64)
        self.forests_ = in_order("effect", forests)

    def _effect_size(self, sample: Sample) -> Boosting:
        default = sizes_for(len(sample.rows)).effect
        if not sample.by_folds:
            return self._size(default)
        return self._size(replace(default, n_rounds=min(default.n_rounds, STOPS[-1]), search=False))

    def _regress(self, sample: Sample, scores: Array) -> None:
        """Learn from scores of the sample's rows, (n_rows, n_arms - 1)."""
        weight = sample.weights(sample.rows)
        size = self._effect_size(sample)
        self.base_ = np.average(scores, axis=0, weights=weight)
        self.forests_ = tuple(
            grow(sample.table, Lesson(sample.rows, scores[:, k] - base, weight=weight), size)
            for k, base in enumerate(self.base_)
        )


class DRLearner(ScoreLearner):
    """Effect as a regression of the doubly robust scores on the features.

        score_k = doubly robust outcome of arm k - that of control;  effect_k(x) = E[score_k | x]

    The scores are cross-fitted. A score of a training unit was made with outcome models that may
    have seen the units being predicted, one step removed; with five folds no bias shows.
    Source: Kennedy (2023), Electronic Journal of Statistics 17(2).
    """

    method = "dr"

    def _grow(self, sample: Sample) -> None:
        scores = with_scores(sample, n_folds=self.n_folds, seed=self.seed).scores
        assert scores is not None
        self._regress(sample, scores[sample.rows])


class TransformedOutcome(ScoreLearner):
    """Effect as a regression of outcomes weighted by how likely their arm was.

        score_k = 1[arm k] (y - m) / e_k - 1[control] (y - m) / e_0;  effect_k(x) = E[score_k | x]

    m is the mean outcome of all units, so that the outcome's zero makes no difference. Needs no
    outcome model, and is the noisier for it.
    Source: Athey & Imbens (2016), PNAS 113(27).
    """

    method = "transformed"

    def _grow(self, sample: Sample) -> None:
        rows = sample.rows
        arm, propensity = sample.design.arm[rows], sample.design.propensity[rows]
        received = np.arange(propensity.shape[1]) == arm[:, None]
        outcome = sample.outcome[rows]
        centred = outcome - np.average(outcome, weights=sample.weights(rows))
        weighted = received * centred[:, None] / propensity
        self._regress(sample, weighted[:, 1:] - weighted[:, [0]])


class RLearner(ScoreLearner):
    """Effect that best explains what the expected outcome leaves over, all arms jointly.

        min sum w ((y - m(x)) - sum_k (1[arm k] - e_k) effect_k(x))^2,  m = sum_k e_k mean_k

    With one treatment this is a weighted mean of (y - m) / (1[arm 1] - e_1), weighted by
    (1[arm 1] - e_1)^2. The effect for everyone is the least-squares fit of the residuals.
    Source: Nie & Wager (2021), Biometrika 108(2).
    """

    method = "r"

    def _grow(self, sample: Sample) -> None:
        given = with_scores(sample, n_folds=self.n_folds, seed=self.seed)
        assert given.predicted is not None
        rows = sample.rows
        propensity = sample.design.propensity[rows]
        expected = (propensity * given.predicted[rows]).sum(axis=1)
        residual = sample.outcome[rows] - expected
        received = np.arange(1, propensity.shape[1]) == sample.design.arm[rows, None]
        surprise: Array = received - propensity[:, 1:]
        weight = sample.weights(rows)
        self.base_ = constant_effect(residual, surprise, weight)
        left = residual - surprise @ self.base_
        size = self._effect_size(sample)
        if surprise.shape[1] > 1:
            lesson = JointLesson(rows, left, surprise, weight)
            self.forests_ = grow_jointly(sample.table, lesson, size)
            return
        strength = surprise[:, 0] ** 2 if weight is None else weight * surprise[:, 0] ** 2
        alone = Lesson(rows, left / surprise[:, 0], weight=strength)
        self.forests_ = (grow(sample.table, alone, size),)


def constant_effect(residual: Array, surprise: Array, weight: Array | None) -> Array:
    """Least-squares effects of all treatments on what is left of the outcome, (n_arms - 1,).

    residual  (n_rows,)              outcome less what was expected of it
    surprise  (n_rows, n_arms - 1)   arm received less its probability
    """
    weighted = surprise if weight is None else surprise * weight[:, None]
    found = np.linalg.solve(weighted.T @ surprise, weighted.T @ residual)
    return np.asarray(found, dtype=np.float64)
