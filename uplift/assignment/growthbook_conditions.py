"""GrowthBook's targeting conditions: the Mongo-like rules on a unit's attributes.

Values of different JSON types never equal each other and are never ordered: 1 is not true, "1" is
not 1. Operators that need more than a definition and attributes (saved groups) are refused.

Known answers: GrowthBook's shared test cases for SDKs (packages/sdk-js/test/cases.json).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from uplift.errors import DefinitionError

Test = Callable[[Any, Any], bool]


def matches(condition: Mapping[str, Any], attributes: Any) -> bool:
    """Whether attributes meet a condition; an empty one is met. Errors: GROWTHBOOK_UNSUPPORTED."""
    return all(_entry_holds(key, rule, attributes) for key, rule in condition.items())


def _entry_holds(key: str, rule: Any, attributes: Any) -> bool:
    if key == "$or":
        return not rule or any(matches(part, attributes) for part in rule)
    if key == "$nor":
        return bool(rule) and not any(matches(part, attributes) for part in rule)
    if key == "$and":
        return all(matches(part, attributes) for part in rule)
    if key == "$not":
        return not matches(rule, attributes)
    if key.startswith("$"):
        raise _unsupported(key)
    return _value_holds(rule, _attribute(attributes, key))


def _value_holds(rule: Any, value: Any) -> bool:
    if isinstance(rule, Mapping) and all(name.startswith("$") for name in rule):
        return all(_operator_holds(name, value, wanted) for name, wanted in rule.items())
    return _deeply_equal(rule, value)


def _operator_holds(name: str, value: Any, wanted: Any) -> bool:
    if name == "$not":
        return not _value_holds(wanted, value)
    if name not in OPERATORS:
        raise _unsupported(name)
    return OPERATORS[name](value, wanted)


def _attribute(attributes: Any, path: str) -> Any:
    found = attributes
    for part in path.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part == "length":
            found = len(found)
        elif isinstance(found, list) and part.isascii() and part.isdigit():
            found = found[int(part)] if int(part) < len(found) else None
        else:
            return None
    return found


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, Mapping) else "array"


def _deeply_equal(first: Any, second: Any) -> bool:
    if _kind(first) != _kind(second):
        return False
    if _kind(first) == "array":
        return len(first) == len(second) and all(map(_deeply_equal, first, second))
    if _kind(first) == "object":
        return list(first) == list(second) and all(
            _deeply_equal(first[name], second[name]) for name in first
        )
    return bool(first == second)


def _equal(value: Any, wanted: Any) -> bool:
    """As JavaScript's ===: two objects or arrays that were read apart are not the same."""
    return _kind(wanted) not in {"array", "object"} and _deeply_equal(value, wanted)


def _ordered(compare: Test) -> Test:
    def test(value: Any, wanted: Any) -> bool:
        if _kind(value) != _kind(wanted) or _kind(value) not in {"number", "string"}:
            return False
        if isinstance(value, str):  # JavaScript orders texts by UTF-16 code units
            return compare(value.encode("utf-16-be"), wanted.encode("utf-16-be"))
        return compare(value, wanted)

    return test


def _of_versions(compare: Test) -> Test:
    def test(value: Any, wanted: Any) -> bool:
        return isinstance(value, str) and compare(_padded(value), _padded(wanted))

    return test


def _padded(version: str) -> str:
    """A version whose text order is its order: 1.10.0 after 1.9.0, 1.0.0-beta before 1.0.0."""
    parts = re.split(r"[-.]", re.sub(r"^v|\+.*$", "", version or "0"))
    if len(parts) == 3:
        parts.append("~")
    return "-".join(part.rjust(5) if re.fullmatch("[0-9]+", part) else part for part in parts)


def _is_in(value: Any, wanted: Sequence[Any]) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(_equal(one, other) for one in values for other in wanted)


def _any_element(value: Any, wanted: Mapping[str, Any]) -> bool:
    if not isinstance(value, list):
        return False
    on_value = all(name.startswith("$") for name in wanted) and not {"$or", "$and", "$nor"} & set(
        wanted
    )
    test = _value_holds if on_value else matches
    return any(test(wanted, element) for element in value if element is not None)


def _has_all(value: Any, wanted: Sequence[Any]) -> bool:
    return isinstance(value, list) and all(
        any(_value_holds(rule, element) for element in value) for rule in wanted
    )


def _found(value: Any, pattern: Any) -> bool:
    try:
        return bool(re.search(pattern, value))
    except (re.error, TypeError):
        return False


OPERATORS: dict[str, Test] = {
    "$eq": _equal,
    "$ne": lambda value, wanted: not _equal(value, wanted),
    "$lt": _ordered(lambda a, b: a < b),
    "$lte": _ordered(lambda a, b: a <= b),
    "$gt": _ordered(lambda a, b: a > b),
    "$gte": _ordered(lambda a, b: a >= b),
    "$veq": _of_versions(lambda a, b: a == b),
    "$vne": lambda value, wanted: (
        not (isinstance(value, str) and _padded(value) == _padded(wanted))
    ),
    "$vlt": _of_versions(lambda a, b: a < b),
    "$vlte": _of_versions(lambda a, b: a <= b),
    "$vgt": _of_versions(lambda a, b: a > b),
    "$vgte": _of_versions(lambda a, b: a >= b),
    "$in": lambda value, wanted: isinstance(wanted, list) and _is_in(value, wanted),
    "$nin": lambda value, wanted: isinstance(wanted, list) and not _is_in(value, wanted),
    "$all": lambda value, wanted: isinstance(wanted, list) and _has_all(value, wanted),
    "$size": lambda value, wanted: isinstance(value, list) and _value_holds(wanted, len(value)),
    "$elemMatch": _any_element,
    "$exists": lambda value, wanted: (value is not None) == bool(wanted),
    "$type": lambda value, wanted: _kind(value) == wanted,
    "$regex": _found,
}


def _unsupported(name: str) -> DefinitionError:
    return DefinitionError(
        f"GrowthBook condition: {name} cannot be replayed from a definition and attributes. "
        "Take the assignments that GrowthBook logged.",
        code="GROWTHBOOK_UNSUPPORTED",
    )
