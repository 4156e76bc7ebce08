"""Files that are either there whole or not there: written to a temporary name, synced, renamed.

A digest of the bytes goes into the registry, so that a changed file is noticed before it is used.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from uplift.errors import DataError


def write_bytes(content: bytes, path: str | Path) -> str:
    """Write whole or not at all; gives the SHA-256 of what was written."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def write_text(content: str, path: str | Path) -> str:
    """Write UTF-8 text whole or not at all; gives its SHA-256."""
    return write_bytes(content.encode("utf-8"), path)


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends without an error.

    A writer that dies leaves the file as it was before: absent, or the earlier whole one.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        sync(temporary)
        temporary.chmod(0o644)
        temporary.replace(target)
        sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def is_file(path: str | Path) -> bool:
    """Whether there is a file; what cannot even be a path is none."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a NUL
        return False


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_digest(path: str | Path, expected: str) -> None:
    """Refuse a file whose bytes are not the ones recorded."""
    found = file_digest(path)
    if found != expected:
        raise DataError(
            f"{Path(path).name} has changed since it was recorded: SHA-256 {found[:12]}… found, "
            f"{expected[:12]}… recorded. Restore the file or run the step that writes it again.",
            code="FILE_CHECKSUM",
        )


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
