"""Descriptions that carry their own digest: a changed byte is noticed even where no digest is kept.

The digest is of the canonical text without it, and the file is the canonical text with it. So a
file that was changed is another document, or is not canonical any more.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uplift.errors import DataError, DefinitionError
from uplift.files import write_text
from uplift.strict_json import parse_json
from uplift.table import canonical_json

MAX_BYTES = 100_000_000  # of a model's or a suite's description
DIGEST = "sha256"


def write_sealed(document: Mapping[str, Any], path: Path) -> str:
    """Write a document with its digest; gives the SHA-256 of the file."""
    digest = hashlib.sha256(canonical_json(document).encode("utf-8")).hexdigest()
    return write_text(canonical_json({**document, DIGEST: digest}), path)


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
    recorded = document.pop(DIGEST, None)
    text = canonical_json(document).encode("utf-8")
    found = hashlib.sha256(text).hexdigest()
    sealed = canonical_json({**document, DIGEST: found}).encode("utf-8")
    if recorded != found or sealed != content:
        raise DataError(
            f"{path.name} has changed since it was written: its content does not have the digest "
            "it carries. Restore the file, or train again.",
            code="FILE_CHECKSUM",
        )
    return document
