"""Power where one test is not alone: several arms, several metrics, guardrails, a rule to ship.

The rule planned for: ship an arm when at least one success metric is proven better and every
guardrail is proven not worse than its margin. Success metrics share the error between them and the
arms. Guardrails must all hold, so they cost no error, but power: each test gets
1 - (1 - power) / (n_guardrails + 1).
Source: Schultzberg, Ankargren & Frånberg (2024), "Risk-aware product decisions in A/B tests with
multiple metrics"; Fleiss, Levin & Paik (2003), chapter 4; Dunnett (1955), JASA 50(272).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from uplift.errors import DefinitionError
from uplift.inference.power import bernoulli_variance

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PlannedTest:
    """One metric of the rule, against control.

    effect     the smallest worth finding, absolute and signed (a success metric), or the margin
               of a guardrail, absolute and above 0
    proportion a success metric that is a proportion has its treatment's variance at mean + effect;
               a guardrail has the control's on both sides, because it is planned for no difference
    one_sided  only one direction counts; when not given, it does for a guardrail alone
    """

    name: str
    mean: float
    variance: float
    effect: float
    guardrail: bool = False
    proportion: bool = False
    one_sided: bool | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.effect) and self.effect != 0):
            raise DefinitionError(
                f"{self.name!r}: the effect or margin must be a number other than 0, got "
                f"{self.effect}. Give the smallest that matters.",
                code="EFFECT_INVALID",
            )
        if not self.variance >= 0:
            raise DefinitionError(
                f"{self.name!r}: the variance must be 0 or more, got {self.variance}.",
                code="VARIANCE_INVALID",
            )

    @property
    def treatment_variance(self) -> float:
        """Variance of the treatment arms if the effect is there."""
        if self.guardrail or not self.proportion:
            return self.variance
        return bernoulli_variance(self.mean + self.effect)


def power_per_test(power: float, *, n_guardrails: int, n_success: int = 1) -> float:
    """Power of each test so that the rule as a whole has `power` when all its parts are true.

    1 - (1 - power) / (n_guardrails + 1), without the 1 when there is no success metric
    """
    n_tests = n_guardrails + (1 if n_success else 0)
    return 1 - (1 - power) / max(n_tests, 1)


def error_per_test(alpha: float, *, n_success: int, n_treatments: int) -> float:
    """Error of each success metric's test: alpha shared by success metrics times treatments."""
    return alpha / max(1, n_success * n_treatments)


def required_units_of_rule(
    tests: Sequence[PlannedTest],
    *,
    weights: Sequence[float],
    alpha: float = 0.05,
    power: float = 0.8,
) -> Array:
    """Units of the whole experiment that each metric of the rule needs; the plan is their maximum.

        max over treatments of (z_error + z_power)^2 (v_c / share_c + v_t / share_t) / effect^2

    alpha    one-sided for one-sided tests (guardrails), two-sided for the others, shared
             between the success metrics and treatments; guardrails are shared alike, which is what
             the published rule does and errs on the safe side
    weights  (n_arms,)   control first; scaled to add up to 1
    returns  (n_tests,)
    """
    shares = _shares(weights)
    z = np.array([_z_sum(test, tests, len(shares) - 1, alpha, power) for test in tests])
    return np.array(
        [
            factor**2 * _largest_variance(test, shares) / test.effect**2
            for factor, test in zip(z, tests, strict=True)
        ]
    )


def power_of_rule(
    tests: Sequence[PlannedTest],
    *,
    n_units: float,
    weights: Sequence[float],
    alpha: float = 0.05,
) -> Array:
    """Power of each metric's test with the weakest arm at `n_units`, the errors as in the rule.

    Returns (n_tests,). That all guardrails hold and a success metric wins has at least a
    probability of 1 - sum of (1 - power) over the guardrails and the success metric.
    """
    shares = _shares(weights)
    errors = [_error(test, tests, len(shares) - 1, alpha) for test in tests]
    spread = np.array([_largest_variance(test, shares) for test in tests]) / n_units
    shift = np.abs([test.effect for test in tests]) / np.sqrt(spread)
    return np.asarray(stats.norm.cdf(shift - stats.norm.isf(errors)))


def rule_weights(
    tests: Sequence[PlannedTest],
    *,
    n_treatments: int,
    alpha: float = 0.05,
    power: float = 0.8,
    control_advantage: float = 1.0,
) -> tuple[tuple[float, ...], float]:
    """Weights (control first) at which the rule needs the fewest units, and these units.

    Treatments share equally and control gets `control_advantage` times a ratio near
    sqrt(v_c / v_t), searched between the metrics' own ratios.

    control_advantage  1 gives the published rule's weights; sqrt(n_treatments) is best where every
                       treatment is compared with one control (Dunnett 1955)
    """
    ratios = [_own_ratio(test) for test in tests]
    low, high = control_advantage * min(ratios), control_advantage * max(ratios)

    def units(ratio: float) -> float:
        weights = (ratio, *([1.0] * n_treatments))
        return float(
            np.max(required_units_of_rule(tests, weights=weights, alpha=alpha, power=power))
        )

    best = low
    if high > low:
        found = optimize.minimize_scalar(units, bounds=(low, high), method="bounded")
        best = min((low, high, float(found.x)), key=units)
    total = best + n_treatments
    return (best / total, *([1 / total] * n_treatments)), units(best)


def required_units_of_arms(
    effect: float,
    *,
    variance: float,
    weights: Sequence[float],
    confidence: float = 0.95,
    power: float = 0.8,
    all_treatments: bool = True,
) -> float:
    """Units of the whole experiment with several arms of one variance.

    all_treatments  every treatment against control has at least `power` (the smallest arm rules);
                    False plans the average effect that can be found: the mean of the comparisons'
                    standard errors, as in Duflo, Glennerster & Kremer (2007)
    """
    shares = _shares(weights)
    errors = np.sqrt(variance / shares[0] + variance / shares[1:])
    error = float(np.max(errors) if all_treatments else np.mean(errors))
    z = stats.norm.ppf(0.5 + confidence / 2) + stats.norm.ppf(power)
    return float((z * error / effect) ** 2)


def best_shares(
    *,
    control_variance: float = 1.0,
    treatment_variances: Sequence[float] = (1.0,),
    control_cost: float = 1.0,
    treatment_costs: Sequence[float] | None = None,
) -> tuple[float, ...]:
    """Shares, control first, at which the comparisons' summed variance is least for the money.

        share_control   ~ sqrt(n_treatments control_variance / control_cost)
        share_treatment ~ sqrt(treatment_variance / treatment_cost)

    cost  of one more unit in the arm: contact and offer, or the profit a held-out unit forgoes

    Source: Neyman (1934) with costs; sqrt(n_treatments) for one control is Dunnett (1955).
    """
    variances = np.asarray(treatment_variances, dtype=np.float64)
    costs = np.ones_like(variances) if treatment_costs is None else np.asarray(treatment_costs)
    if not (control_cost > 0 and np.all(costs > 0)):
        raise DefinitionError(
            f"Costs must be above 0, got {control_cost} and {costs.tolist()}. "
            "Use 1 for all when they do not differ.",
            code="COST_INVALID",
        )
    control = math.sqrt(len(variances) * control_variance / control_cost)
    weights = np.concatenate([[control], np.sqrt(variances / costs)])
    return tuple(float(share) for share in weights / weights.sum())


def _error(
    test: PlannedTest, tests: Sequence[PlannedTest], n_treatments: int, alpha: float
) -> float:
    """Error in the tail that is looked at."""
    n_success = sum(not other.guardrail for other in tests)
    shared = error_per_test(alpha, n_success=n_success, n_treatments=n_treatments)
    one_sided = test.guardrail if test.one_sided is None else test.one_sided
    return shared if one_sided else shared / 2


def _z_sum(
    test: PlannedTest,
    tests: Sequence[PlannedTest],
    n_treatments: int,
    alpha: float,
    power: float,
) -> float:
    guardrails = sum(other.guardrail for other in tests)
    each = power_per_test(power, n_guardrails=guardrails, n_success=len(tests) - guardrails)
    return float(stats.norm.isf(_error(test, tests, n_treatments, alpha)) + stats.norm.ppf(each))


def _largest_variance(test: PlannedTest, shares: Array) -> float:
    return float(np.max(test.variance / shares[0] + test.treatment_variance / shares[1:]))


def _own_ratio(test: PlannedTest) -> float:
    treated = test.treatment_variance
    return math.sqrt(test.variance / treated) if test.variance > 0 and treated > 0 else 1.0


def _shares(weights: Sequence[float]) -> Array:
    shares = np.asarray(weights, dtype=np.float64)
    if len(shares) < 2 or not np.all(shares > 0):
        raise DefinitionError(
            f"Weights must be above 0 for the control and at least one treatment, got {weights}.",
            code="WEIGHTS_INVALID",
        )
    return np.asarray(shares / shares.sum())
