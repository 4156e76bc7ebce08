"""Models of other libraries: anything with `fit(X, y, treatment)` and `predict(X)`.

Most take one treatment against control, so each treatment gets a clone of its own, fitted on its
units and the control's.
"""

import inspect
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone

from uplift.errors import DataError, DefinitionError
from uplift.models.crossfit import Sample
from uplift.models.encoding import Encoder
from uplift.models.feature_rows import FeatureRows
from uplift.models.learners import Based

Array = npt.NDArray[np.float64]


class ForeignModel:
    """A model of another library behind this one's `fit` and `predict`.

    Learns `models_`, one clone per treatment. The object it is given is never fitted itself.
    """

    kind = "learner"
    predicts = "effect"

    def __init__(self, model: Any) -> None:
        if not (
            callable(getattr(model, "fit", None)) and callable(getattr(model, "predict", None))
        ):
            raise DefinitionError(
                f"{type(model).__name__} cannot enter: fit(X, y, treatment) and predict(X) are "
                "needed.",
                code="LEARNER_UNKNOWN",
            )
        self.model = model

    def fit(
        self,
        X: pd.DataFrame,
        y: Array,
        treatment: npt.NDArray[np.int64],
        *,
        sample_weight: Array | None = None,
    ) -> Self:
        """Fit one clone per treatment; `treatment` is coded 0 (control), 1 … K.

        WEIGHT_UNSUPPORTED when units are weighted and the model takes no `sample_weight`.
        """
        self._refuse_lost_weights(sample_weight)
        self.models_ = []
        for k in range(1, int(treatment.max()) + 1):
            rows = np.flatnonzero((treatment == 0) | (treatment == k))
            features = X.iloc[rows].reset_index(drop=True)
            labels = pd.Series((treatment[rows] == k).astype(np.int64), name="treatment")
            weights = {} if sample_weight is None else {"sample_weight": sample_weight[rows]}
            model = clone(self.model, safe=False)
            model.fit(features, pd.Series(y[rows], name="outcome"), labels, **weights)
            self.models_.append(model)
        return self

    def predict(self, X: pd.DataFrame) -> Array:
        """Effect of each treatment as the models give it, (n_units, n_arms - 1)."""
        features = X.reset_index(drop=True)
        effects = np.column_stack([_one_column(model.predict(features)) for model in self.models_])
        if not np.isfinite(effects).all():
            wrong = np.flatnonzero(~np.isfinite(effects).all(axis=1))
            raise DataError(
                f"{type(self.model).__name__} gave {len(wrong)} effect(s) that are not finite, "
                f"first in row {wrong[0] + 1}. Repair the model or its features.",
                code="SCORE_NOT_FINITE",
                count=len(wrong),
                rows=[int(row) + 1 for row in wrong[:5]],
            )
        return effects

    def _refuse_lost_weights(self, sample_weight: Array | None) -> None:
        takes = inspect.signature(self.model.fit).parameters
        if sample_weight is None or "sample_weight" in takes:
            return
        raise DefinitionError(
            f"{type(self.model).__name__}.fit takes no sample_weight, so units cannot count "
            "differently. Leave the model or the weights out.",
            code="WEIGHT_UNSUPPORTED",
        )


class OnBase(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A learner on another library's estimator, as a suite holds it: stored by its effects only.

    Learns `learner_`, a clone fitted on the shared cross-fit.
    """

    kind = "learner"
    predicts = "effect"

    def __init__(self, learner: Based) -> None:
        self.learner = learner

    def learn(self, sample: Sample, encoder: Encoder) -> Self:
        """Learn from rows of a shared table."""
        learner: Based = clone(self.learner)
        self.learner_ = learner.learn(sample, encoder)
        return self

    def effects(self, inputs: FeatureRows) -> Array:
        """Effects of encoded rows, (n_rows, n_arms - 1)."""
        return self.learner_.effects(inputs)

    def predict(self, X: Any) -> Array:
        """Effect of each treatment, (n_units, n_arms - 1); see `EffectModel.predict`."""
        return self.learner_.predict(X)

    def predict_outcomes(self, X: Any) -> Array:
        """Mean outcome under every arm; see `EffectModel.predict_outcomes`."""
        return self.learner_.predict_outcomes(X)


def _one_column(predicted: Any) -> Array:
    values: Sequence[float] | npt.NDArray[Any] = np.asarray(predicted, dtype=np.float64)
    return np.asarray(values).reshape(len(values), -1)[:, 0]
