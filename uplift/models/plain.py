"""Learners on any scikit-learn estimator, written out plainly.

The same learners as on LightGBM, with the same folds, propensities and weights, and none of its
shortcuts: every model is a clone fitted on a matrix. Slow, short, and an oracle for the fast path.

The matrix is the encoded one: numbers as they are, categories as codes of their levels, missing
values as NaN. What an estimator makes of codes and NaN is its own affair: a pipeline may impute
and encode by position.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from sklearn.base import clone, is_classifier
from sklearn.dummy import DummyRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from uplift.errors import DataError, DefinitionError, StateError
from uplift.inference.doubly_robust import aipw_outcomes
from uplift.models.boosting import folds_for
from uplift.models.crossfit import Sample, assign_folds, is_binary
from uplift.models.feature_rows import FeatureRows
from uplift.suite import effect_scores

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_SWEEPS = 20  # over the treatments, when several share one loss
SETTLED = 1e-6  # of the residuals' spread: effects that move less between two sweeps stay


@dataclass(frozen=True, eq=False)
class Bases:
    """The estimators that are cloned, never fitted themselves.

    outcome  of mean outcomes: a regressor, or a classifier of 0/1 outcomes
    effect   of effects: a regressor
    n_folds  of the outcomes that scores need, when the sample brings none
    """

    outcome: Any
    effect: Any
    n_folds: int | None = None
    seed: int = 0


class PlainFit(Protocol):
    """What the plain path learned."""

    def effects(self, inputs: FeatureRows) -> Array:
        """Effects of encoded rows, (n_rows, n_arms - 1)."""
        ...

    def outcomes(self, inputs: FeatureRows) -> Array:
        """Mean outcomes of encoded rows, (n_rows, n_arms)."""
        ...


@dataclass(frozen=True, eq=False)
class Means:
    """Mean outcome per arm: one model each, control first, or one that sees the arm."""

    models: tuple[Any, ...]
    n_arms: int

    def mean(self, X: Array, *, arm: int) -> Array:
        """Mean outcome under one arm, (n_rows,)."""
        if len(self.models) > 1:
            return _values(self.models[arm], X)
        return _values(self.models[0], _with_arm(X, np.full(len(X), arm), n_arms=self.n_arms))

    def means(self, X: Array) -> Array:
        """Mean outcome under every arm, (n_rows, n_arms)."""
        return np.column_stack([self.mean(X, arm=k) for k in range(self.n_arms)])

    def effects(self, inputs: FeatureRows) -> Array:
        """Effects of encoded rows, (n_rows, n_arms - 1)."""
        return effect_scores(self.means(inputs.numbers))

    def outcomes(self, inputs: FeatureRows) -> Array:
        """Mean outcomes of encoded rows, (n_rows, n_arms)."""
        return self.means(inputs.numbers)


@dataclass(frozen=True, eq=False)
class Effects:
    """One model of effects per treatment; or two, mixed by the control's share.

    models   (n_arms - 1)  of the treated side where there are two
    control  (n_arms - 1)  of the control side, or none
    share    (n_arms - 1,) weight of the control side's model
    """

    models: tuple[Any, ...]
    control: tuple[Any, ...] = ()
    share: Array | float = 0.0

    def effects(self, inputs: FeatureRows) -> Array:
        """Effects of encoded rows, (n_rows, n_arms - 1)."""
        X = inputs.numbers
        own = np.column_stack([_values(model, X) for model in self.models])
        if not self.control:
            return own
        other = np.column_stack([_values(model, X) for model in self.control])
        return np.asarray(self.share * other + (1 - self.share) * own, dtype=np.float64)

    def outcomes(self, inputs: FeatureRows) -> Array:
        """Refuses: OUTCOMES_NOT_MODELLED."""
        raise StateError(
            "This learner models effects, not outcomes under each arm. Take an S- or a T-learner.",
            code="OUTCOMES_NOT_MODELLED",
        )


def fit_plain(method: str, sample: Sample, bases: Bases) -> PlainFit:
    """Fit a learner by its name: "s", "t", "x", "r", "dr" or "transformed".

    Refused: BASE_INVALID, WEIGHT_UNSUPPORTED, and BASE_NEEDS_VALUES when the estimator takes no
    missing values and there are some.
    """
    if method in USES_OUTCOMES:
        _require_outcome_base(bases.outcome, sample)
    if method not in {"s", "t"}:
        _require_effect_base(bases.effect)
    return _METHODS[method](sample, bases)


def weight_keyword(estimator: Any) -> str | None:
    """What an estimator's `fit` calls the weights of units; None when it takes none.

    The last step of a pipeline, and what a search or another wrapper clones, are asked in turn.
    """
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        inner = weight_keyword(last)
        return None if inner is None else f"{name}__{inner}"
    if has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    for name in ("estimator", "regressor", "classifier"):
        inside = getattr(estimator, name, None)
        if inside is not None and hasattr(inside, "fit"):
            return weight_keyword(inside)
    return None


def _pooled(sample: Sample, bases: Bases) -> Means:
    rows, n_arms = sample.rows, sample.design.n_arms
    X = _with_arm(_matrix(sample, rows), sample.design.arm[rows], n_arms=n_arms)
    return Means((_fit_outcome(bases.outcome, sample, rows, X),), n_arms)


def _by_arm(sample: Sample, bases: Bases) -> Means:
    n_arms = sample.design.n_arms
    models = []
    for k in range(n_arms):
        rows = sample.of_arm(k)
        models.append(_fit_outcome(bases.outcome, sample, rows, _matrix(sample, rows)))
    return Means(tuple(models), n_arms)


def _crossed(sample: Sample, bases: Bases) -> Effects:
    """X-learner; see `XLearner` for the formula."""
    means = _by_arm(sample, bases)

    def side(of: int, other: int) -> Any:
        rows = sample.of_arm(of)
        X = _matrix(sample, rows)
        gain = sample.outcome[rows] - means.mean(X, arm=other)
        target = gain if of > 0 else -gain
        return _fit(bases.effect, X, target, sample.fit_weights(rows))

    treatments = range(1, sample.design.n_arms)
    share = sample.design.propensity[sample.rows].mean(axis=0)
    return Effects(
        tuple(side(k, 0) for k in treatments),
        tuple(side(0, k) for k in treatments),
        share[1:] / (share[0] + share[1:]),
    )


def _doubly_robust(sample: Sample, bases: Bases) -> Effects:
    scores = sample.scores
    if scores is None:
        scores = effect_scores(
            aipw_outcomes(
                outcome=sample.outcome,
                arm=sample.design.arm,
                propensity=sample.design.propensity,
                predicted=out_of_fold_means(sample, bases),
            )
        )
    return _regress(sample, bases, scores[sample.rows])


def _transformed(sample: Sample, bases: Bases) -> Effects:
    rows = sample.rows
    everyone = np.average(sample.outcome[rows], weights=sample.weights(rows))
    propensity = sample.design.propensity[rows]
    scores = aipw_outcomes(
        outcome=sample.outcome[rows] - everyone,
        arm=sample.design.arm[rows],
        propensity=propensity,
        predicted=np.zeros_like(propensity),
    )
    return _regress(sample, bases, effect_scores(scores))


def _residual(sample: Sample, bases: Bases) -> Effects:
    """R-learner: treatment by treatment on what the others leave over, until nothing moves."""
    rows = sample.rows
    predicted = sample.predicted
    if predicted is None:
        predicted = out_of_fold_means(sample, bases)
    propensity = sample.design.propensity[rows]
    residual = sample.outcome[rows] - (propensity * predicted[rows]).sum(axis=1)
    received = np.arange(1, propensity.shape[1]) == sample.design.arm[rows, None]
    surprise: Array = received - propensity[:, 1:]
    weight = sample.weights(rows)
    X = _matrix(sample, rows)
    effects = np.tile(_least_squares(residual, surprise, weight), (len(rows), 1))
    models: list[Any] = [None] * surprise.shape[1]
    for _ in range(MOST_SWEEPS if len(models) > 1 else 1):
        before = effects.copy()
        for k in range(len(models)):
            others = (surprise * effects).sum(axis=1) - surprise[:, k] * effects[:, k]
            strength = _unless_equal(surprise[:, k] ** 2, weight)
            models[k] = _fit(bases.effect, X, (residual - others) / surprise[:, k], strength)
            effects[:, k] = _values(models[k], X)
        if np.abs(effects - before).max() <= SETTLED * residual.std():
            break
    return Effects(tuple(models))


def out_of_fold_means(sample: Sample, bases: Bases) -> Array:
    """Mean outcome of every unit under every arm by models that did not see it, (n_units, n_arms).

    The folds are those of the fast path for the same number and seed.
    """
    n_units = sample.design.n_units
    n_folds = bases.n_folds or folds_for(n_units)
    fold = assign_folds(sample.design, n_folds=n_folds, seed=bases.seed)
    predicted = np.empty((n_units, sample.design.n_arms))
    for f in range(n_folds):
        inside, outside = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        part = Sample(sample.table, sample.design, sample.outcome, inside)
        predicted[outside] = _by_arm(part, bases).means(_matrix(sample, outside))
    return predicted


def _regress(sample: Sample, bases: Bases, scores: Array) -> Effects:
    X, weight = _matrix(sample, sample.rows), sample.weights(sample.rows)
    return Effects(tuple(_fit(bases.effect, X, column, weight) for column in scores.T))


def _least_squares(residual: Array, surprise: Array, weight: Array | None) -> Array:
    root = np.ones(len(residual)) if weight is None else np.sqrt(weight)
    found = np.linalg.lstsq(surprise * root[:, None], residual * root, rcond=None)[0]
    return np.asarray(found, dtype=np.float64)


def _unless_equal(strength: Array, weight: Array | None) -> Array | None:
    """The product of both; None when units count alike."""
    if weight is not None:
        return strength * weight
    return None if np.allclose(strength, strength[0], rtol=1e-9) else strength


def _matrix(sample: Sample, rows: IntArray) -> Array:
    return sample.table.inputs[rows].numbers


def _with_arm(X: Array, arm: IntArray, *, n_arms: int) -> Array:
    """The matrix with one column per treatment at the end."""
    return np.hstack([X, (np.arange(1, n_arms) == arm[:, None]).astype(np.float64)])


def _fit_outcome(base: Any, sample: Sample, rows: IntArray, X: Array) -> Any:
    target, weight = sample.outcome[rows], sample.fit_weights(rows)
    if not is_classifier(base):
        return _fit(base, X, target, weight)
    if (target == target[0]).all():  # a classifier needs both classes; the mean is what there is
        return DummyRegressor().fit(X, target)
    return _fit(base, X, target.astype(np.int64), weight)


def _fit(base: Any, X: Array, target: npt.NDArray[Any], weight: Array | None) -> Any:
    model, given = clone(base), {}
    if weight is not None:
        keyword = weight_keyword(base)
        if keyword is None:
            raise DefinitionError(
                f"{type(base).__name__}.fit takes no sample_weight, and units count differently: "
                "by given weights, by propensities that differ, or in the R-learner by how "
                "unlikely their arm was. Take an estimator that weighs units.",
                code="WEIGHT_UNSUPPORTED",
            )
        given[keyword] = weight
    return _or_typed(lambda: model.fit(X, target, **given), base, X)


def _values(model: Any, X: Array) -> Array:
    """Predictions, or probabilities of class 1, (n_rows,)."""
    if not len(X):
        return np.zeros(0)
    if is_classifier(model):
        found = _or_typed(lambda: model.predict_proba(X), model, X)
        found = found[:, list(model.classes_).index(1)]
    else:
        found = _or_typed(lambda: model.predict(X), model, X)
    values = np.asarray(found, dtype=np.float64).reshape(len(X))
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise DataError(
            f"{type(model).__name__} gave {len(wrong)} prediction(s) that are not finite, first in "
            f"row {wrong[0] + 1}. Repair the estimator or its features.",
            code="SCORE_NOT_FINITE",
            count=len(wrong),
            rows=[int(row) + 1 for row in wrong[:5]],
        )
    return values


def _or_typed(work: Callable[[], Any], base: Any, X: Array) -> Any:
    """What the work gives; a refusal of missing values becomes one of this package."""
    try:
        return work()
    except ValueError as error:
        missing = np.isnan(X).any(axis=1)
        if not missing.any():
            raise
        rows = np.flatnonzero(missing)
        raise DataError(
            f"{type(base).__name__} failed on features of which {len(rows)} row(s) have missing "
            f"values, first row {rows[0] + 1}: {error} Put an imputer before it, e.g. "
            "make_pipeline(SimpleImputer(), ...), or take an estimator that knows missing values.",
            code="BASE_NEEDS_VALUES",
            count=len(rows),
            rows=[int(row) + 1 for row in rows[:5]],
        ) from error


def _require_outcome_base(base: Any, sample: Sample) -> None:
    _require_estimator(base, what="base")
    if not is_classifier(base):
        return
    if not is_binary(sample.outcome):
        raise _invalid(
            f"base {type(base).__name__} is a classifier; this outcome needs a regressor"
        )
    if not hasattr(base, "predict_proba"):
        raise _invalid(f"base {type(base).__name__} has no predict_proba; means are probabilities")


def _require_effect_base(base: Any) -> None:
    _require_estimator(base, what="effect_base")
    if is_classifier(base):
        raise _invalid(
            f"effects are no classes, and {type(base).__name__} is a classifier; give "
            "effect_base a regressor"
        )


def _require_estimator(base: Any, *, what: str) -> None:
    needed = ("fit", "predict", "get_params")
    if isinstance(base, type) or not all(callable(getattr(base, name, None)) for name in needed):
        found = base.__name__ if isinstance(base, type) else type(base).__name__
        raise _invalid(f"{what} must be a scikit-learn estimator, an object, not {found}")


def _invalid(what: str) -> DefinitionError:
    return DefinitionError(f"Base learner: {what}.", code="BASE_INVALID")


USES_OUTCOMES = frozenset({"s", "t", "x", "r", "dr"})
_METHODS: dict[str, Callable[[Sample, Bases], PlainFit]] = {
    "s": _pooled,
    "t": _by_arm,
    "x": _crossed,
    "r": _residual,
    "dr": _doubly_robust,
    "transformed": _transformed,
}
