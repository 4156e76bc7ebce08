"""Power of Welch's t test by the noncentral t distribution: for arms too small for the normal one.

Effects are absolute, in the unit of the metric, treatment minus control. With thousands of units
per arm the answers are those of `power.py`.
Source: Cohen (1988), "Statistical Power Analysis", chapter 2; Welch (1947), Biometrika 34.
"""

import math
from typing import Literal

from scipy import optimize, stats

from uplift.errors import DefinitionError

Alternative = Literal["two-sided", "greater", "less"]

LARGEST_UNITS = 1e15  # beyond it nothing is a plan


def power_mean_nct(
    effect: float,
    *,
    n_control: float,
    n_treatment: float,
    control_variance: float,
    treatment_variance: float | None = None,
    confidence: float = 0.95,
    alternative: Alternative = "two-sided",
) -> float:
    """Probability that Welch's t test finds a true `effect`, on the side(s) it looks at.

        P(T > t_(1 - a)),  T noncentral t with Welch's degrees of freedom and effect / std_error

    alternative  "two-sided" counts both tails, each with half of the error; "greater" and "less"
                 look at one side with the whole of it
    """
    _check_alternative(alternative)
    if not 0 < confidence < 1:
        raise DefinitionError(
            f"confidence must be between 0 and 1, got {confidence}. Usual: 0.95.",
            code="PROBABILITY_INVALID",
        )
    treated = control_variance if treatment_variance is None else treatment_variance
    error, df = _welch(n_control, n_treatment, control_variance, treated)
    shift = effect / error
    if alternative == "greater":
        return _upper_tail(confidence, df, shift)
    if alternative == "less":
        return _upper_tail(confidence, df, -shift)
    half = 0.5 + confidence / 2
    return _upper_tail(half, df, shift) + _upper_tail(half, df, -shift)


def detectable_effect_nct(
    *,
    n_control: float,
    n_treatment: float,
    control_variance: float,
    treatment_variance: float | None = None,
    confidence: float = 0.95,
    power: float = 0.8,
    alternative: Alternative = "two-sided",
) -> float:
    """Effect that `power_mean_nct` finds with probability `power`; below 0 for "less"."""
    _check_power(power, confidence)
    treated = control_variance if treatment_variance is None else treatment_variance
    error, _ = _welch(n_control, n_treatment, control_variance, treated)
    sign = -1.0 if alternative == "less" else 1.0

    def shortfall(size: float) -> float:
        found = power_mean_nct(
            sign * size * error,
            n_control=n_control,
            n_treatment=n_treatment,
            control_variance=control_variance,
            treatment_variance=treated,
            confidence=confidence,
            alternative=alternative,
        )
        return found - power

    upper = 4.0
    while shortfall(upper) < 0:
        upper *= 2
    return sign * error * float(optimize.brentq(shortfall, 0.0, upper, xtol=1e-13, rtol=1e-13))


def required_units_nct(
    effect: float,
    *,
    control_variance: float,
    treatment_variance: float | None = None,
    ratio: float = 1.0,
    confidence: float = 0.95,
    power: float = 0.8,
    alternative: Alternative = "two-sided",
) -> int:
    """Units of both arms together at which `effect` is found with probability `power`.

    The arms hold n / (1 + ratio) control and n ratio / (1 + ratio) treatment units; the answer is
    the n of that equation, rounded up.

    ratio  treatment units per control unit
    """
    _check_power(power, confidence)
    wrong_side = (alternative == "greater" and effect < 0) or (alternative == "less" and effect > 0)
    if not (math.isfinite(effect) and effect != 0) or wrong_side:
        raise DefinitionError(
            f"An effect of {effect} cannot be found by a test that looks for "
            f"{alternative!r}. Give one other than 0, on the side the test looks at.",
            code="EFFECT_INVALID",
        )
    if not ratio > 0:
        raise DefinitionError(
            f"ratio (treatment units per control unit) must be above 0, got {ratio}.",
            code="WEIGHTS_INVALID",
        )

    def shortfall(log_units: float) -> float:
        n = math.exp(log_units)
        found = power_mean_nct(
            effect,
            n_control=n / (1 + ratio),
            n_treatment=n * ratio / (1 + ratio),
            control_variance=control_variance,
            treatment_variance=treatment_variance,
            confidence=confidence,
            alternative=alternative,
        )
        return found - power

    smallest = math.log(2 * (1 + ratio) * max(1.0, 1 / ratio))  # 2 units in the smaller arm
    if shortfall(smallest) >= 0:
        return math.ceil(math.exp(smallest))
    root = optimize.brentq(shortfall, smallest, math.log(LARGEST_UNITS), xtol=1e-13, rtol=1e-13)
    return math.ceil(math.exp(root) - 1e-6)


def _welch(
    n_control: float, n_treatment: float, control_variance: float, treatment_variance: float
) -> tuple[float, float]:
    """Standard error of the difference and Welch's degrees of freedom."""
    if not min(n_control, n_treatment) > 1:
        raise DefinitionError(
            f"A t test needs more than 1 unit in each arm, got {n_control} and {n_treatment}.",
            code="ARM_TOO_SMALL",
        )
    if not (control_variance >= 0 and treatment_variance >= 0) or (
        control_variance == treatment_variance == 0
    ):
        raise DefinitionError(
            f"A variance must be above 0, got {control_variance} and {treatment_variance}.",
            code="VARIANCE_INVALID",
        )
    control, treated = control_variance / n_control, treatment_variance / n_treatment
    total = control + treated
    df = total**2 / (control**2 / (n_control - 1) + treated**2 / (n_treatment - 1))
    return math.sqrt(total), df


def _upper_tail(level: float, df: float, shift: float) -> float:
    """P(T > the central t quantile at `level`) under the noncentrality `shift`."""
    bound = float(stats.t.ppf(level, df))
    if df > 1e6:  # scipy's noncentral t loses its way there, and the normal is exact to 1e-6
        return float(stats.norm.sf(bound - shift))
    tail = float(stats.nct.sf(bound, df, shift))
    return tail if math.isfinite(tail) else float(stats.norm.sf(bound - shift))


def _check_alternative(alternative: str) -> None:
    if alternative not in ("two-sided", "greater", "less"):
        raise DefinitionError(
            f"alternative must be 'two-sided', 'greater' or 'less', got {alternative!r}.",
            code="ALTERNATIVE_INVALID",
        )


def _check_power(power: float, confidence: float) -> None:
    if not 1 - confidence < power < 1:
        raise DefinitionError(
            f"power must be between the error ({1 - confidence:g}) and 1, got {power}. Usual: 0.8.",
            code="PROBABILITY_INVALID",
        )
