"""The universal control of a contact programme: its size, rotation, members, divergence, total.

A `Programme` is the folder of a universal control with a rotation. What is drawn stays in the
folder `cohorts/`, one file per cohort; who was held out when stays in the registry.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from uplift.adding_up.add_up import add_up, additive_metric
from uplift.adding_up.campaigns import sent_campaigns
from uplift.adding_up.held_out_spans import spans_between_rotations, spans_of_one_draw
from uplift.adding_up.report import ProgrammeReport
from uplift.adding_up.spans import Span
from uplift.assignment.divergence import BOUND, Divergence, check_divergence
from uplift.assignment.order import distinct_customers
from uplift.assignment.universal import (
    Turn,
    comparison_by_cohort,
    comparison_on,
    draw_cohort,
    draws_at_start,
    members_on,
    washing_on,
)
from uplift.assignment_plan import Rotation
from uplift.audience import eligible
from uplift.checks import Check, warning
from uplift.errors import DataError, StateError
from uplift.experiment import Experiment, load_experiment
from uplift.files import write_text
from uplift.frames import UNIT, frame_digest, read_frame, write_parquet
from uplift.registry.memberships import (
    NewCohort,
    control_units,
    draw_files,
    memberships,
    rotate,
    rotating,
)
from uplift.registry.reader import utc_now
from uplift.registry.registry import Registry
from uplift.sizing.control_size import ControlSize
from uplift.sizing.universal import choose_control_size
from uplift.table import Column, Result, Table, format_value

FOLDER = "cohorts"
SIZE_FILE = "control_size.json"
DIVERGENCE_FILE = "divergence.json"
TOTAL_FILE = "programme_total.json"

Moment = str | date | datetime


@dataclass(frozen=True)
class CohortRow:
    """One cohort; `state` is held out, wash-out or released at the moment of the result."""

    cohort: int
    n_units: int
    from_at: datetime
    until_at: datetime | None
    state: str


@dataclass(frozen=True, repr=False)
class Cohorts(Result):
    """Every cohort there was up to a moment, and what a rotation has just changed.

    began      numbers of the cohorts that have just begun; empty when nothing was due
    released   number of the cohort that was just let go
    next_on    the day from which the next rotation is due; None before the first
    """

    programme: str
    as_of: datetime
    rows: tuple[CohortRow, ...]
    next_on: date | None
    began: tuple[int, ...] = ()
    released: int | None = None
    checks: tuple[Check, ...] = ()

    @property
    def n_held(self) -> int:
        """Units held out at the moment."""
        return sum(row.n_units for row in self.rows if row.state == "held out")

    def table(self) -> Table:
        """One row per cohort."""
        columns = (
            Column("cohort", kind="count"),
            Column("units", kind="count"),
            Column("from (UTC)"),
            Column("until (UTC)"),
            Column("state"),
        )
        rows = [
            (
                row.cohort,
                row.n_units,
                f"{row.from_at:%Y-%m-%d %H:%M}",
                None if row.until_at is None else f"{row.until_at:%Y-%m-%d %H:%M}",
                row.state,
            )
            for row in self.rows
        ]
        return Table(f"Universal control {self.programme}", columns, rows, note=self.words())

    def words(self) -> str:
        """What has changed, who is held out, what is next."""
        parts = [f"{format_value(self.n_held, 'count')} held out."]
        if self.began:
            names = ", ".join(str(cohort) for cohort in self.began)
            gone = f", cohort {self.released} let go" if self.released is not None else ""
            parts.insert(0, f"Cohort {names} begun{gone}.")
        if self.next_on is not None:
            parts.append(f"The next rotation is due on {self.next_on:%Y-%m-%d}.")
        return " ".join(parts)


@dataclass
class Programme:
    """The folder of a universal control with a rotation.

    folder    holds `experiment.yaml`
    who       name for the audit trail; the system's user when not given
    registry  the one that the folder belongs to, when not given
    """

    folder: Path
    who: str | None = None
    registry: Registry = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        if self.registry is None:
            self.registry = Registry(self.folder.parent)

    @cached_property
    def experiment(self) -> Experiment:
        """The definition in the folder."""
        return load_experiment(self.folder)

    @property
    def id(self) -> str:
        """The programme's name."""
        return self.experiment.id

    def size(self, history: Any = None, **options: Any) -> ControlSize:
        """What each size of the control can show and costs → control_size.json.

        options  those of `choose_control_size`
        """
        found = choose_control_size(self.experiment, history, **options)
        write_text(found.to_json(), self.folder / SIZE_FILE)
        return found

    def rotate(self, customers: Any, *, as_of: Moment | None = None) -> Cohorts:
        """Begin the control, or let its oldest cohort go and draw a new one, when that is due.

        Due is counted in days of the programme's time zone since the last rotation; one that comes
        late happens once. Cohorts stay as large as the first. Before its time nothing changes.

        customers  today's customers, with the audience's columns and the cluster's
        as_of      now when not given

        Errors: EXPERIMENT_UNKNOWN, STATE_ORDER, EXPERIMENT_FROZEN, ROTATION_MISSING,
        POOL_TOO_SMALL, TIME_FUTURE, those of ids and of `rotate` in the registry.
        """
        rotation = self._sealed()
        at = self._moment(as_of)
        known, draws = memberships(self.registry, self.id), self._draws()
        if not known.empty and not self._is_due(known, at, rotation):
            return self.members(as_of=at)
        table = self._eligible(customers)
        release = None
        if known.empty:
            new = self._first(table, at, rotation)
        else:
            release = int(known.loc[known["until_at"].isna(), "cohort"].min())
            new = [self._next(table, known, draws, release=release, at=at, rotation=rotation)]
        changed = self._register(new, release=release, at=at)
        found = self._cohorts(at)
        if not changed:
            return found
        began = tuple(int(draw["cohort"].iloc[0]) for draw in new)
        return Cohorts(found.programme, at, found.rows, found.next_on, began, release, found.checks)

    def members(self, *, as_of: Moment | None = None) -> Cohorts:
        """Every cohort up to a moment, and who is held out then. Now when not given."""
        rotating(self.registry, self.id)
        return self._cohorts(self._moment(as_of))

    def held_out(self, *, as_of: Moment | None = None, customers: Any = None) -> pd.DataFrame:
        """Units that campaigns must leave out at a moment (see `control_units`)."""
        moment = self._moment(as_of)
        return control_units(self.registry, self.id, moment, customers=customers)

    def comparison(self, *, as_of: Moment | None = None, settle_days: int = 0) -> pd.DataFrame:
        """Who is compared with whom at a moment, with weights (see `comparison_on`)."""
        rotation = self._sealed()
        return comparison_on(
            memberships(self.registry, self.id),
            self._draws(),
            self._moment(as_of),
            washout_days=rotation.washout_days,
            settle_days=settle_days,
        )

    def check(
        self, customers: Any, *, as_of: Moment | None = None, bound: float = BOUND
    ) -> Divergence:
        """Whether the control has become another population → divergence.json.

        customers  today's; covariates are its numeric columns
        """
        rotation, moment = self._sealed(), self._moment(as_of)
        known = memberships(self.registry, self.id)
        started = known.groupby("cohort")["from_at"].min()
        found = check_divergence(
            comparison_by_cohort(known, self._draws(), moment, washout_days=rotation.washout_days),
            customers,
            starts={int(str(cohort)): start.to_pydatetime() for cohort, start in started.items()},
            as_of=moment,
            programme=self.id,
            bound=bound,
        )
        write_text(found.to_json(), self.folder / DIVERGENCE_FILE)
        return found

    def total(
        self,
        outcomes: Any,
        *,
        since: Moment | None = None,
        as_of: Moment | None = None,
        metric: str | None = None,
        settle_days: int = 0,
    ) -> ProgrammeReport:
        """What the programme brought, against the sum of its campaigns → programme_total.json.

        outcomes     a long table: `unit`, `occurred_at` and the metric's column (see `add_up`)
        since        the first cohorts' beginning when not given; without a rotation, the launch
        as_of        the end of the time that is read; now when not given
        settle_days  in which a new cohort is not yet counted, because earlier contacts still work

        Errors: those of `add_up`; TIME_WINDOW (the end is not after the beginning), CONTROL_EMPTY
        (nobody was held out then), STEP_MISSING (a control without rotation was not assigned),
        KIND_MISMATCH (it has several treatments).
        """
        spans = self._spans(since, self._moment(as_of), settle_days)
        chosen = additive_metric(self.experiment, metric)
        campaigns, checks = sent_campaigns(
            self.registry,
            column=chosen.column,
            since=spans[0].starts_at,
            until=spans[-1].ends_at,
        )
        found = add_up(
            self.experiment, spans, outcomes, campaigns, metric=chosen.key, checks=checks
        )
        path = self.folder / TOTAL_FILE
        write_text(found.to_json(), path)
        self.registry.record(self.id, "total", path, who=self.who, why="programme total")
        return found

    def _spans(self, since: Moment | None, until: datetime, settle_days: int) -> tuple[Span, ...]:
        """The times between rotations from a moment to another."""
        start = None if since is None else self._moment(since)
        if self.experiment.rotation is None:
            launch = self.experiment.schedule.launch_at
            return spans_of_one_draw(
                self.experiment, self.folder, self.registry, since=start or launch, until=until
            )
        rotation, known = self._sealed(), memberships(self.registry, self.id)
        first = until if known.empty else known["from_at"].min().to_pydatetime()
        return spans_between_rotations(
            known,
            self._draws(),
            since=start or first,
            until=until,
            washout_days=rotation.washout_days,
            settle_days=settle_days,
        )

    def _first(self, table: pd.DataFrame, at: datetime, rotation: Rotation) -> list[pd.DataFrame]:
        """The first cohorts, together as large as the control's share."""
        n_drawn = table[self.experiment.cluster or UNIT].nunique()
        size = round(n_drawn * self.experiment.arms[0].share / rotation.cohorts)
        if size < 1:
            raise DataError(
                f"{self.id}: {n_drawn} eligible leave nobody for each of {rotation.cohorts} "
                "cohorts. Widen the audience or raise the control's share.",
                code="POOL_TOO_SMALL",
                count=n_drawn,
            )
        return draws_at_start(
            table,
            cohorts=rotation.cohorts,
            size=size,
            salt=self._salt,
            at=at,
            cluster=self.experiment.cluster,
        )

    def _next(
        self,
        table: pd.DataFrame,
        known: pd.DataFrame,
        draws: dict[int, pd.DataFrame],
        *,
        release: int,
        at: datetime,
        rotation: Rotation,
    ) -> pd.DataFrame:
        leaving = (known["cohort"] == release) & known["until_at"].isna()
        ended = known["until_at"].mask(leaving, pd.Timestamp(at))
        last = draws[max(draws)]
        return draw_cohort(
            table,
            Turn(known.assign(until_at=ended), draws, at, rotation.washout_days),
            number=max(draws) + 1,
            size=last.loc[last["drawn"], "cluster"].nunique(),
            salt=self._salt,
            cluster=self.experiment.cluster,
        )

    def _register(self, new: list[pd.DataFrame], *, release: int | None, at: datetime) -> bool:
        """Write the draws' files, then the rotation; a file that was not needed is removed."""
        cohorts = list(self._written(new))
        try:
            return rotate(
                self.registry,
                self.id,
                cohorts,
                release=release,
                at=at,
                who=self.who,
                why="rotation",
            )
        finally:
            recorded = {path.resolve() for path in draw_files(self.registry, self.id).values()}
            for cohort in cohorts:
                if cohort.draw.resolve() not in recorded:
                    cohort.draw.unlink(missing_ok=True)

    def _written(self, new: list[pd.DataFrame]) -> Iterator[NewCohort]:
        for draw in new:
            number = int(draw["cohort"].iloc[0])
            # named by its content, so that another run beside this one cannot replace it
            path = self.folder / FOLDER / f"cohort_{number:04d}-{frame_digest(draw)[:12]}.parquet"
            write_parquet(draw, path)
            yield NewCohort(number, tuple(draw.loc[draw["drawn"], UNIT]), path)

    def _draws(self) -> dict[int, pd.DataFrame]:
        return {
            number: read_frame(path, what=f"draw of cohort {number}")
            for number, path in draw_files(self.registry, self.id).items()
        }

    def _eligible(self, customers: Any) -> pd.DataFrame:
        table = distinct_customers(customers, cluster=self.experiment.cluster)
        return table[eligible(table, self.experiment.audience)].reset_index(drop=True)

    def _is_due(self, known: pd.DataFrame, at: datetime, rotation: Rotation) -> bool:
        return self._day(at) >= self._next_day(known, rotation)

    def _next_day(self, known: pd.DataFrame, rotation: Rotation) -> date:
        last = known["from_at"].max().to_pydatetime()
        return self._day(last) + timedelta(days=rotation.every_days)

    def _day(self, moment: datetime) -> date:
        """The calendar day in the programme's zone, so that a job's minutes do not count."""
        return moment.astimezone(ZoneInfo(self.experiment.schedule.timezone)).date()

    def _cohorts(self, as_of: datetime) -> Cohorts:
        rotation = rotating(self.registry, self.id).rotation
        assert rotation is not None
        known = memberships(self.registry, self.id)
        known = known[(known["from_at"] <= as_of).to_numpy()].reset_index(drop=True)
        held = set(members_on(known, as_of)["cohort"])
        washing = set(washing_on(known, as_of, washout_days=rotation.washout_days)["cohort"])
        rows = []
        for cohort, part in known.groupby("cohort"):
            until = part["until_at"].iloc[0]
            state = (
                "held out" if cohort in held else "wash-out" if cohort in washing else "released"
            )
            rows.append(
                CohortRow(
                    int(str(cohort)),
                    len(part),
                    part["from_at"].iloc[0].to_pydatetime(),
                    None if pd.isna(until) else until.to_pydatetime(),
                    state,
                )
            )
        due = None if known.empty else self._next_day(known, rotation)
        return Cohorts(self.id, as_of, tuple(rows), due, checks=self._overdue(due, as_of))

    def _overdue(self, due: date | None, as_of: datetime) -> tuple[Check, ...]:
        if due is None or self._day(as_of) <= due:
            return ()
        remedy = f"A rotation was due on {due:%Y-%m-%d}. Run `uplift control rotate {self.id}`."
        return (warning("ROTATION_LATE", value=(self._day(as_of) - due).days, remedy=remedy),)

    def _sealed(self) -> Rotation:
        """The rotation, of a definition that is still the one sealed."""
        rotation = rotating(self.registry, self.id).rotation
        assert rotation is not None
        entry = self.registry.entry(self.id)
        if entry.digest != self.experiment.digest:
            raise StateError(
                f"{self.id} is registered with another definition ({entry.digest[:12]}…) than the "
                f"file holds now ({self.experiment.digest[:12]}…). Restore the file, or register "
                "the changed programme under a new id.",
                code="EXPERIMENT_FROZEN",
            )
        return rotation

    @property
    def _salt(self) -> str:
        return self.experiment.assignment.salt or self.id

    def _moment(self, as_of: Moment | None) -> datetime:
        return utc_now() if as_of is None else self.experiment.schedule.moment(as_of)
