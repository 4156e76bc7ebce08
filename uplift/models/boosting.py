"""LightGBM in one place: features binned once, and small forests grown on rows of that table.

Every fit runs on one thread and fits run side by side, so results do not depend on how many threads
there are. The library's traps are kept in here:

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
from typing import Any, Literal, TypeVar

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from uplift.errors import DefinitionError

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
CHUNK = 16_384  # rows scored at a time; small enough to share between threads
BINNING = {
    "max_bin": 255,
    "feature_pre_filter": False,
    "enable_bundle": False,
    "deterministic": True,
    "force_col_wise": True,
    "seed": 1,  # nothing is drawn: it only fixes which rows the bins of large tables look at
    "verbosity": -1,
}


@dataclass(frozen=True)
class Boosting:
    """Size of a boosted forest; `n_rounds` is the most it may have."""

    n_rounds: int
    learning_rate: float
    num_leaves: int
    min_data_in_leaf: int

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

    n_units  units a model learns from
    """
    leaves = 4 if n_units < 50_000 else 8 if n_units < 250_000 else 16
    leaf = int(20 * n_units**0.4)
    size = Boosting(300, learning_rate=0.05, num_leaves=leaves, min_data_in_leaf=leaf)
    size = size.for_rows(n_units)
    arm = replace(size, min_data_in_leaf=max(size.min_data_in_leaf, SMALLEST_CORRECTION))
    if n_units < 50_000:
        return Sizes(pooled=replace(size, num_leaves=8), arm=arm, effect=size)
    pooled = replace(size, learning_rate=0.1, min_data_in_leaf=leaf // 10)
    return Sizes(pooled=pooled, arm=arm, effect=size)


@dataclass(frozen=True, eq=False)
class BinnedTable:
    """Encoded features of all units, binned once, with one 0/1 column per treatment at the end.

    inputs      (n_units, n_features + n_arms - 1)
    dataset     the same, binned
    n_features  columns before the arm columns
    """

    inputs: Array
    dataset: Any
    n_features: int


@dataclass(frozen=True, eq=False)
class Forest:
    """A grown forest. Its raw sum leaves out whatever score the fit started from."""

    booster: Any

    def raw(self, inputs: Array) -> Array:
        """Sum of leaf values, (n_rows,): the prediction itself, or its log odds when binary."""
        if not len(inputs):
            return np.zeros(0)
        raw = self.booster.predict(inputs, raw_score=True, num_threads=1)
        return np.asarray(raw, dtype=np.float64)

    def text(self) -> str:
        """LightGBM's own text form, from which the same forest can be read."""
        return str(self.booster.model_to_string())

    @classmethod
    def from_text(cls, text: str) -> "Forest":
        """The forest that `text` wrote; the caller has checked where the text is from."""
        return cls(lgb.Booster(model_str=text))


def bin_features(
    encoded: Array, *, categorical: Sequence[int], arm: IntArray, n_arms: int
) -> BinnedTable:
    """Bin encoded features (n_units, n_features) and the arm, once for all models."""
    inputs = with_arm_columns(encoded, n_arms)
    n_features = encoded.shape[1]
    inputs[np.flatnonzero(arm > 0), n_features + arm[arm > 0] - 1] = 1
    dataset = lgb.Dataset(
        inputs,
        np.zeros(len(inputs), dtype=np.float32),
        feature_name=[f"f{i}" for i in range(inputs.shape[1])],
        categorical_feature=list(categorical),
        params={**BINNING, "num_threads": available_threads()},
    ).construct()
    return BinnedTable(inputs, dataset, n_features)


def with_arm_columns(encoded: Array, n_arms: int) -> Array:
    """Encoded features with empty arm columns after them, as the forests expect."""
    return np.hstack([encoded, np.zeros((len(encoded), n_arms - 1))])


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
    """Grow one forest, with as many rounds as help on rows that it is not grown on.

    A fifth of the lesson's own rows says how many rounds; the forest is then grown on all of them.
    Rows outside the lesson are never looked at, so a fold that is predicted has no say in it.
    """
    booster = _booster(table, lesson, size)
    for _ in range(_best_rounds(table, lesson, size)):
        if booster.update():
            break
    return Forest(booster.free_dataset())


def _best_rounds(table: BinnedTable, lesson: Lesson, size: Boosting) -> int:
    """Rounds with the lowest loss on a fifth of the rows, looked at every few rounds."""
    if size.n_rounds <= FEWEST or len(lesson.rows) < HELD_OUT_PART:
        return min(size.n_rounds, FEWEST)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(lesson.rows))
    cut = len(order) // HELD_OUT_PART
    held_out, kept = lesson.part(np.sort(order[:cut])), lesson.part(np.sort(order[cut:]))
    inputs = table.inputs[held_out.rows]
    booster = _booster(table, kept, size)
    raw = np.zeros(cut)
    best, lowest = FEWEST, np.inf
    for done in range(STEP, size.n_rounds + 1, STEP):
        finished = any(booster.update() for _ in range(STEP))
        raw = raw + _sum_of(booster, inputs, first=done - STEP, count=STEP)
        loss = held_out.loss(raw)
        if loss < lowest:
            best, lowest = done, loss
        if finished or done - best >= PATIENCE:
            break
    return max(best, FEWEST)


def _sum_of(booster: Any, inputs: Array, *, first: int, count: int) -> Array:
    """What some rounds of a forest add, (n_rows,)."""
    part = booster.predict(
        inputs, raw_score=True, start_iteration=first, num_iteration=count, num_threads=1
    )
    return np.asarray(part, dtype=np.float64)


def _booster(table: BinnedTable, lesson: Lesson, size: Boosting) -> Any:
    """A LightGBM booster on the lesson's rows, before its first round."""
    n_columns = table.inputs.shape[1]
    hidden = 0 if lesson.sees_arm else n_columns - table.n_features
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


def in_chunks(function: Callable[[Array], Array], inputs: Array) -> Array:
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
