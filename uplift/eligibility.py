"""May this customer be contacted by this campaign? An answer for senders outside the project.

Read from the files of the project; what cannot be read or was changed is an error, never a yes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from uplift.errors import DataError
from uplift.experiment import CONTROL
from uplift.frames import UNIT, clean_units, read_frame
from uplift.registry.memberships import control_units
from uplift.registry.registry import Registry
from uplift.registry.states import position
from uplift.table import Column, Result, Table

REASONS = {
    "not assigned": "not in the campaign's list, so not in its audience",
    "control": "held out by the campaign's own control",
    "excluded": "held out by another experiment's control, e.g. the universal one",
    "suppressed": "asked not to be contacted",
    "not live": "the campaign is not open for contacts",
    "window closed": "the campaign's last response window has closed",
}


@dataclass(frozen=True, repr=False)
class Eligibility(Result):
    """The answer for one unit; without reasons against it, it may be contacted.

    arm  of the campaign, None when the unit is in none
    """

    campaign: str
    eligible: bool
    arm: str | None
    reasons: tuple[str, ...]

    def table(self) -> Table:
        """The answer, and each reason against it."""
        columns = [Column("eligible"), Column("arm"), Column("reasons")]
        words = "; ".join(f"{name}: {REASONS[name]}" for name in self.reasons)
        return Table(f"Eligible for {self.campaign}", columns, [(self.eligible, self.arm, words)])


def eligible(
    unit: str,
    campaign: str,
    *,
    root: str | Path = "experiments",
    suppressed: Any = None,
    as_of: datetime | None = None,
) -> Eligibility:
    """Whether a campaign may contact a unit now, or as of a time in UTC.

    suppressed  any table with `unit`: who asked not to be contacted
    Errors: those of ids, EXPERIMENT_UNKNOWN, ARTEFACT_UNKNOWN (not assigned yet), FILE_CHECKSUM.
    """
    table = eligible_units([unit], campaign, root=root, suppressed=suppressed, as_of=as_of)
    row = table.iloc[0]
    reasons = tuple(row["reasons"].split(", ")) if row["reasons"] else ()
    arm = None if pd.isna(row["arm"]) else str(row["arm"])
    return Eligibility(campaign, not reasons, arm, reasons)


def eligible_units(
    units: Sequence[str],
    campaign: str,
    *,
    root: str | Path = "experiments",
    suppressed: Any = None,
    as_of: datetime | None = None,
) -> pd.DataFrame:
    """The answers for many units: unit, eligible, arm, reasons (separated by commas).

    Those who are not eligible are a do-not-contact list for any sender. Errors: as `eligible`.
    """
    asked = clean_units(pd.Series(list(units), name=UNIT, dtype="str"), what="units asked for")
    registry = Registry(root)
    entry, experiment = registry.entry(campaign), registry.definition(campaign)
    assigned, now = _arms(registry, campaign), as_of or datetime.now(UTC)
    against = {
        "not assigned": ~asked.isin(assigned.index),
        "control": asked.map(assigned).eq(CONTROL),
        "excluded": asked.isin(set(_held_out(registry, experiment.assignment.excludes, now))),
        "suppressed": asked.isin(_suppressed(suppressed)),
        "not live": position(entry.state) > position("maturing"),
        "window closed": now >= experiment.schedule.closes_at,
    }
    flags = pd.DataFrame(
        {name: pd.Series(value, index=asked.index) for name, value in against.items()}
    )
    reasons = [", ".join(flags.columns[row]) for row in flags.to_numpy(dtype=bool)]
    return pd.DataFrame(
        {
            UNIT: asked,
            "eligible": ~flags.any(axis=1),
            "arm": asked.map(assigned),
            "reasons": pd.Series(reasons, index=asked.index, dtype="str"),
        }
    )


def _arms(registry: Registry, experiment_id: str) -> pd.Series:
    """Arm by unit, from the assignment whose bytes the registry knows."""
    path = registry.artefact(experiment_id, "assign")
    table = read_frame(path, what="assignment", require=["arm"])
    return table.set_index(UNIT)["arm"]


def _held_out(registry: Registry, excludes: Sequence[str], now: datetime) -> Iterator[str]:
    """Members of the controls that a campaign leaves out; of a rotating one, those of now."""
    for experiment_id in excludes:
        if registry.definition(experiment_id).rotation is not None:
            yield from control_units(registry, experiment_id, now)[UNIT]
            continue
        arms = _arms(registry, experiment_id)
        yield from arms.index[arms == CONTROL]


def _suppressed(suppressed: Any) -> pd.Series:
    if suppressed is None:
        return pd.Series(dtype="str")
    table = read_frame(suppressed, what="suppression list")
    if table.empty:
        raise DataError(
            "suppression list: it is empty. An empty list is taken for a broken one: leave it out "
            "if nobody is suppressed.",
            code="SUPPRESSION_STALE",
        )
    return table[UNIT]
