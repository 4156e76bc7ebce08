"""Ways to answer more that follow from the plan alone: shares, arms, metrics, looks and size."""

from collections.abc import Iterator
from dataclasses import replace

from uplift.inference.planned_looks import PlannedLooks
from uplift.inference.power_rules import best_shares
from uplift.sizing.way import Plan, Way
from uplift.table import format_value


def larger_control(plan: Plan) -> Iterator[Way]:
    """The control share at which the comparisons' summed variance is least."""
    comparison = plan.comparison
    n_treatments = len(comparison.experiment.treatments)
    best = best_shares(treatment_variances=[1.0] * n_treatments)[0]
    control, treatment = comparison.shares
    if best <= control:
        return
    scale = (1 - best) / (1 - control)
    more = (best - control) * comparison.n_units
    each = plan.profit_per_unit
    yield plan.way(
        "larger control",
        f"a control of {format_value(best, 'share')}",
        plan.relative(replace(comparison.proof, shares=(best, treatment * scale))),
        f"Hold out {format_value(more, 'count')} customers more.",
        price=None if each is None else each * more,
    )


def fewer_arms(plan: Plan) -> Iterator[Way]:
    """The hardest treatment alone, or all of them read as one."""
    comparison = plan.comparison
    treatments = comparison.experiment.treatments
    if len(treatments) < 2:
        return
    control = comparison.shares[0]
    alpha = comparison.proof.alpha * len(treatments)
    found = plan.relative(replace(comparison.proof, shares=(control, 1 - control), alpha=alpha))
    yield plan.way(
        "fewer arms",
        "one treatment",
        found,
        f"Test {comparison.arm.name} alone: nothing is learned about the others.",
    )
    yield plan.way(
        "fewer arms",
        "treatments merged",
        found,
        "Read all treatments as one: whether contacting works, not which treatment works best.",
    )


def fewer_metrics(plan: Plan) -> Iterator[Way]:
    """The primary metric without secondary ones."""
    comparison = plan.comparison
    others = len(comparison.experiment.metrics.secondary)
    if not others:
        return
    shown = "the secondary one is" if others == 1 else f"the {others} secondary ones are"
    yield plan.way(
        "fewer metrics",
        "one metric",
        plan.relative(replace(comparison.proof, alpha=comparison.proof.alpha * (1 + others))),
        f"Test the primary metric alone: {shown} shown without a verdict.",
    )


def fewer_looks(plan: Plan) -> Iterator[Way]:
    """One look, at the end."""
    proof = plan.comparison.proof
    if proof.inflation(plan.comparison.test_power) <= 1:
        return
    yield plan.way(
        "fewer looks",
        "one look",
        plan.relative(replace(proof, looks=PlannedLooks())),
        "Read the result once, at the end: it cannot be stopped early.",
    )


def more_customers(plan: Plan) -> Iterator[Way]:
    """As many again: what everything else is measured against."""
    n_units = plan.comparison.n_units
    each = plan.profit_per_unit
    yield plan.way(
        "more customers",
        "twice the customers",
        plan.relative(replace(plan.comparison.proof, n_units=2 * n_units)),
        f"Take {format_value(n_units, 'count')} customers more.",
        price=None if each is None else plan.contact_cost + each * plan.arms[0].n_units,
    )
