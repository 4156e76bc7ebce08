"""Are the arms alike in what was known before? Covariates, and the metric itself before the test.

Random assignment leaves differences between arms that chance explains; larger ones mean that
something after the draw removed or added units. Where strata or rerandomisation made the arms more
alike than chance does, the p values are too large: such a draw raises fewer false alarms than it
may, and a true one is as loud as ever.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from uplift.checks import Check
from uplift.inference.means import Estimate, welch
from uplift.inference.moments import Moments
from uplift.inference.multiplicity import holm
from uplift.inference.ratios import ratio

ALARM_P_VALUE = 1e-4  # after Holm, over all covariates and arms
BIAS_P_VALUE = 0.001  # one test per metric, as strict as that of the sample ratio


@dataclass(frozen=True)
class Balance:
    """How one covariate differs between a treatment and the control.

    difference  standardised: difference in means / pooled standard deviation
    p_value     of no difference (by cluster where clusters were drawn), adjusted by Holm
    """

    covariate: str
    arm: str
    control_mean: float
    treatment_mean: float
    difference: float
    p_value: float


def balance_of_moments(
    treatments: Mapping[str, Moments],
    control: Moments,
    *,
    covariates: Sequence[str],
    units: str | None = None,
) -> tuple[Balance, ...]:
    """Each covariate in each treatment against the control; p values adjusted by Holm.

    treatments  moments by arm
    units       column of units per cluster, where the moments are of clusters' totals; the
                difference is then not standardised (nan), because totals do not say how units vary
    """
    found = [
        _by_unit(name, arm, moments, control)
        if units is None
        else _by_cluster(name, arm, moments, control, units)
        for name in covariates
        for arm, moments in treatments.items()
    ]
    return adjusted_balance(found)


def adjusted_balance(found: Iterable[Balance]) -> tuple[Balance, ...]:
    """The rows with p values adjusted by Holm over all of them."""
    rows = list(found)
    adjusted = holm([row.p_value for row in rows])
    return tuple(replace(row, p_value=float(p)) for row, p in zip(rows, adjusted, strict=True))


def compared_means(
    *,
    covariate: str,
    arm: str,
    control_mean: float,
    treatment_mean: float,
    spread: float,
    std_error: float,
    df: float = math.inf,
) -> Balance:
    """One covariate in one arm, its p value not yet adjusted.

    Where nothing varies, any difference is one (p = 0); nan where an arm has no mean.

    spread     pooled standard deviation of the covariate
    std_error  of the difference in means
    """
    gap = treatment_mean - control_mean
    if std_error == 0:
        p_value = 1.0 if gap == 0 else 0.0
    else:
        p_value = float(2 * stats.t.sf(abs(gap) / std_error, df))
    return Balance(
        covariate=covariate,
        arm=arm,
        control_mean=control_mean,
        treatment_mean=treatment_mean,
        difference=gap / spread if spread > 0 else (0.0 if gap == 0 else float("nan")),
        p_value=p_value,
    )


def pooled_spread(variance: float, other: float) -> float:
    """Standard deviation by which a difference in means is standardised: of the mean variance."""
    return math.sqrt((variance + other) / 2)


def check_balance(balance: Iterable[Balance], *, name: str = "balance") -> list[Check]:
    """The least balanced covariate; one check, blocking as a sample ratio mismatch is."""
    tested = [one for one in balance if np.isfinite(one.p_value)]
    if not tested:
        return []
    worst = min(tested, key=lambda one: one.p_value)
    return [
        Check(
            name,
            passed=worst.p_value >= ALARM_P_VALUE,
            value=worst.p_value,
            bound=ALARM_P_VALUE,
            remedy=f"{worst.covariate} differs between {worst.arm} and control by more than "
            "chance explains: look for units removed or added after the draw.",
            code=name.upper(),
        )
    ]


def check_before(before: Estimate, *, metric: str, arm: str) -> Check:
    """Whether a metric differed between the arms before anything was sent (an A/A test).

    before  the estimate of the metric, made as in the test, on the time before assignment
    """
    estimable = math.isfinite(before.p_value)
    return Check(
        "pre_period_bias",
        passed=not estimable or before.p_value >= BIAS_P_VALUE,
        value=before.p_value if estimable else None,
        bound=BIAS_P_VALUE,
        remedy=f"{metric} of {arm} differed from the control by {before.effect:.4g} before the "
        "test. Look for units removed or added after the draw, an arm that was chosen by hand, or "
        "an earlier test that still works on. An adjustment for the time before does not repair "
        "a broken draw.",
        code="PRE_PERIOD_BIAS",
    )


def _by_unit(name: str, arm: str, treatment: Moments, control: Moments) -> Balance:
    if min(treatment.count, control.count) < 2:
        return _untested(name, arm)
    found = welch(treatment, control, column=name)
    return compared_means(
        covariate=name,
        arm=arm,
        control_mean=found.control_mean,
        treatment_mean=found.treatment_mean,
        spread=pooled_spread(treatment.variance(name), control.variance(name)),
        std_error=found.std_error,
        df=found.df,
    )


def _by_cluster(name: str, arm: str, treatment: Moments, control: Moments, units: str) -> Balance:
    if min(treatment.count, control.count) < 2:
        return _untested(name, arm)
    found = ratio(treatment, control, numerator=name, denominator=units)
    row = compared_means(
        covariate=name,
        arm=arm,
        control_mean=found.control_mean,
        treatment_mean=found.treatment_mean,
        spread=float("nan"),
        std_error=found.std_error,
        df=found.df,
    )
    return replace(row, difference=float("nan"))


def _untested(name: str, arm: str) -> Balance:
    nothing = float("nan")
    return Balance(name, arm, nothing, nothing, nothing, nothing)
