"""Sample ratio mismatch: did each arm receive the share of units it was designed to?

Read before any effect: a mismatch makes every effect of the experiment untrustworthy.
Source: Fabijan et al. (2019), "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments",
KDD.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from uplift.checks import Check
from uplift.errors import DataError

ALARM_P_VALUE = 0.001  # strict, because every experiment is checked on every look
REMEDY = (
    "No effect of this experiment can be trusted. Look for: units lost or filtered after the draw, "
    "an arm that was delivered differently, joins that drop rows, bots, a restarted assignment."
)


def check_sample_ratio(counts: Mapping[str, int], *, shares: Mapping[str, float]) -> Check:
    """Compare randomised units per arm with the designed shares (chi-squared test).

        sum over arms of (count - expected)^2 / expected, with n_arms - 1 degrees of freedom

    counts  units per arm (clusters, where clusters were randomised); an arm that is not named got 0
    shares  designed, above 0; they are scaled to add up to 1, and arms of share 0 are left out
    """
    planned = {arm: share for arm, share in shares.items() if share > 0}
    observed = {arm: counts.get(arm, 0) for arm in planned}
    if sum(observed.values()) == 0:
        raise DataError(
            "No arm of the experiment received a unit. Check that the assignment is the one of "
            "this experiment.",
            code="EMPTY_INPUT",
        )
    p_value = chi_squared_p_value(list(observed.values()), list(planned.values()))
    return Check(
        "sample_ratio",
        passed=p_value >= ALARM_P_VALUE,
        value=p_value,
        bound=ALARM_P_VALUE,
        remedy=shortfall_remedy(observed, planned),
        code="SRM",
    )


def chi_squared_p_value(counts: Sequence[float], weights: Sequence[float]) -> float:
    """The chi-squared test alone, on numbers.

    Arms of weight 0 are left out. With fewer than two arms, or no unit at all, there is nothing
    out of proportion: 1. Weights without a count (a shorter list of counts) are left out as well;
    an arm that got nobody must be given as 0.
    """
    pairs = [(n, w) for n, w in zip(counts, weights, strict=False) if w > 0]
    observed = np.array([n for n, _ in pairs], dtype=np.float64)
    if len(pairs) < 2 or observed.sum() == 0:
        return 1.0
    share = np.array([w for _, w in pairs], dtype=np.float64)
    expected = share * observed.sum() / share.sum()
    return float(stats.chisquare(observed, expected).pvalue)


def binomial_p_value(
    n_control: int,
    n_treatment: int,
    *,
    ratio: float = 1.0,
    exact: bool = True,
    continuity_correction: bool = True,
) -> float:
    """Two arms against their designed ratio: p-value of the exact binomial test, or its normal one.

        treatment ~ binomial(n, ratio / (1 + ratio))

    The exact test is for arms of some hundred units or fewer, and adds up every outcome that is
    no more probable than the one seen.

    ratio                  designed treatment units per control unit
    continuity_correction  of the normal one: half a unit towards the design
    """
    n, share = n_control + n_treatment, ratio / (1 + ratio)
    if n == 0:
        return 1.0
    if exact:
        return float(stats.binomtest(n_treatment, n, share).pvalue)
    away = abs(n_treatment - n * share)
    if continuity_correction:
        away = max(away - 0.5, 0.0)
    return float(2 * stats.norm.sf(away / np.sqrt(n * share * (1 - share))))


def shortfall_remedy(counts: Mapping[str, int], shares: Mapping[str, float]) -> str:
    """Units per arm beside those expected, and what to look for."""
    n_units, total = sum(counts.values()), sum(shares.values())
    parts = [
        f"{arm} {int(counts[arm]):,} of {n_units * share / total:,.0f} expected"
        for arm, share in shares.items()
    ]
    return f"Units per arm: {', '.join(parts)}. {REMEDY}"
