"""YAML as definitions need it: safe, unambiguous, and with the line of every key kept for messages.

Refused: tags, aliases, the same key twice, bare yes/no/on/off, numbers that readers take for
another base, files over the size or depth limit. What is left means the same to every reader.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from uplift.errors import DefinitionError
from uplift.violations import Document, Path_, fault

MAX_BYTES = 1_000_000  # a definition is written by a person
MAX_DEPTH = 20
INT_LIMIT = 2**63  # databases and arrays keep whole numbers in 64 bits with sign
AMBIGUOUS_WORD = re.compile(r"^(yes|no|on|off|y|n)$", re.IGNORECASE)
LEADING_ZERO = re.compile(r"^[-+]?0\d")
NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
PLAIN_NUMBER = re.compile(
    r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$|^[-+]?\.(inf|nan)$", re.IGNORECASE
)
OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


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
        raise fault(
            name, 1, "YAML_TOO_LARGE", f"the file is larger than {MAX_BYTES:,} bytes. Split it."
        )
    try:
        decoded = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise fault(
            name, line, "YAML_INVALID", "the file is not UTF-8. Save it as UTF-8."
        ) from error
    try:
        _refuse_tokens(decoded, name)
        root = yaml.compose(decoded, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise _not_yaml(error, decoded, name) from error
    lines: dict[Path_, int] = {}
    value = None if root is None else _build(root, (), lines, name)
    return Document(name, value, lines)


def _not_yaml(error: yaml.YAMLError, text: str, name: str) -> DefinitionError:
    mark = getattr(error, "problem_mark", None)
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return fault(
            name, line, "YAML_INVALID", f"the character {error.character!r} is not allowed here."
        )
    line = mark.line + 1 if mark else 1
    problem = getattr(error, "problem", None) or "this is not YAML"
    return fault(
        name,
        line,
        "YAML_INVALID",
        f"{problem}. Check indentation, brackets and quotes on this line and the one above.",
    )


def _refuse_tokens(text: str, name: str) -> None:
    """Refuse what is dangerous before a tree is built: its size follows from the text's."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        line = token.start_mark.line + 1
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
            raise fault(
                name,
                line,
                "YAML_ALIAS",
                "aliases and anchors are not allowed. Write the value out, or quote it.",
            )
        if isinstance(token, yaml.TagToken):
            raise fault(name, line, "YAML_TAG", "tags (!…) are not allowed. Remove it.")
        if isinstance(token, yaml.DirectiveToken):
            raise fault(name, line, "YAML_TAG", "directives (%…) are not allowed. Remove it.")
        depth += isinstance(token, OPENING) - isinstance(token, CLOSING)
        if depth > MAX_DEPTH:
            raise fault(
                name,
                line,
                "YAML_TOO_DEEP",
                f"nested deeper than {MAX_DEPTH} levels, which no definition needs. Flatten it.",
            )


def _build(node: yaml.Node, path: Path_, lines: dict[Path_, int], name: str) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
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
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise fault(name, line, "YAML_INVALID", "a key must be one word, not a list or a map.")
        key = key_node.value
        if key in result:
            raise fault(name, line, "YAML_AMBIGUOUS", f"key {key!r} is there twice. Keep one.")
        lines[(*path, key)] = line
        result[key] = _build(value_node, (*path, key), lines, name)
    return result


def _build_scalar(node: yaml.Node, line: int, name: str) -> Any:
    if getattr(node, "style", None) is None:
        for what in _two_meanings(node):
            raise fault(name, line, "YAML_AMBIGUOUS", what)
    try:
        value = yaml.SafeLoader("").construct_object(node, deep=True)
    except ValueError as error:  # 2017-13-01, or a number of thousands of digits
        raise fault(
            name,
            line,
            "YAML_INVALID",
            f"{node.value[:40]!r} looks like a date or a number and is none ({error}). "
            "Correct it, or quote it.",
        ) from error
    if isinstance(value, int) and not -INT_LIMIT <= value < INT_LIMIT:
        raise fault(
            name,
            line,
            "VALUE_RANGE",
            f"{node.value[:40]} is a whole number beyond 64 bits. Write a smaller one.",
        )
    return value


def _two_meanings(node: yaml.Node) -> Iterator[str]:
    """What is wrong with a bare word or number that readers of YAML take differently."""
    value = node.value
    if AMBIGUOUS_WORD.match(value):
        yield f"bare {value!r} may mean a truth value. Quote it."
    if LEADING_ZERO.match(value) and "." not in value and "-" not in value[1:]:
        yield f"{value} may be read as octal. Quote it or drop the zero."
    if node.tag in NUMBER_TAGS and not PLAIN_NUMBER.match(value):
        yield (
            f"{value} is read as a number in another base. Write plain digits, such as 1000 or "
            "0.25, or quote it."
        )
