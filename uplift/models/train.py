"""Train: learners and baselines on one shared cross-fit, each judged by the same scores.

Features are binned once and folds are drawn once. Every candidate's effects are out of fold, and
its loss is measured against one effect for everyone, so "better than nothing" is always visible.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from uplift.errors import DataError, DefinitionError
from uplift.inference.doubly_robust import average
from uplift.models.baselines import ConstantEffect, RandomBaseline, ResponseModel, RuleBaseline
from uplift.models.boosting import bin_features, side_by_side
from uplift.models.crossfit import CrossFit, Design, Sample, assign_folds, cross_fit
from uplift.models.encoding import Encoder
from uplift.models.foreign import ForeignModel
from uplift.models.forest import CausalForest
from uplift.models.inputs import checked_weight, refuse_leaks
from uplift.models.learners import DRLearner, EffectModel, SLearner, TLearner, XLearner
from uplift.progress import track
from uplift.suite import Candidate, Suite, effect_scores
from uplift.trial import Trial

Array = npt.NDArray[np.float64]

LEARNERS: dict[str, Callable[[int], EffectModel]] = {  # by name: a learner for a seed
    "s": lambda seed: SLearner(),
    "t": lambda seed: TLearner(),
    "x": lambda seed: XLearner(),
    "dr": lambda seed: DRLearner(seed=seed),
    "forest": lambda seed: CausalForest(seed=seed),
}
BASELINES: dict[str, Callable[[int], EffectModel]] = {
    "constant": lambda seed: ConstantEffect(seed=seed),
    "random": lambda seed: RandomBaseline(seed=seed),
    "response": lambda seed: ResponseModel(),
    "rule": lambda seed: RuleBaseline(),
}
EVERYONE = -1  # the "fold" of the model that learns from all units

Entrant = str | tuple[str, Any]


@dataclass(frozen=True, eq=False)
class _Fitted:
    """One fit of one entrant: the effects of the units it left out, or the model of all units."""

    effects: Array
    model: Any
    seconds: float


@dataclass(frozen=True, eq=False)
class _Course:
    """What every entrant runs on."""

    trial: Trial
    encoder: Encoder
    crossfit: CrossFit
    outcome: str
    samples: Mapping[int, Sample]


def train(
    trial: Trial,
    learners: Iterable[Entrant] = ("s", "t", "x", "dr", "response"),
    *,
    outcome: str | None = None,
    seed: int = 0,
    n_folds: int = 5,
    n_threads: int | None = None,
) -> Suite:
    """Train learners and all baselines on one shared cross-fit of a trial.

    learners   names ("s", "t", "x", "dr", "forest"), or pairs of a name and an estimator: one of
               this package, or any object with fit(X, y, treatment) and predict(X), such as
               scikit-uplift's; random, constant, response and rule baselines always enter
    outcome    what effects are about; None means the primary outcome. The outcomes that profit is
               made of are cross-fitted too
    n_threads  changes the time only, never a number

    Refused: ARGUMENT_INVALID (seed), METRIC_KIND (a primary ratio is no number per customer),
    LEARNER_UNKNOWN, LEARNER_DUPLICATE, COLUMN_MISSING (outcome), WEIGHT_INVALID,
    ARM_TOO_SMALL, LEAK_TREATMENT, LEAK_OUTCOME and what `Encoder.fit` refuses.
    """
    if seed < 0:
        raise DefinitionError(
            f"seed must be 0 or more, got {seed}. Give any such number; it makes the result "
            "reproducible.",
            code="ARGUMENT_INVALID",
        )
    entrants = _entrants(learners, seed=seed)
    outcome = outcome or _primary(trial)
    names = _outcomes_to_model(trial, outcome)
    encoder = Encoder.fit(trial.features)
    crossfit = _cross_fit(trial, encoder, names, seed=seed, n_folds=n_folds, n_threads=n_threads)
    course = _Course(trial, encoder, crossfit, outcome, _samples(crossfit, outcome))
    candidates = _run(entrants, course, n_threads=n_threads)
    return Suite(
        outcome=outcome,
        arms=trial.arms,
        features=encoder.names,
        units=trial.units,
        fold=crossfit.fold,
        predicted=crossfit.predicted,
        dr_outcomes=crossfit.dr_outcomes,
        candidates=candidates,
        seed=seed,
        notices=encoder.notices,
    )


def _primary(trial: Trial) -> str:
    if trial.of_ratio:
        raise DefinitionError(
            f"{trial.experiment}: the primary metric is a ratio, which no single customer has. "
            f"Name the outcome to model, e.g. outcome={trial.primary!r}.",
            code="METRIC_KIND",
            column=trial.primary,
        )
    return trial.primary


def _entrants(learners: Iterable[Entrant], *, seed: int) -> dict[str, Any]:
    """Learners asked for, then every baseline, by name."""
    known = LEARNERS | BASELINES
    found: dict[str, Any] = {}
    for entrant in learners:
        name, model = (entrant, None) if isinstance(entrant, str) else entrant
        if model is None and name not in known:
            raise DefinitionError(
                f"There is no learner {name!r}. Known: {', '.join(known)}; others enter as "
                "(name, estimator).",
                code="LEARNER_UNKNOWN",
            )
        if name in found or (model is not None and name in BASELINES):
            raise DefinitionError(
                f"Two candidates are called {name!r}. Give one of them another name.",
                code="LEARNER_DUPLICATE",
            )
        if name not in BASELINES:
            found[name] = LEARNERS[name](seed) if model is None else _adopted(model)
    return found | {name: make(seed) for name, make in BASELINES.items()}


def _adopted(model: Any) -> EffectModel | ForeignModel:
    return clone(model) if isinstance(model, EffectModel) else ForeignModel(model)


def _outcomes_to_model(trial: Trial, outcome: str) -> tuple[str, ...]:
    money = trial.economics.outcomes if trial.economics else ()
    names = tuple(dict.fromkeys([outcome, *money]))
    for name in names:
        if name not in trial.outcomes:
            raise DataError(
                f"trial: outcome {name!r} is not there (found: {', '.join(trial.outcomes)}). "
                "Join the trial with it.",
                code="COLUMN_MISSING",
                column=name,
            )
    return names


def _cross_fit(
    trial: Trial,
    encoder: Encoder,
    outcomes: Iterable[str],
    *,
    seed: int,
    n_folds: int,
    n_threads: int | None,
) -> CrossFit:
    weight = None
    if trial.weight is not None:
        weight = checked_weight(trial.weight, n_units=trial.n_units)
    design = Design(trial.arm, trial.propensity, weight, trial.cluster)
    encoded = encoder.encode(trial.features)
    refuse_leaks(encoder, encoded, design, trial.outcomes)
    fold = assign_folds(design, n_folds=n_folds, seed=seed)
    table = bin_features(
        encoded, categorical=encoder.categorical, arm=design.arm, n_arms=design.n_arms
    )
    values = {name: trial.outcomes[name] for name in outcomes}
    return cross_fit(table, design, values, fold=fold, n_threads=n_threads)


def _samples(crossfit: CrossFit, outcome: str) -> dict[int, Sample]:
    """What each fold's models learn from, and what the final ones do."""
    samples = {f: crossfit.sample(outcome, without_fold=f) for f in range(crossfit.n_folds)}
    return samples | {EVERYONE: crossfit.all_units(outcome)}


def _run(
    entrants: Mapping[str, Any], course: _Course, *, n_threads: int | None
) -> dict[str, Candidate]:
    """Fit every entrant on every fold and on all units."""
    jobs = [(name, f) for name in entrants for f in course.samples]

    def work(job: tuple[str, int]) -> _Fitted:
        name, f = job
        start = time.perf_counter()
        fit = _fit_foreign if isinstance(entrants[name], ForeignModel) else _fit_shared
        model, effects = fit(entrants[name], course, f)
        return _Fitted(effects, model, time.perf_counter() - start)

    answers = side_by_side(work, jobs, n_threads=n_threads)
    fits = dict(zip(jobs, track(answers, label="Training learners", total=len(jobs)), strict=True))
    constant = _out_of_fold(fits, "constant", course)
    return {name: _candidate(name, fits, course, constant) for name in entrants}


def _fit_shared(model: EffectModel, course: _Course, f: int) -> tuple[Any, Array]:
    fitted = clone(model).learn(course.samples[f], course.encoder)
    return fitted, fitted.effects(course.crossfit.table.inputs[course.crossfit.fold == f])


def _fit_foreign(model: ForeignModel, course: _Course, f: int) -> tuple[Any, Array]:
    trial, rows = course.trial, course.samples[f].rows
    fitted = ForeignModel(model.model).fit(
        trial.features.iloc[rows],
        trial.outcomes[course.outcome][rows],
        trial.arm[rows],
        sample_weight=None if trial.weight is None else trial.weight[rows],
    )
    if f == EVERYONE:
        return fitted, np.empty((0, trial.n_arms - 1))
    held_out: pd.DataFrame = trial.features.iloc[np.flatnonzero(course.crossfit.fold == f)]
    return fitted, fitted.predict(held_out)


def _out_of_fold(fits: Mapping[tuple[str, int], _Fitted], name: str, course: _Course) -> Array:
    effects = np.empty((course.trial.n_units, course.trial.n_arms - 1))
    for f in range(course.crossfit.n_folds):
        effects[course.crossfit.fold == f] = fits[name, f].effects
    return effects


def _candidate(
    name: str, fits: Mapping[tuple[str, int], _Fitted], course: _Course, constant: Array
) -> Candidate:
    model = fits[name, EVERYONE].model
    effects = _out_of_fold(fits, name, course)
    loss, std_error = None, None
    if model.predicts == "effect":
        loss, std_error = _loss(effects, constant, course)
    return Candidate(
        name=name,
        kind=model.kind,
        predicts=model.predicts,
        effects=effects,
        model=model,
        loss=loss,
        loss_std_error=std_error,
        seconds=sum(fits[name, f].seconds for f in course.samples),
    )


def _loss(effects: Array, constant: Array, course: _Course) -> tuple[float, float]:
    """Squared distance to the scores summed over arms, less that of a constant effect."""
    scores = effect_scores(course.crossfit.dr_outcomes[course.outcome])
    distance = ((scores - effects) ** 2 - (scores - constant) ** 2).sum(axis=1)
    design = course.crossfit.design
    mean = average(distance, weight=design.weight, cluster=design.cluster)
    return mean.value, mean.std_error
