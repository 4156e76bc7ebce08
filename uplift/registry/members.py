"""Members of cohorts: written before their cohort begins, in many short transactions.

A batch is the members of one cohort, named by their digest. It means nothing until a row of
`control_cohorts` names it, so a crash in between leaves rows that nobody reads; the next attempt
with the same members goes on with them.
"""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from uplift.errors import StateError
from uplift.registry.bulk import Same, ready_rows
from uplift.registry.contents import insert_ready
from uplift.registry.tables import cohort_members

if TYPE_CHECKING:
    from uplift.registry.registry import Registry

STAGE = "stage"  # names the fail points of the short transactions
STAGED_ROWS = 20_000  # of one transaction: other writers wait for so few


def members_digest(units: Iterable[str]) -> str:
    """SHA-256 of the sorted ids, one a line."""
    digest = hashlib.sha256()
    for unit in sorted(units):
        digest.update(f"{unit}\n".encode())
    return digest.hexdigest()


def batch_of(programme: str, cohort: int | str, *, sha256: str) -> str:
    """The batch that the members with this digest are."""
    return f"{programme}:{cohort}:{sha256}"


def stage_members(registry: "Registry", batch: str, units: Iterable[str]) -> None:
    """Write what is missing of a batch; beside another process that writes it, both end well.

    Errors: VALUE_RANGE.
    """
    wanted = set(units)
    while missing := sorted(wanted - _staged(registry, batch)):
        for start in range(0, len(missing), STAGED_ROWS):
            if not _add(registry, batch, missing[start : start + STAGED_ROWS]):
                break  # another process was faster: look again at what is missing


def units_in(connection: Connection, batch: str) -> list[str]:
    """Members of a batch."""
    query = select(cohort_members.c.unit).where(cohort_members.c.batch == batch)
    return list(connection.execute(query).scalars())


def _staged(registry: "Registry", batch: str) -> set[str]:
    with registry._database.read() as connection:
        return set(units_in(connection, batch))


def _add(registry: "Registry", batch: str, units: list[str]) -> bool:
    rows = ready_rows(cohort_members, len(units), {"batch": Same(batch), "unit": units})
    try:
        with registry._database.write(STAGE) as connection:
            insert_ready(connection, rows)
    except StateError as error:
        if error.code != "ROW_REFUSED":
            raise
        return False
    return True
