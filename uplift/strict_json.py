"""JSON from outside, read strictly: nothing in it can mean two things or exhaust the reader.

Refused: NaN and Infinity, numbers beyond a float's range, the same key twice, half characters,
more than one megabyte, more than twenty levels. (RFC 8259 leaves all of these to the reader.)
"""

import json
import math
import re
from typing import Any, NoReturn

from uplift.errors import DefinitionError
from uplift.violations import Document, fault

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
CODE = "JSON_INVALID"
STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)  # strings hide their brackets


def parse_json(text: str | bytes, *, name: str = "body", max_bytes: int = MAX_BYTES) -> Document:
    """Parse JSON strictly. Errors: JSON_INVALID, naming what was found and where.

    max_bytes  more for what the program wrote itself, such as a model
    """
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(content) > max_bytes:
        raise _refused(name, 1, f"it is larger than {max_bytes:,} bytes. Send it in parts.")
    try:
        decoded = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _refused(name, line, "it is not UTF-8. Send UTF-8.") from error
    _refuse_depth(decoded, name)
    try:
        value = json.loads(
            decoded,
            parse_constant=_no_constant,
            parse_float=_finite,
            object_pairs_hook=_distinct,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise _refused(
            name, error.lineno, f"{error.msg} at character {error.colno}. Correct it."
        ) from error
    except UnicodeEncodeError as error:
        raise _refused(name, 1, "it holds half a character (\\ud800 to \\udfff).") from error
    except ValueError as error:
        raise _refused(name, 1, f"{error}") from error
    return Document(name, value, {})


def _refuse_depth(text: str, name: str) -> None:
    depth = 0
    for match in STRUCTURE.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match.group(), 0)
        if depth > MAX_DEPTH:
            line = text.count("\n", 0, match.start()) + 1
            raise _refused(name, line, f"nested deeper than {MAX_DEPTH} levels. Flatten it.")


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number in JSON. Send null, or leave the key out.")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is beyond the range of numbers. Send a smaller one.")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key[:40]!r} is there twice. Keep one.")
        found[key] = value
    return found


def _refused(name: str, line: int, what: str) -> DefinitionError:
    return fault(name, line, CODE, what)
