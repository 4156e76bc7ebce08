"""The periods that the long term is cut into, fixed by the plan before anything is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from uplift.errors import DefinitionError
from uplift.experiment import Experiment
from uplift.table import Column, Result, Table

EARLY_DAYS, LATE_DAYS = 28, 84  # a gain by the first, a loss between them: brought forward
FINE, COARSE = 7, 28  # days of a period, until LATE_DAYS and after


@dataclass(frozen=True)
class Period:
    """One period: responses at or after `starts_at` and before `ends_at`, in UTC.

    Of a trigger the times are None: its days count from each unit's own assignment.
    """

    number: int
    from_day: int
    to_day: int
    starts_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, repr=False)
class Periods(Result):
    """The periods of an experiment's long term, numbered as a warehouse query must number them."""

    experiment: str
    rows: tuple[Period, ...]

    def table(self) -> Table:
        """One row per period."""
        columns = (
            Column("period", kind="count"),
            Column("from day", kind="count"),
            Column("to day", kind="count"),
            Column("from (UTC)"),
            Column("until (UTC)"),
        )
        rows = [
            (row.number, row.from_day, row.to_day, _time(row.starts_at), _time(row.ends_at))
            for row in self.rows
        ]
        return Table(f"Periods of {self.experiment}", columns, rows)


def reread_periods(experiment: Experiment, *, days: Sequence[int] | None = None) -> Periods:
    """The periods in which `reread` wants a long table that is summed already.

    days  where the plan has no `analysis.reread_days`

    Errors: DefinitionError REREAD_UNPLANNED.
    """
    planned = experiment.analysis.reread_days or tuple(sorted(set(days or ())))
    if not planned:
        raise DefinitionError(
            f"{experiment.id} plans no re-reads, so there are no periods. Put analysis.reread_days "
            "(e.g. [30, 91, 182, 365]) into the definition, or give the days.",
            code="REREAD_UNPLANNED",
        )
    launch = None if experiment.kind == "trigger" else experiment.schedule.launch_at
    ends = period_ends(planned)
    starts = (0, *ends[:-1])
    return Periods(
        experiment.id,
        tuple(
            Period(i + 1, start, end, _after(launch, start), _after(launch, end))
            for i, (start, end) in enumerate(zip(starts, ends, strict=True))
        ),
    )


def period_ends(planned: Sequence[int]) -> tuple[int, ...]:
    """Days at which the periods end: weeks in the first twelve, then four weeks, and every re-read.

    So all of `planned`, EARLY_DAYS and LATE_DAYS are ends, as far as the last re-read goes.
    """
    last = max(planned)
    weeks = range(FINE, min(last, LATE_DAYS) + 1, FINE)
    months = range(LATE_DAYS, last + 1, COARSE)
    return tuple(sorted({*weeks, *months, *planned}))


def _after(launch: datetime | None, day: int) -> datetime | None:
    return None if launch is None else launch + timedelta(days=day)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"
