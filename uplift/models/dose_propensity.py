"""The chance of each band of doses, estimated from what the doses were chosen by.

One forest per band against the others, out of fold, rescaled to add up to 1. Where units could not
have got a band nothing is known of its effect on them: that is refused, not cut off in silence.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift.errors import DataError
from uplift.models.boosting import Lesson, folds_for, grow, side_by_side, sizes_for
from uplift.models.crossfit import Sample, assign_folds

Array = npt.NDArray[np.float64]

SMALLEST = 0.01  # chance of a band below which a unit counts as one that could not get it
MOST_WITHOUT = 0.05  # of all units that may be so; their chances are raised to the smallest


@dataclass(frozen=True, eq=False)
class Overlap:
    """How surely every unit could have got every band.

    smallest       (n_bands,)  smallest estimated chance of any unit
    share_without  (n_bands,)  of units whose chance is below `SMALLEST`, and was raised to it
    """

    smallest: Array
    share_without: Array


def estimated_propensity(
    sample: Sample, *, n_folds: int | None, seed: int
) -> tuple[Array, Overlap]:
    """Chance of each band for each unit, (n_units, n_bands), by models that did not see the unit.

    Refused: OVERLAP_MISSING when many units could not have got some band.
    """
    design = sample.design
    folds = n_folds or folds_for(design.n_units)
    fold = assign_folds(design, n_folds=folds, seed=seed)
    chance = np.empty((design.n_units, design.n_arms))
    jobs = [(f, k) for f in range(folds) for k in range(design.n_arms)]

    def work(job: tuple[int, int]) -> Array:
        f, k = job
        inside, outside = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        target = (design.arm[inside] == k).astype(np.float64)
        lesson = Lesson(inside, target, objective="binary", weight=sample.weights(inside))
        forest = grow(sample.table, lesson, sizes_for(len(inside)).pooled.for_rows(len(inside)))
        return 1 / (1 + np.exp(-forest.raw(sample.table.inputs[outside])))

    for (f, k), found in zip(jobs, side_by_side(work, jobs), strict=True):
        chance[fold == f, k] = found
    chance /= chance.sum(axis=1, keepdims=True)
    overlap = Overlap(chance.min(axis=0), (chance < SMALLEST).mean(axis=0))
    _require_overlap(overlap, n_units=design.n_units)
    raised = np.maximum(chance, SMALLEST)
    return raised / raised.sum(axis=1, keepdims=True), overlap


def _require_overlap(overlap: Overlap, *, n_units: int) -> None:
    worst = int(overlap.share_without.argmax())
    share = float(overlap.share_without[worst])
    if share > MOST_WITHOUT:
        raise DataError(
            f"dose: {share:.0%} of units had next to no chance (below {SMALLEST:g}) of band number "
            f"{worst}, so its effect on them is not in the data. Leave such units out, or take "
            "wider bands.",
            code="OVERLAP_MISSING",
            count=round(share * n_units),
        )
