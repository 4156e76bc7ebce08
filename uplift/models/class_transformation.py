"""The class transformation, scikit-uplift's, on the shared table."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from uplift.errors import DataError
from uplift.models.boosting import Boosting, Forest, Lesson, grow, sizes_for
from uplift.models.crossfit import Sample, is_binary
from uplift.models.feature_rows import FeatureRows
from uplift.models.learners import Boosted, in_order, numbered

Array = npt.NDArray[np.float64]


class ClassTransformation(Boosted):
    """Effect on a 0/1 outcome from one model of "bought if treated, or not if not".

        z = y 1[arm k] + (1 - y) 1[control],  effect_k(x) = 2 P(z = 1 | x) - 1

    scikit-uplift's model does the transformation, which holds for equal shares; units are weighted
    by 1 / (2 e) of the arm they had, so that it holds for all. Learns `forests_`.
    Refused: OUTCOME_NOT_BINARY.
    Source: Jaskowski & Jaroszewicz (2012), ICML workshop on clinical data.
    """

    def effects(self, inputs: FeatureRows) -> Array:
        """Effects of encoded rows, (n_rows, n_arms - 1)."""
        raw = np.column_stack([forest.raw(inputs) for forest in self.forests_])
        return np.asarray(np.tanh(raw / 2), dtype=np.float64)  # 2 / (1 + exp(-raw)) - 1

    def parts(self) -> tuple[dict[str, Any], dict[str, Forest]]:
        """One forest per treatment."""
        return {}, numbered("effect", self.forests_)

    def restore(self, constants: Mapping[str, Any], forests: Mapping[str, Forest]) -> None:
        """Take back the forests."""
        self.forests_ = in_order("effect", forests)

    def _learn(self, sample: Sample) -> None:
        if not is_binary(sample.outcome):
            raise DataError(
                "ClassTransformation needs an outcome of 0 and 1. Take another learner, or the "
                "purchase instead of its amount.",
                code="OUTCOME_NOT_BINARY",
            )
        size = self._size(sizes_for(len(sample.rows)).effect)
        arms = range(1, sample.design.n_arms)
        self.forests_ = tuple(self._against_control(sample, k, size) for k in arms)

    def _against_control(self, sample: Sample, k: int, size: Boosting) -> Forest:
        from sklift.models import ClassTransformation as Transformation  # loads its plots

        arm = sample.design.arm[sample.rows]
        rows = sample.rows[(arm == 0) | (arm == k)]
        received = sample.design.arm[rows]
        propensity = sample.design.propensity[rows][:, [0, k]]
        chance = propensity[np.arange(len(rows)), (received == k).astype(np.int64)]
        weight = propensity.sum(axis=1) / (2 * chance)
        given = sample.weights(rows)
        classifier = _RowClassifier(sample, size, weight if given is None else weight * given)
        model = Transformation(classifier)
        model.fit(rows[:, None], sample.outcome[rows], (received == k).astype(np.int64))
        return classifier.forest_


class _RowClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # no types
    """A forest on rows of the shared table, given by their numbers, as a classifier."""

    def __init__(self, sample: Sample, size: Boosting, weight: Array) -> None:
        self.sample = sample
        self.size = size
        self.weight = weight

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the class of rows, (n_rows, 1)."""
        rows, target = np.asarray(X)[:, 0], np.asarray(y, dtype=np.float64)
        size = self.size.for_rows(len(rows))
        lesson = Lesson(rows, target, objective="binary", weight=self.weight)
        self.forest_ = grow(self.sample.table, lesson, size)
        self.classes_ = np.array([0, 1])
        return self
