"""Train: learners and baselines on one shared cross-fit, each judged by the same scores.

Features are binned once and folds are drawn once. Every candidate's effects are out of fold, and
its loss is measured against one effect for everyone, so "better than nothing" is always visible.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from uplift.errors import DataError, DefinitionError
from uplift.inference.doubly_robust import average
from uplift.models.baselines import ConstantEffect, RandomBaseline, ResponseModel, RuleBaseline
from uplift.models.blend import average_of, needs_forests, stack_of
from uplift.models.boosting import MANY, bin_features, folds_for, side_by_side
from uplift.models.choice import STACK, Contest, Stack, distances, stacked
from uplift.models.class_transformation import ClassTransformation
from uplift.models.crossfit import CrossFit, Design, Sample, assign_folds, cross_fit
from uplift.models.encoding import Encoder
from uplift.models.feature_rows import FeatureRows
from uplift.models.foreign import ForeignModel, OnBase
from uplift.models.forest import CausalForest
from uplift.models.inputs import checked_weight, refuse_leaks
from uplift.models.learners import Based, EffectModel, SLearner, TLearner, XLearner
from uplift.models.overlap import overlap_notice
from uplift.models.score_learners import DRLearner, RLearner, ScoreLearner, TransformedOutcome
from uplift.progress import track
from uplift.suite import Candidate, Suite, effect_scores
from uplift.trial import Trial

Array = npt.NDArray[np.float64]

LEARNERS: dict[str, Callable[[int], EffectModel]] = {  # by name: a learner for a seed
    "s": lambda seed: SLearner(),
    "t": lambda seed: TLearner(),
    "x": lambda seed: XLearner(),
    "r": lambda seed: RLearner(seed=seed),
    "dr": lambda seed: DRLearner(seed=seed),
    "transformed": lambda seed: TransformedOutcome(seed=seed),
    "class": lambda seed: ClassTransformation(),
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
    refit: bool

    def fitted_on(self, entrant: Any) -> list[int]:
        """The fits an entrant gets: without each fold, and on all units where that is not saved."""
        saved = isinstance(entrant, EffectModel) and not self.refit and needs_forests(entrant)
        return [f for f in self.samples if f != EVERYONE or not saved]

    def left_out(self, f: int) -> FeatureRows:
        """The rows of a fold; none for the model of all units."""
        rows: FeatureRows = self.crossfit.table.inputs[np.flatnonzero(self.crossfit.fold == f)]
        return rows


def train(
    trial: Trial,
    learners: Iterable[Entrant] = ("s", "t", "x", "r", "dr", "stack", "response"),
    *,
    outcome: str | None = None,
    seed: int = 0,
    n_folds: int | None = None,
    n_threads: int | None = None,
    refit: bool | None = None,
) -> Suite:
    """Train learners and all baselines on one shared cross-fit of a trial.

    learners   names, simplest first ("s", "t", "x", "r", "dr", "transformed", "class", "forest",
               and "stack" of those beside it), or pairs of a name and an estimator: one of this
               package, on LightGBM or another `base`, or any object with fit(X, y, treatment)
               and predict(X), such as scikit-uplift's; random, constant, response and rule
               baselines always enter
    outcome    what effects are about; None means the primary outcome. The outcomes that profit is
               made of are cross-fitted too
    n_folds    None means 5, and 2 from 500,000 units on
    refit      whether learners are fitted once more on all units for new customers, or new
               customers get the mean of the fold models; None means they are up to 500,000 units
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
    folds = folds_for(trial.n_units) if n_folds is None else n_folds
    crossfit = _cross_fit(trial, encoder, names, seed=seed, n_folds=folds, n_threads=n_threads)
    again = trial.n_units < MANY if refit is None else refit
    samples = _samples(crossfit, outcome, refit=again)
    course = _Course(trial, encoder, crossfit, outcome, samples, again)
    candidates = _run(entrants, course, n_threads=n_threads)
    chosen = _preferred(candidates, course)
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
        notices=(
            *encoder.notices,
            *overlap_notice(crossfit.design, crossfit.scores(outcome)),
        ),
        preferred=chosen,
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
    known = LEARNERS | BASELINES | {STACK: None}
    found: dict[str, Any] = {}
    for entrant in learners:
        name, model = (entrant, None) if isinstance(entrant, str) else entrant
        if model is None and name not in known:
            raise DefinitionError(
                f"There is no learner {name!r}. Known: {', '.join(known)}; others enter as "
                "(name, estimator).",
                code="LEARNER_UNKNOWN",
            )
        if name in found or (model is not None and name in {*BASELINES, STACK}):
            raise DefinitionError(
                f"Two candidates are called {name!r}. Give one of them another name.",
                code="LEARNER_DUPLICATE",
            )
        if name == STACK:
            found[name] = None  # made of the others when they are there
        elif name not in BASELINES:
            found[name] = LEARNERS[name](seed) if model is None else _adopted(model)
    return found | {name: make(seed) for name, make in BASELINES.items()}


def _adopted(model: Any) -> EffectModel | ForeignModel | OnBase:
    if isinstance(model, Based) and model.base is not None:
        return OnBase(clone(model))
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
    rows = encoder.rows(trial.features)
    refuse_leaks(encoder, rows, design, trial.outcomes)
    fold = assign_folds(design, n_folds=n_folds, seed=seed)
    table = bin_features(
        rows, categorical=encoder.categorical, arm=design.arm, n_arms=design.n_arms
    )
    values = {name: trial.outcomes[name] for name in outcomes}
    return cross_fit(table, design, values, fold=fold, n_threads=n_threads)


def _samples(crossfit: CrossFit, outcome: str, *, refit: bool) -> dict[int, Sample]:
    """What each fold's models learn from, and what the final ones do."""
    samples = {f: crossfit.sample(outcome, without_fold=f) for f in range(crossfit.n_folds)}
    return samples | {EVERYONE: crossfit.all_units(outcome, with_models=refit)}


def _run(
    entrants: Mapping[str, Any], course: _Course, *, n_threads: int | None
) -> dict[str, Candidate]:
    """Fit every entrant on every fold and, where it is not the mean of those, on all units."""
    alone = {name: entrant for name, entrant in entrants.items() if name != STACK}
    jobs = [(name, f) for name in alone for f in course.fitted_on(alone[name])]

    def work(job: tuple[str, int]) -> _Fitted:
        name, f = job
        start = time.perf_counter()
        fit = _fit_foreign if isinstance(entrants[name], ForeignModel) else _fit_shared
        model, effects = fit(entrants[name], course, f)
        return _Fitted(effects, model, time.perf_counter() - start)

    answers = side_by_side(work, jobs, n_threads=n_threads)
    fits = dict(zip(jobs, track(answers, label="Training learners", total=len(jobs)), strict=True))
    for name, entrant in alone.items():
        if isinstance(entrant, ScoreLearner):
            _choose_rounds(name, fits, course, n_threads=n_threads)
    constant = _out_of_fold(fits, "constant", course)
    found = {name: _candidate(name, fits, course, constant) for name in alone}
    if STACK in entrants:
        found[STACK] = _stack(found, course, constant)
    return {name: found[name] for name in entrants}


def _stack(found: Mapping[str, Candidate], course: _Course, constant: Array) -> Candidate:
    """The learners of this package together; STACK_EMPTY when there is none."""
    members = [
        one
        for one in found.values()
        if one.kind == "learner" and one.loss is not None and isinstance(one.model, EffectModel)
    ]
    if not members:
        raise DefinitionError(
            "There is no learner to stack. Name some beside the stack, e.g. 's', 't' and 'dr'.",
            code="STACK_EMPTY",
        )
    start = time.perf_counter()
    design = course.crossfit.design
    made = stacked(
        [one.effects for one in members],
        course.crossfit.scores(course.outcome),
        fold=course.crossfit.fold,
        weight=design.weight,
    )
    loss, std_error = _loss(made.effects, constant, course)
    return Candidate(
        name=STACK,
        kind="learner",
        predicts="effect",
        effects=made.effects,
        model=_stacked_model(members, made),
        loss=loss,
        loss_std_error=std_error,
        seconds=time.perf_counter() - start,
    )


def _stacked_model(members: Sequence[Candidate], made: Stack) -> EffectModel:
    """The members that count, weighted; the first alone when none does."""
    counting = [m for m in range(len(members)) if made.weights[m].any()] or [0]
    models = [members[m].model for m in counting]
    return stack_of(models, weights=made.weights[counting], offset=made.offset)  # type: ignore[arg-type]


def _preferred(candidates: Mapping[str, Candidate], course: _Course) -> str:
    """The simplest learner about as good as the best; the constant effect when none is proven."""
    design, scores = course.crossfit.design, course.crossfit.scores(course.outcome)
    contest = Contest.of(
        candidates,
        scores,
        fold=course.crossfit.fold,
        weight=design.weight,
        cluster=design.cluster,
    )
    return contest.chosen(weight=design.weight, cluster=design.cluster)


def _fit_shared(model: EffectModel, course: _Course, f: int) -> tuple[Any, Array]:
    fitted = clone(model).learn(course.samples[f], course.encoder)
    if isinstance(model, ScoreLearner):  # its rounds are not chosen yet
        return fitted, np.empty((0, course.trial.n_arms - 1))
    if isinstance(fitted, TLearner) and fitted.models_ is course.samples[f].arm_models:
        rows = np.flatnonzero(course.crossfit.fold == f)  # predicted when the scores were made
        return fitted, effect_scores(course.crossfit.predicted[course.outcome][rows])
    return fitted, fitted.effects(course.left_out(f))


def _choose_rounds(
    name: str, fits: dict[tuple[str, int], _Fitted], course: _Course, *, n_threads: int | None
) -> None:
    """Cut a learner's forests to the rounds that are best on folds other than the one predicted.

    The model of all units gets those that are best on all folds.
    """
    folds = range(course.crossfit.n_folds)
    stops = fits[name, 0].model.stops()
    losses = np.stack(
        list(
            side_by_side(
                lambda f: _losses(fits[name, f].model, course, f, stops), folds, n_threads=n_threads
            )
        )
    )
    total = losses.sum(axis=0)

    def finish(f: int) -> _Fitted:
        others = total if f == EVERYONE else total - losses[f]
        model = fits[name, f].model.cut([stops[i] for i in others.argmin(axis=0)])
        return _Fitted(model.effects(course.left_out(f)), model, fits[name, f].seconds)

    fitted = [f for n, f in fits if n == name]
    for f, found in zip(fitted, side_by_side(finish, fitted, n_threads=n_threads), strict=True):
        fits[name, f] = found


def _losses(model: ScoreLearner, course: _Course, f: int, stops: Sequence[int]) -> Array:
    """Squared distance to the scores of a fold, summed, (n_stops, n_arms - 1)."""
    crossfit = course.crossfit
    inside = crossfit.fold == f
    scores = crossfit.scores(course.outcome)[inside]
    weight = crossfit.design.weight
    w = np.ones(len(scores)) if weight is None else weight[inside]
    path = model.effects_at(course.left_out(f), stops)
    return np.stack([w @ (scores - effects) ** 2 for effects in path])


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
    if (name, EVERYONE) in fits:
        model = fits[name, EVERYONE].model
    else:
        model = average_of([fits[name, f].model for f in range(course.crossfit.n_folds)])
    effects = _out_of_fold(fits, name, course)
    loss, std_error = None, None
    one = fits[name, 0].model
    if one.predicts == "effect":
        loss, std_error = _loss(effects, constant, course)
    return Candidate(
        name=name,
        kind=one.kind,
        predicts=one.predicts,
        effects=effects,
        model=model,
        loss=loss,
        loss_std_error=std_error,
        seconds=sum(fit.seconds for (fitted, _), fit in fits.items() if fitted == name),
    )


def _loss(effects: Array, constant: Array, course: _Course) -> tuple[float, float]:
    """Squared distance to the scores summed over arms, less that of a constant effect."""
    scores = course.crossfit.scores(course.outcome)
    distance = distances(effects, scores) - distances(constant, scores)
    design = course.crossfit.design
    mean = average(distance, weight=design.weight, cluster=design.cluster)
    return mean.value, mean.std_error
