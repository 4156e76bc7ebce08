"""What a definition violates, in words that name file, line, key, what was found and what to do.

pydantic finds the violation; here it is said as the person who wrote the file needs it.
"""

import types
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from uplift.errors import DefinitionError

SHOWN = 60  # characters of a value that was found

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

EXPECTED = {  # by pydantic's type of error; the words in braces come with the error
    "string_type": "must be text. Quote it",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of at most 64 bits",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number. Leave the key out where there is none",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list, such as [a, b]",
    "list_type": "must be a list, such as [a, b]",
    "dict_type": "must be keys with values, such as {key: value}",
    "model_type": "must be keys with values, such as {key: value}",
    "model_attributes_type": "must be keys with values, such as {key: value}",
    "datetime_type": "must be a date and time, such as 2017-07-03T08:00:00",
    "datetime_parsing": "must be a date and time, such as 2017-07-03T08:00:00",
    "datetime_from_date_parsing": "must be a date and time, such as 2017-07-03T08:00:00",
    "literal_error": "must be one of {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "too_short": "must have at least {min_length} entries",
}


@dataclass(frozen=True)
class Document:
    """A parsed definition and the line of each key."""

    name: str
    content: Any
    lines: dict[Path_, int]

    def line(self, path: Path_) -> int:
        """Line of a key, or of the nearest key above it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class DefinitionLike(ValueError):
    """Raised inside a definition's own checks, to carry a code through pydantic."""

    def __init__(self, message: str, *, code: str = "DEFINITION_INVALID") -> None:
        super().__init__(message)
        self.code = code


def validate(
    model: type[Model], document: Document, *, context: dict[str, Any] | None = None
) -> Model:
    """A document as a definition; the first violation is raised with file, line and key."""
    if not isinstance(document.content, dict):
        found = "nothing" if document.content is None else repr(document.content)[:SHOWN]
        keys = ", ".join(name for name, f in model.model_fields.items() if f.is_required())
        raise fault(
            document.name,
            1,
            "DEFINITION_INVALID",
            f"definition: must be keys with values, got {found}. It needs: {keys}.",
        )
    try:
        return model.model_validate(document.content, context=context)
    except ValidationError as error:
        raise definition_error(error, document, model=model) from error


def definition_error(
    error: ValidationError, document: Document, *, model: type[BaseModel] | None = None
) -> DefinitionError:
    """One violation pydantic found, an unknown key first, and how many more there are.

    model  whose keys are suggested for an unknown one
    """
    violations = error.errors(include_url=False)
    unknown = (one for one in violations if one["type"] == "extra_forbidden")
    first = next(unknown, violations[0])  # a misspelt key is why another one is missing
    path = tuple(first["loc"])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, DefinitionLike):
        cause.__traceback__ = None  # pydantic's error would keep the caller's frames alive for ever
        code, what = cause.code, str(cause)
    else:
        code, what = "DEFINITION_INVALID", _words(first, model)
    key = ".".join(str(part) for part in path) or "definition"
    more = f" ({len(violations) - 1} more to repair.)" if len(violations) > 1 else ""
    found = fault(document.name, document.line(path), code, f"{key}: {what}{more}")
    found.count = len(violations)
    return found


def fault(name: str, line: int, code: str, what: str) -> DefinitionError:
    """A refusal that begins with file and line."""
    return DefinitionError(f"{name}, line {line}: {what}", code=code)


def _words(violation: ErrorDetails, model: type[BaseModel] | None) -> str:
    """What must hold, what was found, what to do."""
    kind, path = violation["type"], tuple(violation["loc"])
    if kind == "missing":
        return f"is missing. Write `{path[-1]}: …`."
    if kind == "extra_forbidden":
        return _unknown_key(str(path[-1]), _keys_at(model, path[:-1]))
    context = {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in violation.get("ctx", {}).items()
    }
    expected = EXPECTED.get(kind, "").format_map(context) or violation["msg"]
    found = violation.get("input")
    if isinstance(found, dict | list):
        return f"{expected}, got {'keys with values' if isinstance(found, dict) else 'a list'}."
    return f"{expected}, got {'nothing' if found is None else repr(found)[:SHOWN]}."


def _unknown_key(key: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(key, known, n=1)
    if near:
        return f"there is no such key. Did you mean {near[0]!r}?"
    listed = f" Known here: {', '.join(known)}." if known else ""
    return f"there is no such key. Remove it.{listed}"


def _keys_at(model: type[BaseModel] | None, path: Path_) -> tuple[str, ...]:
    """Keys that a definition knows where a path leads."""
    annotation: Any = model
    for part in path:
        below = [inner for one in _models(annotation) for inner in _field(one, part)]
        if isinstance(part, str) and not below:
            return ()
        annotation = below[0] if below else annotation  # a number: the entry of a list
    return tuple(name for one in _models(annotation) for name in one.model_fields)


def _field(model: type[BaseModel], part: str | int) -> list[Any]:
    field = model.model_fields.get(str(part))
    return [field.annotation] if field is not None else []


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The definitions inside an annotation such as `tuple[Arm, ...]` or `Rotation | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, tuple, list, dict, Annotated):
        return [model for inner in get_args(annotation) for model in _models(inner)]
    return []
