"""What an experiment can answer, before a single message is sent: effect, power, units, money.

Every figure follows from the definition, the number of eligible units and the baseline of each
metric. Only the false alarms of a very skewed metric may be simulated, from a fixed seed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.inference.power_rules import power_per_test
from uplift.sizing.answers import Answer
from uplift.sizing.baseline import Baseline, baseline_of
from uplift.sizing.comparison import (
    Comparison,
    holdout_options,
    n_tests,
    one_test_confidence,
    wanted_power,
)
from uplift.sizing.factors import FactorAnswer, cost_of_interactions, factor_answers
from uplift.sizing.history import eligible_history
from uplift.sizing.money import arm_plan, holdout_cost
from uplift.sizing.plan_checks import design_checks
from uplift.sizing.result import Design
from uplift.sizing.revenue import revenue_rows
from uplift.sizing.timing import timing_of, units_of_trigger
from uplift.sizing.way import Plan
from uplift.sizing.ways import ways_to_answer_more
from uplift.sizing.ways_from_history import candidate_covariates

MIN_ARM_UNITS = 2  # below, an arm has no spread
CURVE_POINTS = 25
CURVE_REACH = (0.1, 1.5)  # of the larger of planned and needed units

Baselines = dict[str, Baseline]


def design(
    experiment: Experiment,
    history: Any = None,
    *,
    n_units: int | None = None,
    power: float | None = None,
    inflow_per_day: float | None = None,
    covariates: Sequence[str] | None = None,
) -> Design:
    """Plan an experiment.

    history         any table with one row per customer: the audience's columns and, as far as there
                    are any, the metrics' own columns or covariates (see `baseline_of`), and the
                    cluster's
    n_units         units that will be assigned; without it, the eligible customers of history, or
                    those who flow in until a trigger ends
    power           wanted probability that a treatment with the smallest effect worth acting on is
                    proven and all its guardrails hold; the definition's when not given
    inflow_per_day  eligible customers who enter a trigger on a usual day
    covariates      columns of history from before the send that could adjust the primary metric;
                    those called `…_before` when not given

    Errors: DESIGN_UNITS (neither history nor n_units), BASELINE_MISSING, BASELINE_INVALID,
    EFFECT_INVALID, ARM_TOO_SMALL, AUDIENCE_COLUMN, INFLOW_INVALID, PROBABILITY_INVALID.
    """
    power = wanted_power(experiment, power)
    audience = None if history is None else eligible_history(experiment, history)
    if n_units is None and inflow_per_day is not None:
        n_units = units_of_trigger(experiment, inflow_per_day)
    n_assigned = _units(experiment, audience, n_units)
    timing = timing_of(experiment, n_assigned, inflow_per_day)
    baselines = {
        planned.metric.key: baseline_of(
            planned,
            audience,
            cluster=experiment.cluster,
            covariates=experiment.analysis.covariates,
        )
        for _, planned in experiment.metrics.with_roles()
        if planned.metric.kind != "quantile"
    }
    comparisons = _comparisons(experiment, baselines, n_assigned, power)
    answers = tuple(comparison.answer() for comparison in comparisons)
    arms = tuple(arm_plan(experiment, arm, baselines, n_assigned) for arm in experiment.arms)
    primary = baselines[experiment.primary.key]
    hardest = _hardest(comparisons, answers)
    revenue = tuple(revenue_rows(comparisons, answers))
    given = covariates if covariates is not None else candidate_covariates(hardest, audience)
    ways, no_ways = ways_to_answer_more(Plan(hardest, arms, audience, given))
    return Design(
        experiment=experiment.id,
        digest=experiment.digest,
        currency=experiment.money.currency,
        n_units=n_assigned,
        power=power,
        n_tests=n_tests(experiment),
        confidence=one_test_confidence(experiment),
        arms=arms,
        answers=answers,
        holdout_options=tuple(
            holdout_options(experiment, primary, n_units=n_assigned, power=power)
        ),
        holdout_cost=holdout_cost(arms),
        checks=tuple(design_checks(experiment, audience, answers, arms, revenue)),
        timing=timing,
        revenue=revenue,
        factors=_factors(experiment, hardest, power),
        interaction_cost=_interaction_cost(experiment),
        ways=ways,
        no_ways=no_ways,
        power_curve=_power_curve(hardest),
    )


def _units(experiment: Experiment, audience: pd.DataFrame | None, n_units: int | None) -> int:
    if n_units is None and audience is None:
        raise DefinitionError(
            f"{experiment.id}: the number of units is not known. Give history (customers, one row "
            "each) or n_units.",
            code="DESIGN_UNITS",
        )
    found = len(audience) if n_units is None and audience is not None else n_units
    if found is None or min(round(found * arm.share) for arm in experiment.arms) < MIN_ARM_UNITS:
        smallest = min(experiment.arms, key=lambda arm: arm.share)
        raise DefinitionError(
            f"{experiment.id}: {found} eligible units leave fewer than {MIN_ARM_UNITS} in "
            f"{smallest.name!r}. Widen the audience or raise the share.",
            code="ARM_TOO_SMALL",
        )
    return int(found)


def _comparisons(
    experiment: Experiment, baselines: Baselines, n_units: int, power: float
) -> tuple[Comparison, ...]:
    """Every metric of every treatment, primary first."""
    return tuple(
        Comparison(experiment, role, planned, baselines[planned.metric.key], arm, n_units, power)
        for role, planned in experiment.metrics.with_roles()
        if planned.metric.kind != "quantile"
        for arm in experiment.treatments
    )


def _hardest(comparisons: Sequence[Comparison], answers: Sequence[Answer]) -> Comparison:
    """The primary metric of the treatment with the largest smallest effect."""
    pairs = [(c, a) for c, a in zip(comparisons, answers, strict=True) if a.role == "primary"]
    return max(pairs, key=lambda pair: pair[1].mde)[0]


def _factors(experiment: Experiment, hardest: Comparison, power: float) -> tuple[FactorAnswer, ...]:
    if not experiment.factors:
        return ()
    return factor_answers(
        experiment,
        hardest.baseline,
        n_units=hardest.n_units,
        power=power_per_test(power, n_guardrails=len(experiment.metrics.guardrails)),
        sought=hardest.sought,
    )


def _interaction_cost(experiment: Experiment) -> float | None:
    return cost_of_interactions(experiment) if len(experiment.factors) > 1 else None


def _power_curve(hardest: Comparison) -> tuple[tuple[int, float], ...]:
    """Power of the hardest comparison from a tenth of the units to beyond what is needed."""
    sought = hardest.sought
    if not sought:
        return ()
    needed = hardest.proof.units_needed(sought, hardest.test_power)
    reach = max(hardest.n_units, needed)
    low, high = (reach * end for end in CURVE_REACH)
    fewest = MIN_ARM_UNITS / min(hardest.shares)
    found = []
    for i in range(CURVE_POINTS):
        n = round(low + (high - low) * i / (CURVE_POINTS - 1))
        if n >= 2 * fewest:
            found.append((n, replace(hardest.proof, n_units=n).power(sought)))
    return tuple(found)
