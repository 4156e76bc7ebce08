"""Read an experiment by its plan: sample ratio first, then effects, guardrails, money, decision."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, Unpack

import pandas as pd

from uplift.analysis.assembled import ReadAt, assembled, open_window
from uplift.analysis.delivery import contact_log, deliveries, refuse_among
from uplift.analysis.looks import Look, look_rule
from uplift.analysis.maturity import Mask, mature_units
from uplift.analysis.read import read
from uplift.analysis.readings import Readings
from uplift.analysis.report import AnalysisReport
from uplift.analysis.waves import by_wave, is_redrawn, outcomes_of_waves
from uplift.checks import Check, warning
from uplift.experiment import Experiment
from uplift.frames import UNIT
from uplift.inference.attrition import check_attrition
from uplift.inference.sample_ratio import check_sample_ratio
from uplift.inference.sample_ratio_sequential import check_sample_ratio_so_far
from uplift.outcome_rows import ASSIGNED
from uplift.reading_rules import ReadingRules, RuleWords, all_as_told
from uplift.trial import settled_assignment


def analyse(
    experiment: Experiment,
    assigned: Any,
    outcomes: Any,
    customers: Any = None,
    *,
    as_of: str | date | datetime | None = None,
    earlier: Sequence[Look] | None = None,
    planned_units: int | None = None,
    contacts: Any = None,
    among: str | None = None,
    **words: Unpack[RuleWords],
) -> AnalysisReport:
    """The experiment's effects, money and decision, by intention to treat.

    assigned   one row per unit: `unit`, `arm` (and `cluster` where clusters were randomised, and a
               row per `wave` where waves are drawn anew)
    outcomes   one row per unit (and wave) with the outcome columns of the metrics and the economics
    customers  one row per unit; its covariate columns adjust the metrics that name them
    as_of      when the data were read; before the response window has closed, the report is
               provisional. A time without a zone is in the experiment's zone; now when not given
    earlier    the looks taken before (`AnalysisReport.look`); when not given, those that the plan
               declares are taken to have been, and have spent their error
    planned_units  that the design asks for, of a trigger: its information is counted against them
    contacts   log of contacts, one row each (see `contact_log`): gives the effect on those reached,
               and what a contacted holdout does to the result
    among      a column that is known after the send only (opened, clicked): always refused, with
               the reason (POST_TREATMENT_FILTER)
    words      the rules for what can be read in two ways, each refused when not given:

        missing="zero" or "drop"  an assigned unit without an outcome has 0, or is left out; then
                                  the arms must lose alike (OUTCOME_ATTRITION)
        repeats="sum", "mean" or "first"  several rows of outcomes of one unit
        two_arms="drop"           a unit in two arms is left out
        early="drop"              rows from before the assignment are left out
        trim=True                 blanks around ids are removed

    What a rule did is counted in a warning of the report. A failed sample ratio or attrition check
    withholds the decision, not the numbers.

    Units are read once their response window has closed. A trigger is read on the units that are
    through; a campaign before its window has closed on the outcomes so far, provisionally.

    Raises DataError: ARM_UNKNOWN, ARM_NULL, ARM_MISSING, ARM_TOO_SMALL, ID_TWO_ARMS, ID_DUPLICATE,
    OUTCOME_MISSING, OUTCOME_NOT_FINITE, OUTCOME_NOT_NUMERIC, OUTCOME_NOT_BINARY,
    OUTCOME_EQUALS_ARM, OUTCOME_BEFORE_ASSIGNMENT, FEATURE_ROWS_MISSING, PROPENSITY_MISMATCH,
    TIME_INVALID, TIME_NAIVE, TIME_AMBIGUOUS and those of the ids; DefinitionError:
    ARGUMENT_INVALID; StateError: LOOK_ORDER for a day before that of an earlier look.
    """
    if among is not None:
        refuse_among(among)
    rules = ReadingRules(**words)
    read_at = None if as_of is None else experiment.schedule.moment(as_of)
    now = read_at or datetime.now(UTC)
    told, trimming = all_as_told(
        rules, assignment=assigned, outcomes=outcomes, customers=customers, contacts=contacts
    )
    if is_redrawn(experiment):
        told["assignment"] = by_wave(experiment, told["assignment"])
        told["outcomes"] = outcomes_of_waves(experiment, told["outcomes"])
    everyone, left_out = settled_assignment(experiment, told["assignment"], rules=rules)
    mature = mature_units(experiment, everyone, now)
    table = everyone[mature].reset_index(drop=True) if mature.any() else everyone
    rule = look_rule(
        experiment,
        as_of=now,
        n_mature=int(mature.sum()),
        planned_units=planned_units,
        earlier=earlier,
    )
    log = None
    if contacts is not None:
        log = contact_log(experiment, everyone, told["contacts"], given=told["assignment"])
    readings = read(
        experiment,
        table,
        told["outcomes"],
        told["customers"],
        rules=rules,
        rule=rule,
        delivered=None if log is None else pd.Series(log.delivered, index=everyone[UNIT]),
    )
    provisional = not mature.any()
    closes = experiment.schedule.closes_at.strftime("%Y-%m-%d %H:%M UTC")
    return assembled(
        experiment,
        readings,
        time=ReadAt(read_at, now, provisional),
        first=(
            _sample_ratio(experiment, everyone, readings),
            *(_attrition(readings) if rules.missing == "drop" else ()),
            *(open_window(closes) if provisional else ()),
            *(_immature(mature, closes) if mature.any() else ()),
            *trimming,
            *left_out,
            *(() if log is None else log.checks),
        ),
        earlier=earlier,
        delivery=() if log is None else deliveries(experiment, readings, everyone, log),
    )


def _sample_ratio(experiment: Experiment, everyone: pd.DataFrame, readings: Readings) -> Check:
    """Of units that came in over time, read so that it may be looked at every day."""
    if experiment.kind != "trigger" or ASSIGNED not in everyone.columns:
        return check_sample_ratio(readings.randomised, shares=experiment.shares)
    counted = everyone if experiment.cluster is None else everyone.drop_duplicates("cluster")
    days = counted.groupby([counted[ASSIGNED].astype("str").str[:10], "arm"]).size()
    batches = [dict(day.droplevel(0)) for _, day in days.groupby(level=0)]
    return check_sample_ratio_so_far(batches, shares=experiment.shares)


def _immature(mature: Mask, closes: str) -> Iterator[Check]:
    n_open = int((~mature).sum())
    if n_open:
        yield warning(
            "WINDOW_OPEN",
            value=n_open,
            remedy=f"The response window of these units is open; the last one closes {closes}. "
            "They are read once it has closed.",
        )


def _attrition(readings: Readings) -> Iterator[Check]:
    if readings.assigned != readings.analysed:
        yield check_attrition(readings.assigned, readings.analysed)
