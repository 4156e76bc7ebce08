"""What a learner has to beat: chance, one effect for everyone, a response model, a simple rule.

Same interface as the learners. "Everyone" and "nobody" are policies of the evaluation, not models.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from uplift.errors import DefinitionError
from uplift.models.boosting import Forest
from uplift.models.crossfit import Sample, fit_arm_models, with_scores
from uplift.models.feature_rows import FeatureRows
from uplift.models.learners import EffectModel, arm_model_parts, arm_models_from

Array = npt.NDArray[np.float64]

RULE_WORDS = {  # beginnings of column names, most telling first
    "recency": ("recency", "days_since"),
    "frequency": ("frequency", "baskets", "orders", "purchases", "visits"),
    "spend": ("monetary", "spend", "history", "revenue", "amount"),
}
RULE_KNOTS = 101  # percentiles that place a customer among the others
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


class RandomBaseline(EffectModel):
    """Ranks customers by chance. Every fit draws anew, and repeats itself for equal input."""

    kind: ClassVar[str] = "baseline"
    predicts: ClassVar[str] = "ranking"

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def predict(self, X: Any) -> Array:
        """Uniform numbers, (n_units, n_arms - 1)."""
        return self.effects(FeatureRows.of(self.encoder_.encode(X)))

    def effects(self, inputs: FeatureRows) -> Array:
        """Uniform numbers, (n_rows, n_arms - 1)."""
        rng = np.random.default_rng([self.seed, self.draw_])
        return rng.random((len(inputs), self.n_arms_ - 1))

    def parts(self) -> tuple[dict[str, Any], dict[str, Forest]]:
        """The number that tells this fit from others."""
        return {"draw": self.draw_}, {}

    def restore(self, constants: Mapping[str, Any], forests: Mapping[str, Forest]) -> None:
        """Take back the number."""
        self.draw_ = int(constants["draw"])

    def _learn(self, sample: Sample) -> None:
        self.draw_ = int(sample.rows.sum())  # folds differ, so units of two folds do not tie


class ConstantEffect(EffectModel):
    """One effect per treatment for everyone: the mean of the doubly robust scores.

    Learns `effect_`, (n_arms - 1,), in the outcome's unit.
    """

    kind: ClassVar[str] = "baseline"

    def __init__(self, *, n_folds: int | None = None, seed: int = 0) -> None:
        self.n_folds = n_folds
        self.seed = seed

    def effects(self, inputs: FeatureRows) -> Array:
        """The same effects in every row, (n_rows, n_arms - 1)."""
        return np.tile(self.effect_, (len(inputs), 1))

    def parts(self) -> tuple[dict[str, Any], dict[str, Forest]]:
        """The effects."""
        return {"effect": self.effect_.tolist()}, {}

    def restore(self, constants: Mapping[str, Any], forests: Mapping[str, Forest]) -> None:
        """Take back the effects."""
        self.effect_ = np.array(constants["effect"], dtype=np.float64)

    def _learn(self, sample: Sample) -> None:
        scores = with_scores(sample, n_folds=self.n_folds, seed=self.seed).scores
        assert scores is not None
        self.effect_ = np.average(scores[sample.rows], axis=0, weights=sample.weights(sample.rows))


class ResponseModel(EffectModel):
    """Ranks customers by the outcome expected under treatment: who buys, not who is moved.

    What most campaigns are targeted by today. Learns `models_`.
    """

    kind: ClassVar[str] = "baseline"
    predicts: ClassVar[str] = "ranking"

    def effects(self, inputs: FeatureRows) -> Array:
        """Mean outcome under each treatment, (n_rows, n_arms - 1)."""
        arms = range(1, self.n_arms_)
        return np.column_stack([self.models_.mean(inputs, arm=arm) for arm in arms])

    def parts(self) -> tuple[dict[str, Any], dict[str, Forest]]:
        """The arm models."""
        return arm_model_parts(self.models_)

    def restore(self, constants: Mapping[str, Any], forests: Mapping[str, Forest]) -> None:
        """Take back the arm models."""
        self.models_ = arm_models_from(constants, forests)

    def _learn(self, sample: Sample) -> None:
        self.models_ = sample.arm_models or fit_arm_models(sample)


class RuleBaseline(EffectModel):
    """Ranks customers by recency, frequency and spend: the mean of their percentiles.

    Columns are those named, or else those whose names begin like such a figure (`recency…`,
    `baskets…`, `spend…`). With none of them the feature that goes most with the outcome is the
    rule. Recency counts days, so fewer is better. Learns `rule_` (columns with their direction) and
    the percentiles `knots_`.
    """

    kind: ClassVar[str] = "baseline"
    predicts: ClassVar[str] = "ranking"

    def __init__(
        self,
        *,
        recency: str | None = None,
        frequency: str | None = None,
        spend: str | None = None,
    ) -> None:
        self.recency = recency
        self.frequency = frequency
        self.spend = spend

    def effects(self, inputs: FeatureRows) -> Array:
        """Mean percentile in [0, 1], the same for each treatment, (n_rows, n_arms - 1)."""
        score = np.zeros(len(inputs))
        for (column, sign), knots in zip(self.rule_, self.knots_, strict=True):
            values = sign * inputs[:, column]
            below, up_to = (np.searchsorted(knots, values, side=side) for side in _SIDES)
            place = (below + up_to) / (2 * RULE_KNOTS)  # equal values share one place
            score += np.where(np.isnan(values), 0, place) / len(self.rule_)
        return np.tile(score[:, None], (1, self.n_arms_ - 1))

    def parts(self) -> tuple[dict[str, Any], dict[str, Forest]]:
        """Columns, directions and percentiles."""
        return {"rule": [list(part) for part in self.rule_], "knots": self.knots_.tolist()}, {}

    def restore(self, constants: Mapping[str, Any], forests: Mapping[str, Forest]) -> None:
        """Take back columns, directions and percentiles."""
        self.rule_ = tuple((int(column), int(sign)) for column, sign in constants["rule"])
        self.knots_ = np.array(constants["knots"], dtype=np.float64)

    def _learn(self, sample: Sample) -> None:
        inputs = sample.table.inputs[sample.rows]
        self.rule_ = self._columns() or _strongest(inputs, sample)
        levels = np.linspace(0, 1, RULE_KNOTS)
        self.knots_ = np.array(
            [np.nanquantile(sign * inputs[:, column], levels) for column, sign in self.rule_]
        )

    def _columns(self) -> tuple[tuple[int, int], ...]:
        numbers = {f.name: i for i, f in enumerate(self.encoder_.features) if f.kind == "number"}
        rule = []
        for figure, words in RULE_WORDS.items():
            name = getattr(self, figure) or _first_like(words, numbers)
            if name is None:
                continue
            if name not in numbers:
                raise DefinitionError(
                    f"RuleBaseline: {figure} is to be read from {name!r}, which is not a numeric "
                    f"feature. Features: {', '.join(numbers)}.",
                    code="FEATURE_MISSING",
                )
            rule.append((numbers[name], -1 if figure == "recency" else 1))
        return tuple(rule)


def _first_like(words: tuple[str, ...], names: Mapping[str, int]) -> str | None:
    found = (name for word in words for name in names if name.lower().startswith(word))
    return next(found, None)


def _strongest(inputs: FeatureRows, sample: Sample) -> tuple[tuple[int, int], ...]:
    """The feature with the largest correlation with the outcome, and its direction."""
    outcome = sample.outcome[sample.rows]
    slopes = [_correlation(inputs[:, i], outcome) for i in range(sample.table.n_features)]
    column = int(np.argmax(np.abs(slopes)))
    return ((column, -1 if slopes[column] < 0 else 1),)


def _correlation(x: Array, y: Array) -> float:
    known = ~np.isnan(x)
    if known.sum() < 2:
        return 0.0
    a, b = x[known] - x[known].mean(), y[known] - y[known].mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0
