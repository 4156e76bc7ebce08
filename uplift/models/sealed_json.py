"""Descriptions that carry their own digest: a changed byte is noticed even where no digest is kept.

The digest is of all bytes of the file, with zeros in the place where it stands itself.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uplift.errors import DataError, DefinitionError
from uplift.files import write_bytes
from uplift.strict_json import parse_json
from uplift.table import canonical_json

MAX_BYTES = 100_000_000  # of a model's or a suite's description
DIGEST = "sha256"
EMPTY = b"0" * 64
MARK = f'\n "{DIGEST}": "'.encode()  # a key of the outermost level: no string holds a line break


def write_sealed(document: Mapping[str, Any], path: Path) -> str:
    """Write a document with its digest; gives the SHA-256 of the file."""
    text = canonical_json({**document, DIGEST: EMPTY.decode()}).encode("utf-8")
    digest = hashlib.sha256(text).hexdigest().encode()
    return write_bytes(text.replace(MARK + EMPTY, MARK + digest), path)


def read_sealed(path: Path, *, form: int) -> dict[str, Any]:
    """The document in a file, without its digest.

    form  the format it must have

    Refused: JSON_INVALID, MODEL_FORMAT (another format), FILE_CHECKSUM (a changed byte).
    """
    content = path.read_bytes()
    try:
        document = parse_json(content, name=path.name, max_bytes=MAX_BYTES).content
    except DefinitionError as error:
        raise DataError(f"{error} Restore the file, or train again.", code=error.code) from error
    if not isinstance(document, dict) or document.get("format") != form:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise DataError(
            f"{path.name} must have format {form}, found {str(found)[:40]!r}. Train again, or read "
            "it with the version that wrote it.",
            code="MODEL_FORMAT",
        )
    place = content.find(MARK) + len(MARK)
    blank = content[:place] + EMPTY + content[place + len(EMPTY) :]
    if document.pop(DIGEST, None) != hashlib.sha256(blank).hexdigest():
        raise DataError(
            f"{path.name} has changed since it was written: its content does not have the digest "
            "it carries. Restore the file, or train again.",
            code="FILE_CHECKSUM",
        )
    return document
