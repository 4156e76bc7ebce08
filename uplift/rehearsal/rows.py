"""Rows of history: a customer, or a customer in a wave, and which of them a plan draws and reads.

waves drawn anew   every row whose customer is eligible in that wave is drawn and read
sticky waves       a customer comes in with the first wave that finds him eligible, and is read
                   once, by his outcomes in the windows from then on
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.analysis.waves import WAVE, is_redrawn, require_waves
from uplift.assignment.order import distinct_customers
from uplift.audience import eligible
from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.frames import UNIT, rows_by_id
from uplift.rehearsal.resampled import resampled

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
STANDS_FOR = "customer it stands for"


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows by wave, then unit.

    wave      (n_rows,)  position in the schedule; 0 where history has a row per customer
    eligible  (n_rows,)  in that wave
    """

    table: pd.DataFrame = field(repr=False)
    wave: IntArray = field(repr=False)
    eligible: Mask = field(repr=False)

    @property
    def first(self) -> Mask:
        """The first row of each customer. (n_rows,)."""
        return ~self.table[UNIT].duplicated().to_numpy()

    @property
    def n_customers(self) -> int:
        """Distinct customers."""
        return int(self.first.sum())

    def keep(self, mask: Mask) -> "Rows":
        """Those rows only."""
        table = self.table[mask].reset_index(drop=True)
        return Rows(table, self.wave[mask], self.eligible[mask])


def rows_of(experiment: Experiment, history: pd.DataFrame) -> Rows:
    """History with checked ids, in order; of several waves a row per customer and wave.

    Sticky waves may be told by a row per customer, whose outcomes are then those of all windows.
    Errors: REHEARSAL_WAVES, WAVE_UNKNOWN, ID_DUPLICATE, AUDIENCE_COLUMN and those of ids.
    """
    windows, cluster = experiment.schedule.windows, experiment.cluster
    if by_wave(experiment, history):
        require_waves(experiment, history[WAVE], what="history")
        _require_each(experiment, history[WAVE])
        parts = [
            distinct_customers(history[history[WAVE] == window.wave], cluster=cluster)
            for window in windows
        ]
    else:
        parts = [distinct_customers(history, cluster=cluster)]
    table = pd.concat([part.sort_values(UNIT) for part in parts], ignore_index=True)
    wave = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Rows(table, wave, np.asarray(eligible(table, experiment.audience), dtype=np.bool_))


def by_wave(experiment: Experiment, history: pd.DataFrame) -> bool:
    """Whether history tells the plan's waves apart. Errors: REHEARSAL_WAVES where it must."""
    if len(experiment.schedule.windows) == 1:
        return False
    if WAVE not in history.columns and is_redrawn(experiment):
        raise DefinitionError(
            f"{experiment.id} draws waves anew, and history has one row per customer. Give a row "
            "per customer and wave: the column 'wave', what was known when it began and the "
            "outcomes of its window (`history_of_waves` makes them from events of the past).",
            code="REHEARSAL_WAVES",
            column=WAVE,
        )
    return WAVE in history.columns


def settled(experiment: Experiment, rows: Rows, names: Sequence[str]) -> tuple[Rows, int]:
    """The rows that are read, their outcomes all known; and how many customers have none.

    names  columns that must be known. Of sticky waves in every window from the first one on
    """
    known = np.asarray(rows.table[list(names)].notna().all(axis=1), dtype=np.bool_)
    code, units = pd.factorize(rows.table[UNIT])
    n_waves = int(rows.wave.max(initial=0)) + 1
    came = np.full(len(units), n_waves, dtype=np.int64)
    np.minimum.at(came, code[rows.eligible], rows.wave[rows.eligible])
    if is_redrawn(experiment):
        kept = rows.eligible & known
        n_read = len(np.unique(code[kept]))
    else:
        since = rows.wave >= came[code]
        n_known = np.bincount(code[since & known], minlength=len(units))
        complete = (n_known == n_waves - came) & (came < n_waves)
        kept, n_read = since & complete[code], int(complete.sum())
    return rows.keep(kept), int((came < n_waves).sum()) - n_read


def enlarged(experiment: Experiment, rows: Rows, *, n_units: int, seed: int) -> Rows:
    """As many customers, or whole clusters of them, drawn with replacement, each in all its waves.

    Errors: REHEARSAL_DATA.
    """
    cluster = experiment.cluster
    first = rows.table[rows.first].sort_values(UNIT, ignore_index=True)
    marked = first.assign(**{STANDS_FOR: first[UNIT]})
    drawn = resampled(marked, n_units=n_units, cluster=cluster, seed=seed)
    ids = drawn[[STANDS_FOR, UNIT, *([cluster] if cluster else [])]]
    told = rows.table.rename(columns={UNIT: STANDS_FOR}).drop(columns=[cluster] if cluster else [])
    told = told.assign(**{"wave position": rows.wave, "is eligible": rows.eligible})
    both = ids.merge(told, on=STANDS_FOR).sort_values(["wave position", UNIT], ignore_index=True)
    return Rows(
        both.drop(columns=["wave position", "is eligible", STANDS_FOR]),
        both["wave position"].to_numpy(np.int64),
        both["is eligible"].to_numpy(np.bool_),
    )


def combined(
    experiment: Experiment, values: Mapping[str, Array], rows: Rows, read: pd.Series
) -> dict[str, Array]:
    """Outcomes of the rows as those of the units that are read: their windows together.

    A proportion's column is 1 where it is in any window; every other one is added up.

    values  by column, (n_rows,)
    read    ids of the rows that are read: every row, or the first one of each customer
    """
    if len(read) == len(rows.table):
        return dict(values)
    place = rows_by_id(rows.table[UNIT], among=read)
    any_of = {m.column for m in experiment.all_metrics if m.kind == "proportion"}
    found = {}
    for name, column in values.items():
        total = np.zeros(len(read))
        (np.maximum if name in any_of else np.add).at(total, place, column)
        found[name] = total
    return found


def _require_each(experiment: Experiment, waves: pd.Series) -> None:
    """Refuse a history that does not reach over all waves."""
    names = [window.wave for window in experiment.schedule.windows]
    told = set(waves)
    missing = [name for name in names if name not in told]
    if missing:
        raise DefinitionError(
            f"{experiment.id} has the waves {', '.join(names)}, and history has no row of "
            f"{', '.join(missing)}. Give history that is long enough for all of their windows, or "
            "rehearse the plan without those waves.",
            code="REHEARSAL_WAVES",
            column=WAVE,
        )
