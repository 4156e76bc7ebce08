"""Student's t, by the functions that `scipy.stats` calls, which load in a fraction of its time.

An estimate from moments is often the only thing a process computes; loading all distributions took
it longer than reading a million rows.
"""

import math


def t_quantile(probability: float, df: float) -> float:
    """The value that is exceeded with probability 1 - `probability`; df may be infinite."""
    from scipy.special import stdtrit

    if not (df > 0 and 0 <= probability <= 1):
        return math.nan
    if probability in (0.0, 1.0):
        return math.copysign(math.inf, probability - 0.5)
    return float(stdtrit(df, probability))


def t_tail(value: float, df: float) -> float:
    """Probability of more than `value`; df may be infinite."""
    from scipy.special import stdtr

    return float(stdtr(df, -value)) if df > 0 else math.nan
