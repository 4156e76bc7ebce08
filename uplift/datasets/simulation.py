"""Simulated trials whose truth is known: for laws, coverage checks and benchmarks.

Every unit's expected outcome under every arm is kept, so what a method estimates can be compared
with what is so. Nothing here is real.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from uplift.errors import DefinitionError
from uplift.table import Column, Result, Table
from uplift.trial import Trial

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Outcome = Literal["binary", "revenue", "normal"]

DEFAULT_EFFECT = {"binary": 0.05, "revenue": 1.0, "normal": 0.5}  # in the outcome's unit
MIN_FEATURES = 3  # the effect of an arm depends on three of them
AMOUNT_LOG_STD = 1.0  # of a purchase: the dearest 1 % hold about a tenth of the money
CONFOUNDING = 0.6  # change of an arm's log odds per standard deviation of its driver
CLUSTER_CORRELATION = 0.3  # of the unexplained part of two members' outcomes


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedTrial(Result):
    """A trial and its truth.

    average_effects  (n_arms - 1,)      mean of the true effects, unit of the outcome
    expected         (n_units, n_arms)  mean outcome of the unit under each arm, given its features
    potential        (n_units, n_arms)  outcome the unit would have had; the trial shows one of them
    """

    average_effects: Array
    trial: Trial = field(repr=False)
    expected: Array = field(repr=False)
    potential: Array = field(repr=False)

    @property
    def true_effects(self) -> Array:
        """Expected effect of each treatment, (n_units, n_arms - 1), unit of the outcome."""
        return self.expected[:, 1:] - self.expected[:, [0]]

    def table(self) -> Table:
        """Units, true mean and true effect per arm."""
        columns = (
            Column("arm"),
            Column("units", kind="count"),
            Column("true mean", kind="number"),
            Column("true effect", kind="signed"),
        )
        effects = [None, *self.average_effects.tolist()]
        means = self.expected.mean(axis=0).tolist()
        rows = [
            (arm, count, mean, effect)
            for (arm, count), mean, effect in zip(
                self.trial.counts.items(), means, effects, strict=True
            )
        ]
        return Table("Simulated trial", columns, rows, note="Simulated: nothing here is real.")


def simulate(
    *,
    n_units: int = 10_000,
    n_features: int = 8,
    outcome: Outcome = "binary",
    n_arms: int = 2,
    effect: float | Sequence[float] | None = None,
    heterogeneity: float = 1.0,
    propensity: Literal["known", "confounded"] = "known",
    shares: Sequence[float] | None = None,
    cluster_size: int = 1,
    seed: int = 0,
) -> SimulatedTrial:
    """A trial with one outcome, `outcome`, and its truth.

        effect of an arm on a unit = effect * (1 + heterogeneity * g(features))

    where g has mean 0 and variance 1 and differs between arms, so `effect` is the average and an
    effect of 0 is 0 for everyone. Probabilities are cut to [0, 1]; the truth is what is left.

    outcome       "binary" (0 or 1), "revenue" (most spend 0, the others log-normal amounts) or
                  "normal" (noise of standard deviation 1)
    effect        average effect, one number or one per treatment, in the outcome's unit
    propensity    "known": the shares, for everyone. "confounded": units with a higher expected
                  outcome get a treatment more often; the trial holds the true propensities, and a
                  plain difference of means is wrong
    shares        (n_arms,) of units per arm, control first; equal when not given
    cluster_size  units per randomised cluster; members share an arm and part of their noise
    """
    rng = np.random.default_rng(seed)
    weights = _shares(shares, n_arms=n_arms)
    average = _effects(effect, outcome=outcome, n_arms=n_arms)
    _require_sizes(n_units, n_features, cluster_size)
    cluster = np.arange(n_units, dtype=np.int64) // cluster_size
    features = rng.standard_normal((n_units, n_features))
    driver = _bounded(features)
    modifier = np.column_stack([_modifier(driver, arm) for arm in range(n_arms - 1)])
    probability = _propensity(driver, cluster, weights, confounded=propensity == "confounded")
    arm = _draw_arms(probability, cluster, rng)
    noise = _noise(cluster, cluster_size, rng)
    effects = average * (1 + heterogeneity * modifier)
    expected, potential = _OUTCOMES[outcome](driver, effects, noise, rng)
    trial = _trial(features, arm, potential, probability, cluster if cluster_size > 1 else None)
    average_effects = (expected[:, 1:] - expected[:, [0]]).mean(axis=0)
    return SimulatedTrial(average_effects, trial, expected, potential)


def _trial(
    features: Array, arm: IntArray, potential: Array, propensity: Array, cluster: IntArray | None
) -> Trial:
    n_units, n_arms = potential.shape
    return Trial(
        units=np.array([f"u{i:07d}" for i in range(n_units)], dtype=object),
        features=pd.DataFrame(features, columns=[f"x{j}" for j in range(features.shape[1])]),
        arms=("control", *(f"treatment_{k}" for k in range(1, n_arms))),
        arm=arm,
        outcomes={"outcome": potential[np.arange(n_units), arm]},
        propensity=propensity,
        primary="outcome",
        experiment="simulated",
        cluster=cluster,
    )


def _shares(shares: Sequence[float] | None, *, n_arms: int) -> Array:
    if n_arms < 2:
        raise DefinitionError(
            f"A trial needs a control and at least one treatment, got n_arms={n_arms}.",
            code="ARM_MISSING",
        )
    weights = np.full(n_arms, 1 / n_arms) if shares is None else np.asarray(shares, np.float64)
    if len(weights) != n_arms or (weights <= 0).any() or not np.isclose(weights.sum(), 1):
        raise DefinitionError(
            f"Shares must be {n_arms} numbers above 0 that add up to 1, got {weights.tolist()}.",
            code="WEIGHTS_INVALID",
        )
    return weights


def _effects(effect: float | Sequence[float] | None, *, outcome: str, n_arms: int) -> Array:
    if outcome not in _OUTCOMES:
        raise DefinitionError(
            f"Outcome must be one of {', '.join(_OUTCOMES)}, got {outcome!r}.",
            code="CHOICE_UNKNOWN",
        )
    given = np.atleast_1d(
        np.asarray(DEFAULT_EFFECT[outcome] if effect is None else effect, np.float64)
    )
    if given.shape not in {(1,), (n_arms - 1,)}:
        raise DefinitionError(
            f"Give one effect, or one per treatment ({n_arms - 1}); got {len(given)}.",
            code="LENGTH_MISMATCH",
        )
    return np.broadcast_to(given, (n_arms - 1,)).astype(np.float64)


def _require_sizes(n_units: int, n_features: int, cluster_size: int) -> None:
    if n_features < MIN_FEATURES or cluster_size < 1 or n_units < 1:
        raise DefinitionError(
            f"A simulation needs at least 1 unit, {MIN_FEATURES} features and clusters of 1; got "
            f"n_units={n_units}, n_features={n_features}, cluster_size={cluster_size}.",
            code="SIZE_INVALID",
        )


def _bounded(features: Array) -> Array:
    """Features as uniform numbers of mean 0 and variance 1, so that no effect runs away."""
    return np.asarray(np.sqrt(12) * (special.ndtr(features) - 0.5), dtype=np.float64)


def _modifier(driver: Array, treatment: int) -> Array:
    """What makes the effect of one treatment differ: a slope and an interaction."""
    a, b, c = ((treatment + step) % driver.shape[1] for step in range(3))
    return np.asarray((driver[:, a] + driver[:, b] * driver[:, c]) / np.sqrt(2), dtype=np.float64)


def _propensity(driver: Array, cluster: IntArray, shares: Array, *, confounded: bool) -> Array:
    logits = np.tile(np.log(shares), (len(driver), 1))
    if confounded:
        sizes = np.bincount(cluster)
        for treatment in range(len(shares) - 1):
            pull = driver[:, 0] + 0.5 * driver[:, 1 + treatment % 2]
            shared = np.bincount(cluster, weights=pull) / sizes
            logits[:, treatment + 1] += CONFOUNDING * shared[cluster]
    return np.asarray(special.softmax(logits, axis=1), dtype=np.float64)


def _draw_arms(propensity: Array, cluster: IntArray, rng: np.random.Generator) -> IntArray:
    """One arm per cluster, by the propensities its members share."""
    first = np.unique(cluster, return_index=True)[1]
    draw = rng.random(len(first))
    passed = draw[:, None] > propensity[first].cumsum(axis=1)[:, :-1]
    return np.asarray(passed.sum(axis=1)[cluster], dtype=np.int64)


def _noise(cluster: IntArray, cluster_size: int, rng: np.random.Generator) -> Array:
    """Standard normal noise, correlated within clusters."""
    own = rng.standard_normal(len(cluster))
    if cluster_size == 1:
        return own
    common = rng.standard_normal(int(cluster[-1]) + 1)[cluster]
    shared, rest = np.sqrt([CLUSTER_CORRELATION, 1 - CLUSTER_CORRELATION])
    return np.asarray(shared * common + rest * own, dtype=np.float64)


def _baseline(driver: Array) -> Array:
    """What units do without a contact: mean 0, variance about 1, neither linear nor additive."""
    slope = 0.7 * driver[:, 0] + 0.4 * driver[:, 1]
    return np.asarray(slope + 0.4 * driver[:, 0] * driver[:, 2], dtype=np.float64)


def _normal(
    driver: Array, effects: Array, noise: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    base = _baseline(driver)[:, None]
    expected = np.hstack([base, base + effects])
    return expected, expected + noise[:, None]


def _binary(
    driver: Array, effects: Array, noise: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    base = (0.3 + 0.06 * _baseline(driver))[:, None]
    expected = np.clip(np.hstack([base, base + effects]), 0, 1)
    return expected, (special.ndtr(noise)[:, None] < expected).astype(np.float64)


def _revenue(
    driver: Array, effects: Array, noise: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """The effect changes who buys; what a buyer spends is log-normal, and large for a few."""
    mean_amount = 20 * np.exp(0.3 * driver[:, 1])
    base = (0.2 + 0.04 * _baseline(driver))[:, None]
    buys = np.clip(np.hstack([base, base + effects / mean_amount[:, None]]), 0, 1)
    unit_mean = rng.lognormal(-0.5 * AMOUNT_LOG_STD**2, AMOUNT_LOG_STD, len(driver))
    amount = (mean_amount * unit_mean)[:, None]
    bought = special.ndtr(noise)[:, None] < buys
    return buys * mean_amount[:, None], bought * amount


_OUTCOMES = {"binary": _binary, "revenue": _revenue, "normal": _normal}
