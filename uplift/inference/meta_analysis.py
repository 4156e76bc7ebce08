"""What past experiments say together, what each was really worth, and what to expect of the next.

True effects differ from campaign to campaign. Their mean is estimated with weights that know it,
its interval by Hartung and Knapp's method, which stays right with few experiments. Sorted by
result, the best are partly lucky (winner's curse): the shrunken effects are what to expect of each.
Source: Paule & Mandel (1982), Journal of Research of the NBS 87(5); Viechtbauer (2005), Journal of
Educational and Behavioral Statistics 30(3), for REML; Hartung & Knapp (2001), Statistics in
Medicine 20(24); Nagashima, Noma & Furukawa (2019), Statistical Methods in Medical Research 28(6),
for the prediction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from uplift.errors import DataError, DefinitionError
from uplift.inference.bayes import Prior, Scale
from uplift.inference.heterogeneity import Heterogeneity, heterogeneity
from uplift.inference.shrinkage import Shrunken, checked_effects, shrink
from uplift.table import Column, Result, Table

Array = npt.NDArray[np.float64]
Method = Literal["paule_mandel", "reml"]

N_DRAWS = 10_000  # of a new experiment: its quantiles are then known to some hundredths
N_VARIANCES = 300  # between experiments, that are looked at


@dataclass(frozen=True, repr=False)
class MetaAnalysis(Result):
    """Past experiments together.

    weights              (n_experiments,)  of each in the mean, adding up to 1
    mean, std_error      of the true effects; the error by Hartung and Knapp
    ci                   of the mean, t with n - 1 degrees of freedom
    prediction_interval  of the true effect of a new experiment
    between_variance     of the true effects
    between_ci           of it, by the Q-profile method
    shrunken             each experiment's effect, drawn towards the mean
    """

    names: tuple[str, ...]
    effects: Array = field(repr=False)
    std_errors: Array = field(repr=False)
    weights: Array = field(repr=False)
    mean: float
    std_error: float
    ci: tuple[float, float]
    p_value: float
    prediction_interval: tuple[float, float]
    between_variance: float
    between_ci: tuple[float, float]
    heterogeneity: Heterogeneity
    shrunken: Shrunken = field(repr=False)
    confidence: float

    def prior(self, *, scale: Scale = "relative") -> Prior:
        """For the design and the Bayesian reading of the next experiment.

        The normal distribution around the mean with a 95 % interval (or whatever the confidence
        is) as long as the prediction interval, so that few experiments give a wide one.

        scale  the one that the effects put together are on
        """
        low, high = self.prediction_interval
        z = float(stats.norm.ppf(0.5 + self.confidence / 2))
        return Prior(mean=self.mean, std=(high - low) / (2 * z), scale=scale)

    def table(self) -> Table:
        """One row per experiment, then their mean."""
        columns = (
            Column("experiment"),
            Column("effect", kind="signed"),
            Column("ci", kind="interval"),
            Column("weight", kind="share"),
            Column("shrunken", kind="signed"),
            Column("ci on average", kind="interval"),
        )
        z = float(stats.norm.ppf(0.5 + self.confidence / 2))
        rows = [
            (
                name,
                float(effect),
                (float(effect - z * error), float(effect + z * error)),
                float(weight),
                float(shrunken),
                (float(low), float(high)),
            )
            for name, effect, error, weight, shrunken, (low, high) in zip(
                self.names,
                self.effects,
                self.std_errors,
                self.weights,
                self.shrunken.effects,
                self.shrunken.ci,
                strict=True,
            )
        ]
        nothing = float("nan")
        rows.append(("mean of all", self.mean, self.ci, 1.0, nothing, (nothing, nothing)))
        rows.append(
            ("next one", self.mean, self.prediction_interval, nothing, nothing, (nothing, nothing))
        )
        note = f"Share of the spread that is no noise: {self.heterogeneity.share:.0%}."
        return Table("Past experiments together", columns, rows, note=note)


def meta_analysis(
    effects: Sequence[float] | Array,
    std_errors: Sequence[float] | Array,
    *,
    names: Sequence[str] | None = None,
    method: Method = "paule_mandel",
    confidence: float = 0.95,
    seed: int = 0,
) -> MetaAnalysis:
    """Random-effects mean of independent experiments in one unit (e.g. all relative effects).

        mean        = sum(w effect) / sum(w),  w = 1 / (between_variance + std_error^2)
        std_error^2 = sum(w (effect - mean)^2) / ((n - 1) sum(w))

    All experiments that were run must be in it, the failed ones too: a mean of published wins is a
    mean of luck.

    seed  of the draws behind the prediction interval
    """
    y, error = checked_effects(effects, std_errors)
    n = len(y)
    if n < 2:
        raise DataError(
            f"At least 2 past experiments are needed, got {n}. Use the experiment's own estimate.",
            code="EFFECTS_FEW",
            count=n,
        )
    labels = tuple(str(i + 1) for i in range(n)) if names is None else tuple(names)
    if len(labels) != n:
        raise DefinitionError(
            f"There must be a name per experiment: {len(labels)} for {n}.", code="COLUMN_MISSING"
        )
    between = between_variance(y, error, method=method)
    weight = 1 / (between + error**2)
    mean = float(np.average(y, weights=weight))
    spread = float(weight @ (y - mean) ** 2)
    std_error = math.sqrt(spread / ((n - 1) * float(weight.sum())))
    t = float(stats.t.ppf(0.5 + confidence / 2, n - 1))
    return MetaAnalysis(
        names=labels,
        effects=y,
        std_errors=error,
        weights=weight / weight.sum(),
        mean=mean,
        std_error=std_error,
        ci=(mean - t * std_error, mean + t * std_error),
        p_value=float(2 * stats.t.sf(abs(mean) / std_error, n - 1)) if std_error > 0 else 0.0,
        prediction_interval=_prediction(y, error**2, confidence, seed=seed),
        between_variance=between,
        between_ci=_between_ci(y, error**2, confidence),
        heterogeneity=heterogeneity(y, error),
        shrunken=shrink(y, error, confidence=confidence),
        confidence=confidence,
    )


def between_variance(
    effects: Sequence[float] | Array,
    std_errors: Sequence[float] | Array,
    *,
    method: Method = "paule_mandel",
) -> float:
    """Variance of the true effects, at least 0.

    paule_mandel  where sum(w (effect - mean)^2) = n - 1: the spread that errors alone would show
    reml          where the restricted likelihood of normal effects is largest
    """
    y, error = checked_effects(effects, std_errors)
    if method == "paule_mandel":
        return _profile(y, error**2, len(y) - 1)
    if method == "reml":
        return _reml(y, error**2)
    raise DefinitionError(
        f"There is no method {method!r}; known: paule_mandel, reml.", code="METHOD_UNKNOWN"
    )


def _generalised_q(between: float, y: Array, variance: Array) -> float:
    weight = 1 / (between + variance)
    return float(weight @ (y - np.average(y, weights=weight)) ** 2)


def _profile(y: Array, variance: Array, target: float) -> float:
    """The variance between at which the generalised Q, which falls, equals the target."""
    if _generalised_q(0.0, y, variance) <= target:
        return 0.0
    upper = float(np.var(y)) + float(variance.max())
    while _generalised_q(upper, y, variance) > target:
        upper *= 2
    return float(
        optimize.brentq(
            lambda b: _generalised_q(b, y, variance) - target, 0.0, upper, xtol=upper * 1e-15
        )
    )


def _between_ci(y: Array, variance: Array, confidence: float) -> tuple[float, float]:
    low, high = (
        _profile(y, variance, float(stats.chi2.ppf(0.5 + side * confidence / 2, len(y) - 1)))
        for side in (1, -1)
    )
    return low, high


def _reml(y: Array, variance: Array) -> float:
    """Root of the restricted score, the largest one where the likelihood has several."""

    def loss(log_between: float) -> float:
        return _restricted_loss(math.exp(log_between), y, variance)

    scale = float(np.var(y)) + float(variance.mean())
    grid = np.log(scale) + np.linspace(-18, 3, 85)
    best = int(np.argmin([loss(float(at)) for at in grid]))
    inside = optimize.minimize_scalar(
        loss,
        bounds=(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]),
        method="bounded",
        options={"xatol": 1e-12},
    )
    found = math.exp(float(inside.x))
    return found if _restricted_loss(found, y, variance) < _restricted_loss(0, y, variance) else 0.0


def _restricted_loss(between: float, y: Array, variance: Array) -> float:
    """Minus twice the restricted log likelihood, up to a constant."""
    weight = 1 / (between + variance)
    mean = np.average(y, weights=weight)
    return float(-np.log(weight).sum() + np.log(weight.sum()) + weight @ (y - mean) ** 2)


def _prediction(y: Array, variance: Array, confidence: float, *, seed: int) -> tuple[float, float]:
    """Quantiles of the effect of a new experiment, over what the variance between may be.

        new = mean(b) + t std_error(b) + z sqrt(b),  b where the generalised Q equals a chi-squared

    with draws of chi-squared and t on n - 1 degrees of freedom, and of a normal z. The interval
    with the estimated variance plugged in covers 80 % where experiments hardly differ, because the
    estimate is then often 0.
    """
    n, rng = len(y), np.random.default_rng(seed)
    grid = np.concatenate([[0.0], _variances_worth_a_look(y, variance)])
    weight = 1 / (grid[:, None] + variance)
    total = weight.sum(axis=1)
    mean = weight @ y / total
    q = np.sum(weight * (y - mean[:, None]) ** 2, axis=1)
    error = np.sqrt(q / ((n - 1) * total))
    drawn = rng.chisquare(n - 1, N_DRAWS)
    at = np.interp(-drawn, -q, np.arange(len(grid), dtype=np.float64))  # q falls along the grid
    place = np.arange(len(grid))
    between, centre, spread = (np.interp(at, place, curve) for curve in (grid, mean, error))
    t, z = rng.standard_t(n - 1, N_DRAWS), rng.standard_normal(N_DRAWS)
    new = centre + t * spread + z * np.sqrt(between)
    low, high = np.quantile(new, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def _variances_worth_a_look(y: Array, variance: Array) -> Array:
    """From far below the smallest error to where nearly all of the spread is between."""
    n = len(y)
    largest = _profile(y, variance, float(stats.chi2.ppf(1e-4, n - 1)))
    smallest = 1e-4 * float(variance.min())
    return np.geomspace(smallest, max(largest, 10 * smallest), N_VARIANCES)
