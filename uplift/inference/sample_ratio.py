"""Sample ratio mismatch: did each arm receive the share of units it was designed to?

Read before any effect: a mismatch makes every effect of the experiment untrustworthy.
Source: Fabijan et al. (2019), "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments",
KDD.
"""

from collections.abc import Mapping

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
    observed = np.array([counts.get(arm, 0) for arm in planned], dtype=np.float64)
    expected = np.array(list(planned.values())) * observed.sum() / sum(planned.values())
    if observed.sum() == 0:
        raise DataError(
            "No arm of the experiment received a unit. Check that the assignment is the one of "
            "this experiment.",
            code="EMPTY_INPUT",
        )
    several = len(planned) > 1  # one arm cannot be out of proportion
    p_value = float(stats.chisquare(observed, expected).pvalue) if several else 1.0
    return Check(
        "sample_ratio",
        passed=p_value >= ALARM_P_VALUE,
        value=p_value,
        bound=ALARM_P_VALUE,
        remedy=f"{_shortfall(planned, observed, expected)} {REMEDY}",
        code="SRM",
    )


def _shortfall(arms: Mapping[str, float], observed: np.ndarray, expected: np.ndarray) -> str:
    parts = [
        f"{arm} {int(count):,} of {planned:,.0f} expected"
        for arm, count, planned in zip(arms, observed, expected, strict=True)
    ]
    return f"Units per arm: {', '.join(parts)}."
