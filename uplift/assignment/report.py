"""What an assignment did: units left after each step, the arms, and whether the arms are alike."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from uplift.assignment.assign import Assignment
from uplift.assignment.balance import balance_of, covariates_in
from uplift.assignment.draws import Draw
from uplift.assignment.order import Step, distinct_customers
from uplift.audience import eligible
from uplift.checks import Check, warning
from uplift.experiment import Experiment
from uplift.frames import UNIT, personal_id_warning, read_frame
from uplift.inference.balance_tests import Balance, check_balance
from uplift.inference.sample_ratio import check_sample_ratio
from uplift.reading_rules import ReadingRules, as_told
from uplift.table import Column, Result, Table
from uplift.trial import checked_assignment

TINY_STRATA_SHARE = 0.5  # of drawn ids in strata smaller than the arms are many, and it is said


@dataclass(frozen=True)
class ArmCount:
    """Units of one arm, and its designed and observed share."""

    arm: str
    n_units: int
    designed_share: float
    observed_share: float


@dataclass(frozen=True, repr=False)
class AssignmentReport(Result):
    """The steps in their order, the arms, the balance of covariates and the checks.

    draw            how the arms were drawn; None for an assignment given as a table
    wave            name of the wave; "" for an assignment given as a table
    exposure_share  of the eligible units that take part
    n_kept          units that kept the arm of an earlier assignment
    """

    experiment: str
    digest: str
    steps: tuple[Step, ...]
    arms: tuple[ArmCount, ...]
    balance: tuple[Balance, ...]
    checks: tuple[Check, ...]
    draw: Draw | None = None
    wave: str = ""
    exposure_share: Fraction = Fraction(1)
    n_kept: int = 0

    @property
    def n_units(self) -> int:
        """Units assigned."""
        return sum(arm.n_units for arm in self.arms)

    def with_notices(self, notices: Iterable[Check]) -> "AssignmentReport":
        """The report with further warnings, e.g. of ids that were trimmed."""
        return replace(self, checks=(*self.checks, *notices))

    def table(self) -> Table:
        """Units per arm."""
        columns = (
            Column("arm"),
            Column("units", kind="count"),
            Column("designed share", kind="share"),
            Column("observed share", kind="share"),
        )
        rows = [(a.arm, a.n_units, a.designed_share, a.observed_share) for a in self.arms]
        left = " → ".join(f"{step.name} {step.n_units:,}" for step in self.steps if step.asked)
        return Table(f"Assignment {self.experiment}", columns, rows, note=left)

    def steps_table(self) -> Table:
        """Units left after each step, and how many each step removed."""
        columns = (
            Column("step"),
            Column("units left", kind="count"),
            Column("removed", kind="count"),
            Column("asked for"),
        )
        before = [self.steps[0].n_units, *(step.n_units for step in self.steps)]
        rows = [
            (step.name, step.n_units, n - step.n_units, "yes" if step.asked else "no")
            for n, step in zip(before, self.steps, strict=False)
        ]
        return Table("Steps of the assignment, in their order", columns, rows)

    def balance_table(self) -> Table:
        """Covariates of each treatment beside the control's."""
        columns = (
            Column("covariate"),
            Column("arm"),
            Column("control mean", kind="number"),
            Column("treatment mean", kind="number"),
            Column("standardised difference", kind="signed"),
            Column("p value", kind="p_value"),
        )
        rows = [
            (b.covariate, b.arm, b.control_mean, b.treatment_mean, b.difference, b.p_value)
            for b in self.balance
        ]
        return Table("Balance of covariates", columns, rows, note="p values adjusted by Holm.")

    def metrics(self) -> dict[str, float]:
        """Flat figures, for tracking."""
        figures = {f"assigned_{arm.arm}": float(arm.n_units) for arm in self.arms}
        differences = [abs(b.difference) for b in self.balance if np.isfinite(b.difference)]
        return {**figures, "largest_imbalance": max(differences, default=0.0)}


def assignment_report(
    experiment: Experiment, assigned: Any, customers: Any = None, *, trim: bool = False
) -> AssignmentReport:
    """Account for an assignment; with `customers`, also for who was left out and for balance.

    assigned   the result of `assign_from`, which knows its steps, or a table of one
    customers  the table the assignment was made from
    trim       the customers' ids are trimmed as the assignment's were, and that is counted
    Errors: those of `checked_assignment`; FEATURE_ROWS_MISSING when an assigned unit is not there.
    """
    made = assigned if isinstance(assigned, Assignment) else None
    table = checked_assignment(experiment, assigned)
    customers, trimming = as_told(customers, what="customers", rules=ReadingRules(trim=trim))
    checks = [*trimming, _check_ratio(experiment, table), *_check_strata(experiment, table, made)]
    steps = made.steps if made else (Step("assigned", len(table)),)
    balance: tuple[Balance, ...] = ()
    if customers is not None:
        distinct = distinct_customers(customers, cluster=experiment.cluster)
        steps = made.steps if made else _steps(experiment, distinct, n_assigned=len(table))
        checks += _repeated(customers, distinct)
        balance = balance_of(experiment, table, distinct, covariates_in(distinct))
        checks += check_balance(balance)
    personal = personal_id_warning(table[UNIT])
    return AssignmentReport(
        experiment=experiment.id,
        digest=experiment.digest,
        steps=steps,
        arms=_arm_counts(experiment, table),
        balance=balance,
        checks=(*checks, *([personal] if personal else [])),
        **({} if made is None else _account(made)),
    )


def _account(made: Assignment) -> dict[str, Any]:
    return {
        "draw": made.draw,
        "wave": made.wave,
        "exposure_share": made.exposure_share,
        "n_kept": made.n_kept,
    }


def _arm_counts(experiment: Experiment, table: pd.DataFrame) -> tuple[ArmCount, ...]:
    counts = table["arm"].value_counts()
    return tuple(
        ArmCount(arm, int(counts.get(arm, 0)), share, int(counts.get(arm, 0)) / max(len(table), 1))
        for arm, share in experiment.shares.items()
    )


def _check_ratio(experiment: Experiment, table: pd.DataFrame) -> Check:
    """Sample ratio of what was drawn: clusters where clusters were, units otherwise."""
    if table.empty:
        return warning("EMPTY", value=0, remedy="Nobody was assigned: see the audience rule.")
    drawn = table.drop_duplicates("cluster") if experiment.cluster else table
    counts = {str(arm): int(count) for arm, count in drawn["arm"].value_counts().items()}
    return check_sample_ratio(counts, shares=experiment.shares)


def _check_strata(
    experiment: Experiment, table: pd.DataFrame, made: Assignment | None
) -> list[Check]:
    """In one draw of a whole list, each stratum has each arm's share but for less than one id."""
    if experiment.assignment.method == "hash" or made is None or made.n_kept or table.empty:
        return []
    drawn = table.drop_duplicates("cluster")
    counts = pd.crosstab(drawn["stratum"], drawn["arm"]).reindex(
        columns=list(experiment.arm_names), fill_value=0
    )
    sizes = counts.sum(axis=1).to_numpy(np.float64)
    expected = np.outer(sizes, list(experiment.shares.values()))
    furthest = float(np.abs(counts.to_numpy(np.float64) - expected).max())
    checks = [
        Check(
            "exact_shares",
            passed=furthest < 1,
            value=furthest,
            bound=1.0,
            remedy="A stratum does not hold the shares it was drawn with: units were removed or "
            "added after the draw.",
            code="STRATA_SHARES",
        )
    ]
    if made.draw.n_unsure:
        remedy = (
            "So unusual are they in a balanced covariate that rerandomisation moves their "
            "propensity by more than a quarter. Cap the covariate."
        )
        checks.append(warning("PROPENSITY_UNSURE", value=made.draw.n_unsure, remedy=remedy))
    tiny = float(sizes[sizes < len(experiment.arms)].sum() / sizes.sum())
    if tiny > TINY_STRATA_SHARE:
        remedy = "Most are in strata smaller than the number of arms. Use fewer strata."
        checks.append(warning("STRATA_TINY", value=tiny, remedy=remedy))
    return checks


def _steps(experiment: Experiment, customers: pd.DataFrame, *, n_assigned: int) -> tuple[Step, ...]:
    """What can be told of an assignment that is only a table."""
    n_eligible = int(eligible(customers, experiment.audience).sum())
    return (
        Step("customers", len(customers)),
        Step("eligible", n_eligible),
        Step("assigned", n_assigned),
    )


def _repeated(customers: Any, distinct: pd.DataFrame) -> list[Check]:
    n_repeats = len(read_frame(customers, what="customers")) - len(distinct)
    if not n_repeats:
        return []
    remedy = "Identical rows of one customer were counted once; find out why they repeat."
    return [warning("ID_DUPLICATE_SAME", value=n_repeats, remedy=remedy)]
