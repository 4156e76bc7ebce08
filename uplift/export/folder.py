"""The folder of a batch appears whole, under its name, after the ledger has it; or not at all.

Files are written into a hidden staging folder and synced. Then the ledger commits; then one rename
gives the folder its name. Killed in between, the next run finds what is left and goes on.
"""

import csv
import io
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from uplift.errors import DataError, StateError
from uplift.export.files import MANIFEST, PROOF
from uplift.files import file_digest, require_digest, sync
from uplift.registry.exports import Batch
from uplift.registry.failing import fail_point

FOLDER = "export"
STAGING = ".staging-"
PIECE_BYTES = 1 << 20


def folder_of(root: Path, batch: Batch) -> Path:
    """Where a batch's files are: `export/<wave>/<list>/`, all of them internal names."""
    return root / FOLDER / batch.wave / batch.channel


def staging_of(root: Path, batch: Batch) -> Path:
    """Where a batch's files are until the ledger has them."""
    return folder_of(root, batch).with_name(f"{STAGING}{batch.id}")


def stage(root: Path, batch: Batch, files: Mapping[str, bytes]) -> None:
    """Write a batch's files, synced, under a name that nobody takes for a list.

    Errors: DISK_FULL, EXPORT_ORPHAN for a folder of that name which the ledger does not know.
    """
    if folder_of(root, batch).exists():
        raise StateError(
            f"{batch.channel} of wave {batch.wave} has a folder, and the registry knows no such "
            "export: perhaps it was restored from an older backup, and these customers were "
            "contacted already. Find out, then move the folder away.",
            code="EXPORT_ORPHAN",
        )
    fail_point("export:before_temp")
    folder = staging_of(root, batch)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _make(folder)
        for name, content in files.items():
            _write(folder / name, content)
        _sync(folder)
        _sync(folder.parent)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StateError(
            f"The export could not be written ({error.strerror}). Nothing was exported; free some "
            "space and repeat.",
            code="DISK_FULL",
        ) from error
    fail_point("export:staged")


def publish(root: Path, batch: Batch) -> Path:
    """Give a batch's folder its name; when it has it already, change nothing.

    To be called inside a transaction, so that one process does it.
    Errors: EXPORT_MISSING, FILE_CHECKSUM.
    """
    folder, staging = folder_of(root, batch), staging_of(root, batch)
    fail_point("export:before_rename")
    if staging.exists():
        require_batch(staging, batch)
        staging.rename(folder)
        fail_point("export:after_rename")
    found = require_published(root, batch)
    _sync(folder.parent)  # again, when an earlier run died before it
    return found


def require_published(root: Path, batch: Batch) -> Path:
    """The folder of a batch, its manifest being the one recorded.

    Errors: EXPORT_MISSING, FILE_CHECKSUM.
    """
    folder = folder_of(root, batch)
    try:
        require_batch(folder, batch)
    except FileNotFoundError:
        raise StateError(
            f"Batch {batch.id} ({batch.channel} of wave {batch.wave}) is exported, and its folder "
            "is not here. Fetch it from the machine that wrote it, or from a backup.",
            code="EXPORT_MISSING",
        ) from None
    return folder


def require_batch(folder: Path, batch: Batch) -> None:
    """Refuse a folder whose manifest is not the one recorded."""
    found = file_digest(folder / MANIFEST)
    if found != batch.manifest_sha256:
        raise DataError(
            f"The manifest of batch {batch.id} has changed: SHA-256 {found[:12]}… found, "
            f"{batch.manifest_sha256[:12]}… recorded. Restore its folder.",
            code="FILE_CHECKSUM",
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest in a batch's folder."""
    return dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))


def read_list(root: Path, batch: Batch) -> bytes:
    """A published list, as it was written. Errors: EXPORT_MISSING, FILE_CHECKSUM."""
    folder = require_published(root, batch)
    return _read_whole(folder, f"{read_manifest(folder)['channel']}.csv")


def assigned_digest(root: Path, batch: Batch) -> str:
    """Of which assignment a list was made. Errors: EXPORT_MISSING, FILE_CHECKSUM."""
    folder = _written(root, batch)
    _read_whole(folder, PROOF)
    return str(read_manifest(folder)["assignment_sha256"])


def read_assigned(root: Path, batch: Batch) -> dict[str, str]:
    """The arm by each unit's hash, in the assignment that a list was made of.

    Errors: EXPORT_MISSING, FILE_CHECKSUM.
    """
    text = _read_whole(_written(root, batch), PROOF).decode()
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return {row["hash"]: row["arm"] for row in rows if row["arm"]}


def _written(root: Path, batch: Batch) -> Path:
    """The folder of a batch, whether or not it has its name yet."""
    staging = staging_of(root, batch)
    return staging if staging.exists() else require_published(root, batch)


def _read_whole(folder: Path, name: str) -> bytes:
    require_digest(folder / name, read_manifest(folder)["files"][name]["sha256"])
    return (folder / name).read_bytes()


def clear_staging(root: Path, wave: str, *, keep: Collection[str]) -> None:
    """Remove what killed exports left of a wave, but for batches that the ledger has.

    To be called inside the export transaction: then nobody else is writing there.
    """
    for folder in (root / FOLDER / wave).glob(f"{STAGING}*"):
        if folder.name.removeprefix(STAGING) not in keep:
            shutil.rmtree(folder)


def _make(folder: Path) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True)
    for path in reversed(missing):
        _sync(path.parent)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        for piece in _pieces(content):
            file.write(piece)
            file.flush()
            fail_point("export:in_temp")
        os.fsync(file.fileno())
    fail_point("export:synced")


def _pieces(content: bytes) -> Iterator[bytes]:
    """At least two pieces, so that a file can be found half written."""
    size = min(PIECE_BYTES, max(1, len(content) // 2))
    for start in range(0, len(content), size):
        yield content[start : start + size]


def _sync(folder: Path) -> None:
    sync(folder)
    fail_point("export:synced")
