"""Dose and response: what a larger discount, or a euro more, brings beyond the smallest.

A continuous dose is cut into bands, and bands are arms: the effect of each against the reference
band is learned and measured like that of any treatment, with a propensity per band. Within a band
the response is taken as one number, so bands should be narrow where the curve bends.
Source: Imbens (2000), Biometrika 87(3) (propensity per dose); Chernozhukov, Fernández-Val &
Galichon (2009), Biometrika 96(3) (monotone curves and intervals by rearrangement).
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from uplift.errors import DataError, DefinitionError
from uplift.inference.doubly_robust import average
from uplift.models.boosting import bin_features
from uplift.models.crossfit import Sample, with_scores
from uplift.models.dose_propensity import Overlap, estimated_propensity
from uplift.models.inputs import checked_input, checked_outcome
from uplift.models.learners import EffectModel
from uplift.models.score_learners import DRLearner
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Direction = Literal["up", "down"]

MIN_BAND = 50  # units: fewer tell nothing of a band


@dataclass(frozen=True, eq=False, repr=False)
class DoseCurve(Result):
    """Average effect of each band of doses against the reference band.

    doses       (n_bands,)      mean dose of each band, reference first, as if all units got it
    effects     (n_bands,)      unit of the outcome; 0 for the reference
    ci          (n_bands, 2)    of the same
    std_errors  (n_bands,)
    n_units     (n_bands,)
    confidence  of each interval alone
    """

    doses: Array
    effects: Array
    ci: Array
    std_errors: Array
    n_units: IntArray
    confidence: float

    def table(self) -> Table:
        """One row per band."""
        columns = (
            Column("dose", kind="number"),
            Column("units", kind="count"),
            Column("effect", kind="signed"),
            Column("low", kind="signed"),
            Column("high", kind="signed"),
        )
        rows = [
            (float(dose), int(n), float(effect), float(low), float(high))
            for dose, n, effect, (low, high) in zip(
                self.doses, self.n_units, self.effects, self.ci, strict=True
            )
        ]
        note = f"Against the first band. Intervals of {self.confidence:.0%}, one by one."
        return Table("Dose and response", columns, rows, note=note)


class DoseResponse(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Effect of each band of a continuous dose against the reference band.

    learner     of the effects per customer: any of this package; None is a `DRLearner`
    edges       ascending borders between bands, each the lowest dose of the next; None makes the
                units without a dose (0) the reference, if there are some, and cuts the others at
                quantiles
    n_bands     with the reference, when `edges` are not given
    assignment  "observed": somebody chose the doses by what is in X, so a propensity per band is
                estimated out of fold, and refused where units could not have got a band.
                "randomised": doses were drawn, with the same chances for every unit. Propensities
                that are given count instead of either
    monotone    "up" or "down" puts the bands' effects in that order, per customer and on average
                (rearrangement; the reference stays 0); None leaves them
    n_folds     of the propensities and the outcomes; None means 5, and 2 from 500,000 units on

    Learns `edges_`, `doses_` (mean dose of each band), `learner_`, `overlap_` (None where
    propensities were not estimated) and the scores behind `average_curve`. Not stored as a whole;
    `learner_` is a model like others.
    """

    def __init__(
        self,
        *,
        learner: EffectModel | None = None,
        edges: Any = None,
        n_bands: int = 4,
        assignment: Literal["observed", "randomised"] = "observed",
        monotone: Direction | None = None,
        n_folds: int | None = None,
        seed: int = 0,
    ) -> None:
        self.learner = learner
        self.edges = edges
        self.n_bands = n_bands
        self.assignment = assignment
        self.monotone = monotone
        self.n_folds = n_folds
        self.seed = seed

    def fit(
        self,
        X: Any,
        y: Any,
        dose: Any,
        *,
        propensity: Any = None,
        sample_weight: Any = None,
        cluster: Any = None,
    ) -> Self:
        """Learn from n units.

        dose        (n_units,)  what each unit got, 0 or more; discount, euros, contacts
        propensity  (n_units, n_bands)  probability of each band by design, reference first

        Refused: DOSE_INVALID (doses, borders, small bands), CHOICE_UNKNOWN, OVERLAP_MISSING, and
        what `EffectModel.fit` refuses.
        """
        self._require_choices()
        amount = checked_dose(dose)
        self.edges_ = self._borders(amount)
        band = np.searchsorted(self.edges_, amount, side="right").astype(np.int64)
        _require_bands(band, self.edges_)
        given = checked_input(
            X, y, band, propensity=propensity, sample_weight=sample_weight, cluster=cluster
        )
        table = bin_features(
            given.rows,
            categorical=given.encoder.categorical,
            arm=band,
            n_arms=given.design.n_arms,
        )
        sample = Sample(table, given.design, given.outcome, np.arange(len(band)))
        self.overlap_: Overlap | None = None
        if propensity is None and self.assignment == "observed":
            found, self.overlap_ = estimated_propensity(
                sample, n_folds=self.n_folds, seed=self.seed
            )
            sample = replace(sample, design=replace(given.design, propensity=found))
        sample = with_scores(sample, n_folds=self.n_folds, seed=self.seed)
        self.doses_ = _mean_doses(amount, sample)
        self._range = (float(amount.min()), float(amount.max()))
        self._design, self._scores = sample.design, sample.scores
        learner = DRLearner(seed=self.seed) if self.learner is None else clone(self.learner)
        self.learner_ = learner.learn(sample, given.encoder)
        return self

    def predict(self, X: Any) -> Array:
        """Effect of each band against the reference, (n_units, n_bands - 1), outcome's unit."""
        check_is_fitted(self, "learner_")
        return _arranged(self.learner_.predict(X), self.monotone)

    def predict_curve(self, X: Any, doses: Any) -> Array:
        """Effect of some doses on each customer, (n_units, n_doses), unit of the outcome.

        Straight lines between the bands' mean doses, and level beyond the first and the last. A
        dose outside of what units got is refused: DOSE_INVALID.
        """
        effects = self.predict(X)
        asked = checked_dose(np.atleast_1d(np.asarray(doses)), constant=True)
        low, high = self._range
        outside = asked[(asked < low) | (asked > high)]
        if len(outside):
            raise DataError(
                f"doses: {outside[0]:g} is outside of what units got ({low:g} to {high:g}), so "
                "nothing is known of it. Ask for doses within.",
                code="DOSE_INVALID",
                count=len(outside),
            )
        place = np.interp(asked, self.doses_, np.arange(len(self.doses_)))
        left = np.minimum(place.astype(np.int64), len(self.doses_) - 2)
        curve = np.hstack([np.zeros((len(effects), 1)), effects])
        share = place - left
        return np.asarray((1 - share) * curve[:, left] + share * curve[:, left + 1], np.float64)

    def predict_interval(self, X: Any, *, confidence: float = 0.95) -> Array:
        """Interval of each band's effect per customer, (n_units, n_bands - 1, 2).

        Of learners that have one, such as `CausalForest`; INTERVAL_NOT_MODELLED of others.
        """
        check_is_fitted(self, "learner_")
        if not hasattr(self.learner_, "predict_interval"):
            raise DefinitionError(
                f"{type(self.learner_).__name__} gives no interval per customer. Take "
                "DoseResponse(learner=CausalForest()), or the average curve.",
                code="INTERVAL_NOT_MODELLED",
            )
        ends = self.learner_.predict_interval(X, confidence=confidence)
        return np.stack([_arranged(ends[..., i], self.monotone) for i in (0, 1)], axis=-1)

    def average_curve(self, *, confidence: float = 0.95) -> DoseCurve:
        """Mean effect of each band on all units, by their doubly robust scores."""
        check_is_fitted(self, "learner_")
        if not 0 < confidence < 1:
            raise DefinitionError(
                f"confidence must be inside (0, 1), got {confidence}.", code="CONFIDENCE_INVALID"
            )
        design, scores = self._design, self._scores
        assert scores is not None
        means = [
            average(column, weight=design.weight, cluster=design.cluster, confidence=confidence)
            for column in scores.T
        ]
        lines = np.array([(one.value, *one.ci, one.std_error) for one in means])
        effects, low, high = (_arranged(column[None], self.monotone)[0] for column in lines.T[:3])
        return DoseCurve(
            doses=self.doses_,
            effects=np.append(0.0, effects),
            ci=np.vstack([np.zeros((1, 2)), np.column_stack([low, high])]),
            std_errors=np.append(0.0, lines[:, 3]),
            n_units=np.bincount(design.arm),
            confidence=confidence,
        )

    def _require_choices(self) -> None:
        known = {"assignment": ("observed", "randomised"), "monotone": (None, "up", "down")}
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                raise DefinitionError(
                    f"{name} must be one of {', '.join(map(str, choices))}, got "
                    f"{getattr(self, name)!r}.",
                    code="CHOICE_UNKNOWN",
                )

    def _borders(self, amount: Array) -> Array:
        """Lowest dose of each band but the reference, ascending."""
        if self.edges is not None:
            edges = np.atleast_1d(np.asarray(self.edges, dtype=np.float64))
            if edges.ndim != 1 or not len(edges) or not np.isfinite(edges).all():
                raise _invalid(f"edges must be a list of finite numbers, got {self.edges!r}")
            if (np.diff(edges) <= 0).any():
                raise _invalid(f"edges must ascend, got {edges.tolist()}")
            return edges
        if self.n_bands < 2:
            raise _invalid(f"n_bands must be 2 or more, got {self.n_bands}")
        some = amount[amount > 0]
        if len(some) < len(amount):  # the units without a dose are the reference
            levels = np.linspace(0, 1, self.n_bands)[:-1]
        else:
            levels = np.linspace(0, 1, self.n_bands + 1)[1:-1]
        edges = np.unique(np.quantile(some, levels, method="higher"))
        above = edges[edges > amount.min()]  # no band is empty, however many doses are the same
        return above if len(above) else np.array([amount[amount > amount.min()].min()])


def checked_dose(dose: Any, *, constant: bool = False) -> Array:
    """Doses as numbers, (n_units,): none missing, infinite or negative, and not all the same."""
    try:
        amount = checked_outcome(dose, n_units=len(np.asarray(dose)))
    except DataError as error:
        raise _invalid(str(error).replace("outcome: ", "").rstrip(".")) from error
    wrong = np.flatnonzero(amount < 0)
    if len(wrong):
        raise DataError(
            f"dose: {len(wrong)} dose(s) are below 0, first in row {wrong[0] + 1}. Count from no "
            "dose, 0, upwards.",
            code="DOSE_INVALID",
            count=len(wrong),
            rows=[int(row) + 1 for row in wrong[:5]],
        )
    if not constant and (not len(amount) or (amount == amount[0]).all()):
        raise _invalid("every unit got the same, so nothing tells doses apart")
    return amount


def _require_bands(band: IntArray, edges: Array) -> None:
    counts = np.bincount(band, minlength=len(edges) + 1)
    small = np.flatnonzero(counts < MIN_BAND)
    if len(small):
        low = "the lowest dose" if small[0] == 0 else f"{edges[small[0] - 1]:g}"
        raise _invalid(
            f"the band from {low} has {counts[small[0]]} unit(s), fewer than {MIN_BAND}; take "
            "fewer bands or other edges"
        )


def _invalid(what: str) -> DataError:
    return DataError(f"dose: {what}.", code="DOSE_INVALID")


def _mean_doses(amount: Array, sample: Sample) -> Array:
    """Mean dose of each band, had all units got it, (n_bands,)."""
    design = sample.design
    received = design.propensity[np.arange(design.n_units), design.arm]
    weight = 1 / received if design.weight is None else design.weight / received
    mass = np.bincount(design.arm, weights=weight)
    return np.asarray(np.bincount(design.arm, weights=weight * amount) / mass, dtype=np.float64)


def _arranged(effects: Array, monotone: Direction | None) -> Array:
    """Each row in order, (n_rows, n_bands - 1)."""
    if monotone is None:
        return effects
    ordered = np.sort(effects, axis=1)
    return ordered if monotone == "up" else ordered[:, ::-1]
