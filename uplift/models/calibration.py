"""Calibration: effects as promised become effects as measured, by isotonic regression.

Customers are put into groups by their promised effect, in its order; a group's effect is the mean
of its doubly robust scores. So the mean of all effects is the effect of the campaign.
Source: van der Laan, Ulloa-Pérez, Carone & Luedtke (2023), "Causal isotonic calibration", ICML.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import isotonic_regression

from uplift.errors import DefinitionError
from uplift.inference.doubly_robust import average
from uplift.models.choice import distances
from uplift.models.crossfit import Sample
from uplift.models.feature_rows import FeatureRows
from uplift.models.kinds import kind_of, of_kind
from uplift.models.learners import EffectModel
from uplift.suite import Candidate, Suite

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Steps:
    """A step function that never falls.

    ends    (n_steps - 1,)  ascending: values up to the first lie on the first step, and so on
    values  (n_steps,)      ascending
    """

    ends: Array
    values: Array

    @classmethod
    def fit(cls, promised: Array, scores: Array, *, weight: Array | None = None) -> "Steps":
        """Isotonic regression of scores on promised effects, both (n_units,).

        On the units it was fitted on, each step is the mean score of its units. Equal promises
        get equal effects.
        """
        w = np.ones(len(scores)) if weight is None else weight
        distinct, place = np.unique(promised, return_inverse=True)
        mass = np.bincount(place, weights=w)
        known = mass > 0
        distinct, mass = distinct[known], mass[known]
        means = np.bincount(place, weights=w * scores)[known] / mass
        fitted = isotonic_regression(means, sample_weight=mass)
        last = np.flatnonzero(np.diff(fitted) > 0)
        ends = (distinct[last] + distinct[last + 1]) / 2
        return cls(ends, np.append(fitted[last], fitted[-1]))

    def __call__(self, promised: Array) -> Array:
        """Effects as measured, (n_units,)."""
        return np.asarray(self.values[np.searchsorted(self.ends, promised)], dtype=np.float64)


class CalibratedModel(EffectModel):
    """A fitted model whose effects go through steps; made by `calibrate`, never fitted itself.

    Learned: `member_`, and `steps_`, one per treatment.
    """

    def effects(self, inputs: FeatureRows) -> Array:
        """Effects of encoded rows, (n_rows, n_arms - 1)."""
        promised = self.member_.effects(inputs)
        return np.column_stack([steps(promised[:, k]) for k, steps in enumerate(self.steps_)])

    def parts(self) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """The steps, and the model's own parts."""
        constants, forests = self.member_.parts()
        steps = [{"ends": s.ends.tolist(), "values": s.values.tolist()} for s in self.steps_]
        member = {
            "kind": kind_of(self.member_),
            "parameters": self.member_.get_params(),
            "constants": constants,
        }
        return {"steps": steps, "member": member}, forests

    def restore(self, constants: Mapping[str, Any], forests: Mapping[str, Any]) -> None:
        """Take back the steps and the model."""
        self.steps_ = [
            Steps(np.array(s["ends"], dtype=np.float64), np.array(s["values"], dtype=np.float64))
            for s in constants["steps"]
        ]
        if any(len(s.values) != len(s.ends) + 1 for s in self.steps_):
            raise ValueError("steps without ends")
        plain = constants["member"]
        self.member_ = of_kind(str(plain["kind"]))(**plain["parameters"])
        self.member_.share_features(self)
        self.member_.restore(plain["constants"], forests)

    def _learn(self, sample: Sample) -> None:
        raise DefinitionError(
            "A CalibratedModel is made of a fitted model. Use `calibrate` on a suite.",
            code="CALIBRATION_NOT_FITTED",
        )


def calibrate(suite: Suite, name: str, *, weight: Array | None = None) -> Suite:
    """The suite with one more candidate: `name` calibrated, as `name_calibrated`.

    Each fold's effects are calibrated on the other folds, then moved by one number per treatment,
    so that their mean is that of the doubly robust scores exactly. New customers get the steps of
    all folds.

    weight  (n_units,)  the trial's, when units count differently
    CALIBRATION_IMPOSSIBLE when the candidate is a ranking or a model of another library.
    """
    candidate = suite.candidates[name]
    if candidate.predicts != "effect" or not isinstance(candidate.model, EffectModel):
        raise DefinitionError(
            f"{name} cannot be calibrated: effects of a model of this package are needed.",
            code="CALIBRATION_IMPOSSIBLE",
        )
    effects = cross_calibrated(candidate.effects, suite.scores, fold=suite.fold, weight=weight)
    model = CalibratedModel()
    model.share_features(candidate.model)
    model.member_ = candidate.model
    model.steps_ = [
        Steps.fit(candidate.effects[:, k], suite.scores[:, k], weight=weight)
        for k in range(suite.scores.shape[1])
    ]
    constant = suite.candidates["constant"].effects
    gain = distances(effects, suite.scores) - distances(constant, suite.scores)
    loss = average(gain, weight=weight)
    added = Candidate(
        name=f"{name}_calibrated",
        kind=candidate.kind,
        predicts="effect",
        effects=effects,
        model=model,
        loss=loss.value,
        loss_std_error=loss.std_error,
        seconds=candidate.seconds,
    )
    return replace(suite, candidates={**suite.candidates, added.name: added})


def cross_calibrated(
    effects: Array, scores: Array, *, fold: npt.NDArray[np.int64], weight: Array | None = None
) -> Array:
    """Effects calibrated on other folds, with the mean of the scores, (n_units, n_arms - 1)."""
    w = np.ones(len(scores)) if weight is None else weight
    found = np.empty_like(effects)
    for k in range(effects.shape[1]):
        for f in range(int(fold.max()) + 1):
            inside, others = fold == f, fold != f
            steps = Steps.fit(effects[others, k], scores[others, k], weight=w[others])
            found[inside, k] = steps(effects[inside, k])
    return found + np.average(scores - found, axis=0, weights=w)
