"""One cross-fit for all learners, arms and outcomes: bins once, folds once, scores once.

Every unit's mean outcome under every arm is predicted by models that did not see the unit. From
them come the doubly robust scores that learners learn from and that judge them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError, DefinitionError
from uplift.inference.doubly_robust import aipw_outcomes
from uplift.models.boosting import (
    SMALLEST_CORRECTION,
    BinnedTable,
    Boosting,
    Forest,
    Lesson,
    folds_for,
    grow,
    side_by_side,
    sizes_for,
)
from uplift.models.feature_rows import FeatureRows
from uplift.models.two_part import TwoPartModels, is_two_part, require_two_part, winsorised
from uplift.progress import track
from uplift.suite import effect_scores

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FEWEST_CORRECTED = 2  # units of every arm: a forest of fewer cannot be asked for


@dataclass(frozen=True, eq=False)
class ArmModels:
    """Mean outcome per arm: one pooled forest that sees the arm, then a correction of each arm.

    A correction starts from what the pooled forest says of its arm, so an arm with few units stays
    close to the others. With no corrections it is an S-learner, with them a T-learner.

    pooled       sees the features and the arm
    corrections  one per arm, control first, or none
    binary       whether raw sums are log odds
    """

    pooled: Forest
    corrections: tuple[Forest, ...]
    n_arms: int
    n_features: int
    binary: bool

    def raw(self, inputs: FeatureRows, *, arm: int) -> Array:
        """Raw score of each row under one arm, (n_rows,)."""
        raw = self.pooled.raw(inputs, arm=arm)
        return raw + self.corrections[arm].raw(inputs) if self.corrections else raw

    def mean(self, inputs: FeatureRows, *, arm: int) -> Array:
        """Mean outcome of each row under one arm, (n_rows,), unit of the outcome."""
        return self._on_scale(self.raw(inputs, arm=arm))

    def means(self, inputs: FeatureRows) -> Array:
        """Mean outcome of each row under every arm, (n_rows, n_arms), unit of the outcome."""
        raw = self.pooled.raw_by_arm(inputs)
        for k, forest in enumerate(self.corrections):
            raw[k] += forest.raw(inputs)
        return self._on_scale(raw).T

    def _on_scale(self, raw: Array) -> Array:
        return 1 / (1 + np.exp(-raw)) if self.binary else raw

    def effects(self, inputs: FeatureRows) -> Array:
        """Effect of each treatment, (n_rows, n_arms - 1), unit of the outcome."""
        return effect_scores(self.means(inputs))

    def without_corrections(self) -> "ArmModels":
        """The pooled forest alone."""
        return replace(self, corrections=())


OutcomeModels = ArmModels | TwoPartModels


@dataclass(frozen=True, eq=False)
class Design:
    """Who got what, with which probability, and how much each unit counts.

    arm         (n_units,)         column of the arm received, 0 is control
    propensity  (n_units, n_arms)  inside (0, 1), rows sum to 1
    weight      (n_units,)         None means every unit counts once
    cluster     (n_units,)         code of the cluster that was randomised, None for units
    """

    arm: IntArray
    propensity: Array
    weight: Array | None = None
    cluster: IntArray | None = None

    @property
    def n_arms(self) -> int:
        """How many arms, control included."""
        return int(self.propensity.shape[1])

    @cached_property
    def fit_weight(self) -> Array | None:
        """How much each unit counts in a model of an arm's outcomes, (n_units,).

        Where propensities differ, a unit counts the more the less likely its arm was for it, so
        that every arm is learned on customers alike. None when every unit counts once.
        """
        shares = self.propensity.mean(axis=0)
        if np.allclose(self.propensity, shares, rtol=1e-9):
            return self.weight
        rows = np.arange(self.n_units)
        balance: Array = shares[self.arm] / self.propensity[rows, self.arm]
        return balance if self.weight is None else balance * self.weight

    @property
    def n_units(self) -> int:
        """How many units."""
        return len(self.arm)


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of the shared table that a model may learn from, and what was already learned on them.

    rows        (n_rows,), ascending
    outcome     (n_units,)             of all units
    arm_models  fitted on `rows`; None when nothing has been fitted yet
    scores      (n_units, n_arms - 1)  doubly robust effects of all units, out of fold; or None
    predicted   (n_units, n_arms)      mean outcome per arm of all units, out of fold; or None
    by_folds    whether rounds are chosen afterwards on other folds, so that forests of effects
                grow to their full number
    two_part    whether outcomes are modelled as buying times basket; None asks the outcome
    """

    table: BinnedTable
    design: Design
    outcome: Array
    rows: IntArray
    arm_models: OutcomeModels | None = None
    scores: Array | None = None
    predicted: Array | None = None
    by_folds: bool = False
    two_part: bool | None = None

    @property
    def has_two_parts(self) -> bool:
        """Whether outcomes are modelled as buying times basket."""
        return is_two_part(self.outcome) if self.two_part is None else self.two_part

    def modelled(self, two_part: bool | None) -> "Sample":
        """The sample with its outcomes modelled in two parts or in one; None changes nothing.

        Arm models that were fitted otherwise are left behind.
        """
        if two_part is None or two_part == self.has_two_parts:
            return self
        return replace(self, two_part=two_part, arm_models=None)

    def of_arm(self, arm: int) -> IntArray:
        """The rows that received an arm."""
        inside: IntArray = self.rows[self.design.arm[self.rows] == arm]
        return inside

    def weights(self, rows: IntArray) -> Array | None:
        """Weights of some rows; None when every unit counts once."""
        return None if self.design.weight is None else self.design.weight[rows]

    def fit_weights(self, rows: IntArray) -> Array | None:
        """Weights of some rows in models of outcomes, see `Design.fit_weight`."""
        weight = self.design.fit_weight
        return None if weight is None else weight[rows]


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Out-of-fold outcomes and scores of all units, and the models they came from.

    fold         (n_units,)                     fold that left the unit out
    arm_models   by outcome, one per fold       fitted without that fold
    predicted    by outcome, (n_units, n_arms)  mean outcome per arm, out of fold
    dr_outcomes  by outcome, (n_units, n_arms)  doubly robust outcome per arm
    """

    table: BinnedTable
    design: Design
    fold: IntArray
    outcomes: Mapping[str, Array]
    arm_models: Mapping[str, tuple[OutcomeModels, ...]]
    predicted: Mapping[str, Array]
    dr_outcomes: Mapping[str, Array]
    _scores: dict[str, Array] = field(default_factory=dict, repr=False)

    @property
    def n_folds(self) -> int:
        """How many folds."""
        return int(self.fold.max()) + 1

    def sample(self, outcome: str, *, without_fold: int) -> Sample:
        """The units outside a fold, with the arm models fitted on them."""
        return Sample(
            table=self.table,
            design=self.design,
            outcome=self.outcomes[outcome],
            rows=np.flatnonzero(self.fold != without_fold),
            arm_models=self.arm_models[outcome][without_fold],
            scores=self.scores(outcome),
            predicted=self.predicted[outcome],
            by_folds=True,
        )

    def all_units(self, outcome: str, *, with_models: bool = True) -> Sample:
        """All units, for models that score new customers; arm models only where they are needed."""
        everyone = Sample(
            table=self.table,
            design=self.design,
            outcome=self.outcomes[outcome],
            rows=np.arange(self.design.n_units),
            scores=self.scores(outcome),
            predicted=self.predicted[outcome],
            by_folds=True,
        )
        if not with_models:
            return everyone
        return replace(everyone, arm_models=fit_arm_models(everyone))

    def scores(self, outcome: str) -> Array:
        """Doubly robust effects, (n_units, n_arms - 1), made once."""
        if outcome not in self._scores:
            self._scores[outcome] = effect_scores(self.dr_outcomes[outcome])
        return self._scores[outcome]


def assign_folds(design: Design, *, n_folds: int, seed: int) -> IntArray:
    """A fold per unit, (n_units,): every arm spread evenly, clusters kept whole.

    Raises ARM_TOO_SMALL when an arm has fewer units (or clusters) than folds need.
    """
    if n_folds < 2:
        raise DefinitionError(
            f"n_folds must be 2 or more, got {n_folds}: a unit is predicted by models of others.",
            code="FOLDS_INVALID",
        )
    if design.cluster is None:
        codes, first = np.arange(design.n_units), np.arange(design.n_units)
    else:
        _, first, codes = np.unique(design.cluster, return_index=True, return_inverse=True)
    fold_of = np.empty(len(first), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for arm in range(design.n_arms):
        members = np.flatnonzero(design.arm[first] == arm)
        _require_members(len(members), arm=arm, n_folds=n_folds)
        fold_of[rng.permutation(members)] = np.arange(len(members)) % n_folds
    return fold_of[codes]


def cross_fit(
    table: BinnedTable,
    design: Design,
    outcomes: Mapping[str, Array],
    *,
    fold: IntArray,
    two_part: bool | None = None,
    n_threads: int | None = None,
) -> CrossFit:
    """Predict every outcome under every arm out of fold, and make doubly robust scores of it.

    outcomes  by name, (n_units,); 0/1 outcomes are modelled as probabilities, others as means
    fold      (n_units,), from `assign_folds`; shared by all outcomes and learners
    two_part  whether outcomes are modelled as buying times basket; None asks each outcome
    """
    n_folds = int(fold.max()) + 1
    jobs = [(name, f) for name in outcomes for f in range(n_folds)]

    def work(job: tuple[str, int]) -> tuple[OutcomeModels, Array]:
        name, f = job
        inside = np.flatnonzero(fold != f)
        models = fit_arm_models(Sample(table, design, outcomes[name], inside, two_part=two_part))
        return models, models.means(table.inputs[fold == f])

    predicted = {name: np.empty((design.n_units, design.n_arms)) for name in outcomes}
    models: dict[str, list[OutcomeModels]] = {name: [] for name in outcomes}
    answers = side_by_side(work, jobs, n_threads=n_threads)
    bar = track(answers, label="Cross-fitting outcomes", total=len(jobs))
    for (name, f), (fitted, means) in zip(jobs, bar, strict=True):
        models[name].append(fitted)
        predicted[name][fold == f] = means
    scores = {name: _dr_outcomes(design, outcomes[name], predicted[name]) for name in outcomes}
    fitted_models = {name: tuple(found) for name, found in models.items()}
    return CrossFit(table, design, fold, outcomes, fitted_models, predicted, scores)


def fit_arm_models(
    sample: Sample,
    *,
    pooled: Boosting | None = None,
    correction: Boosting | None = None,
) -> OutcomeModels:
    """Fit the pooled forest and each arm's correction on the rows of a sample, of each part.

    pooled, correction  sizes of the forests; None sizes them to the number of rows
    """
    if sample.has_two_parts:
        buys, baskets, scale = _parts(sample)
        return TwoPartModels(
            _fit_arm_models(buys, pooled, correction),
            _fit_arm_models(baskets, pooled, correction),
            scale,
        )
    return _fit_arm_models(sample, pooled, correction)


def fit_pooled(sample: Sample, *, size: Boosting | None = None) -> OutcomeModels:
    """Fit only the forest that sees the arm, of each part; None sizes it to the rows."""
    if sample.has_two_parts:
        buys, baskets, scale = _parts(sample)
        return TwoPartModels(_fit_pooled(buys, size), _fit_pooled(baskets, size), scale)
    return _fit_pooled(sample, size)


def _parts(sample: Sample) -> tuple[Sample, Sample, float]:
    """The sample of who bought, that of winsorised baskets, and the scale of the latter."""
    require_two_part(sample.outcome[sample.rows])
    bought = (sample.outcome > 0).astype(np.float64)
    buyers = sample.rows[bought[sample.rows] == 1]
    baskets = sample.outcome.copy()
    baskets[buyers], scale = winsorised(baskets[buyers], sample.fit_weights(buyers))
    part = replace(sample, arm_models=None, scores=None, predicted=None, two_part=False)
    return replace(part, outcome=bought), replace(part, outcome=baskets, rows=buyers), scale


def _fit_arm_models(
    sample: Sample, pooled: Boosting | None, correction: Boosting | None
) -> ArmModels:
    sizes = sizes_for(len(sample.rows))
    models = _fit_pooled(sample, pooled)
    if min(len(sample.of_arm(arm)) for arm in range(models.n_arms)) < FEWEST_CORRECTED:
        return models  # of a part: an arm in which hardly anybody bought
    size = correction or sizes.arm
    corrections = tuple(
        _fit_correction(sample, models, arm=arm, size=size) for arm in range(models.n_arms)
    )
    return replace(models, corrections=corrections)


def _fit_pooled(sample: Sample, size: Boosting | None) -> ArmModels:
    outcome = sample.outcome[sample.rows]
    binary = is_binary(sample.outcome)
    lesson = Lesson(
        sample.rows,
        outcome,
        objective="binary" if binary else "regression",
        weight=sample.fit_weights(sample.rows),
        sees_arm=True,
    )
    forest = grow(sample.table, lesson, size or sizes_for(len(sample.rows)).pooled)
    return ArmModels(forest, (), sample.design.n_arms, sample.table.n_features, binary)


def with_scores(sample: Sample, *, n_folds: int | None, seed: int) -> Sample:
    """The sample with out-of-fold outcomes and scores: its own, or those of its rows made here."""
    if sample.scores is not None and sample.predicted is not None:
        return sample
    folds = n_folds or folds_for(sample.design.n_units)
    fold = assign_folds(sample.design, n_folds=folds, seed=seed)
    fitted = cross_fit(
        sample.table,
        sample.design,
        {"outcome": sample.outcome},
        fold=fold,
        two_part=sample.two_part,
    )
    scores = effect_scores(fitted.dr_outcomes["outcome"])
    return replace(sample, scores=scores, predicted=fitted.predicted["outcome"])


def is_binary(outcome: Array) -> bool:
    """Whether an outcome holds only 0 and 1."""
    return bool(((outcome == 0) | (outcome == 1)).all())


def _fit_correction(sample: Sample, pooled: ArmModels, *, arm: int, size: Boosting) -> Forest:
    rows = sample.of_arm(arm)
    # some hundred units may correct the pooled model; fewer are left as it sees them
    size = size.for_rows(len(rows), smallest_leaf=SMALLEST_CORRECTION)
    lesson = Lesson(
        rows,
        sample.outcome[rows],
        objective="binary" if pooled.binary else "regression",
        start=pooled.raw(sample.table.inputs[rows], arm=arm),
        weight=sample.fit_weights(rows),
    )
    return grow(sample.table, lesson, size)


def _dr_outcomes(design: Design, outcome: Array, predicted: Array) -> Array:
    return aipw_outcomes(
        outcome=outcome, arm=design.arm, propensity=design.propensity, predicted=predicted
    )


def _require_members(count: int, *, arm: int, n_folds: int) -> None:
    if count >= 2 * n_folds:
        return
    raise DataError(
        f"Arm number {arm} has {count} unit(s) or clusters; {n_folds} folds need at least "
        f"{2 * n_folds}. Use fewer folds or more units.",
        code="ARM_TOO_SMALL",
        column="arm",
        count=count,
    )


def cluster_codes(cluster: Sequence[object] | npt.NDArray[np.generic] | None) -> IntArray | None:
    """Clusters of any labels as numbers, (n_units,)."""
    if cluster is None:
        return None
    return np.unique(np.asarray(cluster), return_inverse=True)[1].astype(np.int64)
