"""May this customer be contacted by this campaign? An answer for senders outside the project.

Read from files whose bytes the registry knows. What cannot be read, was changed or is too old is an
error, never a yes.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from uplift.assignment.order import inside_layer
from uplift.audience import eligible as in_audience
from uplift.errors import DataError, StateError
from uplift.experiment import CONTROL, Experiment
from uplift.export.suppression import (
    ALL_CHANNELS,
    MAX_AGE_HOURS,
    Suppression,
    read_suppression,
    refused,
)
from uplift.files import write_bytes
from uplift.frames import UNIT, clean_units, read_frame, require_exportable, rows_by_id
from uplift.intakes import CUSTOMERS, TABLE
from uplift.intakes import NAME as INTAKE
from uplift.registry.memberships import control_units
from uplift.registry.registry import Registry
from uplift.registry.states import position
from uplift.schedule import Window
from uplift.table import Column, Result, Table

REASONS = {
    "not in the audience": "not in the campaign's audience, or not among its customers",
    "outside the layer": "in another part of the campaign's layer",
    "not drawn": "in the audience and without an arm: by a cap, the exposure, or another holdout",
    "control": "held out by the campaign's own control",
    "excluded": "held out by another experiment's control, e.g. the universal one",
    "suppressed": "asked not to be contacted",
    "not live": "the campaign is not open for contacts",
    "not open yet": "the wave has not begun",
    "window closed": "the wave's response window has closed",
}
CURRENT = "assign"  # what the registry calls the first draw

Mask = npt.NDArray[np.bool_]


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


@dataclass(frozen=True, repr=False)
class DoNotContact(Result):
    """A list that was written for a sender: whom a campaign may not contact, and why."""

    campaign: str
    n_asked: int
    n_listed: int
    reasons: dict[str, int]
    sha256: str

    def table(self) -> Table:
        """Customers by reason; one may have several."""
        rows = [(name, REASONS[name], count) for name, count in self.reasons.items()]
        columns = (Column("reason"), Column("meaning"), Column("customers", kind="count"))
        note = f"{self.n_listed:,} of {self.n_asked:,} customers may not be contacted."
        return Table(f"Not to be contacted by {self.campaign}", columns, rows, note=note)


def eligible(
    unit: str,
    campaign: str,
    *,
    root: str | Path = "experiments",
    wave: str | None = None,
    suppressed: Any = None,
    as_of: datetime | None = None,
) -> Eligibility:
    """Whether a campaign may contact a unit now, or as of a time. See `eligible_units`."""
    table = eligible_units(
        [unit], campaign, root=root, wave=wave, suppressed=suppressed, as_of=as_of
    )
    row = table.iloc[0]
    reasons = tuple(row["reasons"].split(", ")) if row["reasons"] else ()
    arm = None if pd.isna(row["arm"]) else str(row["arm"])
    return Eligibility(campaign, not reasons, arm, reasons)


def eligible_units(
    units: Sequence[str],
    campaign: str,
    *,
    root: str | Path = "experiments",
    wave: str | None = None,
    suppressed: Any = None,
    as_of: datetime | None = None,
) -> pd.DataFrame:
    """The answers for many units: unit, eligible, arm, reasons (separated by commas).

    wave        the one that has opened last, when not given
    suppressed  who asked not to be contacted: a suppression file as an export takes it (no older
                than a day), or any table with `unit`
    as_of       now, when not given; a time without a zone is in the campaign's

    Errors: those of ids, EXPERIMENT_UNKNOWN, ARTEFACT_UNKNOWN (not assigned yet), WAVE_UNKNOWN,
    FILE_CHECKSUM, SUPPRESSION_STALE.
    """
    asked = clean_units(pd.Series(list(units), name=UNIT, dtype=object), what="units asked for")
    registry = Registry(root)
    entry, experiment = registry.entry(campaign), registry.definition(campaign)
    now = datetime.now(UTC) if as_of is None else experiment.schedule.moment(as_of)
    window = _window(experiment, wave, now)
    arm = _looked_up(asked, _assignment(registry, campaign, window.wave))
    flags = {
        **_absent(registry, experiment, window.wave, asked[arm.isna()]),
        "control": arm.eq(CONTROL),
        "excluded": asked.isin(set(_held_out(registry, experiment.assignment.excludes, now))),
        "suppressed": _suppressed(suppressed, asked, arm, experiment, now),
        "not live": position(entry.state) > position("maturing"),
        "not open yet": now < window.opens_at,
        "window closed": now >= window.closes_at,
    }
    against = pd.DataFrame({name: pd.Series(f, index=asked.index) for name, f in flags.items()})
    against = against.astype("boolean").fillna(False).astype(bool)
    reasons = [", ".join(against.columns[row]) for row in against.to_numpy(dtype=bool)]
    return pd.DataFrame(
        {
            UNIT: asked,
            "eligible": ~against.any(axis=1),
            "arm": arm,
            "reasons": pd.Series(reasons, index=asked.index, dtype="str"),
        }
    )


def write_do_not_contact(
    path: str | Path, campaign: str, *, root: str | Path = "experiments", **asked: Any
) -> DoNotContact:
    """Everybody among the campaign's customers whom it may not contact → CSV: unit, reasons.

    A sender drops these from whatever list it has made itself. Options and errors: those of
    `eligible_units`; ID_FORMULA.
    """
    registry = Registry(root)
    customers = _customers(registry, registry.definition(campaign))
    answers = eligible_units(customers[UNIT].tolist(), campaign, root=root, **asked)
    listed = answers.loc[~answers["eligible"], [UNIT, "reasons"]].sort_values(UNIT)
    require_exportable(listed[UNIT], what="do-not-contact list")
    content = listed.to_csv(index=False, lineterminator="\n").encode()
    counts = pd.Series(
        list(itertools.chain.from_iterable(r.split(", ") for r in listed["reasons"])), dtype="str"
    ).value_counts()
    return DoNotContact(
        campaign=campaign,
        n_asked=len(answers),
        n_listed=len(listed),
        reasons={name: int(counts[name]) for name in REASONS if name in counts},
        sha256=write_bytes(content, path),
    )


def _window(experiment: Experiment, wave: str | None, now: datetime) -> Window:
    if wave is not None:
        return experiment.schedule.window(wave)
    windows = experiment.schedule.windows
    return next((one for one in reversed(windows) if one.opens_at <= now), windows[0])


def _assignment(registry: Registry, campaign: str, wave: str | None = None) -> pd.DataFrame:
    """The wave's own assignment where there is one, else the first, with what joined it."""
    own = None if wave is None else _known(registry, campaign, f"assignment_{wave}")
    if own is not None:
        return _arms(own)
    names = (f"assignment_ramp_{number}" for number in itertools.count(2))
    ramps = itertools.takewhile(bool, (_known(registry, campaign, name) for name in names))
    intakes = [one / TABLE for one in registry.artefacts(campaign, prefix=INTAKE).values()]
    paths = (registry.artefact(campaign, CURRENT), *ramps, *intakes)
    parts = [_arms(path) for path in paths if path]
    return pd.concat(parts, ignore_index=True)


def _known(registry: Registry, campaign: str, name: str) -> Path | None:
    """A recorded file; None when none is recorded, an error when its bytes have changed."""
    try:
        return registry.artefact(campaign, name)
    except StateError as error:
        if error.code == "ARTEFACT_UNKNOWN":
            return None
        raise


def _arms(path: Path) -> pd.DataFrame:
    return read_frame(path, what="assignment", require=["arm"])[[UNIT, "arm"]]


def _looked_up(asked: pd.Series, assigned: pd.DataFrame) -> pd.Series:
    """Arm of each unit asked for; missing when it has none."""
    row = rows_by_id(asked, among=assigned[UNIT])
    arms = pd.Series(index=asked.index, dtype="str")
    arms[row >= 0] = assigned["arm"].astype("str").take(row[row >= 0]).to_numpy()
    return arms


def _absent(
    registry: Registry, experiment: Experiment, wave: str, units: pd.Series
) -> dict[str, Any]:
    """Why units without an arm have none, as far as the customers of the draw tell."""
    if units.empty:
        return {}
    own = _known(registry, experiment.id, f"customers_{wave}")
    customers = read_frame(own, what="customers") if own else _customers(registry, experiment)
    row = rows_by_id(units, among=customers[UNIT])
    inside, outside = np.zeros((2, len(units)), dtype=np.bool_)
    known = np.flatnonzero(row >= 0)
    inside[known] = in_audience(customers, experiment.audience)[row[known]]
    asked = customers.iloc[row[known]].reset_index(drop=True)
    outside[known] = inside[known] & ~inside_layer(asked, experiment)
    flags = {
        "not in the audience": ~inside,
        "outside the layer": outside,
        "not drawn": inside & ~outside,
    }
    return {name: pd.Series(flag, index=units.index) for name, flag in flags.items()}


def _customers(registry: Registry, experiment: Experiment) -> pd.DataFrame:
    """The customers of the first draw, and of the intakes since."""
    intakes = registry.artefacts(experiment.id, prefix=INTAKE).values()
    paths = [registry.artefact(experiment.id, "customers"), *(one / CUSTOMERS for one in intakes)]
    tables = [read_frame(path, what="customers") for path in paths]
    return pd.concat(tables, ignore_index=True).drop_duplicates(UNIT, ignore_index=True)


def _held_out(registry: Registry, excludes: Sequence[str], now: datetime) -> Iterator[str]:
    """Members of the controls that a campaign leaves out; of a rotating one, those of now."""
    for experiment_id in excludes:
        if registry.definition(experiment_id).rotation is not None:
            yield from control_units(registry, experiment_id, now)[UNIT]
            continue
        assigned = _assignment(registry, experiment_id)
        yield from assigned.loc[assigned["arm"] == CONTROL, UNIT]


def _suppressed(
    suppressed: Any, asked: pd.Series, arm: pd.Series, experiment: Experiment, now: datetime
) -> Mask:
    """Who refuses the channel of its arm; without an arm or a channel, any refusal counts."""
    flags = np.zeros(len(asked), dtype=np.bool_)
    if suppressed is None:
        return flags
    if not isinstance(suppressed, str | Path | Suppression):
        table = read_frame(suppressed, what="suppression list")
        if table.empty:
            raise DataError(
                "suppression list: it is empty. An empty list is taken for a broken one: leave it "
                "out if nobody is suppressed.",
                code="SUPPRESSION_STALE",
            )
        return np.asarray(rows_by_id(asked, among=table[UNIT]) >= 0)
    known = read_suppression(suppressed, as_of=now, max_age_hours=MAX_AGE_HOURS)
    matches = known.matches(asked)
    channels = arm.map({one.name: one.channel or ALL_CHANNELS for one in experiment.treatments})
    for channel in channels.fillna(ALL_CHANNELS).unique():
        mine = channels.fillna(ALL_CHANNELS).eq(channel).to_numpy()
        flags |= mine & refused(matches, channel=channel, n_units=len(asked))
    return flags
