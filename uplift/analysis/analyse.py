"""Read an experiment by its plan: sample ratio first, then effects, guardrails, money, decision."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, Unpack

import numpy as np
from scipy import stats

from uplift.analysis.decision import decide
from uplift.analysis.effects import GUARDRAIL, effect_checks, effect_rows
from uplift.analysis.money import money_of
from uplift.analysis.readings import Readings, read
from uplift.analysis.report import AnalysisReport
from uplift.checks import Check, warning
from uplift.experiment import Experiment
from uplift.inference.sample_ratio import check_sample_ratio
from uplift.reading_rules import ReadingRules, RuleWords

ATTRITION_P_VALUE = 0.001  # as strict as the sample ratio: both say that the arms are not alike


def analyse(
    experiment: Experiment,
    assigned: Any,
    outcomes: Any,
    customers: Any = None,
    *,
    as_of: str | date | datetime | None = None,
    **words: Unpack[RuleWords],
) -> AnalysisReport:
    """The experiment's effects, money and decision, by intention to treat.

    assigned   one row per unit: `unit`, `arm` (and `cluster` where clusters were randomised)
    outcomes   one row per unit with the outcome columns of the metrics and the economics
    customers  one row per unit; its covariate columns adjust the metrics that name them
    as_of      when the data were read; before the response window has closed, the report is
               provisional. A time without a zone is in the experiment's zone; now when not given
    words      the rules for what can be read in two ways, each refused when not given:

        missing="zero" or "drop"  an assigned unit without an outcome has 0, or is left out; then
                                  the arms must lose alike (OUTCOME_ATTRITION)
        repeats="sum", "mean" or "first"  several rows of outcomes of one unit
        two_arms="drop"           a unit in two arms is left out
        early="drop"              rows from before the assignment are left out
        trim=True                 blanks around ids are removed

    What a rule did is counted in a warning of the report. A failed sample ratio or attrition check
    withholds the decision, not the numbers.

    Raises DataError: ARM_UNKNOWN, ARM_NULL, ARM_MISSING, ARM_TOO_SMALL, ID_TWO_ARMS, ID_DUPLICATE,
    OUTCOME_MISSING, OUTCOME_NOT_FINITE, OUTCOME_NOT_NUMERIC, OUTCOME_NOT_BINARY,
    OUTCOME_EQUALS_ARM, OUTCOME_BEFORE_ASSIGNMENT, FEATURE_ROWS_MISSING, PROPENSITY_MISMATCH,
    TIME_INVALID, TIME_NAIVE, TIME_AMBIGUOUS and those of the ids; DefinitionError:
    ARGUMENT_INVALID.
    """
    rules = ReadingRules(**words)
    read_at = None if as_of is None else experiment.schedule.moment(as_of)
    provisional = (read_at or datetime.now(UTC)) < experiment.schedule.closes_at
    readings = read(experiment, assigned, outcomes, customers, rules=rules)
    effects = effect_rows(experiment, readings)
    money = money_of(experiment, readings)
    closes = experiment.schedule.closes_at.strftime("%Y-%m-%d %H:%M UTC")
    checks = (
        check_sample_ratio(readings.randomised, shares=experiment.shares),
        *(_attrition(readings) if rules.missing == "drop" else ()),
        *(_open_window(closes) if provisional else ()),
        *readings.checks,
        *effect_checks(effects),
    )
    return AnalysisReport(
        experiment=experiment.id,
        title=experiment.title,
        digest=experiment.digest,
        data_digest=readings.data_digest,
        confidence=readings.confidence,
        as_of=read_at,
        provisional=provisional,
        family=tuple(f"{r.metric} by {r.treatment}" for r in effects if r.role != GUARDRAIL),
        assigned=readings.assigned,
        analysed=readings.analysed,
        effects=effects,
        money=money,
        checks=checks,
        decision=decide(effects, money, checks, open_until=closes if provisional else None),
    )


def _open_window(closes: str) -> Iterator[Check]:
    yield warning(
        "WINDOW_OPEN",
        value=closes,
        remedy="Outcomes are still coming in: the result is provisional and decides nothing.",
    )


def _attrition(readings: Readings) -> Iterator[Check]:
    """Whether every arm lost the same share of units (chi-squared test of independence)."""
    kept = np.array(list(readings.analysed.values()))
    lost = np.array(list(readings.assigned.values())) - kept
    if not lost.any():
        return
    p_value = float(stats.chi2_contingency([kept, lost], correction=False).pvalue)
    shares = ", ".join(
        f"{arm} {count:,} of {readings.assigned[arm]:,}"
        for arm, count in zip(readings.analysed, lost.tolist(), strict=True)
    )
    yield Check(
        "outcome_attrition",
        passed=p_value >= ATTRITION_P_VALUE,
        value=p_value,
        bound=ATTRITION_P_VALUE,
        remedy=f"Units without an outcome: {shares}. Those left are not alike in all arms; find "
        "out why outcomes are missing.",
        code="OUTCOME_ATTRITION",
    )
