"""Models of this package by the name that files know them by."""

from functools import cache
from typing import Any

from uplift.errors import StateError


@cache
def kinds() -> dict[str, type]:
    """Every model that can be stored, by name."""
    from uplift.models.baselines import ConstantEffect, RandomBaseline, ResponseModel, RuleBaseline
    from uplift.models.blend import Blend
    from uplift.models.calibration import CalibratedModel
    from uplift.models.class_transformation import ClassTransformation
    from uplift.models.forest import CausalForest
    from uplift.models.learners import SLearner, TLearner, XLearner
    from uplift.models.score_learners import DRLearner, RLearner, TransformedOutcome

    return {
        "s": SLearner,
        "t": TLearner,
        "x": XLearner,
        "r": RLearner,
        "dr": DRLearner,
        "transformed": TransformedOutcome,
        "class": ClassTransformation,
        "forest": CausalForest,
        "constant": ConstantEffect,
        "random": RandomBaseline,
        "response": ResponseModel,
        "rule": RuleBaseline,
        "blend": Blend,
        "calibrated": CalibratedModel,
    }


def of_kind(kind: str) -> Any:
    """The class of a name; KeyError when there is none."""
    return kinds()[kind]


def kind_of(model: Any) -> str:
    """The name of a model's class; MODEL_NOT_STORED when it is not of this package."""
    for kind, known in kinds().items():
        if type(model) is known:
            return kind
    raise StateError(
        f"{type(model).__name__} is not a model of this package, so it is not stored (no code in "
        "model files). Choose one of the package's learners.",
        code="MODEL_NOT_STORED",
    )
