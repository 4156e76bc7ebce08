"""Who was held out by a universal control from when to when, kept for ever.

A rotation ends one cohort and begins another, in one transaction with its audit row, which holds
the digest of the members. They are compared and written before it (`members`), so that other
writers wait for a few rows only. Rows are never removed and end once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, RowMapping, select

from uplift.checks import Check
from uplift.errors import DataError, DefinitionError, StateError
from uplift.experiment import Experiment
from uplift.frames import UNIT, clean_units, read_frame, rows_by_id
from uplift.registry.artefacts import Artefact, artefact_of
from uplift.registry.contents import insert_rows, update_row
from uplift.registry.failing import fail_point
from uplift.registry.members import batch_of, members_digest, stage_members, units_in
from uplift.registry.refusals import repeated
from uplift.registry.rows import Entry, artefacts_in, entry_of
from uplift.registry.states import position
from uplift.registry.tables import cohort_members, control_cohorts, experiments
from uplift.registry.trail import AuditRow, require_signable

if TYPE_CHECKING:
    from uplift.registry.registry import Registry

ROTATE = "rotate"  # the action in the trail
MAX_SHOWN = 3  # units named in a refusal

Moment = str | date | datetime


@dataclass(frozen=True)
class NewCohort:
    """A cohort that begins: its number from 1, its units, and the file of its draw."""

    number: int
    units: tuple[str, ...]
    draw: Path

    @cached_property
    def sha256(self) -> str:
        """Digest of the members, whatever their order."""
        return members_digest(self.units)

    def batch_in(self, programme: str) -> str:
        """What the batch of its members is called."""
        return batch_of(programme, self.number, sha256=self.sha256)


@repeated
def rotate(
    registry: "Registry",
    programme: str,
    cohorts: Sequence[NewCohort],
    *,
    release: int | None = None,
    at: datetime,
    who: str | None = None,
    why: str = "",
) -> bool:
    """Let a cohort go and begin others, whole or not at all; gives whether anything changed.

    release  number of the cohort whose membership ends; None at the start
    at       the moment of both, with a time zone

    The same rotation again, or beside another that did it first, changes nothing.
    Errors: EXPERIMENT_UNKNOWN, STATE_ORDER (a draft), ROTATION_MISSING, COHORT_FROZEN (begun with
    other members), COHORT_ORDER, TIME_ORDER, TIME_FUTURE, MEMBER_WASHING (held out, or let go less
    than washout_days ago), ARTEFACT_MISSING, ARTEFACT_OUTSIDE, VALUE_RANGE.
    """
    experiment = rotating(registry, programme)
    files = tuple(artefact_of(registry.root, f"cohort_{c.number}", c.draw) for c in cohorts)
    require_signable(who=who or "", why=why)
    with registry._database.read() as connection:
        _require_sealed(entry_of(connection, programme))
        known = _cohorts(connection, programme)
        if _is_done(programme, known, cohorts):
            return False
        _check_turn(programme, known, cohorts, release=release, at=at, now=registry._clock())
        _check_free(connection, experiment, cohorts, at)
    for cohort in cohorts:
        stage_members(registry, cohort.batch_in(programme), cohort.units)
    with registry._database.write(ROTATE) as connection:
        entry = _require_sealed(entry_of(connection, programme))
        known = _cohorts(connection, programme)
        if _is_done(programme, known, cohorts):
            return False
        # another rotation meanwhile has taken a number of these cohorts, so it is found here; and
        # without one, who is free is as it was
        _check_turn(programme, known, cohorts, release=release, at=at, now=registry._clock())
        n_released = _release(connection, programme, known, release, at)
        fail_point(f"{ROTATE}:half")
        insert_rows(connection, control_cohorts, [_row(programme, c, at) for c in cohorts])
        for file in files:
            registry._store(connection, programme, file, fixed_by=entry.state)
        payload = _payload(cohorts, files, release=release, n_released=n_released, at=at)
        registry._append(connection, entry, ROTATE, payload, who=who, why=why)
        return True


def memberships(registry: "Registry", programme: str) -> pd.DataFrame:
    """Every membership there ever was: `unit`, `cohort`, `from_at`, `until_at`, by cohort and unit.

    Times in UTC; `until_at` is missing while a unit is held out.
    """
    with registry._database.read() as connection:
        cohorts = _cohorts(connection, programme)
        units = [sorted(units_in(connection, row["batch"])) for row in cohorts.values()]
    sizes = [len(members) for members in units]
    frame = pd.DataFrame({UNIT: pd.Series([u for members in units for u in members], dtype="str")})
    frame["cohort"] = np.repeat(np.array(list(cohorts), dtype=np.int64), sizes)
    for name in ("from_at", "until_at"):
        times = pd.to_datetime([row[name] for row in cohorts.values()], utc=True, format="ISO8601")
        frame[name] = times.astype("datetime64[us, UTC]").repeat(sizes)
    return frame


def control_units(
    registry: "Registry", programme: str, as_of: Moment, *, customers: Any = None
) -> pd.DataFrame:
    """The units that no campaign may touch at a moment, in the column `unit`, sorted.

    as_of      without a zone, in the programme's
    customers  any table with `unit` and, where clusters are held out, the cluster's column: others
               of a member's cluster are then held out with it, also those who came to it later

    Errors: EXPERIMENT_UNKNOWN, ROTATION_MISSING, CONTROL_EMPTY (nobody was held out yet then),
    COLUMN_MISSING.
    """
    experiment = rotating(registry, programme)
    moment = experiment.schedule.moment(as_of)
    known = memberships(registry, programme)
    started = (known["from_at"] <= moment).to_numpy()
    ended = (known["until_at"].notna() & (known["until_at"] <= moment)).to_numpy()
    units = list(known.loc[started & ~ended, UNIT])
    if not units:
        raise StateError(
            f"{programme} holds out nobody on {moment:%Y-%m-%d %H:%M} UTC, so nobody can be "
            f"excluded. Run `uplift control rotate {programme}` first, or choose another day.",
            code="CONTROL_EMPTY",
        )
    if experiment.cluster and customers is not None:
        units = _whole_clusters(units, customers, cluster=experiment.cluster)
    return pd.DataFrame({UNIT: pd.Series(sorted(set(units)), dtype="str")})


def draw_files(registry: "Registry", programme: str) -> dict[int, Path]:
    """The file of each cohort's draw, when its bytes are those recorded.

    Errors: EXPERIMENT_UNKNOWN, ARTEFACT_MISSING, FILE_CHECKSUM.
    """
    with registry._database.read() as connection:
        entry_of(connection, programme)
        names = [file.name for file in artefacts_in(connection, programme)]
    numbers = sorted(
        int(name.removeprefix("cohort_"))
        for name in names
        if name.startswith("cohort_") and name.removeprefix("cohort_").isdigit()
    )
    return {number: registry.artefact(programme, f"cohort_{number}") for number in numbers}


def rotating(registry: "Registry", programme: str) -> Experiment:
    """A registered universal control with a rotation.

    Errors: EXPERIMENT_UNKNOWN, ROTATION_MISSING.
    """
    experiment = registry.definition(programme)
    if experiment.rotation is None:
        raise DefinitionError(
            f"{programme} has no rotation, so its control never changes. Add rotation: cohorts, "
            "every_days, washout_days to a universal control.",
            code="ROTATION_MISSING",
        )
    return experiment


def check_memberships(connection: Connection, rows: Sequence[AuditRow]) -> Check:
    """Whether every cohort has the members and the times that the trail says."""
    promised: dict[tuple[str, str], tuple[str, str, str | None]] = {}
    for row in rows:
        if row.action == ROTATE:
            at, released = row.payload["at"], row.payload["released"]
            if released is not None:
                digest, start, _ = promised[row.experiment, str(released)]
                promised[row.experiment, str(released)] = (digest, start, at)
            for number, cohort in row.payload["cohorts"].items():
                promised[row.experiment, number] = (cohort["sha256"], at, None)
    found = _found(connection)
    wrong = sorted({key for key in {*promised, *found} if promised.get(key) != found.get(key)})
    return Check(
        "memberships",
        passed=not wrong,
        value=", ".join(f"{name} cohort {number}" for name, number in wrong) or len(promised),
        bound="members and times as the trail says",
        remedy="Memberships were changed outside the registry. Restore a backup.",
        code="MEMBERS_CHANGED",
    )


def _found(connection: Connection) -> dict[tuple[str, str], tuple[str, str, str | None]]:
    """Digest, start and end of each cohort."""
    query = select(control_cohorts)
    query = query.where(control_cohorts.c.programme.in_(select(experiments.c.id)))
    return {
        (row["programme"], row["cohort"]): (
            members_digest(units_in(connection, row["batch"])),
            row["from_at"],
            row["until_at"],
        )
        for row in connection.execute(query).mappings().all()
    }


def _cohorts(connection: Connection, programme: str) -> dict[int, RowMapping]:
    """The cohorts of a programme by number, in their order."""
    query = select(control_cohorts).where(control_cohorts.c.programme == programme)
    found = {int(row["cohort"]): row for row in connection.execute(query).mappings()}
    return dict(sorted(found.items()))


def _require_sealed(entry: Entry) -> Entry:
    if position(entry.state) < position("sealed"):
        raise StateError(
            f"{entry.id} is a draft: seal it before anybody is held out.", code="STATE_ORDER"
        )
    return entry


def _is_done(programme: str, known: dict[int, RowMapping], cohorts: Sequence[NewCohort]) -> bool:
    """Whether these cohorts have begun; refuses others in their place."""
    done = 0
    for cohort in cohorts:
        row = known.get(cohort.number)
        if row is not None and row["batch"] != cohort.batch_in(programme):
            raise StateError(
                f"{programme}: cohort {cohort.number} has begun with other members. Nothing was "
                f"changed; look at `uplift control members {programme}`.",
                code="COHORT_FROZEN",
            )
        done += row is not None
    return done == len(cohorts) > 0


def _check_turn(
    programme: str,
    known: dict[int, RowMapping],
    cohorts: Sequence[NewCohort],
    *,
    release: int | None,
    at: datetime,
    now: datetime,
) -> None:
    """Refuse cohorts whose turn or whose moment it is not."""
    last = max(known, default=0)
    expected = list(range(last + 1, last + 1 + len(cohorts)))
    empty = [cohort.number for cohort in cohorts if not cohort.units]
    oldest = min((n for n, row in known.items() if row["until_at"] is None), default=None)
    if [cohort.number for cohort in cohorts] != expected or not cohorts or empty:
        raise StateError(
            f"{programme}: cohorts {[cohort.number for cohort in cohorts]} cannot begin, "
            f"{expected or 'one at least'} would be next, each with members.",
            code="COHORT_ORDER",
        )
    if release is not None and release != oldest:
        raise StateError(
            f"{programme}: cohort {release} cannot be let go; the oldest held out is {oldest}.",
            code="COHORT_ORDER",
        )
    if at.tzinfo is None or at > now:
        raise DefinitionError(
            f"{programme}: a rotation takes place at a moment with a time zone that is not in the "
            f"future, got {at.isoformat()}.",
            code="TIME_FUTURE",
        )
    latest = max((row["from_at"] for row in known.values()), default="")
    if _text(at) < latest:
        raise StateError(
            f"{programme}: the last rotation was at {latest}, so none can be at {_text(at)}. What "
            "was held out when is not rewritten.",
            code="TIME_ORDER",
        )


def _release(
    connection: Connection,
    programme: str,
    known: dict[int, RowMapping],
    cohort: int | None,
    at: datetime,
) -> int:
    """End a cohort; gives how many units it lets go."""
    if cohort is None:
        return 0
    key = {"programme": programme, "cohort": str(cohort)}
    update_row(connection, control_cohorts, key, {"until_at": _text(at)})
    return int(known[cohort]["n_units"])


def _check_free(
    connection: Connection, experiment: Experiment, cohorts: Sequence[NewCohort], at: datetime
) -> None:
    """Refuse new members who are held out, or in wash-out, or twice in the list."""
    assert experiment.rotation is not None
    units = pd.Series([unit for cohort in cohorts for unit in cohort.units], dtype="str")
    clean_units(units, what="new members")
    before = _text(at - timedelta(days=experiment.rotation.washout_days))
    until = control_cohorts.c.until_at
    batches = select(control_cohorts.c.batch).where(
        control_cohorts.c.programme == experiment.id, until.is_(None) | (until > before)
    )
    query = select(cohort_members.c.unit).where(cohort_members.c.batch.in_(batches))
    barred = pd.Series(list(connection.execute(query).scalars()), dtype="str")
    clash = sorted({*units[rows_by_id(units, among=barred) >= 0], *units[units.duplicated()]})
    if clash:
        raise DataError(
            f"{experiment.id}: {len(clash)} new member(s) are held out already or are in "
            f"wash-out, first: {', '.join(clash[:MAX_SHOWN])}. Draw the cohort again.",
            code="MEMBER_WASHING",
            column=UNIT,
            count=len(clash),
        )


def _row(programme: str, cohort: NewCohort, at: datetime) -> dict[str, Any]:
    return {
        "programme": programme,
        "cohort": str(cohort.number),
        "batch": cohort.batch_in(programme),
        "n_units": len(cohort.units),
        "from_at": _text(at),
    }


def _payload(
    cohorts: Sequence[NewCohort],
    files: Sequence[Artefact],
    *,
    release: int | None,
    n_released: int,
    at: datetime,
) -> dict[str, Any]:
    return {
        "at": _text(at),
        "released": release,
        "n_released": n_released,
        "cohorts": {str(c.number): {"n_units": len(c.units), "sha256": c.sha256} for c in cohorts},
        "artefacts": {file.name: file.sha256 for file in files},
    }


def _whole_clusters(units: list[str], customers: Any, *, cluster: str) -> list[str]:
    table = read_frame(customers, what="customers", require=[cluster])
    ids = clean_units(table[cluster], column=cluster, what="customers")
    touched = ids[rows_by_id(table[UNIT], among=pd.Series(units, dtype="str")) >= 0]
    return [*units, *table.loc[rows_by_id(ids, among=touched) >= 0, UNIT]]


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
