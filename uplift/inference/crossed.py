"""Units that were drawn anew in every wave: the same customer is treated once and control once.

The rows are customers; each has a total and a number of draws in every arm. What a customer spends
in one arm goes with what it spends in another, so the arms are not independent.
"""

from collections.abc import Sequence

import numpy as np

from uplift.errors import DataError
from uplift.inference.means import ArmMean, Estimate, contrast, require_two
from uplift.inference.moments import Moments


def crossed(
    customers: Moments,
    *,
    treatment: tuple[str, str],
    control: tuple[str, str],
    confidence: float = 0.95,
) -> Estimate:
    """Difference of the means per draw, with an error by customer.

        mean_a     = mean(total)_a / mean(draws)_a
        residual_a = (total_a - mean_a draws_a) / mean(draws)_a, per customer
        std_error^2 = var(residual_t - residual_c) / n_customers

    customers           moments of all customers, those with no draw in an arm counting 0 there
    treatment, control  names of the columns (total, number of draws) of each arm; the covariances
                        of all four must be among the moments

    Source: Deng, Knoblich & Lu (2018), KDD, with both arms' ratios from the same rows.
    """
    columns = [*treatment, *control]
    require_two(customers.count, treatment[0])
    means = [_ratio(customers, *arm) for arm in (treatment, control)]
    slopes = np.zeros((2, 4))
    for i, (mean, draws) in enumerate(means):
        slopes[i, 2 * i : 2 * i + 2] = (1 / draws, -mean / draws)
    spread = slopes @ customers.covariance_matrix(columns) @ slopes.T / customers.count
    root = _root(spread)
    arms = [
        ArmMean(
            value=mean,
            rest=0.0,
            variance=0.0,
            df=customers.count - 1,
            n_units=draws * customers.count,
            shared=root[i],
        )
        for i, (mean, draws) in enumerate(means)
    ]
    return contrast(*arms, confidence=confidence, shared_df=customers.count - 1)


def covariances_of_arms(arms: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The covariances that `crossed` needs between any two of these arms."""
    names = [name for arm in arms for name in arm]
    return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]


def _ratio(customers: Moments, total: str, draws: str) -> tuple[float, float]:
    base = customers.mean_of(draws)
    if base == 0:
        raise DataError(
            f"No customer has a draw in {draws!r}. Check the assignment.",
            code="ARM_MISSING",
            column=draws,
        )
    return customers.mean_of(total) / base, base


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
