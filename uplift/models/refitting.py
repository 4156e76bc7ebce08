"""A candidate's models by fold, made again: what scores units that they have not seen.

A suite keeps a model of all units for new customers. To ask what its policy would lose without a
feature, units must be scored again by models that did not learn from them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from uplift.errors import StateError
from uplift.models.blend import Blend
from uplift.models.boosting import bin_features
from uplift.models.calibration import CalibratedModel
from uplift.models.crossfit import CrossFit, Design, Sample, cross_fit
from uplift.models.learners import EffectModel
from uplift.models.score_learners import ScoreLearner
from uplift.trial import Trial

IntArray = npt.NDArray[np.int64]


def fold_models(
    model: Any, trial: Trial, *, outcome: str, fold: IntArray, n_threads: int | None = None
) -> tuple[EffectModel, ...]:
    """A model like the given one per fold, each learned from the other folds, on one cross-fit.

    model    of all units; its sizes, numbers of rounds, weights and steps are kept
    fold     (n_units,)  in the trial's order

    MODEL_NOT_STORED when the model is of another library.
    """
    if not isinstance(model, EffectModel):
        raise StateError(
            f"{type(model).__name__} is a model of another library and cannot be fitted again by "
            "fold. Choose a learner of this package.",
            code="MODEL_NOT_STORED",
        )
    crossfit = _crossfit(model, trial, outcome=outcome, fold=fold, n_threads=n_threads)
    samples = [crossfit.sample(outcome, without_fold=f) for f in range(crossfit.n_folds)]
    return tuple(_like(model, sample) for sample in samples)


def _crossfit(
    model: EffectModel, trial: Trial, *, outcome: str, fold: IntArray, n_threads: int | None
) -> CrossFit:
    encoder = model.encoder_
    design = Design(trial.arm, trial.propensity, trial.weight, trial.cluster)
    table = bin_features(
        encoder.rows(trial.features),
        categorical=encoder.categorical,
        arm=design.arm,
        n_arms=design.n_arms,
    )
    values = {outcome: trial.outcomes[outcome]}
    return cross_fit(table, design, values, fold=fold, n_threads=n_threads)


def _like(model: EffectModel, sample: Sample) -> EffectModel:
    """A model of the same kind and size, learned from a sample."""
    if isinstance(model, Blend):
        blend = Blend()
        blend.members_ = [_like(member, sample) for member in model.members_]
        blend.weights_, blend.offset_ = model.weights_, model.offset_
        blend.share_features(blend.members_[0])
        return blend
    if isinstance(model, CalibratedModel):
        calibrated = CalibratedModel()
        calibrated.member_ = _like(model.member_, sample)
        calibrated.steps_ = model.steps_
        calibrated.share_features(calibrated.member_)
        return calibrated
    fitted: EffectModel = clone(model).learn(sample, model.encoder_)
    if isinstance(fitted, ScoreLearner) and isinstance(model, ScoreLearner) and model.base is None:
        fitted.cut([forest.n_rounds for forest in model.forests_])
    return fitted
