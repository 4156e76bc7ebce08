"""The long term read early: what the first weeks are worth in a year, and what a test moves of it.

    index = surrogate_index(history, surrogates=["visits", "spend_28d"], outcome="margin_365d")
    index = index.tested_on(last_years_test, assigned, outcomes)   # when one is known to its end
    index.effect(experiment, assigned, outcomes)

The effect is an expectation under two assumptions, never a measurement; it always says which.
Source: Athey, Chetty, Imbens & Kang (2019), "The Surrogate Index", NBER 26463.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.analysis.panel import Followed, per_unit_of_clusters, require_whole_clusters
from uplift.analysis.surrogate_report import (
    ASSUMPTIONS,
    Evidence,
    SurrogateReport,
    SurrogateRow,
)
from uplift.checks import Check, warning
from uplift.errors import DataError, DefinitionError
from uplift.experiment import CONTROL, Experiment
from uplift.frames import (
    UNIT,
    frame_digest,
    read_frame,
    require_rows,
    require_unique,
    rows_by_id,
)
from uplift.inference.moments import Moments
from uplift.inference.periods import covariances_of
from uplift.inference.sample_ratio import check_sample_ratio
from uplift.inference.surrogate import (
    SurrogateIndex,
    direct_effect,
    effect_by_index,
    fit_index,
)
from uplift.outcome_rows import refuse_not_finite
from uplift.table import Column, Result, Table, format_value

WEAK = 0.05  # share of the long-term variance below which the index says little

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class SurrogateModel(Result):
    """What short-term outcomes are worth in the long run, learned from customers of the past.

    units  ids of the history, which should not be those of a test
    """

    index: SurrogateIndex
    outcome: str
    data_digest: str
    units: pd.Series = field(repr=False)
    evidence: tuple[Evidence, ...] = ()

    def table(self) -> Table:
        """What one more of each surrogate is worth, the others held."""
        columns = (
            Column("one more of"),
            Column(f"is worth, of {self.outcome}", kind="signed"),
            Column("standard error", kind="number"),
        )
        errors = np.sqrt(np.diag(self.index.covariance))[1:]
        rows = [
            (name, float(worth), float(error))
            for name, worth, error in zip(
                self.index.surrogates, self.index.slope, errors, strict=True
            )
        ]
        explained = format_value(self.index.r_squared, "share")
        note = (
            f"From {self.index.n_units:,} customers of the past; explains {explained} of what "
            f"others of them brought."
        )
        return Table(f"What leads to {self.outcome}", columns, rows, note=note)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Whether the index says anything, and whether a test has contradicted it."""
        return tuple(self._remarks())

    def tested_on(
        self,
        experiment: Experiment,
        assigned: Any,
        outcomes: Any,
        *,
        missing: Literal["refuse", "zero"] = "refuse",
    ) -> "SurrogateModel":
        """The index with the evidence of a test whose long-term outcome is known by now.

        outcomes  one row per unit with the surrogates and the long-term outcome

        Errors: those of `effect`.
        """
        arms = _arms(
            experiment, assigned, outcomes, (*self.index.surrogates, self.outcome), missing
        )
        level = _level(experiment)
        found = tuple(
            Evidence(
                experiment.id,
                arm,
                effect_by_index(self.index, *pair, confidence=level).estimate,
                direct_effect(self.index, *pair, outcome=self.outcome, confidence=level),
            )
            for arm, pair in arms.pairs()
        )
        return replace(self, evidence=(*self.evidence, *found))

    def effect(
        self,
        experiment: Experiment,
        assigned: Any,
        outcomes: Any,
        *,
        missing: Literal["refuse", "zero"] = "refuse",
    ) -> SurrogateReport:
        """The effect on the index: the long-term effect if the two assumptions hold.

        outcomes  one row per unit with the surrogates, over the same days as in the history
        missing   what an assigned unit without a surrogate means: an error, or 0

        Errors: DefinitionError KIND_MISMATCH (waves drawn anew); DataError OUTCOME_MISSING,
        OUTCOME_NOT_NUMERIC, OUTCOME_NOT_FINITE, COLUMN_MISSING, ARM_TOO_SMALL, CLUSTER_TWO_ARMS
        and those of ids and assignments.
        """
        arms = _arms(experiment, assigned, outcomes, self.index.surrogates, missing)
        level = _level(experiment)
        listed = " and ".join(self.index.surrogates)
        return SurrogateReport(
            experiment=experiment.id,
            title=experiment.title,
            digest=experiment.digest,
            data_digest=arms.data_digest,
            outcome=self.outcome,
            surrogates=self.index.surrogates,
            confidence=experiment.analysis.confidence,
            rows=tuple(
                SurrogateRow(arm, effect_by_index(self.index, *pair, confidence=level))
                for arm, pair in arms.pairs()
            ),
            assumptions=tuple(one.format(surrogates=listed) for one in ASSUMPTIONS),
            evidence=self.evidence,
            checks=(
                check_sample_ratio(arms.randomised, shares=experiment.shares),
                *self._remarks(),
                *_shared(arms.units, self.units),
            ),
        )

    def _remarks(self) -> Iterator[Check]:
        if self.index.r_squared < WEAK:
            yield warning(
                "INDEX_WEAK",
                value=self.index.r_squared,
                remedy=f"The surrogates explain {self.index.r_squared:.0%} of {self.outcome} in "
                "customers they were not fitted on. Take others, or wait for the long term.",
            )
        if not self.evidence:
            yield warning(
                "SURROGACY_UNTESTED",
                value=None,
                remedy="Nothing tells whether campaigns work through the surrogates only. Give a "
                "test that is known to its end: `index.tested_on(...)`.",
            )
        yield from (one.check for one in self.evidence)


def surrogate_index(
    history: Any, *, surrogates: Sequence[str], outcome: str, seed: int = 0
) -> SurrogateModel:
    """Learn what short-term outcomes are worth in the long run.

    history     one row per unit: `unit`, the surrogates and the long-term outcome, of customers
                whose long term is known; best of a campaign like the one to be read
    surrogates  columns over the same days as in the test; covariates from before it may be among
                them
    outcome     the long-term column, e.g. the margin of a year
    seed        of the folds on which the share explained is measured

    Errors: DefinitionError METRIC_DUPLICATE; DataError EMPTY_INPUT, COLUMN_MISSING,
    OUTCOME_NOT_NUMERIC, OUTCOME_NOT_FINITE, ARM_TOO_SMALL (too little history), those of ids.
    """
    columns = (*surrogates, outcome)
    if not surrogates or len(set(columns)) < len(columns):
        raise DefinitionError(
            f"At least one surrogate is needed, each once and none the outcome itself; got "
            f"{', '.join(surrogates) or 'none'} for {outcome}.",
            code="METRIC_DUPLICATE",
        )
    table = read_frame(history, what="history", require=columns)
    require_rows(table, what="history")
    require_unique(table[UNIT], what="history")
    values = {name: _numbers(table[name], name, what="history") for name in columns}
    for name, column in values.items():
        refuse_not_finite(column, column=name)
    index = fit_index(
        np.column_stack([values[name] for name in surrogates]),
        values[outcome],
        names=tuple(surrogates),
        seed=seed,
    )
    digest = frame_digest(table[[UNIT, *columns]])
    return SurrogateModel(index, outcome, digest, table[UNIT])


@dataclass(frozen=True, eq=False)
class _Arms:
    """Moments of every arm, of units, or of clusters brought to one unit."""

    moments: Mapping[str, Moments]
    randomised: Mapping[str, int]
    units: pd.Series
    data_digest: str

    def pairs(self) -> Iterator[tuple[str, tuple[Moments, Moments]]]:
        """Every treatment with its moments and the control's."""
        for arm, moments in self.moments.items():
            if arm != CONTROL:
                yield arm, (moments, self.moments[CONTROL])


def _arms(
    experiment: Experiment, assigned: Any, outcomes: Any, columns: Sequence[str], missing: str
) -> _Arms:
    followed = Followed.of(experiment, assigned)
    assignment = followed.assignment
    table = read_frame(outcomes, what="outcomes", require=columns)
    require_unique(table[UNIT], what="outcomes")
    row = rows_by_id(assignment[UNIT], among=table[UNIT])
    values = {
        name: _of_units(_numbers(table[name], name, what="outcomes"), row, name, missing)
        for name in columns
    }
    cluster = None if experiment.cluster is None else pd.factorize(assignment["cluster"])[0]
    if cluster is not None:
        require_whole_clusters(assignment["arm"], cluster)
    moments, randomised = {}, {}
    for arm in experiment.arm_names:
        mine = (assignment["arm"] == arm).to_numpy()
        data = np.column_stack([values[name][mine] for name in columns])
        if cluster is not None and len(data):
            data = per_unit_of_clusters(data, cluster[mine])
        randomised[arm] = len(data)
        moments[arm] = Moments.of(
            dict(zip(columns, data.T, strict=True)), columns, covariances_of(columns)
        )
    digest = frame_digest(assignment[[UNIT, "arm"]].assign(**values))
    return _Arms(moments, randomised, assignment[UNIT], digest)


def _of_units(values: Array, row: npt.NDArray[np.int64], name: str, missing: str) -> Array:
    """A column in the order of the assignment. Errors: OUTCOME_MISSING, OUTCOME_NOT_FINITE."""
    found = np.where(row >= 0, values[row], np.nan)
    gaps = np.flatnonzero(np.isnan(found))
    if len(gaps) and missing != "zero":
        raise DataError(
            f"outcomes: column {name!r} is missing for {len(gaps)} assigned unit(s), first that of "
            f"row {gaps[0] + 1} of the assignment. Units that have left count 0: say "
            "missing='zero' if that is what a gap means.",
            code="OUTCOME_MISSING",
            column=name,
            count=len(gaps),
            rows=(gaps[:5] + 1).tolist(),
        )
    found[gaps] = 0.0
    refuse_not_finite(found, column=name)
    return found


def _numbers(column: pd.Series, name: str, *, what: str) -> Array:
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise DataError(
            f"{what}: column {name!r} must hold numbers, but is {column.dtype}. Repair the source.",
            code="OUTCOME_NOT_NUMERIC",
            column=name,
        )
    return np.asarray(column.to_numpy(np.float64, na_value=np.nan), dtype=np.float64)


def _shared(units: pd.Series, history: pd.Series) -> Iterator[Check]:
    count = int((rows_by_id(units, among=history) >= 0).sum())
    if count:
        yield warning(
            "SURROGATE_OVERLAP",
            value=count,
            remedy="These units of the test are in the index's history too. Its error is taken to "
            "be independent of the test's: learn the index from other customers.",
        )


def _level(experiment: Experiment) -> float:
    """Confidence of each interval, so that those of all treatments hold together."""
    return float(experiment.analysis.confidence ** (1 / len(experiment.treatments)))
