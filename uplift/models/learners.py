"""Learners of the effect per customer: S, T and X, as scikit-learn estimators.

On LightGBM by the fast path, on any other estimator (`base=`) by the plain one.

Alone, a learner encodes, bins and (where it needs to) cross-fits by itself. In `train` all learners
share one binned table, one set of arm models and one set of doubly robust scores.

Arms are coded 0 (control), 1 … K; `predict` gives one column per treatment, in the outcome's unit.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from uplift.errors import DefinitionError, StateError
from uplift.models.boosting import (
    Boosting,
    Forest,
    Lesson,
    bin_features,
    grow,
    in_chunks,
    sizes_for,
)
from uplift.models.crossfit import (
    ArmModels,
    OutcomeModels,
    Sample,
    fit_arm_models,
    fit_pooled,
)
from uplift.models.encoding import Encoder
from uplift.models.feature_rows import FeatureRows
from uplift.models.inputs import checked_input
from uplift.models.plain import Bases, PlainFit, fit_plain
from uplift.models.two_part import TwoPartModels, effect_parts

Array = npt.NDArray[np.float64]


class EffectModel(ABC, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """What all learners and baselines share: checked input, encoded features, stored parts.

    kind      "learner" or "baseline"
    predicts  "effect" in the outcome's unit, or "ranking" when only the order means something
    """

    kind: ClassVar[str] = "learner"
    predicts: ClassVar[str] = "effect"

    def fit(
        self,
        X: Any,
        y: Any,
        treatment: Any,
        *,
        propensity: Any = None,
        sample_weight: Any = None,
        cluster: Any = None,
    ) -> Self:
        """Learn from n units.

        X              table or array of features; categories and missing values as they are
        y              (n_units,)  outcome; 0/1 is modelled as a probability
        treatment      (n_units,)  0 is control, 1 … K are the treatments
        propensity     probability of treatment 1 (two arms) or of each arm, (n_units, n_arms);
                       None takes the observed shares, as in a simple randomised experiment
        sample_weight  (n_units,)  how often each unit counts
        cluster        (n_units,)  units that stay in one fold together

        Refused: TREATMENT_CONSTANT, TREATMENT_CODES, PROPENSITY_BOUND, WEIGHT_INVALID,
        OUTCOME_MISSING, EMPTY_INPUT, LEAK_TREATMENT, LEAK_OUTCOME and what `Encoder.fit` refuses.
        """
        given = checked_input(
            X,
            y,
            treatment,
            propensity=propensity,
            sample_weight=sample_weight,
            cluster=cluster,
        )
        table = bin_features(
            given.rows,
            categorical=given.encoder.categorical,
            arm=given.design.arm,
            n_arms=given.design.n_arms,
        )
        everyone = np.arange(len(given.rows))
        return self.learn(Sample(table, given.design, given.outcome, everyone), given.encoder)

    def predict(self, X: Any) -> Array:
        """Effect of each treatment against control, (n_units, n_arms - 1), unit of the outcome.

        Columns are found by name; FEATURE_MISSING names those that are not there.
        """
        return in_chunks(self.effects, self._coded(X))

    def predict_outcomes(self, X: Any) -> Array:
        """Mean outcome under every arm, control first, (n_units, n_arms), unit of the outcome.

        OUTCOMES_NOT_MODELLED when the learner models effects only.
        """
        return in_chunks(self.outcomes, self._coded(X))

    def learn(self, sample: Sample, encoder: Encoder) -> Self:
        """Learn from rows of a shared table, using what was fitted on it already."""
        self.encoder_ = encoder
        self.coding_ = sample.table.bins
        self.n_arms_ = sample.design.n_arms
        self.n_features_in_ = len(encoder.columns)
        self.feature_names_in_ = np.array(encoder.columns, dtype=object)
        self._learn(sample)
        return self

    def share_features(self, source: "EffectModel") -> None:
        """Take over what the features and arms of another fitted model are."""
        self.encoder_ = source.encoder_
        self.coding_ = source.coding_
        self.n_arms_ = source.n_arms_
        self.n_features_in_ = len(self.encoder_.columns)
        self.feature_names_in_ = np.array(self.encoder_.columns, dtype=object)

    @abstractmethod
    def effects(self, inputs: FeatureRows) -> Array:
        """Effects of encoded rows, (n_rows, n_arms - 1)."""

    def outcomes(self, inputs: FeatureRows) -> Array:
        """Mean outcomes of encoded rows, (n_rows, n_arms); OUTCOMES_NOT_MODELLED."""
        raise StateError(
            f"{type(self).__name__} models effects, not the outcome of each arm. Ask an S- or "
            "T-learner for outcomes.",
            code="OUTCOMES_NOT_MODELLED",
        )

    def _coded(self, X: Any) -> FeatureRows:
        """Rows of a table with their codes, so that every column has been read and checked."""
        check_is_fitted(self, "encoder_")
        rows = self.encoder_.rows(X)
        rows.codes(self.coding_)
        return rows

    @abstractmethod
    def parts(self) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """What was learned, as plain constants and named forests (LightGBM's, or honest trees)."""

    @abstractmethod
    def restore(self, constants: Mapping[str, Any], forests: Mapping[str, Any]) -> None:
        """Take back what `parts` gave; `encoder_` and `n_arms_` are set already."""

    @abstractmethod
    def _learn(self, sample: Sample) -> None:
        """Learn from a sample; the encoder and the number of arms are set."""


class Boosted(EffectModel):
    """A learner whose forests a caller may size; None sizes them to the number of units."""

    def __init__(
        self,
        *,
        n_rounds: int | None = None,
        learning_rate: float | None = None,
        num_leaves: int | None = None,
        min_data_in_leaf: int | None = None,
    ) -> None:
        self.n_rounds = n_rounds
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_data_in_leaf = min_data_in_leaf

    def _size(self, default: Boosting) -> Boosting:
        return default.but(
            {
                "n_rounds": self.n_rounds,
                "learning_rate": self.learning_rate,
                "num_leaves": self.num_leaves,
                "min_data_in_leaf": self.min_data_in_leaf,
            }
        )


class Based(Boosted):
    """A learner on LightGBM, or on clones of a scikit-learn estimator by the plain path.

    base  None for LightGBM; else a regressor, or for 0/1 outcomes a classifier with
          `predict_proba`. It is given the encoded matrix (see `plain`) and never fitted itself;
          the sizes of forests (`n_rounds` and so on) are then refused. Such a model is not stored
          (MODEL_NOT_STORED).
    two_part  whether outcomes are modelled as buying times basket (see `two_part`); None asks the
          outcome: 0 for most units and amounts for the others. In a suite the scores of DR and R
          are the suite's either way

    Refused of a base: BASE_INVALID, WEIGHT_UNSUPPORTED, BASE_NEEDS_VALUES; OUTCOME_NOT_TWO_PART.
    """

    method: ClassVar[str]
    plain_: PlainFit | None = None  # what the plain path learned

    def __init__(
        self,
        *,
        base: Any = None,
        two_part: bool | None = None,
        n_rounds: int | None = None,
        learning_rate: float | None = None,
        num_leaves: int | None = None,
        min_data_in_leaf: int | None = None,
    ) -> None:
        super().__init__(
            n_rounds=n_rounds,
            learning_rate=learning_rate,
            num_leaves=num_leaves,
            min_data_in_leaf=min_data_in_leaf,
        )
        self.base = base
        self.two_part = two_part

    def effects(self, inputs: FeatureRows) -> Array:
        """Effects of encoded rows, (n_rows, n_arms - 1)."""
        return self._grown_effects(inputs) if self.plain_ is None else self.plain_.effects(inputs)

    def outcomes(self, inputs: FeatureRows) -> Array:
        """Mean outcomes of encoded rows, (n_rows, n_arms)."""
        return self._grown_outcomes(inputs) if self.plain_ is None else self.plain_.outcomes(inputs)

    def parts(self) -> tuple[dict[str, Any], dict[str, Forest]]:
        """Constants and forests; MODEL_NOT_STORED on a base."""
        if self.plain_ is not None:
            raise StateError(
                f"A {type(self).__name__} on {type(self.base).__name__} is not stored (no code in "
                "model files). Leave base out to store a model, or fit it again at need.",
                code="MODEL_NOT_STORED",
            )
        return self._grown_parts()

    def _learn(self, sample: Sample) -> None:
        self.plain_ = None
        if self.base is None:
            self._grow(sample.modelled(self.two_part))
            return
        sizes = ("two_part", "n_rounds", "learning_rate", "num_leaves", "min_data_in_leaf")
        given = [name for name in sizes if getattr(self, name) is not None]
        if given:
            raise DefinitionError(
                f"{', '.join(given)} shape LightGBM's forests and mean nothing to "
                f"{type(self.base).__name__}. Leave them out, or leave out base.",
                code="BASE_INVALID",
            )
        self.plain_ = fit_plain(self.method, sample, self._bases())

    def _bases(self) -> Bases:
        effect = getattr(self, "effect_base", None)
        return Bases(
            outcome=self.base,
            effect=self.base if effect is None else effect,
            n_folds=getattr(self, "n_folds", None),
            seed=getattr(self, "seed", 0),
        )

    @abstractmethod
    def _grow(self, sample: Sample) -> None:
        """Learn on LightGBM."""

    @abstractmethod
    def _grown_effects(self, inputs: FeatureRows) -> Array:
        """Effects of encoded rows by what was grown, (n_rows, n_arms - 1)."""

    def _grown_outcomes(self, inputs: FeatureRows) -> Array:
        return super().outcomes(inputs)

    @abstractmethod
    def _grown_parts(self) -> tuple[dict[str, Any], dict[str, Forest]]:
        """What was grown, as `parts` gives it."""


class _FromArmModels(Based):
    """A learner that is read off the arm models; learns `models_`."""

    models_: OutcomeModels

    def predict_parts(self, X: Any) -> Array:
        """Effects taken apart into more buyers and larger baskets, (n_units, n_arms - 1, 2).

            conversion = (p_k - p_0) (m_k + m_0) / 2,  basket = (m_k - m_0) (p_k + p_0) / 2

        p is the chance to buy and m the expected basket of a buyer; the parts add up to `predict`.
        OUTCOME_NOT_TWO_PART when the outcome was not modelled in two parts.
        """
        inputs = self._coded(X)
        models = None if self.plain_ is not None else self.models_
        if not isinstance(models, TwoPartModels):
            raise StateError(
                "The outcome was modelled in one part, so its effect has no conversion and no "
                "basket part. Fit amounts with two_part=True.",
                code="OUTCOME_NOT_TWO_PART",
            )
        return in_chunks(lambda rows: effect_parts(*models.parts_of_means(rows)), inputs)

    def _grown_effects(self, inputs: FeatureRows) -> Array:
        return self.models_.effects(inputs)

    def _grown_outcomes(self, inputs: FeatureRows) -> Array:
        return self.models_.means(inputs)

    def _grown_parts(self) -> tuple[dict[str, Any], dict[str, Forest]]:
        return arm_model_parts(self.models_)

    def restore(self, constants: Mapping[str, Any], forests: Mapping[str, Forest]) -> None:
        """Take back the arm models."""
        self.models_ = arm_models_from(constants, forests)


class SLearner(_FromArmModels):
    """Effect as the difference one pooled model sees when only the arm is changed.

        effect_k(x) = mean(x, arm k) - mean(x, control)

    Steady when effects are small or arms have few units; blind to weak effects.
    Source: Künzel, Sekhon, Bickel & Yu (2019), PNAS 116(10).
    """

    method = "s"

    def _grow(self, sample: Sample) -> None:
        default = sizes_for(len(sample.rows)).pooled
        size = self._size(default)
        if sample.arm_models is not None and size == default:
            self.models_ = sample.arm_models.without_corrections()
        else:
            self.models_ = fit_pooled(sample, size=None if size == default else size)


class TLearner(_FromArmModels):
    """Effect as each arm's own outcome model minus the control's.

        effect_k(x) = mean_k(x) - mean_0(x)

    Each arm's model corrects the pooled one, so that arms with few units borrow from the others.
    Source: Künzel, Sekhon, Bickel & Yu (2019), PNAS 116(10).
    """

    method = "t"

    def _grow(self, sample: Sample) -> None:
        default = sizes_for(len(sample.rows)).arm
        size = self._size(default)
        if sample.arm_models is not None and size == default:
            self.models_ = sample.arm_models
        else:
            correction = None if size == default else size
            self.models_ = fit_arm_models(sample, correction=correction)


class XLearner(Based):
    """Effect learned from each side's missing outcome, filled in by the other side's model.

        of units with arm k:  outcome - mean_0(x)  gives  side_k
        of control units:     mean_k(x) - outcome  gives  side_0
        effect_k = g side_0 + (1 - g) side_k,  g = share of arm k among arm k and control

    The model that fills in starts from the forest of all arms pooled and is corrected on the other
    arm only. Learns `treated_`, `control_` (one forest
    per treatment each) and `control_share_` (the g of each treatment).
    effect_base  regressor of both sides; None takes `base`
    Source: Künzel, Sekhon, Bickel & Yu (2019), PNAS 116(10).
    """

    method = "x"

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

    def _grow(self, sample: Sample) -> None:
        size = self._size(sizes_for(len(sample.rows)).effect)
        models = sample.arm_models or fit_arm_models(sample)
        arms = range(1, sample.design.n_arms)
        self.treated_ = tuple(self._side(sample, models, size, of=k, other=0) for k in arms)
        self.control_ = tuple(self._side(sample, models, size, of=0, other=k) for k in arms)
        share = sample.design.propensity[sample.rows].mean(axis=0)
        self.control_share_ = share[1:] / (share[0] + share[1:])

    def _side(
        self, sample: Sample, models: OutcomeModels, size: Boosting, *, of: int, other: int
    ) -> Forest:
        rows = sample.of_arm(of)
        filled_in = models.mean(sample.table.inputs[rows], arm=other)
        gain = sample.outcome[rows] - filled_in
        target = gain if of > 0 else -gain
        lesson = Lesson(rows, target, weight=sample.fit_weights(rows))
        return grow(sample.table, lesson, size.for_rows(len(rows)))

    def _grown_effects(self, inputs: FeatureRows) -> Array:
        treated = np.column_stack([forest.raw(inputs) for forest in self.treated_])
        control = np.column_stack([forest.raw(inputs) for forest in self.control_])
        share = self.control_share_
        return np.asarray(share * control + (1 - share) * treated, dtype=np.float64)

    def _grown_parts(self) -> tuple[dict[str, Any], dict[str, Forest]]:
        forests = numbered("treated", self.treated_) | numbered("control", self.control_)
        return {"control_share": self.control_share_.tolist()}, forests

    def restore(self, constants: Mapping[str, Any], forests: Mapping[str, Forest]) -> None:
        """Take back both sides and their shares."""
        self.treated_ = in_order("treated", forests)
        self.control_ = in_order("control", forests)
        self.control_share_ = np.array(constants["control_share"], dtype=np.float64)


def arm_model_parts(models: OutcomeModels) -> tuple[dict[str, Any], dict[str, Forest]]:
    """Arm models as plain constants and named forests."""
    if isinstance(models, TwoPartModels):
        buys, of_buys = arm_model_parts(models.buys)
        basket, of_basket = arm_model_parts(models.basket)
        named = {f"buys_{name}": forest for name, forest in of_buys.items()}
        named |= {f"basket_{name}": forest for name, forest in of_basket.items()}
        return {"buys": buys, "basket": basket, "scale": models.scale}, named
    constants = {
        "n_arms": models.n_arms,
        "n_features": models.n_features,
        "binary": models.binary,
    }
    return constants, {"pooled": models.pooled, **numbered("arm", models.corrections)}


def arm_models_from(constants: Mapping[str, Any], forests: Mapping[str, Forest]) -> OutcomeModels:
    """The arm models that `arm_model_parts` described; ValueError when its parts do not fit."""
    if "buys" in constants:
        buys, basket = (
            _one_part_from(constants[part], _under(part, forests)) for part in ("buys", "basket")
        )
        scale = float(constants["scale"])
        if buys.n_arms != basket.n_arms or not 1 <= scale < np.inf:
            raise ValueError("parts of other arms")
        return TwoPartModels(buys, basket, scale)
    return _one_part_from(constants, forests)


def _under(part: str, forests: Mapping[str, Forest]) -> dict[str, Forest]:
    prefix = f"{part}_"
    return {k.removeprefix(prefix): v for k, v in forests.items() if k.startswith(prefix)}


def _one_part_from(constants: Mapping[str, Any], forests: Mapping[str, Forest]) -> ArmModels:
    return ArmModels(
        forests["pooled"],
        in_order("arm", forests),
        int(constants["n_arms"]),
        int(constants["n_features"]),
        bool(constants["binary"]),
    )


def numbered(name: str, forests: tuple[Forest, ...]) -> dict[str, Forest]:
    """Forests by a name and their place."""
    return {f"{name}_{i}": forest for i, forest in enumerate(forests)}


def in_order(name: str, forests: Mapping[str, Forest]) -> tuple[Forest, ...]:
    """The forests that `numbered` named."""
    count = sum(key.startswith(f"{name}_") for key in forests)
    return tuple(forests[f"{name}_{i}"] for i in range(count))
