"""Sample ratio mismatch read every day: a test that may be looked at after every batch of units.

The counts so far are compared under two models: the designed shares, and shares drawn from a
Dirichlet around them. The Bayes factor is a martingale when the design holds, so the smallest
1 / Bayes factor over all looks is a p-value at every one of them.
Source: Lindon & Malek (2022), "Anytime-valid inference for multinomial count data", NeurIPS.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from uplift.checks import Check
from uplift.errors import DataError, DefinitionError
from uplift.inference.sample_ratio import ALARM_P_VALUE, shortfall_remedy

Array = npt.NDArray[np.float64]

CONCENTRATION = 10_000.0  # of the prior: mismatches of about a point are looked for


@dataclass(frozen=True, eq=False)
class SequentialRatio:
    """Evidence after each look.

    log_alternative  (n_looks,)  log probability of the counts, in order, under shares drawn
    log_design       (n_looks,)  and under the designed shares
    """

    log_alternative: Array
    log_design: Array

    @property
    def log_bayes_factor(self) -> Array:
        """Above ln(1 / alpha) at any look, the design is refuted. (n_looks,)."""
        return self.log_alternative - self.log_design

    @property
    def p_values(self) -> Array:
        """Valid at every look: the smallest 1 / Bayes factor until then. (n_looks,)."""
        largest = np.maximum.accumulate(self.log_bayes_factor)
        return np.asarray(np.exp(-np.maximum(largest, 0.0)))


def sequential_ratio(
    counts: Sequence[Sequence[int]] | Array,
    *,
    shares: Sequence[float],
    prior: Sequence[float] | None = None,
    concentration: float = CONCENTRATION,
) -> SequentialRatio:
    """Dirichlet-multinomial against multinomial, batch after batch.

        design       sum over batches of ln(multinomial(counts; shares))
        alternative  sum over batches of ln(Dirichlet-multinomial(counts; prior + counts before))

    counts  (n_looks, n_arms)  new units of each batch; arms of share 0 are left out
    prior   (n_arms,)          Dirichlet parameters; concentration * shares when not given
    """
    weight = np.asarray(shares, dtype=np.float64)
    table = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    if table.shape[1] != len(weight) or not np.all(table >= 0):
        raise DataError(
            f"There must be a count of 0 or more for each of {len(weight)} arms at every look.",
            code="COUNTS_INVALID",
        )
    planned = weight > 0
    weight, table = weight[planned] / weight[planned].sum(), table[:, planned]
    given = concentration * weight if prior is None else np.asarray(prior, dtype=float)[planned]
    if not np.all(given > 0):
        raise DefinitionError(
            f"The prior must be above 0 for every arm, got {given.tolist()}.", code="PRIOR_INVALID"
        )
    n = table.sum(axis=1)
    orders = special.gammaln(n + 1) - special.gammaln(table + 1).sum(axis=1)
    design = orders + special.xlogy(table, weight).sum(axis=1)
    before = given + np.cumsum(table, axis=0) - table
    total = before.sum(axis=1)
    alternative = orders + special.gammaln(total) - special.gammaln(total + n)
    alternative += (special.gammaln(before + table) - special.gammaln(before)).sum(axis=1)
    return SequentialRatio(np.cumsum(alternative), np.cumsum(design))


def bayes_factor(log_alternative: float, log_design: float) -> float:
    """Evidence against the design; inf where it is too large for a number."""
    difference = log_alternative - log_design
    return math.inf if difference > math.log(np.finfo(np.float64).max) else math.exp(difference)


def posterior_mismatch(
    log_alternative: float, log_design: float, *, prior_probability: float = 0.5
) -> float:
    """Probability that the design does not hold, given one before the counts."""
    odds = math.log(prior_probability) - math.log1p(-prior_probability)
    return float(special.expit(log_alternative - log_design + odds))


def check_sample_ratio_so_far(
    batches: Sequence[Mapping[str, int]],
    *,
    shares: Mapping[str, float],
    concentration: float = CONCENTRATION,
) -> Check:
    """As `check_sample_ratio`, for counts looked at after every batch.

    batches  new units per arm of each batch, oldest first
    """
    planned = {arm: share for arm, share in shares.items() if share > 0}
    counts = [[batch.get(arm, 0) for arm in planned] for batch in batches]
    if not counts or sum(map(sum, counts)) == 0:
        raise DataError(
            "No arm of the experiment received a unit. Check that the assignment is the one of "
            "this experiment.",
            code="EMPTY_INPUT",
        )
    found = sequential_ratio(counts, shares=list(planned.values()), concentration=concentration)
    p_value = float(found.p_values[-1])
    totals = dict(zip(planned, map(sum, zip(*counts, strict=True)), strict=True))
    return Check(
        "sample_ratio",
        passed=p_value >= ALARM_P_VALUE,
        value=p_value,
        bound=ALARM_P_VALUE,
        remedy=shortfall_remedy(totals, planned),
        code="SRM",
    )
