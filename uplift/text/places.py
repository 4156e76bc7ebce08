"""A place in a result's plain values: what stands there, and the key it is found by.

A key is a JSONPath without its `$.`, e.g. `effects[0].estimate.ci[1]` or `assigned['2nd_letter']`.
Source: RFC 9535, "JSONPath".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from uplift.errors import DefinitionError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
STEP = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]")


@dataclass(frozen=True)
class Place:
    """A value and its key; the key of the whole is empty."""

    value: Any
    key: str = ""

    def __getitem__(self, step: str | int) -> "Place":
        """The place one step further: a name of a mapping, or a number of a list."""
        return Place(self.value[step], self.key + _written(step, first=not self.key))

    def __iter__(self) -> Iterator["Place"]:
        """The places of a list, in order."""
        return (self[i] for i in range(len(self.value)))

    def items(self) -> Iterator[tuple[str, "Place"]]:
        """The places of a mapping, by name."""
        return ((name, self[name]) for name in self.value)

    def at(self, path: str) -> "Place":
        """The place further on along a path. Raises DefinitionError (KEY_UNKNOWN)."""
        place = self
        for step in _steps(path):
            if not _has(place.value, step):
                raise DefinitionError(
                    f"There is no {path!r} at {self.key or 'the top'}.", code="KEY_UNKNOWN"
                )
            place = place[step]
        return place


def _steps(path: str) -> Iterator[str | int]:
    position = 0
    while position < len(path):
        found = STEP.match(path, position)
        if found is None:
            raise DefinitionError(f"{path!r} is not a key.", code="KEY_UNKNOWN")
        name, number, quoted = found.groups()
        if number is not None:
            yield int(number)
        else:
            yield name if name is not None else re.sub(r"\\(.)", r"\1", quoted)
        position = found.end()


def _has(value: Any, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(value, list | tuple) and step < len(value)
    return isinstance(value, Mapping) and step in value


def _written(step: str | int, *, first: bool) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if NAME.match(step):
        return step if first else f".{step}"
    return "['" + re.sub(r"([\\'])", r"\\\1", step) + "']"
