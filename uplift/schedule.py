"""When units are contacted and how long they are watched: the schedule, and its waves.

Local times are read in the schedule's zone; everything computed from them is in UTC.
"""

import contextlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import model_validator

from uplift.errors import DefinitionError
from uplift.metrics import Days, Definition, Slug
from uplift.violations import DefinitionLike

ONLY_WAVE = "send"  # the one wave of an experiment that declares none
YEARS = range(1900, 2201)  # dates outside are slips of the pen, and some have no UTC time


class Wave(Definition):
    """One send of an experiment that has several.

    response_days  days its contacts are watched; the schedule's when not given
    draw           `sticky`: each unit keeps its arm; `redrawn`: the arms are drawn anew
    """

    name: Slug
    starts_at: datetime
    response_days: Days | None = None
    draw: Literal["sticky", "redrawn"] = "sticky"


@dataclass(frozen=True)
class Window:
    """A wave's times in UTC: contacts at `opens_at`, nothing after `closes_at` counts."""

    wave: str
    opens_at: datetime
    closes_at: datetime
    draw: Literal["sticky", "redrawn"]


class Schedule(Definition):
    """When units are contacted and how long they are watched.

    ends_at  for an always-on trigger: when it stops taking in units
    waves    the sends, when there are several; the first starts at `starts_at`
    """

    starts_at: datetime
    timezone: str
    response_days: Days
    ends_at: datetime | None = None
    waves: tuple[Wave, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _in_a_zone(cls, given: Any) -> Any:
        """A time without a zone means nothing where no zone is stated."""
        start = given.get("starts_at") if isinstance(given, dict) else None
        if start is not None and given.get("timezone") is None and not _has_zone(start):
            raise DefinitionLike(
                f"starts_at is {str(start)[:40]!r}, without a time zone, and the schedule states "
                "none. Write `timezone: Europe/Paris`, the zone that its times are meant in.",
                code="TIME_NAIVE",
            )
        return given

    @model_validator(mode="after")
    def _clear(self) -> "Schedule":
        zone = _zone(self.timezone)
        for local in (self.starts_at, self.ends_at, *(wave.starts_at for wave in self.waves)):
            if local is not None and local.year not in YEARS:
                raise DefinitionLike(
                    f"{local} is not in the years {YEARS[0]} to {YEARS[-1]}. Correct the date.",
                    code="TIME_INVALID",
                )
            if local is not None and local.tzinfo is None and _is_ambiguous(local, zone):
                raise DefinitionLike(
                    f"{local} is skipped or repeated by a clock change in {self.timezone}. "
                    "Choose another hour, or write its offset from UTC (…+02:00).",
                    code="TIME_AMBIGUOUS",
                )
        if self.ends_at is not None and self.moment(self.ends_at) <= self.launch_at:
            raise DefinitionLike(
                f"the end {self.ends_at} is not after the start {self.starts_at}. "
                "Give a later end.",
                code="TIME_WINDOW",
            )
        self._check_waves()
        return self

    def _check_waves(self) -> None:
        names = [wave.name for wave in self.waves]
        if len(set(names)) < len(names):
            raise DefinitionLike("two waves have the same name.", code="WAVE_DUPLICATE")
        starts = [self.moment(wave.starts_at) for wave in self.waves]
        if starts and (starts[0] != self.launch_at or starts != sorted(set(starts))):
            raise DefinitionLike(
                "the first wave must start at starts_at, and each later one after the one before. "
                "Put the waves in the order of their starts.",
                code="TIME_WINDOW",
            )

    @property
    def launch_at(self) -> datetime:
        """Start in UTC."""
        return self.moment(self.starts_at)

    @property
    def windows(self) -> tuple[Window, ...]:
        """Every wave's response window in UTC; one window where no waves are declared."""
        if not self.waves:
            last = self.launch_at if self.ends_at is None else self.moment(self.ends_at)
            closes = last + timedelta(days=self.response_days)
            return (Window(ONLY_WAVE, self.launch_at, closes, "sticky"),)
        return tuple(
            Window(wave.name, opens, opens + timedelta(days=days), wave.draw)
            for wave in self.waves
            for opens in [self.moment(wave.starts_at)]
            for days in [wave.response_days or self.response_days]
        )

    @property
    def is_redrawn(self) -> bool:
        """Whether a customer may have another arm in another wave."""
        return any(window.draw == "redrawn" for window in self.windows)

    def window(self, wave: str | None = None) -> Window:
        """The window of a wave; the first one's without a name. Errors: WAVE_UNKNOWN."""
        for window in self.windows:
            if wave in (None, window.wave):
                return window
        raise DefinitionError(
            f"There is no wave {wave!r}. Waves: {', '.join(w.wave for w in self.windows)}.",
            code="WAVE_UNKNOWN",
        )

    @property
    def closes_at(self) -> datetime:
        """End of the last response window in UTC: nothing later counts."""
        return max(window.closes_at for window in self.windows)

    def moment(self, given: str | date | datetime) -> datetime:
        """A time in UTC; without a zone it is the schedule's, and a day is its first moment.

        Errors: TIME_INVALID for text that is neither a date nor a time; TIME_AMBIGUOUS for a time
        that a clock change skips, or repeats and `fold` does not say which one is meant.
        """
        when, zone = _read(given), ZoneInfo(self.timezone)
        if not isinstance(when, datetime):
            return datetime.combine(when, time(), tzinfo=zone).astimezone(UTC)
        if when.tzinfo is None:
            if _is_ambiguous(when, zone) and not (when.fold and _is_repeated(when, zone)):
                raise DefinitionError(
                    f"{when} is skipped or repeated by a clock change in {self.timezone}. Write "
                    "its offset from UTC (…+02:00).",
                    code="TIME_AMBIGUOUS",
                )
            when = when.replace(tzinfo=zone)
        return when.astimezone(UTC)


def _read(given: str | date | datetime) -> date | datetime:
    """A day or a time. Errors: TIME_INVALID."""
    when: date | datetime | None = None
    if not isinstance(given, str):
        when = given
    else:
        for reader in (date.fromisoformat, datetime.fromisoformat):
            with contextlib.suppress(ValueError):
                when = when or reader(given)
    if when is None or when.year not in YEARS:
        raise DefinitionError(
            f"A date or a time such as 2017-08-01T09:00 is expected, got {given!r:.60}.",
            code="TIME_INVALID",
        )
    return when


def _has_zone(given: Any) -> bool:
    """Whether a time, or the text of one, has a zone; what is no time has none to miss."""
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            return True
    return getattr(given, "tzinfo", None) is not None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise DefinitionLike(
            f"time zone {name!r} is not known. Give an IANA name, e.g. Europe/Paris.",
            code="TIME_ZONE",
        ) from None


def _is_ambiguous(local: datetime, zone: ZoneInfo) -> bool:
    """Whether a clock change skips or repeats this local time."""
    first, second = _offsets(local, zone)
    return first != second


def _is_repeated(local: datetime, zone: ZoneInfo) -> bool:
    """Whether a clock change lets this local time happen twice."""
    first, second = _offsets(local, zone)
    return first > second


def _offsets(local: datetime, zone: ZoneInfo) -> tuple[timedelta, timedelta]:
    """Offset from UTC before and after a clock change; twice the same where there is none."""
    first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return first or timedelta(), second or timedelta()
