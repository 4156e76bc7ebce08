"""Re-reads as the file `rereads.jsonl` keeps them: one line per day, appended and never changed.

A reading that was published stays as it was. When the same day is read again from later data, the
line stays, and a warning says by how much the new reading differs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from uplift.analysis.long_term_report import LongTermReport
from uplift.checks import Check, warning
from uplift.inference.long_term import Reading
from uplift.strict_json import parse_json
from uplift.table import format_value, to_plain

SAME = 1e-9  # relative; less is rounding of another machine

Line = Mapping[str, Any]


def rereads_text(lines: Sequence[Line]) -> str:
    """Lines as the file holds them."""
    return "".join(json.dumps(line, sort_keys=True, allow_nan=False) + "\n" for line in lines)


def rereads_from(text: str) -> tuple[Line, ...]:
    """The lines of a file that `rereads_text` wrote. Raises DefinitionError JSON_INVALID."""
    lines = [line for line in text.splitlines() if line.strip()]
    return tuple(parse_json(line, name="rereads.jsonl").content for line in lines)


def with_rereads(
    lines: Sequence[Line], report: LongTermReport
) -> tuple[tuple[Line, ...], tuple[Check, ...]]:
    """The lines and those of new days; a warning for each day that now reads otherwise."""
    known = {line["day"]: line for line in lines}
    new = {day: line_of(report, day) for day in report.days}
    both = [*lines, *(new[day] for day in new if day not in known)]
    again = [day for day in new if day in known]
    checks = [check for day in again for check in _differences(known[day], new[day])]
    return tuple(both), tuple(checks)


def line_of(report: LongTermReport, day: int) -> Line:
    """What is kept of one day: every treatment's readings, the digests, the moment."""
    treatments: dict[str, dict[str, Any]] = {
        row.treatment: {"metric": _kept(row.metric), "profit": _kept(row.profit)}
        for row in report.rows
        if row.day == day
    }
    for row in report.market:
        if row.after[1] == day:
            treatments[row.treatment]["moved"] = row.reading.moved
    found: Line = {
        "day": day,
        "as_of": report.as_of,
        "definition": report.digest,
        "data": report.data_digest,
        "confidence": report.confidence,
        "planned_days": report.planned_days,
        "flagged": report.flagged,
        "treatments": treatments,
    }
    plain: Line = to_plain(found)
    return plain


def _kept(reading: Reading | None) -> dict[str, Any] | None:
    if reading is None:
        return None
    one = reading.estimate
    return {
        "effect": one.effect,
        "std_error": one.std_error,
        "ci": one.ci,
        "band": reading.band,
        "control_mean": one.control_mean,
    }


def _differences(before: Line, now: Line) -> Iterator[Check]:
    for name, old in before["treatments"].items():
        for what in ("metric", "profit"):
            new = now["treatments"].get(name, {}).get(what)
            if new is None or old[what] is None:
                continue
            first, second = old[what]["effect"], new["effect"]
            scale = max(abs(first), abs(second), new["std_error"] or 0.0)
            if abs(first - second) > SAME * scale:
                yield warning(
                    "REREAD_CHANGED",
                    value=before["day"],
                    remedy=f"The {what} of {name} was recorded as {format_value(first, 'signed')} "
                    f"and reads {format_value(second, 'signed')} from these data. The record "
                    "stays; find out which responses came late or were taken back.",
                )
