"""History made ready for a rehearsal: outcomes without the campaign, and who is drawn."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.analysis.columns import planned_covariates
from uplift.assignment.assign import to_draw
from uplift.assignment.draws import Facts
from uplift.assignment.order import distinct_customers
from uplift.audience import eligible
from uplift.checks import Check, warning
from uplift.errors import DataError, DefinitionError
from uplift.experiment import Experiment
from uplift.frames import UNIT
from uplift.looks import look_days
from uplift.outcome_rows import as_numbers, refuse_not_finite
from uplift.rehearsal.resampled import resampled
from uplift.sizing.history import WINDOW_BEFORE, is_number, previous_window

IntArray = npt.NDArray[np.int64]
FEWEST = 30  # units; with fewer nothing is rehearsed


@dataclass(frozen=True, eq=False)
class Stage:
    """What every replay shares.

    history    the eligible rows with known outcomes, in the order of their units
    outcomes   `unit` and the experiment's outcome columns, in the same order
    by_day     the same by the day of an interim look, where history has it
    customers  `unit` and the covariates that go with those outcomes
    ids, facts, member  what is drawn (see `assignment.assign.to_draw`)
    cluster    (n_units,) code of the drawn id of each unit
    silent     outcome columns that history does not have; they are 0 for everybody
    """

    history: pd.DataFrame = field(repr=False)
    outcomes: pd.DataFrame = field(repr=False)
    by_day: Mapping[int, pd.DataFrame] = field(repr=False)
    customers: pd.DataFrame = field(repr=False)
    ids: pd.Series = field(repr=False)
    facts: Facts = field(repr=False)
    member: IntArray = field(repr=False)
    silent: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def n_units(self) -> int:
        """Customers who are drawn in each replay."""
        return len(self.outcomes)


def stage_of(
    experiment: Experiment, history: Any, *, n_units: int | None = None, seed: int = 0
) -> Stage:
    """The eligible customers of history with an outcome for each metric that it can show.

    An outcome is the column of that name; else, of a mean, its covariate (the same number of the
    window before), whose own covariate is then the window before that one. What history does not
    have is 0 for everybody: nothing is redeemed, nobody opts out, where nothing is sent. The
    outcome up to an interim look on day 7 is the column `spend_by_day_7`.

    n_units  as many customers drawn from those with replacement (see `resampled`); without it they
             are taken as they are

    Errors: REHEARSAL_DATA, AUDIENCE_COLUMN, COLUMN_MISSING, OUTCOME_NOT_NUMERIC,
    OUTCOME_NOT_FINITE, OUTCOME_NOT_BINARY and those of ids.
    """
    table = distinct_customers(history, cluster=experiment.cluster)
    table = table[eligible(table, experiment.audience)]
    table = table.sort_values(UNIT, ignore_index=True)
    sources = _sources(experiment, table)
    table, n_unknown = _known(table, sources)
    n_known = len(table)
    if n_units is not None:
        table = resampled(table, n_units=n_units, cluster=experiment.cluster, seed=seed)
    outcomes = _outcomes(experiment, table, sources, suffix="")
    _refuse_not_binary(experiment, outcomes, sources)
    cluster = table[experiment.cluster or UNIT].astype("str")
    ids, facts, member = to_draw(experiment, table, cluster)
    by_day = dict(_interim(experiment, table, sources))
    silent = tuple(name for name in experiment.outcome_columns if name not in sources)
    return Stage(
        history=table,
        outcomes=outcomes,
        by_day=by_day,
        customers=_covariates(experiment, table, sources),
        ids=ids,
        facts=facts,
        member=member,
        silent=silent,
        checks=(
            *_remarks(experiment, silent, n_unknown, by_day),
            *([] if n_units is None else [_stand_for(n_known, n_units)]),
        ),
    )


def _sources(experiment: Experiment, table: pd.DataFrame) -> dict[str, str]:
    """By outcome column: the column of history that stands for it."""
    found = {name: name for name in experiment.outcome_columns if name in table.columns}
    for metric in experiment.all_metrics:
        if metric.column not in found and metric.kind == "mean" and metric.covariate in table:
            found[metric.column] = str(metric.covariate)
    wanted = [experiment.primary.column, experiment.primary.denominator]
    missing = [name for name in wanted if name is not None and name not in found]
    if missing:
        raise DefinitionError(
            f"{experiment.id}: history says nothing of {missing[0]!r}, which decides, so the plan "
            "cannot be rehearsed. Add the column, or the metric's covariate.",
            code="REHEARSAL_DATA",
            column=missing[0],
        )
    return found


def _known(table: pd.DataFrame, sources: Mapping[str, str]) -> tuple[pd.DataFrame, int]:
    """Rows whose outcomes are all known, and how many are not."""
    known = table[list(dict.fromkeys(sources.values()))].notna().all(axis=1)
    if known.sum() < FEWEST:
        raise DefinitionError(
            f"{int(known.sum())} eligible customers have all outcomes in history; at least "
            f"{FEWEST} are needed for a rehearsal. Give more history.",
            code="REHEARSAL_DATA",
        )
    return table[known].reset_index(drop=True), int((~known).sum())


def _outcomes(
    experiment: Experiment, table: pd.DataFrame, sources: Mapping[str, str], *, suffix: str
) -> pd.DataFrame:
    columns = {
        name: _column(table, f"{sources[name]}{suffix}")
        if name in sources
        else np.zeros(len(table))
        for name in experiment.outcome_columns
    }
    return pd.DataFrame({UNIT: table[UNIT], **columns})


def _column(table: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """A column of history as numbers, all of them known or, of an interim look, missing."""
    values = as_numbers(table[name], name=name, what="history")
    known = np.flatnonzero(~np.isnan(values))
    refuse_not_finite(values[known], column=name, rows=known)
    return values


def _interim(
    experiment: Experiment, table: pd.DataFrame, sources: Mapping[str, str]
) -> Iterator[tuple[int, pd.DataFrame]]:
    for day in look_days(experiment)[:-1]:
        suffix = f"_by_day_{day}"
        if all(f"{name}{suffix}" in table.columns for name in sources.values()):
            yield day, _outcomes(experiment, table, sources, suffix=suffix)


def _covariates(
    experiment: Experiment, table: pd.DataFrame, sources: Mapping[str, str]
) -> pd.DataFrame:
    """Every column by which the analysis adjusts, as it was before the outcomes that are read."""
    known = {name: is_number(table, name) for name in table.columns}
    names = [
        name
        for metric in experiment.all_metrics
        for name in planned_covariates(experiment, metric, known)
        if name in known
    ]
    columns = {name: _before(experiment, name, table, sources) for name in dict.fromkeys(names)}
    return pd.DataFrame(
        {UNIT: table[UNIT], **{k: values for k, values in columns.items() if values is not None}}
    )


def _before(
    experiment: Experiment, name: str, table: pd.DataFrame, sources: Mapping[str, str]
) -> Any:
    """A covariate of the time before the outcomes, wherever that is; None where it is not known.

    What the draw balances is what it balances.
    """
    if name in experiment.assignment.balance:
        return table[name]
    owners = [m for m in experiment.all_metrics if m.covariate == name] or [experiment.primary]
    moved = any(m.covariate is not None and sources.get(m.column) == m.covariate for m in owners)
    if moved and (name in sources.values() or WINDOW_BEFORE.match(name)):
        return previous_window(name, table)
    return table[name]


def _refuse_not_binary(
    experiment: Experiment, outcomes: pd.DataFrame, sources: Mapping[str, str]
) -> None:
    for metric in experiment.all_metrics:
        values = outcomes[metric.column].to_numpy()
        if metric.kind == "proportion" and not np.isin(values, (0, 1)).all():
            raise DataError(
                f"history: {metric.key} is a proportion, so {sources[metric.column]!r} must be 0 "
                "or 1. Recode it or define it as a mean.",
                code="OUTCOME_NOT_BINARY",
                column=metric.column,
            )


def _stand_for(n_known: int, n_units: int) -> Check:
    return warning(
        "REHEARSAL_RESAMPLED",
        value=n_units,
        remedy=f"{n_known:,} customers of history, drawn with replacement, stand for {n_units:,}: "
        "what none of them did does not happen here either.",
    )


def _remarks(
    experiment: Experiment,
    silent: tuple[str, ...],
    n_unknown: int,
    by_day: Mapping[int, pd.DataFrame],
) -> Iterator[Check]:
    if silent:
        yield warning(
            "REHEARSAL_PARTIAL",
            value=", ".join(silent),
            remedy="History does not have these columns: they are 0 for everybody here, and what "
            "is read of them says nothing.",
        )
    if n_unknown:
        yield warning(
            "REHEARSAL_ROWS",
            value=n_unknown,
            remedy="These eligible customers have no outcome in history and are left out.",
        )
    n_waves = len(experiment.schedule.windows)
    if n_waves > 1:
        yield warning(
            "REHEARSAL_ONE_WAVE",
            value=n_waves,
            remedy="Waves are not rehearsed: everybody is drawn, and read, in the first one.",
        )
    left_out = [day for day in look_days(experiment)[:-1] if day not in by_day]
    if left_out:
        yield warning(
            "REHEARSAL_LOOKS",
            value=", ".join(map(str, left_out)),
            remedy="History does not tell outcomes by these days (columns such as "
            f"spend_by_day_{left_out[0]}), so those looks are not rehearsed. The others keep "
            "their bounds.",
        )
