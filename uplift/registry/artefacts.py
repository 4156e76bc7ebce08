"""Files of an experiment, known by their digest: a changed one is noticed before it is used."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from uplift.errors import DataError, DefinitionError
from uplift.files import file_digest
from uplift.metrics import SLUG


@dataclass(frozen=True)
class Artefact:
    """A file or folder, its path relative to the registry's folder, and its SHA-256."""

    name: str
    path: str
    sha256: str


def artefact_of(root: Path, name: str, path: str | Path) -> Artefact:
    """A file or folder inside the registry's folder, as it is now.

    Errors: NAME_INVALID, ARTEFACT_OUTSIDE, ARTEFACT_MISSING.
    """
    if not SLUG.match(name):
        raise DefinitionError(
            f"{name[:80]!r} is not a name for an artefact. Use lower-case letters, digits and "
            "underscores, beginning with a letter.",
            code="NAME_INVALID",
        )
    inside = Path(path).resolve()
    try:
        relative = inside.relative_to(root.resolve())
    except ValueError:
        raise DefinitionError(
            f"{path} is outside the registry's folder {root}. Keep an experiment's files in its "
            "folder.",
            code="ARTEFACT_OUTSIDE",
        ) from None
    return Artefact(name, relative.as_posix(), path_digest(inside, name=name))


def artefacts_of(root: Path, paths: Mapping[str, str | Path] | None) -> tuple[Artefact, ...]:
    """Several artefacts, by name."""
    return tuple(artefact_of(root, name, path) for name, path in sorted((paths or {}).items()))


def path_digest(path: Path, *, name: str) -> str:
    """SHA-256 of a file's bytes, or of a folder's files with their names."""
    if path.is_file():
        return file_digest(path)
    if path.is_dir():
        digest = hashlib.sha256()
        for file in sorted(part for part in path.rglob("*") if part.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()}\0{file_digest(file)}\n".encode())
        return digest.hexdigest()
    raise DataError(
        f"Artefact {name!r}: there is no file or folder {path.name}. Run the step that writes it.",
        code="ARTEFACT_MISSING",
    )


def require_unchanged(root: Path, artefact: Artefact) -> Path:
    """The artefact's path, when its bytes are the ones recorded.

    Errors: ARTEFACT_MISSING, FILE_CHECKSUM.
    """
    path = root / artefact.path
    found = path_digest(path, name=artefact.name)
    if found != artefact.sha256:
        raise DataError(
            f"{artefact.path} has changed since it was recorded: SHA-256 {found[:12]}… found, "
            f"{artefact.sha256[:12]}… recorded. Restore it or run the step that writes it again.",
            code="FILE_CHECKSUM",
        )
    return path
