"""Read an experiment by its plan: sample ratio first, then effects, guardrails, money, decision."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd

from uplift.analysis.decision import decide
from uplift.analysis.delivery import contact_log, deliveries, delivery_checks, refuse_among
from uplift.analysis.effects import effect_checks, effect_rows
from uplift.analysis.funnel import funnel_of
from uplift.analysis.look_record import look_of
from uplift.analysis.looks import Look, look_rule
from uplift.analysis.looks_ahead import looks_ahead
from uplift.analysis.maturity import Mask, mature_units
from uplift.analysis.money import money_of
from uplift.analysis.read import read
from uplift.analysis.readings import Readings
from uplift.analysis.report import AnalysisReport
from uplift.analysis.robustness import influence_rows, robustness_checks
from uplift.analysis.segments import segment_checks, segment_readings, segment_warnings
from uplift.analysis.spend_split import spend_splits
from uplift.analysis.wave_effects import wave_rows
from uplift.analysis.waves import by_wave, is_redrawn, outcomes_of_waves
from uplift.checks import Check, warning
from uplift.experiment import Experiment
from uplift.frames import UNIT
from uplift.inference.attrition import check_attrition
from uplift.inference.sample_ratio import check_sample_ratio
from uplift.inference.sample_ratio_sequential import check_sample_ratio_so_far
from uplift.outcomes import ASSIGNED, Missing
from uplift.trial import checked_assignment


def analyse(
    experiment: Experiment,
    assigned: Any,
    outcomes: Any,
    customers: Any = None,
    *,
    missing: Missing = "refuse",
    as_of: str | date | datetime | None = None,
    earlier: Sequence[Look] | None = None,
    planned_units: int | None = None,
    contacts: Any = None,
    among: str | None = None,
) -> AnalysisReport:
    """The experiment's effects, money and decision, by intention to treat.

    assigned   one row per unit: `unit`, `arm` (and `cluster` where clusters were randomised, and a
               row per `wave` where waves are drawn anew)
    outcomes   one row per unit (and wave) with the outcome columns of the metrics and the economics
    customers  one row per unit; its covariate columns adjust the metrics that name them
    missing    what an assigned unit without an outcome means: an error, 0, or left out; when left
               out, the arms must lose alike (OUTCOME_ATTRITION)
    as_of      when the data were read; before the response window has closed, the report is
               provisional. A time without a zone is in the experiment's zone; now when not given
    earlier    the looks taken before (`AnalysisReport.look`); when not given, those that the plan
               declares are taken to have been, and have spent their error
    planned_units  that the design asks for, of a trigger: its information is counted against them

    contacts   log of contacts, one row each (see `contact_log`): gives the effect on those reached,
               and what a contacted holdout does to the result
    among      a column that is known after the send only (opened, clicked): always refused, with
               the reason (POST_TREATMENT_FILTER)

    A failed sample ratio or attrition check withholds the decision, not the numbers.

    Units are read once their response window has closed. A trigger is read on the units that are
    through; a campaign before its window has closed on the outcomes so far, provisionally.

    Raises DataError: ARM_UNKNOWN, ARM_NULL, ARM_MISSING, ARM_TOO_SMALL, ID_TWO_ARMS, ID_DUPLICATE,
    OUTCOME_MISSING, OUTCOME_NOT_FINITE, OUTCOME_NOT_NUMERIC, OUTCOME_NOT_BINARY,
    OUTCOME_EQUALS_ARM, OUTCOME_BEFORE_ASSIGNMENT, FEATURE_ROWS_MISSING,
    PROPENSITY_MISMATCH and those of the ids. Raises StateError LOOK_ORDER for a day before that
    of an earlier look.
    """
    if among is not None:
        refuse_among(among)
    read_at = None if as_of is None else experiment.schedule.moment(as_of)
    now = read_at or datetime.now(UTC)
    if is_redrawn(experiment):
        assigned = by_wave(experiment, assigned)
        outcomes = outcomes_of_waves(experiment, outcomes)
    everyone = checked_assignment(experiment, assigned)
    mature = mature_units(experiment, everyone, now)
    table = everyone[mature].reset_index(drop=True) if mature.any() else everyone
    rule = look_rule(
        experiment,
        as_of=now,
        n_mature=int(mature.sum()),
        planned_units=planned_units,
        earlier=earlier,
    )
    log = None if contacts is None else contact_log(experiment, everyone, contacts)
    readings = read(
        experiment,
        table,
        outcomes,
        customers,
        missing=missing,
        rule=rule,
        delivered=None if log is None else pd.Series(log.delivered, index=everyone[UNIT]),
    )
    effects = effect_rows(experiment, readings)
    money = money_of(experiment, readings)
    segments = segment_readings(experiment, readings)
    delivery = () if log is None else deliveries(experiment, readings, everyone, log)
    influences = influence_rows(experiment, readings)
    provisional = not mature.any()
    closes = experiment.schedule.closes_at.strftime("%Y-%m-%d %H:%M UTC")
    checks = (
        _sample_ratio(experiment, everyone, readings),
        *(_attrition(readings) if missing == "drop" else ()),
        *(_open_window(closes) if provisional else ()),
        *(_immature(mature, closes) if mature.any() else ()),
        *readings.checks,
        *robustness_checks(experiment, readings, influences),
        *segment_checks(experiment, readings),
        *segment_warnings(segments),
        *(delivery_checks(experiment, delivery) if delivery else ()),
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
        family=tuple(f"{row.metric} by {row.treatment}" for row in effects if row.tested),
        assigned=readings.assigned,
        analysed=readings.analysed,
        effects=effects,
        money=money,
        checks=checks,
        decision=decide(
            effects,
            money,
            checks,
            open_until=closes if provisional else None,
            stage=rule.stage,
            look=rule.number,
        ),
        look=look_of(
            experiment, rule, effects, money, as_of=now, n_units=sum(readings.analysed.values())
        ),
        earlier=tuple(earlier or ()),
        ahead=looks_ahead(experiment, rule, as_of=now),
        segments=segments,
        influence=influences,
        spend=spend_splits(experiment, readings),
        waves=wave_rows(experiment, readings),
        funnel=funnel_of(experiment, effects),
        delivery=delivery,
    )


def _sample_ratio(experiment: Experiment, everyone: pd.DataFrame, readings: Readings) -> Check:
    """Of units that came in over time, read so that it may be looked at every day."""
    if experiment.kind != "trigger" or ASSIGNED not in everyone.columns:
        return check_sample_ratio(readings.randomised, shares=experiment.shares)
    counted = everyone if experiment.cluster is None else everyone.drop_duplicates("cluster")
    days = counted.groupby([counted[ASSIGNED].astype("str").str[:10], "arm"]).size()
    batches = [dict(day.droplevel(0)) for _, day in days.groupby(level=0)]
    return check_sample_ratio_so_far(batches, shares=experiment.shares)


def _open_window(closes: str) -> Iterator[Check]:
    yield warning(
        "WINDOW_OPEN",
        value=closes,
        remedy="Outcomes are still coming in: the result is provisional and decides nothing.",
    )


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
