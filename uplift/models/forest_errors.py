"""Standard errors of a causal forest by little bags.

Every bag of trees sees a random half of the units. How much the bags' means differ, less what the
trees of one bag differ by chance, is an unbiased but noisy estimate of the variance that other
units would bring, and often negative. Cutting it off at zero covers far too seldom; instead every
unit's estimate is drawn towards the mean of all units by the share of its spread that is noise.

Source: Athey, Tibshirani & Wager (2019), AoS 47(2), section 4.1, for bags; Sexton & Laake (2009),
CSDA 53(3), for the part that is chance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LEAST_VARIANCE = 0.25  # of the mean variance: no unit is more certain than this


def raw_variance(spread: Array, *, per_bag: int) -> Array:
    """Variance between bags less what chance brings, (n_rows, n_effects); may be negative.

    spread  (n_rows, n_effects, 3) of `Reading`
    """
    return np.asarray(spread[:, :, 0] - spread[:, :, 1] / per_bag, dtype=np.float64)


def noise_variance(spread: Array, *, per_bag: int, n_bags: Array | int) -> Array:
    """Variance of `raw_variance` over forests of the same data with `n_bags` bags."""
    between, chance = spread[:, :, 0], spread[:, :, 1] / per_bag
    noise = 2 * (between**2 + chance**2 / max(per_bag - 1, 1)) / n_bags
    return np.asarray(noise, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """What the training units say of variances.

    mean  (n_effects,)  over units, unit of the outcome squared
    kept  (n_effects,)  share of a unit's difference from the mean that is not noise, in [0, 1]
    """

    mean: Array
    kept: Array

    @classmethod
    def fit(cls, spread: Array, *, per_bag: int, n_bags: int) -> "Uncertainty":
        """Learn from out-of-bag units.

        spread  (n_rows, n_effects, 3); rows that are in nearly every bag are left out
        n_bags  of the whole forest, which new units are read with
        """
        enough = (spread[:, :, 2] > 1).all(axis=1)
        if enough.sum() < 2:
            n_effects = spread.shape[1]
            return cls(np.full(n_effects, np.nan), np.zeros(n_effects))
        used = spread[enough]
        variance = raw_variance(used, per_bag=per_bag)
        own = noise_variance(used, per_bag=per_bag, n_bags=used[:, :, 2]).mean(axis=0)
        later = noise_variance(used, per_bag=per_bag, n_bags=n_bags).mean(axis=0)
        differs = np.maximum(variance.var(axis=0) - own, 0)
        kept = differs / np.maximum(differs + later, np.finfo(float).tiny)
        return cls(np.maximum(variance.mean(axis=0), 0), kept)

    def std_errors(self, spread: Array, *, per_bag: int) -> Array:
        """Standard errors of effects, (n_rows, n_effects), unit of the outcome.

        The variance over other data, and on top of it the variance over other trees, which few
        trees leave.
        """
        drawn = self.mean + self.kept * (raw_variance(spread, per_bag=per_bag) - self.mean)
        over_trees = spread[:, :, 0] / np.maximum(spread[:, :, 2], 1)
        return np.sqrt(np.maximum(drawn, LEAST_VARIANCE * self.mean) + over_trees)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for storage."""
        return {"mean": self.mean.tolist(), "kept": self.kept.tolist()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Uncertainty":
        """What `to_dict` described."""
        return cls(np.array(plain["mean"], dtype=float), np.array(plain["kept"], dtype=float))
