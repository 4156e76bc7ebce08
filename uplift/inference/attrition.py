"""Outcomes that are missing: do the arms lose alike, and what could the lost have hidden?

When the arms lose different shares, those left are no longer alike, and no reading of them alone is
an effect. What can be said without guessing who was lost are bounds: every missing outcome at its
lowest or highest possible value, against the arm at the other end.
Source: Horowitz & Manski (2000), JASA 95(449), for the bounds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from uplift.checks import Check
from uplift.errors import DataError, DefinitionError
from uplift.inference.leaks import bounds_interval
from uplift.inference.means import Estimate, welch
from uplift.inference.moments import Moments

ALARM_P_VALUE = 0.001  # as strict as the sample ratio: both say that the arms are not alike


def attrition_p_value(assigned: Mapping[str, int], analysed: Mapping[str, int]) -> float:
    """Whether every arm lost the same share of units (chi-squared test of independence).

    1 when nobody was lost; nan when an arm has no unit.
    """
    kept, lost = _kept_and_lost(assigned, analysed)
    if not lost.any() or not kept.any():
        return 1.0
    if not (kept + lost).all():
        return float("nan")
    return float(stats.chi2_contingency([kept, lost], correction=False).pvalue)


def check_attrition(assigned: Mapping[str, int], analysed: Mapping[str, int]) -> Check:
    """A blocking check: arms that lost different shares of their units have no verdict.

    assigned, analysed  units by arm
    """
    p_value = attrition_p_value(assigned, analysed)
    shares = ", ".join(
        f"{arm} {count - analysed.get(arm, 0):,} of {count:,}" for arm, count in assigned.items()
    )
    return Check(
        "outcome_attrition",
        passed=not p_value < ALARM_P_VALUE,
        value=p_value if math.isfinite(p_value) else None,
        bound=ALARM_P_VALUE,
        remedy=f"Units without an outcome: {shares}. Those left are not alike in all arms; find "
        "out why outcomes are missing.",
        code="OUTCOME_ATTRITION",
    )


@dataclass(frozen=True)
class AttritionBounds:
    """The effect on all who were assigned, whatever the missing outcomes are.

    low, high  the effect with the missing at the values that make it smallest and largest
    ci         covers the effect, wherever in the bounds it lies
    """

    low: Estimate
    high: Estimate
    ci: tuple[float, float]


def attrition_bounds(
    treatment: Moments,
    control: Moments,
    *,
    column: str,
    lost_treatment: int,
    lost_control: int,
    lowest: float,
    highest: float,
    confidence: float = 0.95,
) -> AttritionBounds:
    """Bounds from the moments of those left, and how many were lost.

    lowest, highest  of any unit's outcome: 0 and 1 for a proportion, 0 and a cap for spend
    """
    if not lowest < highest:
        raise DefinitionError(
            f"The lowest outcome must be below the highest, got {lowest} and {highest}.",
            code="LIMITS_INVALID",
        )
    low = welch(
        _filled(treatment, column, lost_treatment, lowest),
        _filled(control, column, lost_control, highest),
        column=column,
        confidence=confidence,
    )
    high = welch(
        _filled(treatment, column, lost_treatment, highest),
        _filled(control, column, lost_control, lowest),
        column=column,
        confidence=confidence,
    )
    return AttritionBounds(low, high, bounds_interval(low, high, confidence=confidence))


def _filled(moments: Moments, column: str, n_lost: int, value: float) -> Moments:
    """The arm's moments of one column with `n_lost` more units of one value."""
    i = moments.index(column)
    own = moments.comoment[[moments.pairs.index((i, i))]]
    seen = Moments((column,), ((0, 0),), moments.count, moments.mean[[i]], own, moments.rest[[i]])
    if n_lost == 0:
        return seen
    none = np.zeros(1)
    return seen + Moments((column,), ((0, 0),), float(n_lost), np.array([value]), none, none)


def _kept_and_lost(
    assigned: Mapping[str, int], analysed: Mapping[str, int]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]:
    everyone = np.array([assigned[arm] for arm in assigned], dtype=np.int64)
    kept = np.array([analysed.get(arm, 0) for arm in assigned], dtype=np.int64)
    if (kept > everyone).any():
        raise DataError(
            f"More units were analysed ({dict(analysed)}) than assigned ({dict(assigned)}) in an "
            "arm. Check the join of outcomes and assignment.",
            code="EXPOSED_UNASSIGNED",
        )
    return kept, everyone - kept
