"""What an experiment can answer, before a single message is sent: effect, power, units, money.

Every figure follows from the definition, the number of eligible units and the baseline of each
metric. Nothing is drawn at random.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from uplift.audience import eligible
from uplift.checks import Check, warning
from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.frames import read_frame, require_unique
from uplift.sizing.answers import (
    Answer,
    Comparison,
    HoldoutOption,
    holdout_options,
    n_tests,
    one_test_confidence,
)
from uplift.sizing.baseline import Baseline, baseline_of
from uplift.sizing.money import ArmPlan, arm_plan, holdout_cost, redemption_rate
from uplift.table import Column, Result, Table, format_value

MIN_ARM_UNITS = 2  # below, an arm has no spread

Baselines = dict[str, Baseline]


@dataclass(frozen=True, repr=False)
class Design(Result):
    """What the experiment can and cannot answer, and what it costs.

    n_units         eligible units that are assigned
    power           wanted probability of proving what is there
    n_tests         size of the family that shares one error
    confidence      of one test of that family
    holdout_cost    profit given up by not contacting the control, if the best arm has the smallest
                    effect worth acting on; None when the plan does not say
    """

    experiment: str
    digest: str
    currency: str
    n_units: int
    power: float
    n_tests: int
    confidence: float
    arms: tuple[ArmPlan, ...]
    answers: tuple[Answer, ...]
    holdout_options: tuple[HoldoutOption, ...]
    holdout_cost: float | None
    checks: tuple[Check, ...]

    @property
    def contact_cost(self) -> float:
        """Of all arms, in the experiment's currency."""
        return sum(arm.contact_cost for arm in self.arms)

    def table(self) -> Table:
        """One row per metric and treatment."""
        columns = (
            Column("metric"),
            Column("role"),
            Column("treatment"),
            Column("control units", kind="count"),
            Column("treatment units", kind="count"),
            Column("baseline", kind="number"),
            Column("smallest effect", kind="number"),
            Column("relative", kind="share"),
            Column("sought effect", kind="number"),
            Column("power", kind="share"),
            Column("units needed", kind="count"),
            Column("verdict"),
        )
        return Table(f"Design {self.experiment}", columns, [_row(a) for a in self.answers])

    def arms_table(self) -> Table:
        """Units and money per arm."""
        columns = (
            Column("arm"),
            Column("share", kind="share"),
            Column("units", kind="count"),
            Column("contact cost", kind="money"),
            Column("profit per unit at the sought effect", kind="cents"),
            Column("break-even effect", kind="number"),
        )
        rows = [
            (a.arm, a.share, a.n_units, a.contact_cost, a.profit_sought, a.break_even)
            for a in self.arms
        ]
        return Table("Arms", columns, rows, note=f"Money in {self.currency}.")

    def holdout_table(self) -> Table:
        """What other holdouts would show of the primary metric."""
        columns = (
            Column("control share", kind="share"),
            Column("control units", kind="count"),
            Column("smallest effect", kind="number"),
            Column("relative", kind="share"),
        )
        rows = [(o.control_share, o.n_control, o.mde, o.mde_relative) for o in self.holdout_options]
        return Table(f"Holdout and {self.answers[0].metric}", columns, rows)

    def words(self) -> str:
        """The design as sentences: units, answers, money."""
        lines = [
            f"{format_value(self.n_units, 'count')} eligible customers; wanted power "
            f"{format_value(self.power, 'share')}, {self.n_tests} tests share the error."
        ]
        lines += [answer.words() for answer in self.answers]
        lines.append(
            f"Contacts cost {format_value(self.contact_cost, 'money')} {self.currency}; "
            f"{self._holdout_words()}"
        )
        return "\n".join(lines)

    def metrics(self) -> dict[str, float]:
        """Flat figures, for tracking."""
        figures = {"n_units": float(self.n_units), "contact_cost": self.contact_cost}
        if self.holdout_cost is not None:
            figures["holdout_cost"] = self.holdout_cost
        for answer in self.answers:
            name = f"{answer.metric.replace('@', '_v')}_{answer.treatment}"
            figures[f"mde_{name}"] = answer.mde
            if answer.power is not None:
                figures[f"power_{name}"] = answer.power
        return figures

    def _holdout_words(self) -> str:
        if self.holdout_cost is None:
            return "what the holdout gives up is not known, as no effect on the value is stated."
        return (
            f"the holdout of {format_value(self.arms[0].n_units, 'count')} gives up "
            f"{format_value(self.holdout_cost, 'money')} {self.currency} if the best arm has the "
            f"effect sought{'' if self._redemptions_known() else ' (before redemptions)'}."
        )

    def _redemptions_known(self) -> bool:
        return all(check.code != "REDEMPTION_UNKNOWN" for check in self.checks)


def design(
    experiment: Experiment, history: Any = None, *, n_units: int | None = None, power: float = 0.8
) -> Design:
    """Plan an experiment.

    history  any table with one row per customer: the audience's columns and, as far as there are
             any, the metrics' own columns or covariates (see `baseline_of`), and the cluster's
    n_units  units that will be assigned; without it, the eligible customers of history
    power    wanted probability of proving the smallest effect worth acting on

    Errors: DESIGN_UNITS (neither history nor n_units), BASELINE_MISSING, BASELINE_INVALID,
    EFFECT_INVALID, ARM_TOO_SMALL, AUDIENCE_COLUMN.
    """
    audience = None if history is None else _eligible_history(experiment, history)
    n_assigned = _units(experiment, audience, n_units)
    baselines = {
        planned.metric.key: baseline_of(planned, audience, cluster=experiment.cluster)
        for _, planned in experiment.metrics.with_roles()
    }
    answers = _answers(experiment, baselines, n_assigned, power)
    arms = tuple(arm_plan(experiment, arm, baselines, n_assigned) for arm in experiment.arms)
    primary = baselines[experiment.primary.key]
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
        checks=tuple(_checks(experiment, audience, answers)),
    )


def _eligible_history(experiment: Experiment, history: Any) -> pd.DataFrame:
    table = read_frame(history, what="history")
    require_unique(table["unit"], what="history")
    return table[eligible(table, experiment.audience)].reset_index(drop=True)


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


def _answers(
    experiment: Experiment, baselines: Baselines, n_units: int, power: float
) -> tuple[Answer, ...]:
    """Every metric of every treatment, primary first."""
    return tuple(
        Comparison(
            experiment, role, planned, baselines[planned.metric.key], arm, n_units, power
        ).answer()
        for role, planned in experiment.metrics.with_roles()
        for arm in experiment.treatments
    )


def _checks(
    experiment: Experiment, audience: pd.DataFrame | None, answers: tuple[Answer, ...]
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
    if experiment.cluster and (audience is None or experiment.cluster not in audience.columns):
        checks.append(
            warning(
                "CLUSTER_UNKNOWN",
                value=experiment.cluster,
                remedy="Whole clusters are drawn, but history does not show them: the power stated "
                "here is too high. Add the column to history.",
            )
        )
    redeems = any(arm.redemption_cost for arm in experiment.arms)
    if redeems and not redemption_rate(experiment):
        checks.append(
            warning(
                "REDEMPTION_UNKNOWN",
                value=experiment.money.redemption,
                remedy="Profit here leaves out redemptions; plan the metric with an expected_mean.",
            )
        )
    return checks


def _row(answer: Answer) -> tuple[Any, ...]:
    return (
        answer.metric,
        answer.role,
        answer.treatment,
        answer.n_control,
        answer.n_treatment,
        answer.baseline.mean,
        answer.mde,
        answer.mde_relative,
        answer.sought_effect,
        answer.power,
        answer.n_needed,
        answer.verdict,
    )
