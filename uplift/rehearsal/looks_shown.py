"""What history shows at each interim look: whose outcomes are read, and what they are by then."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.analysis.waves import is_redrawn
from uplift.experiment import Experiment
from uplift.looks import look_days

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Values = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Shown:
    """The outcomes of one look.

    outcomes  of every row that is drawn, 0 of those that are not read yet
    rows      those that are read; None for all
    """

    outcomes: pd.DataFrame = field(repr=False)
    rows: IntArray | None = field(repr=False, default=None)


@dataclass(frozen=True, eq=False)
class WaveState:
    """Which waves have been sent, and which are over, at a look. Each (n_waves,)."""

    sent: Mask
    over: Mask

    @property
    def running(self) -> Mask:
        """Sent, and not over."""
        return self.sent & ~self.over


def wave_state(experiment: Experiment, day: int) -> WaveState:
    """The waves at a day after the launch."""
    moment = experiment.schedule.launch_at + timedelta(days=day)
    windows = experiment.schedule.windows
    return WaveState(
        np.array([window.opens_at < moment for window in windows]),
        np.array([window.closes_at <= moment for window in windows]),
    )


def waves_at(
    experiment: Experiment,
    wave: IntArray,
    final: Mapping[str, Array],
    by_day: Callable[[int], Values | None],
) -> Iterator[tuple[int, Values, Mask]]:
    """Day, outcomes and the waves that are read, of each interim look that history can show.

    Waves drawn anew are read once their window has closed, or so far when none has; sticky ones
    always so far. A window that has closed needs no column of its own: its outcomes are the final
    ones.

    wave    (n_rows,)  position in the schedule
    final   by column, (n_rows,)
    by_day  the outcomes by a day, None where history does not tell them
    """
    for day in look_days(experiment)[:-1]:
        state = wave_state(experiment, day)
        only_over = is_redrawn(experiment) and bool(state.over.any())
        so_far = None if only_over or not state.running.any() else by_day(day)
        if so_far is None and not only_over and state.running.any():
            continue
        counted = {}
        for name, values in final.items():
            by_now = np.where(state.over[wave], values, 0.0)
            if so_far is not None:
                by_now = np.where(state.running[wave], so_far[name], by_now)
            counted[name] = by_now
        yield day, counted, state.over if only_over else state.sent
