"""What a replay proves at each look: the rule of the analysis, with p-values that are quick."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
from scipy import stats

from uplift.analysis.columns import GROSS
from uplift.analysis.effects import GUARDRAIL, EffectRow
from uplift.analysis.looks import LookRule, look_rule
from uplift.analysis.money import Money
from uplift.experiment import Experiment
from uplift.inference.planned_looks import shares_of_error
from uplift.looks import last_day

ROUNDING = 1e-9  # so that a p-value at an error stays below it whatever it is multiplied with


@dataclass(frozen=True)
class QuickRule(LookRule):
    """The analysis' rule of one look, with p-values that are right where they decide.

    Those of `LookRule` are searched for, which takes too long a thousand times. Here a p-value is
    the smallest error that a rank of the family may use and whose bound is reached, else 1; it is
    at most such an error exactly when the searched one is.

    reached  by error, the plain p-value that reaches its bound at this look, smallest error first
    bounds   by error, the bounds that intervals are read at; searched once for all replays
    """

    reached: tuple[tuple[float, float], ...] = ()
    bounds: Mapping[float, float] = field(default_factory=dict)

    def bound(self, alpha: float) -> float:
        """What |z| of a two-sided test with the error alpha must reach at this look."""
        return self.bounds[alpha] if alpha in self.bounds else super().bound(alpha)

    def p_value(self, p_value: float, *, test: str, gain: bool = True) -> float:
        """One of the errors, or 1."""
        if np.isnan(p_value):
            return p_value
        reached = (error for error, level in self.reached if p_value <= level)
        return min(next(reached, 1.0) * (1 - ROUNDING), self.before.get((test, gain), 1.0))


def rule_at(experiment: Experiment, day: int) -> LookRule:
    """The analysis' rule of a planned look, the looks before it being those of the plan."""
    schedule = experiment.schedule
    moment = schedule.launch_at + timedelta(days=day)
    as_of = None if day == last_day(experiment) else moment  # clocks may change in between
    return look_rule(experiment, as_of=as_of, n_mature=0, planned_units=None, earlier=None)


def quick(experiment: Experiment, rule: LookRule) -> LookRule:
    """The same rule with quick p-values; a plain one as it is."""
    if rule.plain:
        return rule
    analysis = experiment.analysis
    alpha, n_treatments = 1 - analysis.confidence, len(experiment.treatments)
    tested = [
        planned
        for role, planned in experiment.metrics.with_roles()
        if role != GUARDRAIL and not planned.metric.delivery
    ]
    errors = {alpha}
    for n_tests in (len(tested) * n_treatments, n_treatments):  # of the metrics, and of the money
        errors |= set((alpha * shares_of_error(n_tests, analysis.correction)).tolist())
    of_intervals = {alpha, 1 - (2 * analysis.confidence - 1)}  # two-sided, and of guardrails
    bounds = {error: rule.bound(error) for error in errors | of_intervals}
    reached = [(error, float(2 * stats.norm.sf(bounds[error]))) for error in sorted(errors)]
    return QuickRule(**vars(rule), reached=tuple(reached), bounds=bounds)


def proven_before(
    known: Mapping[tuple[str, bool], float], rows: Sequence[EffectRow], money: Money
) -> dict[tuple[str, bool], float]:
    """What `LookRule.before` is for the look after one with these rows."""
    estimates = {f"{row.metric} by {row.treatment}": row.estimate for row in rows}
    estimates |= {f"{GROSS} by {row.arm}": row.profit for row in money.rows}
    found = {(test, one.effect > 0): one.p_value for test, one in estimates.items()}
    return {**known, **{key: float(np.fmin(p, known.get(key, 1.0))) for key, p in found.items()}}
