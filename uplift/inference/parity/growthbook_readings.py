"""Tests, sequential tests and posteriors of an effect, as GrowthBook (gbstats 0.8) reads them."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from uplift.errors import DefinitionError
from uplift.inference.always_valid import always_valid_p_value, mixture_variance, multiplier
from uplift.inference.bayes import Posterior, Prior, posterior
from uplift.inference.parity.growthbook import Effect
from uplift.inference.proportion_tests import Alternative
from uplift.table import Column, Result, Table

TUNING_N = 5_000.0  # their default; ours is the planned number of units
SMALLEST_ALPHA, LARGEST_ALPHA = 1e-5, 0.4999  # of their search for a one-sided p-value
SEARCH_STEPS, BOUND_TOLERANCE = 100, 1e-6


@dataclass(frozen=True, repr=False)
class Reading(Result):
    """An effect with interval and p-value; a one-sided interval has an infinite end."""

    effect: float
    std_error: float
    ci: tuple[float, float]
    p_value: float

    def table(self) -> Table:
        """One row."""
        columns = (
            Column("effect", kind="signed"),
            Column("ci", kind="interval"),
            Column("p value", kind="p_value"),
        )
        return Table("Effect", columns, [(self.effect, self.ci, self.p_value)])


def t_test(
    effect: Effect, *, alternative: Alternative = "two-sided", confidence: float = 0.95
) -> Reading:
    """On Welch's t distribution of the absolute effect, also for a relative one.

    alternative  "greater": that the treatment is above, with the interval (low, inf)
    """
    t = effect.effect / effect.std_error
    if alternative == "two-sided":
        half = float(stats.t.ppf(0.5 + confidence / 2, effect.df)) * effect.std_error
        return _reading(effect, half, alternative, float(2 * stats.t.sf(abs(t), effect.df)))
    half = float(stats.t.ppf(confidence, effect.df)) * effect.std_error
    towards = t if alternative == "greater" else -t
    return _reading(effect, half, alternative, float(stats.t.sf(towards, effect.df)))


def sequential_test(
    effect: Effect,
    *,
    tuning_n: float = TUNING_N,
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
) -> Reading:
    """By the asymptotic confidence sequence, tuned to `tuning_n` units of both arms.

    A one-sided p-value is searched by halving, as there: between 1e-5 ("any alpha") and 0.4999
    ("not proven"), until the bound is within 1e-6 of 0.
    """
    alpha = 1 - confidence
    if alternative == "two-sided":
        wide = multiplier(effect.n_units, tuning_n=tuning_n, alpha=alpha)
        z = effect.effect / effect.std_error
        p_value = always_valid_p_value(z, effect.n_units, tuning_n=tuning_n, alpha=alpha)
        return _reading(effect, wide * effect.std_error, alternative, p_value)
    if not alpha < 0.5:
        raise DefinitionError(
            f"A one-sided sequential test needs a confidence above 0.5, got {confidence}.",
            code="PROBABILITY_INVALID",
        )
    wide = multiplier(effect.n_units, tuning_n=tuning_n, alpha=alpha, sides=1)
    p_value = _searched_p_value(effect, tuning_n, alpha, alternative)
    return _reading(effect, wide * effect.std_error, alternative, p_value)


def bayesian(
    effect: Effect,
    *,
    prior: Prior | None = None,
    confidence: float = 0.95,
    higher_is_better: bool = True,
    absolute_prior_is_rescaled: bool = True,
) -> Posterior:
    """Normal posterior of the effect; without a prior, the effect itself.

    absolute_prior_is_rescaled  False for their Python versions that left an absolute prior as it
                                was when the effect is relative
    """
    given = prior
    if prior is not None and prior.scale == "absolute" and not absolute_prior_is_rescaled:
        given = Prior(mean=prior.mean, std=prior.std, scale=effect.difference)
    return posterior(
        effect.effect,
        effect.std_error,
        scale=effect.difference,
        control_mean=effect.control_mean,
        prior=given,
        confidence=confidence,
        higher_is_better=higher_is_better,
    )


def _reading(effect: Effect, half: float, alternative: Alternative, p_value: float) -> Reading:
    ends = {
        "two-sided": (effect.effect - half, effect.effect + half),
        "greater": (effect.effect - half, math.inf),
        "less": (-math.inf, effect.effect + half),
    }
    if alternative not in ends:
        raise DefinitionError(
            f"alternative must be one of {', '.join(ends)}, got {alternative!r}.",
            code="ALTERNATIVE_INVALID",
        )
    return Reading(effect.effect, effect.std_error, ends[alternative], p_value)


def _searched_p_value(
    effect: Effect, tuning_n: float, alpha: float, alternative: Alternative
) -> float:
    """Their bisection, with the mixture of the test's own alpha; the last step is not undone."""
    n, r = effect.n_units, mixture_variance(tuning_n, alpha=2 * alpha)
    towards = effect.effect if alternative == "greater" else -effect.effect

    def bound(a: float) -> float:
        wide = math.sqrt(2 * (n + r) / n * math.log1p(math.sqrt((n + r) / r) / (2 * a)))
        return towards - wide * effect.std_error

    low, high = SMALLEST_ALPHA, LARGEST_ALPHA
    if bound(low) > 0:
        return low
    if bound(high) < 0:
        return high
    middle = 0.5 * (low + high)
    for _ in range(SEARCH_STEPS):
        found = bound(middle)
        low, high = (middle, high) if found < 0 else (low, middle)
        middle = 0.5 * (low + high)
        if abs(found) < BOUND_TOLERANCE:
            return middle
    return float(np.nan)
