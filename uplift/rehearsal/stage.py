"""History made ready for a rehearsal: outcomes without the campaign, and who is drawn."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.analysis.columns import planned_covariates
from uplift.analysis.waves import is_redrawn
from uplift.checks import Check, warning
from uplift.errors import DataError, DefinitionError
from uplift.experiment import Experiment
from uplift.frames import UNIT, read_frame
from uplift.looks import look_days
from uplift.outcome_rows import as_numbers, refuse_not_finite
from uplift.rehearsal.draws import WaveDraw, wave_draws
from uplift.rehearsal.looks_shown import Shown, waves_at
from uplift.rehearsal.rows import Rows, by_wave, combined, enlarged, rows_of, settled
from uplift.sizing.history import WINDOW_BEFORE, is_number, previous_window

IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
FEWEST = 30  # units; with fewer nothing is rehearsed


@dataclass(frozen=True, eq=False)
class Stage:
    """What every replay shares. A row is a unit or, where waves are drawn anew, a unit in a wave.

    history    a row per customer as known when first drawn
    outcomes   n_rows rows by wave, then unit: `unit` and the experiment's outcome columns
    by_day     what is read by the day of an interim look, where history shows it
    customers  `unit` and the covariates that go with those outcomes, a row per customer
    draws      what each wave draws, and which rows keep an arm
    wave       (n_rows,) position in the schedule of the wave that a row came in with
    cluster    (n_rows,) code of the drawn id of each row, waves drawn anew told apart
    customer   (n_rows,) code of the customer, or of the cluster, that a row is of
    silent     outcome columns that history does not have; they are 0 for everybody
    """

    history: pd.DataFrame = field(repr=False)
    outcomes: pd.DataFrame = field(repr=False)
    by_day: Mapping[int, Shown] = field(repr=False)
    customers: pd.DataFrame = field(repr=False)
    draws: tuple[WaveDraw, ...] = field(repr=False)
    wave: IntArray = field(repr=False)
    cluster: IntArray = field(repr=False)
    customer: IntArray = field(repr=False)
    silent: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def n_rows(self) -> int:
        """Rows that are drawn in each replay."""
        return len(self.outcomes)

    @property
    def n_units(self) -> int:
        """Customers who are drawn in each replay."""
        return len(self.history)


def stage_of(
    experiment: Experiment, history: Any, *, n_units: int | None = None, seed: int = 0
) -> Stage:
    """The eligible customers of history with an outcome for each metric that it can show.

    An outcome is the column of that name; else, of a mean, its covariate (the same number of the
    window before), whose own covariate is then the window before that one. What history does not
    have is 0 for everybody: nothing is redeemed, nobody opts out, where nothing is sent. The
    outcome up to an interim look on day 7 is the column `spend_by_day_7`.

    Of several waves history has a row per customer and wave, named in the column `wave`: what was
    known when it began, and the outcomes of its window (see `rows` for who is read how).

    n_units  as many customers drawn from those with replacement (see `resampled`); without it they
             are taken as they are

    Errors: REHEARSAL_DATA, REHEARSAL_WAVES, WAVE_UNKNOWN, AUDIENCE_COLUMN, COLUMN_MISSING,
    OUTCOME_NOT_NUMERIC, OUTCOME_NOT_FINITE, OUTCOME_NOT_BINARY and those of ids.
    """
    table = read_frame(history, what="history")
    told_apart = by_wave(experiment, table)
    rows = rows_of(experiment, table)
    sources = _sources(experiment, rows.table)
    rows, n_unknown = settled(experiment, rows, list(dict.fromkeys(sources.values())))
    n_known = rows.n_customers
    _require_enough(n_known)
    if n_units is not None:
        rows = enlarged(experiment, rows, n_units=n_units, seed=seed)
    read = np.ones(len(rows.wave), dtype=np.bool_) if is_redrawn(experiment) else rows.first
    table, first = rows.table[read].reset_index(drop=True), rows.table[rows.first]
    by_day = dict(_interim(experiment, rows, sources, read, told_apart=told_apart))
    cluster, customer = _codes(experiment, table, rows.wave[read])
    final = _values(experiment, rows.table, sources, suffix="")
    outcomes = _outcomes(experiment, final, rows, table[UNIT])
    _refuse_not_binary(experiment, outcomes, sources)
    silent = tuple(name for name in experiment.outcome_columns if name not in sources)
    return Stage(
        history=first.reset_index(drop=True),
        outcomes=outcomes,
        by_day=by_day,
        customers=_covariates(experiment, first.reset_index(drop=True), sources),
        draws=wave_draws(experiment, table, rows.wave[read]),
        wave=rows.wave[read],
        cluster=cluster,
        customer=customer,
        silent=silent,
        checks=(
            *_remarks(experiment, silent, n_unknown, by_day, told_apart=told_apart),
            *([] if n_units is None else [_stand_for(n_known, n_units)]),
        ),
    )


def _codes(
    experiment: Experiment, table: pd.DataFrame, wave: IntArray
) -> tuple[IntArray, IntArray]:
    """Of each row: the code of the id drawn in its wave, and of whom it is."""
    owner = pd.factorize(table[experiment.cluster or UNIT], sort=True)[0].astype(np.int64)
    if not is_redrawn(experiment):
        return owner, owner
    return np.unique(owner * (int(wave.max()) + 1) + wave, return_inverse=True)[1], owner


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


def _require_enough(n_known: int) -> None:
    if n_known < FEWEST:
        raise DefinitionError(
            f"{n_known} eligible customers have all outcomes in history; at least {FEWEST} are "
            "needed for a rehearsal. Give more history.",
            code="REHEARSAL_DATA",
        )


def _values(
    experiment: Experiment, table: pd.DataFrame, sources: Mapping[str, str], *, suffix: str
) -> dict[str, npt.NDArray[np.float64]]:
    """By outcome column, (n_rows,): what each row of history has of it."""
    return {
        name: _column(table, f"{sources[name]}{suffix}")
        if name in sources
        else np.zeros(len(table))
        for name in experiment.outcome_columns
    }


def _outcomes(
    experiment: Experiment,
    values: Mapping[str, npt.NDArray[np.float64]],
    rows: Rows,
    read: pd.Series,
) -> pd.DataFrame:
    return pd.DataFrame({UNIT: read, **combined(experiment, values, rows, read)})


def _column(table: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """A column of history as numbers, all of them known or, of an interim look, missing."""
    values = as_numbers(table[name], name=name, what="history")
    known = np.flatnonzero(~np.isnan(values))
    refuse_not_finite(values[known], column=name, rows=known)
    return values


def _interim(
    experiment: Experiment,
    rows: Rows,
    sources: Mapping[str, str],
    read: Mask,
    *,
    told_apart: bool,
) -> Iterator[tuple[int, Shown]]:
    """The interim looks that history shows, by day."""
    ids = rows.table.loc[read, UNIT].reset_index(drop=True)

    def by_day(day: int) -> dict[str, npt.NDArray[np.float64]] | None:
        suffix = f"_by_day_{day}"
        if all(f"{name}{suffix}" in rows.table.columns for name in sources.values()):
            return _values(experiment, rows.table, sources, suffix=suffix)
        return None

    if not told_apart:
        for day in look_days(experiment)[:-1]:
            found = by_day(day)
            if found is not None:
                yield day, Shown(_outcomes(experiment, found, rows, ids))
        return
    final = _values(experiment, rows.table, sources, suffix="")
    for day, values, waves in waves_at(experiment, rows.wave, final, by_day):
        shown = np.flatnonzero(waves[rows.wave[read]])
        yield day, Shown(_outcomes(experiment, values, rows, ids), shown)


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
    by_day: Mapping[int, Shown],
    *,
    told_apart: bool,
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
    if n_waves > 1 and not told_apart:
        yield warning(
            "REHEARSAL_WAVES",
            value=n_waves,
            remedy="History has one row per customer, so everybody comes in with the first wave, "
            f"and outcomes are taken to be those of all {n_waves} windows together. Give a row per "
            "customer and wave (column 'wave') to rehearse who comes in later.",
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
