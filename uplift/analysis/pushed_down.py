"""Read an experiment where its data are: one query over a table, then everything from moments.

The table has one row per unit with its arm, its outcomes and what was known of it before. It may
have any size: only cells come back. The estimates are those of `analyse`, computed by the same
functions from the same moments; what needs the rows themselves is left out, and the report says so.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from uplift.aggregate import MomentsTable, aggregate, column_kinds, query_for, table_at
from uplift.analysis.assembled import ReadAt, assembled, open_window
from uplift.analysis.columns import covariate_column
from uplift.analysis.looks import Look, look_rule
from uplift.analysis.report import AnalysisReport
from uplift.analysis.table_checks import (
    caps_needed,
    gaps_of,
    refuse_not_binary,
    refuse_unknown_arms,
    table_notices,
)
from uplift.analysis.table_plan import MissingOutcome, TablePlan
from uplift.analysis.table_readings import readings_of
from uplift.analysis.waves import is_redrawn
from uplift.checks import Check
from uplift.errors import DataError
from uplift.experiment import Experiment
from uplift.inference.sample_ratio import check_sample_ratio
from uplift.outcomes import arm_size_checks

ZERO_OR_VIEW = (
    "Say that it means nothing happened (missing='zero'), or give a view without those units."
)


def analyse_table(
    experiment: Experiment,
    table: Any,
    *,
    name: str | None = None,
    schema: str | None = None,
    missing: MissingOutcome = "refuse",
    before: Collection[str] | None = None,
    as_of: str | date | datetime | None = None,
    earlier: Sequence[Look] | None = None,
    planned_units: int | None = None,
    threads: int | None = None,
) -> AnalysisReport:
    """The experiment's effects, money and decision, from one query over a table of any size.

    table    one row per unit: `arm`, the outcome columns of the metrics and the economics, and the
             columns of covariates, strata (`stratum`, of a stratified draw), segments and waves
             (`wave`). A path of parquet or CSV files, a frame (pandas, polars, arrow, Spark), a
             DuckDB relation; or, with `name` (and `schema`), a DuckDB connection or an address,
             engine or connection of PostgreSQL
    missing  "zero" when a unit without an outcome has 0
    before   columns known before the send, whose balance is checked; the covariates of the plan
             when not given
    as_of, earlier, planned_units  as in `analyse`
    threads  as in `aggregate`

    A second query is asked only where a covariate has gaps, which get its mean, or where one unit
    may hold most of a metric. Left out, with a warning NEEDS_ROWS in the report: the influence of
    the largest customers, quantiles, and whether an id is there twice.

    Raises DataError: NEEDS_ROWS where clusters or waves were drawn, and for a trigger whose last
    window is open; ARM_UNKNOWN, ARM_NULL, ARM_MISSING, ARM_TOO_SMALL, OUTCOME_NOT_BINARY,
    OUTCOME_EQUALS_ARM, FEATURE_NOT_FINITE, COVARIATE_NOT_NUMERIC and those of `aggregate`;
    DefinitionError: ARGUMENT_INVALID; StateError: LOOK_ORDER.
    """
    read_at = None if as_of is None else experiment.schedule.moment(as_of)
    now = read_at or datetime.now(UTC)
    _refuse_rows_needed(experiment, now)
    source = table_at(table, name, schema)
    plan = TablePlan.of(experiment, column_kinds(source), missing=missing, before=before)
    found = _collected(plan, source, threads)
    counts = refuse_unknown_arms(experiment, found.moments)
    sizes = tuple(arm_size_checks(experiment, counts))
    provisional = now < experiment.schedule.closes_at
    rule = look_rule(
        experiment,
        as_of=now,
        n_mature=0 if provisional else sum(counts.values()),
        planned_units=planned_units,
        earlier=earlier,
    )
    readings = readings_of(found.plan, found.moments, rule=rule, counts=counts)
    notices = (*sizes, *found.notices, *table_notices(found.plan), *readings.checks)
    closes = experiment.schedule.closes_at.strftime("%Y-%m-%d %H:%M UTC")
    return assembled(
        experiment,
        replace(readings, checks=notices),
        time=ReadAt(read_at, now, provisional),
        first=(
            check_sample_ratio(counts, shares=experiment.shares),
            *(open_window(closes) if provisional else ()),
        ),
        earlier=earlier,
    )


def analysis_sql(
    experiment: Experiment,
    table: Any,
    *,
    name: str | None = None,
    schema: str | None = None,
    missing: MissingOutcome = "refuse",
    before: Collection[str] | None = None,
) -> str:
    """The query that `analyse_table` asks, to read it or to have it reviewed; it is not run.

    Arguments and errors as in `analyse_table`. The table is called `source` where it has no name.
    """
    source = table_at(table, name, schema)
    plan = TablePlan.of(experiment, column_kinds(source), missing=missing, before=before)
    return query_for(source, **plan.collected())


@dataclass(frozen=True, eq=False)
class _Found:
    """What was collected, by which plan, and what was noticed on the way."""

    plan: TablePlan
    moments: MomentsTable
    notices: tuple[Check, ...] = ()


def _collected(plan: TablePlan, source: Any, threads: int | None) -> _Found:
    """The moments: by one query, and by another where the first shows that it must be."""
    plan, moments = _with_gaps(plan, source, threads)
    refuse_not_binary(plan, moments)
    caps, notices = caps_needed(plan, moments, source)
    if caps:
        plan = replace(plan, caps=caps)
        moments = aggregate(source, **plan.collected(), threads=threads)
    return _Found(plan, moments, notices)


def _with_gaps(plan: TablePlan, source: Any, threads: int | None) -> tuple[TablePlan, MomentsTable]:
    """The moments, where covariates have gaps by a second query that fills them."""
    try:
        return plan, aggregate(source, **plan.collected(), threads=threads)
    except DataError as refused:
        gaps = refused.code == "OUTCOME_MISSING" and refused.column in _covariates(plan)
        if not gaps:
            raise _as_told(plan, refused) from None
    try:
        plan = replace(plan, gaps=gaps_of(plan.before, source, threads))
        return plan, aggregate(source, **plan.collected(), threads=threads)
    except DataError as refused:
        raise _as_told(plan, refused) from None


def _covariates(plan: TablePlan) -> set[str]:
    return {*map(covariate_column, plan.before), *plan.before} - {*plan.experiment.outcome_columns}


def _as_told(plan: TablePlan, refused: DataError) -> DataError:
    """A refusal of the aggregation in the words of an analysis."""
    if refused.code == "OUTCOME_NOT_FINITE" and refused.column in _covariates(plan):
        code, remedy = "FEATURE_NOT_FINITE", "Repair the source."
    elif refused.code == "OUTCOME_MISSING":
        code, remedy = refused.code, ZERO_OR_VIEW
    else:
        return refused
    what = str(refused).split(". ")[0]
    return DataError(f"{what}. {remedy}", code=code, column=refused.column, count=refused.count)


def _refuse_rows_needed(experiment: Experiment, now: datetime) -> None:
    why = next(_rows_needed(experiment, now), None)
    if why is not None:
        raise DataError(
            f"{experiment.id} cannot be read from moments alone: {why}. Read it with `analyse`.",
            code="NEEDS_ROWS",
        )


def _rows_needed(experiment: Experiment, now: datetime) -> Iterator[str]:
    if experiment.cluster is not None:
        yield f"its clusters ({experiment.cluster}) are added up before anything is compared"
    if is_redrawn(experiment):
        yield "its waves are drawn anew, and customers are read by their totals in every arm"
    if experiment.kind == "trigger" and now < experiment.schedule.closes_at:
        yield "only units that are through their own response window count before the last closes"
