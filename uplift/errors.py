"""What can go wrong, as types: each error says what must hold, what was found and what to do.

Every error carries a stable `.code` (for programs) beside its message (for people).
"""

from collections.abc import Sequence
from typing import Any

MAX_ROWS_SHOWN = 5  # enough to find the fault in a file, few enough to read


class UpliftError(Exception):
    """A refusal with a code; nothing was written.

    code    stable name of the fault, e.g. "ID_MISSING"
    column  column at fault, if one is
    count   how many rows are at fault
    rows    the first row numbers at fault, counted from 1 without the header
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        column: str | None = None,
        count: int | None = None,
        rows: Sequence[int] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.column = column
        self.count = count
        self.rows = tuple(int(row) for row in rows[:MAX_ROWS_SHOWN])


class DataError(UpliftError):
    """A table does not hold what it must."""


class DefinitionError(UpliftError):
    """A definition (experiment, metric, policy, argument) contradicts itself or is incomplete."""


class StateError(UpliftError):
    """The step is not allowed now: an earlier one is missing, or the definition is sealed."""


class InfeasiblePlan(UpliftError):
    """No contact plan satisfies all rules together."""


class PromotionRefused(UpliftError):
    """A gate said no; the champion stays.

    checks  the gates that failed
    """

    def __init__(self, message: str, *, checks: Sequence[Any] = ()) -> None:
        super().__init__(message, code="PROMOTION_REFUSED")
        self.checks = tuple(checks)


class MissingExtra(UpliftError):
    """An optional library is needed that is not installed."""

    def __init__(self, library: str, *, extra: str) -> None:
        super().__init__(
            f"{library} is needed for this and is not installed. "
            f"Install the extra: pip install 'uplift-road[{extra}]'.",
            code="EXTRA_MISSING",
        )
