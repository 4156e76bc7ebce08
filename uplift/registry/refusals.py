"""What the database refuses, as errors with a code: the same codes on SQLite and PostgreSQL.

Codes of PostgreSQL: its manual, appendix "PostgreSQL Error Codes" (SQLSTATE).
"""

import contextlib
import functools
import random
import time
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError

from uplift.errors import DataError, StateError, UpliftError

MAX_REPEATS = 5
FIRST_WAIT_SECONDS = 0.05  # doubled by every repeat, times a random number up to 1
CONFLICT = frozenset({"40001", "40P01"})  # serialisation failure, deadlock
BUSY = frozenset({"55P03", "57014"})  # lock not available, statement too long
FULL = frozenset({"53100", "54000", "53200"})
GONE = ("08", "57P")  # connection failure, shutdown or restart
READ_ONLY = "25006"

P = ParamSpec("P")
T = TypeVar("T")


class Repeatable(StateError):
    """A transaction that was rolled back through no fault of its own: it may be run again."""


def repeated(method: Callable[P, T]) -> Callable[P, T]:
    """Run a writing method again, up to five times, when its transaction was rolled back."""

    @functools.wraps(method)
    def patient(*args: P.args, **kwargs: P.kwargs) -> T:
        for repeat in range(MAX_REPEATS):
            try:
                return method(*args, **kwargs)
            except Repeatable:
                time.sleep(random.random() * FIRST_WAIT_SECONDS * 2**repeat)  # noqa: S311 (jitter)
        return method(*args, **kwargs)

    return patient


@contextlib.contextmanager
def typed_errors(place: str) -> Iterator[None]:
    """Turn what the database refuses into an error with a code.

    place  what the database is called in messages
    """
    try:
        yield
    except DBAPIError as error:
        raise typed(error, place) from error


def is_lost(error: DBAPIError) -> bool:
    """Whether the connection broke, so that it is not known what became of the transaction."""
    state = _state(error)
    return error.connection_invalidated or state.startswith(GONE)


def typed(error: DBAPIError, place: str) -> UpliftError:
    """The error with a code that says the same."""
    cause, state = str(error.orig).strip().split("\n")[0], _state(error)
    if state in CONFLICT:
        return Repeatable(
            f"{place}: others changed the same rows at the same time. Nothing was written; repeat.",
            code="REGISTRY_BUSY",
        )
    if state in BUSY or (not state and "locked" in cause):
        return StateError(
            f"{place} was in use for too long. Nothing was written; repeat when others are done.",
            code="REGISTRY_BUSY",
        )
    if state in FULL or (not state and "full" in cause):
        return StateError(
            f"The disk is full, so {place} was not changed. Free some space and repeat.",
            code="DISK_FULL",
        )
    if isinstance(error, IntegrityError):
        return StateError(
            f"{place} refused a row ({cause}). Nothing was written.", code="ROW_REFUSED"
        )
    return _unusable(error, place, cause, state)


def _unusable(error: DBAPIError, place: str, cause: str, state: str) -> UpliftError:
    if state == READ_ONLY:
        return StateError(
            f"{place} only lets itself be read, as a standby server does. Nothing was written; "
            "give the address of the primary server.",
            code="DATABASE_READ_ONLY",
        )
    server = "psycopg" in type(error.orig).__module__
    if is_lost(error) or (server and not state):
        return Repeatable(
            f"{place} cannot be reached ({cause}). Nothing was written; repeat when it is back.",
            code="DATABASE_UNREACHABLE",
        )
    return DataError(
        f"{place} cannot be used as a registry ({cause}). Restore it from a backup.",
        code="REGISTRY_UNREADABLE",
    )


def _state(error: DBAPIError) -> str:
    """PostgreSQL's code of the error; "" for SQLite and where none was sent."""
    return getattr(error.orig, "sqlstate", None) or ""
