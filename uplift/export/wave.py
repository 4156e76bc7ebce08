"""Which units of an assignment a wave sends to, and why the others are left out."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.arms import Arm
from uplift.errors import DataError, DefinitionError, StateError
from uplift.experiment import CONTROL, Experiment
from uplift.export.suppression import ALL_CHANNELS, refused
from uplift.frames import UNIT, read_frame, require_exportable, rows_by_id
from uplift.trial import checked_assignment

NO_CHANNEL = "unspecified"  # list of the arms that name no channel
SEND = "send"
Mask = npt.NDArray[np.bool_]
FATES = ("control", "not_sent", "other_list", "held_out", "suppressed", "withdrawn", SEND)
AT, WOULD_SEND = "assigned_at", "would_send"


@dataclass(frozen=True)
class Wave:
    """A send: its assigned units, sorted, one row each.

    assigned  unit, arm, would_send
    held_out  units that other experiments keep from being contacted, sorted
    """

    experiment: Experiment
    name: str
    assigned: pd.DataFrame
    held_out: pd.Series

    @cached_property
    def units(self) -> pd.Series:
        """The assigned ids."""
        return self.assigned[UNIT]

    @cached_property
    def ids(self) -> list[str]:
        """The assigned ids, as plain text."""
        return list(map(str, self.units.tolist()))

    @cached_property
    def arms(self) -> list[str]:
        """The arm of each."""
        return list(map(str, self.assigned["arm"].tolist()))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over the lines `unit <tab> arm`, sorted by unit."""
        lines = map("{}\t{}\n".format, self.ids, self.arms)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @cached_property
    def held_out_sha256(self) -> str:
        """SHA-256 over the held-out ids, one a line, sorted."""
        lines = (f"{unit}\n" for unit in sorted(self.held_out.tolist()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def fates(
        self, channel: str, *, matches: pd.DataFrame, withdrawn: list[tuple[str, str]]
    ) -> pd.Series:
        """What becomes of each unit on a channel's list; the first reason in `FATES` counts.

        matches    of the suppression list with `units`
        withdrawn  units that opted out at an earlier export of this experiment, and the channel
        """
        n_units = len(self.units)
        on_channel = [arm.name for arm in self.experiment.treatments if channel_of(arm) == channel]
        asked = "" if channel == NO_CHANNEL else channel  # without a channel, any refusal counts
        mine = [u for u, c in withdrawn if not asked or c in (ALL_CHANNELS, asked)]
        reasons = {
            "control": (self.assigned["arm"] == CONTROL).to_numpy(),
            "not_sent": ~self.assigned[WOULD_SEND].to_numpy(np.bool_),
            "other_list": ~self.assigned["arm"].isin(on_channel).to_numpy(),
            "held_out": rows_by_id(self.units, among=self.held_out) >= 0,
            "suppressed": refused(matches, channel=asked, n_units=n_units),
            "withdrawn": rows_by_id(self.units, among=pd.Series(mine, dtype="str")) >= 0,
        }
        found = np.select(list(reasons.values()), list(reasons), default=SEND)
        return pd.Series(found, dtype="str")


def channel_of(arm: Arm) -> str:
    """The list an arm's units are on."""
    return arm.channel or NO_CHANNEL


def wave_of(
    experiment: Experiment, assigned: Any, *, wave: str | None, held_out: Any = None
) -> Wave:
    """The units of a wave, checked.

    assigned  one row per unit; or several waves' rows, told apart by `assigned_at`
    wave      the first one when not given
    held_out  any table with `unit`

    Errors: KIND_MISMATCH, WAVE_UNKNOWN, WAVE_NOT_DRAWN, ID_FORMULA, those of an assignment.
    """
    if experiment.kind == "universal_control":
        raise DefinitionError(
            f"{experiment.id} is a universal control: it keeps people from being contacted and "
            "sends nothing. Export the campaigns that exclude it.",
            code="KIND_MISMATCH",
        )
    table = read_frame(assigned, what="assignment", require=["arm"])
    name = experiment.schedule.window(wave).wave
    rows = checked_assignment(experiment, _drawn_for(experiment, table, name))
    require_exportable(rows[UNIT], what="assignment")
    would_send = rows[WOULD_SEND] if WOULD_SEND in rows.columns else True
    plain = pd.DataFrame({UNIT: rows[UNIT], "arm": rows["arm"], WOULD_SEND: would_send})
    return Wave(experiment, name, plain.sort_values(UNIT, ignore_index=True), _units(held_out))


def _drawn_for(experiment: Experiment, table: pd.DataFrame, wave: str) -> pd.DataFrame:
    """Rows of the wave, where the assignment has several waves; else its only rows."""
    if experiment.kind == "trigger":
        return table  # its units came in at many moments, all of the one wave
    window = experiment.schedule.window(wave)
    if AT in table.columns and not table.empty:
        drawn_at = pd.to_datetime(table[AT], utc=True)
        mine = drawn_at == pd.Timestamp(window.opens_at)
        if mine.any():
            return table[mine].reset_index(drop=True)
        if window.draw == "redrawn":
            raise StateError(
                f"{experiment.id}: the arms of wave {wave} are drawn anew, and the assignment has "
                f"none for it. Assign that wave first.",
                code="WAVE_NOT_DRAWN",
            )
    return table


def _units(held_out: Any) -> pd.Series:
    if held_out is None:
        return pd.Series([], dtype="str", name=UNIT)
    table = read_frame(held_out, what="held out units")
    if "arm" in table.columns and table["arm"].nunique() > 1:
        raise DataError(
            "held out units: this is a whole assignment. Give held_out(assigned), its control.",
            code="EXCLUDED_ARMS",
            column="arm",
        )
    return table[UNIT].drop_duplicates().sort_values(ignore_index=True)
