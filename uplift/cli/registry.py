"""The registry's own care: verify, back up, restore, migrate; no logic."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uplift.cli.common import HERE, Json, Root, app, show, verdict

if TYPE_CHECKING:
    from uplift.registry.registry import Registry

registry_app = typer.Typer(
    name="registry",
    help="Verify, back up, restore and migrate the registry's database.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(registry_app)

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        help="Path, `sqlite:///path` or `postgresql://user@host/database` (its password in "
        "PGPASSWORD); `experiments/registry.db` by default.",
    ),
]
BackupFile = Annotated[Path, typer.Argument(help="The backup: one SQLite file.")]


@registry_app.command()
def verify(root: Root = HERE, database: DatabaseOption = None, as_json: Json = False) -> int:
    """Compute the whole registry again; exit 1 when anything was changed outside it.

    Example: `uplift registry verify`
    """
    from uplift.registry.verification import Verification

    checks = _registry(root, database).verify()
    show(Verification(checks), as_json=as_json)
    return verdict(checks)


@registry_app.command()
def backup(
    file: BackupFile, root: Root = HERE, database: DatabaseOption = None, as_json: Json = False
) -> int:
    """Copy the registry's database into one file, while others use it.

    Example: `uplift registry backup backups/monday.db`
    """
    show(_registry(root, database).backup(file), as_json=as_json, wrote=(file,))
    return 0


@registry_app.command()
def restore(
    file: BackupFile, root: Root = HERE, database: DatabaseOption = None, as_json: Json = False
) -> int:
    """Fill an empty registry from a backup; one that holds anything is never overwritten.

    Example: `uplift registry restore backups/monday.db`
    """
    from uplift.registry import backup as backups

    show(backups.restore(file, _location(root, database)), as_json=as_json)
    return 0


@registry_app.command()
def migrate(root: Root = HERE, database: DatabaseOption = None, as_json: Json = False) -> int:
    """Bring the database's schema up to date, as the first writer would.

    Example: `uplift registry migrate`
    """
    from uplift.registry.tables import SCHEMA_VERSION

    before = _registry(root, database).migrate()
    found = {"schema_before": before, "schema": SCHEMA_VERSION}
    print(json.dumps(found) if as_json else f"schema {before} → {SCHEMA_VERSION}")
    return 0


def _registry(root: Path, database: str | None) -> "Registry":
    from uplift.registry.registry import Registry

    return Registry(root / "experiments", database=database)


def _location(root: Path, database: str | None) -> str | Path:
    from uplift.registry.database import FILE

    return root / "experiments" / FILE if database is None else database
