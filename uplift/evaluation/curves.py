"""Rankings, their curves and areas: does treating the top of a ranking bring more than chance?

Everything is computed from doubly robust effect scores and one sort of the ranking. Units with
equal rank form a block and share its mean, so the order of rows never matters and a constant
ranking scores exactly 0.
Source: Yadlowsky, Fleming, Shah, Brunskill & Wager (2025), "Evaluating Treatment Prioritization
Rules via Rank-Weighted Average Treatment Effects", JASA 120(549).
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import digamma

from uplift.errors import DataError
from uplift.inference.doubly_robust import average

CURVE_POINTS = 100  # enough for a smooth line, few enough to store with every ranking

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Units sorted best first, in blocks of equal rank.

    order  (n_units,)   units, best first
    block  (n_units,)   block of each sorted position, counted from 0
    start  (n_blocks,)  first sorted position of each block
    """

    order: IntArray = field(repr=False)
    block: IntArray = field(repr=False)
    start: IntArray = field(repr=False)

    @property
    def n_units(self) -> int:
        """How many units."""
        return len(self.order)

    @property
    def has_ties(self) -> bool:
        """Whether any two units share a rank."""
        return len(self.start) < len(self.order)

    @property
    def is_constant(self) -> bool:
        """Whether all units share one rank, so that nothing is ranked."""
        return len(self.start) == 1

    def totals(self, values: Array) -> Array:
        """Sum of values per block. (n_units,) in the units' order → (n_blocks,), best first."""
        return np.asarray(np.add.reduceat(values[self.order], self.start), dtype=np.float64)

    def spread(self, per_block: Array) -> Array:
        """A number per block as a number per unit. (n_blocks,) → (n_units,), the units' order."""
        per_unit = np.empty(self.n_units)
        per_unit[self.order] = per_block[self.block]
        return per_unit


@dataclass(frozen=True, eq=False)
class Curve:
    """Gain of treating the top share of a ranking, in the unit of the scores per customer of all.

        gain(share) = share * mean effect of the top share;  random(share) = share * mean effect

    share      (n_points,)  treated share of all units, 0 to 1
    gain       (n_points,)
    gain_low, gain_high     pointwise interval; NaN where no bootstrap was asked for
    """

    share: Array
    gain: Array
    gain_low: Array
    gain_high: Array

    @property
    def random(self) -> Array:
        """Gain of treating the same share drawn by lot."""
        return np.asarray(self.share * self.gain[-1])

    @property
    def toc(self) -> Array:
        """Mean effect of the top share less the mean effect of all (NaN at share 0)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.gain / self.share - self.gain[-1])


@dataclass(frozen=True)
class Decile:
    """One tenth of the ranking, best first: what was predicted and what the scores say."""

    decile: int
    n_units: int
    predicted: float
    effect: float
    std_error: float
    ci: tuple[float, float]


def rank_units(score: Array) -> Ranking:
    """Sort units by score, highest first; equal scores form a block.

    score  (n_units,), any unit; only its order matters
    """
    _refuse_not_finite(score)
    if len(score) == 0:
        raise DataError("ranking: there are no units to rank.", code="EMPTY_INPUT")
    order = np.argsort(-score, kind="stable")
    new = np.empty(len(score), dtype=bool)
    new[0] = True
    np.not_equal(score[order[1:]], score[order[:-1]], out=new[1:])
    return Ranking(order, np.cumsum(new) - 1, np.flatnonzero(new))


def within_folds(score: Array, fold: IntArray) -> Array:
    """Scores of several models as one ranking: each unit's place among the units of its fold.

        place = share of the fold's units ranked lower + half the share of those ranked equally

    Models of different folds differ in level by chance, and that chance runs against their own
    fold's outcomes; comparing units only within a fold removes it.

    score, fold  (n_units,)
    returns      (n_units,), 0 to 1, higher is better
    """
    place = np.empty(len(score))
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        ranking = rank_units(score[rows])
        size = np.diff(np.append(ranking.start, len(rows)))
        place[rows] = ranking.spread(1 - (ranking.start + size / 2) / len(rows))
    return place


def qini_weights(ranking: Ranking, weight: Array | None = None) -> Array:
    """What each unit's score counts in the Qini area: 1/2 less its rank from the top, 0 to 1.

    (n_units,) in the units' order; the mean of weight times score is the area.
    """
    upper, lower = _edges(ranking, weight)
    return ranking.spread(0.5 - (lower + upper) / (2 * ranking.n_units))


def autoc_weights(ranking: Ranking, weight: Array | None = None) -> Array:
    """What each unit's score counts in AUTOC: H(n) - H(rank - 1) - 1, averaged over its block.

    H(m) is the m-th harmonic number. (n_units,) in the units' order.
    """
    upper, lower = _edges(ranking, weight)
    n = ranking.n_units
    total = digamma(n + 1.0)
    before = lower * (total - digamma(lower + 1.0) + 1)
    after = upper * (total - digamma(upper + 1.0) + 1)
    return ranking.spread((after - before) / (upper - lower) - 1)


def weighted_mean(values: Array, weight: Array | None = None) -> float:
    """Mean of values, weighted when weights are given."""
    return float(values.mean() if weight is None else weight @ values / weight.sum())


def qini(scores: Array, ranking: Ranking, *, weight: Array | None = None) -> float:
    """Area between the gain curve and the line of a random order.

        (1/n) sum_i (i/n) TOC(i/n),  TOC(q) = mean score of the top q - mean score

    In the unit of the scores per customer; 0 for a ranking without information. This is the form of
    the R package grf; `qini_as_scikit_uplift` gives that library's ratio.
    """
    return weighted_mean(qini_weights(ranking, weight) * scores, weight)


def autoc(scores: Array, ranking: Ranking, *, weight: Array | None = None) -> float:
    """Area under the targeting operator characteristic: (1/n) sum_i TOC(i/n).

    In the unit of the scores; weighs the very top most, where `qini` weighs the middle.
    """
    return weighted_mean(autoc_weights(ranking, weight) * scores, weight)


def uplift_at(
    scores: Array, ranking: Ranking, *, share: float, weight: Array | None = None
) -> float:
    """Mean score of the top share of units; a block on the border counts in part.

    share  in (0, 1]; 1 gives the mean effect
    """
    if not 0 < share <= 1:
        raise DataError(
            f"uplift at a share: the share must be in (0, 1], got {share}. "
            "Give the top tenth as 0.1.",
            code="SHARE_INVALID",
        )
    return float(_gains(scores, ranking, np.array([share]), weight)[0] / share)


def gain_curve(
    scores: Array,
    ranking: Ranking,
    *,
    weight: Array | None = None,
    std_errors: Array | None = None,
    z: float = 1.96,
    n_points: int = CURVE_POINTS,
) -> Curve:
    """Gain at n_points + 1 evenly spaced shares from 0 to 1.

    std_errors  (n_points + 1,) of the gain at those shares; without them there is no band
    """
    share = np.linspace(0, 1, n_points + 1)
    gain = _gains(scores, ranking, share, weight)
    half = np.full(len(share), np.nan) if std_errors is None else z * std_errors
    return Curve(share, gain, gain - half, gain + half)


def deciles(
    scores: Array,
    ranking: Ranking,
    predicted: Array,
    *,
    weight: Array | None = None,
    cluster: IntArray | None = None,
    confidence: float = 0.95,
) -> tuple[Decile, ...]:
    """The ranking in ten parts, best first; a block of ties goes whole into one part.

    predicted  (n_units,) the effect a model promised, unit of the scores
    """
    top = 0.5 - qini_weights(ranking, weight)
    part = np.minimum((top * 10).astype(np.int64), 9)
    rows = []
    for number in np.unique(part):
        unit = np.flatnonzero(part == number)
        w = None if weight is None else weight[unit]
        codes = None if cluster is None else cluster[unit]
        mean = average(scores[unit], weight=w, cluster=codes, confidence=confidence)
        promised = weighted_mean(predicted[unit], w)
        rows.append(
            Decile(int(number) + 1, len(unit), promised, mean.value, mean.std_error, mean.ci)
        )
    return tuple(rows)


def _edges(ranking: Ranking, weight: Array | None) -> tuple[Array, Array]:
    """Where each block ends and begins, counted in units from the top; weights average 1."""
    if weight is None:
        upper = np.append(ranking.start[1:], ranking.n_units).astype(np.float64)
        return upper, ranking.start.astype(np.float64)
    mass = ranking.totals(weight) * (ranking.n_units / weight.sum())
    upper = np.cumsum(mass)
    return upper, upper - mass


def _gains(scores: Array, ranking: Ranking, share: Array, weight: Array | None) -> Array:
    w = np.ones(ranking.n_units) if weight is None else weight
    depth = np.append(0.0, np.cumsum(ranking.totals(w)))
    gain = np.append(0.0, np.cumsum(ranking.totals(w * scores)))
    return np.asarray(np.interp(share * depth[-1], depth, gain) / depth[-1])


def _refuse_not_finite(score: Array) -> None:
    wrong = np.flatnonzero(~np.isfinite(score))
    if len(wrong):
        raise DataError(
            f"ranking: scores must be finite; {len(wrong)} are not, first in row {wrong[0] + 1}. "
            "Repair the model's output or leave those units out.",
            code="SCORE_NOT_FINITE",
            count=len(wrong),
            rows=[int(row) + 1 for row in wrong[:5]],
        )
