"""Causal forest: the effect of a customer as a weighted mean over customers alike, with its error.

Histograms of whole numbers, so that a fit is the same for any number of threads and any order of
rows; honest leaves; clusters drawn as one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from uplift.errors import DefinitionError, StateError
from uplift.models.boosting import bin_features, in_chunks
from uplift.models.crossfit import Sample
from uplift.models.feature_rows import FeatureRows
from uplift.models.forest_bins import Bins, Codes
from uplift.models.forest_errors import Uncertainty
from uplift.models.forest_mean import expected_outcome, mean_model_from
from uplift.models.forest_order import order_of_rows
from uplift.models.forest_plan import Growth, grow_trees
from uplift.models.forest_rows import Rows, Scales, balancing_weights, pack_rows, require_summable
from uplift.models.forest_trees import HonestTrees
from uplift.models.inputs import checked_input
from uplift.models.learners import EffectModel

if TYPE_CHECKING:  # these load numba, which takes most of a second
    from uplift.models.forest_reading import Reading

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_COMPARED = 2_000  # training units whose variances tell how much variances differ


@dataclass(frozen=True, eq=False)
class _Seen:
    """The training units, for their out-of-bag effects; not stored.

    place  (n_units,)  of each unit, as it came, among the rows
    """

    codes: Codes
    unit: npt.NDArray[np.uint64]
    place: IntArray


class CausalForest(EffectModel):
    """Effects from honest trees on what is left of the outcome after its expected mean.

        effect_k(x) = mean_k(x) - mean_0(x),
        mean_k(x) = weighted mean of (outcome - expected outcome) over units of arm k,
        a unit's weight = how often it shares a leaf with x, each leaf weighing one

    Splits are chosen for how effects differ (R-loss, all arms jointly) on some units, and leaves
    are filled by others. Trees of one bag see the same half of all clusters. Propensities may
    differ from row to row: arms are balanced by generalised overlap weights.

    The expected outcome is also a feature, because who responds at all is what effects differ by
    most, and a leaf of a hundred units cannot find it by itself; `mean_as_feature=False` leaves it
    out.

    `predict_interval` covers the forest's own mean over other data. The forest smooths over
    customers alike, so where the effect bends within a neighbourhood the interval is centred
    beside the truth and covers it less often than it says. The defaults are for accuracy: in
    simulations with smooth effects their 95 % intervals cover the forest's own mean as they say,
    but the truth in about 80 of 100 cases. Small leaves smooth less and vary more:
    `n_trees=1000, min_leaf=5, max_depth=14, max_features=100` covered it in 91 to 94 of 100.

    n_trees          a multiple of `trees_per_bag`; a few hundred for intervals
    max_depth        most splits between root and leaf
    min_leaf         units of average weight in each leaf, of those that choose the splits; None
                     sizes it to the number of units, for accuracy
    min_arm          of every arm; None means a tenth of `min_leaf`, at least 2
    max_features     tried per split; None means a third, at least 6
    n_bins           per number, at most 255; missing values have one more
    sample_share     of all clusters in a tree, at most 0.5 with bags
    trees_per_bag    1 for no bags, and no intervals
    honest           whether leaves are filled by other units than those that chose the splits
    n_folds          of the expected outcome, when no suite brings it

    Learns `trees_`, `bins_`, `mean_` (model of the expected outcome), `overall_` (mean residual per
    arm, for a customer whose leaves hold no unit of an arm) and `uncertainty_`.
    Source: Athey, Tibshirani & Wager (2019), Annals of Statistics 47(2); Nie & Wager (2021).
    """

    def __init__(
        self,
        *,
        n_trees: int = 200,
        max_depth: int = 8,
        min_leaf: int | None = None,
        min_arm: int | None = None,
        max_features: int | None = None,
        n_bins: int = 32,
        sample_share: float = 0.5,
        trees_per_bag: int = 4,
        honest: bool = True,
        mean_as_feature: bool = True,
        n_folds: int = 2,
        seed: int = 0,
    ) -> None:
        self.n_trees = n_trees
        self.max_depth = max_depth
        self.min_leaf = min_leaf
        self.min_arm = min_arm
        self.max_features = max_features
        self.n_bins = n_bins
        self.sample_share = sample_share
        self.trees_per_bag = trees_per_bag
        self.honest = honest
        self.mean_as_feature = mean_as_feature
        self.n_folds = n_folds
        self.seed = seed

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
        """Learn from n units, whose order makes no difference; see `EffectModel.fit`.

        Also refused: FOREST_INVALID, OUTCOME_TOO_LARGE, ARM_TOO_SMALL.
        """
        self._growth()  # refuses what no forest can be, before any work
        given = checked_input(
            X,
            y,
            treatment,
            propensity=propensity,
            sample_weight=sample_weight,
            cluster=cluster,
        )
        order = order_of_rows(given.encoded, given.design, given.outcome)
        given = given.taken(order)
        table = bin_features(
            given.encoded,
            categorical=given.encoder.categorical,
            arm=given.design.arm,
            n_arms=given.design.n_arms,
        )
        self.learn(Sample(table, given.design, given.outcome, np.arange(len(order))), given.encoder)
        self._seen.place[order] = np.arange(len(order))
        return self

    def effects(self, inputs: FeatureRows) -> Array:
        """Effects of encoded rows, (n_rows, n_arms - 1)."""
        return self._effects_of(self._read(inputs, spread=False))

    def predict_interval(self, X: Any, *, confidence: float = 0.95) -> Array:
        """Lower and upper end of each effect's interval, (n_units, n_arms - 1, 2).

        Of the forest's own mean over other data; see the class for what smoothing does to it.
        Refused: CONFIDENCE_INVALID, FOREST_INVALID (no bags, or too few units to compare).
        """
        if not 0 < confidence < 1:
            raise DefinitionError(
                f"confidence must be inside (0, 1), got {confidence}.", code="CONFIDENCE_INVALID"
            )
        both = self._effects_and_errors(X)
        width = NormalDist().inv_cdf((1 + confidence) / 2) * both[:, 1]
        return np.stack([both[:, 0] - width, both[:, 0] + width], axis=-1)

    def std_errors(self, X: Any) -> Array:
        """Standard error of each effect, (n_units, n_arms - 1), unit of the outcome."""
        return self._effects_and_errors(X)[:, 1]

    def out_of_bag_effects(self) -> Array:
        """Effects of the training units, in the order they came, by trees that did not see them.

        returns  (n_units, n_arms - 1); only the forest that was fitted has them (MODEL_NOT_FITTED
                 after a reload)
        """
        check_is_fitted(self, "trees_")
        if not hasattr(self, "_seen"):
            raise StateError(
                "Out-of-bag effects need the training units, which a stored forest does not hold. "
                "Take them before it is saved, or fit again.",
                code="MODEL_NOT_FITTED",
            )
        from uplift.models.forest_reading import read_in_chunks  # loads numba

        seen = self._seen
        reading = read_in_chunks(self.trees_, seen.codes, self._growth().draws(), unit=seen.unit)
        return self._effects_of(reading)[seen.place]

    def parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Bins, variances and means as constants; the trees and the forests of the mean."""
        mean = {"by": "nothing"}
        forests: dict[str, Any] = {"trees": self.trees_}
        if self.mean_ is not None:
            mean, of_mean = self.mean_.parts()
            forests |= of_mean
        constants = {
            "bins": self.bins_.to_dict(),
            "overall": self.overall_.tolist(),
            "uncertainty": None if self.uncertainty_ is None else self.uncertainty_.to_dict(),
            "mean": mean,
        }
        return constants, forests

    def restore(self, constants: Mapping[str, Any], forests: Mapping[str, Any]) -> None:
        """Take back what `parts` gave; ValueError when the parts do not fit together."""
        self.trees_ = forests["trees"]
        self.bins_ = Bins.from_dict(constants["bins"])
        self.overall_ = np.array(constants["overall"], dtype=np.float64)
        plain = constants["uncertainty"]
        self.uncertainty_ = None if plain is None else Uncertainty.from_dict(plain)
        self.mean_ = None
        if constants["mean"]["by"] != "nothing":
            self.mean_ = mean_model_from(constants["mean"], forests)
        n_features = len(self.encoder_.features) + (self.mean_ is not None)
        if not isinstance(self.trees_, HonestTrees) or self.trees_.n_arms != self.n_arms_:
            raise ValueError("trees of another number of arms")
        if not n_features == self.trees_.n_features == len(self.bins_.edges):
            raise ValueError("trees of another number of features")
        if self.overall_.shape != (self.n_arms_,) or not np.isfinite(self.overall_).all():
            raise ValueError("means of another number of arms")

    def _learn(self, sample: Sample) -> None:
        growth = self._growth()
        require_summable(sample.outcome[sample.rows])
        expected = expected_outcome(sample, n_folds=self.n_folds, seed=self.seed)
        self.mean_ = expected.model if self.mean_as_feature else None
        weight = balancing_weights(sample.design, sample.rows)
        columns = self._columns(sample.table.inputs[sample.rows], expected.feature)
        levels = {
            i: len(f.levels) for i, f in enumerate(self.encoder_.features) if f.kind == "category"
        }
        given = None if sample.design.weight is None else sample.design.weight[sample.rows]
        self.bins_ = Bins.fit(columns, n_levels=levels, n_bins=self.n_bins, weight=given)
        rows, scales = pack_rows(
            self.bins_.encode(columns, n_rows=len(sample.rows)),
            arm=sample.design.arm[sample.rows],
            residual=sample.outcome[sample.rows] - expected.centre,
            weight=weight,
            unit=_units(sample),
        )
        self.overall_ = _overall(rows, scales, n_arms=self.n_arms_)
        plan = growth.plan(rows, scales, self.bins_, n_arms=self.n_arms_)
        self.trees_ = grow_trees(rows, scales, plan, n_trees=self.n_trees)
        self._seen = _Seen(rows.codes, rows.unit, np.arange(len(sample.rows)))
        self.uncertainty_ = self._compare(rows, growth)

    def _columns(self, inputs: FeatureRows, mean: Array) -> list[Array]:
        """The features of some rows, and their expected outcome after them."""
        columns = [inputs.column(i) for i in range(inputs.n_features)]
        return [*columns, mean] if self.mean_ is not None else columns

    def _read(self, inputs: FeatureRows, *, spread: bool) -> "Reading":
        from uplift.models.forest_reading import read_trees  # loads numba

        columns = [inputs.column(i) for i in range(inputs.n_features)]
        if self.mean_ is not None:
            columns.append(self.mean_.mean(inputs))
        codes = self.bins_.encode(columns, n_rows=len(inputs))
        return read_trees(self.trees_, codes, self._growth().draws(), spread=spread)

    def _effects_of(self, reading: "Reading") -> Array:
        weight, residual = reading.sums[:, :, 0], reading.sums[:, :, 1]
        means = np.where(weight > 0, residual / np.where(weight > 0, weight, 1), self.overall_)
        return np.asarray(means[:, 1:] - means[:, :1], dtype=np.float64)

    def _effects_and_errors(self, X: Any) -> Array:
        """Effects, then their standard errors, (n_units, 2, n_arms - 1)."""
        check_is_fitted(self, "trees_")
        uncertainty = self.uncertainty_
        if uncertainty is None:
            raise DefinitionError(
                "Intervals need bags of trees and units outside some of them. Fit with "
                "trees_per_bag of 2 or more and more trees or units.",
                code="FOREST_INVALID",
            )

        def read(inputs: FeatureRows) -> Array:
            reading = self._read(inputs, spread=True)
            errors = uncertainty.std_errors(reading.spread, per_bag=self.trees_per_bag)
            return np.stack([self._effects_of(reading), errors], axis=1)

        return in_chunks(read, self._coded(X))

    def _compare(self, rows: Rows, growth: Growth) -> Uncertainty | None:
        """Variances of some training units, by bags that did not see them."""
        if growth.n_bags < 2:
            return None
        from uplift.models.forest_reading import read_in_chunks  # loads numba

        some = np.arange(0, len(rows.codes), -(-len(rows.codes) // MOST_COMPARED))
        codes, unit = rows.codes[some], rows.unit[some]
        reading = read_in_chunks(self.trees_, codes, growth.draws(), unit=unit, spread=True)
        return Uncertainty.fit(reading.spread, per_bag=self.trees_per_bag, n_bags=growth.n_bags)

    def _growth(self) -> Growth:
        return Growth(
            n_trees=self.n_trees,
            max_depth=self.max_depth,
            min_leaf=self.min_leaf,
            min_arm=self.min_arm,
            max_features=self.max_features,
            n_bins=self.n_bins,
            sample_share=self.sample_share,
            trees_per_bag=self.trees_per_bag,
            honest=self.honest,
            seed=self.seed,
        )


def _units(sample: Sample) -> IntArray:
    """What is drawn as one: the cluster, or the unit's place in the table."""
    if sample.design.cluster is None:
        return sample.rows
    return sample.design.cluster[sample.rows]


def _overall(rows: Rows, scales: Scales, *, n_arms: int) -> Array:
    """Weighted mean residual of each arm, (n_arms,)."""
    means = []
    for k in range(n_arms):
        inside = rows.arm == k
        weight = float(rows.weight[inside].sum()) * scales.weight
        means.append(float(rows.residual[inside].sum()) * scales.residual / weight)
    return np.array(means)
