"""LightGBM in one place: features coded once, and small forests grown on rows of that table.

Every fit runs on one thread and fits run side by side, so results do not depend on how many threads
there are. Forests know codes, not numbers: a split is "code at most 17", and the edges that make
codes of numbers are kept beside the forest. The library's traps are kept in here:

- a subset keeps only what is set *after* it is constructed (labels set before are ignored);
- `predict` leaves out the starting scores that a fit was given, so forests that start from another
  are added by hand;
- exclusive feature bundling with subsets corrupts memory in 4.7.0, so bundling is off;
- `feature_pre_filter` would freeze the smallest leaf at binning time, so it is off.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from uplift.errors import DefinitionError
from uplift.models.feature_rows import Codes, FeatureRows, bins_of
from uplift.models.forest_bins import Bins
from uplift.models.leaf_tables import OTHER_ARM, THIS_ARM, LeafTables, read_trees

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Objective = Literal["regression", "binary"]
Job = TypeVar("Job")
Answer = TypeVar("Answer")

STEP = 10  # rounds between two looks at the held-out rows
FEWEST = 50  # rounds of any fit: fewer would be chosen by the luck of the held-out rows
PATIENCE = 40  # rounds without a better loss before a fit gives up
HELD_OUT_PART = 5  # one row in five says how many rounds
SPLIT_SEED = 1  # of the held-out rows; a fixed choice, so that a fit is a function of its rows
SPLITTABLE = 8  # a leaf holds at most this part of the rows, so that a tree can split
SMALLEST_CORRECTION = 100  # units in a leaf that corrects one arm; fewer would follow the noise
SMALL, MEDIUM, MANY = 50_000, 250_000, 500_000  # units, where sizes change
CHUNK = 16_384  # rows scored at a time; small enough to share between threads
BINNING = {
    "max_bin": 255,
    "min_data_in_bin": 1,  # codes are bins already
    "feature_pre_filter": False,
    "enable_bundle": False,
    "deterministic": True,
    "force_col_wise": True,
    "seed": 1,  # nothing is drawn: it only fixes which rows the bins of large tables look at
    "verbosity": -1,
}


@dataclass(frozen=True)
class Boosting:
    """Size of a boosted forest.

    search  whether some of its rows say how many rounds it gets, up to `n_rounds`
    """

    n_rounds: int
    learning_rate: float
    num_leaves: int
    min_data_in_leaf: int
    search: bool = True

    def __post_init__(self) -> None:
        if min(self.n_rounds, self.min_data_in_leaf) < 1 or self.num_leaves < 2:
            raise DefinitionError(
                "A boosted forest needs n_rounds and min_data_in_leaf of 1 or more and num_leaves "
                f"of 2 or more, got {self.n_rounds}, {self.min_data_in_leaf}, {self.num_leaves}.",
                code="BOOSTING_INVALID",
            )
        if not 0 < self.learning_rate <= 1:
            raise DefinitionError(
                f"learning_rate must be in (0, 1], got {self.learning_rate}.",
                code="BOOSTING_INVALID",
            )

    def but(self, overrides: dict[str, Any]) -> "Boosting":
        """The same with what a caller fixed; None leaves the default."""
        return Boosting(**(asdict(self) | {k: v for k, v in overrides.items() if v is not None}))

    def for_rows(self, n_rows: int, *, smallest_leaf: int = 5) -> "Boosting":
        """The same with leaves small enough for some splits on `n_rows` rows."""
        largest = max(n_rows // SPLITTABLE, smallest_leaf)
        return replace(self, min_data_in_leaf=min(self.min_data_in_leaf, largest))


@dataclass(frozen=True)
class Sizes:
    """Forests sized to the number of units they learn from."""

    pooled: Boosting
    arm: Boosting
    effect: Boosting


def sizes_for(n_units: int) -> Sizes:
    """Few leaves, large leaves, slow rates: an effect is a small signal in a large noise.

    With many units the rounds are fixed: looking for them costs as much as another fit, and finds
    about the same.

    n_units  units a model learns from
    """
    leaves = 4 if n_units < SMALL else 8 if n_units < MEDIUM else 16
    leaf = int(20 * n_units**0.4)
    size = Boosting(300, learning_rate=0.05, num_leaves=leaves, min_data_in_leaf=leaf)
    size = size.for_rows(n_units)
    if n_units < SMALL:
        slow = replace(size, n_rounds=500, learning_rate=0.03)
        arm = replace(slow, min_data_in_leaf=max(size.min_data_in_leaf, SMALLEST_CORRECTION))
        return Sizes(pooled=slow, arm=arm, effect=size)
    size = replace(size, search=False)
    pooled = replace(size, n_rounds=150, learning_rate=0.1, min_data_in_leaf=leaf // 10)
    return Sizes(pooled=pooled, arm=replace(size, n_rounds=50), effect=replace(size, n_rounds=100))


def folds_for(n_units: int) -> int:
    """Folds of a cross-fit: two halves of very many units teach as much as five fifths do."""
    return 2 if n_units >= MANY else 5


@dataclass(frozen=True, eq=False)
class BinnedTable:
    """Features of all units, coded once, with one column per treatment at the end.

    inputs   features of all units, their codes kept
    bins     what makes codes of features
    dataset  the codes and the arm columns, as LightGBM holds them
    arm      (n_units,)  column of the arm received
    n_arms   control included
    """

    inputs: FeatureRows
    bins: Bins
    dataset: Any
    arm: IntArray
    n_arms: int

    @property
    def n_features(self) -> int:
        """Columns before the arm columns."""
        return len(self.bins.edges)


class Forest:
    """A grown forest. Its raw sum leaves out whatever score the fit started from.

    booster  LightGBM's own; of no rows any more
    bins     what makes codes of features
    """

    def __init__(self, booster: Any, bins: Bins) -> None:
        self.booster = booster
        self.bins = bins
        self.n_arms = booster.num_feature() - len(bins.edges) + 1

    def raw(self, inputs: FeatureRows, *, arm: int = 0) -> Array:
        """Sum of leaf values under an arm, (n_rows,): the prediction, or its log odds if binary."""
        (sums,) = self._sums(inputs, arms=[arm])
        return np.asarray(sums, dtype=np.float64)

    def raw_by_arm(self, inputs: FeatureRows) -> Array:
        """The same under every arm, (n_arms, n_rows)."""
        return self._sums(inputs, arms=range(self.n_arms))

    def raw_at(self, inputs: FeatureRows, *, rounds: Sequence[int]) -> Array:
        """The same under control after some numbers of rounds, ascending, (n_stops, n_rows)."""
        codes = inputs.codes(self.bins)
        if self.tables is not None:
            return self.tables.raw_at(codes, rounds=rounds)
        found = [
            plain_raw(self.booster, codes, arm=0, n_arms=self.n_arms, count=stop)
            if stop
            else np.zeros(codes.shape[1])  # LightGBM takes 0 for all
            for stop in rounds
        ]
        return np.stack(found)

    @property
    def n_rounds(self) -> int:
        """Trees it has."""
        return int(self.booster.num_trees())

    def cut(self, n_rounds: int) -> "Forest":
        """Its first rounds alone; a forest of none adds nothing."""
        if n_rounds >= self.n_rounds:
            return self
        text = self.booster.model_to_string(num_iteration=max(n_rounds, 1))
        kept = Forest.from_text(text, self.bins)
        return kept if n_rounds else kept.emptied()

    def emptied(self) -> "Forest":
        """The same trees with nothing in their leaves; changes this forest too."""
        for t, tree in enumerate(read_trees(self.text())):
            for leaf in range(len(tree.values)):
                self.booster.set_leaf_output(t, leaf, 0.0)
        return Forest(self.booster, self.bins)

    @cached_property
    def tables(self) -> LeafTables | None:
        """The trees as tables; None when LightGBM has to score by itself."""
        return LeafTables.of(self.text(), n_features=len(self.bins.edges), n_arms=self.n_arms)

    def text(self) -> str:
        """LightGBM's own text form, from which the same forest can be read with its bins."""
        return str(self.booster.model_to_string())

    @classmethod
    def from_text(cls, text: str, bins: Bins) -> "Forest":
        """The forest that `text` wrote; the caller has checked where the text is from."""
        return cls(lgb.Booster(model_str=text), bins)

    def _sums(self, inputs: FeatureRows, *, arms: Sequence[int]) -> Array:
        codes = inputs.codes(self.bins)
        if self.tables is not None:
            return self.tables.raw(codes, arms=arms)
        return np.stack([plain_raw(self.booster, codes, arm=a, n_arms=self.n_arms) for a in arms])


def plain_raw(
    booster: Any, codes: Codes, *, arm: int, n_arms: int, first: int = 0, count: int = -1
) -> Array:
    """LightGBM's own sum of some rounds' leaf values, (n_rows,): slow, and good for any forest.

    codes  (n_features, n_rows)
    """
    if not codes.shape[1]:
        return np.zeros(0)
    columns = np.where(codes == 0, np.nan, codes.astype(np.float64))
    arms = np.full((n_arms - 1, codes.shape[1]), float(OTHER_ARM))
    if arm > 0:
        arms[arm - 1] = THIS_ARM
    raw = booster.predict(
        np.vstack([columns, arms]).T,
        raw_score=True,
        start_iteration=first,
        num_iteration=count,
        num_threads=1,
    )
    return np.asarray(raw, dtype=np.float64)


def bin_features(
    features: Array | FeatureRows, *, categorical: Sequence[int], arm: IntArray, n_arms: int
) -> BinnedTable:
    """Code features (n_units, n_features) and the arm, once for all models."""
    inputs = features if isinstance(features, FeatureRows) else FeatureRows.of(features)
    bins = bins_of(inputs, categorical=categorical)
    columns = [_with_missing(codes) for codes in inputs.codes(bins)]
    for k in range(1, n_arms):
        columns.append(pa.array(np.where(arm == k, THIS_ARM, OTHER_ARM).astype(np.uint8)))
    names = [f"f{i}" for i in range(len(columns))]
    dataset = lgb.Dataset(
        pa.table(columns, names=names),
        np.zeros(len(inputs), dtype=np.float32),
        categorical_feature=list(categorical),
        params={**BINNING, "num_threads": available_threads()},
    ).construct()
    return BinnedTable(inputs, bins, dataset, arm, n_arms)


def _with_missing(codes: npt.NDArray[np.uint8]) -> Any:
    """A column for LightGBM, without a copy of the codes; code 0 is a missing value."""
    missing = codes == 0
    return pa.array(codes, mask=missing) if missing.any() else pa.array(codes)


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one forest learns: a target on some rows of the shared table.

    rows       (n_rows,), ascending
    target     (n_rows,)  in the order of `rows`
    objective  "regression" of a mean, or "binary" for the log odds of a 0/1 target
    start      (n_rows,)  raw score to start from; `Forest.raw` does not include it
    weight     (n_rows,)  None means every row counts once
    sees_arm   whether the arm columns may be split on
    """

    rows: IntArray
    target: Array
    objective: Objective = "regression"
    start: Array | None = None
    weight: Array | None = None
    sees_arm: bool = False

    def part(self, chosen: IntArray) -> "Lesson":
        """The same lesson on some of its rows, given by ascending position."""
        return replace(
            self,
            rows=self.rows[chosen],
            target=self.target[chosen],
            start=None if self.start is None else self.start[chosen],
            weight=None if self.weight is None else self.weight[chosen],
        )

    def loss(self, raw: Array) -> float:
        """Mean loss of raw scores, (n_rows,), that leave out the start."""
        score = raw if self.start is None else raw + self.start
        if self.objective == "binary":
            losses = np.logaddexp(0, score) - self.target * score
        else:
            losses = (self.target - score) ** 2
        return float(np.average(losses, weights=self.weight))


def grow(table: BinnedTable, lesson: Lesson, size: Boosting) -> Forest:
    """Grow one forest; where its size asks for it, with as many rounds as help on unseen rows.

    A fifth of the lesson's own rows says how many rounds; the forest is then grown on all of them.
    Rows outside the lesson are never looked at, so a fold that is predicted has no say in it.
    """
    booster = _booster(table, lesson, size)
    n_rounds = _best_rounds(table, lesson, size) if size.search else size.n_rounds
    for _ in range(n_rounds):
        if booster.update():
            break
    return Forest(booster.free_dataset(), table.bins)


@dataclass(frozen=True, eq=False)
class JointLesson:
    """What several forests learn together: a target as a sum of factors times forests.

        min sum w (target - sum_k factor_k forest_k(x))^2

    rows     (n_rows,), ascending
    target   (n_rows,)
    factors  (n_rows, n_forests)
    weight   (n_rows,)  None means every row counts once
    """

    rows: IntArray
    target: Array
    factors: Array
    weight: Array | None = None

    def part(self, chosen: IntArray) -> "JointLesson":
        """The same lesson on some of its rows, given by ascending position."""
        weight = None if self.weight is None else self.weight[chosen]
        return JointLesson(self.rows[chosen], self.target[chosen], self.factors[chosen], weight)

    def loss(self, raw: Array) -> float:
        """Mean squared distance of the target to what the forests say, (n_forests, n_rows)."""
        left = self.target - (self.factors * raw.T).sum(axis=1)
        return float(np.average(left**2, weights=self.weight))


def grow_jointly(table: BinnedTable, lesson: JointLesson, size: Boosting) -> tuple[Forest, ...]:
    """Grow one forest per factor; rounds are looked for as in `grow`.

    Round by round, each forest takes a Newton step on what all of them leave over; the curvature
    is that of its own factor.
    """
    n_rounds = _best_joint_rounds(table, lesson, size) if size.search else size.n_rounds
    boosters, step = _joint_boosters(table, lesson, size)
    for _ in range(n_rounds):
        if step():
            break
    return tuple(Forest(booster.free_dataset(), table.bins) for booster in boosters)


def _joint_boosters(
    table: BinnedTable, lesson: JointLesson, size: Boosting
) -> tuple[list[Any], Callable[[], bool]]:
    """Boosters before their first round, and what adds one; it says whether none could split."""
    w = np.ones(len(lesson.rows)) if lesson.weight is None else lesson.weight
    raw = np.zeros_like(lesson.factors)
    boosters = [_booster(table, Lesson(lesson.rows, lesson.target), size) for _ in raw.T]

    def slope(k: int, predicted: Array) -> tuple[Array, Array]:
        factor: Array = lesson.factors[:, k]
        raw[:, k] = predicted
        left = lesson.target - (lesson.factors * raw).sum(axis=1)
        return -w * factor * left, w * factor**2

    def step() -> bool:
        finished = [
            booster.update(fobj=lambda predicted, _, k=k: slope(k, predicted))
            for k, booster in enumerate(boosters)
        ]
        return all(finished)

    return boosters, step


def _best_joint_rounds(table: BinnedTable, lesson: JointLesson, size: Boosting) -> int:
    """As `_best_rounds`, for forests that are grown together."""
    if size.n_rounds <= FEWEST or len(lesson.rows) < HELD_OUT_PART:
        return min(size.n_rounds, FEWEST)
    held_out, kept = (lesson.part(part) for part in _split(len(lesson.rows)))
    codes = np.ascontiguousarray(table.inputs.codes(table.bins)[:, held_out.rows])
    nobody = np.zeros(len(held_out.rows), dtype=np.int64)
    boosters, step = _joint_boosters(table, kept, size)

    def added(done: int) -> Array:
        return np.stack(
            [
                _sum_of(booster, codes, nobody, first=done - STEP, n_arms=table.n_arms)
                for booster in boosters
            ]
        )

    return _search(size.n_rounds, step, added, held_out.loss)


def _split(n_rows: int) -> tuple[IntArray, IntArray]:
    """Places of the rows that say how many rounds, and of the others."""
    order = np.random.default_rng(SPLIT_SEED).permutation(n_rows)
    cut = n_rows // HELD_OUT_PART
    return np.sort(order[:cut]), np.sort(order[cut:])


def _search(
    most: int,
    step: Callable[[], bool],
    added: Callable[[int], Array],
    loss: Callable[[Array], float],
) -> int:
    """Rounds with the lowest loss, looked at every few rounds."""
    raw: Array = np.zeros(1)
    best, lowest = FEWEST, np.inf
    for done in range(STEP, most + 1, STEP):
        finished = any(step() for _ in range(STEP))
        raw = raw + added(done)
        found = loss(raw)
        if found < lowest:
            best, lowest = done, found
        if finished or done - best >= PATIENCE:
            break
    return max(best, FEWEST)


def _best_rounds(table: BinnedTable, lesson: Lesson, size: Boosting) -> int:
    """Rounds with the lowest loss on a fifth of the rows, looked at every few rounds."""
    if size.n_rounds <= FEWEST or len(lesson.rows) < HELD_OUT_PART:
        return min(size.n_rounds, FEWEST)
    held_out, kept = (lesson.part(part) for part in _split(len(lesson.rows)))
    codes = np.ascontiguousarray(table.inputs.codes(table.bins)[:, held_out.rows])
    nobody = np.zeros(len(held_out.rows), dtype=np.int64)
    arm = table.arm[held_out.rows] if lesson.sees_arm else nobody
    booster = _booster(table, kept, size)

    def added(done: int) -> Array:
        return _sum_of(booster, codes, arm, first=done - STEP, n_arms=table.n_arms)

    return _search(size.n_rounds, booster.update, added, held_out.loss)


def _sum_of(booster: Any, codes: Codes, arm: IntArray, *, first: int, n_arms: int) -> Array:
    """What the last rounds of a forest add to rows under their own arms, (n_rows,)."""
    text = booster.model_to_string(start_iteration=first, num_iteration=STEP)
    tables = LeafTables.of(text, n_features=len(codes), n_arms=n_arms)
    arms = range(n_arms) if arm.any() else [0]
    if tables is None:
        added = np.stack(
            [plain_raw(booster, codes, arm=a, n_arms=n_arms, first=first, count=STEP) for a in arms]
        )
    else:
        added = tables.raw(codes, arms=arms)
    return np.asarray(added[arm, np.arange(len(arm))], dtype=np.float64)


def _booster(table: BinnedTable, lesson: Lesson, size: Boosting) -> Any:
    """A LightGBM booster on the lesson's rows, before its first round."""
    n_columns = table.n_features + table.n_arms - 1
    hidden = 0 if lesson.sees_arm else table.n_arms - 1
    params = {
        **BINNING,
        "num_threads": 1,
        "objective": lesson.objective,
        "learning_rate": size.learning_rate,
        "num_leaves": size.num_leaves,
        "min_data_in_leaf": size.min_data_in_leaf,
        "feature_contri": [1.0] * (n_columns - hidden) + [0.0] * hidden,
    }
    # The library has one number of threads for the whole process, which every call sets: a subset
    # with the table's own would change it under forests that grow beside, and crash them.
    subset = table.dataset.subset(lesson.rows, params={**BINNING, "num_threads": 1})
    subset.construct()  # before its label, or that is ignored
    subset.set_label(lesson.target.astype(np.float32))
    if lesson.weight is not None:
        subset.set_weight(lesson.weight.astype(np.float32))
    if lesson.start is not None:
        subset.set_init_score(lesson.start)
    return lgb.Booster(params, subset)


def in_chunks(function: Callable[[FeatureRows], Array], inputs: FeatureRows) -> Array:
    """A function of rows, applied to many of them on all threads."""
    if len(inputs) <= CHUNK:
        return function(inputs)
    starts = range(0, len(inputs), CHUNK)
    return np.concatenate(list(side_by_side(lambda i: function(inputs[i : i + CHUNK]), starts)))


def side_by_side(
    work: Callable[[Job], Answer], jobs: Iterable[Job], *, n_threads: int | None = None
) -> Iterator[Answer]:
    """Answers in the order of the jobs, worked on by a few threads at a time."""
    with ThreadPoolExecutor(n_threads or available_threads()) as pool:
        yield from pool.map(work, jobs)


def available_threads() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
