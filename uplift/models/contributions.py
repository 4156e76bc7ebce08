"""What each feature adds to a customer's effect: LightGBM's own Shapley values, added up exactly.

    effect_k(x) = base_k + sum over features of contribution_k(x)

Forests give contributions to their raw sums. Sums and weighted sums of forests add them. Where a
model is not linear in its forests (a probability of log odds, a calibration), contributions are
carried along the straight path from the base to the customer:

    contribution_j to g(r) = contribution_j to r * (g(r) - g(b)) / (r - b)

so that they still add up, in the outcome's unit, and b is what the model says of nobody in
particular. A forest that sees the arm is read with the arm fixed, so the arm is no feature.
Source: Lundberg et al. (2020), Nature Machine Intelligence 2; Sundararajan, Taly & Yan (2017),
"Axiomatic Attribution for Deep Networks", ICML, for the path.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from uplift.errors import StateError
from uplift.models.arm_trees import under_arm
from uplift.models.baselines import ConstantEffect
from uplift.models.blend import Blend
from uplift.models.boosting import Forest
from uplift.models.calibration import CalibratedModel
from uplift.models.class_transformation import ClassTransformation
from uplift.models.crossfit import OutcomeModels
from uplift.models.feature_rows import FeatureRows
from uplift.models.learners import Based, EffectModel, SLearner, TLearner, XLearner
from uplift.models.score_learners import ScoreLearner
from uplift.models.two_part import TwoPartModels

Array = npt.NDArray[np.float64]

NEAR = 1e-9  # a path shorter than this has the slope of its end


@dataclass(frozen=True, eq=False)
class Contributions:
    """What features add to effects, in the outcome's unit.

    features  names, in the model's order
    values    (n_units, n_features, n_arms - 1)
    base      (n_arms - 1,)  effect before anything is known of a customer
    """

    features: tuple[str, ...]
    values: Array
    base: Array

    @property
    def effects(self) -> Array:
        """What base and contributions add up to, (n_units, n_arms - 1)."""
        return np.asarray(self.base + self.values.sum(axis=1), dtype=np.float64)


def contributions_of(model: Any, X: Any) -> Contributions:
    """Contributions of every feature to the effects of customers, by a fitted model.

    CONTRIBUTIONS_UNKNOWN when effects are not made of boosted forests (a causal forest, a ranking,
    a model of another library); what `predict` refuses.
    """
    if not isinstance(model, EffectModel):
        raise _unknown(model)
    rows = model._coded(X)
    parts = [_of(model, rows, k) for k in range(model.n_arms_ - 1)]
    return Contributions(
        features=model.encoder_.names,
        values=np.stack([part.values for part in parts], axis=-1),
        base=np.array([part.base for part in parts]),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """A number per customer as base and contributions: values (n_rows, n_features)."""

    values: Array
    base: float

    @property
    def total(self) -> Array:
        return np.asarray(self.base + self.values.sum(axis=1), dtype=np.float64)

    def __add__(self, other: "_Part") -> "_Part":
        return _Part(self.values + other.values, self.base + other.base)

    def times(self, factor: float) -> "_Part":
        return _Part(factor * self.values, factor * self.base)

    def multiplied(self, other: "_Part") -> "_Part":
        """The product, along the path on which both go from their bases evenly."""
        mine = (self.total + self.base) / 2
        others = (other.total + other.base) / 2
        values = self.values * others[:, None] + other.values * mine[:, None]
        return _Part(values, self.base * other.base)

    def through(self, function: Callable[[Array], Array]) -> "_Part":
        """The same of a function of the number, along the path from the base."""
        moved = self.total - self.base
        base = float(function(np.array([self.base]))[0])
        gained = function(self.total) - base
        near = np.abs(moved) < NEAR
        ends = function(np.full(len(moved), self.base + NEAR)) - base
        slope = np.where(near, ends / NEAR, gained / np.where(near, 1.0, moved))
        return _Part(self.values * slope[:, None], base)


def _of(model: EffectModel, rows: FeatureRows, k: int) -> _Part:
    """Contributions to the effect of treatment k + 1."""
    if isinstance(model, Based) and model.plain_ is not None:  # of another library
        raise _unknown(model)
    if isinstance(model, SLearner | TLearner):
        treated, control = (_of_arm(model.models_, rows, arm) for arm in (k + 1, 0))
        return treated + control.times(-1)
    if isinstance(model, XLearner):
        share = float(model.control_share_[k])
        control, treated = (_of_forest(f[k], rows) for f in (model.control_, model.treated_))
        return control.times(share) + treated.times(1 - share)
    if isinstance(model, ScoreLearner):
        part = _of_forest(model.forests_[k], rows)
        return _Part(part.values, part.base + float(model.base_[k]))
    if isinstance(model, ClassTransformation):
        return _of_forest(model.forests_[k], rows).through(_of_log_odds)
    if isinstance(model, ConstantEffect):
        return _Part(np.zeros((len(rows), rows.n_features)), float(model.effect_[k]))
    if isinstance(model, CalibratedModel):
        return _of(model.member_, rows, k).through(model.steps_[k])
    if isinstance(model, Blend):
        total = _Part(np.zeros((len(rows), rows.n_features)), float(model.offset_[k]))
        for member, weights in zip(model.members_, model.weights_, strict=True):
            if weights[k]:
                total += _of(member, rows, k).times(float(weights[k]))
        return total
    raise _unknown(model)


def _of_arm(models: OutcomeModels, rows: FeatureRows, arm: int) -> _Part:
    """Contributions to an arm's mean outcome."""
    if isinstance(models, TwoPartModels):
        basket = _of_arm(models.basket, rows, arm).through(_no_less_than_nothing)
        return _of_arm(models.buys, rows, arm).multiplied(basket.times(models.scale))
    part = _of_forest(models.pooled, rows, arm=arm)
    if models.corrections:
        part += _of_forest(models.corrections[arm], rows)
    return part.through(_probability) if models.binary else part


def _of_forest(forest: Forest, rows: FeatureRows, *, arm: int = 0) -> _Part:
    """Contributions to a forest's raw sum under an arm."""
    n_features = len(forest.bins.edges)
    text = under_arm(forest.text(), n_features=n_features, arm=arm)
    booster = lgb.Booster(model_str=text)  # of our own text, just written
    codes = rows.codes(forest.bins)
    columns = np.where(codes == 0, np.nan, codes.astype(np.float64)).T
    arms = np.zeros((len(columns), forest.n_arms - 1))  # nothing is split by them any more
    found = booster.predict(np.hstack([columns, arms]), pred_contrib=True, num_threads=1)
    values = np.asarray(found, dtype=np.float64).reshape(len(columns), -1)
    base = float(values[0, -1]) if len(values) else 0.0
    return _Part(values[:, :n_features], base)


def _probability(raw: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-raw)), dtype=np.float64)


def _no_less_than_nothing(amount: Array) -> Array:
    return np.maximum(amount, 0)


def _of_log_odds(raw: Array) -> Array:
    return np.asarray(np.tanh(raw / 2), dtype=np.float64)


def _unknown(model: Any) -> StateError:
    return StateError(
        f"{type(model).__name__} is not made of boosted forests, so its effects have no exact "
        "contributions. Use the permutation importance of its policy, or explain another learner "
        "(s, t, x, r, dr, or a stack of them).",
        code="CONTRIBUTIONS_UNKNOWN",
    )
