"""Confidence sequences of 0/1 outcomes and of quantiles, as the confseq package computes them.

Its curves are in `uniform_boundaries`, under the package's own names.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy import optimize

from uplift.errors import DataError
from uplift.inference.uniform_boundaries import beta_binomial_log_mixture

Array = npt.NDArray[np.float64]

EDGE = 1e-12  # nearest share to 0 and 1 that is searched


def bernoulli_interval(
    successes: float, n: float, *, alpha: float = 0.05, t_opt: float, alpha_opt: float = 0.05
) -> tuple[float, float]:
    """(lower, upper) of a share, right at every n at once with probability 1 - alpha.

    The shares whose beta-binomial mixture, tuned to be tight at t_opt units, is below 1 / alpha.
    """
    if not (n > 0 and 0 <= successes <= n):
        raise DataError(
            f"Successes must be between 0 and the units, got {successes} of {n}.",
            code="COUNTS_INVALID",
        )
    seen = successes / n

    def evidence(p: float) -> float:
        """Against a share of p, less what is needed."""
        v = p * (1 - p)
        return beta_binomial_log_mixture(
            (seen - p) * n, v * n, v_opt=v * t_opt, g=p, h=1 - p, alpha_opt=alpha_opt
        ) - math.log(1 / alpha)

    def limit(edge: float, end: float) -> float:
        inside = min(max(seen, EDGE), 1 - EDGE)
        if seen == end or evidence(edge) <= 0:
            return end
        return float(optimize.brentq(evidence, edge, inside, xtol=1e-14))

    return limit(EDGE, 0.0), limit(1 - EDGE, 1.0)


def quantile_ab_p_value(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    quantile_p: float,
    t_opt: float,
    alpha_opt: float = 0.05,
) -> float:
    """p-value of equal quantiles of two arms, valid at every size; at most 1.

    For every common value x of the quantile, the evidence of both arms against "a share
    quantile_p is at or below x" is multiplied; the value with the least evidence counts.

    first, second  (n_units,) each
    """
    arms = [np.sort(np.asarray(values, dtype=np.float64)) for values in (first, second)]
    if any(len(arm) == 0 for arm in arms):
        raise DataError("Both arms need values.", code="EMPTY_INPUT")
    values = np.unique(np.concatenate(arms))
    least = sum(_least_evidence(arm, values, quantile_p, t_opt, alpha_opt) for arm in arms)
    return min(1.0, math.exp(-float(np.min(least))))


def _least_evidence(arm: Array, values: Array, p: float, t_opt: float, alpha_opt: float) -> Array:
    """Log evidence of an arm against each value being its p-quantile. (n_values,).

    At a value that the arm holds, any share between "below" and "at or below" could be meant: the
    one with the least evidence is taken.
    """
    n, v = len(arm), p * (1 - p)

    def evidence(share: float) -> float:
        return beta_binomial_log_mixture(
            (share - p) * n, v * n, v_opt=v * t_opt, g=p, h=1 - p, alpha_opt=alpha_opt
        )

    weakest = float(optimize.minimize_scalar(evidence, bounds=(0, 1), options={"xatol": 1e-9}).x)
    below = np.searchsorted(arm, values, side="left") / n
    up_to = np.searchsorted(arm, values, side="right") / n
    shares, place = np.unique(np.clip(weakest, below, up_to), return_inverse=True)
    return np.array([evidence(float(share)) for share in shares])[place]
