"""An exact interval of the difference of two proportions, for arms with a handful of events.

A difference d stays in the interval when, for some pair of proportions that lie d apart, a result
as far from d as the one observed is not rare. All results of both arms are enumerated, so nothing
is approximated but the search for the worst pair.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from uplift.errors import DefinitionError
from uplift.inference.proportion_tests import LARGEST_EXACT, Events
from uplift.inference.proportions import restricted

Array = npt.NDArray[np.float64]

UNLIKELY_PAIR = 1e-6  # error spent on pairs that the events themselves rule out
UNLIKELY_EVENTS = 1e-9  # numbers of events less likely than this are counted as if always extreme
N_PAIRS = 40  # of the search for the worst pair, before it is refined
N_BEYOND = 6  # differences tried beyond the first that is rejected, each 2 % further out
EDGE = 1 - 1e-9  # of the differences


def exact_interval(
    treatment: Events, control: Events, *, confidence: float = 0.95
) -> tuple[float, float]:
    """(lower, upper) of p_t - p_c, covering with at least `confidence` whatever the proportions.

    Two one-sided tests, each at half of the error, by the score statistic and its exact
    distribution; the worst pair of proportions is sought where the events leave it (at 1 - 1e-6).

    Source: Chan & Zhang (1999), Biometrics 55(4); Berger & Boos (1994), JASA 89(427).
    """
    alpha = (1 - confidence) / 2
    pair = _Observed(treatment, control)

    def excess(difference: float, outward: float) -> float:
        return pair.p_value(difference, -outward) - alpha

    centre = float(np.clip(treatment.share - control.share, -EDGE, EDGE))
    return _outermost(excess, -1.0, centre), _outermost(excess, 1.0, centre)


@dataclass(frozen=True)
class _Observed:
    """Events of both arms, and the p-values of differences."""

    treatment: Events
    control: Events

    def p_value(self, difference: float, side: float) -> float:
        """Largest chance of a score statistic at least as far to one side (1: above)."""
        lower, upper = self._pairs(difference)
        if lower > upper:
            return UNLIKELY_PAIR
        counts_t = _likely(self.treatment.n_units, lower + difference, upper + difference)
        counts_c = _likely(self.control.n_units, lower, upper)
        self._refuse_large(len(counts_t) * len(counts_c))
        statistic = side * self._statistics(difference, counts_t, counts_c)
        seen = side * self._statistics(
            difference,
            np.array([float(self.treatment.events)]),
            np.array([float(self.control.events)]),
        )
        extreme = (statistic >= seen - 1e-9).astype(np.float64)

        def chance(p_c: Array) -> Array:
            p_t = np.clip(p_c + difference, 0.0, 1.0)
            rows = stats.binom.pmf(counts_t[:, None], self.treatment.n_units, p_t)
            columns = stats.binom.pmf(counts_c[:, None], self.control.n_units, p_c)
            return np.asarray(np.sum(rows * (extreme @ columns), axis=0))

        return min(_largest(chance, lower, upper) + UNLIKELY_PAIR + 4 * UNLIKELY_EVENTS, 1.0)

    def _pairs(self, difference: float) -> tuple[float, float]:
        """Control proportions that go with the events and the difference."""
        low_t, high_t = _clopper_pearson(self.treatment)
        low_c, high_c = _clopper_pearson(self.control)
        lower = max(low_c, low_t - difference, 0.0, -difference)
        return lower, min(high_c, high_t - difference, 1.0, 1 - difference)

    def _statistics(self, difference: float, counts_t: Array, counts_c: Array) -> Array:
        """Score statistics of every pair of counts. (n_t_counts, n_c_counts)."""
        n_t, n_c = self.treatment.n_units, self.control.n_units
        x_t, x_c = counts_t[:, None], counts_c[None, :]
        p_c = restricted(difference, x_t, x_c, n_t, n_c)
        p_t = np.clip(p_c + difference, 0.0, 1.0)
        variance = p_t * (1 - p_t) / n_t + p_c * (1 - p_c) / n_c
        apart = x_t / n_t - x_c / n_c - difference
        with np.errstate(divide="ignore", invalid="ignore"):
            found = apart / np.sqrt(np.maximum(variance, 0.0))
        return np.where(np.abs(apart) < 1e-12, 0.0, np.nan_to_num(found, nan=0.0))

    def _refuse_large(self, tables: int) -> None:
        if tables > LARGEST_EXACT:
            raise DefinitionError(
                f"The exact interval of {self.treatment.events:,} of {self.treatment.n_units:,} "
                f"against {self.control.events:,} of {self.control.n_units:,} would enumerate "
                f"{tables:,} tables. With that many events the score interval is right: use it.",
                code="EXACT_TOO_LARGE",
            )


def _clopper_pearson(arm: Events) -> tuple[float, float]:
    x, n, tail = arm.events, arm.n_units, UNLIKELY_PAIR / 4
    low = float(stats.beta.ppf(tail, x, n - x + 1)) if x > 0 else 0.0
    high = float(stats.beta.isf(tail, x + 1, n - x)) if x < n else 1.0
    return low, high


def _likely(n_units: int, low: float, high: float) -> Array:
    """Numbers of events that are not negligible for any proportion in between."""
    first = stats.binom.ppf(UNLIKELY_EVENTS, n_units, np.clip(low, 0.0, 1.0))
    last = stats.binom.isf(UNLIKELY_EVENTS, n_units, np.clip(high, 0.0, 1.0))
    return np.arange(max(first, 0.0), min(last, n_units) + 1)


def _largest(chance: Callable[[Array], Array], lower: float, upper: float) -> float:
    grid = np.linspace(lower, upper, N_PAIRS)
    values = chance(grid)
    best = int(np.argmax(values))
    around = np.linspace(grid[max(best - 1, 0)], grid[min(best + 1, N_PAIRS - 1)], N_PAIRS)
    return float(max(values[best], chance(around).max()))


def _outermost(excess: Callable[[float, float], float], outward: float, centre: float) -> float:
    """The limit of one side: the last difference, going outwards, that is not rejected.

    The p-value jumps where results change places, so beyond the first crossing a few more
    differences are tried.
    """
    if excess(outward * EDGE, outward) >= 0:
        return outward
    inside = centre
    while True:
        limit = inside
        if excess(inside, outward) > 0:
            limit = float(
                optimize.brentq(lambda d: excess(d, outward), inside, outward * EDGE, xtol=1e-8)
            )
        step = 0.02 * max(abs(limit - centre), 1e-6)
        beyond = [limit + outward * step * k for k in range(1, N_BEYOND + 1)]
        again = [d for d in beyond if abs(d) < EDGE and excess(d, outward) > 0]
        if not again:
            return limit
        inside = again[-1]
