"""Half-sample bootstrap of rankings: how far a curve or an area would move with other customers.

Half of the units (whole clusters where the design has them) are drawn without replacement; the
spread of an area over the halves is its standard error in the whole. One draw serves all rankings,
each sorted once; a replicate is a selection and a cumulative sum.
Source: Yadlowsky et al. (2025), JASA 120(549), section 3.3; Præstgaard & Wellner (1993),
Annals of Probability 21(4).
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from uplift.evaluation.curves import CURVE_POINTS, Ranking
from uplift.inference.doubly_robust import average

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Spread:
    """Standard errors of a ranking's areas and of its gain curve, given the ranking.

    gain  (n_points + 1,) at evenly spaced shares from 0 to 1
    """

    qini: float
    autoc: float
    gain: Array


def half_sample_errors(
    rankings: Mapping[Key, tuple[Ranking, Array]],
    *,
    weight: Array | None = None,
    cluster: IntArray | None = None,
    n_bootstrap: int = 200,
    seed: int,
) -> dict[Key, Spread]:
    """Standard errors of several rankings of the same units, from the same draws.

    rankings  by name: the ranking and the scores (n_units,) it is judged by
    cluster   (n_units,) codes; clusters are drawn whole
    """
    moving = {key: pair for key, pair in rankings.items() if not pair[0].is_constant}
    ranked = {key: _Sorted(ranking, scores, weight) for key, (ranking, scores) in moving.items()}
    drawn: dict[Key, list[Array]] = {key: [] for key in moving}
    n_units = next(iter(rankings.values()))[0].n_units if moving else 0
    for chosen in _halves(n_units, cluster, n_bootstrap=n_bootstrap if moving else 0, seed=seed):
        for key, one in ranked.items():
            drawn[key].append(one.replicate(chosen))
    return {
        key: _spread(np.array(drawn[key])) if key in drawn else _straight(scores, weight, cluster)
        for key, (_, scores) in rankings.items()
    }


class _Sorted:
    """Scores in ranked order, ready for many replicates."""

    def __init__(self, ranking: Ranking, scores: Array, weight: Array | None) -> None:
        self.order = ranking.order
        self.scores = scores[ranking.order]
        self.weight = None if weight is None else weight[ranking.order]
        self.block = ranking.block if ranking.has_ties else None
        self.n_blocks = len(ranking.start)

    def replicate(self, chosen: BoolArray) -> Array:
        """Qini, AUTOC and the gains of the chosen units, as one array."""
        kept = np.flatnonzero(chosen[self.order])
        score = self.scores[kept]
        weight = None if self.weight is None else self.weight[kept]
        if self.block is not None:
            score = self._shared_by_block(score, self.block[kept], weight)
        if weight is None:
            depth = np.arange(1.0, len(kept) + 1)
            return _areas(np.cumsum(score), depth, np.ones(1))
        return _areas(np.cumsum(weight * score), np.cumsum(weight), weight)

    def _shared_by_block(self, score: Array, block: IntArray, weight: Array | None) -> Array:
        value = score if weight is None else weight * score
        total = np.bincount(block, weights=value, minlength=self.n_blocks)
        mass = np.bincount(block, weights=weight, minlength=self.n_blocks)
        mean = np.divide(total, mass, out=np.zeros(self.n_blocks), where=mass > 0)
        return np.asarray(mean[block])


def _areas(total: Array, depth: Array, weight: Array) -> Array:
    """Areas and gains from cumulative sums over the sorted units."""
    whole, mean = depth[-1], total[-1] / depth[-1]
    excess = (total - depth * mean) * weight
    points = np.linspace(0, whole, CURVE_POINTS + 1)
    gains = np.interp(points, np.append(0.0, depth), np.append(0.0, total)) / whole
    return np.append([excess.sum() / whole**2, (excess / depth).sum() / whole], gains)


def _halves(
    n_units: int, cluster: IntArray | None, *, n_bootstrap: int, seed: int
) -> Iterator[BoolArray]:
    rng = np.random.default_rng(seed)
    n_drawn = n_units if cluster is None else int(cluster.max()) + 1
    for _ in range(n_bootstrap):
        chosen = np.zeros(n_drawn, dtype=bool)
        chosen[rng.permutation(n_drawn)[: max(n_drawn // 2, 1)]] = True
        yield chosen if cluster is None else chosen[cluster]


def _spread(replicates: Array) -> Spread:
    errors = replicates.std(axis=0, ddof=1)
    return Spread(float(errors[0]), float(errors[1]), errors[2:])


def _straight(scores: Array, weight: Array | None, cluster: IntArray | None) -> Spread:
    """Errors where nothing is ranked: the areas are 0 whoever is drawn, the gain is a line."""
    error = average(scores, weight=weight, cluster=cluster).std_error
    return Spread(0.0, 0.0, np.linspace(0, 1, CURVE_POINTS + 1) * error)
