"""Judge a model on customers it has never seen."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.errors import DataError
from uplift.evaluation.evidence import gather
from uplift.evaluation.heterogeneity import fold_dependence
from uplift.evaluation.quality import Quality, judge
from uplift.evaluation.rankings import Settings
from uplift.inference.doubly_robust import aipw_outcomes
from uplift.suite import Candidate, Model, Suite
from uplift.trial import Trial

N_FOLDS = 5  # of the held-out units, for depth and calibration of policies

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def evaluate_model(
    model: Model,
    trial: Trial,
    *,
    trained_on: Collection[str],
    name: str = "model",
    outcome: str | None = None,
    seed: int = 0,
) -> Quality:
    """Judge a fitted model by a trial of other units, against nobody and the blanket arms.

    Scores are inverse probability weighted around the arm means of the other folds; no outcome
    model is fitted here.

    trained_on  ids of the units the model learned from; none may be in the trial (EVAL_OVERLAP)
    """
    _refuse_overlap(trial, trained_on)
    fold = _folds(trial, seed)
    outcome = outcome or trial.primary
    names = dict.fromkeys([outcome, *(trial.economics.outcomes if trial.economics else ())])
    predicted = {key: _arm_means(trial, trial.outcomes[key], fold) for key in names}
    scores = {
        key: aipw_outcomes(
            outcome=trial.outcomes[key],
            arm=trial.arm,
            propensity=trial.propensity,
            predicted=predicted[key],
        )
        for key in names
    }
    base = predicted[outcome]
    candidates = (
        Candidate("constant", "baseline", "effect", base[:, 1:] - base[:, :1], model),
        Candidate(name, "learner", "effect", np.asarray(model.predict(trial.features)), model),
    )
    suite = Suite(
        outcome=outcome,
        arms=trial.arms,
        features=tuple(map(str, trial.features.columns)),
        units=trial.units,
        fold=fold,
        predicted=predicted,
        dr_outcomes=scores,
        candidates={candidate.name: candidate for candidate in candidates},
        seed=seed,
    )
    settings = Settings(dependence=fold_dependence(1), seed=seed)
    return judge(suite, trial, gather(suite, trial), settings)


def _refuse_overlap(trial: Trial, trained_on: Collection[str]) -> None:
    known = pd.Index(trial.units).isin(list(trained_on))
    if known.any():
        raise DataError(
            f"The model learned from {int(known.sum())} of the {trial.n_units} units it would be "
            "judged on, which makes any model look good. Leave them out of the trial.",
            code="EVAL_OVERLAP",
            column="unit",
            count=int(known.sum()),
            rows=[int(row) + 1 for row in np.flatnonzero(known)[:5]],
        )


def _folds(trial: Trial, seed: int) -> IntArray:
    """Folds of whole clusters, drawn by lot."""
    codes = np.arange(trial.n_units) if trial.cluster is None else trial.cluster
    n_codes = int(codes.max()) + 1
    return np.asarray(np.random.default_rng(seed).permutation(n_codes)[codes] % N_FOLDS)


def _arm_means(trial: Trial, outcome: Array, fold: IntArray) -> Array:
    """Mean outcome per arm over the other folds, (n_units, n_arms)."""
    means = np.empty((trial.n_units, trial.n_arms))
    for number in np.unique(fold):
        for k in range(trial.n_arms):
            others = (fold != number) & (trial.arm == k)
            if not others.any():
                raise DataError(
                    f"Arm {trial.arms[k]!r} has no unit outside one fold; the trial is too small "
                    "to judge a model.",
                    code="ARM_TOO_SMALL",
                )
            means[fold == number, k] = outcome[others].mean()
    return means
