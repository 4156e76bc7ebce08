"""Stored descriptions, changed by somebody who also makes their digests right again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uplift.models.sealed_json import DIGEST, write_sealed


def rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    """Change a sealed description and seal it again; gives the digest of the file."""
    document = json.loads(path.read_text())
    document.pop(DIGEST)
    return write_sealed(change(document), path)
