"""The outcome a causal forest expects of a unit whatever its arm: what it works on the rest of.

Out of fold for the units it learns from, so that no unit's own outcome is in its residual; by the
average of the fold models, or by the suite's arm models, for others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from uplift.models.boosting import FEWEST, Boosting, Forest, Lesson, grow, side_by_side
from uplift.models.crossfit import OutcomeModels, Sample, assign_folds, is_binary
from uplift.models.feature_rows import FeatureRows
from uplift.models.learners import arm_model_parts, arm_models_from

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class MeanModel(Protocol):
    """What gives the expected outcome of new units."""

    def mean(self, inputs: FeatureRows) -> Array:
        """Expected outcome of each row whatever its arm, (n_rows,)."""
        ...

    def parts(self) -> tuple[dict[str, Any], dict[str, Forest]]:
        """What was learned, as plain constants and named forests."""
        ...


@dataclass(frozen=True, eq=False)
class FoldMeans:
    """The average of models that each left out one fold."""

    forests: tuple[Forest, ...]
    binary: bool

    def mean(self, inputs: FeatureRows) -> Array:
        """Expected outcome of each row whatever its arm, (n_rows,)."""
        total = np.zeros(len(inputs))
        for forest in self.forests:
            total += _on_scale(forest.raw(inputs), binary=self.binary)
        return total / len(self.forests)

    def parts(self) -> tuple[dict[str, Any], dict[str, Forest]]:
        """One forest per fold."""
        forests = {f"mean_{i}": forest for i, forest in enumerate(self.forests)}
        return {"by": "fold", "binary": self.binary}, forests


@dataclass(frozen=True, eq=False)
class ArmMeans:
    """The arm models' means, mixed by the arms' shares."""

    models: OutcomeModels
    shares: Array

    def mean(self, inputs: FeatureRows) -> Array:
        """Expected outcome of each row whatever its arm, (n_rows,)."""
        return np.asarray(self.models.means(inputs) @ self.shares, dtype=np.float64)

    def parts(self) -> tuple[dict[str, Any], dict[str, Forest]]:
        """The arm models and the shares that mix them."""
        constants, forests = arm_model_parts(self.models)
        return {"by": "arm", "shares": self.shares.tolist(), **constants}, forests


@dataclass(frozen=True, eq=False)
class Expected:
    """Expected outcomes of a sample's rows, out of fold, and the model for others.

    centre   (n_rows,)  at each row's own propensities: what residuals are taken from
    feature  (n_rows,)  at the average propensities, as for new units, whose own are unknown
    model    None when the sample brought out-of-fold means without models
    """

    centre: Array
    feature: Array
    model: MeanModel | None


def expected_outcome(sample: Sample, *, n_folds: int, seed: int) -> Expected:
    """The suite's out-of-fold means when the sample has them, or else means fitted here."""
    if sample.predicted is None:
        return _fitted_here(sample, n_folds=n_folds, seed=seed)
    predicted = sample.predicted[sample.rows]
    propensity = sample.design.propensity[sample.rows]
    shares = propensity.mean(axis=0)
    model = None if sample.arm_models is None else ArmMeans(sample.arm_models, shares)
    return Expected((predicted * propensity).sum(axis=1), predicted @ shares, model)


def mean_model_from(constants: Mapping[str, Any], forests: Mapping[str, Forest]) -> MeanModel:
    """The model whose `parts` these are."""
    if constants["by"] == "arm":
        shares = np.array(constants["shares"], dtype=np.float64)
        models = arm_models_from(constants, forests)
        if len(shares) != models.n_arms:
            raise ValueError("shares of other arms")
        return ArmMeans(models, shares)
    names = sorted(name for name in forests if name.startswith("mean_"))
    if not names or names != sorted(f"mean_{i}" for i in range(len(names))):
        raise ValueError("a forest of the mean is not there")
    found = tuple(forests[f"mean_{i}"] for i in range(len(names)))
    return FoldMeans(found, bool(constants["binary"]))


def _fitted_here(sample: Sample, *, n_folds: int, seed: int) -> Expected:
    fold = assign_folds(sample.design, n_folds=n_folds, seed=seed)[sample.rows]
    binary = is_binary(sample.outcome)
    size = _size_of_mean(len(sample.rows))
    mean = np.empty(len(sample.rows))

    def fit(f: int) -> tuple[Forest, Array]:
        inside, outside = sample.rows[fold != f], sample.rows[fold == f]
        lesson = Lesson(
            inside,
            sample.outcome[inside],
            objective="binary" if binary else "regression",
            weight=sample.weights(inside),
        )
        forest = grow(sample.table, lesson, size.for_rows(len(inside)))
        return forest, _on_scale(forest.raw(sample.table.inputs[outside]), binary=binary)

    forests = []
    for f, (forest, held_out) in enumerate(side_by_side(fit, range(n_folds))):
        forests.append(forest)
        mean[fold == f] = held_out
    return Expected(mean, mean, FoldMeans(tuple(forests), binary))


def _size_of_mean(n_rows: int) -> Boosting:
    """Few rounds of a fast rate: what is left over costs the forest precision, not truth."""
    return Boosting(
        FEWEST,
        learning_rate=0.15,
        num_leaves=8 if n_rows < 250_000 else 16,
        min_data_in_leaf=max(20, min(200, n_rows // 100)),
    )


def _on_scale(raw: Array, *, binary: bool) -> Array:
    return 1 / (1 + np.exp(-raw)) if binary else raw
