"""Simulated customers in the shape of the Criteo uplift set, with known effects.

Twelve skewed features, half of them with few values; 85 % treated at random. Two truths on the same
customers:

  log_odds   the treatment shifts the log odds of a visit: effects are large where visits are
             likely; 4.7 % visit
  additive   the treatment shifts the probability itself: who visits says nothing of who is moved;
             13.9 % visit

About a third of all effects are negative in both. Customers come in blocks of a million; a block is
a function of the seed and its number, so a smaller set is the beginning of a larger one.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Truth = Literal["log_odds", "additive"]

BLOCK = 1_000_000
TREATED_SHARE = 0.85
FEATURES = tuple(f"f{i}" for i in range(12))
SEED = 7
# solved for on two million customers: visits .0383 untreated and .0485 treated
BASE_LEVEL, TREATMENT_LEVEL = -4.1883, 0.1186
ADDITIVE_FLOOR, ADDITIVE_SCALE = 0.1, 0.07  # no probability leaves [0, 1]; the effects' sd is .027


@dataclass(frozen=True, eq=False)
class Customers:
    """Customers in a row.

    features      (n, 12)  float32
    arm           (n,)     0 or 1
    visit         (n,)     0 or 1
    effect        (n,)     of the treatment on the probability of a visit
    untreated     (n,)     probability of a visit without treatment
    """

    features: npt.NDArray[np.float32]
    arm: npt.NDArray[np.int64]
    visit: Array
    effect: Array
    untreated: Array

    def part(self, first: int, n: int) -> "Customers":
        """`n` customers from `first` on."""
        at = slice(first, first + n)
        return Customers(
            self.features[at], self.arm[at], self.visit[at], self.effect[at], self.untreated[at]
        )

    @property
    def mean(self) -> Array:
        """Probability of a visit whatever the arm."""
        return self.untreated + TREATED_SHARE * self.effect


def criteo_like(block: int = 0, *, truth: Truth = "log_odds", seed: int = SEED) -> Customers:
    """A block of a million customers."""
    rng = np.random.default_rng([seed, block])
    features = _features(rng.standard_normal((BLOCK, len(FEATURES)), dtype=np.float32))
    base, shift = _log_odds(features.astype(np.float64))
    untreated = _probability(BASE_LEVEL + base)
    if truth == "log_odds":
        treated = _probability(BASE_LEVEL + base + TREATMENT_LEVEL + shift)
    else:
        untreated = ADDITIVE_FLOOR + (1 - 2 * ADDITIVE_FLOOR) * untreated
        treated = untreated + ADDITIVE_SCALE * (TREATMENT_LEVEL + shift)
    arm = (rng.random(BLOCK) < TREATED_SHARE).astype(np.int64)
    visit = (rng.random(BLOCK) < np.where(arm == 1, treated, untreated)).astype(np.float64)
    return Customers(features, arm, visit, treated - untreated, untreated)


def _features(normal: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Skewed, correlated and coarse features from twelve independent normal ones."""
    z = normal.T
    columns = (
        z[0],
        np.round(0.6 * z[0] + 0.8 * z[1], 1),
        np.exp(0.5 * z[2]),
        np.where(z[3] > 1, np.round(3 * z[3]), 0),
        z[4] * (0.5 + 0.5 * np.abs(z[0])),
        np.clip(np.round(2 * z[5] + 3), 0, 8),
        z[6] ** 2,
        z[7] > 0.8,
        0.7 * z[2] + 0.7 * z[8],
        np.floor(4 * np.abs(z[9])),
        z[10],
        np.round(z[11] + 0.3 * z[4], 2),
    )
    return np.column_stack(columns).astype(np.float32)


def _log_odds(x: Array) -> tuple[Array, Array]:
    """What features add to the log odds of a visit, and to what the treatment adds."""
    f = x.T
    base = 0.9 * f[0] + 0.7 * np.log(f[2]) + 0.35 * f[3] - 0.15 * f[5] + 0.6 * f[7]
    base += 0.4 * np.maximum(f[4], 0) * (f[9] < 3) + 0.25 * np.minimum(f[6], 4)
    shift = 0.35 * np.tanh(f[1]) + 0.3 * (f[10] > 0.3) - 0.4 * f[7] * (f[8] > 0)
    shift += 0.2 * np.tanh(f[11] * f[4]) - 0.08 * (f[9] - 2)
    return base, shift


def _probability(log_odds: Array) -> Array:
    return 1 / (1 + np.exp(-log_odds))
