"""Warnings about a design; none of them forbids it."""

from collections.abc import Iterator, Sequence

import pandas as pd

from uplift.checks import Check, warning
from uplift.experiment import Experiment
from uplift.looks import days_without_information
from uplift.sizing.answers import GUARDRAIL, Answer
from uplift.sizing.history import MIN_HISTORY
from uplift.sizing.money import ArmPlan, redemption_rate
from uplift.sizing.revenue import Revenue
from uplift.table import format_value

FEW_CLUSTERS = 40  # per arm; with fewer, the error itself is known badly


def design_checks(
    experiment: Experiment,
    audience: pd.DataFrame | None,
    answers: Sequence[Answer],
    arms: Sequence[ArmPlan],
    revenue: Sequence[Revenue],
) -> list[Check]:
    """Warnings about the design; none of them forbids it."""
    checks = [
        warning(
            "UNDERPOWERED",
            value=answer.power,
            remedy=f"{answer.metric}, {answer.treatment}: {answer.verdict}. Take more customers, a "
            "larger control, a covariate or a less noisy metric.",
        )
        for answer in answers
        if answer.verdict == "cannot answer"
    ]
    checks += _cluster_checks(experiment, audience, answers)
    redeems = any(arm.redemption_cost for arm in experiment.arms)
    if redeems and not redemption_rate(experiment):
        checks.append(
            warning(
                "REDEMPTION_UNKNOWN",
                value=experiment.money.redemption,
                remedy="Profit here leaves out redemptions; plan the metric with an expected_mean.",
            )
        )
    checks += _unpaid(arms, experiment.money.currency)
    checks += [_skewed(row) for row in revenue if not row.honest]
    checks += _thin(answers)
    unused = days_without_information(experiment)
    if unused and experiment.analysis.monitoring != "fixed":
        checks.append(
            warning(
                "LOOK_WITHOUT_DATA",
                value=unused[0],
                remedy="On some planned days there is nothing new to read: "
                f"{', '.join(map(str, unused))}. Move those looks, or drop them.",
            )
        )
    return checks


def _unpaid(arms: Sequence[ArmPlan], currency: str) -> Iterator[Check]:
    """An effect that is worth acting on must at least pay for the contact."""
    for arm in arms:
        if arm.profit_sought is not None and arm.break_even and arm.profit_sought <= 0:
            yield warning(
                "EFFECT_UNPAID",
                value=arm.arm,
                remedy=f"With the effect sought {arm.arm} loses "
                f"{format_value(-arm.profit_sought, 'cents')} {currency} per customer: it pays "
                f"from an effect of {format_value(arm.break_even, 'number')} on. Seek a larger "
                "one, or a cheaper contact.",
            )


def _thin(answers: Sequence[Answer]) -> Iterator[Check]:
    """Spend of so few buyers says little about its spread."""
    buyers = {answer.metric: answer.baseline.n_buyers for answer in answers}
    for metric, n_buyers in buyers.items():
        if n_buyers is not None and n_buyers < MIN_HISTORY:
            yield warning(
                "BASELINE_THIN",
                value=n_buyers,
                remedy=f"History has {n_buyers} customer(s) with a value of {metric}, so its "
                "spread, and all that follows from it, is a guess. Take a longer history.",
            )


def _skewed(row: Revenue) -> Check:
    return warning(
        "OUTCOME_SKEWED",
        value=row.skewness,
        remedy=f"{row.metric}, {row.treatment}: without any effect the test says better in "
        f"{format_value(row.false_better, 'share')} and worse in "
        f"{format_value(row.false_worse, 'share')} of cases, where each should be "
        f"{format_value(row.nominal, 'share')}. Enlarge the control, cap the metric by a fixed "
        "amount, or decide by conversion.",
    )


def _cluster_checks(
    experiment: Experiment, audience: pd.DataFrame | None, answers: Sequence[Answer]
) -> Iterator[Check]:
    if not experiment.cluster:
        return
    if audience is None or experiment.cluster not in audience.columns:
        yield warning(
            "CLUSTER_UNKNOWN",
            value=experiment.cluster,
            remedy="Whole clusters are drawn, but history does not show them: the power stated "
            "here is too high. Add the column to history.",
        )
    few = [
        a
        for a in answers
        if a.role != GUARDRAIL
        and a.n_clusters is not None
        and a.n_clusters * min(a.n_control, a.n_treatment) / (a.n_control + a.n_treatment)
        < FEW_CLUSTERS
    ]
    if few:
        yield warning(
            "FEW_CLUSTERS",
            value=few[0].n_clusters,
            remedy=f"{few[0].metric}, {few[0].treatment}: fewer than {FEW_CLUSTERS} clusters in an "
            "arm say little about the error. Draw smaller clusters, or more of them.",
        )
