"""What each wave of a plan draws on history, and who keeps the arm of an earlier wave.

Who is in which wave does not depend on the lots, so all of this is worked out once for all replays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.assignment.assign import list_salt, to_draw
from uplift.assignment.draws import Facts, draw_list, strata_of
from uplift.experiment import Experiment
from uplift.frames import UNIT, rows_by_id

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class WaveDraw:
    """What one wave draws.

    ids, facts, member  what is drawn, and which one each new row has (see `assign.to_draw`)
    new                 (n_new,)   rows that get an arm
    kept, source        (n_kept,)  rows that keep an arm, and the earlier rows whose it is
    n_known             units or clusters with an arm that counts here
    """

    wave: str
    ids: pd.Series = field(repr=False)
    facts: Facts = field(repr=False)
    member: IntArray = field(repr=False)
    new: IntArray = field(repr=False)
    kept: IntArray = field(repr=False)
    source: IntArray = field(repr=False)
    n_known: int


def wave_draws(experiment: Experiment, table: pd.DataFrame, wave: IntArray) -> tuple[WaveDraw, ...]:
    """A draw per wave of the schedule that has rows.

    table  rows by wave, then unit
    wave   (n_rows,)  position in the schedule
    """
    return tuple(_draws(experiment, table, wave))


def drawn_arms(experiment: Experiment, draws: Sequence[WaveDraw], n_rows: int) -> IntArray:
    """Position of each row's arm, by the assignment's own rule. (n_rows,)."""
    arm = np.zeros(n_rows, dtype=np.int64)
    for draw in draws:
        salt = list_salt(experiment, wave=draw.wave, n_known=draw.n_known)
        lots = draw_list(experiment, draw.ids, draw.facts, salt=salt)
        arm[draw.new] = lots.arm[draw.member]
        arm[draw.kept] = arm[draw.source]
    return arm


def strata_drawn(experiment: Experiment, draws: Sequence[WaveDraw], n_rows: int) -> pd.Series:
    """The stratum that each row is drawn in. (n_rows,)."""
    stratum = np.full(n_rows, "", dtype=object)
    for draw in draws:
        if len(draw.new):
            strata = strata_of(draw.facts.strata, experiment.assignment.strata)
            stratum[draw.new] = np.asarray(strata.of_each, dtype=object)[draw.member]
        stratum[draw.kept] = stratum[draw.source]
    return pd.Series(stratum, dtype="str")


def _draws(experiment: Experiment, table: pd.DataFrame, wave: IntArray) -> Iterator[WaveDraw]:
    ids = table[experiment.cluster or UNIT].astype("str")
    windows = experiment.schedule.windows
    sticky = np.array([window.draw == "sticky" for window in windows])
    for i, window in enumerate(windows):
        rows = np.flatnonzero(wave == i)
        if not len(rows):
            continue
        before = np.flatnonzero((wave < i) & sticky[wave]) if sticky[i] else np.empty(0, np.int64)
        known = before[~ids.iloc[before].duplicated().to_numpy()]
        found = rows_by_id(ids.iloc[rows], among=ids.iloc[known])
        new, kept = rows[found < 0], rows[found >= 0]
        drawn, facts, member = to_draw(
            experiment,
            table.iloc[new].reset_index(drop=True),
            ids.iloc[new].reset_index(drop=True),
        )
        source = known[found[found >= 0]]
        yield WaveDraw(window.wave, drawn, facts, member, new, kept, source, len(known))
