"""YAML as definitions need it: safe, unambiguous, and with the line of every key kept for messages.

Refused: tags, aliases, the same key twice, bare yes/no/on/off, numbers with a leading zero, files
over the size or depth limit. What is left means the same to every reader.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from uplift.errors import DefinitionError

MAX_BYTES = 1_000_000  # a definition is written by a person
MAX_DEPTH = 20
AMBIGUOUS_WORD = re.compile(r"^(yes|no|on|off|y|n)$", re.IGNORECASE)
LEADING_ZERO = re.compile(r"^[-+]?0\d")

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """Parsed YAML and the line of each key."""

    name: str
    content: Any
    lines: dict[Path_, int]

    def line(self, path: Path_) -> int:
        """Line of a key, or of the nearest key above it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_yaml(path: str | Path) -> Document:
    """Read a definition file."""
    file = Path(path)
    if not file.is_file():
        raise DefinitionError(
            f"There is no file {file}. Give the path of a YAML definition.", code="FILE_MISSING"
        )
    return parse_yaml(file.read_bytes(), name=str(file))


def parse_yaml(text: str | bytes, *, name: str = "definition") -> Document:
    """Parse YAML strictly; every refusal names file, line, what was found and what to do."""
    content = text.encode() if isinstance(text, str) else text
    if len(content) > MAX_BYTES:
        raise _error(name, 1, "YAML_TOO_LARGE", f"the file is larger than {MAX_BYTES:,} bytes.")
    try:
        decoded = content.decode("utf-8")
        _refuse_aliases(decoded, name)
        root = yaml.compose(decoded, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise _error(name, 1, "YAML_INVALID", "the file is not UTF-8. Save it as UTF-8.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or "not YAML"
        raise _error(name, line, "YAML_INVALID", f"{problem}.") from error
    lines: dict[Path_, int] = {}
    value = None if root is None else _build(root, (), lines, name)
    return Document(name, value, lines)


def validate(
    model: type[Model], document: Document, *, context: dict[str, Any] | None = None
) -> Model:
    """A document as a definition; the first violation is raised with file, line and key."""
    try:
        return model.model_validate(document.content, context=context)
    except ValidationError as error:
        raise definition_error(error, document) from error


def definition_error(error: ValidationError, document: Document) -> DefinitionError:
    """The first violation pydantic found, in words that name file, line, key, value and remedy."""
    first = error.errors(include_url=False)[0]
    path = tuple(part for part in first["loc"])
    key = ".".join(str(part) for part in path) or "definition"
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, DefinitionLike):
        cause.__traceback__ = None  # pydantic's error would keep the caller's frames alive for ever
        return _error(document.name, document.line(path), cause.code, f"{key}: {cause}")
    found = first.get("input")
    shown = "" if isinstance(found, dict | list) or found is None else f", got {found!r}"
    return _error(
        document.name, document.line(path), "DEFINITION_INVALID", f"{key}: {first['msg']}{shown}."
    )


class DefinitionLike(ValueError):
    """Raised inside a definition's own checks, to carry a code through pydantic."""

    def __init__(self, message: str, *, code: str = "DEFINITION_INVALID") -> None:
        super().__init__(message)
        self.code = code


def _refuse_aliases(text: str, name: str) -> None:
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        line = token.start_mark.line + 1
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
            raise _error(name, line, "YAML_ALIAS", "aliases and anchors are not allowed.")
        if isinstance(token, yaml.TagToken):
            raise _error(name, line, "YAML_TAG", "tags (!…) are not allowed.")


def _build(node: yaml.Node, path: Path_, lines: dict[Path_, int], name: str) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if len(path) > MAX_DEPTH:
        raise _error(name, line, "YAML_TOO_DEEP", f"nested deeper than {MAX_DEPTH} levels.")
    if isinstance(node, yaml.MappingNode):
        return _build_mapping(node, path, lines, name)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, i), lines, name) for i, item in enumerate(node.value)]
    return _build_scalar(node, line, name)


def _build_mapping(
    node: yaml.MappingNode, path: Path_, lines: dict[Path_, int], name: str
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key, line = key_node.value, key_node.start_mark.line + 1
        if key in result:
            raise _error(name, line, "YAML_AMBIGUOUS", f"key {key!r} is there twice. Keep one.")
        lines[(*path, key)] = line
        result[key] = _build(value_node, (*path, key), lines, name)
    return result


def _build_scalar(node: yaml.Node, line: int, name: str) -> Any:
    plain = getattr(node, "style", None) is None
    if plain and AMBIGUOUS_WORD.match(node.value):
        raise _error(
            name, line, "YAML_AMBIGUOUS", f"bare {node.value!r} may mean a truth value. Quote it."
        )
    if (
        plain
        and LEADING_ZERO.match(node.value)
        and "." not in node.value
        and "-" not in node.value[1:]
    ):
        raise _error(
            name,
            line,
            "YAML_AMBIGUOUS",
            f"{node.value} may be read as octal. Quote it or drop the zero.",
        )
    return yaml.SafeLoader("").construct_object(node, deep=True)


def _error(name: str, line: int, code: str, what: str) -> DefinitionError:
    return DefinitionError(f"{name}, line {line}: {what}", code=code)
