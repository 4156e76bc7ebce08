"""Which units have been watched long enough to be read."""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.analysis.waves import WAVE, is_redrawn
from uplift.event_times import in_utc, times_in_zone
from uplift.experiment import Experiment
from uplift.outcomes import ASSIGNED

Mask = npt.NDArray[np.bool_]


def mature_units(experiment: Experiment, assignment: pd.DataFrame, as_of: datetime | None) -> Mask:
    """Whose response window had closed at `as_of`. Returns (n_units,).

    A trigger's units are watched `response_days` from their own assignment; where waves are drawn
    anew, a row is watched until the window of its wave has closed. All units of another campaign
    are watched until its last window has closed, so they mature together.
    """
    n_units = len(assignment)
    if as_of is None or as_of >= experiment.schedule.closes_at:
        return np.ones(n_units, dtype=np.bool_)
    if is_redrawn(experiment):
        open_waves = {w.wave for w in experiment.schedule.windows if w.closes_at > as_of}
        return np.asarray(~assignment[WAVE].isin(open_waves), dtype=np.bool_)
    if experiment.kind != "trigger" or ASSIGNED not in assignment.columns:
        return np.zeros(n_units, dtype=np.bool_)
    zone = experiment.schedule.timezone
    assigned = in_utc(times_in_zone(assignment[ASSIGNED], zone, what="assignment"))
    closes = assigned + np.timedelta64(experiment.schedule.response_days, "D")
    return np.asarray(closes <= np.datetime64(as_of.astimezone(UTC).replace(tzinfo=None)))
